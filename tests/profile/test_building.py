"""`streamguard.profile.build`: whatever holds rows gives one profile, and what is wrong is said."""

import gzip
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import polars as pl
import pytest
import zstandard

from streamguard.config import parse
from streamguard.errors import ConfigError
from streamguard.profile import Profile, build

COUNT = 3000
ROWS: list[dict[str, Any]] = [
    {
        "id": f"r{number}",
        "age": 20 + number % 50,
        "amount": math.exp(number % 97 / 10) if number % 10 else None,
        "plan": ["free", "paid", "trial"][number % 3],
        "note": f"Order {number % 100} has ÄNDERUNGEN, pay  me",
        "is_new": number % 4 == 0,
        "label": int(number % 5 == 0),
        "prediction": int(number % 6 == 0),
        "score": 0.8 if number % 6 == 0 else 0.1,
    }
    for number in range(COUNT)
]
ASKED: dict[str, Any] = {
    "text": ["note"],
    "leave_out": ["id"],
    "label": "label",
    "prediction": "prediction",
    "score": "score",
    "name": "orders",
}
LINES = b"".join(orjson.dumps(row) + b"\n" for row in ROWS)


def told(profile: Profile) -> Profile:
    """All but from where."""
    return profile.model_copy(update={"made_from": ""})


@pytest.mark.parametrize(
    "kind",
    [
        *("rows", "texts", "generator", "columns", "pandas", "polars", "arrow"),
        *("jsonl", "jsonl.gz", "jsonl.zst", "csv", "parquet", "files"),
    ],
)
def test_all_that_holds_rows_gives_the_same(kind: str, tmp_path: Path) -> None:
    """Rows, columns, tables, files: one profile."""
    path = tmp_path / f"rows.{kind}"
    frame = pl.DataFrame(ROWS)
    packed: dict[str, Callable[[bytes], bytes]] = {
        "jsonl": bytes,
        "jsonl.gz": gzip.compress,
        "jsonl.zst": zstandard.ZstdCompressor().compress,
    }
    given: Any = path
    if kind in packed:
        path.write_bytes(packed[kind](LINES))
    elif kind == "csv":
        frame.write_csv(path)
    elif kind == "parquet":
        frame.write_parquet(path)
    elif kind == "files":
        given = [tmp_path / "a.jsonl", str(tmp_path / "b.jsonl")]
        for part, rows in zip(given, (ROWS[:1000], ROWS[1000:]), strict=True):
            Path(part).write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    else:
        given = {
            "rows": ROWS,
            "texts": LINES.decode().splitlines(),
            "generator": (row for row in ROWS),
            "columns": {name: [row[name] for row in ROWS] for name in ROWS[0]},
            "pandas": pd.DataFrame(ROWS),
            "polars": frame,
            "arrow": frame.to_arrow(),
        }[kind]

    expected, found = build(ROWS, **ASKED), build(given, **ASKED)
    if kind == "csv":
        # CSV has no booleans but by name, and these are.
        assert found.features["is_new"] == expected.features["is_new"]
    assert told(found) == told(expected)


def test_a_profile_says_what_each_feature_looks_like() -> None:
    """Its rates, ranges and counts."""
    found = build(ROWS, **ASKED)
    amount, plan, note = found.features["amount"], found.features["plan"], found.features["note"].text

    assert (found.rows, list(found.features)) == (COUNT, ["age", "amount", "is_new", "note", "plan"])
    assert (amount.missing_rate, amount.kinds) == (0.1, {"number": 2700, "null": 300})
    assert plan.categories is not None
    values = plan.categories.values  # noqa: PD011 - of a profile
    assert [(each.value, each.count) for each in values] == [
        ("free", 1000),
        ("paid", 1000),
        ("trial", 1000),
    ]
    assert note is not None
    assert note.rates["upper"].rate == pytest.approx(11 / 31.9)
    assert note.rates["whitespace_runs"].texts == COUNT
    assert found.prediction is not None
    assert found.outcome is not None
    assert found.outcome.calibration is not None
    assert found.outcome.mismatch_rate == pytest.approx(0.3)
    assert (found.notes, found.left_out) == ([], {"id": "left out"})


def test_a_configuration_says_what_is_no_feature() -> None:
    """IDs and times are never profiled."""
    config = parse(
        {
            "log": {"kind": "embedded", "path": "unused.db"},
            "predictions": {"fields": {"request_id": "id", "time": "age", "score": "score"}},
            "join": {"after": "1h"},
            "monitors": [{"name": "m", "threshold": {"max_mismatch_percent": 10}}],
        }
    )
    found = build(ROWS, config=config, label="label", text=["note"])

    assert found.left_out == {
        "id": "request ID",
        "age": "event time",
        "model": "the model's name",
        "version": "the model's version",
    }
    assert list(found.features) == ["amount", "is_new", "note", "plan"]
    assert found.outcome is not None
    assert found.score is not None


def test_a_configured_field_that_is_not_there_is_noted() -> None:
    """Training data need not hold predictions."""
    config = parse(
        {
            "log": {"kind": "embedded", "path": "unused.db"},
            "join": {"after": "1h"},
            "monitors": [{"name": "m", "threshold": {"max_mismatch_percent": 10}}],
        }
    )
    found = build([{"a": number} for number in range(20)], config=config)

    assert found.prediction is None
    assert found.notes == ["No row has the field prediction, which is the prediction."]


