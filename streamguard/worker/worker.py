"""The loop: poll, step, commit, one transaction each time.

A worker holds no truth of its own. After anything that casts doubt on a commit it drops its session and
its tasks, and begins again from what is committed.
"""

import gc
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from streamguard.config import Config
from streamguard.core.join import HeldFullError, JoinTask, Note
from streamguard.core.monitor import MonitorTask
from streamguard.core.records import Batch, Output, Stream, TopicPartition
from streamguard.errors import LogError
from streamguard.logs.interface import Committed, Log, Record, Session
from streamguard.worker.assigned import AssignedJoin, AssignedMonitor, after, cut
from streamguard.worker.idle import IdleClock
from streamguard.worker.notices import Notices
from streamguard.worker.topology import Topology, prepare

_log = structlog.get_logger("streamguard.worker")

_POLL_MS = 500
# The records taken at once from one partition; also the least that must fit under a task's cap.
_STEP_RECORDS = 20_000
_FAILURES_MAX = 5
_BACKOFF_S = 1.0


@dataclass(slots=True)
class Progress:
    """How far a run has come."""

    records: int = 0
    alerts: int = 0
    rejected: int = 0
    commits: int = 0
    restored_s: float | None = None


@dataclass(slots=True)
class Clock:
    """The shell's clock; tests pass their own. `now_s` never goes back."""

    now_s: Callable[[], float]
    sleep_s: Callable[[float], None]


@dataclass(slots=True)
class _Tasks:
    joins: dict[int, AssignedJoin] = field(default_factory=dict)
    monitors: dict[int, AssignedMonitor] = field(default_factory=dict)

    @property
    def all(self) -> list[AssignedJoin | AssignedMonitor]:
        return [*self.joins.values(), *self.monitors.values()]


