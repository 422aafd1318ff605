"""A worker in this process, on an embedded log, with a hand clock."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from streamguard.config import Config, parse
from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.interface import Record, TopicInfo
from streamguard.worker.worker import Clock, Worker


class HandClock:
    """A clock that moves by `step_s` each time it is looked at."""

    def __init__(self, step_s: float = 0.0) -> None:
        self.time_s = 1000.0
        self.step_s = step_s

    def now_s(self) -> float:
        """The time, and a step on."""
        self.time_s += self.step_s
        return self.time_s

    def sleep_s(self, seconds: float) -> None:
        """Time passes."""
        self.time_s += seconds

    @property
    def clock(self) -> Clock:
        """As a worker takes it."""
        return Clock(self.now_s, self.sleep_s)


def config(path: Path, **changes: Mapping[str, Any]) -> Config:
    """A config over an embedded log with two partitions; `changes` are merged into its sections."""
    settings: dict[str, Any] = {
        "log": {"kind": "embedded", "path": str(path / "log.db"), "group": "g", "partitions": 2},
        "predictions": {"fields": {"time": "timestamp"}},
        "labels": {"fields": {"time": "timestamp"}},
        "join": {"after": "10m", "disorder": "1s", "idle_after": None},
        "monitors": [
            {
                "name": "m",
                "split_by": ["version"],
                "threshold": {"max_mismatch_percent": 20, "window": 100, "min_samples": 50, "cooldown": "1m"},
                "detectors": [{"type": "adwin"}],
            }
        ],
    }
    for name, change in changes.items():
        settings[name] = {**settings.get(name, {}), **change}
    return parse(settings)


def traffic(count: int = 1500, *, wrong_from: int = 900, labelled: bool = True) -> list[Record]:
    """A prediction a second and its label a minute later; wrong half the time from a record on."""
    records = []
    for number in range(count):
        key, at_ms = f"r{number}", 1_767_571_200_000 + number * 1000
        value = "b" if number >= wrong_from and number % 2 else "a"
        body = {"request_id": key, "prediction": value, "timestamp": at_ms, "version": str(number % 3 // 2)}
        records.append((at_ms, Record("predictions", key.encode(), orjson.dumps(body), timestamp_ms=at_ms)))
        if labelled:
            known_ms = at_ms + 60_000
            truth = {"request_id": key, "label": "a", "timestamp": known_ms}
            records.append((known_ms, Record("labels", key.encode(), orjson.dumps(truth), timestamp_ms=known_ms)))
    return [record for _, record in sorted(records, key=lambda pair: pair[0])]


def write(settings: Config, records: Sequence[Record]) -> None:
    """Put records on the inputs."""
    log = EmbeddedLog(Path(settings.log.path))  # type: ignore[union-attr]
    for topic in ("predictions", "labels"):
        log.create(TopicInfo(topic, 2))
    log.append(records)
    log.close()


def work(settings: Config, *, clock: HandClock | None = None) -> Worker:
    """Run a worker to the end of the inputs."""
    log = EmbeddedLog(Path(settings.log.path))  # type: ignore[union-attr]
    try:
        worker = Worker(settings, log, "w", (clock or HandClock()).clock)
        worker.run(until_end=True)
    finally:
        log.close()
    return worker


def topic(settings: Config, name: str) -> list[bytes | None]:
    """All values of a topic."""
    log = EmbeddedLog(Path(settings.log.path))  # type: ignore[union-attr]
    try:
        return [value for batch in log.read(name) for value in batch.values]
    finally:
        log.close()


def alerts(settings: Config) -> list[bytes | None]:
    """The alerts, byte for byte."""
    return topic(settings, settings.alerts.topic)


def parts(records: Sequence[Record], count: int) -> Iterable[Sequence[Record]]:
    """The records in so many pieces."""
    size = -(-len(records) // count)
    return [records[start : start + size] for start in range(0, len(records), size)]
