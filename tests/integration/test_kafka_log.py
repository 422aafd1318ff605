"""The contract on Apache Kafka."""

from collections.abc import Iterator

import pytest

from streamguard.config import KafkaLog as Settings
from streamguard.logs.interface import Log
from streamguard.logs.kafka import KafkaLog
from tests.logs.contract_sessions import SessionContract
from tests.logs.contract_topics import TopicContract


def kafka_log(bootstrap: str) -> Log:
    """The log under test: the one line to adapt."""
    return KafkaLog(Settings(kind="kafka", bootstrap_servers=(bootstrap,), group="contract"))


@pytest.mark.broker
class TestKafkaContract(SessionContract, TopicContract):
    """The contract, through kafka-python, whose producer takes no header without a value."""

    header_without_value = b""

    @pytest.fixture
    def log(self, broker: str) -> Iterator[Log]:
        """A log of the shared broker; topics and groups keep the tests apart."""
        log = kafka_log(broker)
        yield log
        log.close()
