"""Topics of a Kafka cluster."""

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from streamguard.config import KafkaLog as Settings
from streamguard.core.records import Batch, TopicPartition
from streamguard.errors import LogError
from streamguard.logs.confluent import options
from streamguard.logs.confluent.admin import Admin
from streamguard.logs.confluent.clients import Clients
from streamguard.logs.confluent.errors import Told, as_log_errors
from streamguard.logs.confluent.reading import GoneError, Reader
from streamguard.logs.confluent.session import ConfluentSession, send
from streamguard.logs.interface import Committed, Record, Span, TopicInfo, Wanted, removed

_FOLLOW_S = 1.0
# How often a bounded read looks whether it is at its end, and how soon the broker says so.
_LOOK_S = 0.01
_WRITE_S = 60.0


class ConfluentLog:
    """A cluster, as a log."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._told = Told()
        self._admin = Admin(settings)
        self._producer: Producer | None = None

    def topics(self, names: Collection[str]) -> dict[str, TopicInfo]:
        return self._admin.topics(names)

    def create(self, topic: TopicInfo) -> None:
        self._admin.create(topic)

    def session(
        self, group: str, topic_groups: Sequence[Sequence[str]], worker: str, *, whole: bool = False
    ) -> ConfluentSession:
        if whole:
            raise LogError(
                "librdkafka's assignors cannot give a whole topic to one worker: set log.client: kafka-python"
            )
        # A consumer would wait without a word for a topic that is not there.
        self._admin.check_exist({topic for topics in topic_groups for topic in topics})
        return ConfluentSession(Clients(self._settings, group, topic_groups, worker), self._admin)

    def committed(self, group: str, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Committed]:
        return self._admin.committed(group, partitions)

    def spans(self, topic: str, from_ms: int | None = None, to_ms: int | None = None) -> dict[int, Span]:
        places = [TopicPartition(topic, number) for number in range(self._admin.check_exist([topic])[topic])]
        return {each.partition: span for each, span in self._admin.spans(places, from_ms, to_ms).items()}

    def read(
        self,
        topic: str,
        partitions: Collection[int] | None = None,
        *,
        follow: bool = False,
        spans: Mapping[int, Span] | None = None,
        wanted: Wanted | None = None,
    ) -> Iterator[Batch]:
        left = self._left(topic, partitions, spans, follow=follow)
        if not left:
            return
        told = Told()
        with _reading(topic, told):
            soon = {} if follow else {"fetch.wait.max.ms": int(_LOOK_S * 1000)}
            consumer = Consumer(options.consumer(self._settings, told) | soon)
        try:
            reader = Reader(consumer)
            with _reading(topic, told):
                consumer.assign([confluent_kafka.TopicPartition(*each, span.start) for each, span in left.items()])
                reader.begin({each: span.start for each, span in left.items()})
            while left:
                if wanted is not None:
                    _hold_back(reader, left, wanted())
                with _reading(topic, told):
                    batches = _take(reader, left, _FOLLOW_S if follow else _LOOK_S)
                # An empty one tells an end, which only matters where partitions wait for each other.
                yield from (batch for batch in batches if len(batch) or wanted is not None)
                if follow and not batches:
                    yield Batch(TopicPartition(topic, 0), (), (), (), (), (), 0)
        finally:
            consumer.close()

    def _left(
        self, topic: str, partitions: Collection[int] | None, spans: Mapping[int, Span] | None, *, follow: bool
    ) -> dict[TopicPartition, Span]:
        """Where there is something to be read."""
        count = self._admin.check_exist([topic])[topic]
        numbers = range(count) if partitions is None else partitions
        for number in numbers if spans is None else spans:
            if not 0 <= number < count:
                raise LogError(f"topic {topic!r} has no partition {number}: it has 0 to {count - 1}")
        if spans is None:
            found = self._admin.spans([TopicPartition(topic, number) for number in numbers])
        else:
            found = {TopicPartition(topic, number): span for number, span in spans.items()}
        if follow:
            return {each: replace(span, end=sys.maxsize) for each, span in found.items()}
        return {each: span for each, span in found.items() if span.start < span.end}

    def append(self, records: Sequence[Record]) -> None:
        # A producer would look for a missing topic for minutes.
        self._admin.check_exist({each.topic for each in records})
        failures: list[KafkaError] = []

        def note(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failures.append(error)

        # It is kept, since a new one takes half a second; but not after a failure.
        producer, self._producer = self._producer, None
        with as_log_errors("cannot write", self._told):
            if producer is None:
                limit = {"message.timeout.ms": int(_WRITE_S * 1000)}
                producer = Producer(options.producer(self._settings, self._told) | limit)
            for each in records:
                send(producer, each, note)
            left = producer.flush(_WRITE_S)
            if failures:
                raise KafkaException(failures[0])
        if left:
            raise LogError(f"cannot write: {left} of {len(records)} records were not taken within {_WRITE_S:.0f} s")
        self._producer = producer

    def close(self) -> None:
        self._producer = None


@contextmanager
def _reading(topic: str, told: Told) -> Iterator[None]:
    with as_log_errors(f"cannot read topic {topic!r}", told):
        try:
            yield
        except GoneError as error:
            raise removed(error.partition, error.offset) from error


def _take(reader: Reader, left: dict[TopicPartition, Span], timeout_s: float) -> list[Batch]:
    """The next records of what is left to be read; a partition that is at its end is left no more, and says so."""
    # Some may come yet of those that are done.
    batches = [
        batch.before(left[batch.source].end) for batch in reader.read(timeout_s, lambda: False) if batch.source in left
    ]
    done = [each for each, span in left.items() if reader.positions[each] >= span.end]
    found = {batch.source for batch in batches}
    batches += [Batch(each, (), (), (), (), (), left[each].end) for each in done if each not in found]
    for each in done:
        del left[each]
    # Whatever else these have is not to be fetched, nor kept.
    reader.pause(done)
    return batches


def _hold_back(reader: Reader, left: Collection[TopicPartition], wanted: Collection[int]) -> None:
    """Let partitions wait whose records nobody wants now."""
    reader.pause([each for each in left if each.partition not in wanted])
    reader.resume([each for each in left if each.partition in wanted])
