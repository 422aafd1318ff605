"""One side of a join: the records of one partition that may still matter.

Theory of operation. A record is remembered for two reasons, and each ends by a bound (the largest event
time seen in a partition, less the allowed disorder): it waits for its partner until the *other*
partition's bound has passed its reach, and it marks its ID as used until its *own* partition's bound has
passed the horizon. Records are kept in panes of event time, each a 64th of the horizon wide, and a pane
is expired and forgotten whole. Whether two records match or repeat each other is decided by their
times alone, so a pane that lingers changes no result.

A pane also knows the first offset that fell into it, and how far event time had come there. From the
oldest pane that can still be asked about, re-reading the log rebuilds this state exactly (`low`).

A record has a slot: a place in columns that only grow, until a third of them is of forgotten records and
the others move together. Of the records of one ID the first is the ID's *head*, the one that the index
leads to; the few IDs with more of them have a group.

All of it is in memory here; core/spilling.py has a side whose older records are on a disk.
"""

from array import array
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from streamguard.core.codec import Columns
from streamguard.core.index import NONE, Hashes, Index
from streamguard.core.store import Store
from streamguard.core.texts import Texts

NEVER = -(1 << 62)
"""Before all event times."""

# Measured by benchmarks/memory.py: what a record costs here beside its ID's bytes.
ENTRY_BYTES = 70
RECORD_BYTES = 100
"""The same with an ID of usual length."""

Slots = NDArray[np.int32]
Ints = NDArray[np.int64]

# What a slot is. None of these: forgotten.
OPEN, SHARED, HEAD, HELD = np.uint8(1), np.uint8(2), np.uint8(4), np.uint8(8)
_CLOSED = np.uint8(0xFF ^ 1)


@dataclass(slots=True)
class Pane:
    """The records of one stretch of event time."""

    first_offset: int
    clock_before: int
    """The largest event time before that offset."""
    slots: "array[int]" = field(default_factory=lambda: array("i"))
    expired_count: int = 0
    """So many of the slots have been expired; all of them, or the pane is still waiting."""
    is_expired: bool = False

    def slots_from(self, start: int) -> Slots:
        return np.array(self.slots[start:], np.int32)


