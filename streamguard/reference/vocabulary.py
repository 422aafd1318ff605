"""Which words a text field holds, without the words."""

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from streamguard.reference.hashing import Distinct, Hashes, hashes_of_texts

FILTER_BITS = 1 << 19
BUCKETS = 256
_PROBES = 3
_WORD = re.compile(r"\w+")
# A text of millions of words need not be in memory as so many.
_WHOLE_CHARS_MAX = 1 << 20


def words_of(texts: Iterable[str]) -> Counter[str]:
    r"""How often each word occurs: runs of `\w`, capitals as they are."""
    found: Counter[str] = Counter()
    for text in texts:
        if len(text) <= _WHOLE_CHARS_MAX:
            found.update(_WORD.findall(text))
        else:
            found.update(each.group() for each in _WORD.finditer(text))
    return found


class WordFilter:
    """A Bloom filter of 64 KiB: says of each word that it knows that it does, and now and then of another, too.

    Sources: Bloom, "Space/time trade-offs in hash coding with allowable errors", CACM 13(7), 1970; Kirsch and
    Mitzenmacher, "Less hashing, same performance", ESA 2006 (three probes from one hash).

    >>> words = WordFilter()
    >>> words.add(hashes_of_texts(["red", "green"]))
    >>> words.knows(hashes_of_texts(["green", "blue"])).tolist()
    [True, False]
    """

    __slots__ = ("is_set",)

    def __init__(self) -> None:
        self.is_set = np.zeros(FILTER_BITS, np.bool_)

    @staticmethod
    def decoded(text: str) -> "WordFilter":
        """From what `encoded` gave; raises `ValueError` for anything else."""
        try:
            packed = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
        except binascii.Error as error:
            raise ValueError(f"is no base64 ({error})") from None
        if len(packed) * 8 != FILTER_BITS:
            raise ValueError(f"has {len(packed)} bytes, and must have {FILTER_BITS // 8}")
        found = WordFilter()
        found.is_set = np.unpackbits(packed).astype(np.bool_)
        return found

    def encoded(self) -> str:
        """As text."""
        return base64.b64encode(np.packbits(self.is_set).tobytes()).decode()

    def add(self, hashes: Hashes) -> None:
        """Take words by their hashes."""
        self.is_set[_probed(hashes)] = True

    def merge(self, other: "WordFilter") -> None:
        """Take all words of another."""
        self.is_set |= other.is_set

    def knows(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Whether each was added, or seems so."""
        return np.asarray(self.is_set[_probed(hashes)].all(axis=1))

    @property
    def mistaken(self) -> float:
        """Which part of the words that it does not know it takes for known."""
        return float(self.is_set.mean() ** _PROBES)


class Words:
    """The words of a text field: how many, how many distinct ones, counts by hash, and the filter if wanted.

    Merges are exact. At most 6 kB, and half a megabyte with the filter.
    """

    __slots__ = ("buckets", "count", "distinct", "filter")

    def __init__(self, *, is_kept: bool) -> None:
        self.count = 0
        self.distinct = Distinct(12)
        self.buckets = np.zeros(BUCKETS, np.int64)
        """How often words occurred, by the last eight bits of their hashes."""
        self.filter = WordFilter() if is_kept else None

    def add(self, texts: Iterable[str]) -> None:
        """Take the words of texts."""
        counted = words_of(texts)
        hashes = hashes_of_texts(counted)
        counts = np.fromiter(counted.values(), np.int64, len(counted))
        self.count += int(counts.sum())
        self.distinct.add(hashes)
        np.add.at(self.buckets, (hashes % np.uint64(BUCKETS)).astype(np.int64), counts)
        if self.filter is not None:
            self.filter.add(hashes)

    def merge(self, other: "Words") -> None:
        """Take what another has taken, which keeps a filter if this one does."""
        self.count += other.count
        self.distinct.merge(other.distinct)
        self.buckets += other.buckets
        if self.filter is not None and other.filter is not None:
            self.filter.merge(other.filter)


def _probed(hashes: Hashes) -> NDArray[np.int64]:
    """The bits of each: int64[n, 3]."""
    first, step = hashes >> np.uint64(32), (hashes & np.uint64(0xFFFFFFFF)) | np.uint64(1)
    probes = first[:, None] + step[:, None] * np.arange(_PROBES, dtype=np.uint64)
    return (probes % np.uint64(FILTER_BITS)).astype(np.int64)
