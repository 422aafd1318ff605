"""Reads records that differ in their request ID and time alone, thousands at once, without parsing them.

Theory of operation. A producer writes the same JSON over and over: records of one length have their ID and
their time at the same places, and what is left when these are blanked, the *skeleton*, is one of a few,
since classes and segments are few. A skeleton is read once, by the reader of single records. A record
whose skeleton is known byte for byte, whose ID needs no unescaping and whose time is plain digits reads as
the known one does, but for the two. What is not of that kind is left to the reader of single records; so
this decides no result, only the time it takes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamguard.core.fields import TIME_MAX_MS
from streamguard.core.records import Blobs, Scalar
from streamguard.core.texts import windows

Bytes = NDArray[np.uint8]
Rows = NDArray[np.intp]
Ints = NDArray[np.int64]

# Fewer records of one length are read sooner one by one.
_ROWS_MIN = 48
_LAYOUTS_MAX = 4
_LEARNT_MAX = 256
_BYTES_MAX = 32 << 20
"""Of all known skeletons; then all are forgotten, and learnt anew."""
_PAUSE_MAX = 64
_DIGITS_MAX = 15
# An ID of these needs no unescaping and cannot end the string; all ASCII, so that a byte is a character.
_PLAIN = np.array([0x20 <= byte < 0x7F and byte not in b'"\\' for byte in range(256)])
_ODD = np.random.default_rng(7).integers(0, 1 << 63, 8192, np.uint64) * np.uint64(2) + np.uint64(1)


class Reading(NamedTuple):
    """What the reader of single records makes of one; its route is not empty."""

    request_id: str
    time_ms: int
    value: Scalar
    score: float
    route: object
    marks: object = None
    """What differs from the contract, if anything does."""


@dataclass(slots=True)
class Found:
    """The records that were read: their places in the batch, ascending, and their columns."""

    rows: Rows
    ids: Bytes
    """All IDs, one after the other."""
    id_sizes: Ints
    times: Ints
    values: NDArray[np.object_]
    scores: NDArray[np.float64]
    routes: NDArray[np.object_]
    marks: NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class _Holes:
    """Where the ID and the time's digits are in records of one length; no time: an empty range."""

    id: slice
    time: slice


