"""The loop: poll, step, commit, one transaction each time.

A worker holds no truth of its own. After anything that casts doubt on a commit it drops its session and
its tasks, and begins again from what is committed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from streamguard.config import Config
from streamguard.core.join import HeldFullError, Input
from streamguard.core.records import Batch, Output, Stream, TopicPartition
from streamguard.errors import LogError, UnusableError
from streamguard.logs.interface import Committed, Log, Record, Session
from streamguard.worker.assigned import AssignedJoin, after, cut
from streamguard.worker.ending import Ending, totals
from streamguard.worker.idle import IdleClock
from streamguard.worker.notices import Notices
from streamguard.worker.tasks import Tasks
from streamguard.worker.topology import Topology, prepare

_log = structlog.get_logger("streamguard.worker")

_POLL_MS = 500
# The records taken at once from one partition; also the least that must fit under a task's cap.
_STEP_RECORDS = 20_000
# A record's headers, at most; Kafka counts them with the value.
_HEADER_BYTES = 65_536
# A broker that restarts is away for a minute or so; one that is away longer is a matter for people.
_OUTAGE_S = 300.0
_STALL_S = 5.0
_BACKOFF_MAX_S = 10.0


@dataclass(slots=True)
class Progress:
    """How far a run has come."""

    records: int = 0
    alerts: int = 0
    rejected: int = 0
    commits: int = 0


@dataclass(slots=True)
class Clock:
    """The shell's clock; tests pass their own. `now_s` never goes back."""

    now_s: Callable[[], float]
    sleep_s: Callable[[float], None]


