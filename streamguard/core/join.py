"""The join task: predictions and labels of one partition number, matched by request ID.

Theory of operation (docs/design.md, "Semantics"). Each partition judges lateness by its own largest
event time, never by the other's, and what matches, repeats, expires or is late follows from the two
logs alone, whatever their interleaving. State is not written anywhere: the inputs are the changelog. A
note of a few dozen bytes beside each committed offset says from where on re-reading rebuilds it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from streamguard.core.codec import Columns, Mapping, Reader, Watch
from streamguard.core.fields import TIME_MAX_MS
from streamguard.core.note import Note
from streamguard.core.outcomes import NO_OFFSET, OutcomeWriter
from streamguard.core.records import Batch, Fate, Output
from streamguard.core.rejected import rejected
from streamguard.core.waiting import NEVER, Side

# Commit metadata may hold 4,096 bytes; an advance of an idle input costs about 30 of them.
_FLOORS_MAX = 64


class Input(IntEnum):
    """The two inputs of a join task."""

    PREDICTIONS = 0
    LABELS = 1


@dataclass(frozen=True, slots=True)
class JoinSettings:
    """What a join task needs to know. Times in milliseconds; see the settings under `join:`."""

    before_ms: int
    after_ms: int
    disorder_ms: int
    predictions: Mapping
    labels: Mapping
    watches: Sequence[Watch]
    targets: Sequence[int]
    """The outcomes partition of each monitor."""
    target_count: int
    source_count: int
    held_max: int = 5_000_000
    held_bytes_max: int = 1 << 30
    monitor_names: Sequence[str] = ()
    with_scores: bool = False


class HeldFullError(Exception):
    """The inputs do not fit into the task's caps, even when the one that is behind reads alone."""


