"""Looks at the session and the tasks once in a while, and puts on the board what it sees.

Only after a commit, so that no count that was told is ever taken back.
"""

from collections.abc import Collection

from streamguard.core.join import Input
from streamguard.core.records import TopicPartition
from streamguard.core.waiting import NEVER
from streamguard.errors import LogError
from streamguard.logs.interface import Session
from streamguard.worker.assigned import AssignedJoin, AssignedMonitor
from streamguard.worker.status import (
    Board,
    Caps,
    InputStatus,
    JoinStatus,
    MonitorStatus,
    Phase,
    Progress,
    State,
    Status,
)
from streamguard.worker.tasks import Tasks
from streamguard.worker.topology import Topology
from streamguard.worker.watchdog import Place, Stalls

# To ask where the partitions end is a round trip to a broker.
_LOOK_S = 5.0
_PUBLISH_S = 1.0
# A member that does not come back holds a rebalance up for its session timeout; a group that says nothing for
# much longer is no more there than one that cannot be reached.
_ANSWER_S = 300.0


class Observer:
    """Keeps a board up to date."""

    def __init__(self, topology: Topology, board: Board, progress: Progress) -> None:
        self._topology = topology
        self._board = board
        self._progress = progress
        join = topology.config.join
        self._caps = Caps(join.max_waiting, join.max_waiting_bytes)
        self._stalls = Stalls(topology.config.watchdog.stalled_after_ms)
        self._looked_s = self._published_s = -_LOOK_S
        self._is_member = False
        self._left_s = board.now_s()
        self._behind: dict[tuple[str, int], int] = {}

    def joining(self) -> None:
        """A session is open, and the group has not given it partitions yet."""
        self._lose(State.JOINING, "waiting for the group to assign partitions")

    def rebalancing(self) -> None:
        """The group takes its partitions back, to share them out anew. Raises `LogError` where that has no end."""
        self._refuse_to_wait()
        if self._board.status.state is not State.REBALANCING:
            self._progress.rebalances += 1
            self._lose(State.REBALANCING, "the group is sharing its partitions out anew")

    def failed(self, reason: str) -> None:
        """The session is lost, and another is to be opened."""
        self._progress.sessions_lost += 1
        self._lose(State.OUTAGE, reason)

    def stopping(self) -> None:
        """The worker leaves the group."""
        self._lose(State.STOPPING, "the worker has been stopped, or has come to the end")

    def assigned(self) -> None:
        """There are other tasks now: look at once."""
        self._looked_s = self._published_s = -_LOOK_S
        self._is_member = True
        self._stalls.reset()

    def settle(self, session: Session) -> None:
        """Wait for the commit under way, and count it."""
        self._board.enter(Phase.COMMITTING)
        try:
            took_s = session.settle()
        except LogError:
            self._progress.commit_failures += 1
            raise
        self._progress.add_commit(took_s, self._board.enter(Phase.WORKING))

    @property
    def is_due(self) -> bool:
        """Whether the next look would tell something; there must be no commit under way then."""
        now_s = self._board.pulse.since_s
        return now_s - min(self._looked_s + _LOOK_S, self._published_s + _PUBLISH_S) >= 0 or not self._is_member

    def look(self, session: Session, tasks: Tasks, held_back: Collection[TopicPartition]) -> None:
        """After each turn. Raises `LogError` where the log does not answer, or a partition stalls."""
        if not self._is_member:
            # Polls bring nothing before the group has given an answer.
            self._refuse_to_wait()
            return
        now_s = self._board.pulse.since_s
        state = State.RESTORING if tasks.restoring_count else State.READY
        if now_s - self._looked_s >= _LOOK_S:
            self._looked_s = now_s
            self._look_at_ends(session, tasks, held_back, now_s)
        if now_s - self._published_s >= _PUBLISH_S or state is not self._board.status.state:
            self._published_s = now_s
            left = _restore_left(session, tasks)
            self._board.status = Status(
                state=state,
                reason=f"{left:,} offsets are still to be read again" if state is State.RESTORING else "",
                restore_left=left,
                behind=self._behind,
                held_back=tuple(sorted(f"{each.topic}-{each.partition}" for each in held_back)),
                joins=tuple(map(_join, tasks.joins.values())),
                monitors=tuple(self._monitor(each) for each in tasks.monitors.values() if not each.restoring),
                caps=self._caps,
                progress=self._progress.copy(),
            )

    def _refuse_to_wait(self) -> None:
        if not self._is_member and self._board.pulse.since_s - self._left_s > _ANSWER_S:
            raise LogError(f"the group has assigned no partitions for {_ANSWER_S:.0f} s")

    def _lose(self, state: State, reason: str) -> None:
        self._is_member = False
        self._left_s = self._board.pulse.since_s
        self._behind = {}
        self._board.status = Status(state, reason, caps=self._caps, progress=self._progress.copy())

    def _look_at_ends(
        self, session: Session, tasks: Tasks, held_back: Collection[TopicPartition], now_s: float
    ) -> None:
        ends = session.high_watermarks(tasks.own)
        positions = {
            partition: position
            for join in tasks.joins.values()
            for partition, position in zip(join.partitions, join.positions, strict=True)
        } | {each.partition: each.position for each in tasks.watchers}
        topics = *self._topology.inputs, self._topology.outcomes, self._topology.config.environment_topic
        names = dict(zip(topics, _NAMES, strict=True))
        self._behind = {
            (names[each.topic], each.partition): max(0, ends[each] - at) for each, at in sorted(positions.items())
        }
        if tasks.restoring_count:
            # The others are paused.
            places = {
                partition: Place(session.position(partition), target)
                for task in tasks.all
                for partition, target in task.restoring.items()
            }
        else:
            places = {each: Place(at, ends[each]) for each, at in positions.items() if each not in held_back}
        try:
            self._stalls.check(session, places, now_s)
        finally:
            self._progress.stalls = self._stalls.count

    def _monitor(self, monitor: AssignedMonitor) -> MonitorStatus:
        task, join = monitor.task, self._topology.join
        names = zip(join.monitor_names, join.targets, strict=True)
        return MonitorStatus(
            partition=task.number,
            monitors=tuple(name for name, target in names if target == task.number),
            held=task.merge.held_count,
            released=task.counts["released"],
            late=task.merge.late_count,
            segments=task.segment_count,
            promises=dict(task.promises()),
            sources_behind_ms=tuple(task.merge.behind_ms),
            holders=tuple(task.merge.holders),
        )


_NAMES = (Input.PREDICTIONS.name.lower(), Input.LABELS.name.lower(), "outcomes", "environment")


def _restore_left(session: Session, tasks: Tasks) -> int:
    return sum(
        max(0, target - session.position(partition))
        for task in tasks.all
        for partition, target in task.restoring.items()
    )


def _join(join: AssignedJoin) -> JoinStatus:
    task = join.task
    clocks = [task.clock_ms(side) for side in Input]
    inputs = tuple(
        InputStatus(_NAMES[side], None if clocks[side] == NEVER else clocks[side], task.counts(side)) for side in Input
    )
    return JoinStatus(task.number, task.held_count, task.held_bytes, () if join.restoring else inputs)
