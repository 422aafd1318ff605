"""What predictions carried, as a report shows it: counts of bins over event time, whatever the length of history.

All segments of a monitor share one row of bins of time: each is as wide as so many windows, a power of two, and all of
it follows from the first and the last window alone. What is kept of a monitor is bounded: the segments that came first,
`BINS_MAX` bins of each, and no more than `_CELLS_MAX` counts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamguard.config import Monitor
from streamguard.core.features.gathering import Key, Window
from streamguard.core.features.reference import FIRST, Kind, Reference
from streamguard.replay.courses import described, expectations, followed

Ints = NDArray[np.int64]

BINS_MAX = 96
SEGMENTS_MAX = 20
"""So many segments of a monitor are shown, those that came first; its whole is not counted."""
# Of each monitor, four bytes each.
_CELLS_MAX = 32 << 20


class Carried:
    """All monitors that compare predictions with training, as far as they watch them."""

    def __init__(self, monitors: Iterable[Monitor], references: Mapping[str, Reference]) -> None:
        self._courses = {each.name: Course(each, references[each.name]) for each in monitors if each.name in references}

    def add(self, windows: Iterable[Window]) -> None:
        """Take released windows, those of one monitor in order."""
        for window in windows:
            course = self._courses.get(window.key[0])
            if course is not None:
                course.add(window)

    @property
    def all(self) -> Iterator["Course"]:
        """Of each monitor, in the order of the configuration."""
        yield from self._courses.values()

    def of(self, monitor: str) -> "Course | None":
        """None of a monitor that has no `data` section."""
        return self._courses.get(monitor)

    @property
    def span(self) -> tuple[int, int] | None:
        """From the first window to the end of the last, in epoch ms; None where nothing came."""
        spans = [each.span for each in self.all if each.span is not None]
        return (min(start for start, _ in spans), max(end for _, end in spans)) if spans else None


class Course:
    """One monitor."""

    def __init__(self, monitor: Monitor, reference: Reference) -> None:
        self.monitor, self.reference = monitor, reference
        self.totals: Ints = np.zeros(reference.size, np.int64)
        """Counts of all bins over all that came, watched or not."""
        self.rows = 0
        self.span: tuple[int, int] | None = None
        self._bins = _TimeBins(reference.window_ms)
        self._segments: dict[Key, _Segment] = {}
        self._seen: set[Key] = set()
        cells = BINS_MAX * max(1, reference.size)
        self._room = max(1, min(SEGMENTS_MAX, monitor.max_segments, _CELLS_MAX // cells))

    def add(self, window: Window) -> None:
        """Take what one segment has of a stretch of time."""
        self.totals += window.counts
        self.rows += window.rows
        first, last = self.span or (window.start_ms, window.end_ms)
        self.span = min(first, window.start_ms), max(last, window.end_ms)
        self._cover(window.start_ms)
        if self.monitor.whole:
            self._segment((self.monitor.name, ())).add(window, self._bins.of(window.start_ms))
        key = window.key
        if key not in self._segments and len(self._seen) < self.monitor.max_segments:
            self._seen.add(key)
        if key in self._segments or (key in self._seen and len(self._seen) <= self._room):
            self._segment(key).add(window, self._bins.of(window.start_ms))

    def _cover(self, time_ms: int) -> None:
        for is_odd in self._bins.widen(time_ms):
            for each in self._segments.values():
                each.fold(is_odd=is_odd)
        places = self._bins.lower(time_ms)
        if places:
            for each in self._segments.values():
                each.shift(places)

    def _segment(self, key: Key) -> "_Segment":
        found = self._segments.get(key)
        if found is None:
            found = self._segments[key] = _Segment(self.reference.size)
        return found

    def named(self, key: Key) -> dict[str, str | None]:
        """A segment as alerts name it: the whole has no fields."""
        return dict(zip(self.monitor.split_by, key[1], strict=True)) if key[1] else {}

    def expected(self, segment: Mapping[str, str | None]) -> tuple[Ints, list[float | None]]:
        """The middles of the bins of time and, in each, the error rate that scores let expect; epoch ms, 0 to 1."""
        middles: Ints = self._bins.starts() + self._bins.width_ms // 2
        found = next((each for key, each in self._segments.items() if self.named(key) == segment), None)
        return middles, [] if found is None else expectations(found.sums[: len(middles)])

    def document(self, onsets: Sequence[tuple[Mapping[str, str | None], int]]) -> dict[str, Any]:
        """As docs/backtest.md says. `onsets`: by segment, since when alerts say that predictions are another."""
        end = len(self._bins.starts())
        return {
            "profile": self.reference.profile,
            "window_ms": self.reference.window_ms,
            "predictions": self.rows,
            "left_out": len(self._seen) - sum(key in self._seen for key in self._segments),
            "columns": [described(each) for each in self.reference.columns],
            "segments": [self._document(self.named(key), each, end, onsets) for key, each in self._segments.items()],
        }

    def _document(
        self,
        segment: dict[str, str | None],
        kept: "_Segment",
        end: int,
        onsets: Sequence[tuple[Mapping[str, str | None], int]],
    ) -> dict[str, Any]:
        bins = self._bins
        mine = [onset_ms for named, onset_ms in onsets if named == segment]
        split = min(max(0, bins.of(min(mine))), end - 1) if mine else None
        counts = kept.counts[:end].astype(np.int64)
        offsets = self.reference.offsets
        return {
            "segment": segment,
            "start_ms": bins.start_ms,
            "width_ms": bins.width_ms,
            "since_ms": None if split is None else bins.start_ms + split * bins.width_ms,
            "predictions": kept.sums[:end, _ROWS].tolist(),
            "expected": expectations(kept.sums[:end]),
            "columns": [
                followed(column, counts[:, offsets[place] : offsets[place + 1]], split)
                for place, column in enumerate(self.reference.columns)
            ],
        }

    @property
    def absent(self) -> list[str]:
        """Features that training had, and no prediction did."""
        if not self.rows:
            return []
        offsets = self.reference.offsets
        return [
            column.feature
            for place, column in enumerate(self.reference.columns)
            if column.kind in {Kind.NUMBER, Kind.CATEGORY, Kind.TEXT}
            and any(column.shares[1:])
            and not self.totals[offsets[place] + FIRST - 1 : offsets[place + 1]].any()
        ]


_ROWS, _SCORED, _EXPECTED = range(3)


class _Segment:
    """One segment, by bin of time."""

    def __init__(self, size: int) -> None:
        self.counts = np.zeros((BINS_MAX, size), np.uint32)
        self.sums: Ints = np.zeros((BINS_MAX, 3), np.int64)
        """Predictions, those that have a score that says something, and millionths of errors that these expect."""

    def add(self, window: Window, place: int) -> None:
        row = self.counts[place]
        np.add(row, window.counts, out=row, casting="unsafe")
        self.sums[place] += (window.rows, window.scored, window.expected)

    def fold(self, *, is_odd: bool) -> None:
        """Join bins in pairs; where the first has an odd number, it is the second of a pair."""
        _fold(self.counts, is_odd=is_odd)
        _fold(self.sums, is_odd=is_odd)

    def shift(self, places: int) -> None:
        """Make room in front."""
        for column in (self.counts, self.sums):
            column[places:] = column[: BINS_MAX - places].copy()
            column[:places] = 0


def _fold(column: NDArray[Any], *, is_odd: bool) -> None:
    padded = np.pad(column, ((int(is_odd), int(is_odd)), (0, 0)))
    joined = padded[::2] + padded[1::2]
    column[: len(joined)], column[len(joined) :] = joined, 0


class _TimeBins:
    """Where and how wide bins of time are: as narrow as the span allows."""

    def __init__(self, window_ms: int) -> None:
        self.width_ms = window_ms
        self._first: int | None = None
        self._last_ms: int | None = None

    @property
    def start_ms(self) -> int:
        return (self._first or 0) * self.width_ms

    def of(self, time_ms: int) -> int:
        return time_ms // self.width_ms - (self._first or 0)

    def starts(self) -> Ints:
        """Of the bins that are in use."""
        count = 0 if self._last_ms is None else self.of(self._last_ms) + 1
        return self.start_ms + self.width_ms * np.arange(count)

    def widen(self, time_ms: int) -> Iterator[bool]:
        """Double until all up to a time has room; for each time tells whether the first was odd."""
        self._first = time_ms // self.width_ms if self._first is None else self._first
        self._last_ms = time_ms if self._last_ms is None else max(self._last_ms, time_ms)
        while self._last_ms // self.width_ms - min(self._first, time_ms // self.width_ms) >= BINS_MAX:
            yield bool(self._first % 2)
            self._first //= 2
            self.width_ms *= 2

    def lower(self, time_ms: int) -> int:
        """Begin at a time that is earlier; returns by how many bins."""
        first = self._first or 0
        places = max(0, first - time_ms // self.width_ms)
        self._first = first - places
        return places
