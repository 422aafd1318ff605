"""What live predictions are held against: columns, each a field or a trait of one, cut into bins.

A value that comes is a bin of its column, and all that is known of a stretch of time is how many came of each bin. The
first bin of every column is for what is missing, the second for what is of another kind than in training; with them the
shares of all bins add up to 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streamguard.core.features import fates
from streamguard.core.features.fates import Step
from streamguard.core.fields import Path
from streamguard.core.records import Scalar

Ints = NDArray[np.int64]

MISSING, ODD, FIRST = 0, 1, 2
"""Bins of every column; the first of its own."""
RATE_BINS = 34
"""Of a part of characters: none, 32 equal parts of what is between, all."""
SAME, CHANGED = FIRST, FIRST + 1
"""Bins of a step: what it would leave as it is, and what it would still change."""
BINS_OF_FATES = np.empty(4, np.int64)
"""By fate (core/features/fates.py)."""
BINS_OF_FATES[[fates.NOT_MINE, fates.FAILED, fates.SAME, fates.CHANGED]] = MISSING, ODD, SAME, CHANGED
KNOWN, UNKNOWN = FIRST, FIRST + 1
"""Bins of the names of fields."""


class Vocabulary(Protocol):
    """Knows the words of training texts."""

    def unknown(self, texts: Sequence[str]) -> tuple[Ints, Ints]:
        """How many words each text has that were not in training, and how many in all; each of shape (texts,)."""
        ...


class Kind(StrEnum):
    """What a column is made of."""

    NUMBER = "number"
    CATEGORY = "category"
    TEXT = "text"
    """Whether there is a text at all; its traits are columns of their own."""
    LENGTH = "length"
    RATE = "rate"
    WORDS = "words"
    STEP = "step"
    NAMES = "names"


DECLARED = {Kind.STEP, Kind.NAMES}
"""Of these what is right is declared, and not learnt."""


@dataclass(frozen=True, slots=True)
class Column:
    """One field, one trait of a text, or one step of preparation."""

    feature: str
    """As the profile names it."""
    kind: Kind
    path: Path
    trait: str | None = None
    """Of a text: `length`, a rate, `words`. Of a step: its name."""
    edges: tuple[float, ...] = ()
    """Of numbers: bin n of them is below edge n and not below edge n - 1; one bin more than edges."""
    values: tuple[Scalar, ...] = ()
    """Of categories: the values that have bins; one more is for all others."""
    kinds: tuple[type, ...] = ()
    """Of categories: of which types their values were in training."""
    shares: tuple[float, ...] = ()
    """Of all bins in training; empty where that is not known."""
    rows: int = 0
    """Rows that the shares are of."""
    steps: tuple[Step, ...] = field(default=(), compare=False)
    """One that must change nothing any more; or all, where the raw value is there."""
    raw: Path | None = None
    """Where the raw value is, of which all steps must make what came."""

    @property
    def size(self) -> int:
        """How many bins there are."""
        own = {
            Kind.NUMBER: len(self.edges) + 1,
            Kind.LENGTH: len(self.edges) + 1,
            Kind.CATEGORY: len(self.values) + 1,
            Kind.TEXT: 1,
            Kind.RATE: RATE_BINS,
            Kind.WORDS: RATE_BINS,
            Kind.STEP: 2,
            Kind.NAMES: 2,
        }
        return FIRST + own[self.kind]

    @property
    def name(self) -> str:
        """Unique among the columns of a reference."""
        return self.feature if self.trait is None else f"{self.feature}: {self.trait}"


@dataclass(frozen=True)
class Reference:
    """All columns of one monitor, and what scores mean."""

    columns: tuple[Column, ...]
    window_ms: int
    profile: str | None = None
    """Name of the profile."""
    known: frozenset[str] = frozenset()
    """Names of fields next to the features that training had."""
    calibration: tuple[tuple[float, float], ...] = ()
    """From which score on the positive class has which rate; empty: not known."""
    positive: tuple[Scalar, ...] = (1, True)
    """The class that scores are of."""
    words: Mapping[str, Vocabulary] = field(default_factory=dict)
    """By feature: what knows the words of its texts."""

    @property
    def offsets(self) -> Ints:
        """Where each column's bins begin among all, and where the last ends."""
        return np.cumsum([0, *(column.size for column in self.columns)])

    @property
    def size(self) -> int:
        """Bins of all columns."""
        return sum(column.size for column in self.columns)

    @property
    def fingerprint(self) -> str:
        """Of what bins mean: counts of another fingerprint cannot be added."""
        about = [
            (each.feature, each.kind, each.path, each.raw, each.trait, each.edges, each.values, each.kinds)
            for each in self.columns
        ]
        # Built-in steps say all of themselves; of a function the name is what there is.
        steps = [repr(step) if is_dataclass(step) else step.name for each in self.columns for step in each.steps]
        scores = self.calibration, self.positive, sorted(self.known)
        return blake2b(repr((self.window_ms, about, steps, scores)).encode(), digest_size=8).hexdigest()


def rate_bins(counts: Ints, lengths: Ints) -> Ints:
    """The bins, from 0 on, of parts of so many characters; shape (texts,), lengths above 0."""
    places = 1 + counts * (RATE_BINS - 2) // lengths
    places[counts == 0] = 0
    places[counts == lengths] = RATE_BINS - 1
    return places


def midranks(shares: Sequence[float]) -> NDArray[np.float64]:
    """For each bin, which part of training was below it and half of its own: 0 to 1, on average a half."""
    found = np.asarray(shares, np.float64)
    total = found.sum()
    if total <= 0:
        return np.full(len(found), 0.5)
    ends = np.cumsum(found) / total
    ranks: NDArray[np.float64] = ends - found / total / 2
    return ranks
