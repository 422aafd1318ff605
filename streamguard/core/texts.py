"""Many short texts as one array of bytes, and operations on all of them at once.

A Python string costs about 50 bytes beside its characters, and a look at each costs more than all the
arithmetic of a join. Here a text is UTF-8 at a place in an array, read eight bytes at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import orjson
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

PADDING = 8
"""So many bytes must follow the last text: reading it whole words at a time goes past its end."""

# The odd multipliers of MurmurHash3's finaliser (Appleby, 2011).
_MIX_1, _MIX_2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_HALF = np.uint64(32)
_JOINED_BYTES = 1 << 20
# By the number of bytes that count: a mask for a little-endian word.
_MASKS = np.array([(1 << 8 * count) - 1 for count in range(9)], dtype="<u8")

_QUOTE, _COMMA = np.uint8(ord('"')), np.uint8(ord(","))
# Which bytes JSON does not take as they are.
_ESCAPED = np.array([byte < 0x20 or byte in b'"\\' for byte in range(256)])


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts as UTF-8 within `data`, which ends in padding: `starts` and `sizes` in bytes, of equal length."""

    data: NDArray[np.uint8]
    starts: Ints
    sizes: Ints

    @staticmethod
    def of(texts: Sequence[str]) -> "Texts":
        """From strings."""
        joined = "".join(texts).encode()
        sizes = np.fromiter(map(len, texts), np.int64, len(texts))
        if sizes.sum() != len(joined):
            sizes = np.fromiter((len(text.encode()) for text in texts), np.int64, len(texts))
        data = np.frombuffer(joined + bytes(PADDING), np.uint8)
        return Texts(data, np.cumsum(sizes) - sizes, sizes)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> str:
        start = self.starts[index]
        return self.data[start : start + self.sizes[index]].tobytes().decode()

    def take(self, index: "slice | NDArray[np.intp] | NDArray[np.bool_]") -> "Texts":
        """Those that `index` selects; the bytes are shared."""
        return Texts(self.data, self.starts[index], self.sizes[index])

    def tolist(self) -> list[str]:
        """As strings."""
        data = self.joined().tobytes()
        ends = np.cumsum(self.sizes)
        places = zip((ends - self.sizes).tolist(), ends.tolist(), strict=True)
        if data.isascii():
            text = data.decode("ascii")
            return [text[start:end] for start, end in places]
        return [data[start:end].decode() for start, end in places]

    def as_json(self) -> bytes:
        """As a JSON array of strings."""
        data = self.joined()
        size = int(self.sizes[0]) if len(self) else 0
        is_plain = len(data) == size * len(self) and not _ESCAPED[data].any()
        if not is_plain or not (self.sizes == size).all():
            return orjson.dumps(self.tolist())
        rows = np.full((len(self), size + 3), _QUOTE)
        rows[:, 1:-2] = data.reshape(len(self), size)
        rows[:, -1] = _COMMA
        return b"[" + rows.tobytes()[:-1] + b"]"

    @staticmethod
    def concatenate(parts: "Sequence[Texts]") -> "Texts":
        """All of all parts; bytes that none of them uses are left out."""
        data = padded(*(part.joined() for part in parts))
        sizes = np.concatenate([part.sizes for part in parts])
        return Texts(data, np.cumsum(sizes) - sizes, sizes)

    def joined(self) -> NDArray[np.uint8]:
        """The bytes of all, one after the other."""
        if not len(self):
            return np.empty(0, np.uint8)
        size = int(self.sizes[0])
        if (self.sizes == size).all():
            # The usual case, IDs of one length: a matrix of bytes.
            return windows(self.data, size)[self.starts].ravel()
        ends = np.cumsum(self.sizes)
        joined = np.empty(int(ends[-1]), np.uint8)
        # A few at a time: their places take eight times the memory of their bytes.
        cuts = np.searchsorted(ends, np.arange(_JOINED_BYTES, int(ends[-1]), _JOINED_BYTES)).tolist()
        for first, last in pairwise([0, *cuts, len(self)]):
            start = int(ends[first] - self.sizes[first]) if first < last else 0
            sizes = self.sizes[first:last]
            places = np.repeat(self.starts[first:last] - (ends[first:last] - sizes), sizes)
            places += np.arange(start, start + len(places))
            joined[start : start + len(places)] = self.data[places]
        return joined

    def hashes(self, seed: int = 0) -> NDArray[np.uint32]:
        """A hash of each text, the same wherever it stands; for a place in a table, not for equality.

        Where texts come from strangers, a seed that they do not know keeps them from choosing ones of one hash.
        """
        found = self.sizes.astype(np.uint64) * _MIX_2 ^ np.uint64(seed % (1 << 64))
        for word, rows in _words(self, self.sizes):
            mixed = (found[rows] ^ word) * _MIX_1
            found[rows] = (mixed ^ (mixed >> _HALF)) * _MIX_2
        return (found >> _HALF).astype(np.uint32)

    def equal(self, others: "Texts") -> NDArray[np.bool_]:
        """Whether each is the one of `others` at its place."""
        found: NDArray[np.bool_] = self.sizes == others.sizes
        # The others are read as far as these go, also where another text is there: it is of another size.
        for (mine, rows), (theirs, _) in zip(_words(self, self.sizes), _words(others, self.sizes), strict=True):
            found[rows] &= mine == theirs
        return found


def _words(texts: Texts, sizes: Ints) -> "list[tuple[Words, slice | NDArray[np.intp]]]":
    """Eight bytes at a time of so many from each text's start, then zeros, with the rows that reach so far."""
    found: list[tuple[Words, slice | NDArray[np.intp]]] = []
    if not len(sizes):
        return found
    words = np.ndarray((len(texts.data) - 7,), "<u8", texts.data, 0, (1,))
    least, most = int(sizes.min()), int(sizes.max())
    for at in range(0, most, 8):
        rows: slice | NDArray[np.intp] = slice(None) if least > at else np.flatnonzero(sizes > at)
        # The minimum: a text that ends before may stand at the very end.
        word = words[np.minimum(texts.starts[rows] + at, len(words) - 1)]
        if least < at + 8:
            word &= _MASKS[np.minimum(sizes[rows] - at, 8)]
        found.append((word, rows))
    return found


def windows(data: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Every run of `size` bytes, as the rows of a matrix that shares the array's memory."""
    return np.lib.stride_tricks.as_strided(data, (len(data) - size + 1, size), (1, 1), writeable=False)


def padded(*parts: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The parts one after the other, as `Texts` need them."""
    return np.concatenate([*parts, np.zeros(PADDING, np.uint8)])
