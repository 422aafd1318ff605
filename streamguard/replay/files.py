"""Records in files: JSON Lines, Parquet and CSV, one row a record."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from streamguard.core import fields
from streamguard.core.records import Batch, Blobs, TopicPartition
from streamguard.errors import ConfigError
from streamguard.replay.lines import json_lines
from streamguard.replay.sources import (
    ROWS_MAX,
    BrokenError,
    DamagedFileError,
    Ints,
    OnRead,
    Part,
    batch_of,
    ignored,
    shown,
)

_Reader = Callable[[Path, Sequence[fields.Path]], Iterator[Part]]
_Rows = tuple[Ints, Blobs]
"""Offsets, and values."""

ENDINGS = (
    *(f"{ending}{packed}" for ending in (".jsonl", ".ndjson", ".json") for packed in ("", ".gz", ".zst")),
    *(".parquet", ".csv", ".csv.gz", ".csv.zst"),
)
"""Of the names of the files that can be read."""
_KNOWN = ", ".join(ENDINGS)
_HIDDEN = (".", "_")
_MAGIC = frozenset("*?[")
_PARTITION = re.compile(r"partition=(\d+)(?:\..*)?")
_DIGITS = re.compile(r"(\d+)")
_DAMAGE_SHOWN = 5
# About what a large file is read by.
_JOINED_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class FileSource:
    """The records of one partition of one side in files, as one log.

    A row is a record, and its offset is its number over all files, from 0 on. Records have no key and no
    headers; for their Kafka timestamp see `batch_of`.
    """

    topic: str
    partition: int
    paths: tuple[Path, ...]
    """Read one after the other, in this order."""
    needed: tuple[fields.Path, ...]
    """The fields that must be there: request ID, value, and time where one is configured, in this order."""

    @property
    def size(self) -> int:
        """Bytes of all files on the disk."""
        return sum(_bytes_of(path) for path in self.paths)

    def batches(self, on_read: OnRead = ignored) -> Iterator[Batch]:
        """All records from the first on; `on_read` is told how many bytes of `size` were read so far.

        Raises `ConfigError` for a file that is not what its name says or lacks a needed field, and, after all that
        can be read, `DamagedFileError` where files are damaged.
        """
        source = TopicPartition(self.topic, self.partition)
        damage: list[str] = []
        for offsets, values in _joined(self._rows(on_read, damage)):
            yield batch_of(source, offsets, values)
        if damage:
            more = [f"and {len(damage) - _DAMAGE_SHOWN:,} more"] if len(damage) > _DAMAGE_SHOWN else []
            them = "it" if len(damage) == 1 else "them"
            told = "; ".join([*damage[:_DAMAGE_SHOWN], *more])
            raise DamagedFileError(f"{told}. Copy {them} again, or leave {them} out")

    def _rows(self, on_read: OnRead, damage: list[str]) -> Iterator[_Rows]:
        """The parts of all files, and in `damage` where files broke off."""
        kinds: dict[str, Any] = {}
        offset = read = 0
        for path in self.paths:
            passed = 0
            try:
                for part in _reader(path, kinds)(path, self.needed):
                    passed = part.passed
                    if len(part.rows):
                        yield part.rows + offset, part.values
                    on_read(read + part.read)
            except BrokenError as error:
                damage.append(f"{shown(path)}: {error} after {passed:,} rows, which were read")
            offset += passed
            read += _bytes_of(path)
            on_read(read)


def _joined(parts: Iterable[_Rows]) -> Iterator[_Rows]:
    """The same rows, with those of small parts put together: what a batch costs, ten rows need not pay."""
    held: list[_Rows] = []
    count = size = 0
    for part in parts:
        rows, values = part
        more = int(values.sizes.sum())
        if held and (count + len(rows) > ROWS_MAX or size + more > _JOINED_BYTES):
            yield _one(held)
            held, count, size = [], 0, 0
        held.append(part)
        count, size = count + len(rows), size + more
    if held:
        yield _one(held)


def _one(parts: Sequence[_Rows]) -> _Rows:
    return np.concatenate([rows for rows, _ in parts]), Blobs.concatenate([values for _, values in parts])


def find_files(given: Sequence[str | Path], what: str) -> dict[int, tuple[Path, ...]]:
    """The files that a user named, sorted by name (numbers by their value), by partition number.

    Names are of files, of directories (all files in them whose endings are known), or patterns such as
    `labels/*.jsonl`. What starts with a dot or an underscore is found only by its own name. A file below a
    directory `partition=N` is of partition N; others are of partition 0. `what` names the option in errors.

    Raises `ConfigError` where nothing is found, an ending is not known, or only some names have a partition.
    """
    found = {path.resolve(): path for name in given for path in _expanded(name, what)}
    if not found:
        raise ConfigError(f"{what}: names no files")
    bare: list[Path] = []
    partitions: dict[int, list[Path]] = {}
    for path in sorted(found.values(), key=_order):
        number = _partition_of(path)
        (bare if number is None else partitions.setdefault(number, [])).append(path)
    if bare and partitions:
        named = next(iter(partitions.values()))[0]
        raise ConfigError(
            f"{what}: {named} is of a partition by its name, and {bare[0]} is of none: put all files below"
            " directories partition=N, or none"
        )
    if bare:
        return {0: tuple(bare)}
    return {number: tuple(files) for number, files in sorted(partitions.items())}


def _expanded(name: str | Path, what: str) -> Iterator[Path]:
    """The files that one name stands for, at least one."""
    path = Path(name).expanduser()
    if path.is_dir():
        found = list(_inside(path))
        if not found:
            raise ConfigError(f"{what}: {path} has no file that can be read, which is one that ends in {_KNOWN}")
        yield from found
    elif path.exists():
        yield _readable(path, what)
    elif any(_MAGIC.intersection(part) for part in path.parts):
        yield from _matching(path, what)
    else:
        raise ConfigError(f"{what}: {path} does not exist")


def _inside(directory: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(directory):
        names[:] = [name for name in names if not name.startswith(_HIDDEN)]
        for name in files:
            if name.lower().endswith(ENDINGS) and not name.startswith(_HIDDEN):
                yield Path(folder, name)


def _matching(pattern: Path, what: str) -> Iterator[Path]:
    fixed = next(number for number, part in enumerate(pattern.parts) if _MAGIC.intersection(part))
    wild = pattern.parts[fixed:]
    is_empty = True
    for path in Path(*pattern.parts[:fixed]).glob("/".join(wild)):
        # Such are the marks and leftovers of other programs, unless they are asked for.
        is_hidden = any(part.startswith(_HIDDEN) for part in path.parts[fixed:])
        if is_hidden and not any(part.startswith(_HIDDEN) for part in wild):
            continue
        for each in _inside(path) if path.is_dir() else [_readable(path, what)]:
            is_empty = False
            yield each
    if is_empty:
        raise ConfigError(f"{what}: no file matches {pattern}")


def _readable(path: Path, what: str) -> Path:
    if not path.name.lower().endswith(ENDINGS):
        raise ConfigError(f"{what}: {path} cannot be read: its name must end in {_KNOWN}")
    if not os.access(path, os.R_OK):
        raise ConfigError(f"{what}: {path} cannot be read: permission denied")
    return path


def _order(path: Path) -> tuple[list[list[str | int]], tuple[str, ...]]:
    """By name, part by part; part-2 stands before part-10."""
    # Text and digits take turns, so that never one is compared with the other.
    names = [
        [int(each) if number % 2 else each for number, each in enumerate(_DIGITS.split(part))] for part in path.parts
    ]
    return names, path.parts


def _partition_of(path: Path) -> int | None:
    """The innermost of its name; None where there is none."""
    found = [match[1] for part in path.parts if (match := _PARTITION.fullmatch(part))]
    return int(found[-1]) if found else None


def _bytes_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def _reader(path: Path, kinds: dict[str, Any]) -> _Reader:
    """What reads a file with such a name; raises `ConfigError` where a package is missing for that.

    `kinds` is for CSV: what its columns are, as far as files before it have shown.
    """
    name = path.name.lower()
    if ".csv" not in name[-8:] and not name.endswith(".parquet"):
        return json_lines
    try:
        from streamguard.replay import csvs, tables  # noqa: PLC0415 - only for who has such files
    except ModuleNotFoundError as error:
        if error.name != "polars":
            raise
        raise ConfigError(
            f"{path}: needs the package polars, which is not installed: pip install 'streamguard[tables]'"
        ) from None
    return tables.parquet if name.endswith(".parquet") else partial(csvs.comma_separated, kinds=kinds)
