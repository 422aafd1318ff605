"""Event time of a topic that is written by many clocks, of which some may be wrong."""

from collections.abc import Sequence

_JUMP_MS = 3_600_000
_CONFIRMED = 3


class Clock:
    """Goes with the times of records, never back by less than an hour, and not after a single clock that is wrong.

    A time that is more than an hour from the last counts when three records in a row say so: after a silence of all,
    say. One instance among others with a wrong clock never has three in a row.

    >>> clock = Clock()
    >>> [clock.take(time_ms) for time_ms in (1000, 3000, 2000, 9**12, 4000)]
    [1000, 3000, 3000, 3000, 4000]
    """

    def __init__(self, state: Sequence[int] | None = None) -> None:
        self._now_ms, self._ahead, self._behind = state or (-1, 0, 0)

    def take(self, time_ms: int) -> int:
        """The event time when a record of this time has come, in epoch milliseconds."""
        if self._now_ms < 0:
            self._now_ms = time_ms
        self._ahead = self._ahead + 1 if time_ms > self._now_ms + _JUMP_MS else 0
        self._behind = self._behind + 1 if time_ms < self._now_ms - _JUMP_MS else 0
        is_near = not self._ahead and not self._behind
        if (is_near and time_ms > self._now_ms) or _CONFIRMED in (self._ahead, self._behind):
            self._now_ms = time_ms
            self._ahead = self._behind = 0
        return self._now_ms

    def snapshot(self) -> list[int]:
        """Plain JSON."""
        return [self._now_ms, self._ahead, self._behind]
