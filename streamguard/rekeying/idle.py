"""Which raw partitions are not waited for: those that are proven to be at their end.

As in the join (`worker/idle.py`): a partition whose position has been at its end for `idle_after` follows the others;
where all are idle, time runs at the clock's pace.
"""

from collections.abc import Mapping

from streamguard.core.records import TopicPartition
from streamguard.core.rekey import Rekey
from streamguard.core.waiting import NEVER
from streamguard.logs.interface import Session

_CHECK_S = 1.0


class Idleness:
    """Looks once a second. Times in seconds of a clock that never goes back."""

    def __init__(self, idle_after_ms: int | None) -> None:
        self._idle_after_s = None if idle_after_ms is None else idle_after_ms / 1000
        self.reset()

    def reset(self) -> None:
        """Forget what was proven: the assignment changed."""
        self._checked_s = 0.0
        self._positions: dict[TopicPartition, int] = {}
        self._since_s: dict[TopicPartition, float] = {}
        self._anchor: tuple[float, int] | None = None

    def floors_ms(self, stage: Rekey, session: Session, now_s: float) -> dict[TopicPartition, int]:
        """How far each idle partition is to be advanced."""
        if self._idle_after_s is None or now_s - self._checked_s < _CHECK_S:
            return {}
        self._checked_s = now_s
        positions = {source: position for source, (position, _) in stage.offsets().items()}
        ends = session.high_watermarks(list(positions))
        for source, position in positions.items():
            if position < ends[source] or self._positions.get(source) != position:
                self._positions[source] = position
                self._since_s.pop(source, None)
            if position >= ends[source]:
                self._since_s.setdefault(source, now_s)
        idle = {source for source, since_s in self._since_s.items() if now_s - since_s >= self._idle_after_s}
        if len(idle) < len(positions):
            self._anchor = None
            return following(stage, idle)
        if not stage.held_count:
            return {}
        since_s, reached_ms = self._anchor = self._anchor or (now_s, stage.reached_ms)
        return dict.fromkeys(idle, reached_ms + int((now_s - since_s) * 1000))


def following(stage: Rekey, idle: set[TopicPartition]) -> dict[TopicPartition, int]:
    """Idle partitions, advanced to where the others are; empty where there are no others, or one had no record yet."""
    others = [bound_ms for source, bound_ms in stage.bounds_ms().items() if source not in idle]
    if not others or min(others) == NEVER:
        return {}
    return dict.fromkeys(idle, min(others))


def ended(stage: Rekey, until: Mapping[TopicPartition, int]) -> set[TopicPartition]:
    """Partitions that are read to where they ended when a bounded run began."""
    return {source for source, (position, _) in stage.offsets().items() if position >= until.get(source, 0)}
