"""How many NaN and infinities a table has: the readers that make JSON of it have nulls for both."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import numpy as np

from streamguard.core.fields import Path
from streamguard.reference.exact import Floats


@dataclass(slots=True)
class NonFinite:
    """Of each field that has any: NaN, and infinities."""

    counts: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def note(self, name: str, nan: int, infinite: int) -> None:
        """Add what a column has."""
        if nan or infinite:
            path = tuple(name.split("."))
            before = self.counts.get(path, (0, 0))
            self.counts[path] = before[0] + nan, before[1] + infinite

    def of_parquet(self, path: FilePath) -> None:
        """Of the columns of a file that are floats; those within structures are not looked at."""
        import polars as pl  # noqa: PLC0415 - only for who has such files

        lazy = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        names = [name for name, kind in lazy.collect_schema().items() if kind.is_float()]
        nan, infinite = (
            lazy.select([getattr(pl.col(name), ask)().sum() for name in names]).collect(engine="streaming")
            for ask in ("is_nan", "is_infinite")
        )
        for name in names:
            self.note(name, int(nan[name].item()), int(infinite[name].item()))

    def of_columns(self, table: Any) -> None:
        """Of a table of pandas, polars or pyarrow, or a mapping of columns.

        To pandas NaN is what is missing: there it is a null like others.
        """
        is_pandas = _package(table) == "pandas"
        names = getattr(table, "column_names", None) or getattr(table, "columns", table)
        for name in names:
            floats, nulls = _floats(table[name])
            nan = 0 if is_pandas else int(np.count_nonzero(np.isnan(floats))) - nulls
            self.note(str(name), nan, int(np.count_nonzero(np.isinf(floats))))

    def of_rows(self, rows: Iterable[Any]) -> Iterator[Any]:
        """The same rows, while those that are mappings are looked at."""
        for row in rows:
            if isinstance(row, Mapping):
                self._look(row, "")
            yield row

    def _look(self, row: Mapping[Any, Any], before: str) -> None:
        for name, value in row.items():
            if isinstance(value, float | np.floating):
                if not math.isfinite(value):
                    self.note(f"{before}{name}", int(math.isnan(value)), int(math.isinf(value)))
            elif isinstance(value, Mapping):
                self._look(value, f"{before}{name}.")


def _package(given: object) -> str:
    return type(given).__module__.partition(".")[0]


def _floats(column: Any) -> tuple[Floats, int]:
    """A column's floats, none where it has no such type; and how many of them stand for nulls."""
    if isinstance(column, list | tuple):
        return np.array([each for each in column if isinstance(each, float)], np.float64), 0
    kind = str(getattr(column, "dtype", getattr(column, "type", ""))).lower()
    if not kind.startswith(("float", "double", "halffloat")):
        return np.empty(0), 0
    if _package(column) == "pandas":
        return column.to_numpy("float64", na_value=np.nan), 0
    nulls = getattr(column, "null_count", 0)
    nulls = nulls() if callable(nulls) else nulls
    return np.asarray(column.to_numpy() if hasattr(column, "to_numpy") else column, np.float64), int(nulls)
