"""The monitor task: the outcomes of one partition, in event-time order, through every monitor's checks.

Its state is a snapshot now and then on a compacted topic, one record a monitored stream, and what has come
on the outcomes topic since: reading that again, with the output suppressed, gives the same state.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from streamguard.config import Monitor
from streamguard.core.alerts import Alert, Status
from streamguard.core.budget import Flow
from streamguard.core.detectors import Direction
from streamguard.core.explaining import leading, told
from streamguard.core.fields import TIME_MAX_MS
from streamguard.core.merge import Merge
from streamguard.core.outcomes import NO_SOURCE, OutcomeRecord, Outcomes, read_outcomes
from streamguard.core.records import Batch, Output, Stream
from streamguard.core.rejected import rejected
from streamguard.core.segment import Segment
from streamguard.core.trail import Trail
from streamguard.core.waiting import Ints, pane_ends

_STATE_VERSION = 1
# Names of streams remembered, watched or not: a split by request ID must not fill the memory.
_STREAMS_MAX = 100_000

_NO_TIMES = np.empty(0, np.int64)

StreamKey = tuple[str, tuple[str | None, ...]]


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


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a restored task goes on: read again from `low`; what is before `position` is in the snapshot."""

    low: int
    position: int


@dataclass(slots=True)
class _Part:
    """What one stream has of some rows."""

    name: str
    """Of the monitor."""
    segment: Segment
    places: NDArray[np.intp]
    rows: Outcomes
    is_whole: bool = False
    taken: int = 0


