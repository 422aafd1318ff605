"""Which of a few segments may hold a text, in about two and a half bytes for each text.

A table of buckets of eight entries, as in Fan, Andersen, Kaminsky and Mitzenmacher, "Cuckoo Filter", CoNEXT
2014, but without moving entries: a full bucket leads on to the next. An entry is 11 bits of the text's hash
and 5 of the segment's number. It never misses; of texts that are in no segment it takes about one in 300 for
one that is.
"""

import math

import numpy as np
from numpy.typing import NDArray

from streamguard.core.index import Hashes

SEGMENTS_MAX = 31
_ENTRIES = 8
_LOAD_MAX = 0.75
_TAGS = np.uint32(0x7FF)
_SHIFT, _SEGMENT_BITS = np.uint16(5), np.uint16(SEGMENTS_MAX)
# A word holds four entries; the highest is the last of them.
_LANES = np.uint64(0x0001_0001_0001_0001)
_TAG_BITS = _LANES * np.uint64(0xFFE0)
_LAST = np.uint64(48)

Rows = NDArray[np.intp]


class Locator:
    """Takes texts of up to `SEGMENTS_MAX` segments, numbered from 1, until it is full."""

    def __init__(self, capacity: int) -> None:
        # A prime number of buckets: whatever its step, a text comes to all of them.
        count = int(capacity / _LOAD_MAX) // _ENTRIES + 3
        while any(count % each == 0 for each in range(2, math.isqrt(count) + 1)):
            count += 1
        self.table = np.zeros((count, _ENTRIES), "<u2")
        self.count = 0

    def has_room(self, count: int) -> bool:
        """Whether so many texts more fit in."""
        return self.count + count <= _LOAD_MAX * self.table.size

    def add(self, hashes: Hashes, segment: int) -> None:
        """These are in that segment."""
        self.count += len(hashes)
        entries = self._tags(hashes) << _SHIFT | np.uint16(segment)
        buckets, steps = self._buckets(hashes), self._steps(hashes)
        while len(entries):
            order = np.argsort(buckets, kind="stable")
            entries, buckets, steps = entries[order], buckets[order], steps[order]
            firsts = np.flatnonzero(np.diff(buckets, prepend=-1))
            ranks = np.arange(len(buckets)) - np.repeat(firsts, np.diff(firsts, append=len(buckets)))
            places = np.count_nonzero(self.table[buckets], axis=1) + ranks
            fits = places < _ENTRIES
            self.table[buckets[fits], places[fits]] = entries[fits]
            entries, steps = entries[~fits], steps[~fits]
            buckets = (buckets[~fits] + steps) % len(self.table)

    def find(self, hashes: Hashes) -> tuple[Rows, NDArray[np.int64]]:
        """Rows, each with a segment that may hold its text; a row may be there more than once, in no order."""
        tags, buckets, steps = self._tags(hashes) << _SHIFT, self._buckets(hashes), self._steps(hashes)
        patterns = tags.astype(np.uint64) * _LANES
        rows = np.arange(len(hashes))
        words = self.table.view("<u8").ravel()
        found_rows, found_segments = [np.empty(0, np.intp)], [np.empty(0, np.uint16)]
        while len(rows):
            # Four entries at a time, since nearly all rows have none that is like theirs.
            low, high = words[2 * buckets], words[2 * buckets + 1]
            near = np.flatnonzero(_has_zero((low ^ patterns) & _TAG_BITS) | _has_zero((high ^ patterns) & _TAG_BITS))
            entries = self.table[buckets[near]]
            # An entry is never 0, since segments count from 1.
            hits = np.flatnonzero((entries & ~_SEGMENT_BITS == tags[rows[near], np.newaxis]) & (entries != 0))
            found_rows.append(rows[near[hits // _ENTRIES]])
            found_segments.append(entries.ravel()[hits] & _SEGMENT_BITS)
            is_full = high >> _LAST != 0
            rows, patterns, steps = rows[is_full], patterns[is_full], steps[is_full]
            buckets = (buckets[is_full] + steps) % len(self.table)
        return np.concatenate(found_rows), np.concatenate(found_segments).astype(np.int64)

    def _tags(self, hashes: Hashes) -> NDArray[np.uint16]:
        return (hashes & _TAGS).astype(np.uint16)

    def _buckets(self, hashes: Hashes) -> NDArray[np.int64]:
        return (hashes.astype(np.uint64) * np.uint64(len(self.table)) >> np.uint64(32)).astype(np.int64)

    def _steps(self, hashes: Hashes) -> NDArray[np.int64]:
        """From a full bucket to the next: different ones, or runs of full buckets grow long."""
        return 1 + (hashes & _TAGS).astype(np.int64) % (len(self.table) - 1)


def _has_zero(words: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Whether one of a word's four lanes is zero (Warren, Hacker's Delight, section 6-1)."""
    found: NDArray[np.bool_] = (words - _LANES) & ~words & (_LANES << np.uint64(15)) != 0
    return found