class _Layout:
    """The known skeletons of one length with their holes at the same places."""

    def __init__(self, holes: _Holes, size: int) -> None:
        self.holes = holes
        self._width = -(-size // 8) * 8
        self._hashes = np.empty(0, np.uint64)
        self._words = np.empty((0, self._width // 8), np.uint64)
        self._values = np.empty(0, object)
        self._routes = np.empty(0, object)
        self._marks = np.empty(0, object)
        self._scores = np.empty(0)

    def __len__(self) -> int:
        return len(self._hashes)

    @property
    def held_bytes(self) -> int:
        """About what it keeps in memory."""
        return 1024 + len(self) * (self._width + 64)

    def words(self, matrix: Bytes) -> NDArray[np.uint64]:
        """The records without ID and time, as rows of words."""
        blank = np.zeros((len(matrix), self._width), np.uint8)
        blank[:, : matrix.shape[1]] = matrix
        blank[:, self.holes.id] = 0
        blank[:, self.holes.time] = 0
        return blank.view(np.uint64)

    def hashes(self, words: NDArray[np.uint64]) -> NDArray[np.uint64]:
        found: NDArray[np.uint64] = np.sum(words * _ODD[: words.shape[1]], axis=1, dtype=np.uint64)
        return found

    def numbers(self, words: NDArray[np.uint64], hashes: NDArray[np.uint64]) -> Ints:
        """The number of each record's skeleton; -1: not known."""
        if not len(self):
            return np.full(len(words), -1)
        places = np.minimum(np.searchsorted(self._hashes, hashes), len(self) - 1)
        return np.where((self._words[places] == words).all(axis=1), places, -1)

    def learn(self, words: NDArray[np.uint64], readings: list[Reading]) -> None:
        """Know these skeletons, none of them known yet."""
        values = np.empty(len(readings), object)
        routes = np.empty(len(readings), object)
        marks = np.empty(len(readings), object)
        for place, reading in enumerate(readings):
            values[place], routes[place], marks[place] = reading.value, reading.route, reading.marks
        hashes = np.concatenate([self._hashes, self.hashes(words)])
        order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[order]
        self._words = np.concatenate([self._words, words])[order]
        self._values = np.concatenate([self._values, values])[order]
        self._routes = np.concatenate([self._routes, routes])[order]
        self._marks = np.concatenate([self._marks, marks])[order]
        self._scores = np.concatenate([self._scores, [reading.score for reading in readings]])[order]

    def found(self, rows: Rows, ids: Bytes, times: Ints, numbers: Ints) -> Found:
        sizes = np.full(len(rows), ids.shape[1])
        values, routes, marks = (column[numbers] for column in (self._values, self._routes, self._marks))
        return Found(rows, ids.ravel(), sizes, times, values, self._scores[numbers], routes, marks)


class Skeletons:
    """Reads what it can of batches; `read_one` is the reader of single records: None is for that to tell."""

    def __init__(
        self, read_one: Callable[[bytes, int], Reading | None], *, is_timed: bool, max_ahead_ms: int, record_bytes: int
    ) -> None:
        self._read_one = read_one
        self._is_timed = is_timed
        self._max_ahead_ms = max_ahead_ms
        self._size_max = min(record_bytes, 8 * len(_ODD))
        self._layouts: dict[int, list[_Layout]] = {}
        self._pause = self._pauses = 0

    def read(self, blobs: Blobs, record_ms: Ints) -> Iterator[Found]:
        """The records of a batch that are of known skeletons, in parts."""
        if self._pause:
            self._pause -= 1
            return
        count = read = 0
        for size, rows in self._by_size(blobs):
            matrix = windows(blobs.data, size)[blobs.starts[rows]]
            count += len(rows)
            for found in self._read_size(size, matrix, rows, record_ms):
                read += len(found.rows)
                yield found
        # Where records do not repeat, looking for repetitions is a waste; they may later.
        self._pauses = 0 if 4 * read >= count else min(2 * self._pauses + 1, _PAUSE_MAX)
        self._pause = self._pauses

    def _by_size(self, blobs: Blobs) -> Iterator[tuple[int, Rows]]:
        usable = np.flatnonzero((blobs.sizes > 0) & (blobs.sizes <= self._size_max))
        sizes = blobs.sizes[usable]
        if len(sizes) and (sizes == sizes[0]).all():
            yield int(sizes[0]), usable
            return
        order = np.argsort(sizes.astype(np.uint16), kind="stable")
        sizes = sizes[order]
        for start, end in pairwise([*np.flatnonzero(np.diff(sizes, prepend=-1)), len(sizes)]):
            if end - start >= _ROWS_MIN:
                yield int(sizes[start]), usable[order[start:end]]

    def _read_size(self, size: int, matrix: Bytes, rows: Rows, record_ms: Ints) -> Iterator[Found]:
        layouts = self._layouts.setdefault(size, [])
        learnt_max = _LEARNT_MAX
        for layout in layouts:
            is_read, found, learnt = self._read_layout(layout, matrix, rows, record_ms, learnt_max)
            learnt_max -= learnt
            if found is not None:
                yield found
                matrix, rows = matrix[~is_read], rows[~is_read]
            if not len(rows):
                return
        if len(rows) >= _ROWS_MIN and len(layouts) < _LAYOUTS_MAX:
            holes = self._holes(matrix[0].tobytes(), int(record_ms[rows[0]]))
            if holes is not None and all(holes != layout.holes for layout in layouts):
                layouts.append(_Layout(holes, size))
                _, found, _ = self._read_layout(layouts[-1], matrix, rows, record_ms, learnt_max)
                if found is not None:
                    yield found

    def _read_layout(
        self, layout: _Layout, matrix: Bytes, rows: Rows, record_ms: Ints, learnt_max: int
    ) -> tuple[NDArray[np.bool_], Found | None, int]:
        """Which rows were read, what they are, and how many skeletons were learnt from them."""
        ids, times, is_usual = self._inside(layout.holes, matrix, record_ms[rows])
        words = layout.words(matrix)
        hashes = layout.hashes(words)
        numbers = layout.numbers(words, hashes)
        unknown = np.flatnonzero(is_usual & (numbers < 0))
        learnt = 0
        if len(unknown):
            learnt = self._learn(layout, matrix, rows, words, hashes, unknown, record_ms, learnt_max)
            if learnt:
                numbers = layout.numbers(words, hashes)
        is_read = is_usual & (numbers >= 0)
        if is_read.all():
            return is_read, layout.found(rows, ids, times, numbers), learnt
        if not is_read.any():
            return is_read, None, learnt
        return is_read, layout.found(rows[is_read], ids[is_read], times[is_read], numbers[is_read]), learnt

    def _inside(self, holes: _Holes, matrix: Bytes, record_ms: Ints) -> tuple[Bytes, Ints, NDArray[np.bool_]]:
        """The IDs, the times, and whether they are as plain as they must be."""
        ids = matrix[:, holes.id]
        is_usual = _PLAIN[ids].all(axis=1) & (record_ms >= 0)
        if not self._is_timed:
            return ids, record_ms, is_usual & (record_ms <= TIME_MAX_MS)
        digits = (matrix[:, holes.time] - np.uint8(ord("0"))).astype(np.int64)
        times = digits @ (10 ** np.arange(digits.shape[1] - 1, -1, -1, dtype=np.int64))
        is_usual &= (digits <= 9).all(axis=1) & (digits[:, 0] > 0)
        is_usual &= (times <= TIME_MAX_MS) & (times - record_ms <= self._max_ahead_ms)
        return ids, times, is_usual

    def _learn(
        self,
        layout: _Layout,
        matrix: Bytes,
        rows: Rows,
        words: NDArray[np.uint64],
        hashes: NDArray[np.uint64],
        unknown: Rows,
        record_ms: Ints,
        learnt_max: int,
    ) -> int:
        """Know the skeletons that come more than once among the unknown ones; returns how many."""
        _, firsts, counts = np.unique(hashes[unknown], return_index=True, return_counts=True)
        repeated = unknown[firsts[counts > 1][:learnt_max]]
        if sum(each.held_bytes for layouts in self._layouts.values() for each in layouts) > _BYTES_MAX:
            self._layouts.clear()
            return 0
        places, readings = [], []
        for row in repeated.tolist():
            raw, at_ms = matrix[row].tobytes(), int(record_ms[rows[row]])
            if self._holes(raw, at_ms) == layout.holes and (reading := self._read_one(raw, at_ms)) is not None:
                places.append(row)
                readings.append(reading)
        if readings:
            layout.learn(words[places], readings)
        return len(readings)

    def _holes(self, raw: bytes, record_ms: int) -> _Holes | None:
        """Where a record has its ID and time: proven by writing others there, and reading just these back."""
        reading = self._read_one(raw, record_ms)
        if reading is None or not reading.request_id.isascii():
            return None
        size = len(reading.request_id)
        other_id = ("a" if reading.request_id[0] != "a" else "b") * size
        expected = reading._replace(request_id=other_id)
        for start in _places(raw, b'"' + reading.request_id.encode() + b'"'):
            id_hole = slice(start + 1, start + 1 + size)
            if self._read_one(_filled(raw, id_hole, other_id), record_ms) != expected:
                continue
            if not self._is_timed:
                return _Holes(id_hole, slice(0, 0))
            time_hole = self._time_hole(raw, reading, record_ms)
            return None if time_hole is None else _Holes(id_hole, time_hole)
        return None

    def _time_hole(self, raw: bytes, reading: Reading, record_ms: int) -> slice | None:
        digits = str(reading.time_ms)
        if len(digits) > _DIGITS_MAX:
            return None
        # Not ahead of the record's own time, which would be refused.
        other = digits[:-1] + ("0" if digits[-1] != "0" else "1")
        other = other if int(other) < reading.time_ms else str(max(0, reading.time_ms - 1))
        if len(other) != len(digits):
            return None
        expected = reading._replace(time_ms=int(other))
        for start in _places(raw, digits.encode()):
            hole = slice(start, start + len(digits))
            is_whole = raw[start - 1 : start] in _BEFORE and raw[hole.stop : hole.stop + 1] in _AFTER
            if is_whole and self._read_one(_filled(raw, hole, other), record_ms) == expected:
                return hole
        return None


_BEFORE = {b":", b" ", b"\t", b"\n", b"\r"}
_AFTER = {b",", b"}", b" ", b"\t", b"\n", b"\r"}


def _places(raw: bytes, part: bytes) -> Iterator[int]:
    at = raw.find(part)
    while at >= 0:
        yield at
        at = raw.find(part, at + 1)


def _filled(raw: bytes, hole: slice, text: str) -> bytes:
    return raw[: hole.start] + text.encode() + raw[hole.stop :]
