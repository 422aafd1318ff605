"""`streamguard.backtest`: from what is at hand in Python to a typed result."""

from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import polars as pl
import pytest

import streamguard
from streamguard.errors import ConfigError
from streamguard.replay.result import Backtest
from tests.replay.helpers import MINUTE_MS, START_MS, story

SETTINGS: dict[str, Any] = {
    "predictions": {"fields": {"time": "at"}},
    "labels": {"fields": {"time": "at"}},
    "join": {"after": "1h"},
    "monitors": [{"name": "m", "threshold": {"max_mismatch_percent": 10, "window": 100, "min_samples": 50}}],
}
EXPECTED = [("raised", "mismatch_drift")]


def told(found: Backtest) -> list[tuple[str, str]]:
    """Alerts in short."""
    return [(alert["status"], alert["kind"]) for alert in found.alerts]


def test_a_session_in_a_notebook() -> None:
    """What a data scientist would do, cell by cell: load, replay, look, try other settings, draw, keep."""
    # Two tables, as they come from a warehouse.
    predictions, labels = (pd.DataFrame(rows) for rows in story())

    # What would have been raised?
    found = streamguard.backtest(SETTINGS, predictions, labels)
    assert told(found) == EXPECTED

    # Which threshold?
    tried = {"backtest": {"sweep": {"monitors.m.threshold.max_mismatch_percent": [5, 20, 50]}}}
    compared = streamguard.backtest({**SETTINGS, **tried}, predictions, labels)
    alarms = {each.name: each.raised for each in compared.settings}
    assert alarms == {
        "as configured": 1,
        "max_mismatch_percent 5": 1,
        "max_mismatch_percent 20": 1,
        "max_mismatch_percent 50": 0,
    }

    # As a table, and as a picture.
    frame = compared.to_frame()
    assert frame.filter(pl.col("setting") == "as configured").height == 1
    assert frame["event_time"].dtype == pl.Datetime("ms", "UTC")
    assert frame["rate_after"].is_between(0, 1).all()
    axes = found.plot()
    assert len(axes.lines) == 3
    assert axes.get_title() == "m"


def test_a_notebook_shows_the_report() -> None:
    """In a frame of its own, so that neither touches the other."""
    shown = streamguard.backtest(SETTINGS, *story())._repr_html_()
    assert shown.startswith('<iframe srcdoc="<!')
    assert shown.count('"') == 4


@pytest.mark.parametrize("kind", ["rows", "text", "generator", "columns", "pandas", "polars", "arrow", "file"])
def test_all_that_holds_records_gives_the_same(kind: str, tmp_path: Path) -> None:
    """Rows, JSON, columns, tables, files: one result, byte for byte."""
    rows = story()
    given: list[Any] = []
    for name, each in zip(("predictions", "labels"), rows, strict=True):
        path = tmp_path / f"{name}.jsonl"
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in each))
        forms: dict[str, Any] = {
            "rows": each,
            "text": [orjson.dumps(row).decode() for row in each],
            "generator": (row for row in each),
            "columns": {field: [row[field] for row in each] for field in each[0]},
            "pandas": pd.DataFrame(each),
            "polars": pl.DataFrame(each),
            "arrow": pl.DataFrame(each).to_arrow(),
            "file": path,
        }
        given.append(forms[kind])
    assert list(streamguard.backtest(SETTINGS, *given).settings[0].lines) == list(
        streamguard.backtest(SETTINGS, *rows).settings[0].lines
    )


def test_a_configuration_may_be_a_file(tmp_path: Path) -> None:
    """The very one that live runs with."""
    path = tmp_path / "my.yaml"
    path.write_bytes(orjson.dumps({"log": {"kind": "kafka", "group": "g"}, **SETTINGS}))
    assert told(streamguard.backtest(path, *story())) == EXPECTED
    assert told(streamguard.backtest(str(path), *story())) == EXPECTED


def test_a_normal_period_may_be_text_or_milliseconds() -> None:
    """And ends after it begins."""
    fits = {**SETTINGS, "monitors": [{"name": "m", "threshold": {"max_mismatch_percent": 10, "window": 100}}]}
    found = streamguard.backtest(fits, *story(), normal=("2026-01-05T00:00:00Z", START_MS + 1400 * MINUTE_MS))
    assert found.suggestions[0].startswith("monitor 'm': The highest rate of a window of 100 in 1 days was 0%")
    with pytest.raises(ConfigError, match=r"normal: ends at 2026-01-05T00:00:00\.000Z, before it begins"):
        streamguard.backtest(fits, *story(), normal=(START_MS + 1, START_MS))
    with pytest.raises(ConfigError, match="normal: "):
        streamguard.backtest(fits, *story(), normal=("soon", START_MS))


def test_a_segment_that_is_not_there_cannot_be_drawn() -> None:
    """The error names those that are."""
    split = {**SETTINGS, "monitors": [{"name": "m", "split_by": ["country"], "threshold": {"max_mismatch_percent": 9}}]}
    found = streamguard.backtest(split, *story())
    assert found.plot("m", {"country": "FR"}).get_title() == "m country=FR"
    with pytest.raises(ConfigError, match=r"no segment \{'country': 'NO'\}; there is country=FR; country=DE$"):
        found.plot("m", {"country": "NO"})
    with pytest.raises(ConfigError, match="no monitor 'x'; there is 'm'"):
        found.plot("x")


def test_the_package_has_no_other_lazy_names() -> None:
    """A slip is an AttributeError, as of any module."""
    with pytest.raises(AttributeError, match="has no attribute 'backtests'"):
        streamguard.backtests  # noqa: B018 - that it raises is the point
