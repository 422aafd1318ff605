"""One worker's membership of a consumer group, and its transactions.

The guards against kafka-python's traps (docs/design.md, "Kafka"): rebalance listeners run on the client's
own thread, so ours only notes that something changed; the group metadata is held as it was at
assignment, since the live one forgets its generation when the member is evicted; every future of a
transaction is looked at before the commit, since that can report success for a transaction that was lost
or is not whole; and a producer is never used again after a failure, nor after a request that may come late.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

import kafka
from kafka import ConsumerRebalanceListener, KafkaProducer
from kafka import errors as kafka_errors
from kafka.structs import OffsetAndMetadata

from streamguard.core.records import Batch, TopicPartition
from streamguard.errors import CommitLostError, FencedError, LogError
from streamguard.logs.commits import Commits
from streamguard.logs.interface import Committed, Poll, Record
from streamguard.logs.kafka.clients import POLL_RECORDS, Clients
from streamguard.logs.kafka.errors import as_log_errors
from streamguard.logs.kafka.records import to_batch

# While the broker is away the client would wait for as long as that takes.
_OFFSETS_MS = 15_000


class _Changes(ConsumerRebalanceListener):  # type: ignore[misc]
    """Notes that the assignment changes. Called on the client's thread while `poll` blocks ours."""

    def __init__(self, finish: Callable[[], object]) -> None:
        self.is_under_way = False
        self.is_new = False
        self._finish = finish

    def on_partitions_revoked(self, revoked: object) -> None:  # noqa: ARG002 - kafka-python's name
        self.is_under_way = True
        # A commit of the generation that ends would be refused in the next one.
        self._finish()

    def on_partitions_assigned(self, assigned: object) -> None:  # noqa: ARG002 - kafka-python's name
        self.is_under_way, self.is_new = False, True

    def on_partitions_lost(self, lost: object) -> None:  # noqa: ARG002 - kafka-python's name
        self.is_under_way = True


