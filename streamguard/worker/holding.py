"""Back-pressure: what a join task may hold, and which input is paused when that nears."""

from collections.abc import Callable, Collection

import structlog

from streamguard.config import Join
from streamguard.core.join import HeldFullError, Input
from streamguard.core.records import Batch, Output, TopicPartition
from streamguard.errors import UnusableError
from streamguard.logs.interface import Session
from streamguard.worker.assigned import AssignedJoin

_log = structlog.get_logger("streamguard.worker")

# The records taken at once from one partition; also the least that must fit under a task's cap.
_STEP_RECORDS = 20_000
_STALL_S = 5.0
# Two inputs that are both held back in turns still fill the memory, if the window holds more than fits.
_BYTES_OVER = 2


class Holding:
    """Steps join tasks within their caps."""

    def __init__(self, settings: Join, now_s: Callable[[], float]) -> None:
        self._settings = settings
        self._now_s = now_s
        self._room = max(1, min(_STEP_RECORDS, settings.max_waiting // 4))
        self._since_s = 0.0
        self.partitions: set[TopicPartition] = set()
        """Those that are paused."""

    def clear(self) -> None:
        """Nothing is paused: the assignment changed."""
        self.partitions.clear()

    def step(self, session: Session, join: AssignedJoin, batches: list[Batch]) -> list[Output]:
        """Step as much as fits under the task's caps, and hold the input back that runs ahead."""
        room = self._room
        try:
            if join.task.ahead(3 * room) is None and all(len(batch) <= room for batch in batches):
                outputs = join.step(batches)
            else:
                outputs = self._step_slowly(session, join, batches)
        except HeldFullError:
            raise self._too_full(join) from None
        if join.task.held_bytes > _BYTES_OVER * self._settings.max_waiting_bytes:
            raise self._too_large(join)
        self._hold_back(session, join)
        return outputs

    def refuse_to_stall(self, session: Session, joins: Collection[AssignedJoin], *, is_bounded: bool) -> None:
        """Stop where an input is held back for one that is at its end: no record of either would come again.

        Where the run has no end, the idle input's time may advance first, and make room.
        """
        if not self.partitions:
            return
        idle_after_ms = self._settings.idle_after_ms
        for join in joins:
            sides = [side for side in Input if join.partitions[side] in self.partitions]
            for side in sides:
                other = join.partitions[1 - side]
                is_at_end = join.positions[1 - side] >= session.high_watermarks([other])[other]
                is_over = is_bounded or (
                    idle_after_ms is not None and self._now_s() - self._since_s > 2 * idle_after_ms / 1000 + _STALL_S
                )
                if is_at_end and is_over:
                    raise self._too_full(join)

    def _step_slowly(self, session: Session, join: AssignedJoin, batches: list[Batch]) -> list[Output]:
        outputs: list[Output] = []
        room = self._room
        rest = {batch.source: batch for batch in batches}
        while rest:
            ahead = join.task.ahead(room)
            stopped = None if ahead is None else join.partitions[ahead]
            source = next((each for each in rest if each != stopped), None)
            if source is None:
                break
            batch = rest.pop(source)
            # The one that is behind makes room by coming after, and needs some for that: the other leaves it.
            spare = self._settings.max_waiting - join.task.held_count
            furthest = join.task.ahead(self._settings.max_waiting + 1)
            if furthest is not None and source == join.partitions[furthest]:
                spare -= room
            size = max(1, min(room, spare))
            if len(batch) > size:
                rest[source] = batch.part(size, len(batch))
                batch = batch.part(0, size)
            outputs += join.step([batch])
        for source, batch in rest.items():
            # Not taken: it is fetched again when there is room.
            session.seek(source, int(batch.offsets[0]))
        return outputs

    def _hold_back(self, session: Session, join: AssignedJoin) -> None:
        ahead = join.task.ahead(self._room)
        for side, partition in enumerate(join.partitions):
            if side == ahead and partition not in self.partitions:
                session.pause([partition])
                self.partitions.add(partition)
                self._since_s = self._now_s()
                _log.info("input_held_back", partition=f"{partition.topic}-{partition.partition}")
            elif side != ahead and partition in self.partitions:
                session.resume([partition])
                self.partitions.discard(partition)

    def _too_large(self, join: AssignedJoin) -> UnusableError:
        limit = self._settings.max_waiting_bytes
        return UnusableError(
            f"join task {join.task.number} holds {join.task.held_bytes} bytes, more than twice join.max_waiting_bytes,"
            f" {limit}: raise that, shorten join.after, or set join.store.directory"
        )

    def _too_full(self, join: AssignedJoin) -> UnusableError:
        limit = self._settings.max_waiting
        return UnusableError(
            f"join task {join.task.number} holds {join.task.held_count} records, join.max_waiting is {limit},"
            " and the join window holds more than that: raise join.max_waiting, or shorten join.after"
        )
