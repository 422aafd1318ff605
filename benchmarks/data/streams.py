"""Tables of twenty features as a model gets them in production, and the training data that they should resemble.

12 measures, 4 whole numbers, 3 categories (5, 12 and 200 values, after Zipf) and one that is true or false; six have
missing values, 1 to 5%. Training data are of the four weeks before `START_MS`, production comes from there on. All
that is random comes from a name and a seed, so that any column can be made again by itself.

Traffic is of three kinds:

- `independent`: rows are independent of each other and of the time, and equally far apart;
- `daily`: three features follow the hour of the day and are others at weekends;
- `bursty`: as `daily`, and traffic does so, too: nine times as much by day as by night, three fifths at weekends, and
  in one hour of ten twice as much.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.streams import DAY_MS, START_MS, Floats, Ints, generator

Column = NDArray[Any]
Bools = NDArray[np.bool_]
Draw = Callable[[np.random.Generator, int], Column]

DAYS = 90
ROWS_A_DAY = 10_000
TRAINING_ROWS = 50_000
TRAINING_DAYS = 28
HOUR_MS = 3_600_000
_ROWS_AT_ONCE = 10_000


class Traffic(StrEnum):
    """How rows depend on the time."""

    INDEPENDENT = "independent"
    DAILY = "daily"
    BURSTY = "bursty"


class Move(StrEnum):
    """How a feature is moved by some standard deviations.

    ADD: so much is added. SCALE: what is never negative is multiplied, so that its mean moves by that. WHOLE: added
    too, rounded up or down by chance, so that the mean moves by that; what would be negative is 0. MASS: values
    are replaced by others, so that the two distributions are as far apart (total variation) as normal ones would be.
    """

    ADD = "add"
    SCALE = "scale"
    WHOLE = "whole"
    MASS = "mass"


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature without any change.

    `mean` and `sd` are those of the distribution, not of a sample. A category has `labels` instead, from the most
    frequent on, and their `shares`: what `draw` gives are places in these.
    """

    draw: Draw
    move: Move
    mean: float = 0.0
    sd: float = 1.0
    missing: float = 0.0
    labels: Column | None = None
    shares: Floats | None = None


