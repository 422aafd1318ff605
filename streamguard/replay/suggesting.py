"""Which threshold, or which budget, would suit a stream, going by a period that somebody calls normal.

*A threshold.* Take a window's rate as normal about a constant mean, its deviation that of so many independent outcomes,
and windows as independent. The highest of the m windows of the period lies X deviations above the mean, the highest of
the k of a month Y, where P(X <= x) = Phi(x)^m and P(Y <= y) = Phi(y)^k. So the month stays below the peak plus z
deviations but for the chance P(Y - X > z), which is integrated over X; it hangs on neither the mean nor the deviation.
For z the deviation is taken at the level sought, not lower down at the mean, where it is less for rates up to a half:
that level is the upper Wilson bound of the peak at z. All segments share the chance evenly (Bonferroni).

Windows that move by one outcome reach higher than separate ones, but do so in the period as in the month: what
counts is how the two compare. In simulated streams the chance is kept (tests/replay/test_suggesting.py); for rates
below a percent the level is higher than it need be.

Source of the distribution of a maximum: Gumbel, "Statistics of Extremes", 1958, chapter 1; of an interval for what
follows rather than for a parameter: Hahn & Meeker, "Statistical Intervals", 1991.

*A budget.* It promises a mean: B a month, over t months at most B t. Where a promise is just kept and false alarms come
by themselves, a period holds more than the 95% quantile of Poisson(B t) once in twenty. So up to that many are what a
budget allows. Fewer do not prove that it is kept, they only do not speak against it; more say that the rate moves.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context

from streamguard.core.bands import quantile, wilson

_MONTH_DAYS = 30
_SURE = 0.95
# Fewer windows show little of how a rate moves by itself.
_WINDOWS_MIN = 10
_POINTS = 200
_STEPS = 30
_FARTHEST = 30.0
_ROUND = Context(prec=2, rounding=ROUND_CEILING)
_MOVES = (
    "The rate moves, though the period is called normal: if by the hour or the weekday, set season: hour_of_week;"
    " if it wanders, and nothing is wrong, set a tolerance; and look at the alarms, they may be right."
)


@dataclass(frozen=True, slots=True)
class Peak:
    """The highest rate (a fraction) that a window of the threshold check reached in one segment."""

    segment: str
    """In words, such as `version=7`; empty for a monitor that is not split."""
    rate: float
    outcomes: int
    """Of the segment in the whole period."""
    window_outcomes: int
    """How many the window held at the peak: from 1 to `outcomes`."""

    @property
    def windows(self) -> float:
        """How many windows the period holds, one beside the other."""
        return self.outcomes / self.window_outcomes


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A value for a setting, or None, and in any case what there is to say of it."""

    sentence: str
    value: float | None


def suggest_threshold(peaks: Sequence[Peak], days: float) -> Suggestion:
    """Return the lowest `max_mismatch_percent`, of two digits, that a month stays below in 95 of 100 such cases.

    `peaks`: of every segment of a monitor that had a full window (or `min_samples`) within the normal `days`. About
    3 ms for each. It holds for mistakes that are independent of each other, at a rate that does not move.
    """
    if not peaks or days <= 0:
        return Suggestion("Nothing to suggest: no window was full within the normal period; name a longer one.", None)
    most = max(peaks, key=lambda each: each.windows)
    if most.windows < _WINDOWS_MIN:
        return Suggestion(
            f"Nothing to suggest: that takes {_WINDOWS_MIN} windows of one segment, {_WINDOWS_MIN} x"
            f" {most.window_outcomes:,} outcomes, and there are {most.outcomes:,} at most{_in(most)}. A smaller window,"
            " or fewer segments, would do.",
            None,
        )
    chance = (1 - _SURE) / len(peaks)
    levels = [_level(each, days, chance) for each in peaks]
    percent = float(_ROUND.create_decimal_from_float(100 * max(levels)))
    top, widest = max(peaks, key=lambda each: each.rate), peaks[levels.index(max(levels))]
    highest = (
        f"The highest rate of a window of {top.window_outcomes:,} in {_shown(days)} days was {_percent(top)}{_in(top)}"
    )
    if percent >= 100:
        return Suggestion(
            f"{highest}. Nothing to suggest: with room above {_percent(widest)}{_in(widest)} a threshold is at 100%,"
            " and never alarms; give the check a larger window.",
            None,
        )
    room = (
        ""
        if widest is top
        else f" Most room is needed for {_percent(widest)} of {widest.window_outcomes:,} outcomes{_in(widest)}."
    )
    return Suggestion(
        f"{highest}; max_mismatch_percent: {percent:g} would have been silent, and stays so for a month in at least"
        f" 95 of 100 such cases, if nothing moves the rate and mistakes do not come in runs.{room}",
        percent,
    )


