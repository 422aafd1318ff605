"""CSV as JSON that readers of records take.

A column is of whole numbers, of numbers or of true and false if all cells of its first rows are, else text;
the request ID is always text. Digits that start with a zero, or are more than 18, are text, since they name
something. A cell further down that is not what its column is stays text, so that its row is judged alone.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl

from streamguard.core import fields
from streamguard.core.records import Blobs
from streamguard.errors import ConfigError
from streamguard.replay.lines import Quoted, whole_rows
from streamguard.replay.packed import Chunk, chunks
from streamguard.replay.rows import nested
from streamguard.replay.sources import HEAD_ROWS, BrokenError, Part, utf_16
from streamguard.replay.tables import Table

_INFERRED_ROWS = 10_000
_INFERRED_BYTES_MAX = 64 << 20
# With no \d: to polars that is any script's digits.
_WHOLE = r"^-?(?:0|[1-9][0-9]{0,17})$"
_NUMBER = r"^-?(?:(?:0|[1-9][0-9]{0,17})(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?$"
# What programs write where there is no number.
_NOTHING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "<NA>"]
_CONVERT = "Convert the file: iconv -f WINDOWS-1252 -t UTF-8"
_BELOW = " (the first below the header is 0)"
_DATE, _LOCAL_TIME = r"^\d{4}-\d\d-\d\d$", r"^\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?$"


class _Cells:
    """What the cells of a file's columns are taken for, and the rows of text turned into that."""

    def __init__(self, kinds: Mapping[str, pl.DataType], time: str | None) -> None:
        self._kinds = kinds
        self._typed, self._odd = [], pl.lit(value=False)
        for name, kind in kinds.items():
            texts = pl.col(name)
            if kind == pl.String:
                self._typed.append(_in_utc(texts) if name == time else texts)
                continue
            typed, is_good = _expressions(texts, kind)
            self._typed.append(typed.alias(name))
            self._odd |= ~(is_good | texts.is_in(_NOTHING)).fill_null(value=False)

    def values(self, texts: pl.DataFrame, table: Table) -> Iterator[Blobs]:
        """The rows as JSON; those with a cell that is not what its column is are written one by one."""
        odd = np.flatnonzero(texts.select(self._odd).to_series().to_numpy())
        first = 0
        for values in table.pieces(texts.select(self._typed)):
            within = odd[(odd >= first) & (odd < first + len(values))].tolist()
            if within:
                changed = list(values)
                for row in within:
                    changed[row - first] = self._written(texts.row(row, named=True))
                yield Blobs.of(changed)
            else:
                yield values
            first += len(values)

    def _written(self, texts: Mapping[str, str | None]) -> bytes:
        cells = {name: text if self._kinds[name] == pl.String else _cell(text) for name, text in texts.items()}
        return orjson.dumps(nested(cells))


def comma_separated(path: Path, needed: Sequence[fields.Path], kinds: dict[str, pl.DataType]) -> Iterator[Part]:
    """The rows of a CSV file below its header; those in which all is empty are left out.

    `kinds` is what columns are, by name, as far as files before have shown; what this one shows is added.
    Raises `ConfigError` where a needed field (in the order of `FileSource`) is not there or a row cannot be
    read, and `BrokenError`, after the rows before, where the file ends in the midst of one.
    """
    blocks = whole_rows(chunks(path), Quoted())
    opening = next(blocks, None)
    if opening is None:
        return
    names, rest = _header(path, opening[0])
    if not names:
        return
    table = Table({name: pl.String() for name in names if name}, needed, str(path))
    head, frames = _head(_frames(path, names, chain([(rest, opening[1])], blocks)))
    id_name, _, time = (*(".".join(field) for field in needed), None, None, None)[:3]
    for name in head.columns:
        if name not in kinds:
            kinds[name] = pl.String() if name == id_name else _kind(head[name])
    cells = _Cells({name: kinds[name] for name in head.columns}, time)
    passed = read = 0
    for texts, at in frames:
        is_there = texts.select(~pl.all_horizontal(pl.all().is_null())).to_series()
        rows = np.flatnonzero(is_there.to_numpy()) + passed
        for values in cells.values(texts.filter(is_there), table):
            mine, rows = rows[: len(values)], rows[len(values) :]
            yield Part(values, mine, int(mine[-1]) + 1, read)
        passed, read = passed + len(texts), at
        yield Part(Blobs.of([]), rows, passed, read)


