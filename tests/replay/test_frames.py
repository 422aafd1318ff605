"""Records in memory: whatever form they have, they are read as the same rows of JSON Lines."""

import sys
from collections import UserDict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from streamguard.errors import ConfigError
from streamguard.replay import frames
from streamguard.replay.frames import as_source
from streamguard.replay.sources import GivenError
from tests.replay.reading import NEEDED, columns, documents, json_lines, labels, listed, record, rows

START = datetime(2024, 1, 1, tzinfo=UTC)
START_MS = 1_704_067_200_000
COUNT = 35_000
RECORDS = [record(n, label=n % 3, score=[0.25, None][n % 2], time=START_MS + 1000 * n) for n in range(COUNT)]
TIMES = [START + timedelta(seconds=number) for number in range(COUNT)]
TIMED = [each | {"time": moment} for each, moment in zip(RECORDS, TIMES, strict=True)]
PANDAS = pd.DataFrame(TIMED)
PLAIN = PANDAS.assign(time=[each["time"] for each in RECORDS])
ARROW = pa.Table.from_pylist(TIMED)
BY_COLUMN = {name: [each[name] for each in RECORDS] for name in RECORDS[0]}

GIVEN: dict[str, Any] = {
    "mappings": RECORDS,
    "other-mappings": [UserDict(each) for each in RECORDS],
    "read-only": [MappingProxyType(each) for each in RECORDS],
    "times": TIMED,
    "numpy": [each | {"label": np.int64(each["label"]), "time": np.datetime64(each["time"], "ms")} for each in RECORDS],
    "timestamps": [each | {"time": pd.Timestamp(each["time"])} for each in TIMED],
    "bytes": json_lines(RECORDS).splitlines(),
    "texts": json_lines(RECORDS).decode().splitlines(),
    "columns": BY_COLUMN,
    "arrays": BY_COLUMN
    | {"label": np.array(BY_COLUMN["label"]), "time": np.array([each.replace(tzinfo=None) for each in TIMES], "M8[s]")},
    "series": {name: PANDAS[name] for name in PANDAS},
    "polars-series": {name: pl.Series(values) for name, values in BY_COLUMN.items()},
    "tuples": {name: tuple(values) for name, values in BY_COLUMN.items()},
    "pandas": PANDAS,
    "pandas-index": PANDAS.set_index(PANDAS["request_id"] + "?"),
    "pandas-zone": PANDAS.assign(time=PANDAS["time"].dt.tz_convert("Asia/Tokyo")),
    "pandas-no-zone": PANDAS.assign(time=PANDAS["time"].dt.tz_convert(None)),
    "pandas-nanoseconds": PANDAS.assign(time=PANDAS["time"].astype("datetime64[ns, UTC]") + np.timedelta64(999, "ns")),
    "pandas-objects": PANDAS.astype(object),
    "pandas-arrow": PLAIN.convert_dtypes(dtype_backend="pyarrow"),
    "pandas-nullable": PLAIN.convert_dtypes(),
    "pandas-categories": PANDAS.astype({"label": "category"}),
    "polars": pl.DataFrame(TIMED),
    "arrow": ARROW,
    "arrow-batch": ARROW.combine_chunks().to_batches()[0],
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What the same records in a file are."""
    path: Path = tmp_path_factory.mktemp("files") / "a.jsonl"
    path.write_bytes(json_lines(RECORDS))
    return listed(columns(labels(path)))


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_every_form_is_read_alike(given: Any, expected: dict[str, list[Any]]) -> None:
    """As a file is, as often as wanted; progress is in rows."""
    source = as_source(given, "labels", NEEDED)
    assert (source.topic, source.partition, source.size) == ("labels", 0, COUNT)
    for _ in range(2):
        assert listed(columns(source)) == expected
    read: list[int] = []
    assert len(list(source.batches(read.append))) >= 2
    assert read == sorted(read)
    assert read[-1] == COUNT


def test_generators_are_read_lazily_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is taken than a batch needs, of many rows or of large ones; nobody knows how many will come."""
    taken: list[int] = []

    def generate(size: int) -> Iterator[dict[str, Any]]:
        for number in range(100_000):
            taken.append(number)
            yield record(number, note="x" * size)

    source = as_source(generate(0), "labels", NEEDED)
    assert (source.size, taken) == (0, [])
    batches = source.batches()
    assert len(next(batches)) == len(taken) == 32_768
    with pytest.raises(GivenError, match=r"topic 'labels': the generator was read already: give a list, or a new one"):
        next(source.batches())
    monkeypatch.setattr("streamguard.replay.rows._BATCH_BYTES", 10_000)
    taken.clear()
    assert len(next(as_source(generate(999), "labels", NEEDED).batches())) == len(taken) == 10


def test_wide_tables_are_read_in_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many cells at a time as fit."""
    monkeypatch.setattr(frames, "_CELLS_MAX", 12)
    taken: list[slice] = []

    class Column(list[int]):
        """Tells what is taken of it."""

        def __getitem__(self, place: Any) -> Any:
            taken.append(place)
            return super().__getitem__(place)

    given = {"request_id": Column(range(5)), "label": list("abcde"), "time": range(5), "x": [None] * 5}
    assert [each["label"] for each in documents(as_source(given, "labels", NEEDED))] == list("abcde")
    assert taken == [slice(0, 3), slice(3, 6)]


def test_missing_times_are_null() -> None:
    """Within columns that are arrays of times, too."""
    times = np.array(["2024-01-01", "NaT"], "M8[D]")
    for given in (pd.DataFrame({"request_id": ["a", "b"], "time": times}), {"request_id": ["a", "b"], "time": times}):
        assert [each["time"] for each in documents(as_source(given, "labels", NEEDED[::2]))] == [START_MS, None]


def test_nothing_is_no_record() -> None:
    """Whatever it is that holds none."""
    nothing: tuple[Any, ...] = ([], iter([]), {"request_id": []}, {}, pl.DataFrame({"request_id": []}), PANDAS[:0])
    for given in nothing:
        assert rows(as_source(given, "labels", NEEDED[:1])) == []


def test_json_is_taken_as_it_is() -> None:
    """Also where it is none: the reader of records judges it."""
    given = [b'{"request_id": 7}', '{"request_id": "\u00e9"}', "garbage", bytearray(b" "), memoryview(b"\xff")]
    assert [value for _, value in rows(as_source(given, "labels", NEEDED[:1]))] == [
        *(b'{"request_id": 7}', b'{"request_id": "\xc3\xa9"}', b"garbage", b" ", b"\xff")
    ]


class DataFrame:
    """One of a package that is not known, such as Spark."""

    def __iter__(self) -> Iterator[str]:
        return iter(["request_id"])


WRONG: dict[str, tuple[Any, str]] = {
    "text": ("labels.jsonl", r"are a str\. What is taken: an iterable of mappings"),
    "bytes": (b"{}", r"are a bytes\."),
    "none": (None, r"are a NoneType\."),
    "number": (5, r"are a int\."),
    "set": ({"{}"}, r"are a set\."),
    "lazy": (pl.DataFrame({"a": [1]}).lazy(), r"are a LazyFrame: convert it by \.collect\(\), \.to_pandas\(\)"),
    "unknown": (DataFrame(), r"are a DataFrame: convert it by"),
    "rows": ([record(0), [1, 2]], r"row 1 is a list\. What is taken"),
    "array": (np.zeros((2, 2)), r"row 0 is a ndarray\."),
    "value": ([record(0, x=SimpleNamespace())], r"row 0 has no JSON: 'x' is a SimpleNamespace .*give text, numbers"),
    "large": ([record(0, x=1 << 70)], r"'x' is a int .*64-bit"),
    "key": ([record(0) | {5: 1}], r"row 0 has no JSON: 5 is a int .*str"),
    "one": ({"request_id": "a", "label": 1}, r"taken for columns, and 'request_id' is a str: give a list"),
    "generator": ({"request_id": iter("ab")}, r"'request_id' is a .*iterator: give a list"),
    "unequal": ({"request_id": ["a"], "label": []}, r"columns of unequal length: request_id 1, label 0"),
    "twice": (pd.concat([PANDAS[:2], PANDAS[:2]], axis=1), r"two columns are named 'request_id'"),
    "objects": (pl.DataFrame({"x": [SimpleNamespace()]}), r"column 'x' holds Python objects"),
}


@pytest.mark.parametrize(("given", "words"), WRONG.values(), ids=WRONG)
def test_what_is_no_record_is_told(given: Any, words: str) -> None:
    """With what it is, where, and what would be taken; it is a TypeError to who does not know ours."""
    with pytest.raises(ConfigError, match=rf"^the records given for topic 'labels'.*{words}") as caught:
        rows(as_source(given, "labels", NEEDED))
    assert isinstance(caught.value, TypeError) or "objects" in words


@pytest.mark.parametrize(
    "form", [lambda d: d, pd.DataFrame, pl.DataFrame, pa.table, lambda d: pd.DataFrame(d).to_dict("records")]
)
def test_a_field_that_is_missing_is_told(form: Any) -> None:
    """With those that are there."""
    given = form({"requestId": ["a"], "label": [1], "time": [2]})
    with pytest.raises(
        ConfigError, match=r"topic 'labels': no field 'request_id', there is requestId, label, time; did"
    ):
        rows(as_source(given, "labels", NEEDED))


def test_an_index_is_no_column() -> None:
    """Who has the IDs there is told how to make them one."""
    with pytest.raises(ConfigError, match=r"no field 'request_id', .* index is not read: call \.reset_index\(\)"):
        rows(as_source(PANDAS.set_index("request_id"), "labels", NEEDED))
    with pytest.raises(ConfigError, match=r"and backtest\.$"):
        rows(as_source(PANDAS.drop(columns="request_id"), "labels", NEEDED))


def test_nested_fields() -> None:
    """In rows as they are; a column named by a path is within an object, as in files. Their IDs are text, too."""
    needed, rows_ = (("meta", "id"),), [{"meta": {"id": 7, "at": START}}]
    flat = {"meta.id": [7], "meta.at": [START]}
    for given in (rows_, {"meta": [{"id": 7, "at": START}]}, flat, pd.json_normalize(rows_), pl.DataFrame(flat)):
        assert documents(as_source(given, "labels", needed)) == [{"meta": {"id": "7", "at": START_MS}}]


def test_arrow_without_polars_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "polars", None)
    monkeypatch.delitem(sys.modules, "streamguard.replay.tables", raising=False)
    monkeypatch.delattr("streamguard.replay.tables", raising=False)
    with pytest.raises(ConfigError, match=r"needs the package polars, .* pip install 'streamguard\[tables\]'"):
        as_source(ARROW, "labels", NEEDED)
