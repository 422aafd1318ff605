"""What is kept of one segment's outcomes over event time, in bins, whatever the length of history."""

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamguard.config import Monitor
from streamguard.core.bands import quantile, wilson
from streamguard.core.durations import parse_duration_ms
from streamguard.core.identity import distinct
from streamguard.core.losses import is_binary, is_bounded, losses
from streamguard.core.outcomes import Outcomes
from streamguard.core.windows import CountWindow, TimeWindow, Window
from streamguard.replay.suggesting import Peak

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS_MAX = 512
_WIDTH_MIN_MS = 1000
# Four for each doubling, and evenly between: a quantile is known to within a tenth.
_STEPS_PER_DOUBLING = 4
_DELAYS = 150
_CLASSES_MAX = 400
_CLASSES_TOLD = 50
_WINDOW, _LEAST = 1000, 500
_Z = quantile(0.025)
_LABELLED, _LOSSES, _SUM, _SQUARES = range(4)

Pieces = tuple[int, int]


class Bins:
    """Where and how wide they are: a whole number of widths since the epoch, and as narrow as the span allows.

    Both follow from the first and the last time alone, in whatever order times come.
    """

    def __init__(self) -> None:
        self.width_ms = _WIDTH_MIN_MS
        self.first: int | None = None
        """The number of the first one, counted from the epoch."""

    @property
    def start_ms(self) -> int:
        """Where the first begins."""
        return (self.first or 0) * self.width_ms

    def of(self, times_ms: Ints) -> Ints:
        """The number of each time's bin, from 0."""
        return times_ms // self.width_ms - (self.first or 0)


class Tally:
    """One segment, as far as scores and suggestions need it: outcomes by bin, and how high its window was."""

    def __init__(self, segment: dict[str, str | None], monitor: Monitor, bins: Bins, normal_ms: Pieces | None) -> None:
        self.segment = segment
        self._monitor = monitor
        self._bins = bins
        self._normal_ms = normal_ms
        self.outcomes: Ints = np.zeros(BINS_MAX, np.int64)
        self._window = _window(monitor) if is_binary(monitor.loss) else None
        self._least = _LEAST if monitor.threshold is None else monitor.threshold.samples_min
        self._peak: Peak | None = None
        self._normal_count = 0

    @property
    def name(self) -> str:
        """In words: `version=7, country=DE`; empty where nothing is split."""
        return ", ".join(f"{field}={value}" for field, value in self.segment.items())

    @property
    def peak(self) -> Peak | None:
        """The moving window's highest in the period that is called normal; None where it was never full."""
        return None if self._peak is None else replace(self._peak, outcomes=self._normal_count)

    def between(self, from_ms: int, to_ms: int) -> float:
        """How many outcomes came between two times, as if those of a bin were spread evenly over it."""
        bins = self._bins
        edges = bins.start_ms + bins.width_ms * np.arange(BINS_MAX + 1)
        sums = np.concatenate(([0.0], np.cumsum(self.outcomes)))
        start, end = np.interp([from_ms, to_ms], edges, sums)
        return float(end - start)

    def add(self, rows: Outcomes) -> None:
        """Take released outcomes, in order."""
        self._count(rows)
        if self._window is not None and self._normal_ms is not None:
            labelled = np.flatnonzero(rows.label_offset >= 0)
            self._rates(self._window, rows.time[labelled], self._losses(rows, labelled)[0])

    def fold(self, *, is_odd: bool) -> None:
        """Join bins in pairs; where the first has an odd number, it is the second of a pair."""
        _fold(self.outcomes, is_odd=is_odd)

    def shift(self, places: int) -> None:
        """Make room in front."""
        _shift(self.outcomes, places, 0)

    def _count(self, rows: Outcomes) -> None:
        _tally(self.outcomes, self._bins.of(rows.time))

    def _losses(self, rows: Outcomes, places: NDArray[np.intp]) -> tuple[Floats, NDArray[np.bool_]]:
        """How far each is off, and whether it can be compared."""
        monitor = self._monitor
        predictions, labels, scores = (column[places].tolist() for column in (rows.prediction, rows.label, rows.score))
        return losses(monitor.loss, predictions, labels, scores, monitor.positive)

    def _rates(self, window: Window, times: Ints, values: Floats) -> tuple[NDArray[np.bool_], Floats]:
        """The moving window's rate after each, and whether it held enough; notes the highest of the normal period."""
        counts, ones = window.push(times, values.astype(np.uint8))
        is_told = counts >= self._least
        rates = ones / np.maximum(counts, 1)
        if self._normal_ms is not None:
            is_normal = (times >= self._normal_ms[0]) & (times < self._normal_ms[1])
            self._normal_count += int(np.count_nonzero(is_normal))
            usual = np.flatnonzero(is_normal & is_told)
            if len(usual):
                highest = usual[np.argmax(rates[usual])]
                if self._peak is None or rates[highest] > self._peak.rate:
                    self._peak = Peak(self.name, float(rates[highest]), 0, int(counts[highest]))
        return is_told, rates


