"""The loop of the re-key stage: poll, step, commit, one transaction each time.

As a worker (`worker/worker.py`) it holds no truth of its own: after anything that casts doubt on a commit it drops its
session and its state, and begins again from what is committed.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from streamguard.config import Config
from streamguard.core.records import Batch, Output, TopicPartition
from streamguard.core.rekey import Rekey, Written
from streamguard.errors import FencedError, LogError, UnusableError
from streamguard.logs.interface import Committed, Log, Record, Session
from streamguard.rekeying.idle import Idleness, ended, following
from streamguard.rekeying.opening import opened
from streamguard.rekeying.sides import Side, group_of, prepare
from streamguard.worker.worker import Clock

_log = structlog.get_logger("streamguard.rekey")

_POLL_MS = 500
# A record's headers, at most; Kafka counts them with the value.
_HEADER_BYTES = 65_536
# So many more transactions before the next poll: a member that does not poll for minutes is put out of the group.
_STEPS_MAX = 50
# As workers do.
_OUTAGE_S = 300.0
_BACKOFF_MAX_S = 10.0
_FENCES_MAX = 3


@dataclass(slots=True)
class Progress:
    """What this process has done."""

    records: int = 0
    written: int = 0
    rejected: int = 0
    commits: int = 0


@dataclass(slots=True)
class _Task:
    """One side of which this process has all partitions."""

    side: Side
    stage: Rekey
    idleness: Idleness
    restoring: dict[TopicPartition, int] = field(default_factory=dict)
    """How far each partition must be read again before the stage goes on."""
    paused: set[TopicPartition] = field(default_factory=set)
    """Those that are held back."""


class Stage:
    """One member of the stage's group. `run` returns when `stop` was called, or at the end where that is asked for."""

    def __init__(self, config: Config, log: Log, name: str, clock: Clock) -> None:
        self._config = config
        self._log = log
        self._name = name
        self._clock = clock
        self._sides, self._rejected_bytes = prepare(config, log)
        self._tasks: dict[str, _Task] = {}
        self._committed: dict[TopicPartition, Committed] = {}
        self._is_stopping = False
        self._is_begun = False
        self._until: dict[TopicPartition, int] | None = None
        self._joined_s = 0.0
        self._patience_s = 2 * getattr(config.log, "session_timeout_ms", 0) / 1000
        self.progress = Progress()
        self.totals: dict[str, dict[str, int]] = {}
        """How raw records have ended, by raw topic that this process had to the end."""

    @property
    def sides(self) -> Sequence[Side]:
        """What is written anew."""
        return self._sides

    def stop(self) -> None:
        """End after the commit that is under way."""
        self._is_stopping = True

    def run(self, *, until_end: bool = False, on_progress: Callable[[Progress], None] | None = None) -> None:
        """Work until stopped. With `until_end`, until the raw topics were read to where they end now, and all has left.

        Raises `LogError` when the log stays out of reach for five minutes, and `UnusableError` at once.
        """
        failures, fences, worked_s = 0, 0, self._clock.now_s()
        while not self._is_stopping:
            commits = self.progress.commits
            try:
                self._serve(on_progress, until_end=until_end)
            except UnusableError:
                raise
            except LogError as error:
                if self.progress.commits > commits:
                    failures = fences = 0
                if failures == 0:
                    worked_s = self._clock.now_s()
                fences += isinstance(error, FencedError)
                if fences >= _FENCES_MAX:
                    raise UnusableError(
                        f"taken for replaced {fences} times: another process of the name {self._name!r} is running,"
                        f" give each its own log.worker ({error})"
                    ) from error
                if self._clock.now_s() - worked_s > _OUTAGE_S:
                    raise
                failures += 1
                _log.warning("session_lost", reason=str(error), failures=failures)
                self._clock.sleep_s(min(float(2 ** min(failures, 10)) / 2, _BACKOFF_MAX_S))
            else:
                return

    def _serve(self, on_progress: Callable[[Progress], None] | None, *, until_end: bool) -> None:
        """One session, from joining the group to leaving it."""
        self._tasks, self._committed, self._is_begun = {}, {}, False
        self._joined_s = self._clock.now_s()
        groups = [(side.raw,) for side in self._sides]
        session = self._log.session(group_of(self._config), groups, self._name, whole=True)
        try:
            if until_end and self._until is None:
                counts = self._log.topics([side.raw for side in self._sides])
                all_raw = [TopicPartition(name, number) for name in counts for number in range(counts[name].partitions)]
                self._until = session.ends(all_raw)
            while not self._is_stopping:
                self._turn(session)
                if on_progress is not None:
                    on_progress(self.progress)
                if self._until is not None and self._is_reached(session):
                    break
            self._settle(session)
            self.totals = {task.side.raw: task.stage.counts() for task in self._tasks.values() if not task.restoring}
        finally:
            with suppress(LogError):
                self._settle(session)
            session.close()

    def _turn(self, session: Session) -> None:
        """One poll and one commit."""
        poll = session.poll(_POLL_MS if self._until is None else _POLL_MS // 5)
        if poll.is_rebalancing or poll.assigned is not None:
            self._settle(session)
            self._tasks = {}
        if poll.assigned is not None:
            self._assign(session, poll.assigned)
        elif any(task.restoring for task in self._tasks.values()):
            self._restore(session, poll.batches)
        elif not poll.is_rebalancing:
            self._work(session, poll.batches)

    def _assign(self, session: Session, assigned: frozenset[TopicPartition]) -> None:
        self._committed = session.committed(assigned)
        starts = session.starts(assigned)
        for side in self._sides:
            mine = sorted(partition for partition in assigned if partition.topic == side.raw)
            if not mine:
                continue
            stage, again = opened(side, mine, self._committed, starts)
            restoring = {partition: end for partition, (_, end) in again.items()}
            self._tasks[side.raw] = _Task(side, stage, Idleness(self._config.join.idle_after_ms), restoring)
            for partition, (low, _) in again.items():
                session.seek(partition, low)
        if restored := {partition for task in self._tasks.values() for partition in task.restoring}:
            session.pause(assigned - restored)
        _log.info(
            "partitions_assigned",
            partitions=[f"{each.topic}-{each.partition}" for each in sorted(assigned)],
            restoring=sum(len(task.restoring) for task in self._tasks.values()),
        )

    def _restore(self, session: Session, batches: Sequence[Batch]) -> None:
        """Read again what was read before the commit, and write nothing."""
        for batch in batches:
            self._tasks[batch.source.topic].stage.replay(batch)
        for task in self._tasks.values():
            for partition, target in list(task.restoring.items()):
                # On the position, not on the last record: markers and compaction leave gaps at the end.
                if task.stage.reached(partition, session.position(partition)):
                    session.seek(partition, target)
                    session.pause([partition])
                    del task.restoring[partition]
        if not any(task.restoring for task in self._tasks.values()):
            session.resume([each for task in self._tasks.values() for each in task.stage.bounds_ms()])
            _log.info("state_restored", held=sum(task.stage.held_count for task in self._tasks.values()))

    def _work(self, session: Session, batches: Sequence[Batch]) -> None:
        records: list[Record] = []
        for task in self._tasks.values():
            mine = [batch for batch in batches if batch.source.topic == task.side.raw]
            self.progress.records += sum(map(len, mine))
            records += self._records(task, task.stage.step(mine))
            if not mine:
                for partition in task.stage.bounds_ms().keys() - task.paused:
                    task.stage.pass_gap(partition, session.position(partition))
            if self._until is None:
                floors_ms = task.idleness.floors_ms(task.stage, session, self._clock.now_s())
                records += self._records(task, task.stage.advance(floors_ms))
            else:
                records += self._approach_end(task)
            self._hold_back(session, task)
        self._commit(session, records)
        for _ in range(_STEPS_MAX):
            more = [task for task in self._tasks.values() if task.stage.has_more]
            if not more or self._is_stopping:
                return
            self._commit(session, [each for task in more for each in self._records(task, task.stage.step([]))])

    def _approach_end(self, task: _Task) -> list[Record]:
        """Wait for no partition that is read to its end, and for nothing once all are."""
        at_end = ended(task.stage, self._until or {})
        if len(at_end) == len(task.stage.bounds_ms()):
            return self._records(task, task.stage.finish())
        return self._records(task, task.stage.advance(following(task.stage, at_end)))

    def _hold_back(self, session: Session, task: _Task) -> None:
        """Pause the partitions that run ahead while more waits than may."""
        stage, join = task.stage, self._config.join
        limits = (join.max_waiting, join.max_waiting_bytes)
        held = (stage.held_count, stage.held_bytes)
        if any(each > 2 * limit for each, limit in zip(held, limits, strict=True)):
            raise UnusableError(
                f"{stage.held_count} records of {task.side.raw!r}, {stage.held_bytes} bytes, wait for their order or"
                " their partner, more than twice join.max_waiting or join.max_waiting_bytes: raise these, or shorten"
                f" join.disorder or {task.side.name}.format.pair_within; or a partition stands still, and"
                " join.idle_after is null or long"
            )
        ahead: set[TopicPartition] = set()
        # Where it has begun, until half as much waits: not on and off with every poll.
        if any((1 + bool(task.paused)) * each > limit for each, limit in zip(held, limits, strict=True)):
            bounds_ms = stage.bounds_ms()
            behind_ms = min(bounds_ms.values())
            ahead = {source for source, bound_ms in bounds_ms.items() if bound_ms > behind_ms}
        session.pause(ahead - task.paused)
        session.resume(task.paused - ahead)
        task.paused = ahead

    def _records(self, task: _Task, found: tuple[list[Written], list[Output]]) -> list[Record]:
        written, refused = found
        self.progress.written += len(written)
        self.progress.rejected += len(refused)
        topic = task.side.written
        kept = [Record(topic, each.key, each.value, None, each.headers, each.timestamp_ms) for each in written]
        return kept + [self._refused(output) for output in refused]

    def _refused(self, output: Output) -> Record:
        value, headers = output.value, output.headers
        limit = self._rejected_bytes
        if limit is not None and len(value or b"") > limit - _HEADER_BYTES:
            # One record must not stop the group for good. Its headers say where the whole value is.
            headers = (*headers, ("streamguard.value.bytes", str(len(value or b"")).encode()))
            value = None
        return Record(self._config.rejected_topic, output.key, value, None, headers)

    def _commit(self, session: Session, records: Sequence[Record]) -> None:
        """Begin to commit everything of this turn: what is written, and where each partition of a side stands."""
        self._settle(session)
        offsets: dict[TopicPartition, Committed] = {}
        for task in self._tasks.values():
            mine = {
                source: Committed(position, note.encode()) for source, (position, note) in task.stage.offsets().items()
            }
            # All of a side together: each partition's note tells of the order of them all.
            if any(self._committed.get(source) != each for source, each in mine.items()):
                offsets |= mine
        if not records and not offsets:
            return
        session.begin(records, offsets)
        self._is_begun = True
        self._committed |= offsets

    def _settle(self, session: Session) -> None:
        """Wait for the commit under way, which went on while the next records were fetched."""
        if self._is_begun:
            self._is_begun = False
            session.settle()
            self.progress.commits += 1

    def _is_reached(self, session: Session) -> bool:
        """Whether the group, not this process alone, has come to where the raw topics ended."""
        if any(task.restoring or task.stage.held_count for task in self._tasks.values()):
            return False
        until = self._until or {}
        if any(len(ended(task.stage, until)) < len(task.stage.bounds_ms()) for task in self._tasks.values()):
            return False
        self._settle(session)
        if len(self._tasks) < len(self._sides) and self._clock.now_s() - self._joined_s < self._patience_s:
            # One that has died holds its part, and what waits there, until the group gives it up.
            return False
        found = session.committed(list(until))
        return all(end == 0 or (each in found and found[each].offset >= end) for each, end in until.items())
