"""Records of the outcomes topic in; outcomes in the total order out, by the stream that each is of."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamguard.config import Monitor
from streamguard.core.arrivals.watching import ArrivalSettings, ArrivalWatching
from streamguard.core.features.gathering import Gathering, Shape
from streamguard.core.features.reference import Reference
from streamguard.core.fields import TIME_MAX_MS
from streamguard.core.merge import Merge
from streamguard.core.outcomes import OutcomeRecord, Outcomes, read_outcomes
from streamguard.core.records import Batch, Output
from streamguard.core.rejected import rejected
from streamguard.core.waiting import Ints, pane_ends

# Names of streams remembered, watched or not: a split by request ID must not fill the memory.
_STREAMS_MAX = 100_000

StreamKey = tuple[str, tuple[str | None, ...]]
"""A monitor's name, and the values of the fields it splits by."""


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """What a monitor task needs to know."""

    monitors: Sequence[Monitor]
    source_count: int
    predictions_topic: str
    labels_topic: str
    cooldown_ms: int
    alert_source: str
    budget_per_month: float
    """False alarms of all budgeted detectors together."""
    reach_ms: tuple[int, int]
    """The join's window, and how long after a prediction its label may come."""
    has_structured_alerts: bool = False
    """Whether alerts are published as CloudEvents in structured mode."""
    references: Mapping[str, Reference] = field(default_factory=dict)
    """By name of the monitor: what its predictions are held against."""
    arrivals: Mapping[int, ArrivalSettings] = field(default_factory=dict)
    """By input (0: predictions, 1: labels): what is told of all that arrives."""

    @property
    def share(self) -> float:
        """The budget a month of each budgeted detector, those of what predictions carry included."""
        counts = (len(monitor.budgeted) + (monitor.name in self.references) for monitor in self.monitors)
        return self.budget_per_month / max(1, sum(counts) + contracts_in(self.arrivals))


def contracts_in(arrivals: Mapping[int, ArrivalSettings]) -> int:
    """How many contracts share the budget."""
    return sum(each.contract is not None for each in arrivals.values())


@dataclass(frozen=True, slots=True)
class Group:
    """What one stream has of some rows."""

    key: StreamKey
    places: NDArray[np.intp]
    """Of its rows among all of them."""
    rows: Outcomes


