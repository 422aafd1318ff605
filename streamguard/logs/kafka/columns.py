"""Records of one partition as columns, of which keys and headers are read only when they are asked for.

What is rejected takes its key and headers along, and nothing else looks at them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from streamguard.core.records import Headers

Ints = NDArray[np.int64]

# The longest varint of a size.
SIZE_BYTES = 5


class HeaderLists(Sequence[Headers]):
    """The headers of records, each record's read when they are asked for."""

    def __init__(self, data: bytes, begins: Ints, counts: Ints) -> None:
        self._data, self._begins, self._counts = data, begins, counts

    def __len__(self) -> int:
        return len(self._begins)

    @overload
    def __getitem__(self, index: int) -> Headers: ...
    @overload
    def __getitem__(self, index: slice) -> "HeaderLists": ...
    def __getitem__(self, index: int | slice) -> "Headers | HeaderLists":
        if isinstance(index, slice):
            return HeaderLists(self._data, self._begins[index], self._counts[index])
        at = int(self._begins[index])
        result = []
        for _ in range(int(self._counts[index])):
            name, at = self._field(at)
            value, at = self._field(at)
            result.append(((name or b"").decode(), value))
        return result

    def _field(self, at: int) -> tuple[bytes | None, int]:
        size, at = varint(self._data, at)
        return (None, at) if size < 0 else (self._data[at : at + size], at + size)


@dataclass(slots=True)
class Block:
    """Records of one partition as columns of equal length. `size`: their bytes, without what is around them."""

    offsets: Ints
    timestamps: Ints
    values: Sequence[bytes | None]
    keys: Sequence[bytes | None]
    headers: Sequence[Headers]
    size: int = 0

    def __len__(self) -> int:
        return len(self.values)

    def after(self, count: int) -> "Block":
        """All but the first `count` records."""
        return Block(
            self.offsets[count:],
            self.timestamps[count:],
            self.values[count:],
            self.keys[count:],
            self.headers[count:],
            self.size,
        )


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that stands there, and the place after it; of one that is too long, the start alone."""
    value = 0
    for shift in range(0, 7 * SIZE_BYTES, 7):
        octet = data[at]
        at += 1
        value |= (octet & 0x7F) << shift
        if octet < 0x80:
            break
    return (value >> 1) ^ -(value & 1), at
