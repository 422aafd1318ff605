"""Topics of a Kafka cluster."""

from collections.abc import Collection, Iterator, Sequence

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from streamguard.config import KafkaLog as Settings
from streamguard.core.records import Batch, TopicPartition
from streamguard.errors import LogError
from streamguard.logs.confluent import options
from streamguard.logs.confluent.admin import Admin
from streamguard.logs.confluent.clients import Clients
from streamguard.logs.confluent.errors import Told, as_log_errors
from streamguard.logs.confluent.reading import Reader
from streamguard.logs.confluent.session import ConfluentSession, send
from streamguard.logs.interface import Record, TopicInfo

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

    def session(self, group: str, topic_groups: Sequence[Sequence[str]], worker: str) -> ConfluentSession:
        # A consumer would wait without a word for a topic that is not there.
        self._admin.check_exist({topic for topics in topic_groups for topic in topics})
        return ConfluentSession(Clients(self._settings, group, topic_groups, worker), self._admin)

    def read(self, topic: str, partitions: Collection[int] | None = None, *, follow: bool = False) -> Iterator[Batch]:
        count = self._admin.check_exist([topic])[topic]
        wanted = [TopicPartition(topic, number) for number in (range(count) if partitions is None else partitions)]
        ends, starts = self._admin.ends(wanted), self._admin.starts(wanted)
        told = Told()
        with as_log_errors(f"cannot read topic {topic!r}", told):
            soon = {} if follow else {"fetch.wait.max.ms": int(_LOOK_S * 1000)}
            consumer = Consumer(options.consumer(self._settings, told) | soon)
        try:
            reader = Reader(consumer)
            with as_log_errors(f"cannot read topic {topic!r}", told):
                consumer.assign([confluent_kafka.TopicPartition(*each, at) for each, at in starts.items()])
                reader.begin(starts)
            while follow or any(reader.positions[each] < ends[each] for each in wanted):
                with as_log_errors(f"cannot read topic {topic!r}", told):
                    batches = reader.read(_FOLLOW_S if follow else _LOOK_S, lambda: False)
                yield from batches
                if follow and not batches:
                    yield Batch(TopicPartition(topic, 0), (), (), (), (), (), 0)
        finally:
            consumer.close()

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
