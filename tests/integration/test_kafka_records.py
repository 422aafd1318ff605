"""Both ways of reading agree on what a broker sends: kafka-python's records, and whole batches."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from random import Random
from typing import Any
from uuid import uuid4

import kafka
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, codec
from kafka.admin import ConfigResource, ConfigResourceType

from streamguard.config import KafkaLog as Settings
from streamguard.core.records import TopicPartition
from streamguard.logs.kafka import options
from streamguard.logs.kafka.clients import _Consumer
from streamguard.logs.kafka.columns import Block
from streamguard.logs.kafka.records import read_batches, to_batch
from tests.integration.transactions import wait_until
from tests.logs.kafka_batches import rows_of

pytestmark = pytest.mark.broker

CODECS = [None, "gzip", *(["lz4"] if codec.has_lz4() else []), *(["zstd"] if codec.has_zstd() else [])]
CODECS += ["snappy"] if codec.has_snappy() else []


class Topic:
    """A topic, its writer, and its readers."""

    def __init__(self, bootstrap: str, configs: dict[str, str], partitions: int = 1) -> None:
        self._bootstrap = bootstrap
        self.name = f"t{uuid4().hex[:12]}"
        self.partition = kafka.TopicPartition(self.name, 0)
        wanted = {"num_partitions": partitions, "replication_factor": 1, "configs": configs}
        with closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
            admin.create_topics({self.name: wanted}, wait_for_metadata=True)

    def producer(self, **settings: Any) -> KafkaProducer:
        """A writer; whole batches, since it waits for more."""
        return KafkaProducer(bootstrap_servers=self._bootstrap, linger_ms=50, metrics_enabled=False, **settings)

    def options(self) -> dict[str, Any]:
        """Those of a consumer."""
        return options.consumer(Settings(kind="kafka", bootstrap_servers=(self._bootstrap,), group="reader"))

    def read(self, count: int, start: int = 0, *, is_batched: bool) -> tuple[list[Any], int, set[type]]:
        """All records from an offset on, where that has led, and what `poll` gave."""
        with closing(KafkaConsumer(group_id=None, **self.options())) as consumer:
            if is_batched:
                read_batches(consumer)
            consumer.assign([self.partition])
            consumer.seek(self.partition, start)
            end = consumer.end_offsets([self.partition])[self.partition]
            rows: list[Any] = []
            kinds: set[type] = set()
            while consumer.position(self.partition) < end:
                for found in consumer.poll(200, max_records=count).values():
                    kinds |= set(map(type, found))
                    batch = to_batch(TopicPartition(self.name, 0), found, consumer.position(self.partition))
                    rows += rows_of(batch)
            return rows, consumer.position(self.partition), kinds

    def assert_equal(self, count: int, start: int = 0) -> Sequence[Any]:
        """Both ways give the same; returns that."""
        stock, position, kinds = self.read(count, start, is_batched=False)
        assert Block not in kinds
        ours, *rest = self.read(count, start, is_batched=True)
        assert rest == [position, {Block}]
        assert ours == stock
        return ours


def fill(topic: Topic, producer: KafkaProducer, numbers: range) -> None:
    """Records of several sizes, with and without key, value, headers and time."""
    for number in numbers:
        producer.send(
            topic.name,
            key=b"%d" % (number % 10) if number % 7 else None,
            value=b"x" * (number * 37 % 300) if number % 11 or not number % 7 else None,
            headers=[("ce_id", b"%d" % number)] if number % 3 == 0 else [],
            timestamp_ms=1_700_000_000_000 + number * 997 % 5000,
        )
    producer.flush()


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("side", ["producer", "broker"])
def test_codecs(broker: str, name: str | None, side: str) -> None:
    """Compressed by the producer, or once more by the broker, as the topic has it, with its own time."""
    is_brokers = side == "broker"
    configs = {"compression.type": name or "uncompressed", "message.timestamp.type": "LogAppendTime"}
    topic = Topic(broker, configs if is_brokers else {})
    with closing(topic.producer(compression_type=None if is_brokers else name)) as producer:
        fill(topic, producer, range(1000))
    assert len(topic.assert_equal(300)) == 1000
    assert len(topic.assert_equal(10_000, 517)) == 483


def test_transactions(broker: str) -> None:
    """Aborted ones are not seen, their markers neither, and the position is after both."""
    topic = Topic(broker, {})
    committed = 0
    writers = [topic.producer(transactional_id=f"{topic.name}-{each}") for each in range(2)]
    for writer in writers:
        writer.init_transactions()
    for number in range(6):
        for each, writer in enumerate(writers):
            writer.begin_transaction()
            fill(topic, writer, range(20 * number, 20 * number + 10))
            is_lost = (number + each) % 3 == 0
            committed += 0 if is_lost else 20
        for each, writer in enumerate(writers):
            fill(topic, writer, range(20 * number + 10, 20 * number + 20))
            if (number + each) % 3:
                writer.commit_transaction()
            else:
                writer.abort_transaction()
    for writer in writers:
        writer.close()
    assert len(topic.assert_equal(7)) == committed
    assert len(topic.assert_equal(10_000)) == committed
    topic.assert_equal(50, 133)


@pytest.fixture
def cleaning(broker: str) -> Iterator[str]:
    """A broker that looks for what there is to compact all the time."""
    resource = ConfigResource(ConfigResourceType.BROKER, "1", {"log.cleaner.backoff.ms": "100"})
    with closing(KafkaAdminClient(bootstrap_servers=broker)) as admin:
        admin.alter_configs([resource])
        yield broker
        admin.reset_configs([resource])


def test_compaction(cleaning: str) -> None:
    """Batches with gaps, without their last record, or without any."""
    configs = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01"}
    topic = Topic(cleaning, configs)
    with closing(topic.producer(batch_size=2000)) as producer:
        for first in range(0, 1000, 100):
            for number in range(first, first + 100):
                producer.send(topic.name, key=b"%d" % (number * number % 150), value=b"%d" % number * 20)
            producer.flush()
            # Only what is in an older segment is compacted.
            time.sleep(0.11)
        producer.send(topic.name, key=b"last", value=b"")
    before: list[Any] = []

    def is_clean() -> bool:
        nonlocal before
        former, before = before, topic.read(10_000, is_batched=True)[0]
        return len(before) < 300 and len(before) == len(former)

    wait_until(is_clean)
    rows = topic.assert_equal(20)
    assert rows[-1][0] - rows[0][0] > 2 * len(rows)
    topic.assert_equal(10_000, 500)


@pytest.mark.parametrize("seed", range(4))
def test_pauses_and_seeks(broker: str, seed: int) -> None:
    """Whatever is paused or sought with batches fetched and not handed out: the position says what comes next."""
    random = Random(seed)  # noqa: S311 - a walk, no secret
    topic = Topic(broker, {}, partitions=3)
    with closing(topic.producer(batch_size=1000)) as producer:
        for number in range(1500):
            producer.send(topic.name, value=b"%d" % (number // 3), partition=number % 3)
    partitions = [kafka.TopicPartition(topic.name, number) for number in range(3)]
    with closing(_Consumer(group_id=None, **topic.options())) as consumer:
        consumer.assign(partitions)
        places = dict.fromkeys(partitions, 0)
        for partition in partitions:
            consumer.seek(partition, 0)
        for step in range(120):
            chosen = random.choice(partitions)
            action = random.choice([consumer.pause, consumer.resume, consumer.resume, consumer.seek, None, None, None])
            if step == 100:
                consumer.resume(*partitions)
            elif action == consumer.seek:
                places[chosen] = random.randrange(500)
                consumer.seek(chosen, places[chosen])
            elif action is not None and step < 100:
                action(chosen)
            for partition, found in consumer.poll(20, max_records=random.choice([1, 50, 400])).items():
                assert partition not in consumer.paused()
                batch = to_batch(TopicPartition(*partition), found, consumer.position(partition))
                assert batch.offsets[0] == places[partition]
                assert list(batch.values) == [b"%d" % offset for offset in batch.offsets]
                places[partition] = batch.next_offset
                assert batch.offsets[-1] + 1 == batch.next_offset
            assert {each: consumer.position(each) for each in partitions} == places
        deadline = time.monotonic() + 10
        while places != dict.fromkeys(partitions, 500):
            assert time.monotonic() < deadline
            consumer.poll(100)
            places = {each: consumer.position(each) for each in partitions}