def pane_width_ms(horizon_ms: int) -> int:
    """How much event time a pane holds."""
    return max(1, horizon_ms // 64)


def pane_ends(times_ms: Ints, horizon_ms: int) -> Ints:
    """Where the panes end that these times are in."""
    width_ms = pane_width_ms(horizon_ms)
    ends: Ints = (times_ms // width_ms + 1) * width_ms
    return ends


class Side:
    """The remembered records of one partition, as columns addressed by slot.

    `reach_ms`: how far after its own event time a partner's may be. `horizon_ms`: within which a
    second record of the same ID is a duplicate.
    """

    def __init__(self, *, reach_ms: int, horizon_ms: int, disorder_ms: int, with_scores: bool = False) -> None:
        self.reach_ms = reach_ms
        self.horizon_ms = horizon_ms
        self.disorder_ms = disorder_ms
        self.pane_ms = pane_width_ms(horizon_ms)
        self.clock_ms = NEVER
        self.waiting_count = 0
        self.held_bytes = 0
        self.store = Store(with_scores=with_scores)
        self._held_count = 0
        self._index = Index()
        self._groups: dict[int, dict[int, None]] = {}
        self._head_of: dict[int, int] = {}
        self._panes: dict[int, Pane] = {}
        self._marks: dict[int, tuple[int, int]] = {}

    def __len__(self) -> int:
        return self._held_count

    @property
    def bound_ms(self) -> int:
        """No record of this partition with an event time below this is taken any more."""
        return self.clock_ms - self.disorder_ms

    # What is known of an ID.

    def find(self, ids: Texts, hashes: Hashes) -> Slots:
        """The head of each ID, or `NONE`."""
        return self._index.find(hashes, lambda rows, slots: self._same(ids, hashes, rows, slots))

    def is_shared(self, heads: Slots) -> NDArray[np.bool_]:
        """Of which of these IDs there are several records."""
        return self._has(heads, SHARED)

    def repeats(self, head: int, time_ms: int) -> bool:
        """Whether a record of an ID seen before is a duplicate."""
        times = self.store.times
        members = self._groups.get(head)
        slots = (head,) if members is None else reversed(members)
        return any(abs(time_ms - int(times[slot])) <= self.horizon_ms for slot in slots)

    def partners(self, heads: Slots, earliest_ms: Ints, latest_ms: Ints) -> NDArray[np.bool_]:
        """Which of these IDs' only records are open and lie in the interval."""
        times = self.store.times[heads]
        return self._has(heads, OPEN) & (earliest_ms <= times) & (times <= latest_ms)

    def partner(self, head: int, earliest_ms: int, latest_ms: int) -> int:
        """The ID's open slot whose time lies in the interval, else `NONE`; there is one at most."""
        store = self.store
        for slot in self._groups.get(head, (head,)):
            if store.flags[slot] & OPEN and earliest_ms <= store.times[slot] <= latest_ms:
                return slot
        return NONE

    # How records come and go.

    def add(self, columns: Columns, hashes: Hashes, clocks_ms: Ints) -> tuple[Slots, Slots]:
        """Remember records, none of them open yet; their slots, and the head of each one's ID.

        `clocks_ms`: for each the largest event time before it. Where the ID has a head already, `share` must
        be called.
        """
        store = self.store
        self._make_room(len(columns))
        slots = store.append(columns, hashes)
        store.flags[slots] = HELD | HEAD
        heads = self._index.claim(slots, hashes, lambda rows, there: self._same(columns.ids, hashes, rows, there))
        self._held_count += len(columns)
        self.held_bytes += self._bytes_of(slots)
        self._add_to_panes(columns, slots, clocks_ms)
        return slots, heads

    def share(self, head: int, slot: int) -> None:
        """One more record of an ID that has a head."""
        flags = self.store.flags
        self._groups.setdefault(head, {head: None})[slot] = None
        self._head_of[slot] = head
        flags[head] |= SHARED
        flags[slot] = HELD | SHARED

    def open(self, slots: Slots, columns: Columns) -> None:
        """These wait for their partner."""
        self.store.flags[slots] |= OPEN
        self.store.remember(slots, columns)
        self.waiting_count += len(slots)

    def settle(self, slots: Slots) -> None:
        """Waiting records have met their end; only their IDs are remembered from here on."""
        self.store.flags[slots] &= _CLOSED
        self.store.let_go(slots)
        self.waiting_count -= len(slots)

    def expire(self, other_bound_ms: int) -> tuple[Slots, Ints]:
        """Open slots that no partner can reach any more, pane by pane, with the event time of each one's end.

        The caller settles them.
        """
        found, ends_ms = [], []
        for number in sorted(self._panes):
            end_ms = (number + 1) * self.pane_ms + self.reach_ms
            if end_ms >= other_bound_ms:
                break
            pane = self._panes[number]
            pane.is_expired = True
            if pane.expired_count == len(pane.slots):
                continue
            found.append(pane.slots_from(pane.expired_count))
            ends_ms.append(end_ms)
            pane.expired_count = len(pane.slots)
        slots = _joined(found)
        is_open = self._has(slots, OPEN)
        return slots[is_open], np.repeat(np.array(ends_ms, np.int64), [len(each) for each in found])[is_open]

    def forget(self) -> None:
        """Drop the expired panes that no duplicate can reach any more."""
        bound_ms = self.bound_ms - self.horizon_ms - self.pane_ms
        gone = [n for n, pane in self._panes.items() if pane.is_expired and (n + 1) * self.pane_ms < bound_ms]
        if not gone:
            return
        self._drop(_joined([self._panes.pop(number).slots_from(0) for number in gone]))
        if self._marks:
            oldest_ms = min(self._panes, default=self.bound_ms // self.pane_ms) * self.pane_ms - self.horizon_ms
            self._marks = {n: mark for n, mark in self._marks.items() if (n + 1) * self.pane_ms >= oldest_ms}

    def low(self) -> tuple[int, int] | None:
        """From which offset on re-reading rebuilds this state, and the clock there; None: nothing is held."""
        return min(self._marks.values(), default=None)

    # What a side does that has a disk.

    def recall(self, ids: Texts, hashes: Hashes) -> None:
        """Have the records of these IDs in memory; slots may change."""

    def evict(self) -> None:
        """Have no more in memory than may be there; slots may change."""

    # How it works.

    def _make_room(self, count: int) -> None:
        store = self.store
        if store.dead_count > store.size // 3 + 1024:
            self._compact()
        if not self._index.has_room(count):
            self._rebuild_index(count)

    def _rebuild_index(self, count: int) -> None:
        known = np.flatnonzero(self.store.flags & HEAD).astype(np.int32)
        self._index.rebuild(known, self.store.hashes[known], count + len(known) // 2)

    def _bytes_of(self, slots: Slots) -> int:
        return len(slots) * ENTRY_BYTES + int(self.store.sizes[slots].sum(dtype=np.int64))

    def _has(self, slots: Slots, flag: np.uint8) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = (self.store.flags[slots] & flag) != 0
        return found

    def _same(self, ids: Texts, hashes: Hashes, rows: NDArray[np.intp], slots: Slots) -> NDArray[np.bool_]:
        store = self.store
        is_same: NDArray[np.bool_] = (store.hashes[slots] == hashes[rows]) & self._has(slots, HEAD)
        likely = np.flatnonzero(is_same)
        is_same[likely] = ids.take(rows[likely]).equal(store.ids(slots[likely]))
        return is_same

    def _add_to_panes(self, columns: Columns, slots: Slots, clocks_ms: Ints) -> None:
        numbers = columns.times // self.pane_ms
        order = np.argsort(numbers, kind="stable")
        numbers, slots = numbers[order], slots[order]
        starts = np.flatnonzero(np.diff(numbers, prepend=NEVER)).tolist()
        for start, end in pairwise([*starts, len(slots)]):
            number, first = int(numbers[start]), order[start]
            pane = self._panes.get(number)
            if pane is None:
                mark = int(columns.offsets[first]), int(clocks_ms[first])
                pane = self._panes[number] = Pane(*mark)
                self._marks.setdefault(number, mark)
            pane.slots.frombytes(slots[start:end].tobytes())

    def _drop(self, slots: Slots) -> None:
        store = self.store
        self._held_count -= len(slots)
        self.held_bytes -= self._bytes_of(slots)
        is_shared = self.is_shared(slots)
        store.kill(slots[~is_shared])
        dead = [each for slot in slots[is_shared].tolist() for each in self._leave_group(slot)]
        store.kill(np.array(dead, np.int32))

    def _leave_group(self, slot: int) -> list[int]:
        """Take a slot from its ID's group; returns the slots that nothing needs any more.

        A head outlives its record while there are others of the ID.
        """
        head = self._head_of.pop(slot, slot)
        group = self._groups[head]
        del group[slot]
        dead = [] if slot == head else [slot]
        if not group:
            del self._groups[head]
            dead.append(head)
        elif slot == head:
            self.store.flags[head] &= ~HELD
        return dead

    def _compact(self) -> None:
        """Move the records together that are still remembered; all slots change."""
        new_slots = self.store.compact()
        for pane in self._panes.values():
            pane.slots = array("i", new_slots[pane.slots_from(0)].tobytes())
        moved = new_slots.item
        self._groups = {moved(head): {moved(slot): None for slot in group} for head, group in self._groups.items()}
        self._head_of = {moved(slot): moved(head) for slot, head in self._head_of.items()}
        self._rebuild_index(0)


def _joined(parts: list[Slots]) -> Slots:
    return np.concatenate(parts) if parts else np.empty(0, np.int32)