class MonitorTask:
    """Watches every stream whose outcomes come on one outcomes partition."""

    def __init__(self, number: int, settings: MonitorSettings) -> None:
        self.number = number
        self._settings = settings
        self._monitors = {monitor.name: monitor for monitor in settings.monitors}
        self._merge = Merge(settings.source_count)
        self._trail = Trail()
        self._numbers: dict[StreamKey, int] = {}
        self._keys: list[StreamKey] = []
        self._keys_max = _STREAMS_MAX
        self._segments: dict[StreamKey, Segment] = {}
        self._flows = _flows(settings)
        self._silent = {each.name for each in settings.monitors if each.no_data_after_ms is not None}
        self.counts = {"outcomes": 0, "released": 0, "unwatched": 0, "rejected": 0, "alerts": 0}
        self._full: set[str] = set()
        self._sizes: Counter[str] = Counter()
        self._obsolete: list[bytes] = []

    @property
    def merge(self) -> Merge:
        """What is held, and by whom."""
        return self._merge

    @property
    def has_obsolete(self) -> bool:
        """Whether state of monitors that are gone, or mean something else now, is still to be deleted."""
        return bool(self._obsolete)

    @property
    def segment_count(self) -> int:
        """Monitored streams so far."""
        return len(self._segments)

    def promises(self) -> Counter[str]:
        """How many budgeted detectors promise what: see `Budgeted.promise`."""
        return Counter(each for segment in self._segments.values() for each in segment.promises())

    def step(self, batch: Batch) -> list[Output]:
        """Take records of the outcomes topic; return alerts, and records that are no outcomes."""
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
            self._merge.add(record, rows, int(batch.offsets[index]))
        for released in self._merge.release():
            outputs += self._watch(released)
        outputs += self._wait(self._merge.released_ms)
        if len(self._keys) > self._keys_max:
            self._forget_streams()
        return outputs

    def refill(self, batch: Batch) -> None:
        """Take records from before the snapshot: only what was held then is held again."""
        for index, value in enumerate(batch.values):
            try:
                record = self._checked(read_outcomes(value))
            except ValueError:
                continue  # it was rejected when it came
            late_count = self._merge.late_count
            self._merge.refill(self._rows(record), int(batch.offsets[index]))
            self._merge.late_count = late_count

    def snapshot(self, position: int) -> list[Output]:
        """What has changed since the last snapshot, and the head that makes it one, at `position`."""
        outputs = [Output(Stream.STATE, key, None, self.number) for key in self._obsolete]
        self._obsolete = []
        for (name, values), segment in self._segments.items():
            if segment.is_changed:
                segment.is_changed = False
                meaning = _meaning(self._monitors[name])
                outputs.append(self._state({"monitor": name, "segment": values}, segment.snapshot(), meaning))
        head = {
            "position": position,
            "low": self._merge.low(position),
            "merge": self._merge.snapshot(),
            "trail": self._trail.snapshot(),
            "counts": self.counts,
            "full": sorted(self._full),
            "flows": {name: flow.snapshot() for name, flow in self._flows.items()},
        }
        outputs.append(self._state({}, head))
        return outputs

    def restore(self, records: Sequence[tuple[bytes | None, bytes | None]]) -> Resume | None:
        """From this partition's state records, oldest first; None where there is no snapshot.

        Raises `ValueError` where a record is of another version, or of other partitions.
        """
        latest = {key: value for key, value in records if key is not None}
        head: dict[str, Any] | None = None
        for key, value in latest.items():
            if value is None:
                continue  # deleted
            found = orjson.loads(value)
            version = found.get("v") if type(found) is dict else None
            if version != _STATE_VERSION:
                raise ValueError(f"state of version {_STATE_VERSION} expected, got {version!r}")
            if found["stream"] == {}:
                head = found["state"]
                continue
            name, values = found["stream"]["monitor"], tuple(found["stream"]["segment"])
            monitor = self._monitors.get(name)
            is_wanted = monitor is not None and (bool(values) or monitor.whole or not monitor.split_by)
            if monitor is not None and is_wanted and found["meaning"] == _meaning(monitor):
                state = found["state"]
                self._segments[name, values] = self._made(monitor, values, state)
            else:
                # Else it would be gone on from when the setting is changed back.
                self._obsolete.append(key)
        if head is None:
            self._segments.clear()
            return None
        self._sizes.update(name for name, values in self._segments if values or not self._monitors[name].whole)
        if len(head["merge"]["watermarks"]) != self._settings.source_count:
            raise ValueError(
                f"the state is of {len(head['merge']['watermarks'])} input partitions,"
                f" there are {self._settings.source_count} now"
            )
        self._merge.restore(head["merge"])
        self._trail = Trail(head["trail"])
        self.counts = head["counts"]
        self._full = set(head["full"])
        for name, flow in self._flows.items():
            flow.restore(head.get("flows", {}).get(name), sum(each == name for each, _ in self._segments))
        return Resume(head["low"], head["position"])

    def _state(self, stream: dict[str, Any], state: dict[str, Any], meaning: dict[str, Any] | None = None) -> Output:
        record = {"v": _STATE_VERSION, "stream": stream, "meaning": meaning, "state": state}
        key = orjson.dumps([self.number, stream], option=orjson.OPT_SORT_KEYS)
        return Output(Stream.STATE, key, orjson.dumps(record), self.number)

    def _checked(self, record: OutcomeRecord) -> OutcomeRecord:
        if record.sources != self._settings.source_count:
            raise ValueError(
                f"an outcome of {record.sources} input partitions, there are {self._settings.source_count}:"
                " the number of partitions changed; see docs/operations.md"
            )
        return record

    def _rows(self, record: OutcomeRecord) -> list[Outcomes]:
        """The record's rows, with the task's own stream numbers."""
        result = []
        for name, segments, rows in record.blocks:
            table = np.array([self._number((name, values)) for values in segments], dtype=np.int64)
            rows.stream = table[rows.stream]
            monitor = self._monitors.get(name)
            if monitor is not None and monitor.cohorts:
                rows.time = self._horizons(rows)
            result.append(rows)
        return result

    def _horizons(self, rows: Outcomes) -> Ints:
        """When each prediction's label could come no more: as the join task tells it of one that has expired."""
        window_ms, after_ms = self._settings.reach_ms
        return np.minimum(pane_ends(rows.prediction_time, window_ms) + after_ms, TIME_MAX_MS)

    def _forget_streams(self) -> None:
        """Keep the names of the streams that held outcomes are of."""
        kept = self._merge.renumber()
        self._keys = [self._keys[number] for number in kept]
        self._numbers = {key: number for number, key in enumerate(self._keys)}
        self._keys_max = max(_STREAMS_MAX, 2 * len(self._keys))

    def _number(self, key: StreamKey) -> int:
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._keys)
            self._keys.append(key)
        return number

    def _watch(self, rows: Outcomes) -> list[Output]:
        self.counts["released"] += len(rows)
        found: list[tuple[int, Alert]] = []
        until_ms = int(rows.time[-1])
        for flow in self._flows.values():
            flow.begin(int(rows.time[0]))
        parts = self._parts(rows, found)
        # Only now: the budget of each depends on when the others have appeared.
        wholes = [
            (part.places[index], alert)
            for part in parts
            if part.is_whole
            for index, alert in self._step(part, len(rows))
        ]
        found += [(int(place), alert) for place, alert in wholes]
        for place, alert in [*sorted(wholes, key=lambda pair: int(pair[0])), (len(rows), None)]:
            for part in parts:
                if not part.is_whole:
                    found += [(int(part.places[index]), each) for index, each in self._step(part, int(place))]
            # As of its row: what the segments had come to by then.
            if alert is not None and alert.onset_ms is not None:
                self._explain(alert, alert.onset_ms)
        for flow in self._flows.values():
            flow.settle(until_ms)
        silences = self._silences({id(part.segment): part.rows.time for part in parts}, until_ms)
        # At the first outcome that is later; before what that one says.
        found = [(int(np.searchsorted(rows.time, time_ms, "right")), each) for time_ms, each in silences] + found
        self.counts["alerts"] += len(found)
        return self._traced(rows, sorted(found, key=lambda pair: pair[0]))

    def _parts(self, rows: Outcomes, found: list[tuple[int, Alert]]) -> "list[_Part]":
        """The rows of each stream that is watched, those of a whole last."""
        parts: list[_Part] = []
        of_whole: dict[str, list[NDArray[np.intp]]] = {}
        for places in _groups(rows.stream):
            key = self._keys[int(rows.stream[places[0]])]
            monitor = self._monitors.get(key[0])
            if monitor is not None and monitor.whole:
                # Before its first segment, so that all appear in order.
                self._whole(monitor, int(rows.time[places[0]]))
                of_whole.setdefault(monitor.name, []).append(places)
            part = rows.take(places)
            segment = self._segment(key, part, int(places[0]), found)
            if segment is None:
                self.counts["unwatched"] += len(part)
            else:
                parts.append(_Part(key[0], segment, places, part))
        for name, groups in of_whole.items():
            places = np.sort(np.concatenate(groups))
            parts.append(_Part(name, self._segments[name, ()], places, rows.take(places), is_whole=True))
        return parts

    def _whole(self, monitor: Monitor, time_ms: int) -> None:
        """All segments together, made on first sight; it is none of `max_segments`."""
        if (monitor.name, ()) not in self._segments:
            self._segments[monitor.name, ()] = self._made(monitor, ())
            if monitor.name in self._flows:
                self._flows[monitor.name].appear(time_ms)

    def _step(self, part: "_Part", last: int) -> list[tuple[int, Alert]]:
        """Take its rows up to the place `last`; each alert with the index of its row within the part."""
        start, end = part.taken, int(np.searchsorted(part.places, last, "right"))
        if start == end:
            return []
        part.taken = end
        rows = part.rows.take(slice(start, end))
        given = self._flows[part.name].at(rows.time) if part.name in self._flows else None
        return [(start + place, alert) for place, alert in part.segment.step(rows, given)]

    def _explain(self, alert: Alert, onset_ms: int) -> None:
        if alert.status is Status.RESOLVED or alert.direction is Direction.BETTER:
            return
        levels = [
            each.levels(onset_ms) for (name, values), each in self._segments.items() if name == alert.monitor and values
        ]
        alert.segments = leading(levels)
        alert.look_first = [*map(told, alert.segments), *alert.look_first]

    def _wait(self, until_ms: int) -> list[Output]:
        """All outcomes before that time have come."""
        found = self._silences({}, until_ms)
        self.counts["alerts"] += len(found)
        return [each.output(self._settings.alert_source) for _, each in found]

    def _silences(self, parts: dict[int, Ints], until_ms: int) -> list[tuple[int, Alert]]:
        """Which streams were silent for too long, or are no more, in order of event time."""
        if not self._silent:
            return []
        found = [
            (time_ms, key, alert)
            for key, segment in self._segments.items()
            if key[0] in self._silent
            for time_ms, alert in segment.silences(parts.get(id(segment), _NO_TIMES), until_ms)
        ]
        return [(time_ms, alert) for time_ms, _, alert in sorted(found, key=lambda each: (each[0], repr(each[1])))]

    def _made(self, monitor: Monitor, values: tuple[str | None, ...], state: dict[str, Any] | None = None) -> Segment:
        settings = self._settings
        return Segment(monitor, values, settings.cooldown_ms, state, budget=settings.budget_per_month)

    def _segment(self, key: StreamKey, part: Outcomes, place: int, found: list[tuple[int, Alert]]) -> Segment | None:
        """The stream's segment, made on first sight while the monitor has room."""
        segment = self._segments.get(key)
        monitor = self._monitors.get(key[0])
        if segment is not None or monitor is None or len(monitor.split_by) != len(key[1]):
            return segment
        if self._sizes[monitor.name] < monitor.max_segments:
            self._sizes[monitor.name] += 1
            segment = self._segments[key] = self._made(monitor, key[1])
            if monitor.name in self._flows:
                self._flows[monitor.name].appear(int(part.time[0]))
        elif monitor.name not in self._full:
            self._full.add(monitor.name)
            found.append((place, _full_alert(monitor, key, part)))
        return segment

    def _traced(self, rows: Outcomes, found: list[tuple[int, Alert]]) -> list[Output]:
        """Give each alert the input offsets behind it, known as of the row that set it off."""
        outputs = []
        done = 0
        for place, alert in found:
            if alert.trigger[1] == NO_SOURCE:
                outputs.append(alert.output(self._settings.alert_source))
                continue
            self._trail.add(rows.take(slice(done, place + 1)))
            done = max(done, place + 1)
            since_ms = alert.event_time_ms if alert.onset_ms is None else alert.onset_ms
            ranges = self._trail.ranges(min(since_ms, alert.event_time_ms), alert.event_time_ms)
            ordered = sorted(ranges.items(), key=lambda item: int(item[0]))
            alert.source = {
                self._settings.predictions_topic: {source: [each[0], each[1] + 1] for source, each in ordered},
                self._settings.labels_topic: {
                    source: [each[2], each[3] + 1] for source, each in ordered if each[2] >= 0
                },
            }
            outputs.append(alert.output(self._settings.alert_source))
        self._trail.add(rows.take(slice(done, len(rows))))
        return outputs


