"""What stands for Kafka's timestamp where records have none, so that one wrong clock does not make all others late.

Theory of operation. Live, a record whose time is ahead of the broker's clock by more than `join.max_ahead` is refused.
In files nobody has stamped records, but it is known what follows. A record that is ahead of all that was taken before
it by more than `join.max_ahead` is in doubt. It is honest if those that follow come as far, as they do after a gap.
It is refused if of the next 128 not a quarter do, by far: Tukey's fence, three times the range between their quartiles
above the upper one, and `join.max_ahead` on top of it. So what is in no order at all is not refused either, and what
is wrong in a quarter of all records, or in so many that follow each other, is taken. Near the end, where less than
ten follow, one is refused that is further ahead than all before it is long, and a day. What is ahead by no more than
`join.disorder` makes nothing late, and is in no doubt. Whether a record is refused
depends on the records before it and the next 128 alone, not on how they are cut into batches.

Source of the fence: J. W. Tukey, Exploratory Data Analysis, 1977, section 2D.
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streamguard.core.codec import Mapping
from streamguard.core.fields import TIME_MAX_MS
from streamguard.core.records import Batch
from streamguard.core.waiting import NEVER
from streamguard.replay.sources import DamagedFileError, Ints, OnRead, Wrapped, ignored
from streamguard.replay.times import UNKNOWN, Times

_STEPS = 7
AFTER = 1 << _STEPS
"""So many rows after one decide with those before it."""
_JUDGES_MIN = 10
"""Of fewer nothing can be said."""
_FENCE = 3
_DAY_MS = 86_400_000
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Stamped(Wrapped):
    """The records of a source that has no Kafka timestamps, with ones that refuse a record that is far ahead."""

    mapping: Mapping
    """Of its side, with a field for the time."""
    disorder_ms: int

    def batches(self, on_read: OnRead = ignored) -> Iterator[Batch]:
        """As the source; raises what it raises, a `DamagedFileError` after all records that came before it."""
        times = Times(self.mapping.time or (), self.mapping.record_bytes)
        clock = Clock(self.mapping.max_ahead_ms + self.disorder_ms)
        held: deque[tuple[Batch, Ints]] = deque()
        damage = None
        try:
            for batch in self.source.batches(on_read):
                held.append((batch, times.read(batch.values)))
                while sum(len(each) for _, each in held) - len(held[0][1]) >= AFTER:
                    yield _stamped(held, clock)
        except DamagedFileError as error:
            damage = error
        while held:
            yield _stamped(held, clock)
        if damage is not None:
            raise damage


def _stamped(held: deque[tuple[Batch, Ints]], clock: "Clock") -> Batch:
    """The first batch, with its timestamps; the others hold what follows."""
    batch, times = held.popleft()
    after = np.concatenate([times[:0], *(each for _, each in held)])
    return replace(batch, timestamps=clock.stamps(times, after[:AFTER]))


class Clock:
    """How far the records of one source have come, as nobody's clock says."""

    def __init__(self, max_ahead_ms: int) -> None:
        self._max_ahead_ms = max_ahead_ms
        self._reached_ms = NEVER
        self._first_ms: int | None = None
        self._count = 0
        """Of the records that were taken, and have a time."""

    def stamps(self, times: Ints, after: Ints) -> Ints:
        """Timestamps for the next records, by their event times: so small where one is refused that it is.

        `after` are the times of the `AFTER` records after them, of fewer only where the source ends.
        """
        stamps = np.full(len(times), TIME_MAX_MS)
        padding = np.full(AFTER - len(after), UNKNOWN)
        known = np.concatenate([times, after, padding])
        done = 0
        for row, upper_ms in self._beyond(known, len(times)):
            self._take(times[done:row])
            done = row
            if times[row] > self._reached_ms + self._max_ahead_ms + (self._span_ms() if upper_ms is None else 0):
                # What is refused is no progress.
                stamps[row] = max(self._reached_ms, upper_ms or 0)
                done = row + 1
        self._take(times[done:])
        return stamps

    def _take(self, times: Ints) -> None:
        known = times[times != UNKNOWN]
        if len(known):
            self._first_ms = int(known[0]) if self._first_ms is None else self._first_ms
            self._count += len(known)
            self._reached_ms = max(self._reached_ms, int(known.max()))

    def _span_ms(self) -> float:
        """How long all is that was taken; of little nothing can be said."""
        if self._first_ms is None or self._count < AFTER:
            return math.inf
        return max(self._reached_ms - self._first_ms, _DAY_MS)

    def _beyond(self, known: Ints, count: int) -> Iterator[tuple[int, int | None]]:
        """Of the first `count` those beyond the fence of the ones after them, with the upper quartile of these.

        With None those that too few follow.
        """
        doubted = self._doubted(known, count)
        after = np.lib.stride_tricks.sliding_window_view(known, AFTER)
        for first in range(0, len(doubted), _ROWS_AT_ONCE):
            rows = doubted[first : first + _ROWS_AT_ONCE]
            judges = after[rows + 1]
            counts = (judges != UNKNOWN).sum(axis=1)
            ordered = np.sort(np.where(judges == UNKNOWN, TIME_MAX_MS, judges), axis=1)
            lower, upper = (ordered[np.arange(len(rows)), quarters * counts // 4] for quarters in (1, 3))
            fences = upper + _FENCE * (upper - lower) + self._max_ahead_ms
            is_judged = counts >= _JUDGES_MIN
            is_beyond = ~is_judged | (known[rows] > fences)
            told = np.where(is_judged, upper, UNKNOWN)[is_beyond].tolist()
            yield from zip(rows[is_beyond].tolist(), (None if each == UNKNOWN else each for each in told), strict=True)

    def _doubted(self, known: Ints, count: int) -> NDArray[np.intp]:
        """Of the first `count` all that may be refused, found without a look at all that follow each: they are few."""
        lowest = np.where(known == UNKNOWN, TIME_MAX_MS, known)[1:]
        for step in range(_STEPS):
            lowest = np.minimum(lowest[: -(1 << step)], lowest[1 << step :])
        times, lowest = known[:count], lowest[:count]
        is_sure = (times <= lowest + self._max_ahead_ms) & (lowest < TIME_MAX_MS)
        reached = np.maximum.accumulate(np.concatenate([[self._reached_ms], np.where(is_sure, times, NEVER)]))
        return np.flatnonzero(~is_sure & (times > reached[:-1] + self._max_ahead_ms))
