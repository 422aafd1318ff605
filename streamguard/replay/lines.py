"""Text as whole rows, and rows of JSON as values, without a loop over them."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from streamguard.core import fields
from streamguard.core.records import Blobs
from streamguard.errors import ConfigError
from streamguard.replay.packed import Chunk, chunks
from streamguard.replay.sources import ROWS_MAX, BrokenError, Head, Ints, Part

ROW_BYTES_MAX = 64 << 20
"""A row above this is none, but a file of another kind: it must fit into memory a few times."""
_NEWLINE, _RETURN, _QUOTE = b'\n\r"'


def json_lines(path: Path, needed: Iterable[fields.Path]) -> Iterator[Part]:
    """The rows of a file of JSON Lines: those that are not empty.

    Raises `ConfigError` where the file is of another kind or lacks a needed field, and `BrokenError`, after the
    rows before, where it ends in the midst of one.
    """
    head = Head(str(path), needed)
    passed = read = 0
    for block, at in whole_rows(_no_array(path, chunks(path)), lambda chunk: chunk.rfind(b"\n") + 1):
        values, rows, count = split(block)
        head.see(values)
        rows += passed
        passed += count
        *firsts, last = range(0, len(values), ROWS_MAX) or (0,)
        for first in firsts:
            end = first + ROWS_MAX
            yield Part(_own(values[first:end]), rows[first:end], int(rows[end - 1]) + 1, read)
        read = at
        yield Part(_own(values[last:]), rows[last:], passed, read)
    head.end()


def split(block: bytes) -> tuple[Blobs, Ints, int]:
    """The lines that are not empty, without their ends (LF or CRLF); the number of each; how many there are in all."""
    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(data == _NEWLINE)
    if not block.endswith(b"\n"):
        ends = np.append(ends, len(block))
    starts = np.concatenate([[0], ends[:-1] + 1])
    sizes = ends - starts
    if b"\r" in block:
        sizes -= (sizes > 0) & (data[ends - 1] == _RETURN)
    rows = np.flatnonzero(sizes)
    if len(rows) < len(sizes):
        starts, sizes = starts[rows], sizes[rows]
    return Blobs(data, starts, sizes), rows, len(ends)


def _own(values: Blobs) -> Blobs:
    """The same values with the bytes that they use, no more."""
    if not len(values):
        return Blobs.of([])
    first, end = int(values.starts[0]), int(values.starts[-1] + values.sizes[-1])
    return Blobs(values.data[first:end], values.starts - first, values.sizes)


def whole_rows(given: Iterable[Chunk], cut: Callable[[bytes], int]) -> Iterator[Chunk]:
    """The chunks, cut anew so that each holds whole rows: `cut` says where the last row ends within a chunk.

    Raises `BrokenError` for a row of more than `ROW_BYTES_MAX`.
    """
    held: list[bytes] = []
    size = at = 0
    for chunk, at in given:
        end = cut(chunk)
        if end:
            yield b"".join([*held, chunk[:end]]), at
            held, size = [], 0
        held.append(chunk[end:])
        size += len(chunk) - end
        if size > ROW_BYTES_MAX:
            raise BrokenError(f"a row has more than {ROW_BYTES_MAX >> 20} MiB")
    if size:
        yield b"".join(held), at


class Quoted:
    """Where the last row of CSV ends within a chunk: a line break between quotes ends none."""

    def __init__(self) -> None:
        self._is_inside = False

    def __call__(self, chunk: bytes) -> int:
        count = chunk.count(b'"')
        if not count:
            return 0 if self._is_inside else chunk.rfind(b"\n") + 1
        data = np.frombuffer(chunk, np.uint8)
        newlines = np.flatnonzero(data == _NEWLINE)
        before = np.searchsorted(np.flatnonzero(data == _QUOTE), newlines) + self._is_inside
        ends = newlines[before % 2 == 0]
        self._is_inside = (count + self._is_inside) % 2 == 1
        return int(ends[-1]) + 1 if len(ends) else 0


def _no_array(path: Path, given: Iterable[Chunk]) -> Iterator[Chunk]:
    """The chunks; raises `ConfigError` where a file named `.json` is one array."""
    is_first = any(part.lower() == ".json" for part in path.suffixes[-2:])
    for chunk, at in given:
        if is_first and chunk.lstrip()[:1] == b"[":
            name = path.name[: path.name.lower().rindex(".json")]
            raise ConfigError(
                f"{path}: is one JSON array, and one object a line is read. Convert it:"
                f" jq -c '.[]' {name}.json > {name}.jsonl"
            )
        is_first = False
        yield chunk, at
