"""One side of a join: the records of one partition that may still matter.

Theory of operation. A record is remembered for two reasons, and each ends by a bound (the largest event
time seen in a partition, less the allowed disorder): it waits for its partner until the *other*
partition's bound has passed its reach, and it marks its ID as used until its *own* partition's bound has
passed the horizon. Records are kept in panes of event time, each a 64th of the horizon wide, and a pane
is expired and forgotten whole. Whether two records match or repeat each other is decided by their
times alone, so a pane that lingers changes no result.

A pane also knows the first offset that fell into it, and how far event time had come there. From the
oldest pane that can still be asked about, re-reading the log rebuilds this state exactly (`low`).
"""

from array import array
from dataclasses import dataclass, field

from streamguard.core.codec import Route
from streamguard.core.records import Scalar

NEVER = -(1 << 62)
"""Before all event times."""

# Measured by benchmarks/memory.py: what a record costs here beside its ID's and value's own bytes.
ENTRY_BYTES = 220
RECORD_BYTES = 240
"""The same with an ID of usual length."""


@dataclass(slots=True)
class _Pane:
    first_offset: int
    clock_before: int
    """The largest event time before that offset."""
    slots: list[int] = field(default_factory=list)
    expired_count: int = 0
    """So many of the slots have been expired; all of them, or the pane is still waiting."""


class Side:
    """The remembered records of one partition, as columns addressed by slot.

    `reach_ms`: how far after its own event time a partner's may be. `horizon_ms`: within which a
    second record of the same ID is a duplicate.
    """

    def __init__(self, *, reach_ms: int, horizon_ms: int, disorder_ms: int) -> None:
        self.reach_ms = reach_ms
        self.horizon_ms = horizon_ms
        self.disorder_ms = disorder_ms
        self.pane_ms = max(1, horizon_ms // 64)
        self.clock_ms = NEVER
        self.held_bytes = 0
        self.waiting_count = 0
        self.slots_of: dict[str, int | list[int]] = {}
        self.ids: list[str] = []
        self.times = array("q")
        self.offsets = array("q")
        self.values: list[Scalar | None] = []
        self.scores = array("d")
        self.routes: list[Route | None] = []
        self.is_open = bytearray()
        self._free: list[int] = []
        self._panes: dict[int, _Pane] = {}
        self._marks: dict[int, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self.ids) - len(self._free)

    @property
    def bound_ms(self) -> int:
        """No record of this partition with an event time below this is taken any more."""
        return self.clock_ms - self.disorder_ms

    def repeats(self, known: int | list[int], time_ms: int) -> bool:
        """Whether a record of an ID seen before at `known` is a duplicate."""
        slots = (known,) if isinstance(known, int) else reversed(known)
        return any(abs(time_ms - self.times[slot]) <= self.horizon_ms for slot in slots)

    def partner(self, known: int | list[int], earliest_ms: int, latest_ms: int) -> int | None:
        """The open slot among `known` whose time lies in the interval; at most one can."""
        slots = (known,) if isinstance(known, int) else known
        for slot in slots:
            if self.is_open[slot] and earliest_ms <= self.times[slot] <= latest_ms:
                return slot
        return None

    def settle(self, slot: int) -> None:
        """A waiting record has met its end; only its ID is remembered from here on."""
        self.is_open[slot] = 0
        self.values[slot] = None
        self.routes[slot] = None
        self.waiting_count -= 1

    def add(
        self,
        request_id: str,
        time_ms: int,
        offset: int,
        value: Scalar,
        score: float,
        route: Route,
        *,
        is_open: bool,
    ) -> None:
        """Remember a record; `clock_ms` must still be what it was before this record."""
        if self._free:
            slot = self._free.pop()
            self.ids[slot] = request_id
            self.times[slot] = time_ms
            self.offsets[slot] = offset
            self.scores[slot] = score
            self.is_open[slot] = is_open
            self.values[slot] = value if is_open else None
            self.routes[slot] = route if is_open else None
        else:
            slot = len(self.ids)
            self.ids.append(request_id)
            self.times.append(time_ms)
            self.offsets.append(offset)
            self.scores.append(score)
            self.is_open.append(is_open)
            self.values.append(value if is_open else None)
            self.routes.append(route if is_open else None)
        self.waiting_count += is_open
        self.held_bytes += ENTRY_BYTES + len(request_id)
        known = self.slots_of.setdefault(request_id, slot)
        if known is not slot:
            if isinstance(known, int):
                self.slots_of[request_id] = [known, slot]
            else:
                known.append(slot)
        number = time_ms // self.pane_ms
        pane = self._panes.get(number)
        if pane is None:
            pane = self._panes[number] = _Pane(offset, self.clock_ms)
            self._marks.setdefault(number, (offset, self.clock_ms))
        pane.slots.append(slot)

    def expire(self, other_bound_ms: int) -> list[tuple[int, list[int]]]:
        """Panes that no partner can reach any more: each with the event time of its end, and its open slots.

        The caller settles the slots.
        """
        result = []
        for number in sorted(self._panes):
            end_ms = (number + 1) * self.pane_ms + self.reach_ms
            if end_ms >= other_bound_ms:
                break
            pane = self._panes[number]
            if pane.expired_count == len(pane.slots):
                continue
            slots = [slot for slot in pane.slots[pane.expired_count :] if self.is_open[slot]]
            if slots:
                result.append((end_ms, slots))
            pane.expired_count = len(pane.slots)
        return result

    def forget(self) -> None:
        """Drop the expired panes that no duplicate can reach any more."""
        bound_ms = self.bound_ms - self.horizon_ms - self.pane_ms
        gone = [n for n, pane in self._panes.items() if pane.expired_count and (n + 1) * self.pane_ms < bound_ms]
        for number in gone:
            for slot in self._panes.pop(number).slots:
                self._drop(slot)
        if gone and self._marks:
            oldest_ms = min(self._panes, default=self.bound_ms // self.pane_ms) * self.pane_ms - self.horizon_ms
            self._marks = {n: mark for n, mark in self._marks.items() if (n + 1) * self.pane_ms >= oldest_ms}

    def _drop(self, slot: int) -> None:
        request_id = self.ids[slot]
        known = self.slots_of[request_id]
        if isinstance(known, int) or len(known) == 1:
            del self.slots_of[request_id]
        else:
            known.remove(slot)
        self.held_bytes -= ENTRY_BYTES + len(request_id)
        self.ids[slot] = ""
        self._free.append(slot)

    def low(self) -> tuple[int, int] | None:
        """From which offset on re-reading rebuilds this state, and the clock there; None: nothing is held."""
        return min(self._marks.values(), default=None)
