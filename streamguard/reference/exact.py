"""Sums of floats without rounding, so that no order and no cut of the data changes them.

Theory of operation: a float64 is a whole number times a power of two, so any number of them can be added as one
large whole number. Source: Kulisch, "Very fast and exact accumulation of products", Computing 91, 2011.
"""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Every float64, its 53 bits of mantissa taken as a whole number, is a multiple of this power of two.
_UNIT_EXPONENT = -1126
_LOW_BITS = 26


class ExactSum:
    """The sum of finite numbers, exact; at most about 300 bytes.

    >>> total = ExactSum()
    >>> total.add(np.array([1e16, 1.0, -1e16]))
    >>> float(total.value)
    1.0
    """

    __slots__ = ("units",)

    def __init__(self) -> None:
        self.units = 0
        """The sum as a multiple of 2^-1126."""

    def add(self, values: Floats) -> None:
        """Add finite numbers, at most 2^26 of them: the halves of so many mantissas are added as float64."""
        if not len(values):
            return
        fractions, exponents = np.frexp(values)
        mantissas = np.ldexp(fractions, 53).astype(np.int64)
        first = int(exponents.min())
        places = exponents - first
        highs = np.bincount(places, (mantissas >> _LOW_BITS).astype(np.float64))
        lows = np.bincount(places, (mantissas & ((1 << _LOW_BITS) - 1)).astype(np.float64))
        for place in np.flatnonzero((highs != 0) | (lows != 0)).tolist():
            whole = (int(highs[place]) << _LOW_BITS) + int(lows[place])
            self.units += whole << (first + place - 53 - _UNIT_EXPONENT)

    def merge(self, other: "ExactSum") -> None:
        """Add what another has summed."""
        self.units += other.units

    @property
    def value(self) -> Fraction:
        """The sum itself."""
        return Fraction(self.units, 1 << -_UNIT_EXPONENT)