def suggest_budget(alarms: Mapping[float, int], days: float) -> Suggestion:
    """Return the largest of several `false_alarms_per_month` that gave no more alarms than it allows.

    `alarms`: what all budgeted detectors together raised, by the budget that they had, each above 0, one at least.
    `days`: how long they watched, without what they only learnt from.
    """
    months, most = days / _MONTH_DAYS, max(alarms)
    if most * months < 1:
        return Suggestion(
            f"Nothing to suggest: to judge false_alarms_per_month: {most:g} takes {math.ceil(_MONTH_DAYS / most)} days"
            f" beside those that detectors learn from, and there are {_shown(days)}.",
            None,
        )
    broken = {each: count for each, count in sorted(alarms.items()) if count > _allowed(each * months)}
    kept = [each for each in alarms if each not in broken]
    best = max(kept, default=min(alarms))
    told = (
        f"{alarms[best]} in {_shown(days)} days, where a budget that is kept gives up to {_allowed(best * months)}"
        f" in 95 of 100 such periods"
    )
    if not kept:
        return Suggestion(f"Nothing to suggest: even false_alarms_per_month: {best:g} raised {told}. {_MOVES}", None)
    sentence = f"false_alarms_per_month: {best:g} is the largest tried that nothing speaks against: it raised {told}."
    if less := [f"{each:g} raised {count}" for each, count in broken.items() if each < best]:
        sentence += f" But {', '.join(less)}, which is more than that allows. {_MOVES}"
    return Suggestion(sentence, best)


def _level(peak: Peak, days: float, chance: float) -> float:
    """The rate that no window of a month exceeds, but for this chance."""
    later = peak.windows * _MONTH_DAYS / days
    return wilson(peak.rate, peak.window_outcomes, _room(peak.windows, later, chance))[1]


def _room(before: float, later: float, chance: float) -> float:
    """By how many deviations the maximum of `later` normal variables exceeds that of `before` with this chance.

    0.0 where even more would be less likely: what came before was far more.
    """
    maxima = []
    for number in range(_POINTS):
        # Where the past maximum is low by chance, steps are finer: small chances come from there.
        place = (number + 0.5) / _POINTS
        below = place**4
        maxima.append((quantile(-math.expm1(math.log(below) / before)), 4 * place**3 / _POINTS))
    low, high = 0.0, _FARTHEST
    for _ in range(_STEPS):
        middle = (low + high) / 2
        exceeded = math.fsum(weight * _any_above(start + middle, later) for start, weight in maxima)
        low, high = (middle, high) if exceeded > chance else (low, middle)
    return 0.0 if low == 0.0 else high


def _any_above(level: float, count: float) -> float:
    """The chance that one of so many normal variables is above a level."""
    above = math.erfc(level / math.sqrt(2)) / 2
    return 1.0 if above >= 1 else -math.expm1(count * math.log1p(-above))


def _allowed(mean: float) -> int:
    """The least count that Poisson(mean) exceeds with a chance of 5% at most."""
    count, below = 0, math.exp(-mean)
    while below < _SURE:
        count += 1
        below += math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))
    return count


def _shown(days: float) -> str:
    return f"{round(days, 1):,g}"


def _percent(peak: Peak) -> str:
    return f"{100 * peak.rate:.3g}%"


def _in(peak: Peak) -> str:
    return f" ({peak.segment})" if peak.segment else ""
