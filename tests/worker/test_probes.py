"""`streamguard probe`: what it prints and with which code it ends, and that results come to the topic."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog

from streamguard.config import Config, parse
from streamguard.errors import ConfigError, LogError
from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.interface import Log, Record
from streamguard.worker.probes import ENVIRONMENT_TOPIC, Results, prepare, run_once, run_probes
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


def test_without_probes_there_is_nothing_to_do(tmp_path: Path) -> None:
    """And where to read about them is said."""
    with pytest.raises(ConfigError, match="there are no probes in the configuration: see docs/probes.md"):
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
    (batch,) = log.read(ENVIRONMENT_TOPIC)
    info = log.topics([ENVIRONMENT_TOPIC])[ENVIRONMENT_TOPIC]
    log.close()
    assert (info.partitions, info.retention_ms) == (1, 30 * 86_400_000)
    found = [orjson.loads(value or b"") for value in batch.values]
    assert [orjson.loads(line) for line in seen] == found
    assert [(each["target"].encode(), each["time"]) for each in found] == list(
        zip(batch.keys, batch.timestamps_ms.tolist(), strict=True)
    )
    assert {(each["target"], each["ok"]) for each in found} == {("t0", True), ("t1", False)}


class Failing:
    """A log that takes nothing for a while."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.is_away = True

    def append(self, records: list[Record]) -> None:
        if self.is_away:
            raise LogError("cannot be reached")
        self.log.append(records)


def test_what_cannot_be_written_waits(tmp_path: Path) -> None:
    """For the next result, in order."""
    log = EmbeddedLog(tmp_path / "log.db")
    prepare(log, ENVIRONMENT_TOPIC)
    prepare(log, ENVIRONMENT_TOPIC)
    failing: Any = Failing(log)
    results = Results(failing, ENVIRONMENT_TOPIC)
    for number in range(3):
        results.add({"target": f"t{number}", "time": number})
    assert results.waiting == 3
    failing.is_away = False
    results.add({"target": "t3", "time": 3})
    assert results.waiting == 0
    (batch,) = log.read(ENVIRONMENT_TOPIC)
    log.close()
    assert list(batch.keys) == [b"t0", b"t1", b"t2", b"t3"]
