"""Bets on a change of a mean, and the evidence that they add up to: see `core/budgeted.py`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from streamguard.core.baseline import UNIT

# How many times the odds of a loss the rises are that are betted on: eight of them, from 1.15 to 20.
_ODDS: list[float] = [1.15 * (20 / 1.15) ** (number / 7) for number in range(8)]
# A bet of all would never come back after one loss of 0.
_STAKE_MAX = 0.95
# Of losses of 0 and 1 there are two; others are not worth remembering.
_KNOWN_MAX = 8
_NEARLY = 0.999


class Bets:
    """Evidence that a mean is above `level`, for each size of rise."""

    def __init__(self, level: float, variance: float, block: int, evidence: Sequence[float] = ()) -> None:
        """`variance`: of a loss, in the long run: that of a block's mean times its size."""
        self.level = min(max(math.ceil(level * UNIT), 1), UNIT - 1)
        rate = self.level / UNIT
        odds = rate / (1 - rate)
        rises = [each * odds / (1 + each * odds) - rate for each in _ODDS]
        self._bets = [min(rise * block / variance, _STAKE_MAX / rate) for rise in rises]
        self.evidence = list(evidence) or [0.0] * len(rises)

    def run(self, excesses: Sequence[float], stakes: Sequence[float]) -> int | None:
        """Take blocks, each as its mean less the level that it may have, up to one that is an alarm; returns which."""
        evidence, bets, enough = self.evidence, self._bets, float(len(self._bets))
        known: dict[float, list[float]] = {}
        for index, (excess, stake) in enumerate(zip(excesses, stakes, strict=True)):
            factors = known.get(excess)
            if factors is None:
                factors = [1.0 + bet * excess for bet in bets]
                if len(known) < _KNOWN_MAX:
                    known[excess] = factors
            evidence = [(had + stake) * factor for had, factor in zip(evidence, factors, strict=True)]
            # The exact sum costs as much as all before it.
            if sum(evidence) > _NEARLY * enough and math.fsum(evidence) >= enough:
                self.evidence = evidence
                return index
        self.evidence = evidence
        return None

    def take(self, excess: float, stake: float) -> bool:
        """Take one block; returns whether that is an alarm."""
        return self.run((excess,), (stake,)) is not None

    def clear(self) -> None:
        """Begin anew."""
        self.evidence = [0.0] * len(self.evidence)


@dataclass(slots=True)
class Trouble:
    """A rise that was alarmed, and the evidence that it is over."""

    since_ms: int
    bets: Bets
    blocks: int
    excess: int = 0
    """By how much the losses since were above their level, all together, in `UNIT`s."""

    def middle(self, whole: int) -> float:
        """Half of how far the rate is above its level; where little is known yet, less."""
        return self.excess / whole / self.blocks / 2

    def take(self, excess: int, whole: int, stake: float) -> bool:
        """Take a block of losses that have sums of `whole` at most; returns whether the rise is over."""
        is_over = self.bets.take(max(0.0, self.middle(whole)) - excess / whole, stake)
        self.blocks += 1
        self.excess += excess
        return is_over
