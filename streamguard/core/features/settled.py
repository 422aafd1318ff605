"""Of each hour how many predictions there were, and how many errors their scores let expect.

By the hour, and not as fine as windows, since labels may come weeks later and ask for it then.
"""

from collections.abc import Mapping
from typing import Any

from streamguard.core.features.gathering import Window
from streamguard.core.features.usual import HOUR_MS

# An answer goes back so far from the moment that it is asked of.
_HOURS_MAX = 840
# Where nobody asks.
_KEPT_MAX = 8760
_MILLION = 1_000_000


class Settled:
    """By hour: scored predictions, and millionths of errors."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        self._hours: dict[int, list[int]] = {int(hour): list(each) for hour, each in (state or {}).items()}

    def add(self, window: Window) -> None:
        """Take a window."""
        if not window.scored:
            return
        each = self._hours.setdefault(window.start_ms // HOUR_MS, [0, 0])
        each[0] += window.scored
        each[1] += window.expected
        if len(self._hours) > _KEPT_MAX:
            del self._hours[min(self._hours)]

    def estimate(self, since_ms: int | None, until_ms: int) -> dict[str, Any] | None:
        """The mean of errors that are expected, over the whole hours between; None where there is none.

        A function of what came until then, whatever has come since.
        """
        end = until_ms // HOUR_MS
        start = max(end - _HOURS_MAX, (since_ms or 0) // HOUR_MS)
        found = [each for hour, each in self._hours.items() if start <= hour < end]
        count = sum(each[0] for each in found)
        if not count:
            return None
        return {"rate": round(sum(each[1] for each in found) / count / _MILLION, 6), "count": count}

    def snapshot(self) -> dict[str, list[int]]:
        """Plain JSON."""
        return {str(hour): each for hour, each in self._hours.items()}
