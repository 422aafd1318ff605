"""What is usual in a stream of losses: their rate, how well it is known, and how they depend on each other.

Theory of operation. Sums over blocks of 1, 2, 4, ... losses are followed at once, at a few numbers each. From
them comes the variance of a block's sum in two ways: by the differences between neighbouring blocks, which a
rate that moves slowly does not enter (von Neumann 1941), and by the distance from the common mean, which it
does enter. Where the first grows with the block as fast as the block, blocks are independent of each other;
the smallest such block is taken. Where the second exceeds the first, the rate was not constant.

Losses are rounded to multiples of 1/16384: sums of integers are exact, in whatever pieces they come.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamguard.core.bands import chernoff, quantile, wilson

UNIT = 1 << 14
"""A loss of 1."""
HOURS = 168
_HOUR_MS = 3_600_000
# 1970 began on a Thursday; a week here begins on Monday, in UTC.
_MONDAY_MS = 4 * 24 * _HOUR_MS
_SCALES = 13
_ROWS_MAX = 1 << 20
_BLOCKS_MIN = 30
# How much the variance of a block of four blocks may exceed four times that of one.
_GROWTH_MAX = 1.1
_SIGMAS = 4.0
# Losses that hardly vary say much about their mean, but not everything.
_DESIGN_MIN = 0.05
# Of 168 hours one in a few hundred is as unlike by chance.
_SURE = 3.0
# A chance that no budget goes below: its bound is seven standard deviations away.
_CHANCE_MIN = 1e-12
_CHANCE_MAX = 0.05

Ints = NDArray[np.int64]


def quanta(losses: NDArray[np.float64]) -> Ints:
    """Losses in [0, 1] as integers from 0 to `UNIT`."""
    return np.rint(losses * UNIT).astype(np.int64)


def hours_of_week(times_ms: Ints) -> Ints:
    """The hour of the week, from Monday 00:00 UTC, 0 to 167."""
    return (times_ms - _MONDAY_MS) // _HOUR_MS % HOURS


@dataclass(slots=True)
class Scale:
    """Blocks of one size: how many, their squared sums, the squared steps from one to the next, and the last."""

    blocks: int = 0
    squares: int = 0
    steps: int = 0
    partial: int = 0
    last: int = 0

    def add(self, sums: Ints) -> None:
        """Take the sums of blocks that are full."""
        if len(sums):
            steps = np.diff(sums, prepend=self.last if self.blocks else sums[0])
            self.blocks += len(sums)
            self.squares += int((sums * sums).sum())
            self.steps += int((steps * steps).sum())
            self.last = int(sums[-1])

    def step_variance(self) -> float:
        """Of a block's sum, by the steps; in losses squared."""
        return self.steps / (2 * max(1, self.blocks - 1)) / UNIT**2

    def variance(self, rate: float, size: int) -> float:
        """Of a block's sum, by its distance from the mean."""
        return max(0.0, self.squares / self.blocks / UNIT**2 - (rate * size) ** 2)


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a baseline says. Rates are mean losses; times in epoch ms."""

    start_ms: int
    count: int
    rate: float
    lower: float
    upper: float
    """The rate is below the one, or above the other, with the chance that was paid for."""
    block: int
    """So many losses together hang little on the next so many."""
    design: float
    """The variance of the mean, over that of as many independent losses of 0 and 1 of the same rate."""
    doubt: str | None
    """Why nothing is guaranteed; None: it is."""
    season: list[int] | None = None
    """How far the rate may lie in each hour of the week, in `UNIT`s."""


@dataclass(slots=True)
class Baseline:
    """Learns from the first losses of a stream."""

    seasonal: bool
    start_ms: int | None = None
    given: float = 0.0
    """The budget when it began."""
    count: int = 0
    total: int = 0
    scales: list[Scale] = field(default_factory=lambda: [Scale() for _ in range(_SCALES)])
    counts: list[int] = field(default_factory=list)
    totals: list[int] = field(default_factory=list)

    def add(self, times_ms: Ints, losses: Ints) -> None:
        """Take losses, as `quanta`, in order."""
        # Of more at once the squares of large blocks add up to more than 64 bits.
        for start in range(0, len(losses), _ROWS_MAX):
            self._add(times_ms[start : start + _ROWS_MAX], losses[start : start + _ROWS_MAX])

    def _add(self, times_ms: Ints, losses: Ints) -> None:
        ends = np.cumsum(losses)
        for number, scale in enumerate(self.scales):
            size = 1 << number
            places = np.arange(size - 1 - self.count % size, len(losses), size)
            sums = np.diff(ends[places], prepend=0)
            if len(sums):
                sums[0] += scale.partial
                scale.partial = int(ends[-1] - ends[places[-1]])
            else:
                scale.partial += int(ends[-1])
            scale.add(sums)
        self.count += len(losses)
        self.total += int(ends[-1])
        if self.seasonal:
            hours = hours_of_week(times_ms)
            counts, totals = np.bincount(hours, minlength=HOURS), np.bincount(hours, losses, HOURS)
            self.counts = [old + int(new) for old, new in zip(self.counts or [0] * HOURS, counts, strict=True)]
            self.totals = [old + int(new) for old, new in zip(self.totals or [0] * HOURS, totals, strict=True)]

    def learnt(self, given: float, sides: int = 1) -> Learnt:
        """What there is to say, at the price of the budget that has flowed meanwhile, which `sides` bounds share."""
        # Nothing was spent while it was learnt: that a bound is wrong may cost as much as would have been.
        chance = min(_CHANCE_MAX, max(_CHANCE_MIN, (given - self.given) / sides))
        rate = self.total / self.count / UNIT
        number, doubt = self._block()
        design = max(self._design(number, rate), _DESIGN_MIN)
        count = self.count / design
        z = quantile(chance)
        upper = wilson(rate, count, z)[1]
        # Near 0 Wilson's lower bound errs more often than it says.
        lower = chernoff(rate, count, chance)
        if doubt is None and not self.seasonal:
            doubt = self._inconstancy(number, rate)
        season = self._season(z, design) if self.seasonal else None
        if doubt is None and season is not None and min(self.counts) == 0:
            doubt = "the baseline has no outcome in some hour of the week"
        return Learnt(self.start_ms or 0, self.count, rate, lower, upper, 1 << number, design, doubt, season)

    def _block(self) -> tuple[int, str | None]:
        known = [number for number, scale in enumerate(self.scales) if scale.blocks >= _BLOCKS_MIN]
        if len(known) < 3:
            return 0, f"the baseline has only {self.count} outcomes"
        for number in known[:-2]:
            small, large = self.scales[number].step_variance(), self.scales[number + 2]
            noise = math.sqrt(3 / large.blocks)
            if large.step_variance() <= 4 * small * (_GROWTH_MAX + noise):
                return number, None
        return known[-1], "mistakes come in runs as long as blocks can be in this baseline: make it longer"

    def _design(self, number: int, rate: float) -> float:
        single = rate * (1 - rate)
        if single <= 0:
            return 1.0
        places = [each for each in (number, number + 2) if self.scales[each].blocks >= _BLOCKS_MIN]
        return max((self.scales[each].step_variance() / (1 << each) / single for each in places), default=1.0) or 1.0

    def _inconstancy(self, number: int, rate: float) -> str | None:
        for each in range(number, _SCALES):
            scale = self.scales[each]
            if scale.blocks < _BLOCKS_MIN:
                break
            limit = 1 + _SIGMAS * math.sqrt(5 / scale.blocks)
            if scale.variance(rate, 1 << each) > limit * scale.step_variance():
                return "the rate was not constant over the baseline (a season?)"
        return None

    def _season(self, z: float, design: float) -> list[int]:
        """An upper bound for each hour of the week, smoothed over its neighbours."""
        weights = ((-1, 1), (0, 2), (1, 1))
        bounds = []
        for hour in range(HOURS):
            counts = [(weight, self.counts[(hour + shift) % HOURS]) for shift, weight in weights]
            totals = [(weight, self.totals[(hour + shift) % HOURS]) for shift, weight in weights]
            count = sum(weight * each for weight, each in counts)
            if not count:
                bounds.append(UNIT)
                continue
            rate = sum(weight * each for weight, each in totals) / count / UNIT
            worth = count**2 / sum(weight * weight * each for weight, each in counts) / design
            bound = wilson(rate, worth, z)[1]
            if self.counts[hour]:
                low, high = self._hour(hour, z, design)
                # An hour that is unlike its neighbours stands for itself.
                bound = max(bound, high) if low > rate else bound
            bounds.append(math.ceil(bound * UNIT))
        return bounds

    def _hour(self, hour: int, z: float, design: float) -> tuple[float, float]:
        count = self.counts[hour]
        return wilson(self.totals[hour] / count / UNIT, count / design, max(z, _SURE))

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON."""
        state = asdict(self)
        del state["seasonal"]
        # As text: squares outgrow the numbers of JSON within weeks.
        return {**state, "scales": [[*map(str, asdict(scale).values())] for scale in self.scales]}

    @staticmethod
    def restored(state: Mapping[str, Any], *, seasonal: bool) -> "Baseline":
        """From a snapshot."""
        rest = {name: value for name, value in state.items() if name != "scales"}
        return Baseline(seasonal=seasonal, **rest, scales=[Scale(*map(int, each)) for each in state["scales"]])
