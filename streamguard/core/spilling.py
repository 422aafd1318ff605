"""One side of a join whose older records are on a disk.

Whatever is decided is decided in memory, by the side as it is: a record that is asked for comes back first,
and so does what waits in a pane that expires. Of an ID with several records all stay in memory.
"""

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from streamguard.core.codec import Columns
from streamguard.core.cold import Cold, Disk
from streamguard.core.frozen import Frozen, Thawing
from streamguard.core.index import Hashes, differ
from streamguard.core.texts import Texts
from streamguard.core.waiting import HEAD, HELD, Ints, Pane, Side, Slots

_BLOCK_ROWS = 4096
# Records written at once: what it takes is several times their size.
_CHUNK = 8 * _BLOCK_ROWS


class SpillingSide(Side):
    """Remembers any number of records; `hot_max` says how many may be in memory, and how many bytes of them."""

    def __init__(
        self,
        disk: Disk,
        hot_max: tuple[int, int],
        *,
        reach_ms: int,
        horizon_ms: int,
        disorder_ms: int,
        with_scores: bool,
    ) -> None:
        super().__init__(reach_ms=reach_ms, horizon_ms=horizon_ms, disorder_ms=disorder_ms, with_scores=with_scores)
        self._hot_max, self._bytes_max = hot_max
        self._thawing = Thawing(with_scores=with_scores)
        self._cold = Cold(disk, self._thawing, pane_ms=self.pane_ms)

    def recall(self, ids: Texts, hashes: Hashes) -> None:
        """Have the records of these IDs in memory; slots may change."""
        self._come_back(self._cold.take(ids, hashes))

    def evict(self) -> None:
        """Where too many are in memory, let half as many be there: those of the newest panes."""
        hot = self.store.size - self.store.dead_count
        if hot <= self._hot_max and self.held_bytes <= self._bytes_max:
            return
        count = hot - min(hot, self._hot_max) // 2
        parts = []
        for number in sorted(self._panes):
            pane = self._panes[number]
            slots = pane.slots_from(0)
            going = np.flatnonzero(~self.is_shared(slots))[:count]
            parts.append(slots[going])
            staying = np.delete(np.arange(len(slots)), going)
            pane.slots = array("i", slots[staying].tobytes())
            pane.expired_count = int(np.searchsorted(staying, pane.expired_count))
            count -= len(going)
            if not count:
                break
        slots = np.concatenate(parts)
        if len(slots):
            self._cold.put(self._frozen(slots))
            self.held_bytes -= self._bytes_of(slots)
            self.store.kill(slots)

    def expire(self, other_bound_ms: int) -> tuple[Slots, Ints]:
        """As in memory; what waits in the panes that expire comes back first."""
        due = [n for n in self._panes if (n + 1) * self.pane_ms + self.reach_ms < other_bound_ms]
        if not self._cold.waiting_panes.keys().isdisjoint(due):
            self._come_back(self._cold.take_waiting(due))
        for number in due:
            pane = self._panes[number]
            rest = pane.slots_from(pane.expired_count)
            if len(rest):
                # What has come back stands behind what came after it.
                ordered = rest[np.argsort(self.store.offsets[rest])]
                pane.slots[pane.expired_count :] = array("i", ordered.tobytes())
        return super().expire(other_bound_ms)

    def forget(self) -> None:
        """As in memory, and on the disk."""
        before = self._panes.keys() | ()
        super().forget()
        if gone := before - self._panes.keys():
            self._held_count -= self._cold.drop(gone)

    # How it comes back after a restart.

    def keep(self) -> tuple[dict[str, Any], list[bytes], list[int]]:
        """All of its state: a document, the blocks that it speaks of, and its pieces on the disk."""
        slots = np.flatnonzero(self.store.flags[: self.store.size]).astype(np.int32)
        hot: list[bytes] = []
        for start in range(0, len(slots), _CHUNK):
            part = slots[start : start + _CHUNK]
            hot += self._frozen(part).encode(np.arange(0, len(part), _BLOCK_ROWS))
        place = {slot: place for place, slot in enumerate(slots.tolist())} if self._groups else {}
        cold, bits, pieces = self._cold.keep()
        document = {
            "clock": self.clock_ms,
            "waiting": self.waiting_count,
            "held": self._held_count,
            "panes": [(n, pane.first_offset, pane.clock_before, pane.is_expired) for n, pane in self._panes.items()],
            "marks": [(number, *mark) for number, mark in self._marks.items()],
            "groups": [(place[head], [place[slot] for slot in group]) for head, group in self._groups.items()],
            "hot": len(hot),
            "cold": cold,
        }
        return document, hot + bits, pieces

    def restore(self, document: dict[str, Any], blocks: Sequence[bytes]) -> None:
        """Become, from new, what was kept."""
        hot = document["hot"]
        self.clock_ms = document["clock"]
        self._panes = {
            number: Pane(offset, clock_ms, is_expired=is_expired)
            for number, offset, clock_ms, is_expired in document["panes"]
        }
        self._marks = {number: (offset, clock_ms) for number, offset, clock_ms in document["marks"]}
        self._come_back(self._thawing.thaw([block]) for block in blocks[:hot])
        for head, group in document["groups"]:
            self._groups[head] = dict.fromkeys(group)
            self._head_of |= {slot: head for slot in group if slot != head}
        self._cold.restore(document["cold"], blocks[hot:])
        self.waiting_count = document["waiting"]
        self._held_count = document["held"]

    # How it works.

    def _frozen(self, slots: Slots) -> Frozen:
        store = self.store
        half = store.half(slots)
        columns = Columns(half.offsets, half.times, store.ids(slots), half.values, half.scores, half.routes)
        return Frozen(columns, store.hashes[slots], store.flags[slots])

    def _come_back(self, parts: Iterable[Frozen]) -> None:
        for records in parts:
            store, columns = self.store, records.columns
            self._make_room(len(records))
            slots = store.append(columns, records.hashes)
            store.flags[slots] = records.flags
            store.remember(slots, columns)
            heads = (records.flags & HEAD) != 0
            self._index.claim(slots[heads], records.hashes[heads], differ)
            held = (records.flags & HELD) != 0
            self.held_bytes += self._bytes_of(slots[held])
            # Their panes are there: a pane is remembered as long as any of its records.
            self._add_to_panes(columns.take(held), slots[held], columns.times[held])