class Series(Tally):
    """One segment, with all that a report draws of it: some 300 kB."""

    def __init__(self, segment: dict[str, str | None], monitor: Monitor, bins: Bins, normal_ms: Pieces | None) -> None:
        super().__init__(segment, monitor, bins, normal_ms)
        self.sums = np.zeros((BINS_MAX, 4))
        self.levels = np.full(BINS_MAX, np.nan)
        """The moving window's rate, as of the last outcome in each bin."""
        self._delays = np.zeros((BINS_MAX, _DELAYS), np.uint32)
        self.classes: Counter[tuple[Any, Any]] = Counter()

    def fold(self, *, is_odd: bool) -> None:
        super().fold(is_odd=is_odd)
        _fold(self.sums, is_odd=is_odd)
        _fold(self._delays, is_odd=is_odd)
        front = int(is_odd)
        levels = np.pad(self.levels, (front, front), constant_values=np.nan)
        later = np.where(np.isnan(levels[1::2]), levels[::2], levels[1::2])
        self.levels[: len(later)], self.levels[len(later) :] = later, np.nan

    def shift(self, places: int) -> None:
        super().shift(places)
        for column, empty in ((self.sums, 0.0), (self._delays, 0), (self.levels, np.nan)):
            _shift(column, places, empty)

    def add(self, rows: Outcomes) -> None:
        self._count(rows)
        bins = self._bins.of(rows.time)
        labelled = np.flatnonzero(rows.label_offset >= 0)
        _tally(self.sums[:, _LABELLED], bins[labelled])
        values, comparable = self._losses(rows, labelled)
        predictions, labels = rows.prediction[labelled], rows.label[labelled]
        if not is_binary(self._monitor.loss):
            labelled, values = labelled[comparable], values[comparable]
        at = bins[labelled]
        _tally(self.sums[:, _LOSSES], at)
        _tally(self.sums[:, _SUM], at, values)
        _tally(self.sums[:, _SQUARES], at, values**2)
        delays = np.maximum((rows.time - rows.prediction_time)[labelled], 0)
        steps = np.minimum(np.log2(delays + 1) * _STEPS_PER_DOUBLING, _DELAYS - 1).astype(np.int64)
        np.add.at(self._delays.reshape(-1), at * _DELAYS + steps, np.uint32(1))
        if self._window is not None:
            is_told, rates = self._rates(self._window, rows.time[labelled], values)
            # Of what is assigned to one place more than once the last stays.
            self.levels[at[is_told]] = rates[is_told]
            self._add_classes(predictions, labels)

    def _add_classes(self, predictions: NDArray[np.object_], labels: NDArray[np.object_]) -> None:
        if not len(labels) or len(self.classes) > _CLASSES_MAX:
            return
        said, said_number = _classes(predictions)
        true, true_number = _classes(labels)
        pairs, counts = np.unique(said_number * len(true) + true_number, return_counts=True)
        for pair, count in zip(pairs[: _CLASSES_MAX + 1].tolist(), counts.tolist(), strict=False):
            # By type as well: 1, 1.0 and true are equal.
            one, other = said[pair // len(true)], true[pair % len(true)]
            self.classes[(type(one), one), (type(other), other)] += count

    @property
    def totals(self) -> tuple[int, int, int, float]:
        """Outcomes, those with a label, losses, and their sum."""
        labelled, count, total, _ = self.sums.sum(axis=0).tolist()
        return int(self.outcomes.sum()), int(labelled), int(count), total

    def document(self, end: int) -> dict[str, Any]:
        """The bins before `end` as columns; a rate is null where there is none."""
        sums = self.sums[:end]
        counts = sums[:, _LOSSES]
        rates = np.divide(sums[:, _SUM], counts, out=np.full(end, np.nan), where=counts > 0)
        bounds = [self._band(*row) for row in sums[:, [_LOSSES, _SUM, _SQUARES]].tolist()]
        medians, nineties = self._quantiles(end)
        return {
            "start_ms": self._bins.start_ms,
            "width_ms": self._bins.width_ms,
            "outcomes": self.outcomes[:end].tolist(),
            "labelled": sums[:, _LABELLED].astype(int).tolist(),
            "rate": _told(rates),
            "low": [bound[0] for bound in bounds],
            "high": [bound[1] for bound in bounds],
            "window": _told(self.levels[:end]),
            "delay_median_s": medians,
            "delay_p90_s": nineties,
        }

    def confusion(self) -> list[dict[str, Any]]:
        """Which class was told how often as which, the most frequent mistakes first; empty where there are many."""
        if len(self.classes) > _CLASSES_MAX:
            return []
        total = self.classes.total()
        ordered = sorted(self.classes.items(), key=lambda each: (each[0][0] == each[0][1], -each[1], repr(each[0])))
        return [
            {"predicted": said, "label": true, "count": count, "share": round(count / total, 6)}
            for ((_, said), (_, true)), count in ordered[:_CLASSES_TOLD]
        ]

    def _band(self, count: float, total: float, squares: float) -> tuple[float | None, float | None]:
        """95% of each bin by itself: Wilson's for losses in [0, 1], else by the standard error."""
        if count == 0:
            return None, None
        rate = total / count
        if is_bounded(self._monitor.loss):
            low, high = wilson(min(max(rate, 0.0), 1.0), count, _Z)
        else:
            spread = _Z * math.sqrt(max(squares / count - rate**2, 0.0) / count)
            low, high = rate - spread, rate + spread
        return round(low, 6), round(high, 6)

    def _quantiles(self, end: int) -> tuple[list[float | None], list[float | None]]:
        """The median and the ninetieth percentile of the delays in seconds, each to within a tenth."""
        sums = np.cumsum(self._delays[:end], axis=1, dtype=np.float64)
        found = []
        for share in (0.5, 0.9):
            wanted = share * sums[:, -1]
            places = np.minimum((sums < wanted[:, None]).sum(axis=1), _DELAYS - 1)
            rows = np.arange(len(sums))
            here = self._delays[rows, places]
            before = sums[rows, places] - here
            within = np.divide(wanted - before, here, out=np.zeros(len(sums)), where=here > 0)
            delays_s = (2 ** ((places + within) / _STEPS_PER_DOUBLING) - 1) / 1000
            known = zip(delays_s.tolist(), here.tolist(), strict=True)
            found.append([round(delay_s, 3) if count else None for delay_s, count in known])
        return found[0], found[1]


def _window(monitor: Monitor) -> Window:
    """That of the threshold, else of a thousand."""
    window = _WINDOW if monitor.threshold is None else monitor.threshold.window
    return CountWindow(window) if isinstance(window, int) else TimeWindow(parse_duration_ms(window))


def _classes(column: NDArray[np.object_]) -> tuple[list[Any], Ints]:
    """The different values of a column, and the number of each row's."""
    found, numbers = distinct(column)
    table: dict[tuple[type, Any], int] = {}
    # Numbers read one by one are equal, and not the same.
    places = np.array([table.setdefault((type(each), each), len(table)) for each in found], np.int64)
    return [value for _, value in table], places[numbers]


def _told(values: Floats) -> list[float | None]:
    return [None if math.isnan(each) else round(each, 6) for each in values.tolist()]


def _tally(column: NDArray[Any], bins: Ints, weights: Floats | None = None) -> None:
    """Add up what falls into each bin."""
    if len(bins):
        first = int(bins.min())
        found = np.bincount(bins - first, weights)
        column[first : first + len(found)] += found.astype(column.dtype)


def _fold(column: NDArray[Any], *, is_odd: bool) -> None:
    front = int(is_odd)
    padded = np.pad(column, ((front, front), *((0, 0),) * (column.ndim - 1)))
    joined = padded[::2] + padded[1::2]
    column[: len(joined)], column[len(joined) :] = joined, 0


def _shift(column: NDArray[Any], places: int, empty: float) -> None:
    column[places:] = column[: BINS_MAX - places].copy()
    column[:places] = empty
