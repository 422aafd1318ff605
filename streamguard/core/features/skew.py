"""What differs grossly from training while what is usual is still learnt: told at the end of a day.

By the day, so that no season within it looks like that. Weekdays differ as well: of a mean that could follow them it
takes a week of days that are all off on the same side. What is missing, of another kind or none of training's values
follows no calendar: if that is far off, a day is enough.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamguard.core.baseline import UNIT
from streamguard.core.features.looks import Looks, What
from streamguard.core.features.reference import Ints
from streamguard.core.features.usual import HOUR_MS, packed, unpacked

_DAY_MS = 24 * HOUR_MS
_COVERED_MS = 18 * HOUR_MS
_ROWS_MIN = 500
# By how much a mean must be off, as a part of all it could be: on each day of a week, or on one.
_GROSS, _FAR = 0.1, 0.4
_WEEK = 7
_FREE = {What.MISSING, What.ODD, What.OTHERS}


class Skew:
    """Sums of a day (UTC), and how many days in a row each mean was off, and on which side."""

    def __init__(self, looks: Looks, state: Sequence[Any] | None = None, *, is_off: bool = False) -> None:
        self._looks = looks
        self._is_free = np.array([look.what in _FREE for look in looks.all], np.bool_)
        self.is_off = is_off
        self.day: int | None = None
        self.covered_ms = 0
        """By windows in which something came."""
        self.sums = np.zeros((2, len(looks)), np.int64)
        """Of the present day: values and scores."""
        self.days = np.zeros(len(looks), np.int64)
        """In a row; below zero where the mean was too low."""
        if state is not None:
            self.is_off, self.day, self.covered_ms, sums, days = state
            self.sums, self.days = unpacked(sums, self.sums), unpacked(days, self.days)

    def take(self, time_ms: int, window_ms: int, sums: tuple[Ints, Ints, Ints]) -> NDArray[np.bool_] | None:
        """Take a window; at the end of a day returns which looks are off, if any are."""
        if self.is_off:
            return None
        day, found = time_ms // _DAY_MS, None
        if self.day is not None and day != self.day:
            found = self._judge()
            self.sums[:] = 0
            self.covered_ms = 0
        self.day = day
        self.covered_ms += window_ms
        self.sums += np.stack(sums[:2])
        return found

    def _judge(self) -> NDArray[np.bool_] | None:
        looks, (rows, totals) = self._looks, self.sums
        differences = totals / np.maximum(rows, 1) / UNIT - np.nan_to_num(looks.level)
        distances = np.abs(differences) - looks.margin
        is_known = (rows >= _ROWS_MIN) & ~np.isnan(looks.level) & ~looks.is_contract
        if self.covered_ms < _COVERED_MS:
            return None
        side = np.where(is_known & (distances > _GROSS), np.sign(differences), 0).astype(np.int64)
        self.days = np.where(side == 0, 0, np.where(np.sign(self.days) == side, self.days, 0) + side)
        is_off = (np.abs(self.days) >= _WEEK) | (is_known & self._is_free & (distances > _FAR))
        return is_off if is_off.any() else None

    def snapshot(self) -> list[Any]:
        """Plain JSON."""
        return [self.is_off, self.day, self.covered_ms, packed(self.sums), packed(self.days)]
