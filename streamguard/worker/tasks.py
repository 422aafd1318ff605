"""The tasks that this worker has been given: taken over, restored, kept through a rebalance."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import structlog

from streamguard.core.join import JoinTask
from streamguard.core.monitor import MonitorTask
from streamguard.core.records import Batch, Stream, TopicPartition
from streamguard.errors import LogError, UnusableError
from streamguard.logs.interface import Committed, Log, Session
from streamguard.worker.assigned import AssignedJoin, AssignedMonitor
from streamguard.worker.topology import Topology

if TYPE_CHECKING:
    from streamguard.stores.rocks import RocksStore

_log = structlog.get_logger("streamguard.worker")


class Tasks:
    """Join and monitor tasks, by number. While any is restoring, nothing else is read."""

    def __init__(self, topology: Topology, log: Log, store: "RocksStore | None" = None) -> None:
        self._topology = topology
        self._log = log
        self._store = store
        self.joins: dict[int, AssignedJoin] = {}
        self.monitors: dict[int, AssignedMonitor] = {}

    @property
    def all(self) -> list[AssignedJoin | AssignedMonitor]:
        """Both kinds."""
        return [*self.joins.values(), *self.monitors.values()]

    def assign(
        self, session: Session, assigned: frozenset[TopicPartition], committed: dict[TopicPartition, Committed]
    ) -> None:
        """Keep the tasks that stay, drop those that go, open those that come, and begin to restore these."""
        self.joins = {
            number: join
            for number, join in self.joins.items()
            if not join.restoring and assigned.issuperset(join.partitions) and join.is_at(committed)
        }
        self.monitors = {
            number: each
            for number, each in self.monitors.items()
            if not each.restoring and each.partition in assigned and each.is_at(committed)
        }
        kept = self.own
        self._open(session, assigned, committed)
        self._begin_restore(session)
        _log.info("partitions_assigned", partitions=_names(assigned), kept=_names(kept), restoring=self.restoring_count)

    def _open(
        self, session: Session, assigned: frozenset[TopicPartition], committed: dict[TopicPartition, Committed]
    ) -> None:
        predictions, labels = self._topology.inputs
        starts = session.starts(assigned)
        for partition in sorted(assigned):
            self._check_count(partition)
            if partition.topic == predictions and partition.partition not in self.joins:
                pair = (partition, TopicPartition(labels, partition.partition))
                if pair[1] not in assigned:
                    raise LogError(f"{predictions}-{partition.partition} was assigned without {labels}'s")
                self.joins[partition.partition] = self._open_join(pair, committed, starts)
            elif partition.topic == self._topology.outcomes and partition.partition not in self.monitors:
                self.monitors[partition.partition] = self._open_monitor(partition, committed, starts)

    def _open_join(
        self,
        pair: tuple[TopicPartition, TopicPartition],
        committed: dict[TopicPartition, Committed],
        starts: dict[TopicPartition, int],
    ) -> AssignedJoin:
        number = pair[0].partition
        disk = None if self._store is None else self._store.disk(number)
        opened = AssignedJoin.open(JoinTask(number, self._topology.join, disk), pair, committed, starts)
        if disk is not None and any(partition in committed for partition in pair):
            # Else all that is needed is read again from the inputs.
            _log.info("store_opened", task=number, is_resumed=opened.task.is_resumed)
        return opened

    def checkpoint(self) -> None:
        """Keep on the disk what is committed."""
        for join in self.joins.values():
            if self._store is not None and not join.restoring and join.begun == join.offsets():
                join.task.checkpoint()

    def _check_count(self, partition: TopicPartition) -> None:
        is_input = partition.topic in self._topology.inputs
        count = self._topology.source_count if is_input else self._topology.target_count
        if partition.partition >= count:
            raise UnusableError(
                f"topic {partition.topic!r} has more partitions than the {count} that it had at the start: their number"
                " is part of the results; see docs/operations.md"
            )

    def _open_monitor(
        self,
        partition: TopicPartition,
        committed: dict[TopicPartition, Committed],
        starts: dict[TopicPartition, int],
    ) -> AssignedMonitor:
        task = MonitorTask(partition.partition, self._topology.monitor)
        records = [
            pair
            for batch in self._log.read(self._topology.topic(Stream.STATE), [partition.partition])
            for pair in zip(batch.keys, batch.values, strict=True)
        ]
        start = starts[partition]
        found = committed.get(partition)
        if found is None:
            # A first snapshot says where the outcomes begin.
            return AssignedMonitor(task, partition, start, start, start, is_changed=True)
        try:
            resume = task.restore(records)
        except (ValueError, KeyError, TypeError) as error:
            raise UnusableError(
                f"state topic {self._topology.topic(Stream.STATE)!r}, partition {partition.partition}: {error}"
            ) from None
        # Without a snapshot all outcomes are needed: less would be another state without a word.
        low = 0 if resume is None else resume.low
        if low < start:
            raise UnusableError(
                f"{partition.topic}-{partition.partition}: outcomes from offset {low} on are still needed, and"
                f" retention has removed those before {start}: raise retention.ms of the topic"
            )
        if resume is not None and resume.position > found.offset:
            raise UnusableError(
                f"{partition.topic}-{partition.partition}: the state is of offset {resume.position}, and the group"
                f" has committed {found.offset}: its offsets were reset; delete the state topic with them"
            )
        opened = AssignedMonitor(task, partition, found.offset, low, low if resume is None else resume.position)
        if low < found.offset:
            opened.restoring[partition] = found.offset
        # What is read again is in no snapshot: without one, retention would remove it some day.
        opened.is_changed = opened.snapshot_position < found.offset or task.has_obsolete
        return opened

    def _begin_restore(self, session: Session) -> None:
        restoring: set[TopicPartition] = set()
        for task in self.all:
            for partition in task.restoring:
                session.seek(partition, task.low(partition) if isinstance(task, AssignedJoin) else task.low)
                restoring.add(partition)
        if restoring:
            session.pause(self.own - restoring)

    def restore(self, session: Session, batches: Iterable[Batch]) -> None:
        """Read again what was read before the commit; the others wait."""
        owners = {partition: task for task in self.all for partition in task.restoring}
        for batch in batches:
            owners[batch.source].replay(batch)
        for partition, task in owners.items():
            target = task.restoring[partition]
            # On the position, not on the last record: markers and compaction leave gaps at the end.
            if task.reached(partition, session.position(partition)):
                session.seek(partition, target)
                session.pause([partition])
        if not self.restoring_count:
            session.resume(self.own)
            _log.info("state_restored", held=sum(each.task.held_count for each in self.joins.values()))

    @property
    def restoring_count(self) -> int:
        """Partitions that are still read again."""
        return sum(len(task.restoring) for task in self.all)

    @property
    def own(self) -> set[TopicPartition]:
        """The partitions of all tasks."""
        joins = {partition for task in self.joins.values() for partition in task.partitions}
        return joins | {task.partition for task in self.monitors.values()}


def _names(partitions: Iterable[TopicPartition]) -> list[str]:
    return sorted(f"{each.topic}-{each.partition}" for each in partitions)
