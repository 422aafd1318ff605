"""streamguard, deliberately broken: each variant must be caught, or the simulation proves nothing."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from streamguard.core.intake import Intake
from streamguard.core.join import Input, JoinTask
from streamguard.core.merge import Merge
from streamguard.core.note import Note
from streamguard.core.outcomes import read_outcomes
from streamguard.core.records import Batch, Output
from streamguard.core.waiting import Side
from streamguard.errors import CommitLostError
from streamguard.logs.interface import Poll
from streamguard.logs.kafka import session as session_module
from streamguard.logs.kafka.session import KafkaSession
from streamguard.worker.assigned import AssignedJoin, AssignedWatcher
from streamguard.worker.idle import IdleClock
from streamguard.worker.worker import Worker
from tests.simulation.clients import Consumer, Producer
from tests.simulation.log import Clients

Break = Callable[[pytest.MonkeyPatch], None]


def reads_uncommitted(patch: pytest.MonkeyPatch) -> None:
    """Records of open and of aborted transactions are read (no `read_committed`)."""
    patch.setattr(Consumer, "reads_committed", False)


def offsets_unstable(patch: pytest.MonkeyPatch) -> None:
    """A restart does not wait for the commit that is still being written out (no `require_stable`)."""
    patch.setattr(Consumer, "waits_for_commits", False)


def futures_unchecked(patch: pytest.MonkeyPatch) -> None:
    """What became of the records is not looked at (T1, T2)."""
    patch.setattr(session_module, "_check", lambda _: None)


def generation_unchecked(patch: pytest.MonkeyPatch) -> None:
    """The commit names whoever the consumer is by then; put out of the group, that is nobody, and passes (T4)."""
    patch.setattr(KafkaSession, "_member", lambda self: self._consumer.group_metadata())


def producer_kept(patch: pytest.MonkeyPatch) -> None:
    """After a failed commit the same producer goes on (T3)."""
    open_producer = Clients.producer

    def kept(self: Clients) -> Producer:
        known: dict[str, Producer] = self.network.__dict__.setdefault("producers", {})
        if self.worker not in known:
            known[self.worker] = open_producer(self)
            return known[self.worker]
        known[self.worker].init_transactions = lambda: None  # type: ignore[method-assign]
        return known[self.worker]

    patch.setattr(Clients, "producer", kept)


def copies_not_outrun(patch: pytest.MonkeyPatch) -> None:
    """A producer goes on although a copy of one of its requests may be on its way."""
    patch.setattr(KafkaSession, "_outrun_copies", lambda _: None)


_COMMIT = KafkaSession._commit


def records_first(patch: pytest.MonkeyPatch) -> None:
    """Records are committed before the offsets, in a transaction of their own."""

    def apart(self: KafkaSession, records: Any, offsets: Any, member: Any) -> None:
        _COMMIT(self, records, {}, member)
        _COMMIT(self, [], offsets, member)

    patch.setattr(KafkaSession, "_commit", apart)


def offsets_first(patch: pytest.MonkeyPatch) -> None:
    """Offsets are committed before the records are written."""

    def apart(self: KafkaSession, records: Any, offsets: Any, member: Any) -> None:
        _COMMIT(self, [], offsets, member)
        _COMMIT(self, records, {}, member)

    patch.setattr(KafkaSession, "_commit", apart)


def alerts_at_once(patch: pytest.MonkeyPatch) -> None:
    """Alerts do not wait for the commit."""

    def hasty(self: KafkaSession, records: Any, offsets: Any, member: Any) -> None:
        self._clients.cluster.append([each for each in records if each.topic == "alerts"])  # type: ignore[attr-defined]
        _COMMIT(self, [each for each in records if each.topic != "alerts"], offsets, member)

    patch.setattr(KafkaSession, "_commit", hasty)


def failure_unheeded(patch: pytest.MonkeyPatch) -> None:
    """What was stepped while a commit went on is committed though that has failed."""
    settle = KafkaSession.settle

    def unheeding(self: KafkaSession) -> float:
        with suppress(CommitLostError):
            return settle(self)
        return 0.0

    patch.setattr(KafkaSession, "settle", unheeding)


def low_too_high(patch: pytest.MonkeyPatch) -> None:
    """A restart reads back one record less than is needed."""
    low = Side.low

    def higher(self: Side) -> tuple[int, int] | None:
        found = low(self)
        return None if found is None else (found[0] + 1, found[1])

    patch.setattr(Side, "low", higher)


def watermark_too_early(patch: pytest.MonkeyPatch) -> None:
    """The watermark follows the input that is ahead."""
    patch.setattr(JoinTask, "watermark_ms", property(lambda self: max(side.bound_ms for side in self._sides)))


def expired_after_announced(patch: pytest.MonkeyPatch) -> None:
    """The watermark is announced before what expired below it is written."""
    expire, announce = JoinTask._expire, JoinTask._announce
    patch.setattr(JoinTask, "_expire", lambda _: None)

    def early(self: JoinTask) -> list[Output]:
        outputs = announce(self)
        expire(self)
        return outputs

    patch.setattr(JoinTask, "_announce", early)


def late_by_the_other_input(patch: pytest.MonkeyPatch) -> None:
    """Lateness is judged by both inputs: what matches then depends on how they interleave."""
    join = JoinTask._join

    def judged(self: JoinTask, side: Input, columns: Any) -> None:
        mine = self._sides[side]
        mine.clock_ms = max(mine.clock_ms, self._sides[1 - side].clock_ms)
        join(self, side, columns)

    patch.setattr(JoinTask, "_join", judged)


def idleness_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Idle advances are not noted beside the offsets."""
    encode = Note.encode
    patch.setattr(Note, "encode", lambda self: encode(replace(self, floors=())))


