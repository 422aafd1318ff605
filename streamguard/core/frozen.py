"""Records as blocks of bytes: how the cold part of a side stands on a disk.

A block is a head (`_HEAD`), a row of fixed size for each record (`_ROW`), the bytes of their IDs, and what
waiting records are needed for beside that, as JSON: `[value, route]`, or nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from streamguard.core.codec import Columns, Route
from streamguard.core.identity import distinct
from streamguard.core.index import Hashes
from streamguard.core.records import Scalar
from streamguard.core.texts import Texts, padded, windows

_HEAD = np.dtype([("rows", "<u4"), ("id_bytes", "<u4")])
_ROW = np.dtype(
    [
        ("hash", "<u4"),
        ("id_size", "<u4"),
        ("extra_size", "<u4"),
        ("flags", "u1"),
        ("time", "<i8"),
        ("offset", "<i8"),
        ("score", "<f8"),
    ]
)
_ROW_BYTES = _ROW.itemsize
_CACHED_MAX = 65_536

Ints = NDArray[np.int64]
Flags = NDArray[np.uint8]


@dataclass(slots=True)
class Frozen:
    """Remembered records, out of their slots; columns of equal length. `flags` are the owner's."""

    columns: Columns
    hashes: Hashes
    flags: Flags

    def __len__(self) -> int:
        return len(self.hashes)

    def take(self, index: Any) -> "Frozen":
        """The records that `index` selects."""
        return Frozen(self.columns.take(index), self.hashes[index], self.flags[index])

    @staticmethod
    def concatenate(parts: "Sequence[Frozen]") -> "Frozen":
        """All records of all parts, which are of one side."""
        return Frozen(
            Columns.concatenate([part.columns for part in parts]),
            np.concatenate([part.hashes for part in parts]),
            np.concatenate([part.flags for part in parts]),
        )

    def encode(self, starts: Ints) -> list[bytes]:
        """As blocks, which begin with these rows; the first with row 0."""
        columns, count = self.columns, len(self)
        rows = np.zeros(count, _ROW)
        extras = _extras(columns)
        rows["hash"], rows["flags"] = self.hashes, self.flags
        rows["time"], rows["offset"] = columns.times, columns.offsets
        rows["id_size"] = columns.ids.sizes
        rows["extra_size"] = extras.sizes
        rows["score"] = np.nan if columns.scores is None else columns.scores
        fixed, ids, extra = rows.tobytes(), columns.ids.joined().tobytes(), extras.joined().tobytes()
        bounds = np.append(starts, count)
        id_ends = np.concatenate(([0], np.cumsum(columns.ids.sizes)))[bounds]
        extra_ends = np.concatenate(([0], np.cumsum(extras.sizes)))[bounds]
        heads = np.zeros(len(starts), _HEAD)
        heads["rows"], heads["id_bytes"] = np.diff(bounds), np.diff(id_ends)
        head = heads.tobytes()
        size = _HEAD.itemsize
        at, id_at, extra_at = (bounds * _ROW_BYTES).tolist(), id_ends.tolist(), extra_ends.tolist()
        return [
            head[block * size : block * size + size]
            + fixed[at[block] : at[block + 1]]
            + ids[id_at[block] : id_at[block + 1]]
            + extra[extra_at[block] : extra_at[block + 1]]
            for block in range(len(starts))
        ]


