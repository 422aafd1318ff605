"""A Kafka cluster, as far as its clients can tell: partitions, transactions, consumer groups.

What it promises and what it does not follows Apache Kafka: `docs/reliability.md` names the settings. Markers
of a transaction reach its partitions one after the other, so that for a while some show it and others do not.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kafka import errors

from streamguard.core.records import TopicPartition
from streamguard.logs.interface import Committed, Record, TopicInfo
from streamguard.logs.partitioner import partitions_of
from tests.simulation.world import World


@dataclass(eq=False, slots=True)
class Transaction:
    """What a producer has begun. `is_committed` is None until that is decided."""

    partitions: set[TopicPartition] = field(default_factory=set)
    offsets: dict[str, dict[TopicPartition, Committed]] = field(default_factory=dict)
    is_committed: bool | None = None


class Entry(NamedTuple):
    """A record where it stands."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    transaction: Transaction | None


@dataclass(slots=True)
class Partition:
    """Records in offset order; offsets have gaps."""

    entries: list[Entry] = field(default_factory=list)
    start: int = 0
    end: int = 0
    undecided: dict[Transaction, int] = field(default_factory=dict)
    """Transactions without their marker here, and where each begins."""

    @property
    def stable_end(self) -> int:
        """The last stable offset."""
        return min(self.undecided.values(), default=self.end)

    def append(self, records: Iterable[Record], now_ms: int, transaction: Transaction | None = None) -> None:
        """Write records."""
        if transaction is not None and transaction not in self.undecided:
            self.undecided[transaction] = self.end
        for record in records:
            at_ms = now_ms if record.timestamp_ms is None else record.timestamp_ms
            self.entries.append(Entry(self.end, at_ms, record.key, record.value, tuple(record.headers), transaction))
            self.end += 1

    def mark(self, transaction: Transaction) -> None:
        """Write the marker of a transaction that is decided."""
        if self.undecided.pop(transaction, None) is not None:
            self.end += 1

    def read(self, offset: int, count: int, *, is_committed: bool) -> tuple[list[Entry], int]:
        """Up to `count` records from an offset on, and the next position."""
        if offset < self.start:
            raise errors.OffsetOutOfRangeError(offset)
        end = self.stable_end if is_committed else self.end
        found: list[Entry] = []
        for entry in self.entries[bisect_left(self.entries, offset, key=lambda each: each.offset) :]:
            if entry.offset >= end:
                break
            if is_committed and entry.transaction is not None and not entry.transaction.is_committed:
                continue
            if len(found) == count:
                return found, entry.offset
            found.append(entry)
        return found, max(offset, end)

    def truncate(self, offset: int) -> None:
        """Retention removes what is before."""
        self.start = max(self.start, min(offset, self.stable_end))
        self.entries = [each for each in self.entries if each.offset >= self.start]

    def compact(self) -> None:
        """Only the newest committed record of each key stays."""
        end, newest = self.stable_end, {}
        for entry in self.entries:
            if entry.offset < end and (entry.transaction is None or entry.transaction.is_committed):
                newest[entry.key] = entry.offset
        self.entries = [each for each in self.entries if each.offset >= end or newest.get(each.key, -1) == each.offset]


@dataclass(slots=True)
class Producer:
    """A transactional ID, as the coordinator knows it."""

    epoch: int = -1
    open: Transaction | None = None
    completing: Transaction | None = None
    was_committed: bool | None = None
    seen: set[int] = field(default_factory=set)
    """Batches of this epoch, by number: one that is sent again is written once."""


