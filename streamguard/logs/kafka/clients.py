"""kafka-python's two clients, as a session wants them."""

from collections.abc import Sequence
from typing import Any

from kafka import KafkaConsumer, KafkaProducer
from kafka.coordinator.assignors.range import RangePartitionAssignor

from streamguard.config import KafkaLog as Settings
from streamguard.logs.kafka import options

# A commit takes tens of milliseconds however much is in it.
POLL_RECORDS = 50_000


class _Consumer(KafkaConsumer):  # type: ignore[misc]
    """One that reads on what was paused."""

    def poll(self, timeout_ms: int = 0, **options: Any) -> Any:
        """Let resumed partitions be read again, then poll.

        What was fetched of a partition and not yet returned when it was paused, kafka-python 3.0.12 parks; it
        looks there again only while its current records are None, and leaves them used up instead: the
        partition would then never be read again.
        """
        if not self._fetcher._next_partition_records:  # noqa: SLF001
            self._fetcher._next_partition_records = None  # noqa: SLF001
        return super().poll(timeout_ms, **options)


class Clients:
    """Makes the consumer and the producers of one worker of a group."""

    def __init__(self, settings: Settings, group: str, topic_groups: Sequence[Sequence[str]], worker: str) -> None:
        self.group = group
        self.worker = worker
        self.topic_groups = topic_groups
        self._settings = settings

    def consumer(self) -> KafkaConsumer:
        """A member of the group, not subscribed yet."""
        settings = self._settings
        return _Consumer(
            group_id=self.group,
            # A worker that comes back under its name within the session timeout gets its partitions back at
            # once, without a rebalance for the others.
            group_instance_id=settings.worker,
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=min(3000, settings.session_timeout_ms // 3),
            max_poll_records=POLL_RECORDS,
            # Range keeps the partitions of predictions and labels that belong together with one worker.
            partition_assignment_strategy=(RangePartitionAssignor,),
            **options.consumer(settings),
        )

    def producer(self) -> KafkaProducer:
        """A producer whose transactions are not initialised yet."""
        return KafkaProducer(
            transactional_id=f"streamguard-{self.group}-{self.worker}",
            transaction_timeout_ms=self._settings.transaction_timeout_ms,
            **options.producer(self._settings),
        )