@pytest.mark.parametrize("kind", ["rows", "columns", "arrays", "polars", "arrow", "parquet", "pandas"])
def test_nan_and_infinities_are_told_from_nulls(kind: str, tmp_path: Path) -> None:
    """To all but pandas, for which NaN is what is missing."""
    values = [1.5, float("nan"), float("inf"), -float("inf"), None, 2.5]
    numbers = [0.0 if each is None else each for each in values]
    frame = pl.DataFrame({"x": values, "y": [1] * 6})
    path = tmp_path / "x.parquet"
    frame.write_parquet(path)
    given: Any = {
        "rows": [{"x": each if each is None else np.float64(each), "y": 1} for each in values],
        "columns": {"x": values, "y": [1] * 6},
        "arrays": {"x": np.array(numbers), "y": np.ones(6, int)},
        "polars": frame,
        "arrow": frame.to_arrow(),
        "parquet": path,
        "pandas": frame.to_pandas(),
    }[kind]
    found = build(given).features["x"]

    nulls = {"arrays": 0, "pandas": 2}.get(kind, 1)
    assert found.kinds.get("null", 0) == nulls
    assert found.kinds.get("nan", 0) == (0 if kind == "pandas" else 1)
    assert found.kinds["infinite"] == 2
    assert found.missing == (1 if kind == "arrays" else 2)
    assert found.numbers is not None
    assert found.numbers.max == 2.5


def test_a_parquet_file_without_floats_is_read(tmp_path: Path) -> None:
    """There is nothing to look at for NaN."""
    pl.DataFrame({"a": [1, 2]}).write_parquet(tmp_path / "a.parquet")
    assert build(tmp_path / "a.parquet").features["a"].kinds == {"integer": 2}


def test_nested_infinities_of_rows_are_found() -> None:
    """By their dotted path."""
    found = build([{"a": {"b": float("inf")}}, {"a": {"b": 1.0}}])
    assert found.features["a.b"].kinds == {"infinite": 1, "number": 1}


def test_odd_data_are_named() -> None:
    """What could not be said is said."""
    rows = [
        {
            "none": None,
            "one": 1,
            "mixed": [1, "a", True][number % 3],
            "big": (1 << 53) + number,
            "huge": 1e200,
            "endless": float("inf"),
            "many": f"c{number}",
            "quiet": "x",
        }
        for number in range(600)
    ]
    notes = build([*rows, "?", '{"mixed": NaN}', '{"quiet": "\\ud800"}']).notes

    assert notes == [
        "1 rows are no JSON objects, and were left out.",
        "2 rows hold NaN, infinities or lone surrogates, which are no JSON: a worker would reject such records.",
        "big: 600 whole numbers are of 2^53 or more, and taken as the nearest float.",
        "endless: no value is a finite number, a text or any other.",
        "endless: 600 values are infinite, and in no figure of numbers.",
        "huge: numbers beyond 1e150 have no standard deviation that a float can say.",
        "many: about 608 distinct values: counts of the frequent ones are too low by at most 1.",
        "mixed: has values of several kinds: 200 of integer, 200 of text, 200 of boolean.",
        "none: all values are missing.",
        "one: has one value only.",
        "quiet: 1 texts hold lone surrogates, and are not named.",
    ]


def test_calibration_that_is_not_known_is_noted() -> None:
    """The labels are texts, and nobody said which is the positive one."""
    rows = [{"p": "yes", "l": "no", "s": 0.5}] * 20
    asked: dict[str, Any] = {"prediction": "p", "label": "l", "score": "s"}

    assert build(rows, **asked).notes[0].startswith("Calibration is not known")
    assert build(rows, **asked, positive="yes").notes == []


@pytest.mark.parametrize(
    ("data", "asked", "message"),
    [
        ([], {}, "a list in memory: holds no rows. A profile needs at least one"),
        ([b"?", b"[1]"], {}, "none of the first 2 rows is a JSON object"),
        ([{"amount": 1}], {"text": ["amuont"]}, "--text: no field 'amuont' in 1 rows, there is amount; did you mean"),
        ([{"a": 1}], {"score": "s"}, "--score: no field 's' in 1 rows, there is a"),
        ([{"a": 1}], {"label": "a"}, "label: is held against predictions: name their column"),
        ([{"a": 1}], {"min_count": 0}, "min_count: must be at least 1, got 0"),
        (3, {}, "are a int"),
        ("none.csv", {}, "none.csv does not exist"),
    ],
)
def test_what_is_wrong_is_said(data: Any, asked: dict[str, Any], message: str) -> None:
    """Where, and how to mend it."""
    with pytest.raises(ConfigError, match=message.replace("[", r"\[").replace(".", r"\.")):
        build(data, **asked)


def test_an_empty_file_has_no_profile(tmp_path: Path) -> None:
    """Nor one with a header alone."""
    for name, text in (("a.jsonl", ""), ("a.csv", "a,b\n"), ("b.csv", "")):
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError, match="holds no rows"):
            build(tmp_path / name)
    pl.DataFrame({"a": pl.Series([], dtype=pl.Float64)}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match="holds no rows"):
        build(tmp_path / "a.parquet")


def test_a_damaged_file_has_no_profile(tmp_path: Path) -> None:
    """A part of the data would be taken for all of them."""
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(LINES)[:-100])
    with pytest.raises(ConfigError, match="Copy it again, or leave it out"):
        build(tmp_path / "a.jsonl.gz")


def test_a_damaged_parquet_file_is_named(tmp_path: Path) -> None:
    """Before anything is read of it."""
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + b"x" * 100)
    with pytest.raises(ConfigError, match=r"a\.parquet.* cannot be read as Parquet"):
        build(tmp_path / "a.parquet")
