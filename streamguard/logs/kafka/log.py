"""Topics of a Kafka cluster."""

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.protocol.consumer import IsolationLevel

from streamguard.config import KafkaLog as Settings
from streamguard.core.records import Batch, TopicPartition
from streamguard.errors import LogError
from streamguard.logs.interface import Committed, Record, Span, TopicInfo, Wanted, removed
from streamguard.logs.kafka import options
from streamguard.logs.kafka.clients import POLL_RECORDS, Clients, unpark
from streamguard.logs.kafka.errors import as_log_errors
from streamguard.logs.kafka.records import read_batches, to_batch
from streamguard.logs.kafka.session import KafkaSession, send

_FOLLOW_MS = 1000
_FOLLOW_RECORDS = 5000
# The position alone tells that a bounded read is at its end, and no record need come with it.
_LOOK_MS = 50
# So much is fetched ahead of all partitions together, where they are told to wait for each other.
_AHEAD_BYTES = 32 << 20
_FETCH_BYTES = 64 << 10, 4 << 20
_BLOCK_MS = 15_000


class KafkaLog:
    """A cluster, as a log."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin: KafkaAdminClient | None = None
        with self._asking("cannot begin"):
            pass  # whoever names a broker wants to know at once that it does not answer

    @contextmanager
    def _asking(self, what: str) -> Iterator[KafkaAdminClient]:
        """The cluster, to ask or tell it something. A client that failed is not asked again: it may not recover."""
        if self._admin is None:
            with as_log_errors(f"cannot reach Kafka at {', '.join(self._settings.bootstrap_servers)}"):
                self._admin = KafkaAdminClient(**options.connection(self._settings), bootstrap_timeout_ms=10_000)
        try:
            with as_log_errors(what):
                yield self._admin
        except LogError:
            self.close()
            raise

    def topics(self, names: Collection[str]) -> dict[str, TopicInfo]:
        with self._asking("cannot look up topics") as admin:
            counts = _counts(admin, names)
            if not counts:
                return {}
            wanted = [ConfigResource(ConfigResourceType.TOPIC, name) for name in counts]
            found = admin.describe_configs(wanted, config_filter="all")
        settings = {name: each for kind in found.values() for name, each in kind.items()}
        return {name: _info(name, count, settings.get(name, {})) for name, count in counts.items()}

    def create(self, topic: TopicInfo) -> None:
        wanted = creation(topic, self._settings.replication_factor)
        # Where it exists already, another worker was first.
        exists = suppress(kafka_errors.TopicAlreadyExistsError)
        with self._asking(f"cannot create topic {topic.name!r}") as admin, exists:
            admin.create_topics({topic.name: wanted}, wait_for_metadata=True)

    def session(
        self, group: str, topic_groups: Sequence[Sequence[str]], worker: str, *, whole: bool = False
    ) -> KafkaSession:
        # A consumer would wait without a word for a topic that is not there.
        self._check_exist({topic for topics in topic_groups for topic in topics})
        return KafkaSession(Clients(self._settings, group, topic_groups, worker, whole=whole))

    def committed(self, group: str, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Committed]:
        if not partitions:
            return {}
        with self._asking(f"cannot look up what group {group!r} has committed") as admin:
            found = admin.list_group_offsets({group: [kafka.TopicPartition(*each) for each in partitions]})
        return {
            TopicPartition(each.topic, each.partition): Committed(its.offset, its.metadata or "")
            for each, its in found.get(group, {}).items()
            if its.offset >= 0
        }

    def spans(self, topic: str, from_ms: int | None = None, to_ms: int | None = None) -> dict[int, Span]:
        return self._spans(topic, range(self._check_exist([topic])[topic]), from_ms, to_ms)

    def _spans(
        self, topic: str, numbers: Collection[int], from_ms: int | None = None, to_ms: int | None = None
    ) -> dict[int, Span]:
        """As `spans`, of these partitions."""
        partitions = [kafka.TopicPartition(topic, number) for number in sorted(numbers)]
        with self._asking(f"cannot find where topic {topic!r} starts and ends") as admin:

            def at(place: int) -> dict[kafka.TopicPartition, int]:
                # Not the consumer, which says of a partition without a leader that no record is so late.
                found = admin.list_partition_offsets(dict.fromkeys(partitions, place), IsolationLevel.READ_COMMITTED)
                return {each: its.offset for each, its in found.items() if its.offset >= 0}

            # What lies before the ends is there when the times are looked up.
            ends, held = at(OffsetSpec.LATEST), at(OffsetSpec.EARLIEST)
            # Below zero are places such as these two.
            first = held if from_ms is None else at(max(0, from_ms))
            last = ends if to_ms is None else at(max(0, to_ms))
        return {
            each.partition: Span.within(held[each], ends[each], first.get(each), last.get(each)) for each in partitions
        }

    def read(
        self,
        topic: str,
        partitions: Collection[int] | None = None,
        *,
        follow: bool = False,
        spans: Mapping[int, Span] | None = None,
        wanted: Wanted | None = None,
    ) -> Iterator[Batch]:
        with _reading(topic):
            limit = {} if wanted is None else {"max_partition_fetch_bytes": _fetch_bytes(len(spans or ()))}
            consumer = KafkaConsumer(group_id=None, **options.consumer(self._settings) | limit)
        try:
            read_batches(consumer)
            with _reading(topic):
                # This takes 0.1 s, in which a commit that has just returned is written out, and counts below.
                count = len(consumer.partitions_for_topic(topic))
            left = self._left(topic, count, partitions, spans, follow=follow)
            with _reading(topic):
                consumer.assign(list(left))
                for each, span in left.items():
                    consumer.seek(each, span.start)
            how = (_FOLLOW_MS, _FOLLOW_RECORDS) if follow else (_LOOK_MS, POLL_RECORDS)
            while left:
                with _reading(topic):
                    if wanted is not None:
                        _hold_back(consumer, left, wanted())
                    batches = _take(consumer, left, *how)
                # An empty one tells an end, which only matters where partitions wait for each other.
                yield from (batch for batch in batches if len(batch) or wanted is not None)
                if follow and not batches:
                    yield Batch(TopicPartition(topic, 0), (), (), (), (), (), 0)
        finally:
            consumer.close(autocommit=False)

    def _left(
        self,
        topic: str,
        count: int,
        partitions: Collection[int] | None,
        spans: Mapping[int, Span] | None,
        *,
        follow: bool,
    ) -> dict[kafka.TopicPartition, Span]:
        """Where there is something to be read; a consumer would wait without a word for a partition that is not."""
        if not count:
            raise _missing([topic])
        numbers = range(count) if partitions is None else partitions
        for number in numbers if spans is None else spans:
            if not 0 <= number < count:
                raise LogError(f"topic {topic!r} has no partition {number}: it has 0 to {count - 1}")
        if spans is None:
            spans = self._spans(topic, numbers)
        if follow:
            spans = {number: replace(span, end=sys.maxsize) for number, span in spans.items()}
        return {kafka.TopicPartition(topic, number): span for number, span in spans.items() if span.start < span.end}

    def append(self, records: Sequence[Record]) -> None:
        # A producer would look for a missing topic for a minute, and then not say which.
        self._check_exist({each.topic for each in records})
        with as_log_errors("cannot write"):
            producer = KafkaProducer(linger_ms=20, max_block_ms=_BLOCK_MS, **options.producer(self._settings))
        try:
            with as_log_errors("cannot write"):
                futures = [send(producer, each) for each in records]
                producer.flush(timeout=60)
                for future in futures:
                    future.get(timeout=1)
        finally:
            producer.close(timeout=5)

    def close(self) -> None:
        if self._admin is not None:
            self._admin.close()
            self._admin = None

    def _check_exist(self, names: Collection[str]) -> dict[str, int]:
        """How many partitions each of `names` has; raises `LogError` where one is missing."""
        with self._asking("cannot look up topics") as admin:
            counts = _counts(admin, names)
        missing = sorted(set(names) - counts.keys())
        if missing:
            raise _missing(missing)
        return counts


def creation(topic: TopicInfo, replication_factor: int) -> dict[str, Any]:
    """A topic that is to be made, as the admin client wants it."""
    configs = {"cleanup.policy": "compact" if topic.compacted else "delete"}
    if not topic.compacted:
        configs["retention.ms"] = str(-1 if topic.retention_ms is None else topic.retention_ms)
    if topic.max_record_bytes is not None:
        configs["max.message.bytes"] = str(topic.max_record_bytes)
    return {"num_partitions": topic.partitions, "replication_factor": replication_factor, "configs": configs}


def _counts(admin: KafkaAdminClient, names: Collection[str]) -> dict[str, int]:
    """How many partitions those of `names` have that exist."""
    described = admin.describe_topics(sorted(names))
    return {each["name"]: len(each["partitions"]) for each in described if not each["error_code"]}


def _missing(names: Collection[str]) -> LogError:
    return LogError(f"no topic {', '.join(map(repr, names))}: create it, or mend its name")


@contextmanager
def _reading(topic: str) -> Iterator[None]:
    with as_log_errors(f"cannot read topic {topic!r}"):
        try:
            yield
        except kafka_errors.OffsetOutOfRangeError as error:
            (partition, offset), *_ = error.args[0].items()
            raise removed(TopicPartition(topic, partition.partition), offset) from error


def _take(
    consumer: KafkaConsumer, left: dict[kafka.TopicPartition, Span], timeout_ms: int, records_max: int
) -> list[Batch]:
    """The next records of what is left to be read; a partition that is at its end is left no more, and says so."""
    found = consumer.poll(timeout_ms, max_records=records_max)
    positions = {each: consumer.position(each) for each in left}
    batches = [
        to_batch(TopicPartition(each.topic, each.partition), records, positions[each]).before(left[each].end)
        for each, records in found.items()
    ]
    done = [each for each, position in positions.items() if position >= left[each].end]
    batches += [_empty(each, left[each].end) for each in done if each not in found]
    for each in done:
        del left[each]
    if done:
        # Whatever else these have is not to be fetched, nor kept.
        consumer.assign(list(left))
    return batches


def _empty(partition: kafka.TopicPartition, next_offset: int) -> Batch:
    return Batch(TopicPartition(partition.topic, partition.partition), (), (), (), (), (), next_offset)


def _hold_back(consumer: KafkaConsumer, left: Collection[kafka.TopicPartition], wanted: Collection[int]) -> None:
    """Let partitions wait whose records nobody wants now."""
    waiting, paused = {each for each in left if each.partition not in wanted}, consumer.paused()
    consumer.pause(*waiting - paused)
    consumer.resume(*paused - waiting)
    unpark(consumer)


def _fetch_bytes(count: int) -> int:
    """Of each of so many partitions at once: what is fetched of one that has to wait is kept."""
    least, most = _FETCH_BYTES
    return min(most, max(least, _AHEAD_BYTES // max(1, count)))


def _info(name: str, partitions: int, settings: dict[str, dict[str, object]]) -> TopicInfo:
    def value(key: str) -> str:
        return str(settings.get(key, {}).get("value", ""))

    retention = value("retention.ms")
    is_compacted = "compact" in value("cleanup.policy")
    is_deleted = "delete" in value("cleanup.policy") or not is_compacted
    limit = value("max.message.bytes")
    return TopicInfo(
        name=name,
        partitions=partitions,
        retention_ms=int(retention) if is_deleted and retention.isdigit() else None,
        compacted=is_compacted,
        max_record_bytes=int(limit) if limit.isdigit() else None,
    )
