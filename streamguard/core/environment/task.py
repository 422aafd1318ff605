"""The environment task: the records of the one partition of the environment topic, as alerts.

A record says by its `type` which judge it is for; judges tell changes, and changes are episodes. All time is that of
records. The state is a head and, apart from it, what instances have in common, which is written once.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import orjson

from streamguard.config.probes import ProbeChecks
from streamguard.config.serving import Environment
from streamguard.core.environment.change import Change
from streamguard.core.environment.clock import Clock
from streamguard.core.environment.endpoints import Endpoints
from streamguard.core.environment.episodes import Episodes, Told, alert_of
from streamguard.core.environment.fleet import Fleet
from streamguard.core.fields import TIME_MAX_MS, Unreadable, document_of
from streamguard.core.monitor import ENVIRONMENT, Resume
from streamguard.core.records import Batch, Output, Stream
from streamguard.core.rejected import rejected

_STATE_VERSION = 1
_RECORD_BYTES = 1_048_576
_TURNS = 200
_SET = "set/"


class Judge(Protocol):
    """Judges records of one type."""

    def take(self, time_ms: int, record: dict[str, Any], /) -> list[Change]:
        """Take a record of this event time; raises a `ValueError` that says why it cannot be used."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON, which it is made of again."""
        ...


class Turn(NamedTuple):
    """Something has begun to be wrong, or has ended."""

    time_ms: int
    """Event time of the record by which it was found."""
    since_ms: int
    """Event time from which on it is, or was, so."""
    subject: str
    is_wrong: bool
    told: str


@dataclass(frozen=True, slots=True)
class EnvironmentSettings:
    """What the task needs of a configuration."""

    environment: Environment
    cooldown_ms: int
    alert_source: str
    has_structured_alerts: bool = False
    record_bytes: int = _RECORD_BYTES
    number: int = 0
    """Partition of the state topic."""
    probe_checks: ProbeChecks = field(default_factory=ProbeChecks)


Made = Callable[[EnvironmentSettings, Any], Judge]
# By a record's type: its judge, from the settings and the state that it had, if any.
JUDGES: Mapping[str, Made] = MappingProxyType(
    {
        "fingerprint": lambda settings, state: Fleet(settings.environment, state),
        "probe": lambda settings, state: Endpoints(settings.probe_checks, state),
    }
)


