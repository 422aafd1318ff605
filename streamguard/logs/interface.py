"""The narrow interface between the worker and a log.

A *session* is one worker's membership of a consumer group together with its transactional writes. Its rule
is: one `poll`, one commit, which may go on while the next `poll` and step do. After any `LogError` the
session is dead: close it, open another, and restore the tasks from what is committed.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from streamguard.core.records import Batch, Headers, TopicPartition
from streamguard.errors import UnusableError


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """What a log knows of a topic. `retention_ms` is None where records are kept for ever."""

    name: str
    partitions: int
    retention_ms: int | None = None
    compacted: bool = False
    max_record_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """A group's committed position in a partition: the next offset to read, and a note of at most 4 kB."""

    offset: int
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """A record to be written. Without a partition, the key chooses it; without a key, any will do."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None
    headers: Headers = ()
    timestamp_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A range of one partition's offsets, from `start` to before `end`."""

    start: int
    """The first offset, whether or not a record is there."""
    end: int
    """The offset after the last: never below `start`."""
    held: int
    """The first offset that retention has left in the partition: `start` may not lie before it."""

    @classmethod
    def within(cls, held: int, end: int, first: int | None, last: int | None) -> "Span":
        """From `first` to before `last`, as far as a partition has that: `held` to before `end`.

        None stands for a record that is not there yet. What was asked for one after the other need not agree:

        >>> Span.within(held=0, end=5, first=3, last=7)  # which was written after the end was looked up
        Span(start=3, end=5, held=0)
        >>> Span.within(held=8, end=5, first=3, last=4)  # retention has removed all that there was then
        Span(start=8, end=8, held=8)
        """
        end = max(held, end if last is None else min(last, end))
        return cls(end if first is None else min(max(first, held), end), end, held)


Wanted = Callable[[], Collection[int]]
"""Says which partitions records are wanted of now: at least one that was not read to its end."""


@dataclass(slots=True)
class Poll:
    """What one poll brought. `assigned` is the whole assignment where it changed, else None.

    While `is_rebalancing`, nothing is assigned, and nothing may be asked or committed; tasks may stay.
    """

    batches: list[Batch] = field(default_factory=list)
    assigned: frozenset[TopicPartition] | None = None
    is_rebalancing: bool = False


class Session(Protocol):
    """One member of a consumer group, reading committed records, writing in transactions."""

    def poll(self, timeout_ms: int) -> Poll:
        """Records of assigned partitions that are not paused; at most one batch a partition.

        When `assigned` is set, positions of all partitions are at what is committed (else at the start),
        nothing is paused, and no batch comes with it.
        """
        ...

    def committed(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Committed]:
        """What the group has committed; partitions without a commit are left out."""
        ...

    def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last committed record of each partition."""
        ...

    def high_watermarks(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last record of each partition, committed or not."""
        ...

    def starts(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The first offset that retention has left in each partition."""
        ...

    def position(self, partition: TopicPartition) -> int:
        """The next offset that `poll` will read."""
        ...

    def seek(self, partition: TopicPartition, offset: int) -> None: ...

    def pause(self, partitions: Collection[TopicPartition]) -> None: ...

    def resume(self, partitions: Collection[TopicPartition]) -> None: ...

    def commit(self, records: Sequence[Record], offsets: Mapping[TopicPartition, Committed]) -> None:
        """Records and offsets together, or neither: `begin`, and then `settle`."""
        ...

    def begin(self, records: Sequence[Record], offsets: Mapping[TopicPartition, Committed]) -> None:
        """Begin to commit records and offsets together, or neither; what was begun before must be settled.

        Only offsets of an own partition tell whether the group still counts on this session: records without
        them are written in any case. `poll` may be called meanwhile: it gives no partition away before the end.
        """
        ...

    def settle(self) -> float:
        """Wait until what was begun is committed; returns how many seconds that took.

        Raises `CommitLostError` where it is not certain that all was committed.
        """
        ...

    def close(self) -> None: ...


class Log(Protocol):
    """A set of topics."""

    def topics(self, names: Collection[str]) -> dict[str, TopicInfo]:
        """Those of `names` that exist."""
        ...

    def create(self, topic: TopicInfo) -> None:
        """Make a topic; one that exists already is left as it is."""
        ...

    def session(
        self, group: str, topic_groups: Sequence[Sequence[str]], worker: str, *, whole: bool = False
    ) -> Session:
        """Join a group. `worker` is a stable name: one that comes back fences its former self.

        Partitions of one number belong to one worker for all topics of a topic group; with `whole`, all partitions of
        a topic group do, and other workers stand by.
        """
        ...

    def committed(self, group: str, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Committed]:
        """What a group has committed, asked from outside; partitions without a commit are left out."""
        ...

    def spans(self, topic: str, from_ms: int | None = None, to_ms: int | None = None) -> dict[int, Span]:
        """By partition, the offsets of the committed records between two times of records, the latter excluded.

        Each partition is cut where its first record of that time or later is, as records need not be in the order
        of their times. None: as far as the topic reaches now.
        """
        ...

    def read(
        self,
        topic: str,
        partitions: Collection[int] | None = None,
        *,
        follow: bool = False,
        spans: Mapping[int, Span] | None = None,
        wanted: Wanted | None = None,
    ) -> Iterator[Batch]:
        """Committed records from the start to where the topic ends now (`follow`: and on), outside any group.

        Instead of `partitions`, `spans` may say from where and to where each is read, in offsets that the partition
        has, or had: raises `LogError` where retention has removed what was still to be read.
        With `follow` an empty batch comes about once a second when there is nothing new.

        `wanted` goes with `spans` alone: it is asked before each look for records, and other partitions wait. The
        last batch of each partition then has the end of its span as its `next_offset`, and may be empty.
        """
        ...

    def append(self, records: Sequence[Record]) -> None:
        """Write records outside any transaction of a group; durable on return."""
        ...

    def close(self) -> None: ...


def removed(source: TopicPartition, offset: int) -> UnusableError:
    """What a read outside any group raises where it cannot go on."""
    return UnusableError(
        f"{source.topic}-{source.partition}@{offset} cannot be read: retention has removed what was there; "
        "raise retention.ms of the topic, or begin later"
    )
