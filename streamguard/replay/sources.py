"""What every source of a backtest's records has in common, wherever the records are."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path as FilePath
from typing import Any, Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from streamguard.core.fields import TIME_MAX_MS, Path
from streamguard.core.records import Batch, Blobs, TopicPartition
from streamguard.errors import ConfigError

Ints = NDArray[np.int64]
OnRead = Callable[[int], None]

ROWS_MAX = 32_768
"""So many records a batch at most."""
HEAD_ROWS = 100
"""So many rows decide whether a source is what it is taken for."""
_NAMES_MAX = 20
_DEPTH_MAX = 4
_NONES = (None,) * ROWS_MAX
_NO_HEADERS: tuple[tuple[()], ...] = ((),) * ROWS_MAX


class DamagedFileError(ConfigError):
    """Files cannot be read beyond some row; the rows before it, and all files after them, were handed out."""


class GivenError(ConfigError, TypeError):
    """What was given as records is none: says where, and what is taken."""


class BrokenError(Exception):
    """Why a file ends in the midst of its rows; becomes a `DamagedFileError` where it is known after which one."""


class Source(Protocol):
    """The records of one partition of one side."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def size(self) -> int:
        """What progress is measured by: bytes on the disk, or rows in memory; 0 where nobody knows."""
        ...

    def batches(self, on_read: OnRead = ...) -> Iterator[Batch]:
        """All records from the first on, each time; `on_read` is told how much of `size` was read so far."""
        ...


@dataclass(frozen=True, slots=True)
class Wrapped:
    """What hands out the records of a source in its own way, and else is as it."""

    source: Source

    @property
    def topic(self) -> str:
        """As the source's."""
        return self.source.topic

    @property
    def partition(self) -> int:
        """As the source's."""
        return self.source.partition

    @property
    def size(self) -> int:
        """As the source's."""
        return self.source.size


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one file that follow each other, at most `ROWS_MAX`, as JSON; or none where all are empty."""

    values: Blobs
    rows: Ints
    """The number of each within the file, from 0."""
    passed: int
    """How many rows the file has up to the part's end, empty ones included."""
    read: int
    """How many bytes of the file were read for it and for what is before it."""


def shown(path: str | FilePath) -> str:
    """A path as text that can be written as UTF-8: bytes that are none stand there in hexadecimal."""
    return os.fsencode(path).decode(errors="backslashreplace")


def ignored(_read: int) -> None:
    """For who does not want to know how much was read."""


def batch_of(source: TopicPartition, offsets: Ints, values: Blobs) -> Batch:
    """Rows as records, at least one and at most `ROWS_MAX`, at these offsets.

    They have no Kafka timestamp. The largest time stands for it, until `stamping.Stamped` knows better: no event time
    is ahead of that, so that `join.max_ahead` refuses none. Event time must then come from a field.
    """
    count = len(offsets)
    times = np.full(count, TIME_MAX_MS)
    return Batch(source, offsets, times, _NONES[:count], values, _NO_HEADERS[:count], int(offsets[-1]) + 1)


def missing(where: str, path: Path, names: Iterable[str], hint: str = "") -> ConfigError:
    """The error that a needed field is nowhere, for those that are there."""
    name, there = ".".join(path), list(dict.fromkeys(names))
    near = get_close_matches(name, there, 1) or [each for each in there if each.rpartition(".")[2] == path[-1]]
    listed = ", ".join(there[:_NAMES_MAX]) or "none"
    if len(there) > _NAMES_MAX:
        listed += f" and {len(there) - _NAMES_MAX} more"
    guess = f"; did you mean {near[0]}?" if near else "."
    return ConfigError(
        f"{where}: no field {name!r}, there is {listed}{guess}"
        f" The configuration says which fields to read, under predictions.fields, labels.fields and backtest.{hint}"
    )


class Head:
    """Looks at the first rows of a source: whether they are JSON objects that hold the fields that are needed.

    `see` and `end` raise `ConfigError` as soon as enough was seen to say that they do not.
    """

    def __init__(self, where: str, needed: Iterable[Path], hint: str = "") -> None:
        self._where = where
        self._hint = hint
        self._missing = list(needed)
        self._left = HEAD_ROWS
        self._names: dict[str, None] = {}
        self._seen = self._objects = 0

    def see(self, values: Blobs) -> None:
        """Take in the next rows."""
        if not self._left:
            return
        for value in values[: self._left]:
            self._look(value or b"")
        self._left = max(0, self._left - len(values))
        if not self._left:
            self._judge()

    def end(self) -> None:
        """Say that there are no more rows."""
        if self._left:
            self._judge()

    def _look(self, value: bytes) -> None:
        if b"\0" in value:
            raise utf_16(self._where, "holds NUL bytes in its first rows: as text, it")
        self._seen += 1
        try:
            document = orjson.loads(value)
        except orjson.JSONDecodeError:
            return
        if isinstance(document, dict):
            self._objects += 1
            self._missing = [path for path in self._missing if not _holds(document, path)]
            if self._missing and len(self._names) < HEAD_ROWS:
                self._names |= dict.fromkeys(_names(document))

    def _judge(self) -> None:
        if self._seen and not self._objects:
            raise ConfigError(
                f"{self._where}: none of the first {self._seen} rows is a JSON object. Write one object a line, such"
                " as by jq -c . (or jq -c '.[]' where the file is one array of objects)"
            )
        if self._seen and self._missing:
            raise missing(self._where, self._missing[0], self._names, self._hint)


def utf_16(where: str, what: str = "") -> ConfigError:
    """The error that a file is not the UTF-8 that it must be."""
    return ConfigError(
        f"{where}: {what or 'the file'} is UTF-16, and only UTF-8 is read. Convert it: iconv -f UTF-16 -t UTF-8"
    )


def _holds(document: Any, path: Path) -> bool:
    for name in path:
        if not isinstance(document, dict) or name not in document:
            return False
        document = document[name]
    return True


def _names(document: dict[str, Any], parents: Path = ()) -> Iterator[str]:
    """The dotted paths of all fields that are no objects."""
    for name, value in document.items():
        if isinstance(value, dict) and value and len(parents) < _DEPTH_MAX:
            yield from _names(value, (*parents, name))
        else:
            yield ".".join((*parents, name))
