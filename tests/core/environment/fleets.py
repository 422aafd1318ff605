"""Simulated fleets: what pods report, minute by minute, and what the task makes of it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from streamguard.config.serving import Environment
from streamguard.core.environment.task import EnvironmentSettings, EnvironmentTask
from streamguard.core.fields import parse_time_ms
from streamguard.core.records import Batch, Output, Stream
from tests.core.helpers import batch

MINUTE_MS = 60_000
EVERY_MS = 5 * MINUTE_MS
START_MS = 1_767_571_200_000
GIB = 1 << 30

Row = tuple[int, dict[str, Any]]
"""When a record is written, and the record."""


def fingerprint(instance: str, **changes: Any) -> dict[str, Any]:
    """What a healthy pod says of itself; `packages` and `variables` are merged with the usual ones."""
    record: dict[str, Any] = {
        "v": 1,
        "type": "fingerprint",
        "instance": instance,
        "time": START_MS,
        "every_ms": EVERY_MS,
        "python": {"version": "3.11.9", "implementation": "CPython"},
        "system": {"os": "Linux", "kernel": f"6.1.{len(instance)}", "libc": "glibc 2.36", "arch": "x86_64"},
        "packages": {"numpy": "2.0.1", "scikit-learn": "1.4.2"} | {f"package-{n}": f"{n}.0" for n in range(20)},
        "variables": {"CUDA_VISIBLE_DEVICES": "0", "OMP_NUM_THREADS": None},
        "cpu": {"count": 8, "affinity": 8, "limit": 2.0},
        "memory": {"limit": 2 * GIB, "used": GIB, "rss": GIB, "peak": GIB},
        "model": "fraud",
        "version": "7",
        "model_files": {"fraud.onnx": {"size": 10, "modified": 1, "sha256": "ab" * 32}},
        "facts": {},
    }
    for name, value in changes.items():
        is_merged = isinstance(record.get(name), dict) and isinstance(value, dict)
        record[name] = {**record[name], **value} if is_merged else value
    return record


def pods(count: int = 12) -> list[str]:
    """Names."""
    return [f"pod-{number}" for number in range(1, count + 1)]


def told_every(
    minutes: int, names: Sequence[str], changes: Mapping[str, Sequence[tuple[int, dict[str, Any]]]] | None = None
) -> list[Row]:
    """Each pod every five minutes, one after the other; `changes`: by pod, what it says from which minute on."""
    rows: list[Row] = []
    for place, name in enumerate(names):
        own = (changes or {}).get(name, ())
        for at_ms in range(place * EVERY_MS // len(names), minutes * MINUTE_MS, EVERY_MS):
            since = [each for minute, each in own if minute * MINUTE_MS <= at_ms]
            if since[-1:] != [GONE]:
                rows.append((START_MS + at_ms, fingerprint(name, **(since[-1] if since else {}))))
    return sorted(rows, key=lambda row: row[0])


GONE: dict[str, Any] = {"gone": True}
"""A change: it reports no more."""


def as_batch(rows: Iterable[Row], start: int = 0) -> Batch:
    """Records of the environment topic."""
    rows = list(rows)
    values = [orjson.dumps(record) for _, record in rows]
    return batch(values, [time_ms for time_ms, _ in rows], topic="environment", start=start)


def task(cooldown_ms: int = 3_600_000, **settings: Any) -> EnvironmentTask:
    """With settings as a file has them."""
    environment = Environment.model_validate(settings, by_alias=True, by_name=False)
    return EnvironmentTask(EnvironmentSettings(environment, cooldown_ms, "streamguard/fraud-monitor"))


def alerts(outputs: Iterable[Output]) -> list[dict[str, Any]]:
    """Those among what a task returned."""
    return [orjson.loads(each.value or b"") for each in outputs if each.stream is Stream.ALERTS]


def story(outputs: Iterable[Output]) -> list[tuple[int, str, str, str]]:
    """When, in minutes from the start; status; subject; the sentence."""
    return [
        (
            (parse_time_ms(alert["event_time"]) - START_MS) // MINUTE_MS,
            alert["status"],
            alert["check"]["subject"],
            alert["environment"]["told"],
        )
        for alert in alerts(outputs)
    ]