class Worker:
    """One member of the group. `run` returns when `stop` was called, or at the end where that is asked for."""

    def __init__(self, config: Config, log: Log, name: str, clock: Clock) -> None:
        self._config = config
        self._log = log
        self._name = name
        self._clock = clock
        self._topology: Topology = prepare(config, log)
        self._tasks = Tasks(self._topology, log)
        self._held_back: set[TopicPartition] = set()
        self._held_since_s = 0.0
        self._committed: dict[TopicPartition, int] = {}
        self._is_stopping = False
        self._is_settled = True
        self._snapshot_s = 0.0
        self._idle = IdleClock(config.join.idle_after_ms)
        self._notices = Notices(config)
        self._ending: Ending | None = None
        self.progress = Progress()
        self.totals: dict[str, dict[str, int]] = {}
        """How the group's records have ended, by input; known when `run` has returned."""

    @property
    def held(self) -> tuple[int, list[int]]:
        """Outcomes that this worker's monitors may not release yet, and the sources that hold them back."""
        merges = [each.task.merge for each in self._tasks.monitors.values() if each.task.merge.held_count]
        holders = {source for merge in merges for source in merge.holders}
        return sum(merge.held_count for merge in merges), sorted(holders)

    @property
    def late_outcomes(self) -> int:
        """Outcomes that this worker's monitors got too late to check."""
        return sum(each.task.merge.late_count for each in self._tasks.monitors.values())

    def stop(self) -> None:
        """End after the commit that is under way."""
        self._is_stopping = True

    def run(self, *, until_end: bool = False, on_progress: Callable[[Progress], None] | None = None) -> None:
        """Work until stopped. With `until_end`, until the inputs were read to where they end now.

        Raises `LogError` when the log stays out of reach for five minutes, and `UnusableError` at once.
        """
        failures, worked_s = 0, self._clock.now_s()
        while not self._is_stopping:
            commits = self.progress.commits
            try:
                self._serve(on_progress, until_end=until_end)
            except UnusableError:
                raise
            except LogError as error:
                if self.progress.commits > commits:
                    failures = 0
                if failures == 0:
                    # The outage counts from here: a log that was merely quiet has committed nothing either.
                    worked_s = self._clock.now_s()
                if self._clock.now_s() - worked_s > _OUTAGE_S:
                    raise
                failures += 1
                _log.warning("session_lost", reason=str(error), failures=failures)
                self._clock.sleep_s(min(float(2 ** min(failures, 10)) / 2, _BACKOFF_MAX_S))
            else:
                return

    def _serve(self, on_progress: Callable[[Progress], None] | None, *, until_end: bool) -> None:
        """One session, from joining the group to leaving it."""
        self._tasks = Tasks(self._topology, self._log)
        topology = self._topology
        topic_groups = (topology.inputs, (topology.outcomes,))
        session = self._log.session(self._config.log.group, topic_groups, self._name)
        try:
            if until_end and self._ending is None:
                self._ending = Ending(topology, session)
            self._snapshot_s = self._clock.now_s()
            while not self._is_stopping:
                self._turn(session)
                if on_progress is not None:
                    on_progress(self.progress)
                if self._ending and self._is_settled and self._ending.is_reached(self._tasks, session):
                    break
            if self._is_settled and not self._tasks.restoring_count:
                self._commit(session, self._snapshots())
            self.totals = totals(session, topology)
        finally:
            session.close()

    def _turn(self, session: Session) -> None:
        """One poll and one commit."""
        is_busy = self._ending is not None
        poll = session.poll(_POLL_MS // 5 if is_busy else _POLL_MS)
        self._is_settled = not poll.is_rebalancing
        if poll.is_rebalancing:
            return
        if poll.assigned is not None:
            committed = session.committed(poll.assigned)
            self._committed = {partition: found.offset for partition, found in committed.items()}
            self._held_back.clear()
            self._idle.reset()
            self._tasks.assign(session, poll.assigned, committed)
            return
        if self._tasks.restoring_count:
            self._tasks.restore(session, poll.batches)
            return
        outputs = self._step(session, poll.batches)
        if self._held_back and not poll.batches:
            self._refuse_to_stall(session)
        if self._ending is not None:
            outputs += self._ending.silent(self._tasks)
        else:
            outputs += self._idle.advance(self._tasks.joins.values(), session, self._clock.now_s())
        if self._clock.now_s() - self._snapshot_s >= self._config.state.every_ms / 1000:
            outputs += self._snapshots()
        self._commit(session, outputs, is_quiet=not poll.batches)

    # Steps and commits.

    def _step(self, session: Session, batches: list[Batch]) -> list[Output]:
        outputs: list[Output] = []
        for number, join in self._tasks.joins.items():
            mine = [batch for batch in batches if batch.source in join.partitions]
            if mine:
                before = join.task.consumed
                outputs += self._step_join(session, join, mine)
                self.progress.records += join.task.consumed - before
                self._notices.unmonitored(join.task.unmonitored())
                self._notices.late(number, join.task)
                self._notices.unlikely(number, join.task)
        for batch in batches:
            if batch.source.topic == self._topology.outcomes:
                monitor = self._tasks.monitors[batch.source.partition]
                outputs += monitor.step(batch)
                self._notices.late_outcomes(monitor.task)
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
                self._held_since_s = self._clock.now_s()
                _log.info("input_held_back", partition=f"{partition.topic}-{partition.partition}")
            elif side != ahead and partition in self._held_back:
                session.resume([partition])
                self._held_back.discard(partition)

    def _refuse_to_stall(self, session: Session) -> None:
        """Stop where an input is held back for one that is at its end: no record of either would come again.

        A live worker first lets the idle input's time advance, which may make room.
        """
        idle_after_ms = self._config.join.idle_after_ms
        for join in self._tasks.joins.values():
            sides = [side for side in Input if join.partitions[side] in self._held_back]
            for side in sides:
                other = join.partitions[1 - side]
                is_at_end = join.positions[1 - side] >= session.high_watermarks([other])[other]
                is_over = self._ending is not None or (
                    idle_after_ms is not None
                    and self._clock.now_s() - self._held_since_s > 2 * idle_after_ms / 1000 + _STALL_S
                )
                if is_at_end and is_over:
                    raise self._too_full(join)

    def _too_full(self, join: AssignedJoin) -> UnusableError:
        limit = self._config.join.max_waiting
        return UnusableError(
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
        # With anything written, all of them: an idle advance moves no position, and must be remembered too; and
        # it is by its offsets alone that the group refuses the records of one who has been put out of it.
        moved = [join for join in joins if outputs or self._has_moved(join.partitions, join.positions)]
        offsets = {partition: found for join in moved for partition, found in join.offsets().items()}
        for monitor in self._tasks.monitors.values():
            if outputs or self._has_moved((monitor.partition,), (monitor.position,)):
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
        value, headers = output.value, output.headers
        limit = self._topology.rejected_bytes
        if output.stream is Stream.REJECTED and limit is not None and len(value or b"") > limit - _HEADER_BYTES:
            # One record must not stop the group for good. Its headers say where the whole value is.
            headers = (*headers, ("streamguard.value.bytes", str(len(value or b"")).encode()))
            value = None
        return Record(self._topology.topic(output.stream), output.key, value, output.partition, headers)
