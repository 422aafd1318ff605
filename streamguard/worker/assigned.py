"""The tasks of the partitions that this worker has been given, each with where it stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from streamguard.core.environment.task import EnvironmentTask
from streamguard.core.join import Input, JoinTask
from streamguard.core.monitor import MonitorTask
from streamguard.core.note import Note
from streamguard.core.records import Batch, Output, TopicPartition
from streamguard.errors import LogError, UnusableError
from streamguard.logs.interface import Committed


@dataclass(slots=True)
class AssignedJoin:
    """A join task with its two partitions. `positions`: the next offsets that the task has not taken."""

    task: JoinTask
    partitions: tuple[TopicPartition, TopicPartition]
    positions: list[int]
    notes: list[Note | None]
    restoring: dict[TopicPartition, int] = field(default_factory=dict)
    """How far each partition must be read again before the task goes on."""
    lows: list[int] = field(default_factory=lambda: [0, 0])
    """Where reading begins."""
    begun: dict[TopicPartition, Committed] | None = None
    """What the last commit says of it."""

    @staticmethod
    def open(
        task: JoinTask,
        partitions: tuple[TopicPartition, TopicPartition],
        committed: Mapping[TopicPartition, Committed],
        starts: Mapping[TopicPartition, int],
    ) -> "AssignedJoin":
        """A task that is to be restored from what is committed.

        Raises `UnusableError` where the note is not ours, or retention has removed what is needed.
        """
        opened = AssignedJoin(task, partitions, [0, 0], [None, None])
        for side in Input:
            partition = partitions[side]
            found = committed.get(partition)
            note = None if found is None else note_of(partition, found)
            opened.notes[side] = note
            if note is not None and note.rules != task.rules:
                raise UnusableError(
                    f"{partition.topic}-{partition.partition}: the group has worked with join.before, .after and"
                    f" .disorder of {', '.join(map(str, note.rules))} ms, and they are"
                    f" {', '.join(map(str, task.rules))} ms now: set them back, or begin anew under another log.group"
                )
        opened._begin(committed, starts)
        return opened

    def _begin(self, committed: Mapping[TopicPartition, Committed], starts: Mapping[TopicPartition, int]) -> None:
        offsets = [committed[each].offset if each in committed else starts[each] for each in self.partitions]
        resumed = self.task.resume(self.notes, offsets)
        for side, partition in enumerate(self.partitions):
            note, start = self.notes[side], starts[partition]
            if resumed is None:
                self.task.rewind(Input(side), note, start)
            self.positions[side] = offsets[side]
            low = self.lows[side] = (
                resumed[side] if resumed is not None else offsets[side] if note is None else note.low
            )
            if note is not None and start > low and start > 0:
                raise UnusableError(
                    f"{partition.topic}-{partition.partition}: records from offset {low} on are"
                    f" still needed, and retention has removed those before {start}: raise retention.ms of"
                    " the topic; to go on without them, begin anew under another log.group"
                )
            if low < offsets[side]:
                self.restoring[partition] = offsets[side]
        if not self.restoring:
            self._restored()

    def low(self, partition: TopicPartition) -> int:
        """Where reading begins."""
        return self.lows[self.partitions.index(partition)]

    def replay(self, batch: Batch) -> None:
        """Take records from before the commit."""
        part = batch.before(self.restoring[batch.source])
        if len(part):
            self.task.replay(Input(self.partitions.index(batch.source)), part)

    def reached(self, partition: TopicPartition, position: int) -> bool:
        """Whether the partition has been read again far enough; the task goes on when both have."""
        if position < self.restoring[partition]:
            return False
        del self.restoring[partition]
        if not self.restoring:
            self._restored()
        return True

    def _restored(self) -> None:
        if not self.task.restored(self.notes):
            self.task.leave_disk()
            raise LogError(f"join.store.directory does not lead to what is committed for task {self.task.number}")

    def step(self, batches: Sequence[Batch]) -> list[Output]:
        """Take new records of one or both inputs."""
        by_source = {batch.source: batch for batch in batches}
        taken = [by_source.get(partition) for partition in self.partitions]
        outputs = self.task.step(*taken)
        for side, batch in enumerate(taken):
            if batch is not None:
                self.positions[side] = batch.next_offset
        return outputs

    def is_at(self, committed: Mapping[TopicPartition, Committed]) -> bool:
        """Whether nobody else can have worked on the partitions since our last commit.

        The notes say so, not the positions alone: an idle advance moves only the former.
        """
        return all(committed.get(partition) == mine for partition, mine in self.offsets().items())

    def offsets(self) -> dict[TopicPartition, Committed]:
        """What to commit: both inputs, since a match changes the account of either."""
        return {
            partition: Committed(self.positions[side], self.task.note(Input(side)))
            for side, partition in enumerate(self.partitions)
        }


class Watcher(Protocol):
    """A task of one partition whose state is snapshots."""

    def step(self, batch: Batch) -> list[Output]:
        """Take records."""
        ...

    def refill(self, batch: Batch) -> None:
        """Take records from before the snapshot."""
        ...

    def snapshot(self, position: int) -> list[Output]:
        """The state at that position."""
        ...


_Task = TypeVar("_Task", bound=Watcher)


@dataclass(slots=True)
class AssignedWatcher(Generic[_Task]):
    """A task with its partition: a monitor task, or the environment's."""

    task: _Task
    partition: TopicPartition
    position: int
    low: int
    snapshot_position: int = 0
    restoring: dict[TopicPartition, int] = field(default_factory=dict)
    is_changed: bool = False
    """Whether the last snapshot is older than the last outcome."""

    def replay(self, batch: Batch) -> None:
        """Take records from before the commit; those from before the snapshot only refill what was held."""
        part = batch.before(self.restoring[self.partition])
        held = part.before(self.snapshot_position)
        if len(held):
            self.task.refill(held)
        if len(held) < len(part):
            self.task.step(part.part(len(held), len(part)))

    def reached(self, partition: TopicPartition, position: int) -> bool:
        """Whether the partition has been read again far enough."""
        if position < self.restoring[partition]:
            return False
        del self.restoring[partition]
        return True

    def is_at(self, committed: Mapping[TopicPartition, Committed]) -> bool:
        """Whether nobody else can have worked on the partition since our last commit."""
        return self.partition in committed and committed[self.partition].offset == self.position

    def step(self, batch: Batch) -> list[Output]:
        """Take new outcomes."""
        self.position = batch.next_offset
        self.is_changed = True
        return self.task.step(batch)

    def snapshot(self) -> list[Output]:
        """The state as it will be committed."""
        self.is_changed = False
        return self.task.snapshot(self.position)


AssignedMonitor = AssignedWatcher[MonitorTask]
AssignedEnvironment = AssignedWatcher[EnvironmentTask]


def note_of(partition: TopicPartition, committed: Committed) -> Note:
    """What stands beside a committed offset; raises `UnusableError` where streamguard did not write it."""
    try:
        return Note.decode(committed.metadata)
    except (ValueError, KeyError, TypeError) as error:
        raise UnusableError(
            f"{partition.topic}-{partition.partition}: the group's committed offset {committed.offset} was"
            f" not written by streamguard ({error}): use a group of its own"
        ) from None
