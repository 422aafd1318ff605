"""Outcomes topics to watch, and a monitor task that is led along one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from streamguard.core.monitor import MonitorTask
from streamguard.core.records import Output, Stream
from streamguard.worker.topology import Topology
from tests.core.helpers import batch
from tests.laws.joining import MOVES, RULES, Logs, matching_logs, walk

SOURCES = 2

Moves = list[tuple[int, int]]


@dataclass(slots=True)
class Watching:
    """A monitor task on its way along its outcomes partition."""

    records: Sequence[bytes | None]
    settings: Topology
    number: int = 0
    task: MonitorTask = field(init=False)
    position: int = 0
    outputs: list[Output] = field(default_factory=list)
    """All alerts and rejected records so far."""
    state: dict[bytes | None, bytes | None] = field(default_factory=dict)
    """The state topic as compaction leaves it."""

    def __post_init__(self) -> None:
        self.task = MonitorTask(self.number, self.settings.monitor)

    def go(self, count: int) -> None:
        """Step over so many outcomes records."""
        self.outputs += self._read(self.position, self.position + count)
        self.position = min(self.position + count, len(self.records))

    def _read(self, start: int, end: int) -> list[Output]:
        return self.task.step(batch(self.records[start:end], topic="outcomes", start=start))

    def snapshot(self) -> None:
        """Write the state as it is now."""
        self.state |= {output.key: output.value for output in self.task.snapshot(self.position)}

    def restart(self, pieces: Sequence[int]) -> None:
        """Forget the task, and bring it back from the state topic, reading again in these pieces."""
        self.task = MonitorTask(self.number, self.settings.monitor)
        resume = self.task.restore(list(self.state.items()))
        at, known = (0, 0) if resume is None else (resume.low, resume.position)
        for piece in [*pieces, len(self.records)]:
            end = min(at + piece, known)
            if end > at:
                self.task.refill(batch(self.records[at:end], topic="outcomes", start=at))
                at = end
        for piece in [*pieces, len(self.records)]:
            end = min(at + piece, self.position)
            self._read(at, end)
            at = end

    def remembered(self) -> dict[Any, Any]:
        """Everything the task knows, as it would be written."""
        task = self.task
        return {
            "segments": {key: segment.snapshot() for key, segment in task._watching.segments.items()},
            "merge": task.merge.snapshot(),
            "held": task.merge.held_count,
            "low": task.merge.low(self.position),
            "trail": task._trail.snapshot(),
            "counts": task.counts,
            **task._watching.snapshot(),
        }


def alerts(outputs: Sequence[Output]) -> list[Output]:
    """The alerts alone."""
    return [output for output in outputs if output.stream is Stream.ALERTS]


@dataclass(frozen=True, slots=True)
class Joins:
    """The logs of all input partitions; the rules are those of the first."""

    logs: tuple[Logs, ...]
    targets: int

    def settings(self) -> Topology:
        return self.logs[0].settings(SOURCES, self.targets)

    def outcomes(self, moves: Sequence[Moves], target: int) -> list[list[bytes | None]]:
        """What each join task writes to one outcomes partition."""
        settings = self.settings()
        pairs = zip(self.logs, moves, strict=True)
        walks = [walk(each, way, settings, number) for number, (each, way) in enumerate(pairs)]
        return [
            [o.value for o in each.outputs if o.stream is Stream.OUTCOMES and o.partition == target] for each in walks
        ]


JOINS = RULES.flatmap(lambda rules: st.builds(Joins, st.tuples(*[matching_logs(rules)] * SOURCES), st.integers(1, 2)))
WAYS = st.tuples(*[MOVES] * SOURCES)

ORDER = st.lists(st.integers(0, SOURCES - 1), max_size=60)
"""Which source's next record comes next on the outcomes topic."""


def interleaved(records: Sequence[Sequence[bytes | None]], order: Sequence[int]) -> list[bytes | None]:
    """One outcomes partition: each source's records in its own order, mixed as `order` says."""
    rest = [list(each) for each in records]
    found = [rest[source].pop(0) for source in order if rest[source]]
    return found + [record for each in rest for record in each]
