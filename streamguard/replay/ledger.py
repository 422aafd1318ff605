"""What a report draws: the outcomes of each segment over event time, in bins, whatever the length of history.

All segments share one row of bins. Where the history outgrows it, bins are joined in pairs: it is `BINS_MAX` bins
at most, and more than half as many as soon as there is that much history.
"""

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
from streamguard.core.intake import Group, StreamKey
from streamguard.core.losses import is_binary, is_bounded, losses
from streamguard.core.outcomes import Outcomes
from streamguard.core.windows import CountWindow, TimeWindow, Window
from streamguard.replay.suggesting import Peak

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS_MAX = 512
SEGMENTS_MAX = 100
_WIDTH_MIN_MS = 1000
# Four for each doubling, and evenly between: a quantile is known to within a tenth.
_STEPS_PER_DOUBLING = 4
_DELAYS = 150
_CLASSES_MAX = 400
_CLASSES_TOLD = 50
_WINDOW, _LEAST = 1000, 500
_Z = quantile(0.025)
_OUTCOMES, _LABELLED, _LOSSES, _SUM, _SQUARES = range(5)

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


class Series:
    """One segment."""

    def __init__(self, segment: dict[str, str | None], monitor: Monitor, bins: Bins) -> None:
        self.segment = segment
        self._monitor = monitor
        self._bins = bins
        self.sums = np.zeros((BINS_MAX, 5))
        self.levels = np.full(BINS_MAX, np.nan)
        """The moving window's rate, as of the last outcome in each bin."""
        self._delays = np.zeros((BINS_MAX, _DELAYS), np.uint32)
        self.classes: Counter[tuple[Any, Any]] = Counter()
        self._window = _window(monitor) if is_binary(monitor.loss) else None
        self._least = _LEAST if monitor.threshold is None else monitor.threshold.samples_min
        self._peak: Peak | None = None
        self._normal_count = 0

    def fold(self, *, is_odd: bool) -> None:
        """Join bins in pairs; where the first has an odd number, it is the second of a pair."""
        front = int(is_odd)
        columns: tuple[NDArray[Any], ...] = (self.sums, self._delays)
        for column in columns:
            padded: NDArray[Any] = np.pad(column, ((front, front), (0, 0)))
            joined = padded[::2] + padded[1::2]
            column[: len(joined)], column[len(joined) :] = joined, 0
        levels = np.pad(self.levels, (front, front), constant_values=np.nan)
        later = np.where(np.isnan(levels[1::2]), levels[::2], levels[1::2])
        self.levels[: len(later)], self.levels[len(later) :] = later, np.nan

    def shift(self, places: int) -> None:
        """Make room in front."""
        for column, empty in ((self.sums, 0.0), (self._delays, 0), (self.levels, np.nan)):
            column[places:] = column[: BINS_MAX - places].copy()
            column[:places] = empty

    def add(self, rows: Outcomes, normal_ms: Pieces | None) -> None:
        """Take released outcomes, in order."""
        bins = self._bins.of(rows.time)
        labelled = np.flatnonzero(rows.label_offset >= 0)
        predictions, labels = rows.prediction[labelled], rows.label[labelled]
        monitor = self._monitor
        values, comparable = losses(
            monitor.loss, predictions.tolist(), labels.tolist(), rows.score[labelled].tolist(), monitor.positive
        )
        if not is_binary(monitor.loss):
            labelled, values = labelled[comparable], values[comparable]
        at, first = bins[labelled], int(bins[0])
        self._count(_OUTCOMES, bins, first)
        self._count(_LABELLED, bins[rows.label_offset >= 0], first)
        self._count(_LOSSES, at, first)
        self._count(_SUM, at, first, values)
        self._count(_SQUARES, at, first, values**2)
        delays = np.maximum((rows.time - rows.prediction_time)[labelled], 0)
        steps = np.minimum(np.log2(delays + 1) * _STEPS_PER_DOUBLING, _DELAYS - 1).astype(np.int64)
        np.add.at(self._delays.reshape(-1), at * _DELAYS + steps, np.uint32(1))
        if self._window is not None:
            self._add_levels(self._window, rows.time[labelled], values, at, normal_ms)
            self._add_classes(predictions, labels)

    def _count(self, column: int, bins: Ints, first: int, weights: Floats | None = None) -> None:
        found = np.bincount(bins - first, weights)
        self.sums[first : first + len(found), column] += found

    def _add_levels(self, window: Window, times: Ints, values: Floats, at: Ints, normal_ms: Pieces | None) -> None:
        counts, ones = window.push(times, values.astype(np.uint8))
        is_told = counts >= self._least
        rates = ones / np.maximum(counts, 1)
        # Of what is assigned to one place more than once the last stays.
        self.levels[at[is_told]] = rates[is_told]
        if normal_ms is None:
            return
        is_normal = (times >= normal_ms[0]) & (times < normal_ms[1])
        self._normal_count += int(np.count_nonzero(is_normal))
        usual = np.flatnonzero(is_normal & is_told)
        if len(usual):
            highest = usual[np.argmax(rates[usual])]
            if self._peak is None or rates[highest] > self._peak.rate:
                self._peak = Peak(self.name, float(rates[highest]), 0, int(counts[highest]))

    @property
    def peak(self) -> Peak | None:
        """The moving window's highest in the period that is called normal; None where it was never full."""
        return None if self._peak is None else replace(self._peak, outcomes=self._normal_count)

    @property
    def name(self) -> str:
        """In words: `version=7, country=DE`; empty where nothing is split."""
        return ", ".join(f"{field}={value}" for field, value in self.segment.items())

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
        outcomes, labelled, count, total, _ = self.sums.sum(axis=0).tolist()
        return int(outcomes), int(labelled), int(count), total

    def between(self, from_ms: int, to_ms: int) -> float:
        """How many outcomes came between two times, as if those of a bin were spread evenly over it."""
        bins = self._bins
        edges = bins.start_ms + bins.width_ms * np.arange(BINS_MAX + 1)
        sums = np.concatenate(([0.0], np.cumsum(self.sums[:, _OUTCOMES])))
        start, end = np.interp([from_ms, to_ms], edges, sums)
        return float(end - start)

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
            "outcomes": sums[:, _OUTCOMES].astype(int).tolist(),
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


