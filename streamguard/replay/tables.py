"""Rows of tables as JSON that readers of records take: Parquet files, and whatever polars holds.

Dates and times become epoch milliseconds (without a zone they are UTC), durations milliseconds, decimals
floats, categories text; NaN becomes null, and whole numbers as request IDs text. A column named `meta.id` is
the field `id` of the object `meta`. Imports polars: to be imported only where there is a table.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from streamguard.core import fields
from streamguard.core.records import Blobs
from streamguard.errors import ConfigError
from streamguard.replay.lines import split
from streamguard.replay.packed import opened
from streamguard.replay.rows import grouped
from streamguard.replay.sources import ROWS_MAX, BrokenError, Part, missing, shown

_SLICE_BYTES = 64 << 20
"""About so much of a table is in memory; of its JSON an eighth of that."""
# Where a row group holds more rows, each slice begins to decode it anew.
_SLICE_ROWS_MAX = 1 << 18
_SLICE_ROWS_FIRST = 1 << 13


class Table:
    """How the rows of one table become JSON.

    Raises `ConfigError` where a needed field (the first is the request ID) is not there, or a column holds what
    JSON cannot.
    """

    def __init__(
        self, schema: Mapping[str, pl.DataType], needed: Sequence[fields.Path], where: str, hint: str = ""
    ) -> None:
        for name, kind in schema.items():
            if kind == pl.Object:
                raise ConfigError(f"{where}: column {name!r} holds Python objects: leave it out, or make it text")
        paths = dict.fromkeys(_paths(schema))
        for path in needed:
            if path not in paths:
                raise missing(where, path, (".".join(each) for each in paths), hint)
        columns = {name: _column(name, kind, needed[0] if needed else ()) for name, kind in schema.items()}
        self._columns = list(_nested(columns))

    def pieces(self, frame: pl.DataFrame) -> Iterator[Blobs]:
        """The rows, in order, at most `ROWS_MAX` at a time."""
        for piece in frame.iter_slices(_rows_of(frame, _SLICE_BYTES >> 3, ROWS_MAX)):
            lines = io.BytesIO()
            piece.select(self._columns).write_ndjson(lines)
            yield split(lines.getvalue())[0]


def parquet(path: Path, needed: Sequence[fields.Path]) -> Iterator[Part]:
    """The rows of a Parquet file, a slice of it at a time.

    Raises `ConfigError` where a needed field is not there, and `BrokenError` where the file is damaged.
    """
    opened(path).close()
    if shown(path) != str(path):
        raise ConfigError(f"{shown(path)}: its name is not UTF-8, as it must be of a Parquet file: rename it")
    size = path.stat().st_size
    try:
        lazy = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        schema = lazy.collect_schema()
        count = int(lazy.select(pl.len()).collect().item())
        table = Table(schema, needed, str(path))
        first, step = 0, _SLICE_ROWS_FIRST
        while first < count:
            frame = lazy.slice(first, step).collect()
            for values in table.pieces(frame):
                yield part(values, first, size * (first + len(values)) // count)
                first += len(values)
            step = _rows_of(frame, _SLICE_BYTES, _SLICE_ROWS_MAX)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise BrokenError(f"cannot be read as Parquet ({str(error).partition(chr(10))[0]})") from None


def as_frame(given: Any) -> pl.DataFrame:
    """A DataFrame of polars, or a table or batch of pyarrow, as the former; the memory is shared."""
    return given if isinstance(given, pl.DataFrame) else pl.DataFrame(given)


def part(values: Blobs, first: int, read: int) -> Part:
    """Rows that follow each other from `first` on."""
    return Part(values, np.arange(first, first + len(values)), first + len(values), read)


def _rows_of(frame: pl.DataFrame, size: int, rows_max: int) -> int:
    """How many rows such as these are of about so many bytes."""
    return int(max(1, min(rows_max, size * len(frame) // max(1, frame.estimated_size()))))


def _nested(columns: Mapping[str, pl.Expr]) -> Iterator[pl.Expr]:
    plain, groups = grouped(columns)
    for name, column in plain.items():
        yield column.alias(name)
    for name, inner in groups.items():
        yield pl.struct(*_nested(inner)).alias(name)


def _paths(schema: Mapping[str, Any]) -> Iterator[fields.Path]:
    """The paths of all fields in the JSON."""
    plain, groups = grouped(schema)
    for name, kind in plain.items():
        if isinstance(kind, pl.Struct) and kind.fields:
            yield from ((name, *path) for path in _struct_paths(kind))
        else:
            yield (name,)
    for name, inner in groups.items():
        yield from ((name, *path) for path in _paths(inner))


def _struct_paths(kind: pl.Struct) -> Iterator[fields.Path]:
    for field in kind.fields:
        if isinstance(field.dtype, pl.Struct) and field.dtype.fields:
            yield from ((field.name, *path) for path in _struct_paths(field.dtype))
        else:
            yield (field.name,)


def _column(name: str, kind: pl.DataType, id_path: fields.Path) -> pl.Expr:
    """A column as what is written of it."""
    column = pl.col(name)
    if isinstance(kind, pl.Binary):
        return column.map_batches(_decoded, return_dtype=pl.String())
    in_ms = _in_ms(kind)
    if in_ms != kind:
        column = column.cast(in_ms)
    written = _written(in_ms, tuple(name.split(".")), id_path)
    return column if written == in_ms else column.cast(written)


def _decoded(values: pl.Series) -> pl.Series:
    """Bytes as text; null where they are no UTF-8."""
    try:
        return values.cast(pl.String)
    except pl.exceptions.PolarsError:
        return pl.Series(values.name, [_text(each) for each in values.to_list()], pl.String)


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _in_ms(kind: pl.DataType) -> pl.DataType:
    """The type with its times in milliseconds, so that the numbers behind them are these."""
    if isinstance(kind, pl.Datetime):
        return pl.Datetime("ms", kind.time_zone)
    if isinstance(kind, pl.Date):
        return pl.Datetime("ms")
    if isinstance(kind, pl.Duration):
        return pl.Duration("ms")
    return _with_inner(kind, (), lambda inner, _: _in_ms(inner))


def _written(kind: pl.DataType, path: fields.Path, id_path: fields.Path) -> pl.DataType:
    """The type of JSON for it; `path` is where it is."""
    if isinstance(kind, pl.Datetime | pl.Duration):
        return pl.Int64()
    if isinstance(kind, pl.Decimal):
        return pl.Float64()
    if isinstance(kind, pl.Categorical | pl.Enum | pl.Binary) or (path == id_path and kind.is_integer()):
        return pl.String()
    return _with_inner(kind, path, lambda inner, place: _written(inner, place, id_path))


def _with_inner(
    kind: pl.DataType, path: fields.Path, change: Callable[[pl.DataType, fields.Path], pl.DataType]
) -> pl.DataType:
    """The same type with the types within it changed."""
    if isinstance(kind, pl.Struct):
        return pl.Struct({each.name: change(_type(each.dtype), (*path, each.name)) for each in kind.fields})
    if isinstance(kind, pl.List):
        return pl.List(change(_type(kind.inner), ()))
    if isinstance(kind, pl.Array):
        return pl.Array(change(_type(kind.inner), ()), kind.size)
    return kind


def _type(kind: Any) -> pl.DataType:
    """A type within another may be just its class."""
    found: pl.DataType = kind() if isinstance(kind, type) else kind
    return found
