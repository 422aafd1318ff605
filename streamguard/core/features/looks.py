"""What is asked of counts: means of scores between 0 and 1, each of which is known of training.

Of numbers where they are among those of training (their rank) and how far out (twice the rank's distance from the
middle); of categories which part each of the frequent ones has, and all others; of each field which part is missing or
of another kind; of a step which part it would still change. A change of any of these means is what drift is here.
"""

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from streamguard.core.baseline import UNIT
from streamguard.core.features.reference import (
    CHANGED,
    DECLARED,
    FIRST,
    MISSING,
    ODD,
    SAME,
    Column,
    Ints,
    Kind,
    Reference,
    midranks,
)

Floats = NDArray[np.float64]

# Of categories so many have a look of their own.
_VALUES_MAX = 6
_NOT_ASKED = -1
# Bounds of a level from training err with the chance that a normal variable exceeds this.
_SIGMAS = 4.0
_SPREAD_MIN = 0.05


class What(StrEnum):
    """What a look is at."""

    LOCATION = "location"
    SPREAD = "spread"
    VALUE = "value"
    OTHERS = "others"
    MISSING = "missing"
    ODD = "odd"
    CHANGED = "changed"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Look:
    """One mean that is watched."""

    column: int
    what: What
    scores: tuple[int, ...]
    """Of each bin of the column, in `UNIT`s; -1: does not count."""
    place: int = 0
    """Of a value: its bin."""


class Looks:
    """All looks of a reference, as arrays: of shape (looks,), or (looks, bins of the largest column)."""

    def __init__(self, reference: Reference, tolerated: float) -> None:
        """`tolerated`: which part of the values a step may still change."""
        self.reference = reference
        self.all = [look for number, each in enumerate(reference.columns) for look in _looks(number, each)]
        width = max((column.size for column in reference.columns), default=1)
        offsets = reference.offsets
        self.scores = np.full((len(self), width), _NOT_ASKED, np.int64)
        # What no look asks of is taken from behind the last bin, where nothing is.
        self._index = np.full((len(self), width), reference.size, np.int64)
        for number, look in enumerate(self.all):
            size = len(look.scores)
            self.scores[number, :size] = look.scores
            self._index[number, :size] = np.arange(size) + offsets[look.column]
        self.is_asked = self.scores >= 0
        self.scores[~self.is_asked] = 0
        self.column = np.array([look.column for look in self.all], np.int64)
        self.is_contract = np.array([reference.columns[look.column].kind in DECLARED for look in self.all], np.bool_)
        """Whether what is allowed is declared, and not learnt."""
        self.about = [_about(reference.columns[look.column]) for look in self.all]
        """What people are told of once: a feature, whatever of it has moved; each step by itself."""
        known = [self._trained(look) for look in self.all]
        self.level = np.where(self.is_contract, 0.0, [each[0] for each in known])
        """The mean in training; NaN where that is not known."""
        self.margin = np.array([each[1] for each in known])
        """How far the level may be off, since training had only so many rows."""
        self.margin[self.is_contract] = tolerated
        self.spread = np.array([each[2] for each in known])
        """Standard deviation of the scores in training."""

    def __len__(self) -> int:
        return len(self.all)

    def gathered(self, counts: Ints) -> Ints:
        """Counts of all bins as (looks, bins of a column)."""
        found: Ints = np.append(counts, 0)[self._index]
        return found

    def sums(self, gathered: Ints) -> tuple[Ints, Ints, Ints]:
        """How many values each look is of, the sum of their scores, and of the squares; in `UNIT`s."""
        rows = np.where(self.is_asked, gathered, 0).sum(axis=1)
        totals = (gathered * self.scores).sum(axis=1)
        return rows, totals, (gathered * self.scores * self.scores).sum(axis=1)

    def _trained(self, look: Look) -> tuple[float, float, float]:
        column = self.reference.columns[look.column]
        scores, shares = np.array(look.scores), np.array(column.shares or [0.0] * column.size)
        is_asked = scores >= 0
        weight = float(shares[is_asked].sum())
        if not column.shares or weight <= 0:
            return np.nan, 0.0, 0.5
        values = scores[is_asked] / UNIT
        level = float((shares[is_asked] * values).sum() / weight)
        variance = float((shares[is_asked] * (values - level) ** 2).sum() / weight)
        rows = max(1.0, column.rows * weight)
        margin = _SIGMAS * np.sqrt(variance / rows) + _SIGMAS**2 / (2 * rows)
        return level, float(margin), max(float(np.sqrt(variance)), _SPREAD_MIN)


def _looks(number: int, column: Column) -> list[Look]:
    size = column.size
    if column.kind is Kind.STEP:
        fates = {ODD: 0, SAME: 0, CHANGED: 0}
        changed = Look(number, What.CHANGED, _scores(size, {SAME: 0, CHANGED: UNIT}))
        return [changed, Look(number, What.FAILED, _scores(size, {**fates, ODD: UNIT}))]
    if column.kind is Kind.NAMES:
        return [Look(number, What.UNKNOWN, _scores(size, {FIRST: 0, FIRST + 1: UNIT}))]
    found = []
    if column.kind in {Kind.NUMBER, Kind.CATEGORY, Kind.TEXT}:
        found.append(Look(number, What.MISSING, _indicator(size, MISSING)))
        found.append(Look(number, What.ODD, _scores(size, {**dict.fromkeys(range(ODD, size), 0), ODD: UNIT})))
    if column.kind in {Kind.NUMBER, Kind.LENGTH, Kind.RATE}:
        ranks = np.rint(midranks(column.shares[FIRST:]) * UNIT).astype(int).tolist()
        found.append(Look(number, What.LOCATION, _scores(size, dict(enumerate(ranks, FIRST)))))
        if column.kind is not Kind.RATE:
            outer = {place: abs(2 * rank - UNIT) for place, rank in enumerate(ranks, FIRST)}
            found.append(Look(number, What.SPREAD, _scores(size, outer)))
    elif column.kind is Kind.WORDS:
        parts = {FIRST + place: round(UNIT * place / (size - FIRST - 1)) for place in range(size - FIRST)}
        found.append(Look(number, What.LOCATION, _scores(size, parts)))
    elif column.kind is Kind.CATEGORY:
        places = range(FIRST, FIRST + min(len(column.values), _VALUES_MAX))
        own = dict.fromkeys(range(FIRST, size), 0)
        found += [Look(number, What.VALUE, _scores(size, {**own, place: UNIT}), place) for place in places]
        found.append(Look(number, What.OTHERS, _scores(size, {**own, size - 1: UNIT})))
    return found


def _about(column: Column) -> tuple[str, str | None]:
    return column.feature, column.trait if column.kind in DECLARED else None


def _scores(size: int, by_bin: dict[int, int]) -> tuple[int, ...]:
    return tuple(by_bin.get(place, _NOT_ASKED) for place in range(size))


def _indicator(size: int, place: int) -> tuple[int, ...]:
    return tuple(UNIT if each == place else 0 for each in range(size))


def runs(column: Ints) -> list[tuple[int, int]]:
    """Where the looks of each column begin and end."""
    bounds = [0, *(np.flatnonzero(np.diff(column)) + 1).tolist(), len(column)]
    return list(pairwise(bounds)) if len(column) else []