class EnvironmentTask:
    """Watches all instances that report on the environment topic."""

    def __init__(self, settings: EnvironmentSettings) -> None:
        self.number = settings.number
        """Of the partition that its state is on."""
        self._settings = settings
        self._written: set[str] = set()
        self._begin({})

    @property
    def turns(self) -> list[Turn]:
        """The latest begun and ended changes, in the order in which they were found, each once.

        Among them are those that were no trouble, and hence no alert: a deployment that has gone through.
        """
        return [*self._turns]

    def step(self, batch: Batch) -> list[Output]:
        """Take records of the topic; return alerts, and records that cannot be used."""
        outputs: list[Output] = []
        for place in range(len(batch)):
            try:
                outputs += self._take(batch, place)
            except ValueError as error:
                self.counts["rejected"] += 1
                outputs.append(rejected(batch, place, str(error)))
        return outputs

    def refill(self, batch: Batch) -> None:
        """Take records from before the snapshot: of these all is in it."""

    def snapshot(self, position: int) -> list[Output]:
        """What makes a task of this state again: what all have in common only where it is new."""
        states = {name: judge.snapshot() for name, judge in self._judges.items()}
        outputs: list[Output] = []
        sets = states["fingerprint"].pop("sets")
        for digest in [*self._written]:
            if digest not in sets:
                self._written.remove(digest)
                outputs.append(self._state(_SET + digest, None))
        for digest, facts in sets.items():
            if digest not in self._written:
                self._written.add(digest)
                outputs.append(self._state(_SET + digest, facts))
        head = {
            "position": position,
            "judges": states,
            "clock": self._clock.snapshot(),
            "episodes": self._episodes.snapshot(),
            "turns": [list(turn) for turn in self._turns],
            "counts": self.counts,
        }
        return [*outputs, self._state("head", head)]

    def restore(self, records: Sequence[tuple[bytes | None, bytes | None]]) -> Resume | None:
        """From the partition's state records, oldest first; returns where to read on, None where there is no snapshot.

        Records with other keys than ours are passed over. Raises `ValueError` where one of ours is of another version.
        """
        latest = {key: value for key, value in records if key is not None and key.startswith(ENVIRONMENT)}
        found: dict[str, Any] = {}
        for key, value in latest.items():
            if value is None:
                continue
            record = orjson.loads(value)
            if record.get("v") != _STATE_VERSION:
                raise ValueError(f"state of version {_STATE_VERSION} expected, got {record.get('v')!r}")
            found[key[len(ENVIRONMENT) :].decode()] = record["state"]
        head = found.pop("head", None)
        # Also what no head refers to: a commit of the one is a commit of the other, but who knows what else wrote.
        self._written = {name.removeprefix(_SET) for name in found}
        if head is None:
            return None
        sets = {name.removeprefix(_SET): facts for name, facts in found.items()}
        fleet = head["judges"]["fingerprint"]
        used = {each[3] for each in fleet["instances"]}
        fleet["sets"] = {digest: sets[digest] for digest in sets if digest in used}
        self._begin(head)
        return Resume(head["position"], head["position"])

    def _begin(self, head: dict[str, Any]) -> None:
        states = head.get("judges", {})
        self._judges = {name: made(self._settings, states.get(name)) for name, made in JUDGES.items()}
        self._clock = Clock(head.get("clock"))
        self._episodes = Episodes(self._settings.cooldown_ms, head.get("episodes"))
        self._turns = deque((Turn(*each) for each in head.get("turns", ())), _TURNS)
        self.counts: dict[str, int] = head.get("counts") or {"taken": 0, "rejected": 0, "alerts": 0}

    def _take(self, batch: Batch, place: int) -> list[Output]:
        stamp_ms = int(batch.timestamps[place])
        if not 0 <= stamp_ms <= TIME_MAX_MS:
            raise Unreadable(f"timestamp {stamp_ms} is no time")
        record = document_of(batch.values[place], self._settings.record_bytes)
        kind = record.get("type")
        judge = self._judges.get(kind) if type(kind) is str else None
        if judge is None:
            raise Unreadable(f"field 'type' must be {' or '.join(map(repr, self._judges))}")
        # What cannot be used must not move time, so it is judged first by a time that is not kept.
        clock = Clock(self._clock.snapshot())
        time_ms = clock.take(stamp_ms)
        changes = judge.take(time_ms, record)
        self._clock = clock
        self.counts["taken"] += 1
        where = batch.source.topic, batch.source.partition, int(batch.offsets[place])
        outputs: list[Output] = []
        for change in changes:
            self._turn(change, time_ms)
            outputs += [self._alert(each, time_ms, where) for each in self._episodes.take(change, time_ms)]
        return outputs + [self._alert(each, time_ms, where) for each in self._episodes.wait(time_ms)]

    def _turn(self, change: Change, time_ms: int) -> None:
        last = next((turn for turn in reversed(self._turns) if turn.subject == change.subject), None)
        if last is None or not (change.is_wrong and last.is_wrong):
            self._turns.append(Turn(time_ms, change.since_ms, change.subject, change.is_wrong, change.told))

    def _alert(self, told: Told, time_ms: int, where: tuple[str, int, int]) -> Output:
        environment = self._settings.environment
        alert = alert_of(told, {"monitor": environment.name, "severity": environment.severity}, time_ms, where)
        self.counts["alerts"] += 1
        return alert.output(self._settings.alert_source, is_structured=self._settings.has_structured_alerts)

    def _state(self, name: str, state: Any) -> Output:
        value = None if state is None else orjson.dumps({"v": _STATE_VERSION, "state": state})
        return Output(Stream.STATE, ENVIRONMENT + name.encode(), value, self._settings.number)
