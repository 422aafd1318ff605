"""The join task: predictions and labels of one partition number, matched by request ID.

Theory of operation (docs/design.md, "Semantics"). Each partition judges lateness by its own largest
event time, never by the other's, and what matches, repeats, expires or is late follows from the two
logs alone, whatever their interleaving. State is not written anywhere: the inputs are the changelog. A
note of a few dozen bytes beside each committed offset says from where on re-reading rebuilds it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import orjson
from numpy.typing import NDArray

from streamguard.core.arrivals.folding import Arrivals, Arriving
from streamguard.core.codec import Columns, Mapping, Reader, Watch
from streamguard.core.cold import Disk
from streamguard.core.contract.inspecting import Differences
from streamguard.core.features.deltas import Delta
from streamguard.core.features.folding import Fold, Given
from streamguard.core.features.reference import Reference
from streamguard.core.fields import TIME_MAX_MS
from streamguard.core.identity import distinct
from streamguard.core.index import NONE
from streamguard.core.note import Note
from streamguard.core.outcomes import NO_OFFSET, Half, OutcomeWriter
from streamguard.core.records import Batch, Fate, Output
from streamguard.core.rejected import rejected
from streamguard.core.spilling import SpillingSide
from streamguard.core.waiting import NEVER, Ints, Side, Slots

Rows = NDArray[np.intp]

# Commit metadata may hold 4,096 bytes; an advance of an idle input costs about 30 of them.
_FLOORS_MAX = 64
# Of what a checkpoint keeps on the disk; one of another version is not read.
_VERSION = 1


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
    memory_records: int = 500_000
    """About how many are kept in memory where there is a disk."""
    references: dict[int, Reference] = field(default_factory=dict)
    """By monitor: what its predictions are counted for."""
    arrivals: dict[int, Arriving] = field(default_factory=dict)
    """By input: what is counted of all that comes."""


class HeldFullError(Exception):
    """The inputs do not fit into the task's caps, even when the one that is behind reads alone."""


