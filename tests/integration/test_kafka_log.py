"""The contract on Apache Kafka, through each client."""

from collections.abc import Iterator
from contextlib import closing
from typing import Literal

import kafka
import pytest
from kafka import KafkaAdminClient, KafkaProducer

from streamguard.config import KafkaLog as Settings
from streamguard.logs.interface import Log, Span
from streamguard.logs.opening import open_log
from tests.integration.conftest import CLIENTS
from tests.integration.transactions import wait_until
from tests.logs.contract_sessions import SessionContract
from tests.logs.contract_topics import TopicContract
from tests.logs.helpers import make_topic, numbered, values


@pytest.mark.broker
@pytest.mark.parametrize("client", CLIENTS)
class TestKafkaContract(SessionContract, TopicContract):
    """The contract; kafka-python's producer takes no header without a value."""

    @pytest.fixture(autouse=True)
    def _expected(self, client: str, broker: str) -> None:
        self.header_without_value = b"" if client == "kafka-python" else None
        self.bootstrap = broker

    @pytest.fixture
    def log(self, broker: str, client: Literal["kafka-python", "confluent"]) -> Iterator[Log]:
        """A log of the shared broker; topics and groups keep the tests apart."""
        log = open_log(Settings(kind="kafka", client=client, bootstrap_servers=(broker,), group="contract"))
        yield log
        log.close()

    def remove(self, topic: str, before: int) -> None:
        """A broker looks at its retention every few minutes: it is told to."""
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap)) as admin:
            admin.delete_records({kafka.TopicPartition(topic, 0): before})

    def test_reads_spans_that_end_without_a_record(self, log: Log) -> None:
        """Markers and what was aborted are offsets that nothing comes of: a read to there ends all the same."""
        topic = make_topic(log)

        def read(start: int, end: int) -> list[bytes | None]:
            batches = list(log.read(topic, spans={0: Span(start, end, 0)}))
            assert all(batch.next_offset <= end for batch in batches)
            return values(batches)

        with closing(KafkaProducer(bootstrap_servers=self.bootstrap, transactional_id=topic)) as producer:
            producer.init_transactions()
            for end in (producer.commit_transaction, producer.abort_transaction):
                producer.begin_transaction()
                for value in (b"a", b"b"):
                    producer.send(topic, value, partition=0)
                producer.flush()
                end()
            # 0 and 1, a marker, 3 and 4 aborted, a marker.
            wait_until(lambda: log.spans(topic) == {0: Span(0, 6, 0)})
            assert read(0, 6) == read(0, 5) == read(0, 4) == [b"a", b"b"]
            assert read(3, 6) == read(3, 5) == read(2, 3) == []
            log.append(numbered(topic, 3))
            producer.begin_transaction()
            producer.send(topic, b"open", partition=0)
            producer.flush()
            # 6 to 8, and what nobody may see yet.
            assert log.spans(topic) == log.spans(topic, 0) == {0: Span(0, 9, 0)}
            assert read(0, 9) == [b"a", b"b", b"0", b"1", b"2"]
            assert read(0, 6) == read(0, 4) == [b"a", b"b"]
            assert read(3, 6) == []
            assert read(4, 7) == [b"0"]
            producer.abort_transaction()
