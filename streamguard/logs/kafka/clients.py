"""kafka-python's two clients, as a session wants them."""

import time
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import OffsetSpec
from kafka.errors import FencedInstanceIdError, KafkaTimeoutError
from kafka.net.compat import KafkaNetClient
from kafka.protocol.producer import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    TxnOffsetCommitRequest,
)

from streamguard.config import KafkaLog as Settings
from streamguard.logs.commits import Thread
from streamguard.logs.kafka import options
from streamguard.logs.kafka.assignor import TaskAssignor
from streamguard.logs.kafka.records import read_batches

# A commit takes tens of milliseconds however much is in it.
POLL_RECORDS = 50_000
# How long the start of transactions may take: as long as a commit waits for its records.
_BLOCK_MS = 30_000
_OF_TRANSACTIONS = AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, TxnOffsetCommitRequest


class _Unread:
    """A join of the group that is under way, or done and not looked at yet."""

    is_done = False

    def __init__(self, future: Any) -> None:
        self.add_callback, self.add_errback = future.add_callback, future.add_errback


class _Consumer(KafkaConsumer):  # type: ignore[misc]
    """One that reads whole batches, takes what came between two polls, and reads on what was paused."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        read_batches(self)
        self._fenced: FencedInstanceIdError | None = None
        self._beat = self._coordinator._send_heartbeat_request  # noqa: SLF001
        self._coordinator._send_heartbeat_request = self._watch_beat  # noqa: SLF001

    def poll(self, timeout_ms: int = 0, **options: Any) -> Any:
        """As `KafkaConsumer.poll`, guarded against three of its traps."""
        self._keep_join()
        unpark(self)
        found = super().poll(timeout_ms, **options)
        if self._fenced is not None:
            raise self._fenced
        return found

    def offsets(self, partitions: Sequence[kafka.TopicPartition], timeout_ms: int) -> dict[kafka.TopicPartition, Any]:
        """As `KafkaConsumer.committed` with metadata, of all of them in one request."""
        found: dict[kafka.TopicPartition, Any] = self._coordinator.fetch_committed_offsets(partitions, timeout_ms)
        return found

    async def _watch_beat(self) -> None:
        """Note what kafka-python 3.0.12 only logs: that another member has this one's name now (T13).

        `poll` would go on as if nothing had happened, and find nothing but itself to do.
        """
        try:
            await self._beat()
        except FencedInstanceIdError as error:
            self._fenced = error
            raise

    def _keep_join(self) -> None:
        """Let a join count that was completed between two polls.

        kafka-python 3.0.12 throws it away and sends another, and the leader's makes everybody join again: a
        group whose members poll briefly goes through many generations, or never comes to rest.
        """
        coordinator = self._coordinator
        if coordinator._join_task is not None and not isinstance(coordinator._join_task, _Unread):  # noqa: SLF001
            coordinator._join_task = _Unread(coordinator._join_task)  # noqa: SLF001


def unpark(consumer: KafkaConsumer) -> None:
    """Let resumed partitions be read again.

    What was fetched of a partition and not yet returned when it was paused, kafka-python 3.0.12 parks; it
    looks there again only while its current records are None, and leaves them used up instead: the
    partition would then never be read again.
    """
    if not consumer._fetcher._next_partition_records:  # noqa: SLF001
        consumer._fetcher._next_partition_records = None  # noqa: SLF001


class _Client(KafkaNetClient):  # type: ignore[misc]
    """A producer's connections, which note when a request of a transaction was lost on its way."""

    has_lost = False

    def send(self, node_id: Any, request: Any, **options: Any) -> Any:
        """As `KafkaNetClient.send`."""
        future = super().send(node_id, request, **options)
        if isinstance(request, _OF_TRANSACTIONS):
            # Errors of the connection alone: what the broker answers has arrived.
            future.add_errback(self._note)
        return future

    def _note(self, _error: object) -> None:
        self.has_lost = True


