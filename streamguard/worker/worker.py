"""The loop: poll, step, commit, one transaction each time.

A worker holds no truth of its own. After anything that casts doubt on a commit it drops its session and
its tasks, and begins again from what is committed.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from streamguard.config import Config
from streamguard.core.records import Batch, Output, Stream, TopicPartition
from streamguard.core.rejected import LEFT_OUT
from streamguard.errors import FencedError, LogError, UnusableError
from streamguard.logs.interface import Committed, Log, Record, Session
from streamguard.stores.opening import opened_store
from streamguard.worker.ending import Ending, totals
from streamguard.worker.holding import Holding
from streamguard.worker.idle import IdleClock
from streamguard.worker.notices import Notices
from streamguard.worker.observer import Observer
from streamguard.worker.status import Board, Phase, Progress
from streamguard.worker.tasks import Tasks
from streamguard.worker.topology import Topology, prepare

if TYPE_CHECKING:
    from streamguard.stores.rocks import RocksStore

__all__ = ["Clock", "Progress", "Worker"]

_log = structlog.get_logger("streamguard.worker")

_POLL_MS = 500
# A record's headers, at most; Kafka counts them with the value.
_HEADER_BYTES = 65_536
# A broker that restarts is away for a minute or so; one that is away longer is a matter for people.
_OUTAGE_S = 300.0
_BACKOFF_MAX_S = 10.0
# A session that lasted longer had a log to talk to, also where there was nothing to commit.
_LASTED_S = 150.0
# A late request of our own looks the same, once.
_FENCES_MAX = 3


@dataclass(slots=True)
class Clock:
    """The shell's clock; tests pass their own. `now_s` never goes back."""

    now_s: Callable[[], float]
    sleep_s: Callable[[float], None]


