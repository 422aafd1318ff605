"""The budget of false alarms, shared out over everything that is watched.

Theory of operation. A detector that adds a weight w to its evidence before each loss, and alarms when that
reaches 1, gives at most as many false alarms on average as it was given weights (core/budgeted.py). So the
weights of all detectors, however many and however they depend on each other, add up to a budget for all: B a
month. A monitor's part flows in event time, evenly to the segments that it knows of: each of n gets B / n a
month. A new segment takes its share of what flows from then on, so that nobody needs to know beforehand how
many there will be.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

MONTH_MS = 30 * 86_400_000

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def spoken(per_month: float) -> str:
    """A budget in words."""
    return "1 false alarm a month" if per_month == 1 else f"{per_month:g} false alarms a month"


@dataclass(slots=True)
class Flow:
    """What each segment of one monitor has been given since the first, in false alarms, over event time.

    Only the times at which segments appear are remembered: what lies between is a straight line, the same to
    the last bit wherever the stream is cut.
    """

    per_month: float
    """Of all segments together."""
    segments: int = 0
    last_ms: int = 0
    """How far the stream has come."""
    _bends: list[tuple[int, float, float]] = field(default_factory=list)
    """From when on, what was given by then, and how much a millisecond since: the last is in force."""
    _columns: tuple[NDArray[Any], ...] | None = None
    """The same, once they are asked for."""

    def at(self, times_ms: Ints) -> Floats:
        """What each segment was given until these times, which are not before the last call of `settle`."""
        if self._columns is None:
            self._columns = tuple(np.array(column) for column in zip(*self._bends, strict=True))
        since_ms, given, share = self._columns
        place = np.searchsorted(since_ms, times_ms, "right") - 1
        found: Floats = given[place] + (times_ms - since_ms[place]) * share[place]
        return found

    def appear(self, time_ms: int) -> None:
        """One more segment from now on."""
        self.segments += 1
        self._bend(time_ms)

    def settle(self, time_ms: int) -> None:
        """Nothing from before this time will be asked for."""
        self.last_ms = time_ms
        if len(self._bends) > 1:
            del self._bends[:-1]
            self._columns = None

    def snapshot(self) -> list[Any]:
        """Plain JSON."""
        return [self.per_month, self.segments, self.last_ms, self._bends[-1:]]

    def begin(self, time_ms: int) -> None:
        """Rows from this time on are next."""
        if self.segments and not self._bends:
            self._bend(time_ms)

    def restore(self, state: Sequence[Any] | None, segments: int) -> None:
        """From a snapshot of a monitor that has so many segments now; None: of one that had no budget then.

        Another budget, or another number of segments, counts from where the stream had come.
        """
        self.segments = segments
        if state is None or not segments:
            return
        per_month, known, self.last_ms, bends = state
        self._bends = [(since_ms, given, share) for since_ms, given, share in bends]
        if (per_month, known) != (self.per_month, segments) and self._bends:
            self._bend(self.last_ms)

    def _bend(self, time_ms: int) -> None:
        """From this time on, which is not before the last bend, another share."""
        since_ms, given, share = self._bends[-1] if self._bends else (time_ms, 0.0, 0.0)
        given += (time_ms - since_ms) * share
        self._bends.append((time_ms, given, self.per_month / self.segments / MONTH_MS))
        self._columns = None