class Worker:
    """One member of the group. `run` returns when `stop` was called, or at the end where that is asked for."""

    def __init__(self, config: Config, log: Log, name: str, clock: Clock) -> None:
        self._config = config
        self._log = log
        self._name = name
        self._clock = clock
        self._topology: Topology = prepare(config, log)
        self._tasks = _Tasks()
        self._held_back: set[TopicPartition] = set()
        self._committed: dict[TopicPartition, int] = {}
        self._is_stopping = False
        self._is_settled = True
        self._snapshot_s = 0.0
        self._idle = IdleClock(config.join.idle_after_ms)
        self._notices = Notices(config)
        self._until: dict[TopicPartition, int] | None = None
        self.progress = Progress()
        self.totals: dict[str, dict[str, int]] = {}
        """How the group's records have ended, by input; known when `run` has returned."""

    def stop(self) -> None:
        """End after the commit that is under way."""
        self._is_stopping = True

    def run(self, *, until_end: bool = False, on_progress: Callable[[Progress], None] | None = None) -> None:
        """Work until stopped. With `until_end`, until the inputs were read to where they end now.

        Raises `LogError` when the log stays unusable.
        """
        # Millions of strings and numbers are held and never form a cycle: look for cycles seldom.
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 50, 100)
        failures = 0
        while not self._is_stopping:
            commits = self.progress.commits
            try:
                self._serve(on_progress, until_end=until_end)
            except LogError as error:
                failures = 1 if self.progress.commits > commits else failures + 1
                if failures >= _FAILURES_MAX:
                    raise
                _log.warning("session_lost", reason=str(error), failures=failures)
                self._clock.sleep_s(_BACKOFF_S * failures)
            else:
                return

    def _serve(self, on_progress: Callable[[Progress], None] | None, *, until_end: bool) -> None:
        """One session, from joining the group to leaving it."""
        self._tasks = _Tasks()
        topology = self._topology
        session = self._log.session(self._config.log.group, [*topology.inputs, topology.outcomes], self._name)
        try:
            if until_end and self._until is None:
                self._until = session.ends(self._partitions(topology.inputs, topology.source_count))
            self._snapshot_s = self._clock.now_s()
            while not self._is_stopping:
                self._turn(session)
                if on_progress is not None:
                    on_progress(self.progress)
                if until_end and self._is_settled and self._is_at_end(session):
                    break
            if self._is_settled and not self._restoring_count():
                self._commit(session, self._snapshots())
            self.totals = totals(session, topology)
        finally:
            session.close()

    def _turn(self, session: Session) -> None:
        """One poll and one commit."""
        is_busy = self._until is not None
        poll = session.poll(_POLL_MS // 5 if is_busy else _POLL_MS)
        self._is_settled = not poll.is_rebalancing
        if poll.is_rebalancing:
            return
        if poll.assigned is not None:
            self._assign(session, poll.assigned)
            return
        if any(task.restoring for task in self._tasks.all):
            self._restore(session, poll.batches)
            return
        outputs = self._step(session, poll.batches)
        if self._until is None:
            outputs += self._idle.advance(self._tasks.joins.values(), session, self._clock.now_s())
        if self._clock.now_s() - self._snapshot_s >= self._config.state.every_ms / 1000:
            outputs += self._snapshots()
        self._commit(session, outputs, is_quiet=not poll.batches)

    # Assignment and restoring.

    def _assign(self, session: Session, assigned: frozenset[TopicPartition]) -> None:
        """Keep the tasks that stay, drop those that go, open those that come."""
        committed = session.committed(assigned)
        predictions, labels = self._topology.inputs
        kept = _Tasks()
        for task in self._tasks.joins.values():
            if not task.restoring and self._stays(task.partitions, task.positions, assigned, committed):
                kept.joins[task.task.number] = task
        for monitor in self._tasks.monitors.values():
            is_here = self._stays((monitor.partition,), (monitor.position,), assigned, committed)
            if not monitor.restoring and is_here:
                kept.monitors[monitor.task.number] = monitor
        starts = session.starts(assigned)
        self._tasks, self._held_back = kept, set()
        for partition in sorted(assigned):
            if partition.topic == predictions and partition.partition not in kept.joins:
                pair = (partition, TopicPartition(labels, partition.partition))
                if pair[1] not in assigned:
                    raise LogError(f"{predictions}-{partition.partition} was assigned without {labels}'s")
                join = JoinTask(partition.partition, self._topology.join)
                kept.joins[join.number] = AssignedJoin.open(join, pair, committed, starts)
            elif partition.topic == self._topology.outcomes and partition.partition not in kept.monitors:
                kept.monitors[partition.partition] = self._open_monitor(partition, committed, starts)
        self._begin_restore(session)
        self._committed = {partition: found.offset for partition, found in committed.items()}
        self._idle.reset()
        names = sorted(f"{each.topic}-{each.partition}" for each in assigned)
        _log.info("partitions_assigned", partitions=names, restoring=self._restoring_count())

    @staticmethod
    def _stays(
        partitions: Sequence[TopicPartition],
        positions: Sequence[int],
        assigned: frozenset[TopicPartition],
        committed: dict[TopicPartition, Committed],
    ) -> bool:
        """Whether nobody else can have worked on these since our last commit."""
        return all(
            partition in assigned and partition in committed and committed[partition].offset == position
            for partition, position in zip(partitions, positions, strict=True)
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
            return AssignedMonitor(task, partition, start, start, start)
        try:
            resume = task.restore(records)
        except (ValueError, KeyError, TypeError) as error:
            raise LogError(
                f"state topic {self._topology.topic(Stream.STATE)!r}, partition {partition.partition}: {error}"
            ) from None
        low = start if resume is None else resume.low
        if low < start:
            raise LogError(
                f"{partition.topic}-{partition.partition}: outcomes from offset {low} on are still needed, and"
                f" retention has removed those before {start}: raise retention.ms of the topic"
            )
        opened = AssignedMonitor(task, partition, found.offset, low, low if resume is None else resume.position)
        if low < found.offset:
            opened.restoring[partition] = found.offset
        return opened

    def _begin_restore(self, session: Session) -> None:
        restoring: set[TopicPartition] = set()
        for task in self._tasks.all:
            for partition in task.restoring:
                session.seek(partition, task.low(partition) if isinstance(task, AssignedJoin) else task.low)
                restoring.add(partition)
        if restoring:
            session.pause(self._own() - restoring)

    def _restore(self, session: Session, batches: Iterable[Batch]) -> None:
        """Read again what was read before the commit; the others wait."""
        owners = {partition: task for task in self._tasks.all for partition in task.restoring}
        for batch in batches:
            owners[batch.source].replay(batch)
        for partition, task in owners.items():
            target = task.restoring[partition]
            # On the position, not on the last record: markers and compaction leave gaps at the end.
            if task.reached(partition, session.position(partition)):
                session.seek(partition, target)
                session.pause([partition])
        if not self._restoring_count():
            session.resume(self._own())
            _log.info("state_restored", held=sum(each.task.held_count for each in self._tasks.joins.values()))

    def _restoring_count(self) -> int:
        return sum(len(task.restoring) for task in self._tasks.all)

    def _own(self) -> set[TopicPartition]:
        joins = {partition for task in self._tasks.joins.values() for partition in task.partitions}
        return joins | {task.partition for task in self._tasks.monitors.values()}

    # Steps and commits.

    def _step(self, session: Session, batches: list[Batch]) -> list[Output]:
        outputs: list[Output] = []
        for number, join in self._tasks.joins.items():
            mine = [batch for batch in batches if batch.source in join.partitions]
            if mine:
                outputs += self._step_join(session, join, mine)
                self._notices.unmonitored(join.task.unmonitored())
                self._notices.late(number, join.task)
        for batch in batches:
            if batch.source.topic == self._topology.outcomes:
                outputs += self._tasks.monitors[batch.source.partition].step(batch)
        inputs = [batch for batch in batches if batch.source.topic != self._topology.outcomes]
        self.progress.records += sum(map(len, inputs))
        return outputs

    def _step_join(self, session: Session, join: AssignedJoin, batches: list[Batch]) -> list[Output]:
        """Step as much as fits under the task's caps, and hold the input back that runs ahead."""
        room = max(1, min(_STEP_RECORDS, self._config.join.max_waiting // 4))
        try:
            if join.task.ahead(2 * room) is None and all(len(batch) <= room for batch in batches):
                outputs = join.step(batches)
            else:
                outputs = self._step_slowly(session, join, batches, room)
        except HeldFullError:
            raise self._too_full(join) from None
        self._hold_back(session, join, room)
        return outputs

    def _step_slowly(self, session: Session, join: AssignedJoin, batches: list[Batch], room: int) -> list[Output]:
        outputs: list[Output] = []
        rest = {batch.source: batch for batch in batches}
        while rest:
            ahead = join.task.ahead(room)
            stopped = None if ahead is None else join.partitions[ahead]
            source = next((each for each in rest if each != stopped), None)
            if source is None:
                break
            batch = rest.pop(source)
            if len(batch) > room:
                rest[source] = after(batch, room)
                batch = cut(batch, 0, room, batch.offsets[room])
            outputs += join.step([batch])
        for source, batch in rest.items():
            # Not taken: it is fetched again when there is room.
            session.seek(source, batch.offsets[0])
        return outputs

    def _hold_back(self, session: Session, join: AssignedJoin, room: int) -> None:
        ahead = join.task.ahead(room)
        for side, partition in enumerate(join.partitions):
            if side == ahead and partition not in self._held_back:
                session.pause([partition])
                self._held_back.add(partition)
                _log.info("input_held_back", partition=f"{partition.topic}-{partition.partition}")
            elif side != ahead and partition in self._held_back:
                session.resume([partition])
                self._held_back.discard(partition)

    def _too_full(self, join: AssignedJoin) -> LogError:
        limit = self._config.join.max_waiting
        return LogError(
            f"join task {join.task.number} holds {join.task.held_count} records, join.max_waiting is {limit},"
            " and the join window holds more than that: raise join.max_waiting, or shorten join.after"
        )

    def _snapshots(self) -> list[Output]:
        self._snapshot_s = self._clock.now_s()
        changed = [task for task in self._tasks.monitors.values() if task.is_changed]
        return [output for task in changed for output in task.snapshot()]

    def _commit(self, session: Session, outputs: list[Output], *, is_quiet: bool = False) -> None:
        """Everything of this turn at once. A quiet turn commits positions that moved past gaps."""
        if is_quiet:
            self._pass_gaps(session)
        joins = self._tasks.joins.values()
        # With anything written, all of them: an idle advance moves no position, and must be remembered too.
        moved = [join for join in joins if outputs or self._has_moved(join.partitions, join.positions)]
        offsets = {partition: found for join in moved for partition, found in join.offsets().items()}
        for monitor in self._tasks.monitors.values():
            if self._has_moved((monitor.partition,), (monitor.position,)):
                offsets[monitor.partition] = Committed(monitor.position)
        if not outputs and not offsets:
            return
        session.commit([self._record(output) for output in outputs], offsets)
        self._committed |= {partition: found.offset for partition, found in offsets.items()}
        self.progress.commits += 1
        self.progress.alerts += sum(output.stream is Stream.ALERTS for output in outputs)
        self.progress.rejected += sum(output.stream is Stream.REJECTED for output in outputs)
        self._notices.written(outputs)

    def _pass_gaps(self, session: Session) -> None:
        for join in self._tasks.joins.values():
            for side, partition in enumerate(join.partitions):
                if partition not in self._held_back:
                    join.positions[side] = max(join.positions[side], session.position(partition))
        for monitor in self._tasks.monitors.values():
            monitor.position = max(monitor.position, session.position(monitor.partition))

    def _has_moved(self, partitions: Sequence[TopicPartition], positions: Sequence[int]) -> bool:
        pairs = zip(partitions, positions, strict=True)
        return any(self._committed.get(partition) != position for partition, position in pairs)

    def _record(self, output: Output) -> Record:
        return Record(self._topology.topic(output.stream), output.key, output.value, output.partition, output.headers)

    # The end.

    def _is_at_end(self, session: Session) -> bool:
        """Whether the whole group has read the inputs to their ends, and every outcome that came of them."""
        until = self._until or {}
        if self._restoring_count() or any(
            position < until[partition]
            for join in self._tasks.joins.values()
            for partition, position in zip(join.partitions, join.positions, strict=True)
        ):
            return False
        if any(found < until[p] for p, found in self._group_offsets(session, until).items()):
            return False
        outcomes = self._partitions([self._topology.outcomes], self._topology.target_count)
        # After the inputs: no outcome can come any more, so these ends are the last.
        ends = session.ends(outcomes)
        return all(found >= ends[p] for p, found in self._group_offsets(session, outcomes).items())

    @staticmethod
    def _group_offsets(session: Session, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        wanted = list(partitions)
        found = session.committed(wanted)
        return {partition: found[partition].offset if partition in found else 0 for partition in wanted}

    @staticmethod
    def _partitions(topics: Iterable[str], count: int) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for topic in topics for number in range(count)]


def totals(session: Session, topology: Topology) -> dict[str, dict[str, int]]:
    """How the group's input records have ended so far, by input, from what is committed."""
    result: dict[str, dict[str, int]] = {}
    for topic in topology.inputs:
        partitions = [TopicPartition(topic, number) for number in range(topology.source_count)]
        counts: dict[str, int] = {}
        for committed in session.committed(partitions).values():
            for name, count in Note.decode(committed.metadata).counts.items():
                counts[name] = counts.get(name, 0) + count
        result[topic] = counts
    return result
