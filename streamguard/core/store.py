"""The columns of remembered records, addressed by slot."""

import numpy as np
from numpy.typing import NDArray

from streamguard.core.codec import Columns
from streamguard.core.outcomes import Half
from streamguard.core.texts import PADDING, Texts

Slots = NDArray[np.int32]


class Store:
    """Columns that grow by a quarter; `size` slots of them are used.

    A slot whose flags are 0 is dead, and goes with the next `compact`.
    """

    def __init__(self, *, with_scores: bool) -> None:
        self.size = 0
        self.dead_count = 0
        self.flags = np.zeros(0, np.uint8)
        self.hashes = np.zeros(0, np.uint32)
        self.times = np.zeros(0, np.int64)
        self.offsets = np.zeros(0, np.int64)
        self.values = np.empty(0, object)
        self.routes = np.empty(0, object)
        self.scores = np.zeros(0) if with_scores else None
        self.sizes = np.zeros(0, np.uint32)
        self._starts = np.zeros(0, np.int64)
        self._bytes = np.zeros(PADDING, np.uint8)
        self._bytes_used = 0

    def ids(self, slots: "Slots | NDArray[np.intp]") -> Texts:
        """The request IDs of slots."""
        return Texts(self._bytes, self._starts[slots], self.sizes[slots].astype(np.int64))

    def half(self, slots: Slots) -> Half:
        """What outcomes need of waiting records."""
        scores = None if self.scores is None else self.scores[slots]
        return Half(self.offsets[slots], self.times[slots], self.values[slots], scores, self.routes[slots])

    def append(self, columns: Columns, hashes: NDArray[np.uint32]) -> Slots:
        """New slots for records, their flags 0; what only open ones need comes by `remember`."""
        start, count = self.size, len(columns)
        new = slice(start, start + count)
        self._grow(start + count)
        self.hashes[new] = hashes
        self.times[new] = columns.times
        self.offsets[new] = columns.offsets
        ids = columns.ids
        self.sizes[new] = ids.sizes
        joined = ids.joined()
        ends = np.cumsum(ids.sizes)
        self._starts[new] = self._bytes_used + ends - ids.sizes
        end = self._bytes_used + len(joined)
        if end + PADDING > len(self._bytes):
            self._bytes.resize(_roomy(end + PADDING), refcheck=False)
        self._bytes[self._bytes_used : end] = joined
        self._bytes_used = end
        self.size += count
        return np.arange(start, start + count, dtype=np.int32)

    def remember(self, slots: Slots, columns: Columns) -> None:
        """What a waiting record is needed for: its value, and for a prediction its score and route."""
        self.values[slots] = columns.values
        if columns.routes is not None:
            self.routes[slots] = columns.routes
        if self.scores is not None and columns.scores is not None:
            self.scores[slots] = columns.scores

    def let_go(self, slots: Slots) -> None:
        """Forget values and routes: other columns take no memory of their own."""
        self.values[slots] = None
        self.routes[slots] = None

    def kill(self, slots: Slots) -> None:
        """Nothing remembers these any more."""
        self.flags[slots] = 0
        self.dead_count += len(slots)

    def compact(self) -> Slots:
        """Move what is not dead together; returns the new slot of each former one."""
        alive = np.flatnonzero(self.flags[: self.size])
        ids = Texts.concatenate([self.ids(alive)])
        self._bytes, self._bytes_used, self._starts = ids.data, len(ids.data) - PADDING, ids.starts
        new_slots = np.full(self.size, -1, np.int32)
        new_slots[alive] = np.arange(len(alive), dtype=np.int32)
        for name in ("flags", "hashes", "times", "offsets", "values", "routes", "sizes"):
            setattr(self, name, getattr(self, name)[alive])
        if self.scores is not None:
            self.scores = self.scores[alive]
        self.size, self.dead_count = len(alive), 0
        return new_slots

    def _grow(self, size: int) -> None:
        if size <= len(self.flags):
            return
        room = _roomy(size)
        for name in ("flags", "hashes", "times", "offsets", "sizes", "_starts"):
            getattr(self, name).resize(room, refcheck=False)
        # An array of objects would be filled with zeros.
        for name in ("values", "routes"):
            column = np.empty(room, object)
            column[: self.size] = getattr(self, name)[: self.size]
            setattr(self, name, column)
        if self.scores is not None:
            self.scores.resize(room, refcheck=False)


def _roomy(size: int) -> int:
    return size + size // 4 + 1024
