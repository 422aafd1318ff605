"""Which characters texts are made of: counts by kind, of many texts at once.

Theory of operation. A table tells of each code point which counts it adds one to: five counts side by side, 12 bits of
a uint64 each, so that one look-up and one sum count all kinds at once. Texts that are Latin-1 are looked up as bytes,
others as UTF-32. A text that is too long for 12 bits is counted in pieces.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag
from functools import cache

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


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
"""By name. Of white space, that which follows other white space of the text counts."""


@dataclass(frozen=True, slots=True)
class Traits:
    """Of texts, in their order.

    `str.isupper`, `isdigit` and `isspace` decide what a character of the basic plane is; of those beyond it only that
    they are not ASCII is asked. Punctuation is that of ASCII, `string.punctuation`.
    """

    lengths: Ints
    """In characters (code points)."""
    counts: Mapping[str, Ints]
    """By each name in `RATES`: how many characters of each text are of the kind."""


_BITS = 12
_PIECE = (1 << _BITS) - 1
"""Characters: of a piece of text no count is larger."""
_PART = 15_000
"""Characters that are looked up at once. Of more, the uint64s would be memory that is new each time: half as fast."""
_BYTES = 0x100
_BASIC = 0x10000
_SPACE = np.uint64(1 << (len(RATES) - 1) * _BITS)
"""A code point of white space has at least this in the table, and no other has."""


def traits_of(texts: Sequence[str]) -> Traits:
    """Count. Next to the result it takes a few megabytes, however many texts there are and however long they are.

    >>> traits = traits_of(["Hello  WORLD", "room 101!", ""])
    >>> traits.counts["upper"].tolist(), traits.counts["digits"].tolist(), traits.counts["whitespace_runs"].tolist()
    ([6, 0, 0], [0, 3, 0], [1, 0, 0])
    """
    lengths = _lengths(texts)
    counts = np.zeros((len(RATES), len(texts)), np.int64)
    for first, end in _parts(lengths):
        if lengths[first] > _PIECE:
            counts[:, first] = _in_pieces(texts[first])
        else:
            counts[:, first:end] = _counts(texts[first:end], lengths[first:end])
    return Traits(lengths, dict(zip(RATES, counts, strict=True)))


def _lengths(texts: Sequence[str]) -> Ints:
    return np.fromiter(map(len, texts), np.int64, len(texts))


def _parts(lengths: Ints) -> Iterator[tuple[int, int]]:
    """Ranges of texts that together are not large, or of one that is longer than a piece."""
    ends = np.cumsum(lengths)
    stops = [*np.flatnonzero(lengths > _PIECE).tolist(), len(lengths)]
    first = place = 0
    while first < len(lengths):
        if first == stops[place]:
            end = first + 1
            place += 1
        else:
            before = ends[first] - lengths[first]
            end = min(int(np.searchsorted(ends, before + _PART, "right")), stops[place])
        yield first, end
        first = end


def _in_pieces(text: str) -> Ints:
    """The counts of one text, of any length: int64[kinds]."""
    found = np.zeros(len(RATES), np.int64)
    for first in range(0, len(text), _PART):
        # Copies, and so not of all of it at once.
        part = text[first : first + _PART]
        pieces = [part[at : at + _PIECE] for at in range(0, len(part), _PIECE)]
        found += _counts(pieces, _lengths(pieces)).sum(axis=1)
        # White space at the start of a piece follows what the piece before ends with.
        starts = range(first or _PIECE, first + len(part), _PIECE)
        found[-1] += sum(text[at - 1].isspace() and text[at].isspace() for at in starts)
    return found


def _counts(texts: Sequence[str], lengths: Ints) -> Ints:
    """The counts of texts of which none is longer than a piece: int64[kinds, texts]."""
    found = np.zeros((len(RATES), len(texts)), np.int64)
    filled = np.flatnonzero(lengths)
    if not len(filled):
        return found
    starts = (np.cumsum(lengths) - lengths)[filled]
    counted = _looked_up("".join(texts))
    sums = np.add.reduceat(counted, starts)
    for row in range(len(RATES) - 1):
        found[row, filled] = sums >> np.uint64(row * _BITS) & np.uint64(_PIECE)
    is_space = counted >= _SPACE
    is_space[1:] &= is_space[:-1].copy()
    is_space[starts] = False
    if is_space.any():
        found[-1, filled] = np.add.reduceat(is_space, starts, dtype=np.int64)
    return found


def _looked_up(text: str) -> NDArray[np.uint64]:
    """What each character adds to the counts."""
    try:
        return _table(_BYTES).take(np.frombuffer(text.encode("latin-1"), np.uint8))
    except UnicodeEncodeError:
        # Lone surrogates are characters like others, for which an encoder would take a hundred times as long.
        codes = np.array([text]).view(np.uint32)
        return _table(_BASIC + 1).take(np.minimum(codes, np.uint32(_BASIC)))


@cache
def _table(size: int) -> NDArray[np.uint64]:
    """By code point; the last of the large table stands for all beyond the basic plane."""
    kinds = np.fromiter(map(_kind, range(size)), np.uint64, size)
    found = np.zeros(size, np.uint64)
    for row, kind in enumerate(RATES.values()):
        found |= ((kinds & np.uint64(kind)) != 0).astype(np.uint64) << np.uint64(row * _BITS)
    return found


def _kind(code: int) -> int:
    each = chr(code)
    kind = int(Kind.NON_ASCII) if code > 0x7F else 0
    if code >= _BASIC:
        return kind
    if each.isupper():
        return kind | Kind.UPPER
    if each.isdigit():
        return kind | Kind.DIGIT
    if each.isspace():
        return kind | Kind.SPACE
    is_punctuation = code <= 0x7F and each.isprintable() and not each.isalpha()
    return kind | Kind.PUNCTUATION if is_punctuation else kind
