"""Records that are in memory: rows, columns, and tables of pandas, polars and pyarrow.

None of these packages is imported unless such a table is given.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Sized
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamguard.core import fields
from streamguard.core.records import Batch, Blobs, TopicPartition
from streamguard.errors import ConfigError
from streamguard.replay.rows import TAKEN, nested, written
from streamguard.replay.sources import ROWS_MAX, GivenError, Head, OnRead, batch_of, ignored

# Of one batch: tables may be wide.
_CELLS_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class MemorySource:
    """The records of one side in memory, as partition 0. A row is a record, and its offset is its number."""

    topic: str
    size: int
    """Rows; 0 where that is not known."""
    needed: tuple[fields.Path, ...]
    open: Callable[[], Iterator[Blobs]]
    """All rows from the first on as JSON, at most `ROWS_MAX` at a time."""
    hint: str = ""
    partition: int = 0

    def batches(self, on_read: OnRead = ignored) -> Iterator[Batch]:
        """All records from the first on; `on_read` is told how many rows were read so far.

        Raises `ConfigError` where a needed field is not there, and `GivenError` where a row is no record, or
        where what was given, such as a generator, can be read only once and was.
        """
        head = Head(_name(self.topic), self.needed, self.hint)
        source = TopicPartition(self.topic, self.partition)
        offset = 0
        for values in self.open():
            head.see(values)
            offset += len(values)
            yield batch_of(source, np.arange(offset - len(values), offset), values)
            on_read(offset)
        head.end()


def as_source(given: Any, topic: str, needed: Sequence[fields.Path]) -> MemorySource:
    """The records in what a user gave; `needed` is what `FileSource` needs.

    Raises `GivenError` where it can hold no records, and `ConfigError` where a table lacks a needed field.
    """
    where, needed = _name(topic), tuple(needed)
    if _is_a(given, "polars", "DataFrame") or _is_a(given, "pyarrow", "Table", "RecordBatch"):
        return _of_table(given, topic, needed)
    if _is_a(given, "pandas", "DataFrame"):
        columns, hint = _pandas(given, where, needed)
    elif isinstance(given, Mapping):
        columns, hint = _columns(given, where), ""
    else:
        return MemorySource(topic, _size(given), needed, _of_rows(given, where, needed))
    count = max(map(len, columns.values()), default=0)
    return MemorySource(topic, count, needed, lambda: written(_records(columns, count), where, needed), hint)


def _name(topic: str) -> str:
    return f"the records given for topic {topic!r}"


def _is_a(given: object, package: str, *names: str) -> bool:
    """Whether it is of one of these classes of a package, which need not be installed."""
    return any(each.__name__ in names and each.__module__.split(".")[0] == package for each in type(given).__mro__)


def _size(given: object) -> int:
    return len(given) if isinstance(given, Sized) else 0


def _of_table(given: Any, topic: str, needed: tuple[fields.Path, ...]) -> MemorySource:
    try:
        from streamguard.replay import tables  # noqa: PLC0415 - only for who has such tables
    except ModuleNotFoundError as error:
        if error.name != "polars":
            raise
        raise ConfigError(
            f"{_name(topic)}: to read a {type(given).__name__} of pyarrow needs the package polars, which is not"
            " installed: pip install 'streamguard[tables]'"
        ) from None
    frame = tables.as_frame(given)
    table = tables.Table(frame.schema, needed, _name(topic))
    return MemorySource(topic, len(frame), needed, lambda: table.pieces(frame))


def _pandas(given: Any, where: str, needed: Iterable[fields.Path]) -> tuple[dict[str, Any], str]:
    """The columns of a DataFrame by name, and what to add where a field is missing."""
    names = [str(name) for name in given.columns]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise GivenError(f"{where}: two columns are named {twice!r}: rename one")
    is_index = any(path[0] in given.index.names for path in needed)
    hint = " The DataFrame's index is not read: call .reset_index()." if is_index else ""
    return {name: given.iloc[:, place] for place, name in enumerate(names)}, hint


def _columns(given: Mapping[Any, Any], where: str) -> dict[str, Any]:
    """The columns, each of which can be sliced."""
    columns = {}
    for name, column in given.items():
        if isinstance(column, str | bytes | Mapping | AbstractSet) or not isinstance(column, Collection):
            raise GivenError(
                f"{where}: a mapping is taken for columns, and {name!r} is a {type(column).__name__}: give a list"
                " or an array for each, or a list of mappings, one for each record"
            )
        columns[str(name)] = column if hasattr(column, "dtype") or isinstance(column, list) else list(column)
    sizes = {name: len(column) for name, column in columns.items()}
    if len(set(sizes.values())) > 1:
        raise GivenError(f"{where}: columns of unequal length: {', '.join(f'{k} {v}' for k, v in sizes.items())}")
    return columns


def _records(columns: Mapping[str, Any], count: int) -> Iterator[dict[str, Any]]:
    step = max(1, min(ROWS_MAX, _CELLS_MAX // max(1, len(columns))))
    are_paths = any("." in name for name in columns)
    for first in range(0, count, step):
        cells = [_cells(column, slice(first, first + step)) for column in columns.values()]
        for row in zip(*cells, strict=True):
            named = dict(zip(columns, row, strict=True))
            yield nested(named) if are_paths else named


def _cells(column: Any, place: slice) -> Sequence[Any]:
    """Some values of a column, as Python objects."""
    part = column.iloc[place] if hasattr(column, "iloc") else column[place]
    if getattr(getattr(part, "dtype", None), "kind", "") == "M":
        # Whole arrays at once: a million objects of times take seconds.
        moments = part.to_numpy("datetime64[ms]") if hasattr(part, "to_numpy") else part.astype("datetime64[ms]")
        numbers: list[int | None] = moments.astype(np.int64).tolist()
        for missing in np.flatnonzero(np.isnat(moments)).tolist():
            numbers[missing] = None
        return numbers
    return part.tolist() if hasattr(part, "tolist") else list(part)


def _of_rows(given: Any, where: str, needed: Sequence[fields.Path]) -> Callable[[], Iterator[Blobs]]:
    if isinstance(given, str | bytes | AbstractSet) or not isinstance(given, Iterable) or _is_frame(given):
        way_out = ": convert it by .collect(), .to_pandas() or the like" if _is_frame(given) else ""
        raise GivenError(f"{where} are a {type(given).__name__}{way_out}. What is taken: {TAKEN}")
    if not isinstance(given, Iterator):
        return lambda: written(given, where, needed)
    rest = [given]

    def once() -> Iterator[Blobs]:
        if not rest:
            raise GivenError(f"{where}: the {type(given).__name__} was read already: give a list, or a new one")
        return written(rest.pop(), where, needed)

    return once


def _is_frame(given: object) -> bool:
    """Whether it is a table of a package that is not known: to iterate over it would give its columns' names."""
    return type(given).__name__.endswith("Frame")
