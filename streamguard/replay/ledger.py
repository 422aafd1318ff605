"""What a report draws: the outcomes of each segment over event time, in bins, whatever the length of history.

All segments share one row of bins. Where the history outgrows it, bins are joined in pairs: it is `BINS_MAX` bins
at most, and more than half as many as soon as there is that much history.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from streamguard.config import Monitor
from streamguard.core.features.reference import Reference
from streamguard.core.intake import Group, StreamKey
from streamguard.core.outcomes import Outcomes
from streamguard.replay.carried import Carried
from streamguard.replay.series import BINS_MAX, Bins, Pieces, Series, Tally

SEGMENTS_MAX = 100
"""So many segments of a monitor are drawn, those that came first; all that it watches are counted."""

# Outcomes at both ends that are so few of all, and take so much of the time, are most likely of a wrong clock.
_STRAY = 0.005
_SMALL = 0.1


class Ledger:
    """All segments of some monitors, as far as the monitors watch them."""

    def __init__(
        self,
        monitors: tuple[Monitor, ...],
        normal_ms: Pieces | None = None,
        references: Mapping[str, Reference] | None = None,
    ) -> None:
        self.monitors = {monitor.name: monitor for monitor in monitors}
        self.carried = Carried(monitors, references or {})
        """What predictions carried, with a label or without."""
        self._normal_ms = normal_ms
        self._bins = Bins()
        self._tallies: dict[StreamKey, Tally] = {}
        self._sizes: Counter[str] = Counter()
        self.full: set[str] = set()
        """Monitors that had more segments than they watch."""
        self.first_ms: int | None = None
        self.last_ms: int | None = None

    def add(self, rows: Outcomes, groups: list[Group]) -> None:
        """Take released outcomes, those of one partition in order."""
        first_ms, last_ms = int(rows.time[0]), int(rows.time[-1])
        self.first_ms = first_ms if self.first_ms is None else min(self.first_ms, first_ms)
        self.last_ms = last_ms if self.last_ms is None else max(self.last_ms, last_ms)
        self._cover(self.first_ms, self.last_ms)
        for group in groups:
            tally = self._tally(group.key)
            if tally is not None:
                tally.add(group.rows)

    def _cover(self, first_ms: int, last_ms: int) -> None:
        """Make room for all between the two."""
        bins = self._bins
        if bins.first is None:
            bins.first = first_ms // bins.width_ms
        while last_ms // bins.width_ms - first_ms // bins.width_ms >= BINS_MAX:
            for each in self._tallies.values():
                each.fold(is_odd=bool(bins.first % 2))
            bins.first //= 2
            bins.width_ms *= 2
        if places := bins.first - first_ms // bins.width_ms:
            for each in self._tallies.values():
                each.shift(places)
            bins.first -= places

    @property
    def span(self) -> Pieces | None:
        """From the first event time to the last, in epoch ms: of outcomes, and else of predictions."""
        if self.first_ms is None or self.last_ms is None:
            return self.carried.span
        return self.first_ms, self.last_ms

    def all(self, monitor: str) -> list[Tally]:
        """Every segment that a monitor watches."""
        return [tally for (name, _), tally in self._tallies.items() if name == monitor]

    def drawn(self, monitor: str) -> list[Series]:
        """A monitor's segments that are drawn, those with most outcomes first."""
        found = [tally for tally in self.all(monitor) if isinstance(tally, Series)]
        return sorted(found, key=lambda each: -each.totals[0])

    @property
    def end(self) -> int:
        """How many bins are in use."""
        if self.last_ms is None:
            return 0
        return int(self._bins.of(np.array([self.last_ms]))[0]) + 1

    def crowded(self) -> tuple[int, int] | None:
        """Where nearly all outcomes lie (epoch ms), if that is a small part of the time from first to last."""
        counts = sum((tally.outcomes for tally in self._tallies.values()), np.zeros(BINS_MAX, np.int64))
        sums = np.cumsum(counts)
        first, last = np.searchsorted(sums, [_STRAY * sums[-1], (1 - _STRAY) * sums[-1]])
        # Before a launch, or beside a burst, there is a little of everything; around a wrong clock there is nothing.
        others = np.count_nonzero(counts) - np.count_nonzero(counts[first : last + 1])
        if max(last - first + 1, others) > _SMALL * self.end:
            return None
        start = self._bins.start_ms
        return start + int(first) * self._bins.width_ms, start + int(last + 1) * self._bins.width_ms

    def _tally(self, key: StreamKey) -> Tally | None:
        tally = self._tallies.get(key)
        name, values = key
        monitor = self.monitors.get(name)
        if tally is not None or monitor is None or len(monitor.split_by) != len(values):
            return tally
        if self._sizes[name] >= monitor.max_segments:
            self.full.add(name)
            return None
        kind = Series if self._sizes[name] < SEGMENTS_MAX else Tally
        self._sizes[name] += 1
        segment = dict(zip(monitor.split_by, values, strict=True))
        tally = self._tallies[key] = kind(segment, monitor, self._bins, self._normal_ms)
        return tally