class Cluster:
    """Topics, transactions and groups. Every call stands for one request, handled at once."""

    def __init__(self, world: World, transaction_timeout_s: float) -> None:
        self.world = world
        self.topics: dict[str, TopicInfo] = {}
        self.partitions: dict[TopicPartition, Partition] = {}
        self.producers: dict[str, Producer] = {}
        self.offsets: dict[tuple[str, TopicPartition], Committed] = {}
        self.pending: dict[tuple[str, TopicPartition], list[Transaction]] = {}
        self.on_commit: Callable[[str, TopicPartition, Committed | None, Committed], None] | None = None
        self.may_commit: Callable[[str, Any], None] = lambda _group, _member: None
        self.timeout_s = transaction_timeout_s

    def create(self, topic: TopicInfo) -> None:
        """Make a topic, if it is not there."""
        if topic.name not in self.topics:
            self.topics[topic.name] = topic
            for number in range(topic.partitions):
                self.partitions[TopicPartition(topic.name, number)] = Partition()

    def append(self, records: Iterable[Record], transaction: Transaction | None = None) -> None:
        """Write records outside of a producer's own transaction."""
        for record in records:
            self.write(self.place(record), [record], transaction)

    def place(self, record: Record) -> TopicPartition:
        """Where a record goes."""
        if record.partition is not None:
            return TopicPartition(record.topic, record.partition)
        return TopicPartition(record.topic, partitions_of([record.key or b""], self.topics[record.topic].partitions)[0])

    def write(self, place: TopicPartition, records: Sequence[Record], transaction: Transaction | None) -> None:
        """Append to one partition."""
        self.partitions[place].append(records, int(self.world.now_s * 1000), transaction)

    # The transaction coordinator.

    def init(self, name: str) -> int:
        """The producer's new epoch; whoever had the former one is fenced, and what it left open aborted."""
        producer = self.producers.setdefault(name, Producer())
        if producer.open is not None:
            producer.epoch += 1
            self._decide(producer, is_committed=False)
        if producer.completing is not None:
            raise errors.ConcurrentTransactionsError
        producer.epoch += 1
        producer.was_committed = None
        producer.seen.clear()
        return producer.epoch

    def add_partitions(self, name: str, epoch: int, places: Iterable[TopicPartition]) -> None:
        """Begin a transaction, or extend it."""
        self._begun(name, epoch).partitions.update(places)

    def produce(self, name: str, epoch: int, number: int, place: TopicPartition, records: Sequence[Record]) -> None:
        """Write a batch of a transaction."""
        producer = self.producers[name]
        if epoch != producer.epoch:
            raise errors.InvalidProducerEpochError
        if number in producer.seen:
            return
        if producer.open is None or place not in producer.open.partitions:
            raise errors.InvalidTxnStateError
        limit = self.topics[place.topic].max_record_bytes
        if limit is not None and any(len(each.value or b"") > limit for each in records):
            raise errors.MessageSizeTooLargeError
        producer.seen.add(number)
        self.write(place, records, producer.open)

    def commit_offsets(
        self, name: str, epoch: int, group: str, member: Any, offsets: Mapping[TopicPartition, Committed]
    ) -> None:
        """Offsets as part of a transaction, if the group still knows the member."""
        transaction = self._begun(name, epoch)
        self.may_commit(group, member)
        transaction.offsets.setdefault(group, {}).update(offsets)
        for place in offsets:
            waiting = self.pending.setdefault((group, place), [])
            if transaction not in waiting:
                waiting.append(transaction)

    def end(self, name: str, epoch: int, *, is_committed: bool) -> None:
        """Commit or abort."""
        producer = self.producers[name]
        if epoch != producer.epoch:
            raise errors.ProducerFencedError
        if producer.completing is not None:
            if producer.completing.is_committed is is_committed:
                raise errors.ConcurrentTransactionsError
            raise errors.InvalidTxnStateError
        if producer.open is None:
            if producer.was_committed is is_committed:
                return
            raise errors.InvalidTxnStateError
        self._decide(producer, is_committed=is_committed)

    def committed(self, group: str, place: TopicPartition, *, is_stable: bool) -> Committed | None:
        """What a group has committed; while a commit of it is not written out, only those see it who ask so."""
        if is_stable and self.pending.get((group, place)):
            raise errors.UnstableOffsetCommitError
        return self.offsets.get((group, place))

    def _begun(self, name: str, epoch: int) -> Transaction:
        producer = self.producers[name]
        if epoch != producer.epoch:
            raise errors.ProducerFencedError
        if producer.completing is not None:
            raise errors.ConcurrentTransactionsError
        if producer.open is None:
            opened = producer.open = Transaction()
            self.world.after(self.timeout_s, lambda: self._time_out(producer, opened))
        return producer.open

    def _time_out(self, producer: Producer, transaction: Transaction) -> None:
        if producer.open is transaction:
            producer.epoch += 1
            self._decide(producer, is_committed=False)

    def _decide(self, producer: Producer, *, is_committed: bool) -> None:
        transaction = producer.open
        assert transaction is not None
        transaction.is_committed = is_committed
        producer.open, producer.completing = None, transaction
        markers: list[Callable[[], None]] = [
            *(lambda place=place: self.partitions[place].mark(transaction) for place in sorted(transaction.partitions)),
            *(lambda group=group: self._mark_offsets(group, transaction) for group in transaction.offsets),
        ]
        chance, left = self.world.random, len(markers)

        def written(marker: Callable[[], None]) -> None:
            nonlocal left
            marker()
            left -= 1
            if not left:
                producer.completing, producer.was_committed = None, transaction.is_committed

        if not markers:
            producer.completing, producer.was_committed = None, is_committed
        for marker in markers:
            delay_s = chance.random() * (1.0 if chance.random() < 0.05 else 0.01)
            self.world.after(delay_s, lambda marker=marker: written(marker))  # type: ignore[misc]

    def _mark_offsets(self, group: str, transaction: Transaction) -> None:
        for place, offset in transaction.offsets[group].items():
            self.pending[group, place].remove(transaction)
            if transaction.is_committed:
                if self.on_commit is not None:
                    self.on_commit(group, place, self.offsets.get((group, place)), offset)
                self.offsets[group, place] = offset
