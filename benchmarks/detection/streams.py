"""Streams of losses whose changes are known.

Here are those with a stated rate: each loss is 1, a wrong prediction, or 0. `modelled.py` has those of a model.
All that is random comes from the stream's name and a seed, so that any of them can be made again by itself.
"""

import zlib
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

START_MS = 1_767_571_200_000  # Monday, 5 January 2026, 00:00 UTC
DAY_MS = 86_400_000
EVENTS_PER_DAY = 10_000
STABLE_EVENTS = 5_000
"""Events before a change."""
CHANGED_EVENTS = 20_000
"""Events from a change on."""


class Kind(StrEnum):
    """Where a change leads: up is worse."""

    WORSE = "worse"
    BETTER = "better"


@dataclass(frozen=True, slots=True)
class Change:
    """The first event that is not as those before: of a transition, its first."""

    index: int
    kind: Kind


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """Losses in order of time, and where their mean changes.

    `times_ms: int64[n]`, epoch; `losses: float64[n]` in [0, 1].
    """

    name: str
    times_ms: Ints
    losses: Floats
    changes: tuple[Change, ...] = ()


def generator(name: str, seed: int) -> np.random.Generator:
    """Chance for one stream: other streams of the same seed have another."""
    return np.random.default_rng([zlib.crc32(name.encode()), seed])


def evenly(count: int, per_day: int) -> Ints:
    """Times of events that are equally far apart: int64[count], in ms."""
    return START_MS + np.arange(count, dtype=np.int64) * DAY_MS // per_day


def poisson(count: int, per_day: int, rng: np.random.Generator) -> Ints:
    """Times of a Poisson process, given that there are `count` in `count / per_day` days: int64[count], in ms."""
    return START_MS + np.sort(rng.integers(0, count * DAY_MS // per_day, count))


def changing(name: str, seed: int, *, before: float, after: float, width: int = 1) -> Stream:
    """Independent losses at the rate `before`, then `after`; over `width` events the rate goes along a line."""
    rng = generator(name, seed)
    count = STABLE_EVENTS + CHANGED_EVENTS
    gone = np.clip((np.arange(count) - STABLE_EVENTS + 1) / width, 0, 1)
    losses = _drawn(before + (after - before) * gone, rng)
    change = Change(STABLE_EVENTS, Kind.WORSE if after > before else Kind.BETTER)
    return Stream(name, poisson(count, EVENTS_PER_DAY, rng), losses, (change,))


def stable(name: str, seed: int, *, rate: float, days: int = 30) -> Stream:
    """Independent losses at one rate."""
    rng = generator(name, seed)
    count = days * EVENTS_PER_DAY
    return Stream(name, poisson(count, EVENTS_PER_DAY, rng), _drawn(np.full(count, rate), rng))


def autocorrelated(name: str, seed: int, *, rate: float, lag1: float, days: int = 30) -> Stream:
    """A Markov chain of two states with the autocorrelation `lag1` from one loss to the next; its mean is `rate`.

    With the chance `lag1` a loss is that before it again, else it is drawn anew.
    """
    count = days * EVENTS_PER_DAY
    return Stream(name, evenly(count, EVENTS_PER_DAY), chained(generator(name, seed), count, rate, lag1))


def chained(rng: np.random.Generator, count: int, rate: float, lag1: float) -> Floats:
    """Losses of that chain: float64[count]."""
    fresh = _drawn(np.full(count, rate), rng)
    is_drawn = rng.random(count) >= lag1
    is_drawn[0] = True
    last_drawn = np.maximum.accumulate(np.where(is_drawn, np.arange(count), 0))
    return fresh[last_drawn]


def seasonal(name: str, seed: int, *, days: int = 28, per_day: int = 8_640) -> Stream:
    """No drift, but a rate that follows the clock: 0.10, by 0.02 up and down each day, and 0.03 more at weekends."""
    times_ms = evenly(days * per_day, per_day)
    day, of_day_ms = np.divmod(times_ms - START_MS, DAY_MS)
    rates = 0.10 + 0.02 * np.sin(2 * np.pi * of_day_ms / DAY_MS) + 0.03 * (day % 7 >= 5)
    return Stream(name, times_ms, _drawn(rates, generator(name, seed)))


def _drawn(rates: Floats, rng: np.random.Generator) -> Floats:
    return (rng.random(len(rates)) < rates).astype(np.float64)
