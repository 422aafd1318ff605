"""The vocabulary: what enters a task, and what leaves it.

Times are `int` epoch milliseconds. Records come in batches of columns, since a loop over columns
costs a fraction of a loop over objects.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

Scalar = str | int | float | bool
Headers = Sequence[tuple[str, bytes | None]]


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Blobs(Sequence[bytes | None]):
    """Values as places within `data`: `starts` and `sizes` in bytes, a size of -1 where there is no value."""

    data: NDArray[np.uint8]
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @staticmethod
    def concatenate(parts: "Sequence[Blobs]") -> "Blobs":
        """All values of all parts."""
        if len(parts) == 1:
            return parts[0]
        sizes = [len(part.data) for part in parts]
        shifts = np.cumsum([0, *sizes[:-1]])
        return Blobs(
            np.concatenate([part.data for part in parts]),
            np.concatenate([part.starts + shift for part, shift in zip(parts, shifts, strict=True)]),
            np.concatenate([part.sizes for part in parts]),
        )

    @staticmethod
    def of(values: Sequence[bytes | None]) -> "Blobs":
        """From single values."""
        if isinstance(values, Blobs):
            return values
        sizes = np.array([-1 if value is None else len(value) for value in values], np.int64)
        ends = np.cumsum(np.maximum(sizes, 0))
        data = b"".join([value or b"" for value in values])
        return Blobs(np.frombuffer(data, np.uint8), ends - np.maximum(sizes, 0), sizes)

    def take(self, places: NDArray[np.intp]) -> "Blobs":
        """The values at these places; the bytes are shared."""
        return Blobs(self.data, self.starts[places], self.sizes[places])

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, index: int) -> bytes | None: ...
    @overload
    def __getitem__(self, index: slice) -> "Blobs": ...

    def __getitem__(self, index: int | slice) -> "bytes | Blobs | None":
        if isinstance(index, slice):
            return Blobs(self.data, self.starts[index], self.sizes[index])
        start, size = int(self.starts[index]), int(self.sizes[index])
        return None if size < 0 else self.data[start : start + size].tobytes()

    def __iter__(self) -> Iterator[bytes | None]:
        if not len(self):
            return
        first, end = int(self.starts.min()), int((self.starts + self.sizes).max())
        data = self.data[first : max(first, end)].tobytes()
        for start, size in zip((self.starts - first).tolist(), self.sizes.tolist(), strict=True):
            yield None if size < 0 else data[start : start + size]


@dataclass(slots=True)
class Batch:
    """Records of one partition in offset order, as columns of equal length.

    `next_offset` is the position after the batch; offsets may have gaps (transaction markers, compaction).
    """

    source: TopicPartition
    offsets: Sequence[int] | NDArray[np.int64]
    timestamps: Sequence[int] | NDArray[np.int64]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[Headers]
    next_offset: int

    def __len__(self) -> int:
        return len(self.offsets)

    def part(self, start: int, end: int) -> "Batch":
        """Records `start` to before `end`."""
        is_last = end >= len(self)
        return Batch(
            self.source,
            self.offsets[start:end],
            self.timestamps[start:end],
            self.keys[start:end],
            self.values[start:end],
            self.headers[start:end],
            self.next_offset if is_last else int(self.offsets[end]),
        )

    def before(self, offset: int) -> "Batch":
        """The records before an offset."""
        if self.next_offset <= offset:
            return self
        part = self.part(0, bisect_left(self.offsets, offset))
        part.next_offset = offset
        return part


class Stream(StrEnum):
    """Where a task's output goes; the worker knows the topic behind each."""

    OUTCOMES = "outcomes"
    REJECTED = "rejected"
    ALERTS = "alerts"
    STATE = "state"


@dataclass(frozen=True, slots=True)
class Output:
    """A record that a task wants written. No partition means: by key."""

    stream: Stream
    key: bytes | None
    value: bytes | None
    partition: int | None = None
    headers: Headers = ()


class Fate(StrEnum):
    """How an input record ends: each as exactly one of these."""

    MATCHED = "matched"
    EXPIRED = "expired"
    LATE = "late"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    WAITING = "waiting"
