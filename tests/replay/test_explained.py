"""`streamguard explain` of a report's directory: which alerts it knows, and which files it reads."""

from pathlib import Path

import orjson
import pytest

from tests.replay.helpers import story
from tests.replay.test_running import run, written


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The report of a directory of two files of each side."""
    (tmp_path / "history").mkdir()
    for name, rows in zip(("predictions", "labels"), story(), strict=True):
        for number, part in enumerate((rows[:1000], rows[1000:])):
            path = tmp_path / "history" / name / f"{number + 1}.jsonl"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in part))
    options = [word for name in ("predictions", "labels") for word in (f"--{name}", tmp_path / "history" / name)]
    sweep = {"sweep": {"monitors.m.threshold.max_mismatch_percent": [20]}}
    run("backtest", written(tmp_path, backtest=sweep), *options, "--out", tmp_path / "out")
    return tmp_path / "out"


def id_of(out: Path) -> str:
    """Of the first alert."""
    return str(orjson.loads((out / "alerts.jsonl").read_bytes().splitlines()[0])["id"])


def test_alerts_that_the_page_does_not_hold_are_found(out: Path) -> None:
    """All are in alerts.jsonl; those of other settings are only in report.json."""
    report = orjson.loads((out / "report.json").read_bytes())
    (other,) = (each for each in report["alerts"] if each["setting"])
    report["alerts"] = [other]
    (out / "report.json").write_bytes(orjson.dumps(report))
    assert "wrong since the onset:" in run("explain", id_of(out), out)
    assert "wrong since the onset:" in run("explain", other["id"], out)


def test_files_that_came_later_are_not_read(out: Path, tmp_path: Path) -> None:
    """Else each record's offset would be another."""
    before = run("explain", id_of(out), out)
    for name in ("predictions", "labels"):
        (tmp_path / "history" / name / "0.jsonl").write_bytes(b'{"request_id": "x", "at": 1}\n' * 500)
    assert run("explain", id_of(out), out) == before


def test_a_file_that_is_gone_or_changed_is_told(out: Path, tmp_path: Path) -> None:
    """With its name; what is still where it was is shown."""
    labels, predictions = tmp_path / "history" / "labels" / "2.jsonl", tmp_path / "history" / "predictions" / "2.jsonl"
    size = labels.stat().st_size
    with labels.open("ab") as file:
        file.write(b"\n")
    said = run("explain", id_of(out), out)
    assert f"note: {labels} had {size:,} bytes, and has {size + 1:,}: what is shown may be other records" in said
    assert "wrong since the onset:" in said
    predictions.unlink()
    said = run("explain", id_of(out), out)
    words = "neither it nor what follows it in partition 0 of the predictions is shown"
    assert f"note: {predictions} cannot be read any more (No such file or directory): {words}" in said
