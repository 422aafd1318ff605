"""`streamguard backtest` and `streamguard explain` as commands, on files and on an embedded log."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.interface import Record, TopicInfo
from tests.replay.helpers import MINUTE_MS, START_MS, story

SETTINGS: dict[str, Any] = {
    "log": {"kind": "embedded", "path": "unused.db"},
    "predictions": {"fields": {"time": "at"}},
    "labels": {"fields": {"time": "at"}},
    "join": {"after": "1h"},
    "monitors": [{"name": "m", "threshold": {"max_mismatch_percent": 10, "window": 100, "min_samples": 50}}],
}


def run(*words: str | Path, code: int = 0) -> str:
    """Run a command; returns what it says."""
    command = [sys.executable, "-m", "streamguard.cli", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def written(directory: Path, **sections: Any) -> Path:
    """A configuration in a file."""
    path = directory / "my.yaml"
    path.write_text(yaml.safe_dump({**SETTINGS, **sections}))
    return path


def files(directory: Path, rows: Sequence[Sequence[dict[str, Any]]]) -> list[str | Path]:
    """Options that name the story in files."""
    options: list[str | Path] = []
    for name, each in zip(("predictions", "labels"), rows, strict=True):
        path = directory / f"{name}.jsonl"
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in each))
        options += [f"--{name}", path]
    return options


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """A configuration of an embedded log on which a worker has run."""
    config = written(tmp_path, log={"kind": "embedded", "path": str(tmp_path / "log.db"), "group": "g"})
    log = EmbeddedLog(tmp_path / "log.db")
    for topic, rows in zip(("predictions", "labels"), story(), strict=True):
        log.create(TopicInfo(topic, 3))
        log.append(
            [Record(topic, row["request_id"].encode(), orjson.dumps(row), timestamp_ms=row["at"]) for row in rows]
        )
    log.close()
    run("run", config, "--until-end")
    return config


def test_files_become_a_report(tmp_path: Path) -> None:
    """What is said, and what is written."""
    out = tmp_path / "out"
    options = files(tmp_path, story())
    truth = tmp_path / "truth.csv"
    truth.write_text("from,name\n2026-01-06T01:00:00Z,fault\n")
    normal = "2026-01-05T00:00:00Z/2026-01-06T00:00:00Z"
    said = run("backtest", written(tmp_path), *options, "--truth", truth, "--normal", normal, "--out", out)
    assert "predictions: 2,000 consumed = 2,000 matched, 0 expired" in said
    assert "raised   mismatch_drift of m by threshold: 0.133% -> 11%" in said
    assert "as configured       1" in said
    assert "always alarms" in said
    assert "suggestion: monitor 'm': The highest rate" in said
    assert sorted(path.name for path in out.iterdir()) == ["alerts.jsonl", "report.html", "report.json"]
    report = orjson.loads((out / "report.json").read_bytes())
    (line,) = (out / "alerts.jsonl").read_bytes().splitlines()
    assert {"setting": 0, **orjson.loads(line)} == report["alerts"][0]
    assert report["settings"][0]["score"]["found"] == 1


def test_replay_is_live_byte_for_byte(live: Path, tmp_path: Path) -> None:
    """Of an embedded log of three partitions, both modes; and a replay writes nothing to it."""
    alerts = run("alerts", live).encode()
    assert alerts.count(b"\n") == 1
    before = (tmp_path / "log.db").read_bytes()
    for mode in ("ideal", "faithful"):
        run("backtest", live, "--mode", mode, "--out", tmp_path / mode)
        assert (tmp_path / mode / "alerts.jsonl").read_bytes() == alerts
    assert (tmp_path / "log.db").read_bytes() == before


def test_a_range_of_topics(live: Path) -> None:
    """Only what lies in it; what a live worker knew from before is said to be missing."""
    said = run("backtest", live, "--from", "2026-01-05T10:00:00Z", "--to", "2026-01-05T20:00:00Z")
    assert "predictions: 600 consumed" in said
    assert "the range begins after the topics do" in said
    assert "no alerts" in said
    said = run("backtest", live, "--from", "2027-01-05T10:00:00Z", code=2)
    assert "topic 'predictions' has no record from 2027-01-05T10:00:00.000Z to the end" in said
    assert "its first record is of 2026-01-05T00:00:00.000Z, its last of 2026-01-06T09:19:00.000Z" in said


def test_outcomes_of_another_configuration_are_told(live: Path, tmp_path: Path) -> None:
    """Mode faithful has only what workers have joined: records that are none, and monitors that were others."""
    log = EmbeddedLog(tmp_path / "log.db")
    log.append([Record("streamguard-g-outcomes", b"k", b"garbage", timestamp_ms=START_MS)])
    log.close()
    document = yaml.safe_load(live.read_text())
    document["monitors"][0]["name"] = "other"
    live.write_text(yaml.safe_dump(document))
    said = run("backtest", live, "--mode", "faithful")
    assert "note: 1 records of the outcomes topic cannot be read; partition 0, offset" in said
    assert "outcomes are of monitor 'm', which is not in this configuration" in said
    assert "no outcome is of monitor 'other'" in said


def test_a_setting_may_have_any_name(tmp_path: Path) -> None:
    """Brackets are no markup."""
    changes = {"monitors.m.threshold.max_mismatch_percent": 60}
    config = written(tmp_path, backtest={"alternatives": [{"name": "[/x] :+1: [bold]\x1b[2J", "changes": changes}]})
    said = run("backtest", config, *files(tmp_path, story()), "--out", tmp_path / "out")
    assert "[/x] :+1: [bold]\\x1b[2J  " in said
    assert (tmp_path / "out" / "report.html").exists()


def test_an_alert_is_explained_from_its_log(live: Path) -> None:
    """By its first letters: what the check saw, the records, what the wrong ones share."""
    alert = orjson.loads(run("alerts", live))
    said = run("explain", alert["id"][:6], live)
    assert "raised mismatch_drift of monitor m" in said
    assert "-- onset" in said
    assert "wrong since the onset:" in said
    assert f"{alert['examples'][0]}: 'no', label 'yes' (predictions-" in said
    assert '"prediction":"no","at":' in said
    assert "has 1; the latest are" in run("explain", "zzz", live, code=2)


def test_an_alert_is_explained_from_a_report_of_files(tmp_path: Path) -> None:
    """A third of those of one country are wrong: that is what they have in common."""
    rows = story(fault=None)
    for number, label in enumerate(rows[1]):
        label["label"] = "yes" if number > 1500 and number % 4 == 0 else "no"
    out = tmp_path / "out"
    # Who is told is of no use to a replay, and secret.
    hook = {"name": "hook", "type": "webhook", "url": "http://localhost/hook"}
    run("backtest", written(tmp_path, handlers=[hook]), *files(tmp_path, rows), "--out", out)
    alert = orjson.loads((out / "alerts.jsonl").read_bytes().splitlines()[0])
    said = run("explain", alert["id"], out)
    assert "country=FR: 0.00% -> " in said
    assert "100% of the rise with 5" in said


def test_ctrl_c_leaves_a_report(tmp_path: Path) -> None:
    """Partial, valid, and said to be so; the code is that of an interruption."""
    out = tmp_path / "out"
    rows = story(400_000, fault=1500)
    command = [sys.executable, "-m", "streamguard.cli", "backtest", str(written(tmp_path))]
    options = [*map(str, files(tmp_path, rows)), "--out", str(out), "--processes", "2"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    # The directory is there when the work begins.
    while not out.exists():
        assert process.poll() is None
    os.kill(process.pid, signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 130, said + errors
    assert "PARTIAL: interrupted" in said
    report = orjson.loads((out / "report.json").read_bytes())
    assert report["partial"].startswith("interrupted")
    assert report["counts"]["predictions"]["consumed"] < 400_000
    assert "</html>" in (out / "report.html").read_text()


def test_a_damaged_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """And the result is marked partial."""
    import gzip  # noqa: PLC0415 - for this alone

    rows = story()
    options = files(tmp_path, rows)
    packed = gzip.compress(b"".join(orjson.dumps(row) + b"\n" for row in rows[0]))
    (tmp_path / "cut.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    options[1] = tmp_path / "cut.jsonl.gz"
    said = run("backtest", written(tmp_path), *options, code=1)
    assert "PARTIAL: a source broke off: " in said
    assert "cut.jsonl.gz" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--predictions", "x.jsonl"], "--predictions and --labels: give both, or neither"),
        (["--predictions", "x.jsonl", "--labels", "x.jsonl"], "--predictions: x.jsonl does not exist"),
        (["--from", "yesterday"], "--from: "),
        (["--from", "2026-01-02T00:00:00Z", "--to", "2026-01-01T00:00:00Z"], "--to: must be later than --from"),
        (["--normal", "2026-01-02T00:00:00Z"], "--normal: must be two times"),
        (["--truth", "none.jsonl"], "none.jsonl"),
        (["--mode", "other"], "'other' is not one of 'ideal', 'faithful'"),
        (["--mode", "faithful", "--predictions", "a", "--labels", "b"], "--mode faithful: replays the outcomes topic"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(options: list[str], words: str, tmp_path: Path) -> None:
    """With the option, before anything is read."""
    assert words in run("backtest", written(tmp_path), *options, code=2)


def test_a_log_without_topics_says_so(tmp_path: Path) -> None:
    """Mode ideal needs the inputs, mode faithful the outcomes; neither makes a topic."""
    config = written(tmp_path, log={"kind": "embedded", "path": str(tmp_path / "new.db")})
    assert "log.path: there is no log at" in run("backtest", config, code=3)
    assert not (tmp_path / "new.db").exists()
    log = EmbeddedLog(tmp_path / "new.db")
    assert "no topic 'predictions'" in run("backtest", config, code=3)
    for topic in ("predictions", "labels"):
        log.create(TopicInfo(topic, 1))
    log.append([Record("predictions", b"a", b"{}", timestamp_ms=START_MS + MINUTE_MS)])
    log.close()
    assert "topic 'labels' has no record from the beginning to the end: it is empty" in run("backtest", config, code=2)
    said = run("backtest", config, "--mode", "faithful", code=3)
    assert "no topic 'streamguard-streamguard-outcomes': mode faithful replays what workers" in said
