"""The records of one side that are not in memory.

Theory of operation. Records go to the disk in segments of many, and never change there: whatever is asked
for by its ID or expires while it waits comes back into memory, and is cold no more. A segment's rows stand
in the order of their hashes, in small blocks; memory keeps the hash that each block begins with, and two bits
for each record. Which segment may hold an ID is said by locators, a new one when the last is full; an ID is
in one segment at most. So the disk is written in one direction only, an unknown ID costs it almost nothing,
and a known one the reading of one block. A segment is deleted when nothing of it is remembered any more.

What is on the disk counts from the next checkpoint on (`SpillingSide.keep`), which names every piece of it.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from streamguard.core.frozen import Frozen, Thawing
from streamguard.core.index import Hashes
from streamguard.core.locator import SEGMENTS_MAX, Locator
from streamguard.core.texts import Texts
from streamguard.core.waiting import OPEN

# More, and a lookup reads more; fewer, and memory keeps more.
_BLOCK_ROWS = 32
# Blocks read at once.
_READ_BLOCKS = 1024
LAST = (1 << 32) - 1
"""The number of a block that stands behind all others of its piece."""

Ints = NDArray[np.int64]
Bits = NDArray[np.uint8]
Rows = NDArray[np.intp]
_NO_ROWS: Rows = np.empty(0, np.intp)


class Disk(Protocol):
    """Pieces under numbers, each a run of blocks. Raises what ends the task: its user has no remedy."""

    def put(self, blocks: Iterable[bytes], *, last: bytes | None = None) -> int:
        """Write a piece; returns its number, which no other has had. `last`: one more block, numbered `LAST`."""

    def get(self, numbers: Ints, blocks: Ints) -> list[bytes]:
        """Some blocks of some pieces."""

    def stamp(self) -> bytes | None:
        """What was kept last; None where nothing is."""

    def keep(self, stamp: bytes, numbers: Collection[int]) -> None:
        """From here on the disk is these pieces and the stamp, also after a crash; all other pieces may go."""

    def clear(self) -> None:
        """Keep nothing."""


@dataclass(slots=True)
class Segment:
    """A piece of rows in the order of their hashes."""

    number: int
    starts: NDArray[np.int32]
    """The first row of each block, and after these the count of rows."""
    fences: NDArray[np.uint32]
    """The hash of that row. Rows of one hash are in one block."""
    cold: Bits
    """A bit for each row that has not come back."""
    waiting: Bits
    """A bit for each of these that waits for its partner."""
    panes: dict[int, int]
    """How many are cold, by pane."""
    waiting_panes: dict[int, int]


@dataclass(slots=True)
class Group:
    """Segments that share a locator."""

    locator: Locator
    segments: list[Segment | None] = field(default_factory=list)
    number: int | None = None
    """The piece that its locator is kept in; None: it is to be written."""


class Cold:
    """Records that are remembered on a disk, at most one of each ID."""

    def __init__(self, disk: Disk, thawing: Thawing, *, pane_ms: int) -> None:
        self.groups: list[Group] = []
        self.waiting_panes: Counter[int] = Counter()
        self._disk = disk
        self._pane_ms = pane_ms
        self._thawing = thawing

    @property
    def segments(self) -> list[Segment]:
        """Those of which anything is remembered."""
        return [each for group in self.groups for each in group.segments if each is not None]

    def put(self, records: Frozen) -> None:
        """Take records out of memory; none of their IDs is here."""
        order = np.argsort(records.hashes, kind="stable")
        records = records.take(order)
        starts = np.unique(np.searchsorted(records.hashes, records.hashes[::_BLOCK_ROWS]))
        bounds, fences = np.append(starts, len(records)).astype(np.int32), records.hashes[starts]
        segment = Segment(
            number=self._disk.put(
                (block for part in _parts(np.arange(len(starts))) for block in _encoded(records, bounds, part)),
                last=bounds.astype("<i4").tobytes() + fences.astype("<u4").tobytes(),
            ),
            starts=bounds,
            fences=fences,
            cold=np.packbits(np.ones(len(records), np.bool_), bitorder="little"),
            waiting=np.packbits((records.flags & OPEN) != 0, bitorder="little"),
            panes=self._panes(records.columns.times),
            waiting_panes=self._panes(records.columns.times[(records.flags & OPEN) != 0]),
        )
        self.waiting_panes.update(segment.waiting_panes)
        group = self.groups[-1] if self.groups else None
        if group is None or len(group.segments) == SEGMENTS_MAX or not group.locator.has_room(len(records)):
            group = Group(Locator(len(records) * SEGMENTS_MAX))
            self.groups.append(group)
        group.segments.append(segment)
        group.locator.add(records.hashes, len(group.segments))
        group.number = None

    def take(self, ids: Texts, hashes: Hashes) -> Iterable[Frozen]:
        """The records of these IDs, which are cold no more."""
        segments, owner, rows, block = self._candidates(hashes)
        for start in range(0, len(rows), _READ_BLOCKS):
            part = slice(start, start + _READ_BLOCKS)
            numbers = np.array([segment.number for segment in segments])[owner[part]]
            opened = self._thawing.open(self._disk.get(numbers, block[part]))
            same = np.flatnonzero(opened.rows["hash"] == hashes[rows[part]][opened.block])
            same = same[ids.take(rows[part][opened.block[same]]).equal(opened.ids.take(same))]
            owners, found = owner[part][opened.block[same]], []
            for each in np.unique(owners).tolist():
                segment, index = segments[each], same[owners == each]
                at = segment.starts[block[part][opened.block[index]]] + opened.places[index]
                pane = opened.rows["time"][index] // self._pane_ms
                is_cold = _has(segment.cold, at) & np.isin(pane, list(segment.panes))
                # An ID may be asked for more than once.
                at, firsts = np.unique(at[is_cold], return_index=True)
                found.append(index[is_cold][firsts])
                self._come_out(segment, at, opened.rows[found[-1]])
            if any(map(len, found)):
                yield self._thawing.take(opened, np.concatenate(found))

    def take_waiting(self, panes: Collection[int]) -> Iterable[Frozen]:
        """The records of these panes that wait, which are cold no more."""
        due = list(panes)
        for segment in self.segments:
            if segment.waiting_panes.keys().isdisjoint(due):
                continue
            waiting = np.flatnonzero(_unpacked(segment.waiting, segment))
            for blocks in _parts(np.unique(np.searchsorted(segment.starts, waiting, "right") - 1)):
                opened = self._thawing.open(self._disk.get(np.full(len(blocks), segment.number), blocks))
                at = segment.starts[blocks[opened.block]] + opened.places
                pane = opened.rows["time"] // self._pane_ms
                index = np.flatnonzero(_has(segment.waiting, at) & np.isin(pane, due))
                self._come_out(segment, at[index], opened.rows[index])
                yield self._thawing.take(opened, index)

    def drop(self, panes: Collection[int]) -> int:
        """Forget all that is cold of these panes; returns how many those were."""
        count = 0
        for group in self.groups:
            for place, segment in enumerate(group.segments):
                if segment is None:
                    continue
                count += sum(segment.panes.pop(pane, 0) for pane in panes)
                if not segment.panes:
                    group.segments[place] = None
        self.groups = [group for group in self.groups if any(group.segments)]
        return count

    # How it works.

    def _candidates(self, hashes: Hashes) -> tuple[list[Segment], Rows, Rows, Rows]:
        """Segments; and which of them may have which of the rows, in which block."""
        segments: list[Segment] = []
        owners, found, blocks = [_NO_ROWS], [_NO_ROWS], [_NO_ROWS]
        for group in self.groups:
            rows, numbers = group.locator.find(hashes)
            # In the order of the segments, and of several answers one.
            numbers, rows = np.divmod(np.unique(numbers * len(hashes) + rows), len(hashes))
            firsts = np.searchsorted(numbers, np.arange(len(group.segments) + 2))
            for place, segment in enumerate(group.segments):
                mine = rows[firsts[place + 1] : firsts[place + 2]]
                if segment is None or not len(mine):
                    continue
                block = np.searchsorted(segment.fences, hashes[mine], "right") - 1
                found.append(mine[block >= 0])
                blocks.append(block[block >= 0])
                owners.append(np.full(len(found[-1]), len(segments)))
                segments.append(segment)
        return segments, np.concatenate(owners), np.concatenate(found), np.concatenate(blocks)

    def _come_out(self, segment: Segment, at: Ints, rows: NDArray[Any]) -> None:
        _clear(segment.cold, at)
        _clear(segment.waiting, at)
        self._count_out(rows["time"], segment.panes)
        self._count_out(rows["time"][(rows["flags"] & OPEN) != 0], segment.waiting_panes, self.waiting_panes)

    def _count_out(self, times: Ints, *counts: dict[int, int]) -> None:
        for pane, count in self._panes(times).items():
            for each in counts:
                each[pane] -= count
                if not each[pane]:
                    del each[pane]

    def _panes(self, times: Ints) -> dict[int, int]:
        panes, counts = np.unique(times // self._pane_ms, return_counts=True)
        return dict(zip(panes.tolist(), counts.tolist(), strict=True))

    # How it is kept.

    def keep(self) -> tuple[list[Any], list[bytes], list[int]]:
        """What a checkpoint says of it: a document, blocks that belong to it, and the pieces that are in use."""
        blocks: list[bytes] = []
        document = []
        for group in self.groups:
            if group.number is None:
                group.number = self._disk.put([group.locator.table.astype("<u2").tobytes()])
            segments: list[Any] = []
            for segment in group.segments:
                if segment is None:
                    segments.append(None)
                    continue
                segments.append([segment.number, len(blocks), *map(_pairs, (segment.panes, segment.waiting_panes))])
                blocks += [segment.cold.tobytes(), segment.waiting.tobytes()]
            document.append([group.number, group.locator.count, segments])
        used = [segment.number for segment in self.segments]
        return document, blocks, [*used, *(group.number for group in self.groups if group.number is not None)]

    def restore(self, document: list[Any], blocks: Sequence[bytes]) -> None:
        """Be again what a checkpoint says."""
        for number, count, kept in document:
            locator = Locator(0)
            locator.count = count
            locator.table = np.frombuffer(self._disk.get(*_one(number, 0))[0], "<u2").reshape(-1, 8).copy()
            segments = [None if each is None else self._segment(each, blocks) for each in kept]
            self.groups.append(Group(locator, segments, number))
        for segment in self.segments:
            self.waiting_panes.update(segment.waiting_panes)

    def _segment(self, kept: list[Any], blocks: Sequence[bytes]) -> Segment:
        number, first, panes, waiting_panes = kept
        fences = self._disk.get(*_one(number, LAST))[0]
        # Of n blocks there are n + 1 starts and n hashes of four bytes.
        count = len(fences) // 8
        bits = [np.frombuffer(each, np.uint8).copy() for each in blocks[first : first + 2]]
        starts = np.frombuffer(fences, "<i4", count + 1).astype(np.int32)
        hashes = np.frombuffer(fences, "<u4", count, 4 * (count + 1)).astype(np.uint32)
        return Segment(number, starts, hashes, bits[0], bits[1], dict(panes), dict(waiting_panes))


def _encoded(records: Frozen, bounds: NDArray[np.int32], blocks: Ints) -> list[bytes]:
    first, last = bounds[blocks[0]], bounds[blocks[-1] + 1]
    return records.take(slice(first, last)).encode(bounds[blocks] - first)


def _pairs(counts: dict[int, int]) -> list[tuple[int, int]]:
    return list(counts.items())


def _one(number: int, block: int) -> tuple[Ints, Ints]:
    return np.array([number]), np.array([block])


def _parts(blocks: Ints) -> list[Ints]:
    return [blocks[start : start + _READ_BLOCKS] for start in range(0, len(blocks), _READ_BLOCKS)]


def _unpacked(bits: Bits, segment: Segment) -> NDArray[np.uint8]:
    return np.unpackbits(bits, count=int(segment.starts[-1]), bitorder="little")


def _has(bits: Bits, rows: Ints) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (bits[rows >> 3] >> (rows & 7).astype(np.uint8) & 1) != 0
    return found


def _clear(bits: Bits, rows: Ints) -> None:
    np.bitwise_and.at(bits, rows >> 3, ~(np.uint8(1) << (rows & 7).astype(np.uint8)))
