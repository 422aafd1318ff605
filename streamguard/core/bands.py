"""How well a rate is known: bounds from a number of losses in [0, 1] and their sum."""

import math
from collections.abc import Callable
from statistics import NormalDist

_STEPS = 60


def anytime_band(total: float, count: int, alpha: float = 0.05) -> tuple[float, float]:
    """Return where the rate lies, as fractions (low, high), whenever one looks: alerts look when it suits them.

    The chance that the rate is ever outside, over all moments of a stream whose rate does not change, is `alpha`
    at most. A rate p is inside as long as the likelihood of the losses under p is at least `alpha` times their
    likelihood averaged over all rates. For losses between 0 and 1 the same holds, since that ratio is convex in
    each loss. About 30 µs; no loss gives (0, 1).

    Source: Robbins, "Statistical Methods Related to the Law of the Iterated Logarithm", Annals of Mathematical
    Statistics 41, 1970; Ville's inequality.

    >>> low, high = anytime_band(182, 2000)
    >>> round(low, 3), round(high, 3)
    (0.069, 0.117)
    """
    if not 0 <= total <= count:
        raise ValueError(f"losses of {total} in {count} outcomes")
    if count == 0:
        return 0.0, 1.0
    average = math.lgamma(total + 1) + math.lgamma(count - total + 1) - math.lgamma(count + 2)
    least = average + math.log(alpha)
    rate = total / count

    def is_inside(p: float) -> bool:
        return _term(total, p) + _term(count - total, 1 - p) >= least

    low = 0.0 if total == 0 else _edge(rate, 0.0, is_inside)
    high = 1.0 if total == count else _edge(rate, 1.0, is_inside)
    return low, high


def wilson(rate: float, count: float, z: float) -> tuple[float, float]:
    """Return the score bounds of a rate from `count` independent losses (or as many as dependent ones are worth).

    Each bound alone is wrong with the chance that a normal variable exceeds `z`; for rates near 0 the upper one
    less often.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22, 1927.
    """
    centre = rate + z * z / (2 * count)
    spread = z * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    # At 0 and at 1 the formula gives just these, but for the rounding.
    low = 0.0 if rate == 0 else max(0.0, (centre - spread) / scale)
    return low, 1.0 if rate == 1 else min(1.0, (centre + spread) / scale)


def chernoff(rate: float, count: float, chance: float) -> float:
    """Return a lower bound of a rate from so many independent losses in [0, 1], wrong at most with this chance.

    Source: Hoeffding, "Probability Inequalities for Sums of Bounded Random Variables", JASA 58, 1963, theorem 1.
    """
    if rate == 0:
        return 0.0
    most = -math.log(chance) / count

    def is_inside(p: float) -> bool:
        return rate * math.log(rate / p) + _term(1 - rate, (1 - rate) / (1 - p)) <= most

    return _edge(rate, 0.0, is_inside)


def quantile(chance: float) -> float:
    """The z that a normal variable exceeds with this chance."""
    return -NormalDist().inv_cdf(chance)


def _term(times: float, p: float) -> float:
    if times == 0:
        return 0.0
    return times * math.log(p) if p > 0 else -math.inf


def _edge(inside: float, outside: float, is_inside: Callable[[float], bool]) -> float:
    """Where, between the two, one ceases to be inside."""
    for _ in range(_STEPS):
        middle = (inside + outside) / 2
        if is_inside(middle):
            inside = middle
        else:
            outside = middle
    return outside
