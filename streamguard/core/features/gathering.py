"""Counts of all sources, added up by window, and released in event-time order once every source has passed it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streamguard.core.features.folding import Counts, Example
from streamguard.core.features.reference import Ints
from streamguard.core.outcomes import OutcomeRecord

_IDLE = 1 << 62

Key = tuple[str, tuple[str | None, ...]]
"""A monitor's name, and the values of the fields it splits by."""


Followed = Callable[[Example, Example], Example]
"""What is shown of two examples of one source, in order."""


def first_of(first: Example, _: Example) -> Example:
    """The first alone."""
    return first


@dataclass(slots=True)
class Window:
    """What came in one window of one segment, from all sources."""

    key: Key
    start_ms: int
    end_ms: int
    counts: Ints
    """Of every bin of the reference."""
    rows: int = 0
    scored: int = 0
    expected: int = 0
    offsets: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By source: the first and the last offset."""
    examples: dict[int, tuple[int, Example]] = field(default_factory=dict)
    """By column: of the lowest source, the first."""
    _pieces: list[tuple[Ints, Ints]] = field(default_factory=list)
    _followed: Followed = first_of

    def fill(self, size: int) -> None:
        """Sum up what was added, over so many bins."""
        self.counts = np.zeros(size, np.int64)
        for bins, counts in self._pieces:
            self.counts[bins] += counts
        self._pieces.clear()

    def add(self, source: int, found: Counts) -> None:
        """Take what one source has; counts are there once they are summed up."""
        self._pieces.append((found.bins, found.counts))
        self._sum(found.rows, found.scored, found.expected)
        self._span({source: found.offsets}, {column: (source, each) for column, each in found.examples.items()})

    def merge(self, other: "Window") -> None:
        """Take what another segment has."""
        self.counts += other.counts
        self._sum(other.rows, other.scored, other.expected)
        self._span(other.offsets, other.examples)

    def _sum(self, rows: int, scored: int, expected: int) -> None:
        self.rows += rows
        self.scored += scored
        self.expected += expected

    def _span(self, offsets: Mapping[int, tuple[int, int]], examples: Mapping[int, tuple[int, Example]]) -> None:
        for source, (first, last) in offsets.items():
            known = self.offsets.get(source, (first, last))
            self.offsets[source] = min(first, known[0]), max(last, known[1])
        for column, (source, example) in examples.items():
            best = self.examples.get(column)
            if best is None or source < best[0]:
                self.examples[column] = source, example
            elif source == best[0]:
                self.examples[column] = (
                    source,
                    self._followed(*sorted((best[1], example), key=lambda each: each.offset)),
                )


@dataclass(frozen=True, slots=True)
class Shape:
    """What counts of a monitor must be of."""

    fingerprint: str
    size: int
    window_ms: int
    split: int = 0
    """Fields that segments are told apart by."""

    def takes(self, found: Counts, values: tuple[str | None, ...]) -> bool:
        """Whether a window is one of this monitor's: of a segment of its fields, of its bins, aligned."""
        is_known = not len(found.bins) or int(found.bins.max()) < self.size
        return is_known and len(values) == self.split and found.start_ms % self.window_ms == 0


def of_predictions(record: OutcomeRecord) -> int | None:
    """Until when a source's counts of predictions that count are complete."""
    return record.predictions_ms


class Gathering:
    """Holds windows until every source has passed their end."""

    def __init__(
        self,
        sources: int,
        shapes: dict[str, Shape],
        promised: Callable[[OutcomeRecord], int | None] = of_predictions,
        followed: Followed = first_of,
    ) -> None:
        """`promised`: until when the counts of a record's source are complete."""
        self._followed = followed
        self._promised = promised
        self._watermarks: list[int | None] = [None] * sources
        self._shapes = shapes
        self._open: dict[tuple[int, Key], Window] = {}
        self._firsts: dict[tuple[int, Key], int] = {}
        """The offset, on the outcomes topic, of the first record that a window has something of."""
        self.released_ms = -_IDLE
        """Every source has passed this."""
        self.counts = {"late": 0, "foreign": 0}
        """Predictions of windows that were released before, and of another reference."""

    def take(self, record: OutcomeRecord, offset: int) -> None:
        """What one record of the outcomes topic tells."""
        if not self._shapes:
            return
        self.refill(record, offset)
        if record.is_idle:
            self._watermarks[record.source] = _IDLE
        elif (promised_ms := self._promised(record)) is not None:
            before = self._watermarks[record.source]
            if before == _IDLE and record.watermark_ms is None:
                # Its outcomes are not waited for either: else they would be judged before its predictions.
                return
            is_first = before is None or before == _IDLE
            self._watermarks[record.source] = max(promised_ms, -_IDLE if is_first else before or 0)
        known = [each for each in self._watermarks if each is not None]
        if len(known) == len(self._watermarks) and min(known) != _IDLE:
            self.released_ms = max(self.released_ms, min(known))

    def refill(self, record: OutcomeRecord, offset: int) -> None:
        """Hold what is not released yet."""
        for delta in record.features:
            shape = self._shapes.get(delta.monitor)
            if shape is None:
                continue
            for each in delta.windows:
                end_ms = each.start_ms + shape.window_ms
                if delta.fingerprint != shape.fingerprint or not shape.takes(each, delta.segments[each.segment]):
                    self.counts["foreign"] += each.rows
                elif end_ms <= self.released_ms:
                    self.counts["late"] += each.rows
                else:
                    place = end_ms, (delta.monitor, delta.segments[each.segment])
                    if place not in self._open:
                        # Made dense when it is released: until then there may be many.
                        self._open[place] = Window(
                            place[1], each.start_ms, end_ms, np.empty(0, np.int64), _followed=self._followed
                        )
                        self._firsts[place] = offset
                    self._open[place].add(record.source, each)

    def release(self) -> Iterator[Window]:
        """What every source has passed since the last call, by end, monitor and segment."""
        due = sorted((place for place in self._open if place[0] <= self.released_ms), key=_order)
        for place in due:
            del self._firsts[place]
            window = self._open.pop(place)
            window.fill(self._shapes[window.key[0]].size)
            yield window

    def low(self, position: int) -> int:
        """The first offset that something held is from; `position` where nothing is."""
        return min(self._firsts.values(), default=position)

    def snapshot(self) -> dict[str, Any]:
        """Everything but the windows, which are read again from `low`."""
        return {"watermarks": self._watermarks, "released": self.released_ms, "counts": self.counts}

    def restore(self, state: dict[str, Any]) -> None:
        """As the one was that took the snapshot; its windows are still to be refilled."""
        self._watermarks = list(state["watermarks"])
        self.released_ms = state["released"]
        self.counts = dict(state["counts"])


def _order(place: tuple[int, Key]) -> tuple[int, str, str]:
    end_ms, (name, values) = place
    return end_ms, name, repr(values)
