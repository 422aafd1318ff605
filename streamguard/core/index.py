"""A hash table from texts to slots that works on arrays: all rows of a batch are looked up together.

Open addressing with linear probing (Knuth, The Art of Computer Programming, volume 3, section 6.4,
algorithm L), each step done for all rows that have not come to their end. The table holds slot numbers
alone; whether a slot has a row's text is asked of the owner of the texts, so that a hash decides nothing.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint32]
Same = Callable[[NDArray[np.intp], NDArray[np.int32]], NDArray[np.bool_]]
"""Whether the texts of these rows are those of these slots; never true of a slot whose text is forgotten."""

NONE = -1
_EMPTY = np.int32(NONE)
_LEAST = 1024
# Fuller than this, and runs of filled places grow long.
_LOAD_MAX = 0.65


class Index:
    """Which slot a text is at. Slots are numbered by the owner, below 2**31."""

    def __init__(self) -> None:
        self._table = np.full(_LEAST, _EMPTY)
        self._filled = 0

    def find(self, hashes: Hashes, same: Same) -> NDArray[np.int32]:
        """The slot of each row's text, or `NONE`."""
        found = np.full(len(hashes), _EMPTY)
        rows, at = np.arange(len(hashes)), self._places(hashes)
        while len(rows):
            slots = self._table[at]
            going = slots != _EMPTY
            rows, at, slots = rows[going], at[going], slots[going]
            is_hit = same(rows, slots)
            found[rows[is_hit]] = slots[is_hit]
            rows, at = rows[~is_hit], self._next(at[~is_hit])
        return found

    def claim(self, slots: NDArray[np.int32], hashes: Hashes, same: Same) -> NDArray[np.int32]:
        """The slot of each row's text: the one known, else the row's own of `slots`, which it has from here on.

        Of several rows with one text the first claims. There must be `room` for all.
        """
        heads = slots.copy()
        rows, at = np.arange(len(hashes)), self._places(hashes)
        while len(rows):
            free = np.flatnonzero(self._table[at] == _EMPTY)[::-1]
            # Of several assignments to one place the last stays: hence the first row's comes last.
            self._table[at[free]] = slots[rows[free]]
            there = self._table[at]
            is_own = there == slots[rows]
            self._filled += int(np.count_nonzero(is_own))
            left = ~is_own
            rows, at, there = rows[left], at[left], there[left]
            is_hit = same(rows, there)
            heads[rows[is_hit]] = there[is_hit]
            rows, at = rows[~is_hit], self._next(at[~is_hit])
        return heads

    def has_room(self, count: int) -> bool:
        """Whether so many more texts can be claimed; if not, `rebuild`."""
        return self._filled + count <= _LOAD_MAX * len(self._table)

    def rebuild(self, slots: NDArray[np.int32], hashes: Hashes, count: int) -> None:
        """Hold just these slots, whose texts are different, with room for `count` more."""
        size = _LEAST
        while len(slots) + count > _LOAD_MAX * size:
            size *= 2
        self._table = np.full(size, _EMPTY)
        self._filled = 0
        if len(slots):
            self.claim(slots, hashes, differ)

    def _places(self, hashes: Hashes) -> Ints:
        return hashes.astype(np.int64) & (len(self._table) - 1)

    def _next(self, at: Ints) -> Ints:
        return (at + 1) & (len(self._table) - 1)


def differ(rows: NDArray[np.intp], slots: NDArray[np.int32]) -> NDArray[np.bool_]:  # noqa: ARG001 - a `Same`
    """For `claim`, of texts that are not there yet, and are different."""
    return np.zeros(len(rows), np.bool_)
