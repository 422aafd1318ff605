"""What differs grossly from training on a whole day, hours weighed alike: told while what is usual is still learnt.

A day has all hours in it, so that no season within the day looks like it; and it must differ by more than weekdays do.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamguard.core.baseline import UNIT
from streamguard.core.features.looks import Looks
from streamguard.core.features.reference import Ints
from streamguard.core.features.usual import HOUR_MS, packed, unpacked

Floats = NDArray[np.float64]

_DAY_HOURS = 24
_HOURS_MIN = 18
_ROWS_MIN = 500
# By how much a mean must be off, as a part of all it could be.
_GROSS = 0.1


class Skew:
    """Means of hours, summed up over a day (UTC)."""

    def __init__(self, looks: Looks, state: Sequence[Any] | None = None, *, is_off: bool = False) -> None:
        self._looks = looks
        self.is_off = is_off
        self.hour: int | None = None
        self.sums = np.zeros((2, len(looks)), np.int64)
        """Of the present hour: values and scores."""
        self.day = np.zeros((3, len(looks)))
        """Of the present day: sums of the means of hours, how many hours, and values."""
        if state is not None:
            self.is_off, self.hour, sums, day = state
            self.sums, self.day = unpacked(sums, self.sums), unpacked(day, self.day)

    def take(self, time_ms: int, sums: tuple[Ints, Ints, Ints]) -> NDArray[np.bool_] | None:
        """Take a window; at the end of a day returns which looks were off, if any were."""
        hour = time_ms // HOUR_MS
        found = None
        if self.is_off:
            return None
        if self.hour is not None and hour != self.hour:
            rows, totals = self.sums.astype(np.float64)
            is_some = rows > 0
            means = totals / np.maximum(rows, 1) / UNIT
            self.day += np.where(is_some, np.stack((means, np.ones_like(means), rows)), 0.0)
            self.sums[:] = 0
            if hour // _DAY_HOURS != self.hour // _DAY_HOURS:
                found = self._judge()
                self.day[:] = 0
        self.hour = hour
        self.sums += np.stack(sums[:2])
        return found

    def _judge(self) -> NDArray[np.bool_] | None:
        looks, (means, hours, rows) = self._looks, self.day
        distances = np.abs(means / np.maximum(hours, 1) - np.nan_to_num(looks.level)) - looks.margin
        is_off = (distances > _GROSS) & (hours >= _HOURS_MIN) & (rows >= _ROWS_MIN)
        is_off &= ~np.isnan(looks.level) & ~looks.is_contract
        return is_off if is_off.any() else None

    def snapshot(self) -> list[Any]:
        """Plain JSON."""
        return [self.is_off, self.hour, packed(self.sums), packed(self.day)]
