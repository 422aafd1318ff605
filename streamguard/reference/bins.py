"""Bins of numbers whose counts are the same whatever the order of the numbers.

Theory of operation: values are counted twice. Logarithmic bins, 32 to an octave, are the top bits of a float64: no
logarithm is taken, so that every machine agrees. Equal bins are 2^w wide, where w is the smallest that fits all
values into 128 of them; bins of 2^w nest in those of 2^(w+1). The first are fine where values span many octaves, the
second where they are far from zero and close to each other, such as times. A quantile lies within a bin of each, and
so within what the two have in common. What is kept of either is a function of the values, not of their order.

Sources: Masson, Rim and Lee, "DDSketch", VLDB 2019 (relative error, exact merges); Epicoco et al., "UDDSketch", IEEE
Access 8, 2020 (bins that nest); Tene, HdrHistogram (bins by the bits of a number).
"""

import math
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamguard.reference.exact import Floats

Ints = NDArray[np.int64]
Bounds = tuple[float, float]

_OCTAVE_BITS = 5
_SHIFT = 52 - _OCTAVE_BITS
LOG_BINS = 384
"""So many that hold anything are kept."""
EQUAL_BINS = 128
_EXPONENT_MIN = -1074


class LogBins:
    """Counts by sign and magnitude: each bin is 1/32 of its lower edge wide. At most 5 kB.

    The 384 bins of the largest magnitudes that hold anything are kept, which are 12 octaves full of numbers, or more
    with gaps; a few numbers far away cost a few bins.
    """

    __slots__ = ("counts", "near", "places", "zeros")

    def __init__(self) -> None:
        self.zeros = 0
        self.near = 0
        """Numbers other than zero, of either sign, that are nearer to zero than all bins."""
        self.places = np.empty(0, np.int32)
        """Bins by magnitude, ascending: twice the key, and one more where numbers are negative."""
        self.counts = np.empty(0, np.int64)

    def add(self, values: Floats) -> None:
        """Count finite numbers."""
        filled = values[values != 0]
        self.zeros += len(values) - len(filled)
        if len(filled):
            keys = (np.abs(filled).view(np.uint64) >> np.uint64(_SHIFT)).astype(np.int64)
            places = 2 * keys + (filled < 0)
            first = int(places.min())
            counts = np.bincount(places - first)
            found = np.flatnonzero(counts)
            self._take(found + first, counts[found])

    def merge(self, other: "LogBins") -> None:
        """Add the counts of another, which is left as it is."""
        self.zeros += other.zeros
        self.near += other.near
        self._take(other.places, other.counts)

    def by_key(self) -> dict[int, int]:
        """Counts, ascending by the numbers in them: of positive ones by key, of negative ones by -1 - key."""
        found = zip(self.places.tolist(), self.counts.tolist(), strict=True)
        return dict(sorted((-1 - place // 2 if place % 2 else place // 2, count) for place, count in found))

    def bounds(self, rank: int) -> Bounds:
        """Between which numbers the value of this rank (0 is the smallest) lies."""
        counts = self.by_key()
        near = (0.0, 0.0)
        if self.near:
            # Of the lowest bin's magnitude the positive ones may be near zero, and its negative ones kept.
            lowest = int(self.places[0])
            near = -log_edge(lowest // 2), log_edge((lowest + 1) // 2)
        steps = [(count, (-log_edge(-key), -log_edge(-1 - key))) for key, count in counts.items() if key < 0]
        steps.append((self.zeros + self.near, near))
        steps += [(count, (log_edge(key), log_edge(key + 1))) for key, count in counts.items() if key >= 0]
        return _at(steps, rank)

    def _take(self, places: NDArray[np.integer[Any]], counts: Ints) -> None:
        united, at = np.unique(np.concatenate([self.places, places]), return_inverse=True)
        sums = np.zeros(len(united), np.int64)
        np.add.at(sums, at, np.concatenate([self.counts, counts]))
        # Whoever kept fewer of the largest has dropped none of these: so merges are exact.
        first = max(0, len(united) - LOG_BINS)
        self.near += int(sums[:first].sum())
        self.places, self.counts = united[first:].astype(np.int32), sums[first:]


class EqualBins:
    """Counts in at most 128 bins of one width, a power of two; 1 kB."""

    __slots__ = ("bins", "first", "span", "width_log2")

    def __init__(self) -> None:
        self.width_log2 = _EXPONENT_MIN - 53
        self.first = 0
        """The number of the first bin: its lower edge over the width."""
        self.span: Bounds | None = None
        """The smallest and the largest value."""
        self.bins = np.zeros(EQUAL_BINS, np.int64)

    def add(self, values: Floats) -> None:
        """Count finite numbers, at least one."""
        self._widen(float(values.min()), float(values.max()))
        places = np.floor(np.ldexp(values, -self.width_log2)).astype(np.int64)
        # What underflows to zero is still below it.
        places[(values < 0) & (places == 0)] = -1
        self.bins += np.bincount(places - self.first, minlength=EQUAL_BINS)

    def merge(self, other: "EqualBins") -> None:
        """Add the counts of another, which is left as it is."""
        if other.span is None:
            return
        self._widen(*other.span)
        self.bins += self._placed(other)

    def by_number(self) -> dict[int, int]:
        """Counts by number of the bin, without those that are zero."""
        return {self.first + place: int(self.bins[place]) for place in np.flatnonzero(self.bins).tolist()}

    def bounds(self, rank: int) -> Bounds:
        """Between which numbers the value of this rank (0 is the smallest) lies."""
        steps = [
            (count, (_scaled(number, self.width_log2), _scaled(number + 1, self.width_log2)))
            for number, count in self.by_number().items()
        ]
        return _at(steps, rank)

    def _widen(self, low: float, high: float) -> None:
        if self.span is not None:
            low, high = min(low, self.span[0]), max(high, self.span[1])
        if (low, high) == self.span:
            return
        before = EqualBins()
        before.width_log2, before.first, before.bins = self.width_log2, self.first, self.bins
        self.width_log2, self.first = _fitting(low, high)
        is_empty, self.span = self.span is None, (low, high)
        self.bins = np.zeros(EQUAL_BINS, np.int64) if is_empty else self._placed(before)

    def _placed(self, other: "EqualBins") -> Ints:
        """The counts of bins that are at most as wide as these, in these."""
        places = np.flatnonzero(other.bins)
        numbers = (places + other.first) >> min(63, self.width_log2 - other.width_log2)
        return np.bincount(numbers - self.first, other.bins[places], EQUAL_BINS).astype(np.int64)


def log_edge(key: int) -> float:
    """The lower edge of a logarithmic bin."""
    return float(struct.unpack("<d", (max(0, key) << _SHIFT).to_bytes(8, "little"))[0])


def _scaled(number: int, exponent: int) -> float:
    try:
        return math.ldexp(number, exponent)
    except OverflowError:
        return math.copysign(math.inf, number)


def _at(steps: list[tuple[int, Bounds]], rank: int) -> Bounds:
    """The bounds of the step in which a rank falls."""
    for count, bounds in steps:
        if rank < count:
            return bounds
        rank -= count
    raise IndexError("no value has such a rank")


def _fitting(low: float, high: float) -> tuple[int, int]:
    """The smallest width of bins that this range fits into, as a power of two, and the number of the first."""
    largest = max(-low, high, 0.0)
    # The number of a bin has 53 bits, and so is a float64, too.
    width = (math.frexp(largest)[1] if largest else _EXPONENT_MIN) - 53
    while _bin_of(high, width) - _bin_of(low, width) >= EQUAL_BINS:
        width += 1
    return width, _bin_of(low, width)


def _bin_of(value: float, width: int) -> int:
    number = math.floor(math.ldexp(value, -width))
    return -1 if value < 0 and number == 0 else number