class JoinTask:
    """Matches the predictions and labels of one partition number.

    `step` takes at most one batch of each input and returns everything to be written for them.
    """

    def __init__(self, number: int, settings: JoinSettings, disk: Disk | None = None) -> None:
        self.number = number
        self._settings = settings
        self._disk = disk
        # Python's own seed, another in each process; what is on a disk is looked up by the next one, too.
        self._seed = hash("request ID") if disk is None else 0
        self._sides = tuple(self._side(side) for side in Input)
        self._readers = readers(settings, keeps_documents=bool(settings.references))
        self._folds = {monitor: Fold(reference) for monitor, reference in settings.references.items()}
        self._arrivals = {side: Arrivals(each, settings.disorder_ms) for side, each in settings.arrivals.items()}
        self._positions = [0, 0]
        self._floors: list[list[tuple[int, int]]] = [[], []]
        self._pending_floors: list[list[tuple[int, int]]] = [[], []]
        self._counts: list[dict[str, int]] = [_no_counts(), _no_counts()]
        self._sequence = 0
        self._watermark_ms = NEVER
        self._windows_ms = [NEVER] * 3
        """Until when what predictions carry, and what arrives, was said to be complete, rounded to windows."""
        self._announced_idle = False
        self.is_resumed = False
        """Whether it came back from the disk."""
        self._is_replaying = False
        """While it comes back, nothing is written: it has been written before."""
        self._writer = OutcomeWriter(number, settings)

    def _side(self, side: Input) -> Side:
        settings = self._settings
        reaches_ms = settings.after_ms, settings.before_ms
        rules = {
            "reach_ms": reaches_ms[side],
            "horizon_ms": settings.before_ms + settings.after_ms,
            "disorder_ms": settings.disorder_ms,
        }
        with_scores = settings.predictions.score is not None and side is Input.PREDICTIONS
        if self._disk is None:
            return Side(**rules, with_scores=with_scores)
        # A side's share; half of the bytes are left for what has not been evicted yet.
        hot_max = settings.memory_records // len(Input), settings.held_bytes_max // (2 * len(Input))
        return SpillingSide(self._disk, hot_max, **rules, with_scores=with_scores)

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
        """Records that are remembered, in memory and on the disk."""
        return sum(map(len, self._sides))

    @property
    def held_bytes(self) -> int:
        """The memory of those that are not on the disk, estimated."""
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
        if side in self._arrivals:
            self._arrivals[side].advance(clock_ms)
        self._expire()
        return self._announce()

    def silent(self) -> list[Output]:
        """Both inputs are proven idle and have never had a record: nobody need wait for this source."""
        if self._announced_idle or any(side.clock_ms != NEVER for side in self._sides):
            return []
        self._announced_idle = True
        self._sequence += 1
        return self._writer.write(self._sequence, None, is_idle=True)

    def forget_advances(self) -> None:
        """Nobody will have to rebuild this state: no note need tell of advances."""
        self._floors = [[], []]

    def retire(self) -> list[Output]:
        """Nothing follows, ever: nobody need wait for this source."""
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
            (self._arrivals[side].clock_ms, self._arrivals[side].lag_ms) if side in self._arrivals else None,
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

    def checkpoint(self) -> None:
        """Keep on the disk what the task is now, everything up to its positions being committed."""
        if self._disk is None:
            return
        kept = [side.keep() for side in self._sides if isinstance(side, SpillingSide)]
        number = self._disk.put([block for _, blocks, _ in kept for block in blocks])
        stamp = {
            "v": _VERSION,
            "follows": self._follows,
            "positions": self._positions,
            "counts": self._counts,
            "number": number,
            "blocks": [len(blocks) for _, blocks, _ in kept],
            "sides": [document for document, _, _ in kept],
        }
        self._disk.keep(orjson.dumps(stamp), [number, *(piece for _, _, pieces in kept for piece in pieces)])

    def resume(self, notes: Sequence[Note | None], committed: Sequence[int]) -> Sequence[int] | None:
        """Instead of `rewind`: be what the disk has kept; returns the positions that reading begins at.

        None, with no effect, where the disk has nothing that leads to what is committed.
        """
        kept = None if self._disk is None else self._disk.stamp()
        if self._disk is None or kept is None:
            return None
        stamp = orjson.loads(kept)
        if stamp["v"] != _VERSION or stamp["follows"] != self._follows:
            return None
        positions = stamp["positions"]
        for note, position, offset, counts in zip(notes, positions, committed, stamp["counts"], strict=True):
            # What is before the low offset is not looked at by reading again either.
            if note is None or not note.low <= position <= offset:
                return None
            if any(count > note.counts[fate] for fate, count in counts.items()):
                return None
        blocks = self._disk.get(np.full(sum(stamp["blocks"]), stamp["number"]), np.arange(sum(stamp["blocks"])))
        for side, note, document in zip(Input, notes, stamp["sides"], strict=True):
            mine = self._sides[side]
            count = stamp["blocks"][side]
            if isinstance(mine, SpillingSide):
                mine.restore(document, blocks[:count])
            blocks = blocks[count:]
            floors = () if note is None else note.floors
            self._floors[side] = [floor for floor in floors if floor[0] < positions[side]]
            self._pending_floors[side] = [floor for floor in floors if floor[0] >= positions[side]]
        self._positions, self._counts = list(positions), stamp["counts"]
        self.is_resumed = True
        return list(positions)

    def leave_disk(self) -> None:
        """What the disk has kept is of no use; the next task begins without it."""
        if self._disk is not None:
            self._disk.clear()

    @property
    def _follows(self) -> str:
        """What the columns on the disk follow from beside the records."""
        settings = self._settings
        inspectors = [each.inspector for each in settings.arrivals.values()]
        refused = [each.rules for each in inspectors if each is not None]
        return repr((self.rules, settings.predictions, settings.labels, [*settings.watches], *refused))

    def restored(self, notes: Sequence[Note | None]) -> bool:
        """Everything up to the commit has been read again: go on as the one who committed.

        Returns whether the disk, if it began there, has led to just that.
        """
        self._is_replaying = True
        for side in Input:
            self._apply_floors(side, math.inf)
        self._expire()
        self._is_replaying = False
        fits = not self.is_resumed or self._counts == [None if note is None else note.counts for note in notes]
        # Last, since all of the above has been counted in the notes.
        for side in Input:
            note = notes[side]
            if note is not None:
                self._counts[side] = dict(note.counts)
                self._sequence = max(self._sequence, note.sequence)
                self._watermark_ms = max(self._watermark_ms, note.watermark_ms)
        for each, arrivals in self._arrivals.items():
            found = notes[each]
            if found is not None and found.arrivals is not None:
                arrivals.clock_ms, arrivals.lag_ms = found.arrivals
            # Where they were not counted before, from here on.
            arrivals.advance(self._sides[each].clock_ms)
        # As far as that has been said before.
        self._passes_window()
        return fits

    def replay(self, side: Input, batch: Batch) -> None:
        """Take records that were taken before the commit: state changes, nothing is written.

        What was forgotten before the commit is held here until the other input has caught up: up to twice
        the records, so the caps do not count.
        """
        self._is_replaying = True
        self._take(side, batch)
        self._expire()

    # How it works.

    def _take(self, side: Input, batch: Batch) -> list[Output]:
        columns, rejections = self._readers[side].read(batch)
        counts = self._counts[side]
        counts["consumed"] += len(batch)
        counts[Fate.REJECTED] += len(rejections)
        self._prune_floors(side, columns)
        if side in self._arrivals and not self._is_replaying:
            self._arrive(self._arrivals[side], batch, columns, self._readers[side].differences)
        while self._pending_floors[side] and len(columns):
            split = self._pending_floors[side][0][0]
            place = int(np.searchsorted(columns.offsets, split))
            if place == len(columns):
                break
            self._join(side, columns.take(slice(0, place)))
            self._apply_floors(side, split)
            columns = columns.take(slice(place, None))
        self._join(side, columns)
        self._positions[side] = batch.next_offset
        return [rejected(batch, each.index, each.reason) for each in rejections]

    def _arrive(self, arrivals: Arrivals, batch: Batch, columns: Columns, differences: Differences) -> None:
        delta = arrivals.fold(batch, columns, differences)
        if delta is not None:
            self._writer.count(arrivals.settings.target, delta)

    def _prune_floors(self, side: Input, columns: Columns) -> None:
        """Forget the last advance where the next record comes as far: it has decided nothing.

        So an input that is idle again and again, with times that keep pace, needs no room in the note.
        """
        floors = self._floors[side]
        while floors and len(columns) and floors[-1][0] == self._positions[side]:
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
        """The semantics of the join: as if record by record, in offset order."""
        if not len(columns):
            return
        mine, other = self._sides[side], self._sides[1 - side]
        # The largest event time before each record; a late one is no larger.
        clocks_ms = np.maximum.accumulate(np.concatenate(([mine.clock_ms], columns.times)))
        mine.clock_ms = int(clocks_ms[-1])
        is_taken = columns.times >= clocks_ms[:-1] - mine.disorder_ms
        late_count = len(columns) - int(np.count_nonzero(is_taken))
        if late_count:
            columns, clocks_ms = columns.take(is_taken), clocks_ms[:-1][is_taken]
        rows, partners, is_new = self._pairs(side, columns, clocks_ms)
        repeat_count = len(columns) - int(np.count_nonzero(is_new))
        if self._folds and side is Input.PREDICTIONS and not self._is_replaying:
            self._count(columns if repeat_count == 0 else columns.take(is_new))
        self._write(side, columns.take(rows), partners)
        other.settle(partners)
        counts = self._counts[side]
        counts[Fate.LATE] += late_count
        counts[Fate.DUPLICATE] += repeat_count
        counts[Fate.MATCHED] += len(rows)
        self._counts[1 - side][Fate.MATCHED] += len(rows)

    def _pairs(self, side: Input, columns: Columns, clocks_ms: Ints) -> tuple[Rows, Slots, NDArray[np.bool_]]:
        """Remember records; returns which of them match, with which slots of the other side, and which do not repeat.

        All at once where an ID has one record on either side; else one by one, in order.
        """
        mine, other = self._sides[side], self._sides[1 - side]
        hashes = columns.ids.hashes(self._seed)
        for each in self._sides:
            each.recall(columns.ids, hashes)
        slots, heads = mine.add(columns, hashes, clocks_ms)
        # A partner's event time lies this far back and ahead, seen from this side.
        earliest_ms, latest_ms = columns.times - other.reach_ms, columns.times + mine.reach_ms
        theirs = other.find(columns.ids, hashes)
        partners = np.full(len(columns), NONE, np.int32)
        is_new = heads == slots
        rows = np.flatnonzero(is_new & (theirs != NONE))
        is_shared = other.is_shared(theirs[rows])
        alone = rows[~is_shared]
        alone = alone[other.partners(theirs[alone], earliest_ms[alone], latest_ms[alone])]
        partners[alone] = theirs[alone]
        for row in rows[is_shared].tolist():
            partners[row] = other.partner(theirs[row], earliest_ms[row], latest_ms[row])
        for row in np.flatnonzero(~is_new).tolist():
            head, slot = int(heads[row]), int(slots[row])
            is_new[row] = not mine.repeats(head, int(columns.times[row]))
            mine.share(head, slot)
            if is_new[row] and theirs[row] != NONE:
                partners[row] = other.partner(int(theirs[row]), earliest_ms[row], latest_ms[row])
        is_matched = partners != NONE
        is_open = is_new & ~is_matched
        mine.open(slots[is_open], columns.take(is_open))
        matched = np.flatnonzero(is_matched)
        return matched, partners[matched], is_new

    def _count(self, columns: Columns) -> None:
        """Tell each monitor that asks what these predictions, of which none repeats, carry."""
        if columns.routes is None or columns.documents is None:
            return
        routes, numbers = distinct(columns.routes)
        for monitor, fold in self._folds.items():
            table: dict[tuple[str | None, ...], int] = {}
            own = [next((segment for target, segment in route if target == monitor), None) for route in routes]
            places = np.array([-1 if each is None else table.setdefault(each, len(table)) for each in own])
            segments = places[numbers]
            mine = np.flatnonzero(segments >= 0)
            part = columns if len(mine) == len(columns) else columns.take(mine)
            given = Given(
                part.offsets,
                part.times,
                part.ids.tolist,
                [] if part.documents is None else part.documents.tolist(),
                part.values.tolist(),
                part.scores,
                segments[mine],
            )
            counts = fold.counts(given)
            if counts:
                name, fingerprint = self._settings.monitor_names[monitor], fold.fingerprint
                self._writer.count(self._settings.targets[monitor], Delta(name, fingerprint, list(table), counts))

    def _write(self, side: Input, columns: Columns, partners: Slots) -> None:
        """The outcomes of records that match these slots of the other side."""
        if self._is_replaying:
            return
        others = self._sides[1 - side].store.half(partners)
        mine = Half(columns.offsets, columns.times, columns.values, columns.scores, columns.routes)
        prediction, label = (mine, others) if side is Input.PREDICTIONS else (others, mine)
        self._writer.add(columns.ids, prediction, label)

    def _expire(self) -> None:
        for side in Input:
            mine = self._sides[side]
            slots, ends_ms = mine.expire(self._sides[1 - side].bound_ms)
            self._counts[side][Fate.EXPIRED] += len(slots)
            if len(slots) and side is Input.PREDICTIONS and not self._is_replaying:
                none = np.full(len(slots), NO_OFFSET), np.minimum(ends_ms, TIME_MAX_MS), np.full(len(slots), None)
                self._writer.add(mine.store.ids(slots), mine.store.half(slots), Half(*none))
            mine.settle(slots)
            mine.forget()
            mine.evict()

    def _announce(self) -> list[Output]:
        watermark_ms = self.watermark_ms
        is_known = watermark_ms > NEVER // 2
        is_ahead = (is_known and watermark_ms > self._watermark_ms) or self._passes_window()
        if self._writer.is_empty and not is_ahead:
            return []
        if is_known:
            self._watermark_ms = max(self._watermark_ms, watermark_ms)
        self._sequence += 1
        bound_ms = self._sides[Input.PREDICTIONS].bound_ms
        predictions_ms = bound_ms if self._folds and bound_ms > NEVER // 2 else None
        arrivals_ms = [None if each <= NEVER // 2 else each for each in map(self._arrived_ms, Input)]
        reached_ms = self._watermark_ms if is_known else None
        return self._writer.write(self._sequence, reached_ms, predictions_ms, arrivals_ms)

    def _arrived_ms(self, side: Input) -> int:
        """No window of arrivals that ends before this gets another record."""
        return self._arrivals[side].clock_ms if side in self._arrivals else NEVER

    def _passes_window(self) -> bool:
        """Whether predictions, or arrivals, have come past the end of a window since the last call."""
        bounds_ms = [(self._sides[Input.PREDICTIONS].bound_ms, [fold.window_ms for fold in self._folds.values()])]
        for side in Input:
            windows_ms = [self._arrivals[side].settings.window_ms] if side in self._arrivals else []
            bounds_ms.append((self._arrived_ms(side), windows_ms))
        is_ahead = False
        for number, (bound_ms, windows_ms) in enumerate(bounds_ms):
            if windows_ms and bound_ms > NEVER // 2:
                passed_ms = max(bound_ms // each * each for each in windows_ms)
                is_ahead |= passed_ms > self._windows_ms[number]
                self._windows_ms[number] = max(passed_ms, self._windows_ms[number])
        return is_ahead


def readers(settings: JoinSettings, *, keeps_documents: bool = False) -> tuple[Reader, Reader]:
    """What reads the predictions, and what the labels."""
    inspectors = [settings.arrivals[side].inspector if side in settings.arrivals else None for side in Input]
    return (
        Reader(settings.predictions, settings.watches, keeps_documents=keeps_documents, inspector=inspectors[0]),
        Reader(settings.labels, inspector=inspectors[1]),
    )


def _no_counts() -> dict[str, int]:
    return {"consumed": 0, **{fate.value: 0 for fate in Fate if fate is not Fate.WAITING}}
