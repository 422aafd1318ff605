"""How many records are usual, by the hour of the week, and how far counts wander from that by themselves.

Counts are of slots of five minutes, of the last weeks. What is usual of a slot is the mean of all slots of its hour
of the week. How far the sum of a block of slots wanders is its index of dispersion: the mean square of what it was
off by, in units of what was expected, over the blocks of the same length that ended within an hour of that time on
the days before; of independent records that is 1. The last two days, which are judged, are no part of that. So a
stream that comes in one burst a night, now earlier, now later, wanders far at that hour, and not at all two hours
later: it is judged then.

How unlikely it is that no more than x came where e were expected is bounded (Chernoff) as for a negative binomial of
that dispersion.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SLOT_MS = 300_000
HOUR_SLOTS = 12
DAY_SLOTS = 24 * HOUR_SLOTS
LENGTHS = (1, 3, 12, 36, 72, 144, 288, 576)
"""Of blocks, in slots: five minutes to two days."""
UNKNOWN = -1
# The first slot of a Monday, counted from the epoch, which was a Thursday.
_MONDAY = 4 * DAY_SLOTS
_HOURS = 7 * 24
_JUDGED = LENGTHS[-1]
_BESIDE = np.arange(-HOUR_SLOTS, HOUR_SLOTS + 1, 3)
# The widest block of the days before is at most three standard deviations wide.
_WIDEST = 9.0

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Block(NamedTuple):
    """Some slots in a row."""

    came: int
    expected: float
    dispersion: float
    """At least 1."""

    @property
    def surprise(self) -> float:
        """Minus the logarithm of how likely it is, at most, that no more than `came` did."""
        return self._off(self.expected) if self.came < self.expected else 0.0

    def excess(self, part: float) -> float:
        """The same of at least `came`, where only this part of what is usual comes."""
        low = part * self.expected
        if low <= 0:
            return math.inf if self.came else 0.0
        return self._off(low) if self.came > low else 0.0

    def _off(self, expected: float) -> float:
        if math.isinf(self.dispersion):
            return 0.0
        count, size = self.came, expected / max(self.dispersion - 1, 1e-6)
        of_count = count * math.log(count / expected) if count else 0.0
        return of_count - (count + size) * math.log((count + size) / (expected + size))


class Usual:
    """The counts of the last slots. `days`: how many of them what is usual is learnt from."""

    def __init__(self, days: int, *, is_seasonal: bool, state: Sequence[Any] | None = None) -> None:
        size = days * DAY_SLOTS + _JUDGED
        self._days, self._size, self._is_seasonal = days, size, is_seasonal
        # Within an hour nothing is lost that was known when it began.
        self._held = size + HOUR_SLOTS
        self._counts = np.full(self._held, UNKNOWN, np.int64)
        """Of slots by their number modulo their count; `UNKNOWN` where there is none to learn from."""
        self.next: int | None = None
        """The slot that is counted next, since the epoch."""
        self.seen = 0
        if state is not None:
            self.next, self.seen, counts = state
            self._counts = np.array(counts, np.int64)
        self._sums: _Sums | None = None

    def __len__(self) -> int:
        return self._size

    @property
    def is_learnt(self) -> bool:
        """Whether there is enough to judge by."""
        return self.seen >= self._size

    def add(self, count: int) -> None:
        """The count of the next slot."""
        if self.next is None:
            raise ValueError("no slot is next")
        self._counts[self.next % self._held] = count
        self.next += 1
        self.seen += 1
        if self._sums is not None:
            self._sums.add(count)

    def forget(self, first: int) -> None:
        """From this slot on nothing was usual."""
        last = self.next or first
        for slot in range(max(first, last - self._held), last):
            self._counts[slot % self._held] = UNKNOWN
        self._sums = None

    def clear(self) -> None:
        """Learn anew."""
        self._counts[:] = UNKNOWN
        self.seen, self._sums = 0, None

    def block(self, length: int, recent: Sequence[int] | None = None) -> Block | None:
        """The last slots, as what is usual was when this hour began; None where not all that it takes is known.

        `recent`: the latest counts, where they are not to become usual.
        """
        end = self.next or 0
        hour = end // HOUR_SLOTS * HOUR_SLOTS
        if self._sums is None or self._sums.hour != hour:
            self._sums = self._summed(hour, end)
        return self._sums.block(length, recent)

    def _summed(self, hour: int, end: int) -> "_Sums":
        """Of the slots before the hour began."""
        slots = np.arange(hour - self._size, hour + HOUR_SLOTS)
        counts = np.full(len(slots), UNKNOWN, np.int64)
        late = end - hour
        known = slots[: self._size + late]
        counts[: self._size + late] = self._counts[known % self._held]
        is_known = counts != UNKNOWN
        is_known[self._size - _JUDGED :] = False
        hours = (slots - _MONDAY) // HOUR_SLOTS % _HOURS if self._is_seasonal else np.zeros(len(slots), np.int64)
        sums = np.bincount(hours[is_known], counts[is_known], minlength=_HOURS)
        numbers = np.bincount(hours[is_known], minlength=_HOURS)
        # Of an hour that was never known, what is usual over all.
        level = float(counts[is_known].mean()) if is_known.any() else 0.0
        expected = np.where(numbers > 0, sums / np.maximum(numbers, 1), level)[hours]
        weeks = self._days / 7 if self._is_seasonal else math.inf
        return _Sums(hour, self._size, counts[: self._size + late], expected, weeks)

    def snapshot(self) -> list[Any]:
        """Plain JSON."""
        return [self.next, self.seen, self._counts.tolist()]


class _Sums:
    """Running sums up to the slot that is next, as of one hour."""

    def __init__(self, hour: int, size: int, counts: Ints, expected: Floats, weeks: float) -> None:
        self.hour, self._size = hour, size
        # A mean of two weeks lies nearer to each of them than the next one will.
        self._narrow = 1.0 if math.isinf(weeks) else max(weeks, 1.5) / max(weeks - 1, 0.5)
        self._each = expected
        self._place = len(counts)
        is_known = counts != UNKNOWN
        length = size + HOUR_SLOTS + 1
        self._counts, self._expected, self._unknown = (np.zeros(length) for _ in range(3))
        self._all = np.concatenate(([0.0], np.cumsum(expected)))
        end = self._place + 1
        self._counts[1:end] = np.cumsum(np.where(is_known, counts, 0))
        self._expected[1:end] = np.cumsum(np.where(is_known, expected[: len(counts)], 0))
        self._unknown[1:end] = np.cumsum(~is_known)

    def add(self, count: int) -> None:
        """The next slot, if it is still of this hour."""
        place = self._place
        if place >= self._size + HOUR_SLOTS:
            return
        is_known = count != UNKNOWN
        self._counts[place + 1] = self._counts[place] + (count if is_known else 0)
        self._expected[place + 1] = self._expected[place] + (self._each[place] if is_known else 0)
        self._unknown[place + 1] = self._unknown[place] + (not is_known)
        self._place += 1

    def block(self, length: int, recent: Sequence[int] | None) -> Block | None:
        place = self._place
        dispersion = self._dispersion(length)
        if dispersion is None:
            return None
        if recent is None and self._unknown[place] != self._unknown[place - length]:
            return None
        if recent is not None:
            return Block(sum(recent[-length:]), float(self._all[place] - self._all[place - length]), dispersion)
        count = round(self._counts[place] - self._counts[place - length])
        return Block(count, float(self._expected[place] - self._expected[place - length]), dispersion)

    def _dispersion(self, length: int) -> float | None:
        ends = np.arange(self._place - _JUDGED, length - 1, -DAY_SLOTS)
        # What came later today than on any of a few days may well come still: so within an hour of that time.
        ends = (ends[:, None] + _BESIDE).ravel()
        ends = ends[(ends >= length) & (ends <= self._place)]
        begins = ends - length
        expected = self._expected[ends] - self._expected[begins]
        usable = (self._unknown[ends] == self._unknown[begins]) & (expected > 0)
        if np.count_nonzero(usable) < 2:
            return None if not usable.any() else math.inf
        off = self._counts[ends[usable]] - self._counts[begins[usable]] - expected[usable]
        squares = off**2 / expected[usable]
        # Of few blocks the mean may be small by chance; those beside each other are no more than one.
        few = 1 + 3 * math.sqrt(2 / min(len(squares), self._size // DAY_SLOTS))
        return max(1.0, float(squares.mean()) * few, float(squares.max()) / _WIDEST) * self._narrow