class Thawing:
    """Reads blocks of one side back. Its cache shares objects between records; it holds no state."""

    def __init__(self, *, with_scores: bool) -> None:
        self._with_scores = with_scores
        self._cache: dict[bytes, tuple[Scalar | None, Route | None]] = {b"": (None, None)}

    def open(self, blocks: Sequence[bytes]) -> "Opened":
        """The rows of all these blocks."""
        data = padded(np.frombuffer(b"".join(blocks), np.uint8))
        ends = np.cumsum(np.fromiter(map(len, blocks), np.int64, len(blocks)))
        begins = np.concatenate(([0], ends[:-1]))
        heads = windows(data, _HEAD.itemsize)[begins].view(_HEAD).ravel()
        counts = heads["rows"].astype(np.int64)
        block = np.repeat(np.arange(len(blocks)), counts)
        firsts = np.cumsum(counts) - counts
        places = np.arange(len(block)) - firsts[block]
        rows = windows(data, _ROW_BYTES)[begins[block] + _HEAD.itemsize + places * _ROW_BYTES].view(_ROW).ravel()
        id_begins = begins + _HEAD.itemsize + counts * _ROW_BYTES
        id_sizes, extra_sizes = rows["id_size"].astype(np.int64), rows["extra_size"].astype(np.int64)
        id_starts = _within(id_sizes, firsts, block) + id_begins[block]
        extra_starts = _within(extra_sizes, firsts, block) + (id_begins + heads["id_bytes"])[block]
        return Opened(rows, block, places, Texts(data, id_starts, id_sizes), extra_starts, extra_sizes)

    def take(self, opened: "Opened", index: NDArray[np.intp]) -> Frozen:
        """Some of the rows, with their values."""
        rows = opened.rows[index]
        data, cache = opened.ids.data, self._cache
        values, routes = np.empty(len(index), object), np.empty(len(index), object)
        places = zip(opened.extra_starts[index].tolist(), opened.extra_sizes[index].tolist(), strict=True)
        for row, (start, size) in enumerate(places):
            extra = data[start : start + size].tobytes()
            found = cache.get(extra)
            if found is None:
                if len(cache) > _CACHED_MAX:
                    cache.clear()
                found = cache[extra] = _read(extra)
            values[row], routes[row] = found
        columns = Columns(
            rows["offset"].astype(np.int64),
            rows["time"].astype(np.int64),
            opened.ids.take(index),
            values,
            rows["score"].astype(np.float64) if self._with_scores else None,
            routes,
        )
        return Frozen(columns, rows["hash"].astype(np.uint32), rows["flags"].astype(np.uint8))

    def thaw(self, blocks: Sequence[bytes]) -> Frozen:
        """All rows of all blocks."""
        opened = self.open(blocks)
        return self.take(opened, np.arange(len(opened.rows)))


@dataclass(frozen=True, slots=True)
class Opened:
    """Rows of blocks, whose values are not read yet."""

    rows: NDArray[Any]
    block: NDArray[np.intp]
    """The block that each is in."""
    places: NDArray[np.intp]
    """Where in the block."""
    ids: Texts
    extra_starts: Ints
    extra_sizes: Ints


def _within(sizes: Ints, firsts: Ints, block: NDArray[np.intp]) -> Ints:
    """Where each begins, from the beginning of its block's."""
    starts = np.concatenate(([0], np.cumsum(sizes)))
    found: Ints = starts[:-1] - starts[firsts[block]]
    return found


def _extras(columns: Columns) -> Texts:
    """What each is needed for, as JSON; records share most of it."""
    values, value = distinct(columns.values)
    routes, route = distinct(np.full(len(columns), None) if columns.routes is None else columns.routes)
    pairs, pair = np.unique(value * len(routes) + route, return_inverse=True)
    parts = [
        b"" if values[each] is None else orjson.dumps((values[each], routes[other]))
        for each, other in zip(*map(np.ndarray.tolist, np.divmod(pairs, len(routes))), strict=True)
    ]
    sizes = np.fromiter(map(len, parts), np.int64, len(parts))
    starts = np.cumsum(sizes) - sizes
    return Texts(padded(np.frombuffer(b"".join(parts), np.uint8)), starts[pair], sizes[pair])


def _read(extra: bytes) -> tuple[Scalar | None, Route | None]:
    value, route = orjson.loads(extra)
    if route is None:
        return value, None
    return value, tuple((monitor, tuple(segment)) for monitor, segment in route)
