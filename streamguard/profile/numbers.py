"""The distribution of a numeric feature in at most 7 kB, the same whatever the order of its values."""

import math
from fractions import Fraction

import numpy as np

from streamguard.reference.bins import Bounds, EqualBins, LogBins
from streamguard.reference.exact import ExactSum, Floats

SQUARED_MAX = 1e150
"""The square of a larger number is no float64: with one among them no deviation is known."""
_SPLIT = float((1 << 27) + 1)


class Numbers:
    """Finite numbers: how many, their mean, deviation, range and quantiles. At most 7 kB.

    Results are a function of the numbers alone: neither order nor how they were cut and merged matters. A quantile
    is off by at most 1/64 of its value (1.6%), or 1/127 of the range, whichever is less; by the second alone where it
    is nearer to zero than the 384 logarithmic bins of the largest magnitudes.

    >>> numbers = Numbers()
    >>> numbers.add(np.arange(1.0, 101.0))
    >>> numbers.mean, numbers.low, numbers.high, round(numbers.quantile(0.5))
    (50.5, 1.0, 100.0, 50)
    """

    __slots__ = ("count", "equal", "high", "log", "low", "negative", "squares", "total")

    def __init__(self) -> None:
        self.count = 0
        self.negative = 0
        self.low = math.inf
        self.high = -math.inf
        self.log = LogBins()
        self.equal = EqualBins()
        self.total = ExactSum()
        self.squares = ExactSum()

    def add(self, values: Floats) -> None:
        """Take finite numbers, at most 2^24."""
        if not len(values):
            return
        # A zero has no sign here.
        values = values + 0.0
        self.count += len(values)
        self.negative += int(np.count_nonzero(values < 0))
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        self.log.add(values)
        self.equal.add(values)
        self.total.add(values)
        self.squares.add(_squares(values[np.abs(values) <= SQUARED_MAX]))

    def merge(self, other: "Numbers") -> None:
        """Take all that another has taken; it is left as it is."""
        self.count += other.count
        self.negative += other.negative
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.log.merge(other.log)
        self.equal.merge(other.equal)
        self.total.merge(other.total)
        self.squares.merge(other.squares)

    @property
    def mean(self) -> float | None:
        """Rounded once; None where there are no numbers."""
        return float(self.total.value / self.count) if self.count else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the population; None where there are no numbers, or one is beyond 1e150."""
        if not self.count or max(-self.low, self.high) > SQUARED_MAX:
            return None
        mean: Fraction = self.total.value / self.count
        return math.sqrt(max(Fraction(0), self.squares.value / self.count - mean * mean))

    def bounds(self, part: float) -> Bounds:
        """Between which numbers the quantile lies that this part (0 to 1) of all is not above, by rank."""
        rank = math.floor(part * (self.count - 1))
        (low, high), (left, right) = self.log.bounds(rank), self.equal.bounds(rank)
        return max(low, left, self.low), min(high, right, self.high)

    def quantile(self, part: float) -> float:
        """The middle of its bounds; there must be numbers."""
        low, high = self.bounds(part)
        return low / 2 + high / 2


def _squares(values: Floats) -> Floats:
    """Numbers, three for each value, whose sum is that of the squares, without rounding.

    Source: Dekker, "A floating-point technique for extending the available precision", Numer. Math. 18, 1971.
    """
    scaled = values * _SPLIT
    high = scaled - (scaled - values)
    low = values - high
    return np.concatenate([high * high, 2 * high * low, low * low])
