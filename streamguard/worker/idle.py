"""Which inputs are idle: proven by the position at the partition's end, never guessed from silence.

An idle input would hold every alert back, since it promises nothing. Once proven, its event time follows
the other input's; where both are idle, it runs at the clock's pace. Each advance is written to the log
(a watermark, and a note beside the offset), so a replay repeats it.
"""

from collections.abc import Collection

from streamguard.core.join import Input
from streamguard.core.records import Output, TopicPartition
from streamguard.core.waiting import NEVER
from streamguard.logs.interface import Session
from streamguard.worker.assigned import AssignedJoin

_CHECK_S = 1.0


class IdleClock:
    """Looks once a second. Times in seconds of a clock that never goes back."""

    def __init__(self, idle_after_ms: int | None) -> None:
        self._idle_after_s = None if idle_after_ms is None else idle_after_ms / 1000
        self.reset()

    def reset(self) -> None:
        """Forget what was proven: the assignment changed."""
        self._checked_s = 0.0
        self._positions: dict[TopicPartition, int] = {}
        self._since_s: dict[TopicPartition, float] = {}
        self._anchors: dict[int, tuple[float, int]] = {}

    def advance(self, joins: Collection[AssignedJoin], session: Session, now_s: float) -> list[Output]:
        """Advance the idle inputs; returns what that lets through."""
        if self._idle_after_s is None or now_s - self._checked_s < _CHECK_S or not joins:
            return []
        self._checked_s = now_s
        # Records of a transaction that is still open are on their way.
        ends = session.high_watermarks([partition for join in joins for partition in join.partitions])
        outputs: list[Output] = []
        for join in joins:
            is_idle = [self._is_idle(join, side, ends, now_s, self._idle_after_s) for side in Input]
            outputs += self._advance(join, is_idle, now_s)
        return outputs

    def _is_idle(
        self, join: AssignedJoin, side: Input, ends: dict[TopicPartition, int], now_s: float, after_s: float
    ) -> bool:
        partition, position = join.partitions[side], join.positions[side]
        if position < ends[partition] or self._positions.get(partition) != position:
            self._positions[partition] = position
            self._since_s.pop(partition, None)
        if position >= ends[partition]:
            return now_s - self._since_s.setdefault(partition, now_s) >= after_s
        return False

    def _advance(self, join: AssignedJoin, is_idle: list[bool], now_s: float) -> list[Output]:
        task = join.task
        clocks = [task.clock_ms(side) for side in Input]
        if not all(is_idle):
            self._anchors.pop(task.number, None)
            if any(is_idle):
                side = Input(is_idle.index(True))
                return task.idle(side, clocks[1 - side])
            return []
        if max(clocks) == NEVER:
            return task.silent()
        since_s, clock_ms = self._anchors.setdefault(task.number, (now_s, max(clocks)))
        paced_ms = clock_ms + int((now_s - since_s) * 1000)
        return task.idle(Input.PREDICTIONS, paced_ms) + task.idle(Input.LABELS, paced_ms)
