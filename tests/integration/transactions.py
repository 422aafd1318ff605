"""What the tests of kafka-python's transactions share: a broker behind a proxy, and clients that give up soon."""

import gc
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from subprocess import Popen
from threading import Thread
from typing import Any
from uuid import uuid4

import kafka
import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaTimeoutError
from kafka.producer.transaction_manager import TransactionalRequestResult
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata

from streamguard.config import KafkaLog as Settings
from streamguard.logs.interface import Log, TopicInfo
from streamguard.logs.opening import open_log
from tests.integration.proxy import Proxy, proxied_broker

MARKS = [
    pytest.mark.broker,
    # kafka-python leaves the sockets of failed attempts to connect to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
TIMEOUT_S = 2.0
"""Of transactions; the coordinator looks every half second for those that are older."""
REQUEST_S = 1.0
"""Of requests, of the raw clients."""


class Place:
    """A broker, the proxy before it, and the clients of one test."""

    def __init__(self, direct: str, by_proxy: str, proxy: Proxy, process: "Popen[bytes]", client: str) -> None:
        self.direct, self.by_proxy, self.proxy, self.process = direct, by_proxy, proxy, process
        self.name = f"t{uuid4().hex[:12]}"
        """Of the group, the topic and the transactions; nobody else's."""
        self.client = client
        self.stack = ExitStack()
        self.log = self.open("observer", bootstrap=direct, client="kafka-python")
        self.log.create(TopicInfo(self.name, partitions=2))

    def open(self, worker: str, *, bootstrap: str | None = None, **settings: Any) -> Log:
        """The log as a worker of that name sees it, by the proxy."""
        log = open_log(
            Settings(
                kind="kafka",
                bootstrap_servers=(bootstrap or self.by_proxy,),
                group=self.name,
                worker=worker,
                **({"transaction_timeout": "2s", "session_timeout": "3s", "client": self.client} | settings),
            )
        )
        self.stack.callback(log.close)
        return log

    def producer(self, **options: Any) -> KafkaProducer:
        """A raw one, by the proxy, ready to begin a transaction."""
        producer = KafkaProducer(
            **{
                "bootstrap_servers": self.by_proxy,
                "transactional_id": self.name,
                "transaction_timeout_ms": int(TIMEOUT_S * 1000),
                "request_timeout_ms": int(REQUEST_S * 1000),
                "delivery_timeout_ms": int(REQUEST_S * 1500),
                "retry_backoff_ms": 5,
                "linger_ms": 0,
                "metrics_enabled": False,
            }
            | options
        )
        self.stack.callback(end, producer)
        producer.init_transactions()
        return producer

    def member(self, **options: Any) -> KafkaConsumer:
        """A raw consumer that has joined the group, by the proxy."""
        consumer = KafkaConsumer(
            **{
                "bootstrap_servers": self.by_proxy,
                "group_id": self.name,
                "session_timeout_ms": 3000,
                "heartbeat_interval_ms": 300,
                "isolation_level": "read_committed",
                "enable_auto_commit": False,
                "auto_offset_reset": "earliest",
                "metrics_enabled": False,
            }
            | options
        )
        self.stack.callback(consumer.close, timeout_ms=1000)
        consumer.subscribe([self.name])
        # A leader that does not know the topic yet shares out nothing, and begins a second rebalance.
        consumer.partitions_for_topic(self.name)
        wait_until(lambda: consumer.poll(50) is not None and bool(consumer.assignment()))
        return consumer

    def offsets(self, offsets: Mapping[int, int]) -> dict[kafka.TopicPartition, OffsetAndMetadata]:
        """The form in which kafka-python wants them."""
        return {self.partition(number): OffsetAndMetadata(offset, "", -1) for number, offset in offsets.items()}

    def partition(self, number: int) -> kafka.TopicPartition:
        """One of the topic's."""
        return kafka.TopicPartition(self.name, number)

    def outsider(self) -> ConsumerGroupMetadata:
        """The group, without a member: what commits of no generation name."""
        return ConsumerGroupMetadata(self.name)

    def visible(self) -> list[bytes | None]:
        """The committed records, sorted."""
        return sorted((value for batch in self.log.read(self.name) for value in batch.values), key=repr)

    def committed(self, number: int = 0) -> int | None:
        """The group's committed offset, once no transaction over it is open."""
        options = {"isolation_level": "read_committed", "enable_auto_commit": False, "metrics_enabled": False}
        with closing(KafkaConsumer(bootstrap_servers=self.direct, group_id=self.name, **options)) as consumer:
            found: int | None = consumer.committed(self.partition(number))
            return found

    def wait_for_duplicate(self) -> None:
        """Until the request that was held back has reached the broker, and was dealt with."""
        wait_until(lambda: self.proxy.counts["duplicate_after_reset"] > 0)
        time.sleep(0.2)


@pytest.fixture(scope="session")
def proxied(
    broker: str,  # noqa: ARG001 (whoever has no broker has none of this kind either)
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, str, Proxy, "Popen[bytes]"]]:
    """A broker behind a proxy."""
    with proxied_broker(tmp_path_factory.mktemp("kafka")) as found:
        yield found


@pytest.fixture
def place(
    proxied: tuple[str, str, Proxy, "Popen[bytes]"], client: str, caplog: pytest.LogCaptureFixture
) -> Iterator[Place]:
    """That broker; afterwards its faults are healed and the test's clients closed."""
    # Much goes wrong here on purpose; and a record of an error keeps its socket from the garbage collector.
    caplog.set_level(logging.CRITICAL, logger="kafka")
    proxied[2].counts.clear()
    place = Place(*proxied, client)
    with place.stack:
        yield place
        place.proxy.heal()
    gc.collect()


def wait_until(is_met: Callable[[], bool], seconds: float = 10) -> None:
    """Fail where it is not met in time."""
    deadline = time.monotonic() + seconds
    while not is_met():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Call(Thread):
    """A call that may never return, on a thread of its own."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Keep what it raised."""
        try:
            self._call()
        except BaseException as error:  # noqa: BLE001 (for the one who asked)
            self.error = error

    def has_returned(self, within_s: float) -> bool:
        """Whether it comes back in that time."""
        self.join(within_s)
        return not self.is_alive()


def end(producer: KafkaProducer) -> None:
    """Close it, and wait for its thread: `close` leaves it running where records were not delivered."""
    with suppress(KafkaTimeoutError):
        producer.close(timeout=0)
    producer._sender.force_close()
    producer._sender.join(10)
    assert not producer._sender.is_alive()


def end_waits() -> None:
    """Let every thread go that waits for a request of a transaction, answered or not."""
    for each in gc.get_objects():
        if isinstance(each, TransactionalRequestResult) and not each.is_done:
            each.done()