def clock_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A restart does not know how far event time had come where it begins to read."""
    rewind = JoinTask.rewind

    def reset(self: JoinTask, side: Input, note: Note | None, start: int) -> None:
        rewind(self, side, None if note is None else replace(note, clock_ms=-(1 << 62)), start)

    patch.setattr(JoinTask, "rewind", reset)


def sequence_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A restarted join numbers its records from the beginning."""
    restored = JoinTask.restored

    def reset(self: JoinTask, notes: Sequence[Note | None]) -> None:
        restored(self, [None if note is None else replace(note, sequence=0) for note in notes])

    patch.setattr(JoinTask, "restored", reset)


def task_kept_regardless(patch: pytest.MonkeyPatch) -> None:
    """A task stays through a rebalance although another worker has worked on its partitions."""
    patch.setattr(AssignedJoin, "is_at", lambda _self, _committed: True)
    patch.setattr(AssignedWatcher, "is_at", lambda _self, _committed: True)


def snapshot_ahead(patch: pytest.MonkeyPatch) -> None:
    """A monitor's snapshot claims one record more than is in it."""
    patch.setattr(AssignedWatcher, "snapshot", lambda self: self.task.snapshot(self.position + 1))


def restored_by_last_record(patch: pytest.MonkeyPatch) -> None:
    """A restore ends on the last record it saw, where markers and compaction leave gaps."""
    poll = KafkaSession.poll

    def tracked(self: KafkaSession, timeout_ms: int) -> Poll:
        found = poll(self, timeout_ms)
        if found.assigned is not None:
            self.__dict__["seen"] = {}
        for batch in found.batches:
            self.__dict__["seen"][batch.source] = batch.offsets[-1] + 1
        return found

    patch.setattr(KafkaSession, "poll", tracked)
    patch.setattr(KafkaSession, "position", lambda self, partition: self.__dict__["seen"].get(partition, 0))


def cap_unchecked(patch: pytest.MonkeyPatch) -> None:
    """A join task takes whatever comes."""
    step = JoinTask.step

    def boundless(self: JoinTask, *batches: Batch | None) -> list[Output]:
        self._settings = replace(self._settings, held_max=1 << 30)
        return step(self, *batches)

    patch.setattr(JoinTask, "ahead", lambda _self, _room: None)
    patch.setattr(JoinTask, "step", boundless)


def idle_unproven(patch: pytest.MonkeyPatch) -> None:
    """An input is idle although there are records to be read."""
    patch.setattr(IdleClock, "_is_idle", lambda *_: True)


def idle_while_open(patch: pytest.MonkeyPatch) -> None:
    """Only what is stable counts as the end: an open transaction is idleness, or comes after the last outcome."""
    patch.setattr(KafkaSession, "high_watermarks", KafkaSession.ends)


def held_outcomes_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A snapshot does not say that outcomes before it are still held."""
    patch.setattr(Merge, "low", lambda _self, position: position)


def late_counted_twice(patch: pytest.MonkeyPatch) -> None:
    """A restart counts again what was late before its snapshot."""
    patch.setattr(Intake, "refill", _refill)


def _refill(self: Intake, batch: Batch) -> None:
    for index, value in enumerate(batch.values):
        record = read_outcomes(value)
        self.merge.refill(self._rows(record), batch.offsets[index])


def put_out_is_damage(patch: pytest.MonkeyPatch) -> None:
    """One who was put out of the group takes what it no longer understands for damage, and ends for good."""
    patch.setattr(Worker, "_turn_or_leave", Worker._turn)


VARIANTS: dict[str, Break] = {
    each.__name__: each
    for each in (
        reads_uncommitted,
        offsets_unstable,
        futures_unchecked,
        generation_unchecked,
        producer_kept,
        copies_not_outrun,
        records_first,
        offsets_first,
        alerts_at_once,
        failure_unheeded,
        low_too_high,
        watermark_too_early,
        expired_after_announced,
        late_by_the_other_input,
        idleness_forgotten,
        clock_forgotten,
        sequence_forgotten,
        task_kept_regardless,
        snapshot_ahead,
        restored_by_last_record,
        cap_unchecked,
        idle_unproven,
        idle_while_open,
        held_outcomes_forgotten,
        late_counted_twice,
        put_out_is_damage,
    )
}
