"""What ends a worker that no longer works, so that whoever started it starts it again.

A partition that stalls is found by the loop itself. A loop that hangs is found by a thread beside it, since
neither a commit nor anything else of the client is sure to return.
"""

import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from streamguard.config import Config
from streamguard.core.records import TopicPartition
from streamguard.errors import LogError, UnusableError
from streamguard.logs.interface import Session
from streamguard.worker.status import Board, Phase, Pulse

_log = structlog.get_logger("streamguard.worker")

EXIT_CODE = UnusableError.exit_code
# A client gives up by itself within 30 s, and that is mended without a new process.
_COMMIT_MARGIN_S = 50.0
# An embedded log has no transaction timeout; SQLite waits up to 30 s for another writer.
_EMBEDDED_COMMIT_S = 10.0
_BROKER_S = 300.0
_CHECK_S = 1.0
# Between two looks of a process that was not stopped itself.
_GAP_S = 10.0


class StalledError(UnusableError):
    """A partition brings no records although there are some, and joining the group again did not mend it."""


class Place(NamedTuple):
    """Where reading of a partition stands, and how far it could go."""

    position: int
    end: int


class Stalls:
    """Finds partitions that are behind their end and do not move. Times are of a clock that never goes back."""

    def __init__(self, after_ms: int | None) -> None:
        self._after_s = None if after_ms is None else after_ms / 1000
        self.count = 0
        """Stalls so far."""
        self._at: dict[TopicPartition, int] = {}
        self._since_s: dict[TopicPartition, float] = {}
        self._looked_s = 0.0
        self._stalled_at: dict[TopicPartition, int] = {}

    def reset(self) -> None:
        """Forget for how long nothing moved: the assignment changed, or what is read."""
        self._at.clear()
        self._since_s.clear()

    def suspects(self, places: Mapping[TopicPartition, Place], now_s: float) -> dict[TopicPartition, float]:
        """Those that have stood behind their end for too long, with the seconds. `places`: what is being read."""
        if self._after_s is None:
            return {}
        if now_s - self._looked_s > self._after_s / 2:
            self.reset()  # nobody looked, so nobody read
        self._looked_s = now_s
        for partition in self._at.keys() - places.keys():
            self.moved(partition)
        for partition, place in places.items():
            if place.position >= place.end or self._at.get(partition) != place.position:
                self._at[partition] = place.position
                self._since_s[partition] = now_s
        stood = {partition: now_s - self._since_s[partition] for partition in places}
        return {partition: seconds for partition, seconds in stood.items() if seconds >= self._after_s}

    def moved(self, partition: TopicPartition) -> None:
        """It is no stall after all."""
        self._at.pop(partition, None)
        self._since_s.pop(partition, None)

    def check(self, session: Session, places: Mapping[TopicPartition, Place], now_s: float) -> None:
        """Look whether a partition stalls.

        Raises `LogError`, after which a new session may read on, and `StalledError` where one has not.
        """
        for partition, seconds in self.suspects(places, now_s).items():
            position, end = session.position(partition), session.ends([partition])[partition]
            if position >= end or position > places[partition].position:
                # Only a gap lies there, or a transaction that is still open.
                self.moved(partition)
                continue
            name = f"{partition.topic}-{partition.partition}"
            _log.error("consumer_stalled", partition=name, position=position, end=end, seconds=round(seconds))
            self.count += 1
            is_repeated = position <= self._stalled_at.get(partition, -1)
            self._stalled_at[partition] = position
            words = f"{name}: nothing was read at offset {position} for {seconds:.0f} s, and there is more up to {end}"
            if is_repeated:
                raise StalledError(f"{words}, again after joining anew: look at the broker, and start the worker again")
            raise LogError(words)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the loop may be in one phase, in seconds."""

    commit_s: float
    hung_s: float | None

    @staticmethod
    def of(config: Config) -> "Limits":
        """Those that follow from the settings."""
        log, hung_ms = config.log, config.watchdog.hung_after_ms
        transaction_s = log.transaction_timeout_ms / 1000 if log.kind == "kafka" else _EMBEDDED_COMMIT_S
        return Limits(transaction_s + _COMMIT_MARGIN_S, None if hung_ms is None else hung_ms / 1000)

    def of_phase(self, phase: Phase) -> float | None:
        """After so long the process ends; None: never."""
        return self.commit_s if phase is Phase.COMMITTING else self.hung_s

    def is_alive(self, pulse: Pulse, now_s: float) -> bool:
        """Whether the loop still ticks. Opening a session and its tasks may wait for a broker, the rest may not."""
        waits = pulse.phase in {Phase.STARTING, Phase.JOINING, Phase.ASSIGNING, Phase.LEAVING}
        return now_s - pulse.since_s <= (max(self.commit_s, self.hung_s or _BROKER_S) if waits else self.commit_s)


class Hangs:
    """Decides, by what it sees at each look, whether the loop hangs."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pulse: Pulse | None = None
        self._since_s = 0.0
        self._looked_s = 0.0

    def overdue_s(self, pulse: Pulse, now_s: float) -> float | None:
        """For how long the loop has been in a phase, where that is too long.

        Time in which this did not look either does not count: the process was stopped, and the loop with it.
        """
        if pulse != self._pulse or now_s - self._looked_s > _GAP_S:
            self._pulse, self._since_s = pulse, now_s
        self._looked_s = now_s
        limit_s = self._limits.of_phase(pulse.phase)
        stood_s = now_s - self._since_s
        return stood_s if limit_s is not None and stood_s > limit_s else None


@contextmanager
def watched(board: Board, limits: Limits, end: Callable[[int], object], check_s: float = _CHECK_S) -> Iterator[None]:
    """Have a thread look at the loop of this thread, and call `end` with the exit code when it hangs."""
    done, loop, hangs = threading.Event(), threading.get_ident(), Hangs(limits)

    def watch() -> None:
        while not done.wait(check_s):
            pulse = board.pulse
            overdue_s = hangs.overdue_s(pulse, board.now_s())
            if overdue_s is not None:
                _tell(pulse, overdue_s, loop)
                end(EXIT_CODE)
                return

    thread = threading.Thread(target=watch, name="streamguard-watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _tell(pulse: Pulse, overdue_s: float, loop: int) -> None:
    frame = sys._current_frames().get(loop)  # noqa: SLF001 - the documented way to another thread's stack
    at = [f"{each.filename}:{each.lineno} {each.name}" for each in traceback.extract_stack(frame)[-12:]]
    event = "commit_overdue" if pulse.phase is Phase.COMMITTING else "loop_hung"
    _log.error(event, phase=pulse.phase.value, seconds=round(overdue_s), stack=at)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