@dataclass(frozen=True, slots=True)
class Swing:
    """What the clock does to a feature, in standard deviations: a sine of the hour with its peak, and weekends."""

    hourly: float
    peak_hour: float
    weekend: float


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Rows in order of time, by column.

    `columns`: float64[n], int64[n], bool[n], or texts as object[n]; what is under `missing` there has no meaning.
    `missing`: bool[n] of the features that have missing values. `times_ms`: int64[n], epoch.
    """

    columns: dict[str, Column]
    missing: dict[str, Bools]
    times_ms: Ints

    def __len__(self) -> int:
        return len(self.times_ms)

    def part(self, first: int, end: int) -> "Table":
        """The rows from `first` to before `end`, as views."""
        place = slice(first, end)
        return Table(
            {name: values[place] for name, values in self.columns.items()},
            {name: absent[place] for name, absent in self.missing.items()},
            self.times_ms[place],
        )

    def listed(self, name: str) -> list[Any]:
        """A column as values of Python, None where one is missing."""
        values = self.columns[name]
        if name in self.missing:
            values = values.astype(object)
            values[self.missing[name]] = None
        return list(values.tolist())

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each row with all features as values of Python, None where one is missing."""
        names = list(self.columns)
        for first in range(0, len(self), _ROWS_AT_ONCE):
            part = self.part(first, first + _ROWS_AT_ONCE)
            for values in zip(*(part.listed(name) for name in names), strict=True):
                yield dict(zip(names, values, strict=True))

    def days(self) -> Iterator["Table"]:
        """The rows of each day (UTC) by themselves; a day without any is left out."""
        starts = np.flatnonzero(np.diff(self.times_ms // DAY_MS, prepend=-1))
        for first, end in pairwise([*starts.tolist(), len(self)]):
            yield self.part(first, end)


def _mixture(share: float, one: tuple[float, float], other: tuple[float, float]) -> Feature:
    """Two normal distributions, given as mean and deviation; `share` is that of the first."""

    def draw(rng: np.random.Generator, count: int) -> Column:
        is_first = rng.random(count) < share
        return rng.standard_normal(count) * np.where(is_first, one[1], other[1]) + np.where(is_first, one[0], other[0])

    mean = share * one[0] + (1 - share) * other[0]
    square = share * (one[0] ** 2 + one[1] ** 2) + (1 - share) * (other[0] ** 2 + other[1] ** 2)
    return Feature(draw, Move.ADD, mean, math.sqrt(square - mean**2))


def _normal(mean: float, sd: float, missing: float = 0.0) -> Feature:
    return Feature(lambda rng, count: rng.normal(mean, sd, count), Move.ADD, mean, sd, missing)


def _lognormal(mu: float, sigma: float, missing: float = 0.0) -> Feature:
    mean = math.exp(mu + sigma**2 / 2)
    sd = mean * math.sqrt(math.expm1(sigma**2))
    return Feature(lambda rng, count: rng.lognormal(mu, sigma, count), Move.SCALE, mean, sd, missing)


def _gamma(shape: float, scale: float, missing: float = 0.0) -> Feature:
    mean, sd = shape * scale, math.sqrt(shape) * scale
    return Feature(lambda rng, count: rng.gamma(shape, scale, count), Move.SCALE, mean, sd, missing)


def _uniform(low: float, high: float) -> Feature:
    sd = (high - low) / math.sqrt(12)
    return Feature(lambda rng, count: rng.uniform(low, high, count), Move.ADD, (low + high) / 2, sd)


def _heavy(mean: float, scale: float, missing: float = 0.0) -> Feature:
    """Student's t with 3 degrees of freedom: its variance is 3."""
    sd = scale * math.sqrt(3)
    return Feature(lambda rng, count: mean + scale * rng.standard_t(3, count), Move.ADD, mean, sd, missing)


def _poisson(rate: float, missing: float = 0.0) -> Feature:
    return Feature(lambda rng, count: rng.poisson(rate, count), Move.WHOLE, rate, math.sqrt(rate), missing)


def _small(trials: int, chance: float) -> Feature:
    mean, sd = trials * chance, math.sqrt(trials * chance * (1 - chance))
    return Feature(lambda rng, count: rng.binomial(trials, chance, count), Move.WHOLE, mean, sd)


def _category(labels: Column, weights: Floats, missing: float = 0.0) -> Feature:
    shares = weights / weights.sum()
    ends = np.cumsum(shares)[:-1]

    def draw(rng: np.random.Generator, count: int) -> Column:
        return np.searchsorted(ends, rng.random(count), side="right")

    return Feature(draw, Move.MASS, missing=missing, labels=labels, shares=shares)


def _zipf(prefix: str, count: int, missing: float = 0.0) -> Feature:
    """The second most frequent value occurs half as often as the most frequent, the third a third as often."""
    labels = np.array([f"{prefix}_{place:03}" for place in range(count)], object)
    return _category(labels, 1 / np.arange(1, count + 1), missing)


FEATURES: dict[str, Feature] = {
    "normal_a": _normal(50, 10),
    "normal_b": _normal(-3, 0.5, missing=0.02),
    "lognormal_a": _lognormal(3, 0.8),
    "lognormal_b": _lognormal(0, 1.2, missing=0.01),
    "gamma_a": _gamma(2, 15),
    "gamma_b": _gamma(0.7, 1, missing=0.05),
    "uniform_a": _uniform(0, 1),
    "uniform_b": _uniform(-100, 100),
    "bimodal_a": _mixture(0.6, (0, 1), (5, 1)),
    "bimodal_b": _mixture(0.9, (10, 2), (40, 5)),
    "heavy_a": _heavy(0, 1),
    "heavy_b": _heavy(200, 20, missing=0.03),
    "poisson_a": _poisson(40),
    "poisson_b": _poisson(4),
    "small_a": _small(5, 0.3),
    "small_b": _poisson(0.2, missing=0.04),
    "plan": _zipf("plan", 5),
    "region": _zipf("region", 12, missing=0.01),
    "shop": _zipf("shop", 200),
    "flag": _category(np.array([False, True]), np.array([0.7, 0.3])),
}
SWINGS = {
    "lognormal_a": Swing(hourly=0.3, peak_hour=15, weekend=0.3),
    "poisson_b": Swing(hourly=0.3, peak_hour=20, weekend=-0.3),
    "region": Swing(hourly=0.3, peak_hour=2, weekend=0.3),
}
"""The features that follow the clock, unless traffic is independent."""
MOVED = ("normal_a", "gamma_a", "poisson_a")
"""Three that do not follow the clock, all of them numbers."""
MOVED_MIXED = ("normal_a", "plan", "flag")
"""With two that are no numbers."""


@dataclass(frozen=True, slots=True)
class Shift:
    """From row `at_row` on these features are moved by so many standard deviations."""

    at_row: int
    by_sd: float
    features: tuple[str, ...] = MOVED


def training(
    rows: int = TRAINING_ROWS,
    seed: int = 0,
    *,
    traffic: Traffic = Traffic.INDEPENDENT,
    days: int = TRAINING_DAYS,
) -> Table:
    """What the model was trained on: so many rows of the `days` before `START_MS`, best of whole weeks."""
    times_ms = _times("training", seed, START_MS - days * DAY_MS, days, rows, traffic)
    return _made("training", times_ms, seed, traffic)


def stable(
    days: int = DAYS,
    rows_a_day: int = ROWS_A_DAY,
    seed: int = 0,
    *,
    traffic: Traffic = Traffic.INDEPENDENT,
) -> Table:
    """Production that is as the training data: `days * rows_a_day` rows from `START_MS` on."""
    return _production(days, rows_a_day, seed, traffic, None)


def shifted(
    shift: Shift,
    days: int = DAYS,
    rows_a_day: int = ROWS_A_DAY,
    seed: int = 0,
    *,
    traffic: Traffic = Traffic.INDEPENDENT,
) -> Table:
    """The stable table of the same seed, but for the shift."""
    return _production(days, rows_a_day, seed, traffic, shift)


def change_row(seed: int, days: int = DAYS, rows_a_day: int = ROWS_A_DAY) -> int:
    """Where to change the table of this seed: anywhere in the middle third, thus hardly ever when a day begins."""
    third = days * rows_a_day // 3
    return int(generator("data/change", seed).integers(third, 2 * third))


def _production(days: int, rows_a_day: int, seed: int, traffic: Traffic, shift: Shift | None) -> Table:
    times_ms = _times("production", seed, START_MS, days, days * rows_a_day, traffic)
    return _made("production", times_ms, seed, traffic, shift)


def _made(name: str, times_ms: Ints, seed: int, traffic: Traffic, shift: Shift | None = None) -> Table:
    columns, missing = {}, {}
    for of, feature in FEATURES.items():
        rng = generator(f"data/{name}/{of}", seed)
        values = feature.draw(rng, len(times_ms))
        if feature.missing:
            missing[of] = rng.random(len(times_ms)) < feature.missing
        if of in SWINGS and traffic is not Traffic.INDEPENDENT:
            values = _moved(feature, values, _swung(SWINGS[of], times_ms), rng)
        if shift is not None and of in shift.features:
            by_sd = np.where(np.arange(len(times_ms)) >= shift.at_row, shift.by_sd, 0.0)
            values = _moved(feature, values, by_sd, rng)
        columns[of] = values if feature.labels is None else feature.labels[values]
    return Table(columns, missing, times_ms)


def _times(name: str, seed: int, start_ms: int, days: int, count: int, traffic: Traffic) -> Ints:
    if traffic is not Traffic.BURSTY:
        return start_ms + np.arange(count, dtype=np.int64) * (days * DAY_MS) // count
    rng = generator(f"data/{name}/times", seed)
    starts = start_ms + np.arange(days * 24, dtype=np.int64) * HOUR_MS
    day, of_day_ms = np.divmod(starts - START_MS, DAY_MS)
    by_hour = 1 + 0.8 * np.cos(2 * np.pi * (of_day_ms / DAY_MS - 15 / 24))
    weights = by_hour * np.where(day % 7 >= 5, 0.6, 1.0) * np.where(rng.random(len(starts)) < 0.1, 2.0, 1.0)
    hours = np.repeat(starts, rng.multinomial(count, weights / weights.sum()))
    return np.sort(hours + rng.integers(0, HOUR_MS, count))


def _swung(swing: Swing, times_ms: Ints) -> Floats:
    day, of_day_ms = np.divmod(times_ms - START_MS, DAY_MS)
    hourly = np.cos(2 * np.pi * (of_day_ms / DAY_MS - swing.peak_hour / 24))
    return swing.hourly * hourly + swing.weekend * (day % 7 >= 5)


def _moved(feature: Feature, values: Column, by_sd: Floats, rng: np.random.Generator) -> Column:
    """Each value moved by its own number of standard deviations."""
    if feature.move is Move.ADD:
        return values + by_sd * feature.sd
    if feature.move is Move.SCALE:
        return values * (1 + by_sd * (feature.sd / feature.mean))
    if feature.shares is not None:
        return _replaced(feature.shares, values, by_sd, rng)
    steps = np.floor(by_sd * feature.sd + rng.random(len(values))).astype(np.int64)
    return np.maximum(values + steps, 0)


def _replaced(shares: Floats, places: Ints, by_sd: Floats, rng: np.random.Generator) -> Ints:
    """Places in the more frequent half of a category's labels become some of the other, or if below zero the reverse.

    So many that the distance is that of two normal distributions of deviation 1 whose means are `by_sd` apart.
    """
    middle = len(shares) // 2
    sizes = np.linspace(0, 3, 301)
    distances = np.interp(np.abs(by_sd), sizes, [2 * NormalDist().cdf(size / 2) - 1 for size in sizes])
    is_up, is_frequent = by_sd > 0, places < middle
    leaving = np.where(is_up, shares[:middle].sum(), shares[middle:].sum())
    leaves = (is_frequent == is_up) & (rng.random(len(places)) * leaving < distances)
    moved = places.copy()
    for half, of in (
        (np.arange(middle, len(shares)), np.flatnonzero(leaves & is_up)),
        (np.arange(middle), np.flatnonzero(leaves & ~is_up)),
    ):
        moved[of] = rng.choice(half, len(of), p=shares[half] / shares[half].sum())
    return moved