class Worker:
    """One member of the group. `run` returns when `stop` was called, or at the end where that is asked for."""

    def __init__(self, config: Config, log: Log, name: str, clock: Clock, board: Board | None = None) -> None:
        self._config = config
        self._log = log
        self._name = name
        self._clock = clock
        self._topology: Topology = prepare(config, log)
        self._store: RocksStore | None = None
        self._tasks = Tasks(self._topology, log)
        self._holding = Holding(config.join, clock.now_s)
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._committed: dict[TopicPartition, int] = {}
        self._is_stopping = False
        self._fenced_s: list[float] = []
        self._is_settled = True
        self._begun: list[Output] | None = None
        """What the commit under way writes."""
        self._snapshot_s = 0.0
        self._idle = IdleClock(config.join.idle_after_ms)
        self._notices = Notices(config)
        self._ending: Ending | None = None
        self.progress = Progress()
        self._board = board or Board(clock.now_s)
        self._observer = Observer(self._topology, self._board, self.progress)
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
        with opened_store(self._config) as self._store:
            self._run(on_progress, until_end=until_end)

    def _run(self, on_progress: Callable[[Progress], None] | None, *, until_end: bool) -> None:
        failures, worked_s, failed_s = 0, self._clock.now_s(), 0.0
        while not self._is_stopping:
            commits = self.progress.commits
            try:
                self._serve(on_progress, until_end=until_end)
            except UnusableError:
                raise
            except LogError as error:
                self._give_way(error)
                former_s, failed_s = failed_s, self._clock.now_s()
                # Where the log is away no session lasts that long without an error.
                if self.progress.commits > commits or failed_s - former_s > _LASTED_S:
                    failures = 0
                if failures == 0:
                    # The outage counts from here: a log that was merely quiet has committed nothing either.
                    worked_s = self._clock.now_s()
                if self._clock.now_s() - worked_s > _OUTAGE_S:
                    raise
                failures += 1
                _log.warning("session_lost", reason=str(error), failures=failures)
                self._observer.failed(str(error))
                self._board.enter(Phase.WAITING)
                self._clock.sleep_s(min(float(2 ** min(failures, 10)) / 2, _BACKOFF_MAX_S))
            else:
                return

    def _give_way(self, error: LogError) -> None:
        """End where another worker of the same name takes over again and again: that would go on for ever."""
        now_s = self._clock.now_s()
        self._fenced_s = [each for each in self._fenced_s if now_s - each < _OUTAGE_S]
        if isinstance(error, FencedError):
            self._fenced_s.append(now_s)
        if len(self._fenced_s) >= _FENCES_MAX:
            raise UnusableError(
                f"this worker was taken for replaced {_FENCES_MAX} times in {_OUTAGE_S / 60:.0f} minutes: either"
                f" another worker of the same name, {self._name!r}, is running, then give each its own log.worker;"
                f" or requests of its own came late, then look at the network ({error})"
            ) from error

    def _serve(self, on_progress: Callable[[Progress], None] | None, *, until_end: bool) -> None:
        """One session, from joining the group to leaving it."""
        self._board.enter(Phase.JOINING)
        self._begun = None
        self._tasks = Tasks(self._topology, self._log, self._store)
        topology = self._topology
        session = self._log.session(self._config.log.group, topology.topic_groups, self._name)
        try:
            self._observer.joining()
            if until_end and self._ending is None:
                self._ending = Ending(topology, session)
            self._snapshot_s = self._clock.now_s()
            while not self._is_stopping:
                self._turn_or_leave(session)
                if on_progress is not None:
                    on_progress(self.progress)
                if self._ending and self._is_settled and self._ending.is_read(self._tasks):
                    self._settle(session)
                    if self._ending.is_reached(session):
                        break
            if self._is_settled and not self._tasks.restoring_count:
                self._commit(session, self._snapshots())
            self._settle(session)
            self._tasks.checkpoint()
            self._observer.stopping()
            self.totals = totals(session, topology)
        finally:
            # Whatever has ended the session, what its last commit has written is told.
            with suppress(LogError):
                self._settle(session)
            self._board.enter(Phase.LEAVING)
            session.close()

    def _turn_or_leave(self, session: Session) -> None:
        """A turn. Who was put out of the group meanwhile holds old offsets against newer state: that is no damage."""
        try:
            self._turn(session)
        except UnusableError as error:
            self._settle(session)
            found = session.committed(self._assigned)
            if {partition: each.offset for partition, each in found.items()} != self._committed:
                raise LogError("the group has gone on without this worker") from error
            raise

    def _turn(self, session: Session) -> None:
        """One poll and one commit."""
        with self._board.during(Phase.POLLING):
            poll = session.poll(_POLL_MS if self._ending is None else _POLL_MS // 5)
        self._is_settled = not poll.is_rebalancing
        if poll.is_rebalancing or poll.assigned is not None:
            self._settle(session)
        if poll.is_rebalancing:
            self._observer.rebalancing()
        elif poll.assigned is not None:
            with self._board.during(Phase.ASSIGNING):
                self._assign(session, poll.assigned)
        elif self._tasks.restoring_count:
            self._tasks.restore(session, poll.batches)
            self._observer.look(session, self._tasks, ())
        else:
            self._work(session, poll.batches)

    def _assign(self, session: Session, assigned: frozenset[TopicPartition]) -> None:
        committed = session.committed(assigned)
        self._assigned = assigned
        self._committed = {partition: found.offset for partition, found in committed.items()}
        self._holding.clear()
        self._idle.reset()
        self._tasks.assign(session, assigned, committed)
        self._observer.assigned()

    def _work(self, session: Session, batches: list[Batch]) -> None:
        outputs = self._step(session, batches)
        if not batches:
            joins = self._tasks.joins.values()
            self._holding.refuse_to_stall(session, joins, is_bounded=self._ending is not None)
        if self._ending is not None:
            outputs += self._ending.silent(self._tasks)
        else:
            outputs += self._idle.advance(self._tasks.joins.values(), session, self._clock.now_s())
        is_due = self._clock.now_s() - self._snapshot_s >= self._config.state.every_ms / 1000
        if is_due:
            outputs += self._snapshots()
        self._commit(session, outputs, is_quiet=not batches)
        if is_due and self._store is not None:
            # It must not be ahead of what is committed.
            self._settle(session)
            self._tasks.checkpoint()
        if self._observer.is_due:
            # No count that is told may be taken back.
            self._settle(session)
            self._observer.look(session, self._tasks, self._holding.partitions)

    # Steps and commits.

    def _step(self, session: Session, batches: list[Batch]) -> list[Output]:
        outputs: list[Output] = []
        for number, join in self._tasks.joins.items():
            mine = [batch for batch in batches if batch.source in join.partitions]
            if mine:
                before = join.task.consumed
                outputs += self._holding.step(session, join, mine)
                self.progress.records += join.task.consumed - before
                self._notices.unmonitored(join.task.unmonitored())
                self._notices.late(number, join.task)
                self._notices.unlikely(number, join.task)
        for batch in batches:
            if batch.source.topic == self._topology.outcomes:
                monitor = self._tasks.monitors[batch.source.partition]
                outputs += monitor.step(batch)
                self._notices.late_outcomes(monitor.task)
            elif self._tasks.environment is not None and batch.source == self._tasks.environment.partition:
                outputs += self._tasks.environment.step(batch)
        return outputs

    def _snapshots(self) -> list[Output]:
        self._snapshot_s = self._clock.now_s()
        changed = [task for task in self._tasks.watchers if task.is_changed]
        return [output for task in changed for output in task.snapshot()]

    def _commit(self, session: Session, outputs: list[Output], *, is_quiet: bool = False) -> None:
        """Begin to commit everything of this turn. A quiet turn commits positions that moved past gaps."""
        self._settle(session)
        if is_quiet:
            self._pass_gaps(session)
        joins = self._tasks.joins.values()
        # With anything written, all of them: an idle advance moves no position, and must be remembered too; and
        # it is by its offsets alone that the group refuses the records of one who has been put out of it.
        moved = [join for join in joins if outputs or self._has_moved(join.partitions, join.positions)]
        for join in moved:
            join.begun = join.offsets()
        offsets = {partition: found for join in moved for partition, found in (join.begun or {}).items()}
        for monitor in self._tasks.watchers:
            if outputs or self._has_moved((monitor.partition,), (monitor.position,)):
                offsets[monitor.partition] = Committed(monitor.position)
        if not outputs and not offsets:
            return
        records = [self._record(output) for output in outputs]
        session.begin(records, offsets)
        self._begun = outputs
        self._committed |= {partition: found.offset for partition, found in offsets.items()}

    def _settle(self, session: Session) -> None:
        """Wait for the commit under way, which went on while the next records were fetched and stepped."""
        outputs, self._begun = self._begun, None
        if outputs is None:
            return
        self._observer.settle(session)
        self.progress.alerts += sum(output.stream is Stream.ALERTS for output in outputs)
        self.progress.rejected += sum(output.stream is Stream.REJECTED for output in outputs)
        self._notices.written(outputs, self.progress.alert_kinds)

    def _pass_gaps(self, session: Session) -> None:
        for join in self._tasks.joins.values():
            for side, partition in enumerate(join.partitions):
                if partition not in self._holding.partitions:
                    join.positions[side] = max(join.positions[side], session.position(partition))
        for monitor in self._tasks.watchers:
            monitor.position = max(monitor.position, session.position(monitor.partition))

    def _has_moved(self, partitions: Sequence[TopicPartition], positions: Sequence[int]) -> bool:
        pairs = zip(partitions, positions, strict=True)
        return any(self._committed.get(partition) != position for partition, position in pairs)

    def _record(self, output: Output) -> Record:
        value, headers = output.value, output.headers
        limit = self._topology.rejected_bytes
        if output.stream is Stream.REJECTED and limit is not None and len(value or b"") > limit - _HEADER_BYTES:
            # One record must not stop the group for good. Its headers say where the whole value is.
            headers = (*headers, (LEFT_OUT, str(len(value or b"")).encode()))
            value = None
        partition = output.partition
        if output.stream is Stream.REJECTED and (partition or 0) >= self._topology.rejected_partitions:
            # A topic that was made with fewer partitions than there are of the inputs, or of the outcomes.
            partition = None
        return Record(self._topology.topic(output.stream), output.key, value, partition, headers)
