"""Counts of labels by the minute: days, nights and weekends, bursts, nightly batches."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MINUTE_MS = 60_000
DAY = 1440
WEEK = 7 * DAY
START_MS = 1_767_571_200_000
"""A Monday, 00:00 UTC."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stream:
    """Of `a_day` labels on a working day, as `kind` says."""

    kind: str
    a_day: float
    seed: int = 0

    def counts(self, weeks: int) -> NDArray[np.int64]:
        """By the minute; shape (weeks * 10080,)."""
        rng = np.random.default_rng(self.seed)
        rates = self.rates(weeks)
        if self.kind == "bursty":
            # Levels of a quarter of an hour that wander by half of themselves.
            levels = rng.gamma(4, 1 / 4, len(rates) // 15 + 1).repeat(15)[: len(rates)]
            rates = rates * levels
        if self.kind == "nightly batch":
            return self._batches(rng, weeks)
        return rng.poisson(rates)

    def rates(self, weeks: int) -> Floats:
        """What is to be expected of each minute."""
        minutes = np.arange(weeks * WEEK)
        hour = minutes % DAY / 60
        if self.kind == "steady":
            return np.full(len(minutes), self.a_day / DAY)
        # A thirtieth of noon at night, and a third of a working day at the weekend.
        by_day = 0.03 + np.clip(np.sin((hour - 6) / 16 * np.pi), 0, None) ** 1.5
        is_weekend = minutes % WEEK >= 5 * DAY
        scale = self.a_day / by_day[:DAY].sum()
        return by_day * np.where(is_weekend, 1 / 3, 1.0) * scale

    def _batches(self, rng: np.random.Generator, weeks: int) -> NDArray[np.int64]:
        """All of a day within twenty minutes at about three in the morning."""
        found = np.zeros(weeks * WEEK, np.int64)
        for day in range(7 * weeks):
            begin = day * DAY + 170 + int(rng.integers(0, 30))
            found[begin : begin + 20] = rng.poisson(self.a_day / 20, 20)
        return found


def windows(counts: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Start in epoch milliseconds, and count, of minutes that had any."""
    for minute in np.flatnonzero(counts).tolist():
        yield START_MS + minute * MINUTE_MS, int(counts[minute])
