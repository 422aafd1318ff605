"""One worker's membership of a consumer group, and its transactions.

The guards (docs/design.md, "Kafka"): the group's metadata is held as it was at assignment; a producer is never used
again after a failure, nor after a commit in which a request may have been sent twice. librdkafka itself refuses to
commit a transaction of which a record was not written.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from time import monotonic
from typing import Any

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from streamguard.core.records import TopicPartition
from streamguard.errors import CommitLostError, FencedError, LogError, UnusableError
from streamguard.logs.commits import Commits, Thread
from streamguard.logs.confluent.admin import Admin
from streamguard.logs.confluent.clients import GRACE_S, Clients, HangError, end, repeatedly, within
from streamguard.logs.confluent.errors import as_log_errors
from streamguard.logs.confluent.options import RESEND_MS
from streamguard.logs.confluent.reading import Reader, theirs
from streamguard.logs.interface import Committed, Poll, Record

# While the broker is away the client would wait for as long as that takes.
_OFFSETS_S = 15.0
# A fifth is librdkafka's jitter; what is over sooner was sent once.
_RESENT_S = 0.8 * RESEND_MS / 1000

_Delivery = Callable[[KafkaError | None, confluent_kafka.Message], None]


class ConfluentSession:
    """A consumer and a transactional producer that live and die together."""

    def __init__(self, clients: Clients, admin: Admin) -> None:
        self._clients, self._admin = clients, admin
        self._thread = Thread()
        self._commits = Commits(self._thread.aside, monotonic)
        self._metadata: Any = None
        self._is_under_way = False
        self._given: frozenset[TopicPartition] | None = None
        self._producer: Producer | None = None
        with as_log_errors(f"cannot join group {clients.group!r}", clients.told):
            self._consumer = clients.consumer()
        self._reader = Reader(self._consumer)
        try:
            with as_log_errors(f"cannot join group {clients.group!r}", clients.told):
                topics = sorted(topic for group in clients.topic_groups for topic in group)
                self._consumer.subscribe(topics, on_assign=self._gain, on_revoke=self._lose, on_lost=self._lose)
            self._producer = self._open_producer()
        except BaseException:
            self.close()
            raise

    def _open_producer(self) -> Producer:
        """Raise the epoch: whatever a former producer of this name has sent and is still on its way is refused."""
        with as_log_errors(f"cannot start transactions as {self._clients.worker!r}", self._clients.told):
            return self._clients.producer()

    def _gain(self, consumer: Consumer, partitions: list[confluent_kafka.TopicPartition]) -> None:
        """Take what was given: all positions at what is committed, else at the start. Called within `poll`."""
        self._metadata = consumer.consumer_group_metadata()
        # One who has been put out already has no name, and what nobody commits the broker takes.
        self._is_under_way = not consumer.memberid()
        given = frozenset(TopicPartition(each.topic, each.partition) for each in partitions)
        self._check_together(given)
        committed = self.committed(given)
        positions = self.starts(given - committed.keys())
        positions |= {partition: found.offset for partition, found in committed.items()}
        consumer.assign([confluent_kafka.TopicPartition(*each, at) for each, at in positions.items()])
        self._reader.begin(positions)
        self._given = given

    def _lose(self, _consumer: Consumer, _partitions: list[confluent_kafka.TopicPartition]) -> None:
        """Note that the group shares out anew, or goes on without us. Called within `poll`."""
        # A commit of the generation that ends would be refused in the next one.
        self._commits.finish()
        self._is_under_way, self._given = True, None
        self._reader.begin({})

    def _is_changed(self) -> bool:
        return self._is_under_way or self._given is not None

    def poll(self, timeout_ms: int) -> Poll:
        with as_log_errors("cannot read", self._clients.told):
            batches = self._reader.read(timeout_ms / 1000, self._is_changed)
        if self._is_under_way:
            return Poll(is_rebalancing=True)
        if self._given is not None:
            given, self._given = self._given, None
            return Poll(assigned=given)
        return Poll(batches)

    def _check_together(self, assigned: frozenset[TopicPartition]) -> None:
        """Partitions of one number must be here for all topics that are read together, or for none."""
        for topics in self._clients.topic_groups:
            numbers = [{each.partition for each in assigned if each.topic == topic} for topic in topics]
            if all(each == numbers[0] for each in numbers):
                continue
            counts = self._admin.check_exist(topics)
            if len(set(counts.values())) > 1:
                told = ", ".join(f"{name!r} {count}" for name, count in counts.items())
                raise UnusableError(
                    f"topics that are read together differ in partitions ({told}): give them the same count, or use"
                    " log.client: kafka-python"
                )
            raise LogError(f"the group has given away partitions of {' and '.join(topics)} that belong together")

    def committed(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Committed]:
        if not partitions:
            return {}
        topics = ", ".join(sorted({each.topic for each in partitions}))
        what = f"cannot read the group's offsets of {topics} (a transaction may hang on the broker)"
        with as_log_errors(what, self._clients.told):
            found = self._consumer.committed(theirs(partitions), timeout=_OFFSETS_S)
            for each in found:
                if each.error is not None:
                    raise KafkaException(each.error)
        return {
            TopicPartition(each.topic, each.partition): Committed(each.offset, each.metadata or "")
            for each in found
            if each.offset >= 0
        }

    def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return self._admin.ends(partitions)

    def high_watermarks(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return self._admin.high_watermarks(partitions)

    def starts(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return self._admin.starts(partitions)

    def position(self, partition: TopicPartition) -> int:
        found = self._reader.positions.get(partition)
        if found is None:
            raise LogError(f"no position in {partition.topic}-{partition.partition}")
        return found

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._reader.seek(partition, offset)

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        self._reader.pause(partitions)

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        self._reader.resume(partitions)

    def commit(self, records: Sequence[Record], offsets: Mapping[TopicPartition, Committed]) -> None:
        self.begin(records, offsets)
        self.settle()

    def begin(self, records: Sequence[Record], offsets: Mapping[TopicPartition, Committed]) -> None:
        member = self._member()
        self._commits.begin(lambda: self._commit(records, offsets, member))

    def settle(self) -> float:
        return self._commits.settle()

    def _commit(self, records: Sequence[Record], offsets: Mapping[TopicPartition, Committed], member: Any) -> None:
        began_s = monotonic()
        try:
            with as_log_errors("cannot commit", self._clients.told, CommitLostError):
                producer = self._hand_over(records)
                self._wait_within(producer, offsets, member)
        except FencedError as error:
            if monotonic() - began_s < self._clients.transaction_timeout_s:
                raise
            raise CommitLostError(f"the commit took longer than log.transaction_timeout: {error}") from error
        self._outrun_copies(monotonic() - began_s)

    def _hand_over(self, records: Sequence[Record]) -> Producer:
        """Begin to write."""
        producer = self._producer
        if producer is None:
            raise CommitLostError("the session is closed")
        producer.begin_transaction()
        for record in records:
            send(producer, record)
        return producer

    def _wait_within(self, producer: Producer, offsets: Mapping[TopicPartition, Committed], member: Any) -> None:
        seconds = self._clients.transaction_timeout_s + GRACE_S
        try:
            within(seconds, lambda: self._wait(producer, offsets, member))
        except HangError:
            self._producer = None
            raise

    def _wait(self, producer: Producer, offsets: Mapping[TopicPartition, Committed], member: Any) -> None:
        """Until all that was handed over is written, and committed with the offsets."""
        seconds = self._clients.transaction_timeout_s
        # Their partitions are in the transaction then. Offsets that are sent while the one before is written out are
        # refused, and sent again only as late as a request that was lost.
        producer.flush(seconds)
        if offsets:
            positions = [
                confluent_kafka.TopicPartition(*partition, each.offset, each.metadata)
                for partition, each in offsets.items()
            ]
            producer.send_offsets_to_transaction(positions, member, seconds)
        repeatedly(producer.commit_transaction, seconds)

    def _member(self) -> Any:
        """Whom the group must still know for a commit to count; raises `CommitLostError` where it cannot."""
        if self._metadata is None or self._is_changed():
            raise CommitLostError("the group has given this worker's partitions away; nothing was committed")
        return self._metadata

    def _outrun_copies(self, took_s: float) -> None:
        """After a commit in which a request may have been sent twice: the first, if it comes, must find a newer epoch.

        It would otherwise count for the transaction that is open by then, commit the half of it, or move its
        offsets back. librdkafka does not tell; but it sends nothing again that soon.
        """
        if took_s >= _RESENT_S:
            self._abandon()
            self._producer = self._open_producer()

    def close(self) -> None:
        # Whoever comes after must find the commit under way done, or given up.
        self._commits.finish()
        self._thread.close()
        self._abandon()
        end(self._consumer.close)

    def _abandon(self) -> None:
        """Without a word to the broker: the next producer of this name aborts what is open."""
        last = [self._producer]
        self._producer = None
        # It ends where nobody refers to it any more: its own `close` would wait for what is not written.
        end(last.clear)


def send(producer: Producer, record: Record, on_delivery: _Delivery | None = None) -> None:
    """Hand a record to a producer."""
    producer.produce(
        record.topic,
        value=record.value,
        key=record.key,
        headers=list(record.headers),
        partition=-1 if record.partition is None else record.partition,
        timestamp=record.timestamp_ms or 0,
        on_delivery=on_delivery,
    )
