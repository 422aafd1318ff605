"""Topics of a Kafka cluster."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType

from streamguard.config import KafkaLog as Settings
from streamguard.core.records import Batch, TopicPartition
from streamguard.errors import LogError
from streamguard.logs.interface import Record, TopicInfo
from streamguard.logs.kafka import options
from streamguard.logs.kafka.clients import Clients
from streamguard.logs.kafka.errors import as_log_errors
from streamguard.logs.kafka.records import read_batches, to_batch
from streamguard.logs.kafka.session import KafkaSession, send

_FOLLOW_MS = 1000
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
            described = admin.describe_topics(sorted(names))
            counts = {each["name"]: len(each["partitions"]) for each in described if not each["error_code"]}
            if not counts:
                return {}
            wanted = [ConfigResource(ConfigResourceType.TOPIC, name) for name in counts]
            found = admin.describe_configs(wanted, config_filter="all")
        settings = {name: each for kind in found.values() for name, each in kind.items()}
        return {name: _info(name, count, settings.get(name, {})) for name, count in counts.items()}

    def create(self, topic: TopicInfo) -> None:
        configs = {"cleanup.policy": "compact" if topic.compacted else "delete"}
        if not topic.compacted:
            configs["retention.ms"] = str(-1 if topic.retention_ms is None else topic.retention_ms)
        if topic.max_record_bytes is not None:
            configs["max.message.bytes"] = str(topic.max_record_bytes)
        wanted = {
            "num_partitions": topic.partitions,
            "replication_factor": self._settings.replication_factor,
            "configs": configs,
        }
        # Where it exists already, another worker was first.
        exists = suppress(kafka_errors.TopicAlreadyExistsError)
        with self._asking(f"cannot create topic {topic.name!r}") as admin, exists:
            admin.create_topics({topic.name: wanted}, wait_for_metadata=True)

    def session(self, group: str, topic_groups: Sequence[Sequence[str]], worker: str) -> KafkaSession:
        # A consumer would wait without a word for a topic that is not there.
        self._check_exist({topic for topics in topic_groups for topic in topics})
        return KafkaSession(Clients(self._settings, group, topic_groups, worker))

    def read(self, topic: str, partitions: Collection[int] | None = None, *, follow: bool = False) -> Iterator[Batch]:
        with as_log_errors(f"cannot read topic {topic!r}"):
            consumer = KafkaConsumer(group_id=None, **options.consumer(self._settings))
        try:
            read_batches(consumer)
            with as_log_errors(f"cannot read topic {topic!r}"):
                numbers = consumer.partitions_for_topic(topic) if partitions is None else partitions
                if not numbers:
                    raise LogError(f"topic {topic!r} does not exist")
                assigned = [kafka.TopicPartition(topic, number) for number in sorted(numbers)]
                consumer.assign(assigned)
                for partition, offset in consumer.beginning_offsets(assigned).items():
                    consumer.seek(partition, offset)
                ends = consumer.end_offsets(assigned)
            while follow or any(consumer.position(each) < ends[each] for each in assigned):
                with as_log_errors(f"cannot read topic {topic!r}"):
                    found = consumer.poll(_FOLLOW_MS, max_records=5000)
                    batches = [
                        to_batch(TopicPartition(topic, each.partition), records, consumer.position(each))
                        for each, records in found.items()
                    ]
                yield from batches
                if follow and not batches:
                    yield Batch(TopicPartition(topic, 0), (), (), (), (), (), 0)
        finally:
            consumer.close(autocommit=False)

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

    def _check_exist(self, names: Collection[str]) -> None:
        with self._asking("cannot look up topics") as admin:
            described = admin.describe_topics(sorted(names))
        missing = sorted(set(names) - {each["name"] for each in described if not each["error_code"]})
        if missing:
            raise LogError(f"no topic {', '.join(map(repr, missing))}: create it, or mend its name")


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
