"""What a text field looks like: its characters, its length, its words."""

from collections.abc import Iterator, Sequence

import numpy as np

from streamguard.core.features.traits import RATES, traits_of
from streamguard.profile.numbers import Numbers
from streamguard.reference.bins import Ints
from streamguard.reference.vocabulary import Words

RATE_BINS = 32
# Of more, the words are not held at once.
_CHARS_MAX = 1 << 20


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
        traits = traits_of(texts)
        lengths = traits.lengths
        self.lengths.add(lengths.astype(np.float64))
        self.characters += int(lengths.sum())
        is_filled = lengths > 0
        filled = lengths[is_filled]
        self.empty += len(lengths) - len(filled)
        if not len(filled):
            return
        for name, rate in self.rates.items():
            rate.add(traits.counts[name][is_filled], filled)
        self.words.add(texts)


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
