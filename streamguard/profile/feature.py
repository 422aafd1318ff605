"""One feature: what kinds of values it has, how often it is missing, and what they look like."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamguard.core.features.number_steps import floats
from streamguard.profile.frequent import Frequent
from streamguard.profile.numbers import Numbers
from streamguard.profile.patterns import shapes
from streamguard.profile.texts import Texts
from streamguard.reference.exact import Floats
from streamguard.reference.hashing import Distinct, hashes_of_numbers, hashes_of_texts

EXACT_MAX = 1 << 53
"""Whole numbers from it on are taken as the nearest float64, which may be another."""
CATEGORY_CHARS_MAX = 64
"""Longer texts are no categories; they are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of each feature is kept."""

    categories: int = 64
    """Most frequent values; about 130 bytes each."""
    patterns: int = 32
    """Most frequent shapes of texts; about 110 bytes each."""
    has_filter: bool = False
    """Whether words can be recognised later: 64 KiB in a profile, half a megabyte in memory, for each text field."""


@dataclass(slots=True)
class Kinds:
    """How many values of each kind there were; together they are all rows in which the feature was."""

    null: int = 0
    nan: int = 0
    infinite: int = 0
    true: int = 0
    false: int = 0
    integer: int = 0
    number: int = 0
    """With a fraction, or written with one: `2.0`."""
    text: int = 0
    list: int = 0
    object: int = 0
    """Empty, or nested too deeply to look inside."""

    @property
    def count(self) -> int:
        """Rows in which the feature was, null or not."""
        return sum(getattr(self, name) for name in self.__slots__)

    def merge(self, other: "Kinds") -> None:
        """Add the counts of another."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Feature:
    """One feature's values. Merges are exact, but for categories and patterns where there are too many to keep.

    Values are what JSON has: None, true and false, numbers, text, lists and objects; anything else counts as an
    object. Memory is at most 7 kB for numbers, 1 kB for distinct values and `Limits` for the rest.

    >>> feature = Feature(Limits())
    >>> feature.add(["a", "b", "a", None, 1.5])
    >>> feature.kinds.text, feature.kinds.null, feature.categories.ranked(1), feature.numbers.mean
    (3, 1, [('a', 2), ('b', 1)], 1.5)
    """

    __slots__ = (
        *("beyond_exact", "categories", "characters", "distinct", "kinds", "long", "longest", "numbers", "patterns"),
        *("shortest", "texts", "unpaired"),
    )

    def __init__(self, limits: Limits, *, is_text: bool = False) -> None:
        self.kinds = Kinds()
        self.beyond_exact = 0
        """Whole numbers whose magnitude is 2^53 or more."""
        self.long = 0
        """Texts of more than 64 characters and whole numbers of more than 64 bits, which are no categories."""
        self.unpaired = 0
        """Texts with lone surrogates: no UTF-8 can say them, and they are no category."""
        self.characters = 0
        """Of all texts."""
        self.shortest: int | None = None
        self.longest: int | None = None
        self.numbers = Numbers()
        self.distinct = Distinct()
        self.categories = Frequent(0 if is_text else limits.categories)
        self.patterns = Frequent(0 if is_text else limits.patterns)
        self.texts = Texts(is_kept=limits.has_filter) if is_text else None

    def add(self, values: Sequence[Any]) -> None:
        """Take values, in any order."""
        by_type: dict[type, Sequence[Any]] = {}
        types = set(map(type, values))
        for each in types:
            by_type[each] = values if len(types) == 1 else [value for value in values if type(value) is each]
        for each, found in by_type.items():
            if each is str:
                self._add_texts(found)
            elif each is bool:
                true = sum(found)
                self.kinds.true += true
                self.kinds.false += len(found) - true
            elif each is int:
                self._add_integers(found)
            elif each is float:
                self._add_numbers(np.array(found, np.float64))
            elif each is list:
                self.kinds.list += len(found)
            elif each is type(None):
                self.kinds.null += len(found)
            else:
                self.kinds.object += len(found)

    def merge(self, other: "Feature") -> None:
        """Take all that another has taken, which is left as it is; both are text fields, or none is."""
        self.kinds.merge(other.kinds)
        self.beyond_exact += other.beyond_exact
        self.long += other.long
        self.unpaired += other.unpaired
        self._measure(other.characters, other.shortest, other.longest)
        self.numbers.merge(other.numbers)
        self.distinct.merge(other.distinct)
        self.categories.merge(other.categories)
        self.patterns.merge(other.patterns)
        if self.texts is not None and other.texts is not None:
            self.texts.merge(other.texts)

    def reveal(self, nan: int, infinite: int) -> None:
        """Say how many of the nulls so far were no nulls where they came from."""
        self.kinds.null -= nan + infinite
        self.kinds.nan += nan
        self.kinds.infinite += infinite

    @property
    def distinct_count(self) -> tuple[int, bool]:
        """How many distinct values other than lists and objects there were, and whether that is exact."""
        kinds = self.kinds
        is_exact = not self.categories.error and not self.long and not self.unpaired and not kinds.number
        booleans = (kinds.true > 0) + (kinds.false > 0)
        if is_exact and self.categories.capacity:
            return len(self.categories.counts) + booleans, True
        return self.distinct.estimate() + booleans, False

    def _add_integers(self, values: Sequence[int]) -> None:
        self.kinds.integer += len(values)
        numbers = floats(values)
        self.beyond_exact += int(np.count_nonzero(np.abs(numbers) >= EXACT_MAX))
        self._take(numbers[np.isfinite(numbers)])
        if self.categories.capacity:
            counted = Counter(values)
            kept = {value: count for value, count in counted.items() if is_category(value)}
            self.long += len(values) - sum(kept.values())
            self.categories.add(kept)

    def _add_numbers(self, values: Floats) -> None:
        is_nan, is_infinite = np.isnan(values), np.isinf(values)
        nan, infinite = int(np.count_nonzero(is_nan)), int(np.count_nonzero(is_infinite))
        self.kinds.nan += nan
        self.kinds.infinite += infinite
        self.kinds.number += len(values) - nan - infinite
        self._take(values[~(is_nan | is_infinite)] if nan or infinite else values)

    def _take(self, values: Floats) -> None:
        self.numbers.add(values)
        self.distinct.add(hashes_of_numbers(values))

    def _add_texts(self, values: Sequence[str]) -> None:
        self.kinds.text += len(values)
        lengths = list(map(len, values))
        self._measure(sum(lengths), min(lengths), max(lengths))
        counted = Counter(values)
        self.distinct.add(hashes_of_texts(counted))
        if self.texts is not None:
            self.texts.add(values)
            return
        kept: dict[str, int] = {}
        for text, count in counted.items():
            if not _is_sayable(text):
                self.unpaired += count
            elif len(text) > CATEGORY_CHARS_MAX:
                self.long += count
            else:
                kept[text] = count
        self.categories.add(kept)
        self.patterns.add(shapes({text: count for text, count in counted.items() if _is_sayable(text)}))

    def _measure(self, characters: int, shortest: int | None, longest: int | None) -> None:
        self.characters += characters
        self.shortest = min((each for each in (self.shortest, shortest) if each is not None), default=None)
        self.longest = max((each for each in (self.longest, longest) if each is not None), default=None)


def is_category(value: str | int) -> bool:
    """Whether a value may be one of a few, and be named: a short text of UTF-8, or a whole number of 64 bits."""
    if isinstance(value, str):
        return len(value) <= CATEGORY_CHARS_MAX and _is_sayable(value)
    return -(1 << 63) <= value < 1 << 64


def _is_sayable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
