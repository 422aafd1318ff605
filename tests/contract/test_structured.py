"""Alerts in structured mode: set by the configuration, and read by all that reads the alerts topic."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

import streamguard
from streamguard.config import Config, parse
from streamguard.core.alerts import Alert, Status
from streamguard.core.detectors import Direction
from streamguard.demo import running
from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.interface import Record, TopicInfo
from streamguard.replay import explained
from streamguard.worker.listing import list_alerts
from streamguard.worker.topology import derive
from streamguard.worker.worker import Worker
from tests.contract.schemas import wrong_alert
from tests.replay.golden import HISTORIES
from tests.worker.helpers import HandClock, traffic, write
from tests.worker.helpers import config as worker_config


def config(path: Path, mode: str | None) -> Config:
    """Over an embedded log."""
    return parse(
        {
            "log": {"kind": "embedded", "path": str(path / "log.db")},
            "join": {"after": "1h"},
            "monitors": [{"name": "m", "threshold": {"max_mismatch_percent": 8}}],
            "alerts": {} if mode is None else {"mode": mode},
        }
    )


def alert(number: int) -> Alert:
    """A silence of an hour."""
    made = Alert(
        status=Status.RAISED,
        kind="no_data",
        severity="critical",
        monitor="m",
        segment={},
        model=None,
        version=None,
        check={"type": "no_data", "after_ms": 3_600_000},
        event_time_ms=number * 3_600_000,
        trigger=(number, -1, -1, -1),
        direction=Direction.UNKNOWN,
    )
    made.episode = made.id
    return made


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    """Its alerts topic has an alert in binary mode, two in structured mode, and a record that is none."""
    log = EmbeddedLog(tmp_path / "log.db")
    log.create(TopicInfo("alerts", 1))
    outputs = [alert(number).output("streamguard/g", is_structured=number > 0) for number in range(3)]
    log.append([Record("alerts", each.key, each.value, headers=each.headers) for each in outputs])
    log.append([Record("alerts", None, None)])
    yield log
    log.close()


def test_the_mode_is_binary_unless_it_is_set(tmp_path: Path) -> None:
    """Who subscribed before there was a choice sees no change."""
    modes = {
        mode: derive(config(tmp_path, mode), 1, 1).monitor.has_structured_alerts
        for mode in (None, "binary", "structured")
    }
    assert modes == {None: False, "binary": False, "structured": True}


def test_a_structured_alert_is_one_json_document() -> None:
    """Its header says so; the key is the episode in either mode."""
    output = alert(1).output("streamguard/g", is_structured=True)
    assert output.headers == (("content-type", b"application/cloudevents+json"),)
    assert output.key == alert(1).id.encode()
    event = orjson.loads(output.value or b"")
    assert wrong_alert(event.pop("data")) == []
    assert event == {
        "specversion": "1.0",
        "id": alert(1).id,
        "source": "streamguard/g",
        "type": "streamguard.alert.raised",
        "time": "1970-01-01T01:00:00.000Z",
        "datacontenttype": "application/json",
        "subject": alert(1).id,
    }


def test_alerts_are_listed_alike(log: EmbeddedLog, tmp_path: Path) -> None:
    """`streamguard alerts` prints the alert, whichever way it was published: a topic may have both."""
    lines: list[str] = []
    assert log.topics(["alerts"])
    list_alerts(config(tmp_path, None), since=None, follow=False, echo=lines.append)
    assert lines == [alert(number).data().decode() for number in range(3)]
    lines.clear()
    list_alerts(config(tmp_path, None), since="1970-01-01T02:00:00Z", follow=False, echo=lines.append)
    assert lines == [alert(2).data().decode()]


def test_other_readers_take_both(log: EmbeddedLog, tmp_path: Path) -> None:
    """`explain` and the demo."""
    expected = [orjson.loads(alert(number).data()) for number in range(3)]
    assert explained._published(config(tmp_path, None), log) == expected
    assert [each for each in running._alerts(config(tmp_path, None), log) if each] == expected


@pytest.mark.parametrize("history", HISTORIES, ids=lambda path: path.name)
def test_a_replay_tells_the_data_in_either_mode(history: Path, tmp_path: Path) -> None:
    """What it writes to alerts.jsonl are alerts, not events: there is nobody whom it publishes them to."""
    text = (history / "config.yaml").read_text(encoding="utf-8")
    assert "alerts: {mode" not in text
    changed = text.replace("alerts: {", "alerts: {mode: structured, ")
    changed += "" if changed != text else "alerts: {mode: structured}\n"
    path = tmp_path / "config.yaml"
    path.write_text(changed, encoding="utf-8")
    sides = [history / f"{name}.jsonl.gz" for name in ("predictions", "labels")]
    binary, structured = (streamguard.backtest(each, *sides) for each in (history / "config.yaml", path))
    assert structured.config.alerts.mode == "structured"
    assert [list(each.lines) for each in structured.settings] == [list(each.lines) for each in binary.settings]
    assert structured.settings[0].lines


def test_a_worker_publishes_in_either_mode(tmp_path: Path) -> None:
    """It tells and counts the same alerts, and their data is the same, byte for byte."""
    told: list[tuple[list[str], dict[tuple[str, str, str], int]]] = []
    for mode in ("binary", "structured"):
        (tmp_path / mode).mkdir()
        settings = worker_config(tmp_path / mode, alerts={"mode": mode})
        write(settings, traffic())
        log = EmbeddedLog(tmp_path / mode / "log.db")
        worker = Worker(settings, log, "w", HandClock(0.001).clock)
        worker.run(until_end=True)
        lines: list[str] = []
        list_alerts(settings, since=None, follow=False, echo=lines.append)
        log.close()
        told.append((lines, worker.progress.alert_kinds))
    assert told[0] == told[1]
    assert sum(told[0][1].values()) == len(told[0][0]) > 0
