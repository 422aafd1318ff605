"""Which records of one partition were sent back, and how that is committed.

Theory of operation. A run sends back what its filters take, so what is settled is not one prefix of the partition.
The committed offset is the first that is not settled, and the note beside it, which is committed with the records
themselves, names the ranges that are settled beyond it. What a run passes over is in neither, and so is there for a
later run; what is in either is never sent again. Offsets without a record (transaction markers) before a settled record
count as settled, so that neighbours are one range.

A note has only so much room, enough for about a thousand ranges. Where there is no more, nothing further is begun in
that partition: to send what would not be noted would be to send it again.
"""

from typing import Any

import orjson

from streamguard.core.ranges import Ranges

NOTE_BYTES_MAX = 4096
"""Of commit metadata, on a broker with its default settings."""
_VERSION = 1
# A gap and a length of 19 digits each, with their commas.
_RANGE_BYTES = 40


class Settled:
    """One partition of the rejected topic, as runs go along it: offsets are told in their order."""

    def __init__(self, offset: int, lengths: list[int] | None = None) -> None:
        """From what was committed: the first offset that is not settled, and the lengths in the note beside it."""
        self._offset = offset
        self._ranges = Ranges(offset, lengths or [])
        self._next = offset
        """The offset after the last that was told."""

    @staticmethod
    def restored(offset: int, note: str) -> "Settled":
        """From what was committed; raises `ValueError` for a note that is not ours."""
        if not note:
            return Settled(offset)
        found: Any = orjson.loads(note)
        if type(found) is not dict or found.get("v") != _VERSION:
            raise ValueError(f"a note of version {_VERSION} expected, got {note[:80]!r}")
        lengths = found.get("settled")
        if type(lengths) is not list or len(lengths) % 2 or not all(type(each) is int and each > 0 for each in lengths):
            raise ValueError(f"a note with the lengths of gaps and ranges expected, got {note[:80]!r}")
        return Settled(offset, lengths)

    def __contains__(self, offset: int) -> bool:
        """Whether it was sent back, or is not to be sent at all."""
        return offset < self._offset or offset in self._ranges

    @property
    def offset(self) -> int:
        """What to commit: the first offset that is not settled."""
        return self._offset

    def note(self) -> str:
        """What to commit beside it."""
        lengths = list(self._ranges.lengths(self._offset))
        return orjson.dumps({"v": _VERSION, "settled": lengths}).decode() if lengths else ""

    @property
    def is_full(self) -> bool:
        """Whether the note may have no room for the next record, should that be settled."""
        # Where all before it is settled the offset moves on, and the note does not grow.
        if self._next == self._offset or (len(self._ranges) + 2) * _RANGE_BYTES < NOTE_BYTES_MAX:
            return False
        return len(self.note()) > NOTE_BYTES_MAX - _RANGE_BYTES

    def begin(self, start: int) -> None:
        """Nothing is left of what is before this offset: retention has removed it."""
        if start > self._offset:
            self._ranges.add(self._offset, start)
            self._move()
        self._next = self._offset

    def settle(self, offset: int) -> None:
        """The record there is sent back, in the transaction that commits this."""
        # What lies between this and the record before is a marker, and no record to be sent.
        self._ranges.add(self._next, offset + 1)
        self._next = max(self._next, offset + 1)
        self._move()

    def pass_over(self, offset: int) -> None:
        """The record there is left for a later run, unless it is settled already."""
        if offset in self:
            self.settle(offset)
        else:
            if self._next == self._offset:
                self.end(offset)
            self._next = offset + 1

    def end(self, offset: int) -> None:
        """There is no further record before this offset."""
        if self._next - 1 in self:
            self._ranges.add(self._next, offset)
        self._next = max(self._next, offset)
        self._move()

    def _move(self) -> None:
        """Let the offset be the first that is not settled."""
        lengths = self._ranges.lengths(self._offset)
        if next(lengths, None) == 0:
            self._offset += next(lengths)
            self._ranges.forget(self._offset)
            self._next = max(self._next, self._offset)