class JoinTask:
    """Matches the predictions and labels of one partition number.

    `step` takes at most one batch of each input and returns everything to be written for them.
    """

    def __init__(self, number: int, settings: JoinSettings) -> None:
        self.number = number
        self._settings = settings
        horizon_ms = settings.before_ms + settings.after_ms
        reaches_ms = settings.after_ms, settings.before_ms
        self._sides = tuple(
            Side(reach_ms=reach_ms, horizon_ms=horizon_ms, disorder_ms=settings.disorder_ms) for reach_ms in reaches_ms
        )
        self._readers = Reader(settings.predictions, settings.watches), Reader(settings.labels)
        self._positions = [0, 0]
        self._floors: list[list[tuple[int, int]]] = [[], []]
        self._pending_floors: list[list[tuple[int, int]]] = [[], []]
        self._counts: list[dict[str, int]] = [_no_counts(), _no_counts()]
        self._sequence = 0
        self._watermark_ms = NEVER
        self._announced_idle = False
        self._writer = OutcomeWriter(number, settings)

    # What the shell asks.

    @property
    def watermark_ms(self) -> int:
        """No outcome before this follows any more."""
        return min(side.bound_ms for side in self._sides)

    def clock_ms(self, side: Input) -> int:
        """The largest event time seen on an input; `NEVER` before the first."""
        return self._sides[side].clock_ms

    @property
    def held_count(self) -> int:
        """Records in memory."""
        return sum(map(len, self._sides))

    @property
    def held_bytes(self) -> int:
        """Their memory, estimated."""
        return sum(side.held_bytes for side in self._sides)

    def counts(self, side: Input) -> dict[str, int]:
        """How the input's records ended. They add up to `consumed`."""
        return {**self._counts[side], Fate.WAITING.value: self._sides[side].waiting_count}

    def unmonitored(self) -> dict[str, int]:
        """Predictions since the last call that no monitor takes, by model."""
        return self._readers[Input.PREDICTIONS].pop_unmonitored()

    @property
    def consumed(self) -> int:
        """Records taken so far, of both inputs."""
        return sum(counts["consumed"] for counts in self._counts)

    def ahead(self, room: int) -> Input | None:
        """The input to hold back, where fewer than `room` more records fit under the caps."""
        settings = self._settings
        spare_bytes = settings.held_bytes_max - self.held_bytes
        each_bytes = max(200, self.held_bytes // max(1, self.held_count))
        if self.held_count + room <= settings.held_max and spare_bytes >= room * each_bytes:
            return None
        predictions, labels = self._sides
        return Input.LABELS if labels.clock_ms > predictions.clock_ms else Input.PREDICTIONS

    # What the shell tells.

    def step(self, predictions: Batch | None = None, labels: Batch | None = None) -> list[Output]:
        """Take records and return outcomes, rejected records and the watermark."""
        outputs: list[Output] = []
        for side, batch in ((Input.PREDICTIONS, predictions), (Input.LABELS, labels)):
            if batch is not None:
                if self.held_count + len(batch) > self._settings.held_max:
                    raise HeldFullError(self.held_count)
                outputs += self._take(side, batch)
        self._expire()
        outputs += self._announce()
        return outputs

    def idle(self, side: Input, clock_ms: int) -> list[Output]:
        """The input is proven idle: its event time counts as `clock_ms` from here on.

        Refused, with no effect, while the note has no room for one more advance.
        """
        position = self._positions[side]
        floors = [floor for floor in self._floors[side] if floor[0] != position]
        clock_ms = min(clock_ms, TIME_MAX_MS)
        if clock_ms <= self._sides[side].clock_ms or len(floors) >= _FLOORS_MAX:
            return []
        self._floors[side] = [*floors, (position, clock_ms)]
        self._sides[side].clock_ms = clock_ms
        self._expire()
        return self._announce()

    def silent(self) -> list[Output]:
        """Both inputs are proven idle and have never had a record: nobody need wait for this source."""
        if self._announced_idle or any(side.clock_ms != NEVER for side in self._sides):
            return []
        self._announced_idle = True
        self._sequence += 1
        return self._writer.write(self._sequence, None, is_idle=True)

    # How the task comes back.

    def note(self, side: Input) -> str:
        """What to commit beside the input's position."""
        state = self._sides[side]
        low = state.low()
        offset, clock_ms = (self._positions[side], state.clock_ms) if low is None else low
        floors = [floor for floor in self._floors[side] if floor[0] >= offset]
        self._floors[side] = floors
        return Note(
            offset,
            clock_ms,
            tuple(floors),
            self._counts[side],
            self._sequence,
            self._watermark_ms,
            self.rules,
        ).encode()

    @property
    def rules(self) -> tuple[int, ...]:
        """What the state follows from beside the records: before, after, disorder, in milliseconds."""
        settings = self._settings
        return settings.before_ms, settings.after_ms, settings.disorder_ms

    def rewind(self, side: Input, note: Note | None, start: int) -> None:
        """Begin at the note's low offset, or at `start` where nothing is committed."""
        self._positions[side] = start if note is None else note.low
        if note is not None:
            self._sides[side].clock_ms = note.clock_ms
            self._pending_floors[side] = list(note.floors)

    def restored(self, notes: Sequence[Note | None]) -> None:
        """Everything up to the commit has been read again: go on as the one who committed."""
        for side in Input:
            self._apply_floors(side, math.inf)
        self._expire()
        self._writer.clear()
        # Last, since all of the above has been counted in the notes.
        for side in Input:
            note = notes[side]
            if note is not None:
                self._counts[side] = dict(note.counts)
                self._sequence = max(self._sequence, note.sequence)
                self._watermark_ms = max(self._watermark_ms, note.watermark_ms)

    def replay(self, side: Input, batch: Batch) -> None:
        """Take records that were taken before the commit: state changes, nothing is written.

        What was forgotten before the commit is held here until the other input has caught up: up to twice
        the records, so the caps do not count.
        """
        self._take(side, batch)
        self._expire()
        self._writer.clear()

    # How it works.

    def _take(self, side: Input, batch: Batch) -> list[Output]:
        columns = self._readers[side].read(batch)
        counts = self._counts[side]
        counts["consumed"] += len(batch)
        counts[Fate.REJECTED] += len(columns.rejections)
        self._prune_floors(side, columns)
        while self._pending_floors[side] and len(columns.offsets):
            split = self._pending_floors[side][0][0]
            place = next((i for i, offset in enumerate(columns.offsets) if offset >= split), None)
            if place is None:
                break
            self._join(side, _cut(columns, 0, place))
            self._apply_floors(side, split)
            columns = _cut(columns, place, None)
        self._join(side, columns)
        self._positions[side] = batch.next_offset
        return [rejected(batch, each.index, each.reason) for each in columns.rejections]

    def _prune_floors(self, side: Input, columns: Columns) -> None:
        """Forget the last advance where the next record comes as far: it has decided nothing.

        So an input that is idle again and again, with times that keep pace, needs no room in the note.
        """
        floors = self._floors[side]
        while floors and columns.offsets and floors[-1][0] == self._positions[side]:
            if columns.times[0] < floors[-1][1]:
                return
            floors.pop()

    def _apply_floors(self, side: Input, up_to: float) -> None:
        state = self._sides[side]
        while self._pending_floors[side] and self._pending_floors[side][0][0] <= up_to:
            floor = self._pending_floors[side].pop(0)
            self._floors[side].append(floor)
            state.clock_ms = max(state.clock_ms, floor[1])

    def _join(self, side: Input, columns: Columns) -> None:
        """The semantics of the join, record by record, in offset order."""
        mine, other = self._sides[side], self._sides[1 - side]
        others = other.slots_of
        disorder_ms, known_slots = mine.disorder_ms, mine.slots_of
        # A partner's event time lies this far back and ahead, seen from this side.
        back_ms, ahead_ms = other.reach_ms, mine.reach_ms
        late_count = repeat_count = match_count = 0
        rows = zip(
            columns.offsets,
            columns.times,
            columns.ids,
            columns.values,
            columns.scores,
            columns.routes,
            strict=True,
        )
        for offset, time_ms, request_id, value, score, route in rows:
            if time_ms < mine.clock_ms - disorder_ms:
                late_count += 1
                continue
            known = known_slots.get(request_id)
            is_new = known is None or not mine.repeats(known, time_ms)
            partner = None
            if not is_new:
                repeat_count += 1
            elif (candidates := others.get(request_id)) is not None:
                partner = other.partner(candidates, time_ms - back_ms, time_ms + ahead_ms)
            is_open = is_new and partner is None
            mine.add(request_id, time_ms, offset, value, score, route, is_open=is_open)
            if time_ms > mine.clock_ms:  # noqa: PLR1730 - a call of max() for every record costs more
                mine.clock_ms = time_ms
            if partner is not None:
                match_count += 1
                self._match(side, partner, (offset, time_ms, request_id, value, score, route))
        counts = self._counts[side]
        counts[Fate.LATE] += late_count
        counts[Fate.DUPLICATE] += repeat_count
        counts[Fate.MATCHED] += match_count
        self._counts[1 - side][Fate.MATCHED] += match_count

    def _match(self, side: Input, slot: int, row: tuple[Any, ...]) -> None:
        offset, time_ms, request_id, value, score, route = row
        other = self._sides[1 - side]
        partner_value, partner_ms, partner_offset = other.values[slot], other.times[slot], other.offsets[slot]
        if side is Input.PREDICTIONS:
            prediction = offset, time_ms, value, score
            label = partner_offset, partner_ms, partner_value
        else:
            prediction = partner_offset, partner_ms, partner_value, other.scores[slot]
            label = offset, time_ms, value
            route = other.routes[slot]
        other.settle(slot)
        self._writer.add(route, request_id, prediction, label)

    def _expire(self) -> None:
        for side in Input:
            mine = self._sides[side]
            for end_ms, slots in mine.expire(self._sides[1 - side].bound_ms):
                self._counts[side][Fate.EXPIRED] += len(slots)
                until_ms = min(end_ms, TIME_MAX_MS)
                for slot in slots:
                    if side is Input.PREDICTIONS:
                        prediction = (
                            mine.offsets[slot],
                            mine.times[slot],
                            mine.values[slot],
                            mine.scores[slot],
                        )
                        label = NO_OFFSET, until_ms, None
                        self._writer.add(mine.routes[slot] or (), mine.ids[slot], prediction, label)
                    mine.settle(slot)
            mine.forget()

    def _announce(self) -> list[Output]:
        watermark_ms = self.watermark_ms
        is_known = watermark_ms > NEVER // 2
        if self._writer.is_empty and not (is_known and watermark_ms > self._watermark_ms):
            return []
        if is_known:
            self._watermark_ms = max(self._watermark_ms, watermark_ms)
        self._sequence += 1
        return self._writer.write(self._sequence, self._watermark_ms if is_known else None)


def _no_counts() -> dict[str, int]:
    return {"consumed": 0, **{fate.value: 0 for fate in Fate if fate is not Fate.WAITING}}


def _cut(columns: Columns, start: int, end: int | None) -> Columns:
    return replace(
        columns,
        offsets=columns.offsets[start:end],
        times=columns.times[start:end],
        ids=columns.ids[start:end],
        values=columns.values[start:end],
        scores=columns.scores[start:end],
        routes=columns.routes[start:end],
    )
