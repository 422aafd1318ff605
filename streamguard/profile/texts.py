"""What a text field looks like: its characters, its length, its words."""

import sys
from collections.abc import Iterator, Sequence
from enum import IntFlag
from functools import cache

import numpy as np
from numpy.typing import NDArray

from streamguard.profile.bins import Ints
from streamguard.profile.numbers import Numbers
from streamguard.profile.vocabulary import Words

RATE_BINS = 32
# Four bytes each, and a few masks of them.
_CHARS_MAX = 1 << 20


class Kind(IntFlag):
    """What a character is; it may be several."""

    UPPER = 1
    DIGIT = 2
    PUNCTUATION = 4
    NON_ASCII = 8
    SPACE = 16


RATES = {
    "upper": Kind.UPPER,
    "digits": Kind.DIGIT,
    "punctuation": Kind.PUNCTUATION,
    "non_ascii": Kind.NON_ASCII,
    "whitespace_runs": Kind.SPACE,
}
"""By name in a profile. Of white space, that which follows other white space counts."""


class Rate:
    """Which part of the characters of a text is of some kind; of many texts. 300 bytes, merges are exact."""

    __slots__ = ("bins", "characters", "texts")

    def __init__(self) -> None:
        self.characters = 0
        """Of this kind, in all texts."""
        self.texts = 0
        """That have such a character."""
        self.bins = np.zeros(RATE_BINS + 2, np.int64)
        """Texts by their rate: none, 32 equal bins between, and all of their characters."""

    def add(self, counts: Ints, lengths: Ints) -> None:
        """Take texts, at least one, that are not empty: how many of the characters of each are of the kind."""
        self.characters += int(counts.sum())
        self.texts += int(np.count_nonzero(counts))
        places = 1 + counts * RATE_BINS // lengths
        places[counts == 0] = 0
        places[counts == lengths] = RATE_BINS + 1
        self.bins += np.bincount(places, minlength=RATE_BINS + 2)

    def merge(self, other: "Rate") -> None:
        """Take all that another has taken."""
        self.characters += other.characters
        self.texts += other.texts
        self.bins += other.bins


class Texts:
    """A text field. Results are a function of the texts alone, in any order; at most 16 kB, without the filter.

    >>> texts = Texts(is_kept=False)
    >>> texts.add(["Hello WORLD", "room 101", ""])
    >>> texts.count, texts.characters, texts.rates["upper"].characters, texts.rates["digits"].texts
    (3, 19, 6, 1)
    """

    __slots__ = ("characters", "empty", "lengths", "rates", "words")

    def __init__(self, *, is_kept: bool) -> None:
        self.empty = 0
        self.characters = 0
        self.lengths = Numbers()
        """In characters (code points)."""
        self.rates = {name: Rate() for name in RATES}
        self.words = Words(is_kept=is_kept)

    @property
    def count(self) -> int:
        """Texts, empty ones included."""
        return self.lengths.count

    def add(self, texts: Sequence[str]) -> None:
        """Take texts."""
        for part in _parts(texts):
            self._add(part)

    def merge(self, other: "Texts") -> None:
        """Take all that another has taken; it is left as it is."""
        self.empty += other.empty
        self.characters += other.characters
        self.lengths.merge(other.lengths)
        for name, rate in self.rates.items():
            rate.merge(other.rates[name])
        self.words.merge(other.words)

    def _add(self, texts: Sequence[str]) -> None:
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        self.lengths.add(lengths.astype(np.float64))
        self.characters += int(lengths.sum())
        filled = lengths[lengths > 0]
        self.empty += len(lengths) - len(filled)
        if not len(filled):
            return
        # Lone surrogates are characters like others, and of no kind but one.
        codes = np.frombuffer("".join(texts).encode(_UTF_32, "surrogatepass"), np.uint32)
        kinds = _kinds()[np.minimum(codes, sys.maxunicode)]
        starts = np.cumsum(filled) - filled
        for name, kind in RATES.items():
            is_such = (kinds & kind) != 0
            if kind is Kind.SPACE:
                is_such = _following(is_such, starts)
            self.rates[name].add(np.add.reduceat(is_such, starts, dtype=np.int64), filled)
        self.words.add(texts)


_UTF_32 = f"utf-32-{sys.byteorder[0]}e"


def _parts(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The same, in parts that are not large, or of one text."""
    first = size = 0
    for place, text in enumerate(texts):
        if size and size + len(text) > _CHARS_MAX:
            yield texts[first:place]
            first, size = place, 0
        size += len(text)
    if first < len(texts):
        yield texts[first:]


def _following(is_space: NDArray[np.bool_], starts: Ints) -> NDArray[np.bool_]:
    """Where white space follows other white space of the same text."""
    found = np.zeros_like(is_space)
    found[1:] = is_space[1:] & is_space[:-1]
    found[starts] = False
    return found


@cache
def _kinds() -> NDArray[np.uint8]:
    """By code point. Of those beyond the basic plane only that they are not ASCII is asked."""
    found = np.full(sys.maxunicode + 1, Kind.NON_ASCII, np.uint8)
    for code in range(0x10000):
        each = chr(code)
        kind = Kind.NON_ASCII if code > 0x7F else Kind(0)
        if each.isupper():
            kind |= Kind.UPPER
        elif each.isdigit():
            kind |= Kind.DIGIT
        elif each.isspace():
            kind |= Kind.SPACE
        elif code <= 0x7F and each.isprintable() and not each.isalpha():
            kind |= Kind.PUNCTUATION
        found[code] = kind
    return found
