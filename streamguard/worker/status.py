"""How a worker is, for others to read: the loop writes, any thread may look.

Everything here is replaced as a whole and never changed in place, so that a reader needs no lock and the loop
never waits for one.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

COMMIT_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Phase(StrEnum):
    """What the loop is at."""

    STARTING = "starting"
    JOINING = "joining"
    POLLING = "polling"
    ASSIGNING = "assigning"
    WORKING = "working"
    COMMITTING = "committing"
    LEAVING = "leaving"
    WAITING = "waiting"
    """Between two attempts."""


class Pulse(NamedTuple):
    """The loop's last sign of life: the phase that it entered, and when."""

    phase: Phase
    since_s: float


class State(StrEnum):
    """Whether the worker does its part; only one that is `ready` does."""

    STARTING = "starting"
    JOINING = "joining"
    REBALANCING = "rebalancing"
    RESTORING = "restoring"
    READY = "ready"
    OUTAGE = "outage"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class InputStatus:
    """One partition of predictions or labels."""

    name: str
    """`predictions` or `labels`."""
    clock_ms: int | None
    """The largest event time; None before the first record."""
    counts: Mapping[str, int]
    """By fate, and `consumed`, since the group began."""


@dataclass(frozen=True, slots=True)
class JoinStatus:
    """A join task. `inputs` is empty while it is being restored: its account is not its own yet."""

    partition: int
    held: int
    held_bytes: int
    inputs: tuple[InputStatus, ...]


@dataclass(frozen=True, slots=True)
class MonitorStatus:
    """A monitor task that is restored."""

    partition: int
    monitors: tuple[str, ...]
    """Names of the monitors whose outcomes come here."""
    held: int
    released: int
    late: int
    segments: int
    promises: Mapping[str, int]
    """How many budgeted detectors promise what: see `core.budgeted.Budgeted.promise`."""
    sources_behind_ms: tuple[int | None, ...]
    """How far the watermark of each source is behind the furthest; None where it has never been heard of."""
    holders: tuple[int, ...]
    """The sources that are waited for."""


@dataclass(slots=True)
class Progress:
    """What a run has done so far; each number only grows."""

    records: int = 0
    alerts: int = 0
    rejected: int = 0
    commits: int = 0
    commit_failures: int = 0
    commit_seconds: float = 0.0
    commit_buckets: list[int] = field(default_factory=lambda: [0] * (len(COMMIT_BUCKETS_S) + 1))
    """Commits by how long they took: up to each of `COMMIT_BUCKETS_S`, and longer."""
    committed_s: float | None = None
    """When the last commit ended."""
    rebalances: int = 0
    sessions_lost: int = 0
    stalls: int = 0
    alert_kinds: dict[tuple[str, str, str], int] = field(default_factory=dict)
    """Alerts by kind, severity and status."""

    def add_commit(self, took_s: float, ended_s: float) -> None:
        """One more, with how long it took."""
        self.commits += 1
        self.commit_seconds += took_s
        self.commit_buckets[bisect_left(COMMIT_BUCKETS_S, took_s)] += 1
        self.committed_s = ended_s

    def copy(self) -> "Progress":
        """As it is now."""
        return replace(self, commit_buckets=list(self.commit_buckets), alert_kinds=dict(self.alert_kinds))


@dataclass(frozen=True, slots=True)
class Caps:
    """What a join task may hold."""

    records: int = 0
    data_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """Everything that is told, as of one moment. Partitions are those that the worker owns."""

    state: State = State.STARTING
    reason: str = ""
    """Why the state is not `ready`."""
    restore_left: int = 0
    """Offsets still to be read again."""
    behind: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """Records not read when last looked, by input (predictions, labels, outcomes) and partition."""
    held_back: tuple[str, ...] = ()
    """Partitions that are paused, since they are ahead and a cap is near."""
    joins: tuple[JoinStatus, ...] = ()
    monitors: tuple[MonitorStatus, ...] = ()
    caps: Caps = Caps()
    progress: Progress = field(default_factory=Progress)


class Board:
    """Where the loop puts its pulse and its status."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self.now_s = now_s
        self.pulse = Pulse(Phase.STARTING, now_s())
        self.status = Status()

    def enter(self, phase: Phase) -> float:
        """The loop goes on to another phase; returns the time."""
        self.pulse = Pulse(phase, self.now_s())
        return self.pulse.since_s

    @contextmanager
    def during(self, phase: Phase) -> Iterator[None]:
        """A phase with what follows it: work."""
        self.enter(phase)
        yield
        self.enter(Phase.WORKING)
