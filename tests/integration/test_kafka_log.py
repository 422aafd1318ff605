"""The contract on Apache Kafka, through each client."""

from collections.abc import Iterator
from typing import Literal

import pytest

from streamguard.config import KafkaLog as Settings
from streamguard.logs.interface import Log
from streamguard.logs.opening import open_log
from tests.integration.conftest import CLIENTS
from tests.logs.contract_sessions import SessionContract
from tests.logs.contract_topics import TopicContract


@pytest.mark.broker
@pytest.mark.parametrize("client", CLIENTS)
class TestKafkaContract(SessionContract, TopicContract):
    """The contract; kafka-python's producer takes no header without a value."""

    @pytest.fixture(autouse=True)
    def _expected(self, client: str) -> None:
        self.header_without_value = b"" if client == "kafka-python" else None

    @pytest.fixture
    def log(self, broker: str, client: Literal["kafka-python", "confluent"]) -> Iterator[Log]:
        """A log of the shared broker; topics and groups keep the tests apart."""
        log = open_log(Settings(kind="kafka", client=client, bootstrap_servers=(broker,), group="contract"))
        yield log
        log.close()
