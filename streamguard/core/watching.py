"""All monitors of one setting over released outcomes: their segments, their budget, and who is silent."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamguard.config import Monitor
from streamguard.core.alerts import Alert, Status
from streamguard.core.budget import Flow
from streamguard.core.detectors import Direction
from streamguard.core.explaining import leading, told
from streamguard.core.intake import Group, MonitorSettings, StreamKey
from streamguard.core.outcomes import Outcomes
from streamguard.core.segment import Segment
from streamguard.core.waiting import Ints

_NO_TIMES = np.empty(0, np.int64)

Found = tuple[int, Alert]
"""An alert with the place, among the rows, of the one that set it off."""


@dataclass(slots=True)
class _Part:
    """What one segment has of some rows."""

    monitor: str
    segment: Segment
    places: NDArray[np.intp]
    rows: Outcomes
    is_whole: bool = False
    taken: int = 0


class Watching:
    """Segments are made on first sight. How the stream is cut into calls changes nothing."""

    def __init__(self, settings: MonitorSettings) -> None:
        self._settings = settings
        self.monitors = {monitor.name: monitor for monitor in settings.monitors}
        self.segments: dict[StreamKey, Segment] = {}
        self._flows = _flows(settings)
        self._silent = {each.name for each in settings.monitors if each.no_data_after_ms is not None}
        self._full: set[str] = set()
        self._sizes: Counter[str] = Counter()
        self.unwatched_count = 0
        """Rows of no monitor, or of one that is full."""

    def watch(self, rows: Outcomes, groups: Sequence[Group]) -> list[Found]:
        """Take what was released, which is never nothing, in order; returns alerts in the order of their rows."""
        found: list[Found] = []
        until_ms = int(rows.time[-1])
        for flow in self._flows.values():
            flow.begin(int(rows.time[0]))
        parts = self._parts(rows, groups, found)
        # Only now: the budget of each depends on when the others have appeared.
        wholes = [each for part in parts if part.is_whole for each in self._step(part, len(rows))]
        found += wholes
        for place, alert in [*sorted(wholes, key=lambda pair: pair[0]), (len(rows), None)]:
            for part in parts:
                if not part.is_whole:
                    found += self._step(part, place)
            # As of its row: what the segments had come to by then.
            if alert is not None and alert.onset_ms is not None:
                self._explain(alert, alert.onset_ms)
        for flow in self._flows.values():
            flow.settle(until_ms)
        silences = self._silences({id(part.segment): part.rows.time for part in parts}, until_ms)
        # At the first outcome that is later; before what that one says.
        found = [(int(np.searchsorted(rows.time, time_ms, "right")), each) for time_ms, each in silences] + found
        return sorted(found, key=lambda pair: pair[0])

    def wait(self, until_ms: int) -> list[Alert]:
        """All outcomes before that time have come: who was silent for too long, or is no more."""
        return [alert for _, alert in self._silences({}, until_ms)]

    def snapshot(self) -> dict[str, Any]:
        """All but the segments, which tell by `is_changed` whether theirs is another."""
        return {
            "full": sorted(self._full),
            "flows": {name: flow.snapshot() for name, flow in self._flows.items()},
        }

    def wants(self, key: StreamKey, meaning: dict[str, Any]) -> bool:
        """Whether a segment of this state would be gone on with."""
        monitor = self.monitors.get(key[0])
        if monitor is None or meaning != meaning_of(monitor):
            return False
        return bool(key[1]) or monitor.whole or not monitor.split_by

    def restore(self, state: dict[str, Any], segments: dict[StreamKey, dict[str, Any]]) -> None:
        """As the one was that took the snapshot, whose segments had these states."""
        self.segments = {key: self._made(self.monitors[key[0]], key[1], each) for key, each in segments.items()}
        self._sizes.update(name for name, values in segments if values or not self.monitors[name].whole)
        self._full = set(state["full"])
        for name, flow in self._flows.items():
            flow.restore(state.get("flows", {}).get(name), sum(each == name for each, _ in segments))

    def _parts(self, rows: Outcomes, groups: Sequence[Group], found: list[Found]) -> list[_Part]:
        """The rows of each stream that is watched, those of a whole last."""
        parts: list[_Part] = []
        of_whole: dict[str, list[NDArray[np.intp]]] = {}
        for group in groups:
            monitor = self.monitors.get(group.key[0])
            if monitor is not None and monitor.whole:
                # Before its first segment, so that all appear in order.
                self._whole(monitor, int(group.rows.time[0]))
                of_whole.setdefault(monitor.name, []).append(group.places)
            segment = self._segment(group, found)
            if segment is None:
                self.unwatched_count += len(group.rows)
            else:
                parts.append(_Part(group.key[0], segment, group.places, group.rows))
        for name, all_places in of_whole.items():
            places = np.sort(np.concatenate(all_places))
            parts.append(_Part(name, self.segments[name, ()], places, rows.take(places), is_whole=True))
        return parts

    def _whole(self, monitor: Monitor, time_ms: int) -> None:
        """All segments together, made on first sight; it is none of `max_segments`."""
        if (monitor.name, ()) not in self.segments:
            self.segments[monitor.name, ()] = self._made(monitor, ())
            if monitor.name in self._flows:
                self._flows[monitor.name].appear(time_ms)

    def _step(self, part: _Part, last: int) -> list[Found]:
        """Take its rows up to the place `last`."""
        start, end = part.taken, int(np.searchsorted(part.places, last, "right"))
        if start == end:
            return []
        part.taken = end
        rows = part.rows if end - start == len(part.rows) else part.rows.take(slice(start, end))
        given = self._flows[part.monitor].at(rows.time) if part.monitor in self._flows else None
        return [(int(part.places[start + place]), alert) for place, alert in part.segment.step(rows, given)]

    def _explain(self, alert: Alert, onset_ms: int) -> None:
        if alert.status is Status.RESOLVED or alert.direction is Direction.BETTER:
            return
        levels = [
            each.levels(onset_ms) for (name, values), each in self.segments.items() if name == alert.monitor and values
        ]
        alert.segments = leading(levels)
        alert.look_first = [*map(told, alert.segments), *alert.look_first]

    def _silences(self, parts: dict[int, Ints], until_ms: int) -> list[tuple[int, Alert]]:
        """Which streams were silent for too long, or are no more, in order of event time."""
        if not self._silent:
            return []
        found = [
            (time_ms, key, alert)
            for key, segment in self.segments.items()
            if key[0] in self._silent
            for time_ms, alert in segment.silences(parts.get(id(segment), _NO_TIMES), until_ms)
        ]
        return [(time_ms, alert) for time_ms, _, alert in sorted(found, key=lambda each: (each[0], repr(each[1])))]

    def _made(self, monitor: Monitor, values: tuple[str | None, ...], state: dict[str, Any] | None = None) -> Segment:
        settings = self._settings
        return Segment(monitor, values, settings.cooldown_ms, state, budget=settings.budget_per_month)

    def _segment(self, group: Group, found: list[Found]) -> Segment | None:
        """The stream's segment, made on first sight while the monitor has room."""
        key = group.key
        segment = self.segments.get(key)
        monitor = self.monitors.get(key[0])
        if segment is not None or monitor is None or len(monitor.split_by) != len(key[1]):
            return segment
        if self._sizes[monitor.name] < monitor.max_segments:
            self._sizes[monitor.name] += 1
            segment = self.segments[key] = self._made(monitor, key[1])
            if monitor.name in self._flows:
                self._flows[monitor.name].appear(int(group.rows.time[0]))
        elif monitor.name not in self._full:
            self._full.add(monitor.name)
            found.append((int(group.places[0]), _full_alert(monitor, group)))
        return segment


