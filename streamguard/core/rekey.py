"""The re-key stage: records of all partitions of a raw topic in; predictions or labels in event-time order out.

Theory of operation. Each raw partition has a bound: its largest event time so far less the disorder, or what it was
advanced to when it was proven idle. A record stands in the order at its event time, or at its partition's bound where
that is later: so a late one is not held against the other partitions, and its place depends on its own partition alone.
Once all bounds have passed a place, all that stands before it is known, and leaves in the order (place, side, raw
partition, offset, row): as much at once as a transaction may hold, and the rest with the next step. What leaves is so
a function of the raw log and of the recorded advances, however polls cut it.
Halves of predictions are paired in that order (`core/pairing.py`); a prediction stands where its response does, and
leaves once no response before it waits for its request.

The raw topic is the changelog. Beside each committed offset stands a note (`core/note.py`): from which offset on the
partition is to be read again, and its bound there. What is then taken again is not written again.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from streamguard.core.fields import Unreadable
from streamguard.core.note import Note
from streamguard.core.pairing import REACH, Kept, Pairing
from streamguard.core.payloads.adapter import Adapter, Half, Paired, Raw, Row, Side
from streamguard.core.records import Batch, Headers, Output, TopicPartition
from streamguard.core.rejected import rejected
from streamguard.core.waiting import NEVER

SOURCE = "streamguard.source"
"""Header of what is written: the raw record that it came of."""
_ENTRY_BYTES = 400
# So many records share the knowledge of where they begin: a restart reads as many too many at most.
_MARK_RECORDS = 256
# A note takes 4 kB. Advances of one partition at so many offsets, all of them still needed, do not happen.
_FLOORS_MAX = 60


@dataclass(frozen=True, slots=True)
class Settings:
    """What the stage needs to know of one side."""

    adapter: Adapter
    disorder_ms: int
    max_ahead_ms: int

    @property
    def pair_within_ms(self) -> int:
        """0 where records hold whole predictions."""
        return self.adapter.pair_within_ms if isinstance(self.adapter, Paired) else 0

    @property
    def rules(self) -> tuple[int, ...]:
        """What a restart must find unchanged."""
        return self.disorder_ms, self.pair_within_ms


@dataclass(frozen=True, slots=True)
class Written:
    """A record of the internal topic."""

    key: bytes
    value: bytes
    timestamp_ms: int
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class _Record:
    """A raw record that waits, as a batch of its own: it must not keep all that was fetched with it."""

    batch: Batch

    @property
    def partition(self) -> int:
        return self.batch.source.partition

    @property
    def offset(self) -> int:
        return int(self.batch.offsets[0])

    @property
    def size(self) -> int:
        return _ENTRY_BYTES + len(self.batch.values[0] or b"")


def _alone(batch: Batch, index: int, value: bytes | None) -> _Record:
    offset, timestamp = int(batch.offsets[index]), int(batch.timestamps[index])
    key, headers = batch.keys[index], tuple(batch.headers[index])
    return _Record(Batch(batch.source, (offset,), (timestamp,), (key,), (value,), (headers,), offset + 1))


@dataclass(slots=True)
class _Mark:
    """Where some records begin, and how far they reach in the order."""

    offset: int
    bound_ms: int
    reached_ms: int = NEVER
    count: int = 0


@dataclass(slots=True)
class _Lane:
    """One raw partition."""

    source: TopicPartition
    position: int
    bound_ms: int = NEVER
    floors: deque[tuple[int, int]] = field(default_factory=deque)
    """Recorded advances, by offset."""
    left: deque[tuple[int, int]] = field(default_factory=deque)
    """Of these, those of offsets that are not read again yet."""
    marks: deque[_Mark] = field(default_factory=deque)
    counts: dict[str, int] = field(default_factory=dict)
    note: Note | None = None
    until: int | None = None
    """The committed offset, while what is before it is read again."""

    def pass_floors(self, offset: int) -> None:
        while self.left and self.left[0][0] <= offset:
            self.bound_ms = max(self.bound_ms, self.left.popleft()[1])

    def mark(self, offset: int) -> _Mark:
        if not self.marks or self.marks[-1].count >= _MARK_RECORDS:
            self.marks.append(_Mark(offset, self.bound_ms))
        self.marks[-1].count += 1
        return self.marks[-1]

    def count(self, name: str, more: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + more


class Rekey:
    """The stage of one side. `held_count` and `held_bytes` are of what waits."""

    def __init__(self, settings: Settings, leave_max: int | None = None) -> None:
        """`leave_max`: about how many records, and of 1 kB how many, leave with one step. None: all that may."""
        self.settings = settings
        adapter = settings.adapter
        # To ask for a protocol takes longer than to read a record.
        self._paired = adapter if isinstance(adapter, Paired) else None
        self._read_all = self._read_half if isinstance(adapter, Paired) else adapter.rows
        self._leave_max = leave_max
        self._moved = 0
        self._cap_ms: int | None = None
        self._lanes: dict[int, _Lane] = {}
        # (place, side, partition, offset, row, what), and without the side of what is ready to leave.
        self._coming: list[tuple[int, int, int, int, int, Row | Kept[_Record]]] = []
        self._ready: list[tuple[int, int, int, int, Row]] = []
        self._pairing: Pairing[_Record] = Pairing(settings.pair_within_ms, self._pair, self._refuse)
        self._bound_ms = NEVER
        self._reached_ms = NEVER
        self._written: list[Written] = []
        self._rejected: list[Output] = []
        self.held_count = 0
        self.held_bytes = 0

    # Where it stands.

    @property
    def bound_ms(self) -> int:
        """All that stands before it in the order has left, or waits for its partner."""
        return self._bound_ms

    @property
    def has_more(self) -> bool:
        """Whether more may leave now than did with the last step."""
        return bool(self._coming) and self._coming[0][0] < self._passed_ms()

    @property
    def reached_ms(self) -> int:
        """The largest event time so far."""
        return self._reached_ms

    @property
    def is_replaying(self) -> bool:
        """Whether a partition is not read again up to its commit yet."""
        return any(lane.until is not None for lane in self._lanes.values())

    def bounds_ms(self) -> dict[TopicPartition, int]:
        """Of each raw partition."""
        return {lane.source: lane.bound_ms for lane in self._lanes.values()}

    def counts(self) -> dict[str, int]:
        """How the records of all partitions have ended; what is consumed and neither used nor rejected waits."""
        total: dict[str, int] = {}
        for lane in self._lanes.values():
            for name, count in lane.counts.items():
                total[name] = total.get(name, 0) + count
        return total

    # Restoring.

    def open(self, source: TopicPartition, start: int, committed: int | None, note: Note | None) -> int:
        """Take a partition over, committed with this note or never; returns the offset to read from."""
        lane = self._lanes[source.partition] = _Lane(source, start)
        if committed is None or note is None:
            return start
        lane.position, lane.note, lane.bound_ms = note.low, note, note.clock_ms
        lane.floors, lane.left = deque(note.floors), deque(note.floors)
        if note.low < committed:
            lane.until = committed
        else:
            self._restored(lane)
        return note.low

    def opened(self) -> None:
        """All partitions are open. One that the topic got since the last commit begins where the others are."""
        notes = [lane.note for lane in self._lanes.values() if lane.note is not None]
        if not notes:
            return
        watermark_ms = self._cap_ms = max(note.watermark_ms for note in notes)
        for lane in self._lanes.values():
            if lane.note is None:
                lane.bound_ms = watermark_ms
        self._reached_ms = max(self._reached_ms, *(note.sequence for note in notes))
        self._drop_replayed()

    def replay(self, batch: Batch) -> None:
        """Take records from before the commit again."""
        lane = self._lanes[batch.source.partition]
        if lane.until is None:
            return
        self._take(lane, batch.before(lane.until))
        self.reached(batch.source, batch.next_offset)

    def reached(self, source: TopicPartition, position: int) -> bool:
        """Note that a partition was read again up to `position`; whether that is its commit."""
        lane = self._lanes[source.partition]
        if lane.until is not None and position >= lane.until:
            lane.position = lane.until
            lane.until = None
            self._restored(lane)
        self._drop_replayed()
        return lane.until is None

    def _restored(self, lane: _Lane) -> None:
        lane.pass_floors(lane.position)
        if lane.note is not None:
            lane.counts = dict(lane.note.counts)

    def _drop_replayed(self) -> None:
        self._release()
        self._written, self._rejected = [], []
        if not self.is_replaying:
            self._cap_ms = None
            for lane in self._lanes.values():
                if lane.note is not None:
                    lane.counts = dict(lane.note.counts)

    # Steps.

    def step(self, batches: Iterable[Batch]) -> tuple[list[Written], list[Output]]:
        """Take new records; returns what leaves, in order, and what cannot be used."""
        for batch in batches:
            self._take(self._lanes[batch.source.partition], batch)
        return self._leave()

    def pass_gap(self, source: TopicPartition, position: int) -> None:
        """Move past offsets that hold no record."""
        lane = self._lanes[source.partition]
        lane.position = max(lane.position, position)

    def advance(self, floors_ms: Mapping[TopicPartition, int]) -> tuple[list[Written], list[Output]]:
        """Advance the bounds of partitions that were proven idle; returns what that lets leave."""
        for source, floor_ms in floors_ms.items():
            lane = self._lanes[source.partition]
            if floor_ms <= lane.bound_ms:
                continue
            lane.bound_ms = floor_ms
            if lane.floors and lane.floors[-1][0] == lane.position:
                lane.floors.pop()
            lane.floors.append((lane.position, floor_ms))
            if len(lane.floors) > _FLOORS_MAX:
                lane.floors.popleft()
        return self._leave()

    def finish(self) -> tuple[list[Written], list[Output]]:
        """Nothing more comes: let all that waits leave."""
        if not self.held_count:
            return self._leave()
        # A late record stands at its partition's bound, which may be beyond all event times.
        end_ms = max(self._reached_ms, *self.bounds_ms().values()) + self.settings.pair_within_ms + 1
        return self.advance(dict.fromkeys(self.bounds_ms(), end_ms))

    def offsets(self) -> dict[TopicPartition, tuple[int, Note]]:
        """What to commit: for each partition where it stands, and its note."""
        return {lane.source: (lane.position, self._note(lane)) for lane in self._lanes.values()}

    def _note(self, lane: _Lane) -> Note:
        needed_ms = self._bound_ms - REACH * self.settings.pair_within_ms
        while lane.marks and lane.marks[0].reached_ms < needed_ms:
            lane.marks.popleft()
        low, bound_ms = (lane.marks[0].offset, lane.marks[0].bound_ms) if lane.marks else (lane.position, lane.bound_ms)
        while lane.floors and lane.floors[0][0] <= low:
            lane.floors.popleft()
        return Note(
            low, bound_ms, tuple(lane.floors), dict(lane.counts), self._reached_ms, self._bound_ms, self.settings.rules
        )

    def _take(self, lane: _Lane, batch: Batch) -> None:
        disorder_ms = self.settings.disorder_ms
        offsets, timestamps = batch.offsets, batch.timestamps
        partition = lane.source.partition
        for index, value in enumerate(batch.values):
            offset, record_ms = int(offsets[index]), int(timestamps[index])
            lane.pass_floors(offset)
            lane.count("consumed")
            raw = Raw(value, batch.headers[index], record_ms)
            try:
                entries, times = self._read(raw)
            except Unreadable as reason:
                self._reject(batch, index, str(reason))
                continue
            mark, bound_ms = lane.mark(offset), lane.bound_ms
            for row, (entry, time_ms) in enumerate(zip(entries, times, strict=True)):
                place_ms = max(time_ms, bound_ms)
                mark.reached_ms = max(mark.reached_ms, place_ms)
                if isinstance(entry, Row):
                    heappush(self._coming, (place_ms, Side.RESPONSE, partition, offset, row, entry))
                    self._hold(len(entry.value) + _ENTRY_BYTES)
                else:
                    kept = Kept(place_ms, entry, _alone(batch, index, value))
                    heappush(self._coming, (place_ms, entry.side, partition, offset, row, kept))
                    self._hold(kept.record.size)
                lane.bound_ms = max(lane.bound_ms, time_ms - disorder_ms)
                self._reached_ms = max(self._reached_ms, time_ms)
            if isinstance(entries[0], Row):
                lane.count("used")
        lane.position = max(lane.position, batch.next_offset)

    def _read_half(self, raw: Raw) -> Sequence[Half]:
        return [] if self._paired is None else [self._paired.half(raw)]

    def _read(self, raw: Raw) -> tuple[Sequence[Row | Half], list[int]]:
        """What a record holds, and the times of it; raises `Unreadable`."""
        found: Sequence[Row | Half] = self._read_all(raw)
        times = [each.time_ms for each in found]
        ahead_ms = max(times) - raw.timestamp_ms
        if raw.timestamp_ms >= 0 and ahead_ms > self.settings.max_ahead_ms:
            raise Unreadable(
                f"its time is {ahead_ms} ms ahead of the record's Kafka timestamp, above join.max_ahead"
                f" {self.settings.max_ahead_ms} ms"
            )
        return found, times

    def _hold(self, size: int) -> None:
        self.held_count += 1
        self.held_bytes += size

    def _let_go(self, size: int) -> None:
        self.held_count -= 1
        self.held_bytes -= size

    # Leaving.

    def _leave(self) -> tuple[list[Written], list[Output]]:
        self._release()
        written, refused = self._written, self._rejected
        self._written, self._rejected = [], []
        return written, refused

    def _passed_ms(self) -> int:
        """What all bounds have passed; while records are read again, no further than what had left."""
        passed_ms = min((lane.bound_ms for lane in self._lanes.values()), default=NEVER)
        return passed_ms if self._cap_ms is None else min(passed_ms, self._cap_ms)

    def _release(self) -> None:
        """Order, pair and write what all bounds have passed, up to about `leave_max`."""
        bound_ms, coming = self._passed_ms(), self._coming
        limit = None if self._cap_ms is not None else self._leave_max
        self._moved, last_ms = 0, NEVER
        while coming and coming[0][0] < bound_ms:
            # What stands at one place leaves together: the note knows of places only.
            if limit is not None and self._moved >= limit and coming[0][0] > last_ms:
                bound_ms = coming[0][0]
                break
            last_ms, _, partition, offset, _, entry = heappop(coming)
            if isinstance(entry, Row):
                self._write(partition, offset, entry)
            else:
                self._pairing.take(entry)
        self._bound_ms = bound_ms = max(self._bound_ms, bound_ms)
        self._pairing.expire(bound_ms)
        earliest_ms = self._pairing.earliest_ms
        limit_ms = bound_ms if earliest_ms is None else min(bound_ms, earliest_ms)
        while self._ready and self._ready[0][0] < limit_ms:
            _, partition, offset, _, row = heappop(self._ready)
            self._write(partition, offset, row)

    def _write(self, partition: int, offset: int, row: Row) -> None:
        self._let_go(len(row.value) + _ENTRY_BYTES)
        self._moved += 1 + (len(row.value) >> 10)
        lane = self._lanes[partition]
        lane.count("written")
        came_of = f"{lane.source.topic}-{partition}@{offset}".encode()
        self._written.append(Written(row.request_id.encode(), row.value, row.time_ms, ((SOURCE, came_of),)))

    def _pair(self, request: Kept[_Record] | None, response: Kept[_Record]) -> None:
        if self._paired is None:
            return
        halves = [each for each in (request, response) if each is not None]
        for each in halves:
            self._let_go(each.record.size)
        try:
            rows = self._paired.pair(None if request is None else request.half, response.half)
        except Unreadable as reason:
            if request is None:
                self._reject(response.record.batch, 0, str(reason))
                return
            self._reject(request.record.batch, 0, str(reason))
            self._hold(response.record.size)
            self._pair(None, response)
            return
        for each in halves:
            self._lanes[each.record.partition].count("used")
        record = response.record
        for number, row in enumerate(rows):
            self._moved += 1 + (len(row.value) >> 10)
            heappush(self._ready, (response.key_ms, record.partition, record.offset, number, row))
            self._hold(len(row.value) + _ENTRY_BYTES)

    def _refuse(self, request: Kept[_Record], reason: str) -> None:
        self._let_go(request.record.size)
        self._reject(request.record.batch, 0, reason)

    def _reject(self, batch: Batch, index: int, reason: str) -> None:
        self._lanes[batch.source.partition].count("rejected")
        self._rejected.append(rejected(batch, index, reason))
