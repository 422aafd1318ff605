"""When which target is due."""

from collections.abc import Mapping
from zlib import crc32

_LATE_MS_MAX = 5_000


class Schedule:
    """Each target is due every so many milliseconds, at a moment within these that follows from its name.

    So targets of one interval are spread over it, and always in the same way. Time is any that does not go back.
    What is late by more than half an interval, at most 5 s, is left out until its next moment: after a pause nothing
    is made up for, and there is no burst.

    >>> schedule = Schedule({"a": 1000, "b": 1000}, now_ms=0)
    >>> [(at, schedule.due(at)) for at in (0, 906, 907, 908, 1847, 1910, 99_500, 99_920)]
    [(0, []), (906, ['b']), (907, ['a']), (908, []), (1847, ['b']), (1910, ['a']), (99500, []), (99920, ['b', 'a'])]
    """

    def __init__(self, every_ms: Mapping[str, int], now_ms: int) -> None:
        self._every_ms = dict(every_ms)
        self._next_ms = {name: _after(now_ms - 1, name, every) for name, every in self._every_ms.items()}

    def due(self, now_ms: int) -> list[str]:
        """The targets whose moment has come, those that have waited longest first; each is told once a moment."""
        found = []
        for name, at_ms in sorted(self._next_ms.items(), key=lambda each: (each[1], each[0])):
            if at_ms > now_ms:
                break
            every_ms = self._every_ms[name]
            if now_ms - at_ms <= min(every_ms // 2, _LATE_MS_MAX):
                found.append(name)
            self._next_ms[name] = _after(now_ms, name, every_ms)
        return found

    @property
    def next_ms(self) -> int | None:
        """When the next is due; None without targets."""
        return min(self._next_ms.values(), default=None)


def _after(now_ms: int, name: str, every_ms: int) -> int:
    """The target's first moment later than now."""
    phase_ms = crc32(name.encode()) % every_ms
    return now_ms + 1 + (phase_ms - now_ms - 1) % every_ms