class Ledger:
    """All segments of some monitors."""

    def __init__(self, monitors: tuple[Monitor, ...], normal_ms: Pieces | None = None) -> None:
        self._monitors = {monitor.name: monitor for monitor in monitors}
        self._normal_ms = normal_ms
        self._bins = Bins()
        self.series: dict[StreamKey, Series] = {}
        self._kept: Counter[str] = Counter()
        self.left_out: dict[str, set[StreamKey]] = {monitor.name: set() for monitor in monitors}
        """Segments beyond those that are kept, up to as many."""
        self.first_ms: int | None = None
        self.last_ms: int | None = None

    def add(self, rows: Outcomes, groups: list[Group]) -> None:
        """Take released outcomes, those of one partition in order."""
        first_ms, last_ms = int(rows.time[0]), int(rows.time[-1])
        self.first_ms = first_ms if self.first_ms is None else min(self.first_ms, first_ms)
        self.last_ms = last_ms if self.last_ms is None else max(self.last_ms, last_ms)
        self._cover(self.first_ms, self.last_ms)
        for group in groups:
            series = self._series(group.key)
            if series is not None:
                series.add(group.rows, self._normal_ms)

    def _cover(self, first_ms: int, last_ms: int) -> None:
        """Make room for all between the two."""
        bins = self._bins
        if bins.first is None:
            bins.first = first_ms // bins.width_ms
        while last_ms // bins.width_ms - first_ms // bins.width_ms >= BINS_MAX:
            for each in self.series.values():
                each.fold(is_odd=bool(bins.first % 2))
            bins.first //= 2
            bins.width_ms *= 2
        if places := bins.first - first_ms // bins.width_ms:
            for each in self.series.values():
                each.shift(places)
            bins.first -= places

    def of(self, monitor: str) -> list[Series]:
        """A monitor's segments, those with most outcomes first."""
        found = [series for (name, _), series in self.series.items() if name == monitor]
        return sorted(found, key=lambda each: -each.totals[0])

    @property
    def end(self) -> int:
        """How many bins are in use."""
        if self.last_ms is None:
            return 0
        return int(self._bins.of(np.array([self.last_ms]))[0]) + 1

    def _series(self, key: StreamKey) -> Series | None:
        series = self.series.get(key)
        monitor = self._monitors.get(key[0])
        if series is not None or monitor is None or len(monitor.split_by) != len(key[1]):
            return series
        if self._kept[key[0]] >= SEGMENTS_MAX:
            left_out = self.left_out[key[0]]
            if len(left_out) < 100 * SEGMENTS_MAX:
                left_out.add(key)
            return None
        self._kept[key[0]] += 1
        series = self.series[key] = Series(dict(zip(monitor.split_by, key[1], strict=True)), monitor, self._bins)
        return series


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
