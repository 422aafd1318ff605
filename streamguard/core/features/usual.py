"""What is usual in a stream of predictions: where each mean lies, by the hour of the week, and how much it wanders.

Theory of operation. Means over hours are compared with what is known of the same hour of the week (without a season, of
all hours before): how much more they differ than independent values would, and how much neighbouring hours do so alike,
is the design effect, which covers values that depend on each other as well as levels that wander. Means that do not
differ by hour of the week more than that have one level for all hours; the others have one for each.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamguard.core.bands import quantile
from streamguard.core.baseline import HOURS, UNIT
from streamguard.core.features.looks import Looks
from streamguard.core.features.reference import Ints

Floats = NDArray[np.float64]

HOUR_MS = 3_600_000
_MONDAY_MS = 4 * 24 * HOUR_MS
_CHANCE_MIN, _CHANCE_MAX = 1e-12, 0.05
# An hour of fewer values says nothing of how they vary, and fewer values in all say less than training does.
_HOUR_MIN = 2
_WITHIN_MIN = 50
# One hour of an outage must not make all others look as if they wandered.
_SQUARE_MAX = 20.0
_LAG_MAX = 0.98
_VARIANCE_MIN = 1e-4
# So many standard deviations more than chance, and hours do differ.
_SIGMAS = 5.0
# Of fewer comparisons the design effect would be chance.
_COMPARED_MIN = 5


@dataclass(frozen=True, slots=True)
class _Shared:
    """Of shape (looks,)."""

    overall: Floats
    margin: Floats
    unit: Floats
    """How far the level of an hour may be off: this over the root of its rows, and"""
    square: Floats
    """this over them."""
    is_own: NDArray[np.bool_]
    """Whether hours differ."""
    highest: Floats


@dataclass(frozen=True, slots=True)
class Levels:
    """Between which each mean may lie, and how much independent values say more than these; shape (looks,)."""

    low: Floats
    high: Floats
    design: Floats


class Usual:
    """Learns; then tells. Arrays of shape (looks,), or (looks, hours)."""

    def __init__(self, looks: Looks, *, is_seasonal: bool) -> None:
        self.looks = looks
        self.is_seasonal = is_seasonal
        self.start_ms: int | None = None
        self.given = 0.0
        """The budget when it began,"""
        self.spent = 0.0
        """and what flowed until it had learnt: the chance that a bound is wrong."""
        self.rows = 0
        self.hour: int | None = None
        """Since 1970, that is being summed up."""
        count, hours = len(looks), HOURS if is_seasonal else 1
        self.sums = np.zeros((3, count), np.int64)
        """Of the present hour: values, scores, squares."""
        self.hour_rows = 0
        self.means = np.full((count, hours), np.nan, np.float32)
        self.counts = np.zeros(hours, np.int64)
        """Rows by hour of the week."""
        self.last = np.full(count, np.nan)
        """How far the last hour was from what was known of it, in standard deviations."""
        self.within = np.zeros((2, count))
        """Squared distances from the means of hours, and how many values."""
        self.compared = np.zeros((3, count))
        """Squared differences of two hours, as chance would have them 1 each; how many; products of neighbours."""

    def take(self, time_ms: int, rows: int, sums: tuple[Ints, Ints, Ints]) -> None:
        """Take a window, in order of event time."""
        hour = time_ms // HOUR_MS
        if self.hour is not None and hour != self.hour:
            self.close()
        self.hour = hour
        self.sums += np.stack(sums)
        self.hour_rows += rows
        self.rows += rows

    def close(self) -> None:
        """The present hour is over."""
        if self.hour is None or not self.hour_rows:
            return
        counts, totals, squares = self.sums.astype(np.float64)
        known = counts >= _HOUR_MIN
        safe = np.maximum(counts, 1)
        means = totals / safe / UNIT
        self.within += np.where(known, np.stack((squares / UNIT**2 - counts * means**2, counts)), 0.0)
        place = self._place(self.hour)
        before = self.means[:, place].astype(np.float64)
        former = np.minimum(counts, self.counts[place]) if self.is_seasonal else np.full(len(counts), self.counts[0])
        self._compare(
            known & ~np.isnan(before) & (former >= _HOUR_MIN), means - before, 1 / safe + 1 / np.maximum(former, 1)
        )
        share = self.hour_rows / (self.counts[place] + self.hour_rows)
        merged = np.where(np.isnan(before), means, before + (means - before) * share)
        self.means[:, place] = np.where(counts > 0, merged, before)
        self.counts[place] += self.hour_rows
        self.sums[:] = 0
        self.hour_rows = 0

    def _compare(self, is_known: NDArray[np.bool_], differences: Floats, per_value: Floats) -> None:
        variance = np.maximum(self._variance(), _VARIANCE_MIN)
        steps = differences / np.sqrt(variance * per_value)
        usual = self.compared[0] / np.maximum(self.compared[1], 1)
        most = np.sqrt(_SQUARE_MAX * np.maximum(usual, 1.0))
        steps = np.where(is_known, np.clip(steps, -most, most), 0.0)
        # Hours that follow each other are compared as well: levels that wander hang together.
        products = np.where(is_known & ~np.isnan(self.last), steps * self.last, 0.0)
        self.compared += np.stack((steps**2, is_known.astype(np.float64), products))
        self.last = np.where(is_known, steps, np.nan)

    def _variance(self) -> Floats:
        """Of single values within an hour; of few of them that of training."""
        within: Floats = self.within[0] / np.maximum(self.within[1], 1)
        return np.where(self.within[1] >= _WITHIN_MIN, within, self.looks.spread**2)

    def expected(self, start_ms: int, end_ms: int) -> Floats:
        """The mean that is usual in that time, each of its hours weighed alike; NaN of what never came."""
        shared = self._shared(0.0, self.design())
        found: Floats = np.mean([self._known(place, shared)[0] for place in self._places(start_ms, end_ms)], axis=0)
        return found

    def _places(self, start_ms: int, end_ms: int) -> list[int]:
        """The hours of the week that a time has something of."""
        first, last = start_ms // HOUR_MS, (end_ms - 1) // HOUR_MS
        return sorted({self._place(hour) for hour in range(first, min(last, first + HOURS) + 1)})

    def _place(self, hour: int) -> int:
        return (hour - _MONDAY_MS // HOUR_MS) % HOURS if self.is_seasonal else 0

    # What it tells.

    def level(self) -> Floats:
        """The mean over all hours; NaN of what never came."""
        weights = np.where(np.isnan(self.means), 0.0, self.counts[None, :])
        total = weights.sum(axis=1)
        with np.errstate(invalid="ignore"):
            found: Floats = np.where(total > 0, (np.nan_to_num(self.means) * weights).sum(axis=1) / total, np.nan)
        return found

    def design(self) -> Floats:
        """How many values say as much as one independent one."""
        squares, count, products = self.compared
        # By chance alone the mean of so many squares is sometimes above 1.
        chance = 1 + 2 * np.sqrt(2 / np.maximum(count, 1))
        found = np.where(count >= _COMPARED_MIN, squares / np.maximum(count, 1), 1.0)
        found = np.where(found > chance, np.maximum(found, 1.0), 1.0)
        # Of a level that stays for a while (an autoregression) the mean of many hours is as much less sure.
        lag = np.where(count >= _COMPARED_MIN, products / np.maximum(squares, 1e-9), 0.0)
        lag = np.where((found > 1.0) & (lag > 2 / np.sqrt(np.maximum(count, 1))), np.minimum(lag, _LAG_MAX), 0.0)
        effect: Floats = found * (1 + lag) / (1 - lag)
        return effect

    def levels(self, span_ms: tuple[int, int] | None, tolerance: float) -> Levels:
        """Between which each mean may lie in that time, from training and from what was learnt; None: nothing was."""
        looks = self.looks
        low, high = looks.level - looks.margin, looks.level + looks.margin
        design = np.ones(len(looks))
        if span_ms is not None and self.rows:
            chance = min(_CHANCE_MAX, max(_CHANCE_MIN, self.spent / (2 * len(looks))))
            design = self.design()
            shared = self._shared(quantile(chance), design)
            for place in self._places(*span_ms):
                mean, margin = self._known(place, shared)
                low, high = np.fmin(low, mean - margin), np.fmax(high, mean + margin)
        low, high = low - tolerance, high + tolerance
        # What is declared stays, and what nothing is known of is not asked.
        low = np.where(looks.is_contract, 0.0, np.nan_to_num(low, nan=0.0))
        high = np.where(looks.is_contract, looks.margin, np.nan_to_num(high, nan=1.0))
        return Levels(low, high, np.where(looks.is_contract, 1.0, design))

    def _shared(self, z: float, design: Floats) -> _Shared:
        """What the levels of all hours follow from; `z`: by so many deviations a level may be off."""
        overall, total = self.level(), max(1, int(self.counts.sum()))
        variance = np.maximum(self._variance(), _VARIANCE_MIN)
        is_some = self.within[1] >= _WITHIN_MIN
        part = np.where(is_some, np.clip(self.within[1] / max(1, self.rows), 1e-6, 1.0), 1.0)
        unit, square = z * np.sqrt(variance * design / part), z**2 * design / (2 * part)
        margin = unit / np.sqrt(total) + square / total
        if not self.is_seasonal:
            nowhere = np.zeros(len(self.looks), np.bool_)
            return _Shared(overall, margin, unit, square, nowhere, overall)
        highest = np.nanmax(np.where(np.isnan(self.means), -1.0, self.means), axis=1)
        return _Shared(overall, margin, unit, square, self._differs(overall, variance, design, part), highest)

    def _known(self, place: int, shared: _Shared) -> tuple[Floats, Floats]:
        """Where each mean was at this hour of the week, and how far that may be off."""
        if not shared.is_own.any():
            return shared.overall, shared.margin
        means = self.means[:, place].astype(np.float64)
        count = max(1, int(self.counts[place]))
        own = shared.unit / np.sqrt(count) + shared.square / count
        # An hour that never was may be like any other.
        own = np.where(np.isnan(means), np.maximum(shared.highest - shared.overall, 0) + own, own)
        means = np.where(np.isnan(means), shared.overall, means)
        is_own = shared.is_own
        return np.where(is_own, means, shared.overall), np.where(is_own, own, shared.margin)

    def _differs(self, overall: Floats, variance: Floats, design: Floats, part: Floats) -> NDArray[np.bool_]:
        """Whether the hours of the week differ more than by chance."""
        known = ~np.isnan(self.means)
        distances = np.where(known, self.means - overall[:, None], 0.0) ** 2 * self.counts[None, :] * part[:, None]
        hours = np.maximum(known.sum(axis=1), 1)
        found: NDArray[np.bool_] = distances.sum(axis=1) / (variance * design) > hours + _SIGMAS * np.sqrt(2 * hours)
        return found

    # How it is kept.

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON; arrays as base64 of their little-endian bytes."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        return {**plain, **{name: packed(getattr(self, name)) for name in _ARRAYS}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """As the one was that took the snapshot."""
        for name in _PLAIN:
            setattr(self, name, state[name])
        for name in _ARRAYS:
            own = getattr(self, name)
            setattr(self, name, unpacked(state[name], own))


_PLAIN = ("start_ms", "given", "spent", "rows", "hour", "hour_rows")
_ARRAYS = ("sums", "means", "counts", "last", "within", "compared")


def packed(array: NDArray[Any]) -> str:
    """Its bytes, little-endian, as base64."""
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode()


def unpacked(text: str, like: NDArray[Any]) -> NDArray[Any]:
    """An array of this shape and type; raises `ValueError` for any other."""
    found = np.frombuffer(base64.b64decode(text, validate=True), like.dtype.newbyteorder("<"))
    return found.reshape(like.shape).astype(like.dtype)