class _Producer(KafkaProducer):  # type: ignore[misc]
    """One that waits no longer than a transaction may last, and tells when a request may arrive late."""

    def __init__(self, **options: Any) -> None:
        super().__init__(kafka_client=_Client, **options)

    @property
    def has_resent(self) -> bool:
        """Whether a request of a transaction was lost; it was sent again, and the first may arrive yet."""
        return bool(self._sender._client.has_lost)  # noqa: SLF001

    def send_offsets_to_transaction(self, offsets: Any, group_metadata: Any) -> None:
        """As `KafkaProducer.send_offsets_to_transaction`, within the transaction's time."""
        self._wait(self._transaction_manager.send_offsets_to_transaction(offsets, group_metadata))

    def commit_transaction(self) -> None:
        """As `KafkaProducer.commit_transaction`, within the transaction's time.

        kafka-python 3.0.12 waits for ever where the connection is known to be broken when the commit begins.
        """
        self._wait(self._transaction_manager.begin_commit())

    def _wait(self, result: Any) -> None:
        self._sender.wakeup()
        if not result.wait(self.config["transaction_timeout_ms"]):
            raise KafkaTimeoutError("no answer within log.transaction_timeout")

    def close(self, timeout: float | None = None, null_logger: bool = False) -> None:  # noqa: FBT001, FBT002
        """As `KafkaProducer.close`; without time, the client's own thread is ended as well."""
        try:
            super().close(timeout, null_logger)
        finally:
            if timeout == 0:
                self._sender.force_close()


class Clients:
    """Makes the consumer and the producers of one worker of a group."""

    def __init__(
        self, settings: Settings, group: str, topic_groups: Sequence[Sequence[str]], worker: str, *, whole: bool = False
    ) -> None:
        self.group = group
        self._whole = whole
        self.worker = worker
        self.topic_groups = topic_groups
        self.transaction_timeout_s = settings.transaction_timeout_ms / 1000
        self._settings = settings
        self._admin: KafkaAdminClient | None = None
        self._thread = Thread()
        self.aside = self._thread.aside

    def now_s(self) -> float:
        """The time, on a clock that never goes back."""
        return time.monotonic()

    def consumer(self) -> KafkaConsumer:
        """A member of the group, not subscribed yet."""
        settings = self._settings
        return _Consumer(
            group_id=self.group,
            # A worker that comes back under its name within the session timeout gets its partitions back at
            # once, without a rebalance for the others.
            group_instance_id=settings.worker,
            session_timeout_ms=settings.session_timeout_ms,
            # Who stays learns of a rebalance by its heartbeat, and until all have, none goes on.
            heartbeat_interval_ms=min(1000, settings.session_timeout_ms // 3),
            max_poll_records=POLL_RECORDS,
            partition_assignment_strategy=(TaskAssignor(self.topic_groups, whole=self._whole),),
            **options.consumer(settings),
        )

    def producer(self) -> KafkaProducer:
        """A producer whose transactions are not initialised yet."""
        return _Producer(
            # No two groups' workers have one, however they are named.
            transactional_id=f"streamguard-{quote(self.group, safe='')}/{quote(self.worker, safe='')}",
            transaction_timeout_ms=self._settings.transaction_timeout_ms,
            max_block_ms=_BLOCK_MS,
            **options.producer(self._settings),
        )

    def high_watermarks(self, partitions: Iterable[kafka.TopicPartition]) -> dict[kafka.TopicPartition, int]:
        """Where partitions end, with what is not committed yet: a consumer of committed records cannot ask."""
        if self._admin is None:
            self._admin = KafkaAdminClient(**options.connection(self._settings))
        found = self._admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
        return {partition: each.offset for partition, each in found.items()}

    def close(self) -> None:
        """The connection that asks; consumer and producers are their owner's to close."""
        self._thread.close()
        if self._admin is not None:
            self._admin.close()
