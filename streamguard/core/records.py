"""The vocabulary: what enters a task, and what leaves it.

Times are `int` epoch milliseconds. Records come in batches of columns, since a loop over columns
costs a fraction of a loop over objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

Scalar = str | int | float | bool
Headers = Sequence[tuple[str, bytes | None]]


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


@dataclass(slots=True)
class Batch:
    """Records of one partition in offset order, as columns of equal length.

    `next_offset` is the position after the batch; offsets may have gaps (transaction markers, compaction).
    """

    source: TopicPartition
    offsets: Sequence[int]
    timestamps: Sequence[int]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[Headers]
    next_offset: int

    def __len__(self) -> int:
        return len(self.offsets)


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
