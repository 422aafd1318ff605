"""Which input offsets lie behind a span of event time: what an alert names so that it can be reproduced."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from streamguard.core.alerts import Alert
from streamguard.core.outcomes import NO_SOURCE, Outcomes
from streamguard.core.panes import Pane, add_pane

_PANE_ROWS = 256
_FAR = 1 << 62

Ranges = dict[str, list[int]]
"""By source: least and largest prediction offset, least and largest label offset (-1: no label)."""


class Trail:
    """Panes of (count, first time, last time, ranges) over a task's released outcomes."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self._panes: list[Pane] = [list(pane) for pane in state["panes"]] if state else []
        self._open: list[list[int]] = [list(row) for row in state["open"]] if state else []

    def add(self, rows: Outcomes) -> None:
        """Take released outcomes, in order."""
        columns = np.stack((rows.time, rows.source, rows.prediction_offset, rows.label_offset), axis=1)
        start = 0
        while start < len(rows):
            end = start + _PANE_ROWS - len(self._open)
            part = columns[start:end]
            if len(self._open) + len(part) < _PANE_ROWS:
                self._open += part.tolist()
                return
            whole = np.concatenate((np.array(self._open, dtype=np.int64).reshape(-1, 4), part))
            self._open = []
            add_pane(self._panes, _pane(whole), _merge)
            start = end

    def trace(self, rows: Outcomes, found: Sequence[tuple[int, Alert]], topics: tuple[str, str]) -> None:
        """Take released outcomes, and give each alert the input offsets behind it, as of the row that set it off.

        `found`: alerts with the places of these rows, in order. `topics`: of predictions, of labels.
        """
        predictions, labels = topics
        done = 0
        for place, alert in found:
            if alert.trigger[1] == NO_SOURCE:
                continue
            self.add(rows.take(slice(done, place + 1)))
            done = max(done, place + 1)
            since_ms = alert.event_time_ms if alert.onset_ms is None else alert.onset_ms
            ranges = self.ranges(min(since_ms, alert.event_time_ms), alert.event_time_ms)
            ordered = sorted(ranges.items(), key=lambda item: int(item[0]))
            alert.source = {
                predictions: {source: [each[0], each[1] + 1] for source, each in ordered},
                labels: {source: [each[2], each[3] + 1] for source, each in ordered if each[2] >= 0},
            }
        self.add(rows.take(slice(done, len(rows))))

    def ranges(self, since_ms: int, until_ms: int) -> Ranges:
        """The offsets behind the span, and up to a pane's worth more on either side."""
        panes = [pane for pane in self._panes if pane[2] >= since_ms and pane[1] <= until_ms]
        if self._open:
            panes.append(_pane(np.array(self._open, dtype=np.int64)))
        total: Ranges = {}
        for pane in panes:
            total = _union(total, pane[3])
        return total

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"panes": self._panes, "open": self._open}


def _pane(columns: "np.ndarray[Any, np.dtype[np.int64]]") -> Pane:
    columns = columns[np.argsort(columns[:, 1], kind="stable")]
    sources, starts = np.unique(columns[:, 1], return_index=True)
    predictions, labels = columns[:, 2], columns[:, 3]
    least_labels = np.minimum.reduceat(np.where(labels < 0, _FAR, labels), starts)
    ranges = np.stack(
        (
            np.minimum.reduceat(predictions, starts),
            np.maximum.reduceat(predictions, starts),
            np.where(least_labels == _FAR, -1, least_labels),
            np.maximum.reduceat(labels, starts),
        ),
        axis=1,
    ).tolist()
    by_source = {str(source): each for source, each in zip(sources.tolist(), ranges, strict=True)}
    return [len(columns), int(columns[:, 0].min()), int(columns[:, 0].max()), by_source]


def _union(one: Ranges, two: Ranges) -> Ranges:
    result = dict(one)
    for source, right in two.items():
        left = result.get(source)
        if left is None:
            result[source] = right
            continue
        known = [each for each in (left[2], right[2]) if each >= 0]
        result[source] = [
            min(left[0], right[0]),
            max(left[1], right[1]),
            min(known, default=-1),
            max(left[3], right[3]),
        ]
    return result


def _merge(older: Pane, newer: Pane) -> Pane:
    return [older[0] + newer[0], older[1], newer[2], _union(older[3], newer[3])]