class KafkaSession:
    """A consumer and a transactional producer that live and die together."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._commits = Commits(clients.aside, clients.now_s)
        self._changes = _Changes(self._commits.finish)
        self._metadata: Any = None
        self._producer: Any = None
        with as_log_errors(f"cannot join group {clients.group!r}"):
            self._consumer = clients.consumer()
        try:
            with as_log_errors(f"cannot join group {clients.group!r}"):
                self._subscribe()
            self._producer = self._open_producer()
        except BaseException:
            self.close()
            raise

    def _subscribe(self) -> None:
        topics = sorted(topic for group in self._clients.topic_groups for topic in group)
        self._consumer.subscribe(topics, listener=self._changes)
        # A leader shares out the partitions it knows of. Before their number is here that is none, and of the
        # second rebalance, which then follows at once, one in a hundred hangs.
        for topic in topics:
            self._consumer.partitions_for_topic(topic)

    def _open_producer(self) -> Any:
        """Raise the epoch: whatever a former producer of this name has sent and is still on its way is refused."""
        with as_log_errors(f"cannot start transactions as {self._clients.worker!r}"):
            producer = self._clients.producer()
            try:
                producer.init_transactions()
            except BaseException:
                _abandon(producer)
                raise
        return producer

    def poll(self, timeout_ms: int) -> Poll:
        with as_log_errors("cannot read"):
            try:
                found = self._consumer.poll(timeout_ms, max_records=POLL_RECORDS)
            except kafka_errors.NoOffsetForPartitionError:
                # Newly assigned, with nothing committed; `_assigned` sets the position.
                found = {}
            if self._changes.is_under_way:
                return Poll(is_rebalancing=True)
            if self._changes.is_new:
                self._changes.is_new = False
                return Poll(assigned=self._assigned())
            return Poll([self._batch(partition, records) for partition, records in found.items()])

    def _assigned(self) -> frozenset[TopicPartition]:
        """Take the new assignment: all positions at what is committed, else at the start."""
        partitions = self._consumer.assignment()
        metadata = self._consumer.group_metadata()
        self._metadata = metadata
        assigned = frozenset(TopicPartition(each.topic, each.partition) for each in partitions)
        committed = self.committed(assigned)
        starts = self.starts(assigned - committed.keys())
        for partition in assigned:
            at = committed[partition].offset if partition in committed else starts[partition]
            self.seek(partition, at)
        self._consumer.resume(*partitions)
        return assigned

    def _batch(self, partition: Any, records: list[Any]) -> Batch:
        source = TopicPartition(partition.topic, partition.partition)
        return to_batch(source, records, self._consumer.position(partition))

    def committed(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Committed]:
        topics = ", ".join(sorted({each.topic for each in partitions}))
        with as_log_errors(f"cannot read the group's offsets of {topics} (a transaction may hang on the broker)"):
            found = self._consumer.offsets([kafka.TopicPartition(*each) for each in partitions], _OFFSETS_MS)
        return {
            TopicPartition(each.topic, each.partition): Committed(stored.offset, stored.metadata or "")
            for each, stored in found.items()
            if stored.offset >= 0
        }

    def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        with as_log_errors("cannot find where topics end"):
            return _ours(self._consumer.end_offsets([kafka.TopicPartition(*each) for each in partitions]))

    def high_watermarks(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        with as_log_errors("cannot find where topics end"):
            return _ours(self._clients.high_watermarks([kafka.TopicPartition(*each) for each in partitions]))

    def starts(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        if not partitions:
            return {}
        with as_log_errors("cannot find where topics start"):
            return _ours(self._consumer.beginning_offsets([kafka.TopicPartition(*each) for each in partitions]))

    def position(self, partition: TopicPartition) -> int:
        with as_log_errors(f"cannot find the position in {partition.topic}-{partition.partition}"):
            found = self._consumer.position(kafka.TopicPartition(*partition))
        if found is None:
            raise LogError(f"no position in {partition.topic}-{partition.partition}")
        return int(found)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        with as_log_errors(f"cannot go to {partition.topic}-{partition.partition}@{offset}"):
            self._consumer.seek(kafka.TopicPartition(*partition), offset)

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        with as_log_errors("cannot pause"):
            self._consumer.pause(*(kafka.TopicPartition(*each) for each in partitions))

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        with as_log_errors("cannot resume"):
            self._consumer.resume(*(kafka.TopicPartition(*each) for each in partitions))

    def commit(self, records: Sequence[Record], offsets: Mapping[TopicPartition, Committed]) -> None:
        self.begin(records, offsets)
        self.settle()

    def begin(self, records: Sequence[Record], offsets: Mapping[TopicPartition, Committed]) -> None:
        member = self._member()
        self._commits.begin(lambda: self._commit(records, offsets, member))

    def settle(self) -> float:
        return self._commits.settle()

    def _commit(self, records: Sequence[Record], offsets: Mapping[TopicPartition, Committed], member: Any) -> None:
        began_s = self._clients.now_s()
        try:
            self._write(records, offsets, member)
        except FencedError as error:
            if self._clients.now_s() - began_s < self._clients.transaction_timeout_s:
                raise
            raise CommitLostError(f"the commit took longer than log.transaction_timeout: {error}") from error
        self._outrun_copies()

    def _write(self, records: Sequence[Record], offsets: Mapping[TopicPartition, Committed], member: Any) -> None:
        with as_log_errors("cannot commit", CommitLostError):
            self._producer.begin_transaction()
            futures = [send(self._producer, record) for record in records]
            if offsets:
                self._producer.send_offsets_to_transaction(_theirs(offsets), member)
            self._producer.flush(timeout=self._clients.transaction_timeout_s)
            _check(futures)
            # Nothing is left to be written: a batch that failed under the commit would let it report success.
            self._producer.commit_transaction()

    def _member(self) -> Any:
        """Whom the group must still know for a commit to count; raises `CommitLostError` where it cannot."""
        metadata = self._metadata
        # A generation below zero means evicted; the broker does not fence it in a transaction.
        if metadata is None or metadata.generation_id < 0 or self._changes.is_under_way or self._changes.is_new:
            raise CommitLostError("the group has given this worker's partitions away; nothing was committed")
        return metadata

    def _outrun_copies(self) -> None:
        """After a commit of which a request was lost and sent again: the first, if it arrives, must find a newer epoch.

        It would otherwise count for the transaction that is open by then, commit the half of it, or move its
        offsets back.
        """
        if self._producer.has_resent:
            _abandon(self._producer)
            self._producer = self._open_producer()

    def close(self) -> None:
        # Whoever comes after must find the commit under way done, or given up.
        self._commits.finish()
        if self._producer is not None:
            _abandon(self._producer)
        with suppress(kafka_errors.KafkaError):
            self._consumer.close(autocommit=False, timeout_ms=5000)
        with suppress(kafka_errors.KafkaError):
            self._clients.close()


def _abandon(producer: Any) -> None:
    # Zero seconds: whatever is not committed is to be lost, and an open transaction is aborted by the next
    # producer of this name.
    with suppress(kafka_errors.KafkaError):  # what it could not write within zero seconds, for one
        producer.close(timeout=0)


def _check(futures: Sequence[Any]) -> None:
    for future in futures:
        if not future.succeeded():
            error = future.exception if future.is_done else None
            raise CommitLostError(f"a record of the transaction was not written: {error!r}")


def _ours(offsets: Mapping[Any, int]) -> dict[TopicPartition, int]:
    return {TopicPartition(each.topic, each.partition): offset for each, offset in offsets.items()}


def _theirs(offsets: Mapping[TopicPartition, Committed]) -> dict[Any, Any]:
    return {
        kafka.TopicPartition(*partition): OffsetAndMetadata(each.offset, each.metadata, -1)
        for partition, each in offsets.items()
    }


def send(producer: KafkaProducer, record: Record) -> Any:
    """Hand a record to kafka-python's producer; returns its future."""
    headers = [(name, value or b"") for name, value in record.headers]
    value = record.value
    if value is None and record.key is None:
        # kafka-python cannot write a record with neither.
        value, headers = b"", [*headers, ("streamguard.value", b"null")]
    return producer.send(
        record.topic,
        value=value,
        key=record.key,
        headers=headers,
        partition=record.partition,
        timestamp_ms=record.timestamp_ms,
    )
