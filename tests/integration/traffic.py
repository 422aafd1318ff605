"""What goes into a trial and what comes out: an endless stream, its feeder, a reader, the group's offsets."""

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from heapq import merge
from itertools import count, islice
from random import Random
from threading import Event, Thread
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from streamguard.bench.records import DAY_MS, START_MS, Shape
from streamguard.bench.records import records as drawn
from streamguard.logs.interface import Record
from streamguard.logs.partitioner import partitions_of

Row = tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]

OVERTAKEN = 0.002
OVERTAKEN_BY = 100
STEP_S = 0.05
AGAIN_S = 0.5
# By default kafka-python tries again ever more seldom, up to every 30 s.
RECONNECT = {"reconnect_backoff_max_ms": 500}
# How fast within a second, on average as told: workers meet lulls and backlogs.
BURSTS = (0.1, 0.4, 1.0, 2.5)


def stream(records: int, seed: int) -> Iterator[Record]:
    """Days in a row, each with an error rate that doubles; some records late, twice, or garbage."""
    per_day = max(10_000, min(50_000, records // 40))
    return islice(_overtaken(_days(per_day, seed), Random(seed)), records)  # noqa: S311 (a stream, not a secret)


def _days(predictions: int, seed: int) -> Iterator[Record]:
    """Labels of one day arrive in the next. Request IDs are the same every day: that is out of any window."""
    rest: Iterable[Record] = ()
    for day in count():
        start_ms = START_MS + day * DAY_MS
        mine = (_later(each, day * DAY_MS) for each in drawn(Shape(predictions, garbage=0.002, seed=seed + day)))
        both = deque(merge(rest, mine, key=lambda record: record.timestamp_ms or 0))
        while both and (both[0].timestamp_ms or 0) < start_ms + DAY_MS:
            yield both.popleft()
        rest = both


def _later(record: Record, shift_ms: int) -> Record:
    at_ms = record.timestamp_ms or 0
    value = (record.value or b"").replace(b"%d" % at_ms, b"%d" % (at_ms + shift_ms))
    return replace(record, value=value, timestamp_ms=at_ms + shift_ms)


def _overtaken(records: Iterator[Record], random: Random) -> Iterator[Record]:
    """Now and then a record comes after some that were sent later, up to a few minutes of event time."""
    waiting: list[tuple[int, Record]] = []
    for number, record in enumerate(records):
        if random.random() < OVERTAKEN:
            waiting.append((number + random.randrange(OVERTAKEN_BY), record))
        else:
            yield record
        for due in [each for each in waiting if each[0] <= number]:
            waiting.remove(due)
            yield due[1]


class Watch(Thread, ABC):
    """Something that goes on beside the workers until it is told to end; a broker that is away is waited for."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(daemon=True)
        self.bootstrap = bootstrap
        self.problems: list[str] = []
        self._ending = Event()

    def run(self) -> None:
        while not self._ending.is_set():
            try:
                self._work()
            # kafka-python raises RuntimeError and AssertionError where a connection broke at the wrong moment.
            except (KafkaError, OSError, RuntimeError, AssertionError):
                self._ending.wait(AGAIN_S)

    @abstractmethod
    def _work(self) -> None:
        """Work with clients of its own until told to end, or until they fail."""

    def end(self) -> None:
        """Stop, and wait for it."""
        self._ending.set()
        self.join(60)


class Feeder(Watch):
    """Writes records in order, each once, at about `rate` a second, whatever happens to the broker."""

    def __init__(self, bootstrap: str, records: Iterator[Record], partitions: int, *, rate: float, seed: int) -> None:
        super().__init__(bootstrap)
        self.rate = rate
        self.written = 0
        self.is_done = False
        self.is_steady = False
        self.ends: dict[TopicPartition, int] = {}
        self._records, self._partitions = records, partitions
        self._pending: list[tuple[TopicPartition, Record]] = []
        self._random = Random(seed)  # noqa: S311 (a stream, not a secret)

    def _work(self) -> None:
        self._forget_written()
        producer = KafkaProducer(
            bootstrap_servers=self.bootstrap,
            linger_ms=5,
            batch_size=128 << 10,
            # It tries nothing again: after a failure the partitions' ends tell what was written.
            enable_idempotence=False,
            acks="all",
            retries=0,
            max_in_flight_requests_per_connection=1,
            request_timeout_ms=4_000,
            delivery_timeout_ms=5_000,
            max_block_ms=5_000,
            **RECONNECT,
        )
        with closing(producer):
            self._send(producer)
            last_s = time.monotonic()
            while not self._ending.wait(STEP_S) and not self.is_done:
                until_s = time.monotonic() + 1
                burst = 1.0 if self.is_steady else self._random.choice(BURSTS)
                while time.monotonic() < until_s and not self._ending.wait(STEP_S):
                    # By the clock: sending takes time, and a broker that was away is made up for.
                    now_s = time.monotonic()
                    self._take(max(1, round(self.rate * burst * (now_s - last_s))))
                    last_s = now_s
                    self._send(producer)
        if self.is_done:
            self._ending.set()

    def _take(self, number: int) -> None:
        records = list(islice(self._records, number))
        self.is_done = not records
        places = partitions_of([record.key or b"" for record in records], self._partitions)
        self._pending = [
            (TopicPartition(record.topic, place), record) for record, place in zip(records, places, strict=True)
        ]

    def _send(self, producer: KafkaProducer) -> None:
        futures = [
            producer.send(
                to.topic, value=each.value, key=each.key, partition=to.partition, timestamp_ms=each.timestamp_ms
            )
            for to, each in self._pending
        ]
        producer.flush(timeout=10)
        for future in futures:
            future.get(timeout=0)
        for partition, _ in self._pending:
            self.ends[partition] = self.ends.get(partition, 0) + 1
        self.written += len(self._pending)
        self._pending = []

    def _forget_written(self) -> None:
        """After a failure nobody knows what was written: the ends tell, since nobody else writes there."""
        if not self._pending:
            return
        # What is still on its way to the broker has time to get there.
        self._ending.wait(2)
        with closing(KafkaConsumer(bootstrap_servers=self.bootstrap, **RECONNECT)) as consumer:
            ends = consumer.end_offsets(list({partition for partition, _ in self._pending}))
        rest = []
        for partition, record in self._pending:
            if self.ends.get(partition, 0) < ends[partition]:
                self.ends[partition] = self.ends.get(partition, 0) + 1
                self.written += 1
            else:
                rest.append((partition, record))
        self._pending = rest


class Reader(Watch):
    """Follows a topic of one partition as anybody would who reads committed records, from its start."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        super().__init__(bootstrap)
        self._partition = TopicPartition(topic, 0)
        self._next = 0
        self.rows: list[Row] = []

    def _work(self) -> None:
        consumer = KafkaConsumer(
            bootstrap_servers=self.bootstrap,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=200,
            **RECONNECT,
        )
        with closing(consumer):
            if self._partition.topic not in consumer.topics():
                self._ending.wait(AGAIN_S)
                return
            consumer.assign([self._partition])
            consumer.seek(self._partition, self._next)
            while not self._ending.is_set():
                self._follow(consumer)

    def _follow(self, consumer: KafkaConsumer) -> None:
        for record in consumer.poll(500).get(self._partition, ()):
            if record.offset < self._next:
                self.problems.append(f"offset {record.offset} was read after {self._next - 1}")
            self._next = record.offset + 1
            headers = tuple((name, value or b"") for name, value in record.headers)
            self.rows.append((record.key, record.value, headers))


class Offsets(Watch):
    """Looks at the group's committed offsets about once a second: they must never move back."""

    def __init__(self, bootstrap: str, group: str) -> None:
        super().__init__(bootstrap)
        self.committed: dict[TopicPartition, int] = {}
        self.looks = 0
        self.moved_s = time.monotonic()
        self.longest_s = 0.0
        self._group = group

    def _work(self) -> None:
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap, **RECONNECT)) as admin:
            while not self._ending.wait(1):
                self._look(admin.list_group_offsets(self._group)[self._group])

    def _look(self, found: dict[TopicPartition, Any]) -> None:
        self.looks += 1
        for partition, each in found.items():
            before = self.committed.get(partition, -1)
            if each.offset < before:
                place = f"{partition.topic}-{partition.partition}"
                self.problems.append(f"committed offset of {place} went from {before} back to {each.offset}")
            if each.offset > before:
                self.longest_s = max(self.longest_s, time.monotonic() - self.moved_s)
                self.moved_s = time.monotonic()
            self.committed[partition] = each.offset


def lag(bootstrap: str, committed: dict[TopicPartition, int], topics: Iterable[str]) -> int | None:
    """Records of these topics that the group has not committed; None where the broker does not say."""
    with suppress(KafkaError, OSError), closing(KafkaConsumer(bootstrap_servers=bootstrap)) as consumer:
        partitions = [TopicPartition(name, each) for name in topics for each in consumer.partitions_for_topic(name)]
        ends = consumer.end_offsets(partitions)
        return sum(int(end) - max(0, committed.get(partition, 0)) for partition, end in ends.items())
    return None