def _header(path: Path, block: bytes) -> tuple[list[str], bytes]:
    """The names of the columns, and what follows them; raises `ConfigError`."""
    block = block.lstrip(b"\r\n")
    if b"\0" in b"\n".join(block.split(b"\n", HEAD_ROWS)[:HEAD_ROWS]):
        raise utf_16(str(path), "holds NUL bytes in its first rows: as text, it")
    end = block.find(b"\n") + 1
    while end and block.count(b'"', 0, end) % 2:
        end = block.find(b"\n", end) + 1
    end = end or len(block)
    try:
        names = next(csv.reader(io.StringIO(block[:end].decode(), newline="")), [])
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: its header is not UTF-8. {_CONVERT}") from None
    if len(names) == 1 and (other := next((mark for mark in ";\t|" if mark in names[0]), None)):
        raise ConfigError(f"{path}: its columns are separated by {other!r}, and only commas are read: {names[0]}")
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{path}: two columns are named {twice!r}: rename one")
    return names, block[end:]


def _frames(path: Path, names: Sequence[str], blocks: Iterable[Chunk]) -> Iterator[tuple[pl.DataFrame, int]]:
    """The rows as text, null where there is nothing; columns without a name are left out."""
    # Names of our own: polars does not unescape those of a file.
    header = ",".join(map(str, range(len(names)))).encode() + b"\n"
    named = [pl.col(str(number)).alias(name) for number, name in enumerate(names) if name]
    first = 0
    for block, at in blocks:
        if block.count(b'"') % 2:
            # Not every version of polars minds.
            raise ConfigError(f"{path}: {_reason(block, len(names), first, 'it is never closed')}")
        try:
            frame = pl.read_csv(header + block, infer_schema=False)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            words = str(error).partition("\n")[0]
            raise ConfigError(f"{path}: {_reason(block, len(names), first, words)}") from None
        first += len(frame)
        yield frame.select(named), at


def _head(frames: Iterator[tuple[pl.DataFrame, int]]) -> tuple[pl.DataFrame, Iterator[tuple[pl.DataFrame, int]]]:
    """The first rows, enough to see what columns are, and all frames, these included."""
    taken: list[tuple[pl.DataFrame, int]] = []
    rows = size = 0
    try:
        for frame, at in frames:
            taken.append((frame, at))
            rows += len(frame)
            size += int(frame.estimated_size())
            if rows >= _INFERRED_ROWS or size >= _INFERRED_BYTES_MAX:
                break
    except BrokenError as error:
        frames = _broken(error)
    return pl.concat([frame for frame, _ in taken]).head(_INFERRED_ROWS), chain(taken, frames)


def _broken(error: BrokenError) -> Iterator[tuple[pl.DataFrame, int]]:
    """Nothing more but the error, once what came before it was taken."""
    yield from ()
    raise error


def _kind(texts: pl.Series) -> pl.DataType:
    """What a column is; whole numbers where there is nothing to judge by."""
    known = texts.drop_nulls()
    known = known.filter(~known.is_in(_NOTHING))
    if known.str.contains(_WHOLE).all():
        return pl.Int64()
    if known.str.contains(_NUMBER).all():
        return pl.Float64()
    return pl.Boolean() if known.str.to_lowercase().is_in(["true", "false"]).all() else pl.String()


def _expressions(texts: pl.Expr, kind: pl.DataType) -> tuple[pl.Expr, pl.Expr]:
    """A column's cells as numbers or as true and false, and which of them are that."""
    if kind == pl.Boolean:
        lower = texts.str.to_lowercase()
        return lower == "true", lower.is_in(["true", "false"])
    is_good = texts.str.contains(_WHOLE if kind == pl.Int64 else _NUMBER)
    return pl.when(is_good).then(texts).cast(kind, strict=False), is_good


def _in_utc(texts: pl.Expr) -> pl.Expr:
    """Dates and times that name no zone, as ones of UTC."""
    is_local, is_date = texts.str.contains(_LOCAL_TIME), texts.str.contains(_DATE)
    return pl.when(is_local).then(texts + "Z").when(is_date).then(texts + "T00:00Z").otherwise(texts)


def _cell(text: str | None) -> Any:
    """One cell by itself, of a column that is not of text."""
    if text is None or text in _NOTHING:
        return None
    if re.fullmatch(_WHOLE, text):
        return int(text)
    if re.fullmatch(_NUMBER, text):
        return float(text)
    return {"true": True, "false": False}.get(text.lower(), text)


def _reason(block: bytes, width: int, first: int, words: str) -> str:
    """Which row of a block cannot be read, and why; `words` where no better is known."""
    try:
        text = block.decode()
    except UnicodeDecodeError as wrong:
        row = first + block.count(b"\n", 0, wrong.start)
        return f"row {row}{_BELOW} is not UTF-8. {_CONVERT}"
    row = first - 1
    try:
        for row, cells in enumerate(csv.reader(io.StringIO(text, newline=""), strict=True), first):
            if len(cells) > width:
                return f"row {row}{_BELOW} has {len(cells)} fields, and the header {width}"
    except csv.Error as wrong:
        return f"row {row + 1}{_BELOW}: {wrong}"
    odd = next((row for row, line in enumerate(text.split("\n"), first) if line.count('"') % 2), first)
    return f"row {odd}{_BELOW} or one after it has a stray quote ({words})"
