"""`streamguard probe`: what it prints and with which code it ends, and that results come to the topic."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog

from streamguard.config import Config, parse
from streamguard.errors import ConfigError, LogError
from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.interface import Log, Record, TopicInfo
from streamguard.worker.probes import Results, run_once, run_probes
from tests.contract.schemas import wrong
from tests.handlers.samples import Peer, Server, reply

AWAY = "http://127.0.0.1:9/"


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """A command that was run here has set it up for itself."""
    yield
    structlog.reset_defaults()


def configured(path: Path, *urls: str, **settings: Any) -> Config:
    """Over an embedded log."""
    return parse(
        {
            "log": {"kind": "embedded", "path": str(path / "log.db")},
            "join": {"after": "1h"},
            "monitors": [{"name": "m", "threshold": {"max_mismatch_percent": 5}}],
            "probes": [
                {"name": f"t{number}", "url": url, "every": "1s", "timeout": "1s", **settings}
                for number, url in enumerate(urls)
            ],
        }
    )


def once(path: Path, *urls: str, is_json: bool = False, **settings: Any) -> tuple[int, list[str]]:
    """The exit code, and what was printed."""
    lines: list[str] = []
    return run_once(configured(path, *urls, **settings), lines.append, is_json=is_json), lines


def test_all_is_well(tmp_path: Path) -> None:
    """No log is opened, and nothing is written."""
    with Server(reply(200)) as server:
        code, (line,) = once(tmp_path, server.url)
    assert code == 0
    assert line.startswith("t0: ok, 200 in ")
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_is_not_expected(tmp_path: Path) -> None:
    """As a check that finds trouble."""
    with Server(reply(500)) as server:
        assert once(tmp_path, server.url) == (1, [f"t0: FAILED (status): {server.where} answered 500"])
        assert once(tmp_path, server.url, AWAY)[0] == 3


def test_results_as_json(tmp_path: Path) -> None:
    """A line each; what the other side has named cannot move the cursor."""
    body = orjson.dumps({"\u009b2J\u202e": 1})
    with Server(reply(200, body)) as server:
        code, (line,) = once(tmp_path, server.url, is_json=True)
    assert code == 0
    assert line.isascii()
    assert wrong("probe-1.schema.json", orjson.loads(line)) == []


def test_the_command_ends_with_that_code(tmp_path: Path) -> None:
    """And shows no more than what the endpoint is called."""
    settings = {
        "log": {"kind": "embedded", "path": str(tmp_path / "log.db")},
        "join": {"after": "1h"},
        "monitors": [{"name": "m", "threshold": {"max_mismatch_percent": 5}}],
        "probes": [{"name": "t0", "url": f"{AWAY}hunter2"}],
    }
    (tmp_path / "config.yaml").write_bytes(orjson.dumps(settings))
    command = [sys.executable, "-c", "from streamguard.cli import main; main()"]
    done = subprocess.run(
        [*command, "probe", str(tmp_path / "config.yaml"), "--once"], capture_output=True, text=True, check=False
    )
    told = "t0: FAILED (refused): 127.0.0.1:9 refuses the connection: nothing listens there\n"
    assert (done.returncode, done.stdout, done.stderr) == (3, told, "")


def test_without_probes_there_is_nothing_to_do(tmp_path: Path) -> None:
    """And where to read about them is said."""
    with pytest.raises(ConfigError, match=r"there are no probes in the configuration: see docs/probes\.md"):
        once(tmp_path)


def test_results_come_to_the_topic_until_it_is_told_to_end(tmp_path: Path) -> None:
    """By SIGTERM, as other commands."""
    came = threading.Event()
    seen: list[str] = []

    def count(peer: Peer) -> None:
        peer.send(reply(200, b'{"a": 1}'))

    def echo(line: str) -> None:
        seen.append(line)
        if len(seen) == 4:
            came.set()

    def end() -> None:
        came.wait(20)
        os.kill(os.getpid(), signal.SIGTERM)

    with Server(count) as server:
        ending = threading.Thread(target=end)
        ending.start()
        run_probes(configured(tmp_path, server.url, AWAY), echo, is_json=True)
        ending.join()
    log = EmbeddedLog(tmp_path / "log.db")
    (batch,) = log.read("environment")
    info = log.topics(["environment"])["environment"]
    log.close()
    assert (info.partitions, info.retention_ms) == (1, 30 * 86_400_000)
    found = [orjson.loads(value or b"") for value in batch.values]
    assert [orjson.loads(line) for line in seen] == found
    assert [(each["target"].encode(), each["time"]) for each in found] == list(
        zip(batch.keys, batch.timestamps, strict=True)
    )
    assert {(each["target"], each["ok"]) for each in found} == {("t0", True), ("t1", False)}


class Failing:
    """A log that takes nothing for so many tries."""

    def __init__(self, log: Log, failures: int, error: Exception) -> None:
        self.log = log
        self.failures = failures
        self.error = error
        self.took = threading.Event()

    def append(self, records: list[Record]) -> None:
        self.failures -= 1
        if self.failures >= 0:
            raise self.error
        self.log.append(records)
        self.took.set()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    """With the topic."""
    log = EmbeddedLog(tmp_path / "log.db")
    log.create(TopicInfo("environment", 1))
    yield log
    log.close()


def results(failing: Any, stopped: threading.Event) -> Results:
    """Three of them, written there."""
    found = Results(failing, "environment", stopped.set)
    for number in range(3):
        found.add({"target": f"t{number}", "time": time.time_ns() // 1_000_000})
    return found


def test_what_cannot_be_written_is_tried_again(log: EmbeddedLog) -> None:
    """All of it, in order."""
    stopped = threading.Event()
    failing = Failing(log, 1, LogError("cannot be reached"))
    found = results(failing, stopped)
    assert failing.took.wait(20)
    found.close()
    (batch,) = log.read("environment")
    assert [key for key in batch.keys if key is not None] == [b"t0", b"t1", b"t2"]
    assert not stopped.is_set()


def test_what_is_left_at_the_end_is_told(log: EmbeddedLog) -> None:
    """By an exit code, too."""
    with pytest.raises(LogError, match="3 results could not be written to the topic 'environment'"):
        results(Failing(log, 10, LogError("cannot be reached")), threading.Event()).close()


def test_a_mistake_of_ours_is_not_hidden(log: EmbeddedLog) -> None:
    """It ends the command."""
    stopped = threading.Event()
    found = results(Failing(log, 10, ZeroDivisionError()), stopped)
    assert stopped.wait(10)
    with pytest.raises(ZeroDivisionError):
        found.close()
