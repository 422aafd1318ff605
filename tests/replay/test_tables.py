"""Tables: rows of Parquet read as the same rows of JSON Lines, whatever the types of the columns."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from math import inf, nan
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamguard.core.records import Blobs
from streamguard.errors import ConfigError
from streamguard.replay import tables
from streamguard.replay.sources import BrokenError, DamagedFileError
from tests.replay.reading import NEEDED, columns, documents, json_lines, labels, listed, record, rows

NOON = datetime(2024, 1, 1, 12, 0, 0, 1_999, tzinfo=UTC)
NOON_MS = 1_704_110_400_001
RECORDS = [
    record(number, label=["cat", "dög\n\"'", None, "\u2028"][number % 4] or "x", score=[0.5, None, 1 / 3][number % 3])
    for number in range(70_000)
]


def parquet(path: Path, data: Mapping[str, Any], schema: Mapping[str, Any] | None = None, **options: Any) -> Path:
    """A Parquet file."""
    pl.DataFrame(data, schema_overrides=schema, strict=False).write_parquet(path, **options)
    return path


def by_column(records: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Records as columns."""
    return {name: [each[name] for each in records] for name in records[0]}


@pytest.mark.parametrize("row_group_size", [1000, 50_000, 200_000])
def test_parquet_is_read_as_json_lines(tmp_path: Path, row_group_size: int) -> None:
    """Batch by batch the same records, however the file is laid out, with the progress in bytes."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(json_lines(RECORDS))
    source = labels(parquet(tmp_path / "a.parquet", by_column(RECORDS), row_group_size=row_group_size))
    assert listed(columns(source)) == listed(columns(labels(path)))
    read: list[int] = []
    assert sum(len(batch) for batch in source.batches(read.append)) == 70_000
    assert read == sorted(read)
    assert len(set(read)) > 2
    assert read[-1] == source.size


@pytest.mark.parametrize(
    ("unit", "as_written"), [("ms", NOON), ("us", NOON), ("ns", NOON), ("us", NOON.replace(tzinfo=None))]
)
def test_times_are_epoch_milliseconds(tmp_path: Path, unit: Any, as_written: datetime) -> None:
    """In any unit and zone; those without a zone are UTC."""
    kind = pl.Datetime(unit, "Europe/Berlin" if as_written.tzinfo else None)
    written = as_written.astimezone(ZoneInfo("Europe/Berlin")) if as_written.tzinfo else as_written
    path = parquet(tmp_path / "a.parquet", {"request_id": ["a"], "label": [1], "time": [written]}, {"time": kind})
    assert columns(labels(path)).times.tolist() == [NOON_MS]


TYPES: dict[str, tuple[Any, Any, list[Any], list[Any]]] = {
    "date": ("date", pl.Date(), [date(2024, 1, 1), None], [1_704_067_200_000, None]),
    "duration": ("duration", pl.Duration("us"), [timedelta(seconds=1), None], [1000, None]),
    "time": ("time", pl.Time(), [time(1, 2, 3), None], ["01:02:03", None]),
    "decimal": ("decimal", pl.Decimal(10, 2), [Decimal("1.25"), None], [1.25, None]),
    "float": ("float", pl.Float64(), [nan, inf], [None, None]),
    "float32": ("float", pl.Float32(), [0.5, nan], [0.5, None]),
    "category": ("category", pl.Categorical(), ["a", None], ["a", None]),
    "enum": ("enum", pl.Enum(["a"]), ["a", None], ["a", None]),
    "bytes": ("bytes", pl.Binary(), [b"a", b"\xff"], ["a", None]),
    "unsigned": ("unsigned", pl.UInt64(), [(1 << 64) - 1, 0], [(1 << 64) - 1, 0]),
    "boolean": ("boolean", pl.Boolean(), [True, None], [True, None]),
    "null": ("null", pl.Null(), [None, None], [None, None]),
    "list": ("list", pl.List(pl.Date()), [[date(1970, 1, 2)], []], [[86_400_000], []]),
    "array": ("array", pl.Array(pl.Date(), 1), [[date(1970, 1, 2)], None], [[86_400_000], None]),
    "floats": ("floats", pl.List(pl.Float64()), [[1.0, nan], None], [[1.0, None], None]),
    "struct": (
        "struct",
        pl.Struct({"at": pl.Datetime("us"), "of": pl.Struct({"d": pl.Decimal(10, 1)})}),
        [{"at": datetime(1970, 1, 1, 0, 0, 2), "of": {"d": Decimal("0.5")}}, None],  # noqa: DTZ001 - it has no zone
        [{"at": 2000, "of": {"d": 0.5}}, None],
    ),
    "id": ("request_id", pl.Int32(), [7, -1], ["7", "-1"]),
}


@pytest.mark.parametrize(("name", "kind", "given", "expected"), TYPES.values(), ids=TYPES)
def test_every_type_has_its_json(tmp_path: Path, name: str, kind: Any, given: list[Any], expected: list[Any]) -> None:
    """Times as numbers, categories as text, nothing where there is no number."""
    path = parquet(tmp_path / "a.parquet", {"request_id": ["a", "b"], name: given}, {name: kind})
    assert [each[name] for each in documents(labels(path, needed=(("request_id",),)))] == expected


def test_files_of_other_programs_are_read(tmp_path: Path) -> None:
    """Such as Arrow's, with nanoseconds and dictionaries, or Spark's old times."""
    table = pa.table(
        {
            "request_id": pa.array(["a", "b"], pa.large_string()),
            "label": pa.array(["x", "y"]).dictionary_encode(),
            "time": pa.array([NOON_MS * 1_000_000 + 5] * 2, pa.timestamp("ns", "UTC")),
        }
    )
    for old in (False, True):
        pq.write_table(table, tmp_path / "a.parquet", use_deprecated_int96_timestamps=old)
        found = columns(labels(tmp_path / "a.parquet"))
        assert (found.values.tolist(), found.times.tolist()) == (["x", "y"], [NOON_MS] * 2)


def test_nested_fields(tmp_path: Path) -> None:
    """A struct, or a column named by the path: both are objects in the JSON, and whole numbers as IDs text."""
    needed = (("meta", "id"), ("label",))
    both: dict[str, dict[str, list[Any]]] = {
        "struct": {"meta": [{"id": 7, "x": "y"}]},
        "dotted": {"meta.id": [7], "meta.x": ["y"]},
    }
    for name, data in both.items():
        path = parquet(tmp_path / f"{name}.parquet", {"label": [1], **data})
        assert documents(labels(path, needed=needed)) == [{"label": 1, "meta": {"id": "7", "x": "y"}}]
    deep = parquet(tmp_path / "deep.parquet", {"a.b.c": [1], "a.b.d": [2], "a.e": [3], "f": [4], "f.g": [5], ".h": [6]})
    assert documents(labels(deep, needed=(("a", "b", "c"),))) == [
        {"a": {"b": {"c": "1", "d": 2}, "e": 3}, "f": 4, "f.g": 5, ".h": 6}
    ]


def test_a_column_that_is_missing_is_told(tmp_path: Path) -> None:
    """With the columns that are there, fields of structs by their paths, and the one probably meant."""
    path = parquet(tmp_path / "a.parquet", {"requestId": ["a"], "meta": [{"label": 1}], "time": [1]})
    with pytest.raises(
        ConfigError, match=r"a\.parquet: no field 'request_id', there is requestId, meta\.label, time; did"
    ):
        rows(labels(path))
    with pytest.raises(ConfigError, match=r"no field 'label', .*did you mean meta\.label\?"):
        rows(labels(path, needed=(("requestId",), ("label",))))
    many = parquet(tmp_path / "b.parquet", {f"x{number}": [1] for number in range(30)})
    with pytest.raises(ConfigError, match=r"x19 and 10 more\."):
        rows(labels(many, needed=(("label",),)))


@pytest.mark.parametrize("kept", [0, 10, 5000, -1])
def test_a_damaged_file_is_told(tmp_path: Path, kept: int) -> None:
    """Also one that is empty."""
    path = parquet(tmp_path / "a.parquet", by_column(RECORDS[:5000]))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DamagedFileError, match=r"a\.parquet: cannot be read as Parquet \(.+\) after 0 rows"):
        rows(labels(path))


def test_a_table_may_have_no_rows(tmp_path: Path) -> None:
    """Then there are no records; its columns are looked at all the same."""
    path = parquet(tmp_path / "a.parquet", {"request_id": [], "label": [], "time": []})
    assert rows(labels(path)) == []
    with pytest.raises(ConfigError, match="no field 'other'"):
        rows(labels(path, needed=(("other",),)))


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read at once shrinks as rows grow; a row that is larger than that comes alone."""
    monkeypatch.setattr(tables, "_SLICE_BYTES", 8000)
    monkeypatch.setattr(tables, "_SLICE_ROWS_FIRST", 10)
    pieces, slices = tables.Table.pieces, list[int]()

    def spy(table: tables.Table, frame: pl.DataFrame) -> Iterator[Blobs]:
        slices.append(len(frame))
        return pieces(table, frame)

    monkeypatch.setattr(tables.Table, "pieces", spy)
    records = [record(number, note="x" * (100 if number < 100 else 5000)) for number in range(150)]
    path = parquet(tmp_path / "a.parquet", by_column(records))
    sizes = [len(part.rows) for part in tables.parquet(path, NEEDED)]
    assert max(sizes) < 10
    assert sizes[-20:] == [1] * 20
    assert slices[0] == 10
    assert 30 < max(slices) < 100
    assert documents(labels(path)) == records


def test_a_disk_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the rows before."""
    path = parquet(tmp_path / "a.parquet", by_column(RECORDS[:20_000]))
    parts = tables.parquet(path, NEEDED)
    assert next(parts).passed == 8192
    monkeypatch.setattr(pl.LazyFrame, "collect", fail)
    with pytest.raises(BrokenError, match=r"cannot be read as Parquet \(disk\)"):
        list(parts)


def fail(*_: object) -> None:
    """What a disk does."""
    raise OSError("disk")


def test_names_are_no_patterns_and_folders_no_columns(tmp_path: Path) -> None:
    """The file of just that name is read, with its own columns alone."""
    folder = tmp_path / "label=5"
    folder.mkdir()
    path = parquet(folder / "[ab].parquet", {"request_id": ["a"]})
    assert documents(labels(path, needed=NEEDED[:1])) == [{"request_id": "a"}]
