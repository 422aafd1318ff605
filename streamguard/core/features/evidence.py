"""Evidence that means have moved, from counts of whole windows, at no more false alarms than the budget gives.

Theory of operation (see core/budgeted.py, which does the same for one stream of losses). A bet of a on a rise of a
mean above q multiplies what was staked by 1 + a (s - q) for each value with score s: on average at most 1 as long as
nothing is wrong. The product over a window's values does not depend on their order: it follows from the counts of the
bins. So stakes are added window by window, and the evidence is what it would be value by value. All looks, in both
directions and for four sizes of change, are averaged to one sum of evidence: it alarms at 1, and then all begin at 0.

Where values depend on each other, evidence is what so many fewer independent ones would give: its logarithm is divided
by the design effect that the baseline showed. That is a model, where independence gives a proof.

Logarithms are multiples of 2^-24, and sums of them exact.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamguard.core.baseline import UNIT
from streamguard.core.features.looks import Looks, runs
from streamguard.core.features.reference import Ints
from streamguard.core.features.usual import Levels

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

UP, DOWN = 0, 1
# How many times the odds of a mean the changes are that are betted on.
_ODDS = np.array([1.2, 1.7, 3.0, 10.0])
BETS = len(_ODDS)
_STAKE_MAX = 0.95
FINE = 1 << 24
"""Of what logarithms are multiples."""
_VARIANCE_MIN = 0.0025
_HELD_MAX = 8
# Differences in the last bits of a logarithm, between processors, are rounded away.
_ROUND = 1 << 20


def likelihoods(looks: Looks, levels: Levels) -> Ints:
    """The logarithm of what a value multiplies each bet by, in 2^-24: shape (looks, 2, bets, bins of a column).

    A bet on what cannot be is all zeros.
    """
    low, high, design = levels.low, levels.high, levels.design
    scores = looks.scores / UNIT
    found = np.zeros((len(looks), 2, BETS, scores.shape[1]), np.int64)
    sides: tuple[tuple[Floats, Floats], ...] = ((high, scores), (1 - low, 1 - scores))
    for direction, (level, score) in enumerate(sides):
        q: Floats = np.clip(level, 0.5 / UNIT, 1.0)
        odds = q / np.maximum(1 - q, 1e-9)
        rise = _ODDS[None, :] * odds[:, None] / (1 + _ODDS[None, :] * odds[:, None]) - q[:, None]
        variance = np.maximum(np.minimum(looks.spread**2, q * (1 - q)), _VARIANCE_MIN)
        bet = np.minimum(rise / variance[:, None], _STAKE_MAX / q[:, None])
        logs = np.log1p(bet[:, :, None] * (score[:, None, :] - q[:, None, None])) / design[:, None, None]
        is_possible = (level < 1)[:, None, None] & looks.is_asked[:, None, :]
        found[:, direction] = np.where(is_possible, np.floor(logs * FINE), 0)
    return found


def weighed(likelihood: Ints, gathered: Ints) -> Ints:
    """What counts multiply each bet by, as logarithms in 2^-24: shape (looks, 2, bets)."""
    found: Ints = np.einsum("tdkb,tb->tdk", likelihood, gathered)
    return found


def strength(logs: Ints) -> Floats:
    """The logarithm of the mean over bets: shape (looks, 2)."""
    return _log_mean(logs / FINE)


def weights(looks: Looks, is_active: Mask) -> Floats:
    """The logarithm of each look's part of the evidence, in each direction: a column has as much as any other.

    `is_active`: shape (looks, 2).
    """
    parts = np.zeros(is_active.shape)
    for start, end in runs(looks.column):
        count = int(np.count_nonzero(is_active[start:end]))
        parts[start:end] = is_active[start:end] / max(1, count)
    total = float(parts.sum())
    with np.errstate(divide="ignore"):
        found: Floats = np.log(parts / max(total, 1.0))
    return found


@dataclass(frozen=True, slots=True)
class Held:
    """All bets at some levels."""

    likelihood: Ints
    active: Mask
    """Which count; shape (looks, 2)."""
    parts: Floats
    """How much each counts."""


class AllBets:
    """What follows from levels, remembered for the last few: segments of one monitor share it."""

    def __init__(self, looks: Looks) -> None:
        self.looks = looks
        self._held: OrderedDict[tuple[bytes, bool], Held] = OrderedDict()

    def at(self, levels: Levels, *, is_learning: bool) -> Held:
        """While what is usual is learnt only bets on what is declared count."""
        key = b"".join(each.tobytes() for each in (levels.low, levels.high, levels.design)), is_learning
        held = self._held.get(key)
        if held is None:
            active = self._active(levels, is_learning=is_learning)
            held = self._held[key] = Held(likelihoods(self.looks, levels), active, weights(self.looks, active))
            if len(self._held) > _HELD_MAX:
                self._held.popitem(last=False)
        return held

    def _active(self, levels: Levels, *, is_learning: bool) -> Mask:
        is_possible = np.stack((levels.high < 1, levels.low > 0), axis=1)
        is_possible[self.looks.is_contract, DOWN] = False
        if is_learning:
            is_possible[~self.looks.is_contract] = False
        return is_possible


class Evidence:
    """What has come together since the last alarm, by look, direction and bet; shape (looks, 2, bets)."""

    def __init__(self, looks: Looks, state: Sequence[float | None] | None = None) -> None:
        shape = len(looks), 2, BETS
        self.logs = np.full(shape, -np.inf)
        if state is not None:
            flat = [-math.inf if each is None else each / _ROUND for each in state]
            self.logs = np.array(flat).reshape(shape)

    def take(self, logs: Ints, stake: float, parts: Floats) -> bool:
        """Take what a window's counts multiply by, after a stake; returns whether that is an alarm."""
        staked = math.log(stake) if stake > 0 else -math.inf
        found = np.logaddexp(self.logs, staked) + logs / FINE
        self.logs = np.rint(found * _ROUND) / _ROUND
        return self.total(parts) >= 0

    def total(self, parts: Floats) -> float:
        """The logarithm of all evidence, each with its part."""
        most = _log_mean(self.logs) + parts
        top = float(most.max(initial=-np.inf))
        return top if math.isinf(top) else top + math.log(float(np.exp(most - top).sum()))

    def leader(self, parts: Floats) -> tuple[int, int]:
        """The look and the direction that most of the evidence is of."""
        most = _log_mean(self.logs) + parts
        place = int(np.argmax(most))
        return place // 2, place % 2

    def forget(self, known: Mask) -> None:
        """Begin anew with these looks; shape (looks,)."""
        self.logs[known] = -np.inf

    def clear(self) -> None:
        """Begin anew."""
        self.logs = np.full(self.logs.shape, -np.inf)

    def snapshot(self) -> list[int | None]:
        """Plain JSON."""
        return [None if math.isinf(each) else round(each * _ROUND) for each in self.logs.ravel().tolist()]


def _log_mean(logs: Floats) -> Floats:
    """Of the last axis."""
    top = logs.max(axis=-1)
    with np.errstate(invalid="ignore"):
        rest = np.where(np.isinf(top), 0.0, np.exp(logs - top[..., None]).mean(axis=-1))
    with np.errstate(divide="ignore"):
        found: Floats = np.where(np.isinf(top), -np.inf, top + np.log(np.where(rest > 0, rest, 1.0)))
    return found


def recovery(scores: Floats, level: float, rise: float, spread: float, design: float) -> Ints:
    """The logarithm of what each value multiplies a bet by that a mean is above `level` by `rise`, in 2^-24.

    `scores`: of the bins of one look, shape (bins,).
    """
    q = min(max(level, 0.5 / UNIT), 1 - 0.5 / UNIT)
    variance = max(min(spread**2, q * (1 - q)), _VARIANCE_MIN)
    bet = min(rise / variance, _STAKE_MAX / q)
    found: Ints = np.floor(np.log1p(bet * (scores - q)) / design * FINE).astype(np.int64)
    return found