def meaning_of(monitor: Monitor) -> dict[str, Any]:
    """What a monitor's state is about: that of another meaning is not gone on from."""
    fields = monitor.model_dump(mode="json", include={"match", "split_by", "loss", "positive", "cohorts"})
    return {**fields, "match": sorted(map(list, fields["match"].items()))}


def _flows(settings: MonitorSettings) -> dict[str, Flow]:
    """The budget of each monitor that has budgeted detectors, for each of these."""
    return {monitor.name: Flow(settings.share) for monitor in settings.monitors if monitor.budgeted}


def _full_alert(monitor: Monitor, group: Group) -> Alert:
    what = f"monitor {monitor.name!r} watches {monitor.max_segments} segments already, and this is one more"
    rows = group.rows
    trigger = rows.time, rows.source, rows.prediction_offset, rows.label_offset
    alert = Alert(
        status=Status.RAISED,
        kind="segments_full",
        severity="warning",
        monitor=monitor.name,
        segment=dict(zip(monitor.split_by, group.key[1], strict=True)),
        model=None,
        version=None,
        check={"type": "segments", "max_segments": monitor.max_segments},
        event_time_ms=int(rows.time[0]),
        trigger=tuple(int(column[0]) for column in trigger),  # type: ignore[arg-type]
        direction=Direction.UNKNOWN,
        look_first=[
            f"{what}: raise monitors.max_segments, or split by fewer fields",
        ],
    )
    alert.episode = alert.id
    return alert
