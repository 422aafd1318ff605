"""The whole of it on an embedded log, and how findings are shown."""

import json
from pathlib import Path

import pytest

from streamguard.config import Config, parse
from streamguard.doctor.codes import CODES
from streamguard.doctor.finding import Finding
from streamguard.doctor.running import run_doctor
from streamguard.doctor.severity import Severity
from streamguard.doctor.showing import as_json, show
from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.interface import Record, TopicInfo
from tests.doctor.helpers import BASE

ALLOWED = {"memory-caps", "cpu-limit", "disk-slow", "disk-low"}


def embedded(path: Path, **sections: object) -> Config:
    """A configuration of a file."""
    return parse(
        BASE
        | {"log": {"kind": "embedded", "path": str(path)}, "join": {"after": "2h", "max_waiting_bytes": 1 << 20}}
        | sections
    )


def run(config: Config) -> tuple[int, list[str]]:
    """Exit code, and codes but for those that say something of the machine."""
    printed: list[str] = []
    exit_code = run_doctor(config, Path("my.yaml"), printed.append, is_json=True)
    return exit_code, [each["code"] for each in json.loads(printed[0])["findings"] if each["code"] not in ALLOWED]


def test_a_file_that_is_not_there_yet_is_not_made(tmp_path: Path) -> None:
    """The worker makes it."""
    _, found = run(embedded(tmp_path / "data" / "log.db"))

    assert found == []
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty.db").touch()
    assert run(embedded(tmp_path / "empty.db"))[1] == []
    assert (tmp_path / "empty.db").stat().st_size == 0


def test_records_of_an_embedded_log_are_looked_at(tmp_path: Path) -> None:
    """As those of Kafka: here labels have no keys, and lie apart from their predictions."""
    log = EmbeddedLog(tmp_path / "log.db")
    for name in ("predictions", "labels"):
        log.create(TopicInfo(name, 4))
    log.append(
        [Record("predictions", b"r%d" % n, b'{"request_id": "r%d", "prediction": 1}' % n) for n in range(100)]
        + [Record("labels", None, b'{"request_id": "r%d", "label": 1}' % n, n % 4) for n in range(100)]
    )
    log.close()

    assert run(embedded(tmp_path / "log.db")) == (1, ["keys-missing"])


@pytest.mark.parametrize("content", [b"not a database" * 100, b"SQLite format 3\x00" + bytes(100)])
def test_a_file_that_is_no_log(tmp_path: Path, content: bytes) -> None:
    """Exit code 3; what else can be seen is told."""
    file = tmp_path / "log.db"
    file.write_bytes(content)
    exit_code, found = run(embedded(file, preflight={"packages": {"no-such-package": ""}}))

    assert (exit_code, found) == (3, ["package-missing", "embedded-unreadable"])


FOUND = [
    Finding("topic-missing", "there is no topic '\x1b[2J[bold]x[/]'", "create it\n\x07"),
    Finding("group-lag", "lag", "wait"),
]


def test_lines_for_pipes_are_plain() -> None:
    """What strangers have written does nothing to a terminal."""
    printed: list[str] = []
    show(FOUND, printed.append, 1.23)

    assert printed == [
        r"error: topic-missing: there is no topic '\x1b[2J[bold]x[/]'",
        "  why:  A worker does not start without its inputs.",
        r"  mend: create it\n\x07",
        "note: group-lag: lag",
        f"  why:  {CODES['group-lag'].why}",
        "  mend: wait",
        "1 error, 1 note, in 1.2 s",
    ]


def test_a_table_for_terminals(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Markup in foreign text is text."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    show(FOUND, lambda _: None, 1.23)
    printed = capsys.readouterr().out

    assert "[bold]x[/]" in printed
    assert r"\x1b[2J" in printed
    assert "topic-missing" in printed


def test_nothing_is_told_as_such() -> None:
    """In one line."""
    printed: list[str] = []
    show([], printed.append, 0.5)

    assert printed == ["ok: nothing found, in 0.5 s"]


def test_the_json_has_the_form_that_is_documented() -> None:
    """Programs go by it."""
    document = json.loads(as_json(FOUND, "my.yaml", 1.23456, 1))

    assert list(document) == ["v", "streamguard", "config", "exit_code", "seconds", "findings"]
    assert (document["v"], document["exit_code"], document["seconds"]) == (1, 1, 1.235)
    assert [list(each) for each in document["findings"]] == [["code", "severity", "what", "why", "mend"]] * 2
    assert {each["severity"] for each in document["findings"]} <= {each.value for each in Severity}