def _flows(settings: MonitorSettings) -> dict[str, Flow]:
    """The budget of each monitor that has budgeted detectors, for each of these."""
    counts = {monitor.name: len(monitor.budgeted) for monitor in settings.monitors}
    share = settings.budget_per_month / max(1, sum(counts.values()))
    return {name: Flow(share) for name, count in counts.items() if count}


def _meaning(monitor: Monitor) -> dict[str, Any]:
    """What a monitor's state is about: that of another meaning is not gone on from."""
    fields = monitor.model_dump(mode="json", include={"match", "split_by", "loss", "positive", "cohorts"})
    return {**fields, "match": sorted(map(list, fields["match"].items()))}


def _groups(streams: "np.ndarray[Any, np.dtype[np.int64]]") -> list["np.ndarray[Any, np.dtype[np.intp]]"]:
    """The places of each stream's rows, streams in order of their first row."""
    order = np.argsort(streams, kind="stable")
    ordered = streams[order]
    ends = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    groups = np.split(order, ends)
    return sorted(groups, key=lambda places: int(places[0]))


def _full_alert(monitor: Monitor, key: StreamKey, part: Outcomes) -> Alert:
    what = f"monitor {monitor.name!r} watches {monitor.max_segments} segments already, and this is one more"
    trigger = part.time, part.source, part.prediction_offset, part.label_offset
    alert = Alert(
        status=Status.RAISED,
        kind="segments_full",
        severity="warning",
        monitor=monitor.name,
        segment=dict(zip(monitor.split_by, key[1], strict=True)),
        model=None,
        version=None,
        check={"type": "segments", "max_segments": monitor.max_segments},
        event_time_ms=int(part.time[0]),
        trigger=tuple(int(column[0]) for column in trigger),  # type: ignore[arg-type]
        direction=Direction.UNKNOWN,
        look_first=[
            f"{what}: raise monitors.max_segments, or split by fewer fields",
        ],
    )
    alert.episode = alert.id
    return alert
