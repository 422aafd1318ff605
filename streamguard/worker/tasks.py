"""The tasks that this worker has been given: taken over, restored, kept through a rebalance."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import structlog

from streamguard.core.environment.task import EnvironmentTask
from streamguard.core.join import JoinTask
from streamguard.core.monitor import MonitorTask
from streamguard.core.records import Batch, Stream, TopicPartition
from streamguard.errors import LogError, UnusableError
from streamguard.logs.interface import Committed, Log, Session
from streamguard.worker.assigned import AssignedEnvironment, AssignedJoin, AssignedMonitor
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
        self.environment: AssignedEnvironment | None = None
        """There is one in the group, where there is any."""

    @property
    def all(self) -> list[AssignedJoin | AssignedMonitor | AssignedEnvironment]:
        """All kinds."""
        return [*self.joins.values(), *self.watchers]

    @property
    def watchers(self) -> list[AssignedMonitor | AssignedEnvironment]:
        """Those whose state is snapshots."""
        found: list[AssignedMonitor | AssignedEnvironment] = [*self.monitors.values()]
        return found if self.environment is None else [*found, self.environment]

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
        each = self.environment
        if each is not None and (each.restoring or each.partition not in assigned or not each.is_at(committed)):
            self.environment = None
        kept = self.own
        self._open(session, assigned, committed)
        self._begin_restore(session)
        _log.info("partitions_assigned", partitions=_names(assigned), kept=_names(kept), restoring=self.restoring_count)

    def _open(
        self, session: Session, assigned: frozenset[TopicPartition], committed: dict[TopicPartition, Committed]
    ) -> None:
        (predictions, labels), outcomes = self._topology.inputs, self._topology.outcomes
        starts = session.starts(assigned)
        for partition in sorted(assigned):
            self._check_count(partition)
            if partition.topic == predictions and partition.partition not in self.joins:
                pair = (partition, TopicPartition(labels, partition.partition))
                if pair[1] not in assigned:
                    raise LogError(f"{predictions}-{partition.partition} was assigned without {labels}'s")
                self.joins[partition.partition] = self._open_join(pair, committed, starts)
            elif partition.topic == outcomes and partition.partition not in self.monitors:
                task = MonitorTask(partition.partition, self._topology.monitor)
                opened = self.monitors[partition.partition] = AssignedMonitor(task, partition, starts[partition], 0)
                self._restore(opened, committed, starts[partition])
                opened.is_changed |= task.has_obsolete
        settings = self._topology.environment
        watched = next((each for each in assigned if each.topic not in {predictions, labels, outcomes}), None)
        if settings is not None and watched is not None and self.environment is None:
            self.environment = AssignedEnvironment(EnvironmentTask(settings), watched, starts[watched], 0)
            self._restore(self.environment, committed, starts[watched])

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

    def _restore(
        self, opened: AssignedMonitor | AssignedEnvironment, committed: dict[TopicPartition, Committed], start: int
    ) -> None:
        """Take over what the last snapshot has, and say from where on the topic is to be read again."""
        partition, task = opened.partition, opened.task
        records = [
            pair
            for batch in self._log.read(self._topology.topic(Stream.STATE), [task.number])
            for pair in zip(batch.keys, batch.values, strict=True)
        ]
        found = committed.get(partition)
        if found is None:
            # A first snapshot says where the records begin.
            opened.position = opened.low = opened.snapshot_position = start
            opened.is_changed = True
            return
        try:
            resume = task.restore(records)
        except (ValueError, KeyError, TypeError) as error:
            raise UnusableError(
                f"state topic {self._topology.topic(Stream.STATE)!r}, partition {task.number}: {error}"
            ) from None
        # Without a snapshot all records are needed: less would be another state without a word.
        low = 0 if resume is None else resume.low
        if low < start:
            raise UnusableError(
                f"{partition.topic}-{partition.partition}: {self._what(partition)} from offset {low} on are still"
                f" needed, and retention has removed those before {start}: raise retention.ms of the topic"
            )
        if resume is not None and resume.position > found.offset:
            raise UnusableError(
                f"{partition.topic}-{partition.partition}: the state is of offset {resume.position}, and the group"
                f" has committed {found.offset}: its offsets were reset; delete the state topic with them"
            )
        opened.position, opened.low = found.offset, low
        opened.snapshot_position = low if resume is None else resume.position
        if low < found.offset:
            opened.restoring[partition] = found.offset
        # What is read again is in no snapshot: without one, retention would remove it some day.
        opened.is_changed = opened.snapshot_position < found.offset

    def _what(self, partition: TopicPartition) -> str:
        return "outcomes" if partition.topic == self._topology.outcomes else "records"

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
        return joins | {task.partition for task in self.watchers}


def _names(partitions: Iterable[TopicPartition]) -> list[str]:
    return sorted(f"{each.topic}-{each.partition}" for each in partitions)
