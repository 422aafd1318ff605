"""One handler: a consumer group of its own on the alerts topic, and threads that deliver.

Theory of operation. The loop polls, gives alerts to threads, takes back what they have come to, and commits how far
all is settled, together with dead letters and what handlers publish, in one transaction. Threads only deliver. After
any doubt about a commit the session is dropped, and the handler goes on from what is committed.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import structlog

from streamguard.config import Config
from streamguard.config.delivering import HandlerBase
from streamguard.core.alerts import Alert as Told
from streamguard.core.records import Batch, TopicPartition
from streamguard.core.rejected import explained
from streamguard.errors import LogError, UnusableError
from streamguard.handlers.alert import Alert, read_alert
from streamguard.handlers.delivery import Deliveries
from streamguard.handlers.filters import matches, silence_of
from streamguard.handlers.journal import Journal
from streamguard.handlers.sink import Sink
from streamguard.handlers.trying import Gate, StoppedError, Tried, deliver
from streamguard.logs.interface import Committed, Log, Record, Session

_log = structlog.get_logger("streamguard.handlers")

_POLL_MS = 100
_BACKOFF_MAX_S = 10.0
_DONE_MAX = 1000


@dataclass(frozen=True, slots=True)
class _Key:
    partition: TopicPartition
    offset: int


@dataclass(slots=True)
class _Held:
    """An alert that is not settled, as it came."""

    alert: Alert
    record: Record
    since_s: float


@dataclass(frozen=True, slots=True)
class _Ended:
    """What a thread says."""

    keys: Sequence[_Key]
    alerts: Sequence[Alert]
    tried: Tried | None
    """None: it was told to leave it."""


class Subscription:
    """Delivers the alerts that a handler wants. `run` returns when `stopping` is set, and all threads have ended."""

    def __init__(
        self,
        config: Config,
        handler: HandlerBase,
        sink: Sink,
        log: Log,
        worker: str,
        stopping: threading.Event,
        journal: Journal | None = None,
    ) -> None:
        self._config = config
        self._handler = handler
        self._sink = sink
        self._log = log
        self._worker = worker
        self._stopping = stopping
        self._journal = journal
        self._gate = Gate(handler.rate)
        self._leaving = threading.Event()
        """Set: threads are to leave what they have not delivered."""
        self._ended: queue.SimpleQueue[_Ended] = queue.SimpleQueue()
        self._partitions: dict[TopicPartition, Deliveries] = {}
        self._paused: set[TopicPartition] = set()
        self._held: dict[_Key, _Held] = {}
        self._under_way = 0
        self._committed: dict[TopicPartition, Committed] = {}
        self._dead: list[Record] = []
        self._noted: list[Told] = []
        """What the journal has to say of alerts that start nothing."""
        self._done: deque[_Key] = deque(maxlen=_DONE_MAX)
        """Delivered by this process, whatever became of the commit."""

    @property
    def group(self) -> str:
        """The consumer group's name."""
        return f"{self._config.log.group}-handler-{self._handler.name}"

    def run(self) -> None:
        """Deliver until told to stop; raises `UnusableError` for what cannot be mended by trying."""
        failures = 0
        with ThreadPoolExecutor(self._handler.concurrency, thread_name_prefix=self._handler.name) as threads:
            while not self._stopping.is_set():
                try:
                    self._serve(threads)
                except UnusableError:
                    self._stopping.set()
                    raise
                except LogError as error:
                    failures += 1
                    _log.warning("session_lost", handler=self._handler.name, reason=str(error), failures=failures)
                    self._stopping.wait(min(float(2 ** min(failures, 10)) / 2, _BACKOFF_MAX_S))
                else:
                    failures = 0
                finally:
                    self._cancel()
        self._sink.close()

    def _serve(self, threads: ThreadPoolExecutor) -> None:
        """One session, from joining the group to leaving it."""
        session = self._log.session(self.group, ((self._config.alerts.topic,),), self._worker)
        try:
            while not self._stopping.is_set():
                self._turn(session, threads)
            self._cancel()
            self._leave()
            self._commit(session)
        finally:
            self._leave()
            session.close()

    def _turn(self, session: Session, threads: ThreadPoolExecutor) -> None:
        poll = session.poll(_POLL_MS if self._ended.empty() else 0)
        if poll.is_rebalancing:
            return
        if poll.assigned is not None:
            self._assign(session, poll.assigned)
            return
        for batch in poll.batches:
            self._take(session, batch)
        self._take_back(block=False)
        self._dispatch(session, threads)
        self._hold_back(session)
        self._commit(session)

    def _assign(self, session: Session, assigned: frozenset[TopicPartition]) -> None:
        """Begin where the group is; a handler that has never run begins as it is told to."""
        self._leave()
        self._partitions.clear()
        self._paused.clear()
        self._held.clear()
        self._dead.clear()
        self._noted.clear()
        if self._journal is not None:
            self._journal.restore(self._log, session, self._stopping)
        self._committed = dict(session.committed(assigned))
        fresh = assigned - self._committed.keys()
        ends = session.ends(fresh) if fresh and self._handler.start == "latest" else session.starts(fresh)
        for partition in sorted(assigned):
            found = self._committed.get(partition)
            try:
                restored = (
                    Deliveries(ends[partition]) if found is None else Deliveries.restored(found.offset, found.metadata)
                )
            except (ValueError, KeyError, TypeError) as error:
                raise UnusableError(
                    f"group {self.group!r}, {partition.topic}-{partition.partition}: what is committed is not of a"
                    f" handler ({error}): give the handler another name"
                ) from None
            self._partitions[partition] = restored
            session.seek(partition, restored.position)
        _log.info("partitions_assigned", handler=self._handler.name, partitions=len(assigned))

    def _leave(self) -> None:
        """Let every try under way come to its end, and begin no other: what was delivered then is known.

        A run that a journal knows of goes on for as long as it takes, unless the handler is to stop.
        """
        if self._journal is not None and not self._stopping.is_set():
            return
        self._leaving.set()
        while self._under_way:
            self._take_back(block=True)
        self._leaving.clear()

    def _cancel(self) -> None:
        if self._journal is not None and self._stopping.is_set():
            self._journal.cancel()

    def _take(self, session: Session, batch: Batch) -> None:
        deliveries = self._partitions[batch.source]
        for index, value in enumerate(batch.values):
            if deliveries.is_full:
                # What is left of the batch is read again once there is room.
                self._paused.add(batch.source)
                session.seek(batch.source, deliveries.position)
                return
            offset = int(batch.offsets[index])
            try:
                alert = read_alert(value)
            except ValueError as reason:
                _log.warning("not_an_alert", handler=self._handler.name, offset=offset, reason=str(reason))
                deliveries.skip(offset + 1)
                continue
            record = Record(batch.source.topic, batch.keys[index], value, headers=batch.headers[index])
            key = _Key(batch.source, offset)
            is_wanted = key not in self._done and self._wants(alert)
            if deliveries.add(offset, alert.episode, alert.id, is_wanted=is_wanted):
                self._held[key] = _Held(alert, record, time.monotonic())
        deliveries.skip(batch.next_offset)

    def _wants(self, alert: Alert) -> bool:
        if not matches(self._handler.match, alert) or (self._journal is not None and not self._journal.wants(alert)):
            return False
        silence = silence_of(self._config.silences, alert)
        if silence is None:
            return True
        _log.info("alert_silenced", handler=self._handler.name, alert=alert.id, reason=silence.reason)
        return False

    # To the threads, and back.

    def _dispatch(self, session: Session, threads: ThreadPoolExecutor) -> None:
        group = self._handler.group
        room = (1 if group is not None else self._handler.concurrency) - self._under_way
        for partition, deliveries in self._partitions.items():
            if room <= 0:
                return
            if group is not None:
                offsets = deliveries.waiting[: group.most]
                due = bool(offsets) and (
                    len(offsets) >= group.most
                    or time.monotonic() - self._held[_Key(partition, offsets[0])].since_s >= group.wait_ms / 1000
                )
                parts = [offsets] if due else []
            else:
                parts = [[offset] for offset in deliveries.ready(room)]
            for part in parts:
                room -= 1
                for offset in part:
                    deliveries.begin(offset)
                keys = [_Key(partition, offset) for offset in part]
                if self._journal is None or self._may_begin(session, self._journal, keys[0]):
                    self._start(threads, keys)

    def _may_begin(self, session: Session, journal: Journal, key: _Key) -> bool:
        """Whether a run may begin, of which the topic knows then; one that may not is settled."""
        alert = self._held[key].alert
        told, may_begin = journal.begin(alert)
        self._log_runs(told)
        if not may_begin:
            self._noted += told
            del self._held[key]
            self._partitions[key.partition].settle(key.offset)
        elif told:
            # With the offset as it is: only so is it certain that the group still counts on this session.
            session.commit(journal.records(told), {key.partition: self._here(key.partition)})
            journal.written(told)
        if may_begin:
            journal.under_way(alert)
        return may_begin

    def _log_runs(self, told: Sequence[Told]) -> None:
        for each in told:
            _log.info("retraining", handler=self._handler.name, episode=each.episode, told=each.look_first[0])

    def _start(self, threads: ThreadPoolExecutor, keys: Sequence[_Key]) -> None:
        alerts = [self._held[key].alert for key in keys]
        self._under_way += 1

        def work() -> None:
            tried: Tried | None = None
            try:
                tried = deliver(self._handler.name, self._sink, alerts, self._handler.retry, self._gate, self._leaving)
            except StoppedError:
                pass
            finally:
                self._ended.put(_Ended(keys, alerts, tried))

        threads.submit(work)

    def _take_back(self, *, block: bool) -> None:
        with suppress(queue.Empty):
            while True:
                ended = self._ended.get(block=block)
                self._under_way -= 1
                block = False
                if self._journal is not None:
                    self._journal.end(ended.alerts[0], ended.tried)
                # Of a run that goes on while partitions are given away and come back, the alert may be another's now.
                keys = [key for key in ended.keys if key in self._held]
                if ended.tried is not None:
                    self._settle(keys, ended.tried)
                elif keys:
                    self._partitions[keys[0].partition].leave([key.offset for key in keys])

    def _settle(self, keys: Sequence[_Key], tried: Tried) -> None:
        for key in keys:
            held = self._held.pop(key)
            self._partitions[key.partition].settle(key.offset)
            name, alert_id = self._handler.name, held.alert.id
            if self._journal is not None:
                # What came of it is told with its commit.
                self._done.append(key)
            elif tried.failure is None:
                self._done.append(key)
                _log.info("alert_delivered", handler=name, alert=alert_id, attempts=tried.attempts)
            else:
                self._dead.append(self._dead_letter(key, held.record, tried))
                _log.error("alert_dead", handler=name, alert=alert_id, attempts=tried.attempts, reason=tried.failure)

    def _dead_letter(self, key: _Key, record: Record, tried: Tried) -> Record:
        about = {
            "topic": key.partition.topic,
            "partition": str(key.partition.partition),
            "offset": str(key.offset),
            "connector.name": f"streamguard handler {self._handler.name}",
            "stage": "TASK_PUT",
            "exception.message": f"after {tried.attempts} tries: {tried.failure}",
        }
        headers = explained(record.headers, about)
        return Record(self._config.dead_letters_topic, record.key, record.value, headers=headers)

    # How far it is.

    def _hold_back(self, session: Session) -> None:
        self._paused = {
            partition
            for partition, each in self._partitions.items()
            # Whole batches are read, so a few places more are not worth it.
            if each.is_full or (partition in self._paused and not each.is_half_empty)
        }
        session.pause(self._paused)
        session.resume(self._partitions.keys() - self._paused)

    def _commit(self, session: Session) -> None:
        offsets = {partition: self._here(partition) for partition in self._partitions}
        moved = {partition: each for partition, each in offsets.items() if self._committed.get(partition) != each}
        told = [*(self._journal.unwritten() if self._journal is not None else []), *self._noted]
        if not moved and not told:
            return
        records, self._dead = self._dead, []
        if self._journal is not None:
            records += self._journal.records(told)
        session.commit(records, moved or offsets)
        self._committed |= moved
        if self._journal is not None:
            self._journal.written(told)
            self._log_runs([each for each in told if each not in self._noted])
        self._noted.clear()

    def _here(self, partition: TopicPartition) -> Committed:
        deliveries = self._partitions[partition]
        return Committed(deliveries.committed, deliveries.note())