class Intake:
    """Holds what comes until all sources have passed it."""

    def __init__(self, settings: MonitorSettings, arrivals: Sequence[ArrivalWatching] = ()) -> None:
        """`arrivals`: who else is told of each record."""
        self._arrivals = arrivals
        self.merge = Merge(settings.source_count)
        split = {monitor.name: len(monitor.split_by) for monitor in settings.monitors}
        shapes = {
            name: Shape(each.fingerprint, each.size, each.window_ms, split[name])
            for name, each in settings.references.items()
        }
        self.gathering = Gathering(settings.source_count, shapes)
        """Of what predictions carry."""
        self._settings = settings
        self._in_cohorts = {monitor.name for monitor in settings.monitors if monitor.cohorts}
        self._numbers: dict[StreamKey, int] = {}
        self._keys: list[StreamKey] = []
        self._keys_max = _STREAMS_MAX
        self.counts = {"outcomes": 0, "released": 0, "rejected": 0}

    def take(self, batch: Batch) -> list[Output]:
        """Take records of the outcomes topic; returns those that are no outcomes."""
        outputs = []
        for index, value in enumerate(batch.values):
            try:
                record = self._checked(read_outcomes(value))
            except ValueError as reason:
                self.counts["rejected"] += 1
                outputs.append(rejected(batch, index, str(reason)))
                continue
            rows = self._rows(record)
            self.counts["outcomes"] += sum(map(len, rows))
            offset = int(batch.offsets[index])
            self.merge.add(record, rows, offset)
            self.gathering.take(record, offset)
            for each in self._arrivals:
                each.take(record, offset)
        return outputs

    def refill(self, batch: Batch) -> None:
        """Take records from before a snapshot: only what was held then is held again."""
        for index, value in enumerate(batch.values):
            try:
                record = self._checked(read_outcomes(value))
            except ValueError:
                continue  # it was rejected when it came
            late_count, counts = self.merge.late_count, dict(self.gathering.counts)
            self.merge.refill(self._rows(record), int(batch.offsets[index]))
            self.gathering.refill(record, int(batch.offsets[index]))
            for each in self._arrivals:
                each.refill(record, int(batch.offsets[index]))
            self.merge.late_count, self.gathering.counts = late_count, counts

    def release(self) -> Iterator[tuple[Outcomes, list[Group]]]:
        """What all sources have passed, a piece at a time, and what each stream has of it; first rows first."""
        for rows in self.merge.release():
            self.counts["released"] += len(rows)
            yield rows, [self._group(rows, places) for places in _places(rows.stream)]
        if len(self._keys) > self._keys_max:
            self._forget_streams()

    def low(self, position: int) -> int:
        """The first offset that something held is from; `position` where nothing is."""
        lows = self.merge.low(position), self.gathering.low(position)
        return min(*lows, *(each.low(position) for each in self._arrivals))

    def restore(self, merge: dict[str, Any], gathering: dict[str, Any] | None) -> None:
        """As the one was whose these were; raises `ValueError` where that had other partitions."""
        if len(merge["watermarks"]) != self._settings.source_count:
            raise ValueError(
                f"the state is of {len(merge['watermarks'])} input partitions,"
                f" there are {self._settings.source_count} now"
            )
        self.merge.restore(merge)
        if gathering is not None:
            self.gathering.restore(gathering)

    def _group(self, rows: Outcomes, places: NDArray[np.intp]) -> Group:
        return Group(self._keys[int(rows.stream[places[0]])], places, rows.take(places))

    def _checked(self, record: OutcomeRecord) -> OutcomeRecord:
        if record.sources != self._settings.source_count:
            raise ValueError(
                f"an outcome of {record.sources} input partitions, there are {self._settings.source_count}:"
                " the number of partitions changed; see docs/operations.md"
            )
        return record

    def _rows(self, record: OutcomeRecord) -> list[Outcomes]:
        """The record's rows, with this task's own stream numbers."""
        result = []
        for name, segments, rows in record.blocks:
            table = np.array([self._number((name, values)) for values in segments], dtype=np.int64)
            rows.stream = table[rows.stream]
            if name in self._in_cohorts:
                rows.time = horizons(rows, self._settings.reach_ms)
            result.append(rows)
        return result

    def _forget_streams(self) -> None:
        """Keep the names of the streams that held outcomes are of."""
        kept = self.merge.renumber()
        self._keys = [self._keys[number] for number in kept]
        self._numbers = {key: number for number, key in enumerate(self._keys)}
        self._keys_max = max(_STREAMS_MAX, 2 * len(self._keys))

    def _number(self, key: StreamKey) -> int:
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._keys)
            self._keys.append(key)
        return number


def horizons(rows: Outcomes, reach_ms: tuple[int, int]) -> Ints:
    """When each prediction's label could come no more: as the join task tells it of one that has expired.

    `reach_ms`: of `MonitorSettings`. A monitor of cohorts takes it for the outcome's time; shape (rows,), epoch ms.
    """
    window_ms, after_ms = reach_ms
    return np.minimum(pane_ends(rows.prediction_time, window_ms) + after_ms, TIME_MAX_MS)


def _places(streams: Ints) -> list[NDArray[np.intp]]:
    """The places of each stream's rows, streams in order of their first row."""
    order = np.argsort(streams, kind="stable")
    ordered = streams[order]
    ends = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    groups = np.split(order, ends)
    return sorted(groups, key=lambda places: int(places[0]))
