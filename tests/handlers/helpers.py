"""Alerts on an embedded log, and subscribers that run until something has come of it."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import orjson

from streamguard.config import Config, parse
from streamguard.core.alerts import alert_data
from streamguard.handlers.functions import AlertHandler
from streamguard.handlers.subscriber import Subscriber
from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.interface import Record, TopicInfo

PATIENCE_S = 20
RETRY = {"first": "10ms", "most": "50ms", "deadline": "300ms"}

ALERT: dict[str, Any] = {
    "id": "0" * 32,
    "episode": "0" * 32,
    "status": "raised",
    "kind": "mismatch_drift",
    "severity": "critical",
    "monitor": "fraud",
    "model": "fraud",
    "version": "7",
    "segment": {"version": "7"},
    "check": {"type": "threshold"},
    "guarantee": None,
    "event_time": "2026-01-06T16:31:45.458Z",
    "onset": "2026-01-06T16:15:55.735Z",
    "direction": "worse",
    "before": {"rate": 0.006, "interval": [0.004, 0.009], "count": 17440},
    "after": {"rate": 0.051, "interval": None, "count": 1000},
    "labels": {"coverage": 0.97, "delay_median_s": 733.6},
    "examples": ["req-1"],
    "classes": [],
    "segments": [],
    "look_first": ["predicted 1, labelled 0"],
    "absorbed": 0,
    "resolution": None,
    "duration_s": None,
    "source": {},
}


def made(number: int, **fields: Any) -> dict[str, Any]:
    """An alert of an episode of its own, unless another is named."""
    return ALERT | {"id": f"{number:08x}".ljust(31, "0") + f"{number % 10}", "episode": f"e{number}", **fields}


class Place:
    """An embedded log with an alerts topic."""

    def __init__(self, directory: Path, **sections: Any) -> None:
        self.path = directory / "log.db"
        self.settings = {
            "log": {"kind": "embedded", "path": str(self.path), "group": "g"},
            "join": {"after": "1h"},
            "monitors": [{"name": "fraud", "threshold": {"max_mismatch_percent": 5}}],
            **sections,
        }
        self.log = EmbeddedLog(self.path)
        self.log.create(TopicInfo("alerts", 1))

    @property
    def config(self) -> Config:
        return parse(self.settings)

    def publish(self, *alerts: dict[str, Any]) -> None:
        """In this order."""
        self.log.append([Record("alerts", each["episode"].encode(), orjson.dumps(each)) for each in alerts])

    def dead(self) -> list[tuple[str, str]]:
        """The IDs of dead letters, and why they are dead."""
        topic = "streamguard-g-dead-letters"
        if not self.log.topics([topic]):
            return []
        found = []
        for batch in self.log.read(topic):
            for value, headers in zip(batch.values, batch.headers, strict=True):
                about = {name: (text or b"").decode() for name, text in headers}
                found.append((alert_data(value)["id"], about["__connect.errors.exception.message"]))
        return found


class Runs(Protocol):
    """What delivers alerts until it is told to stop."""

    def run(self) -> None: ...
    def stop(self) -> None: ...


@contextmanager
def subscribed(place: Place, functions: Sequence[AlertHandler]) -> Iterator[Callable[[Callable[[], bool]], None]]:
    """While they are told of alerts; yields what waits for a condition."""
    with running(Subscriber(place.config, functions)) as wait:
        yield wait


@contextmanager
def running(runs: Runs) -> Iterator[Callable[[Callable[[], bool]], None]]:
    """While it runs, on a thread; yields what waits for a condition. Raises what it has raised."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            runs.run()
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def wait(condition: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline_s, "nothing came of it"
            if failures:
                raise failures[0]
            time.sleep(0.01)

    try:
        yield wait
    finally:
        runs.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    if failures:
        raise failures[0]
