"""A group with its topics on the broker, its workers as real processes, and the same work on an embedded log."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
import yaml

from streamguard.bench.records import Shape
from streamguard.bench.records import records as drawn
from streamguard.config import parse
from streamguard.logs.interface import Log, Record, TopicInfo
from streamguard.logs.opening import open_log
from streamguard.worker.running import account
from streamguard.worker.worker import Clock, Worker

PARTITIONS = 4
PATIENCE_S = 60
PIECE = 100_000
COMMAND = [sys.executable, "-c", "from streamguard.cli import main; main()"]

# Two outcomes partitions: crc32 puts these names on one each.
MONITORS: list[dict[str, Any]] = [
    {
        "name": "fraud",
        "match": {"model": "fraud"},
        "split_by": ["version", "country"],
        "whole": True,
        "threshold": {"max_mismatch_percent": 8, "window": 1000, "min_samples": 500},
        "detectors": [{"type": "adwin", "delta": 0.002}],
    },
    {
        "name": "everything",
        "threshold": {"max_mismatch_percent": 8, "resolve_below_percent": 6, "window": "1h", "min_samples": 200},
        "detectors": [
            {"type": "hddm_a", "drift_confidence": 0.001},
            {"type": "budgeted", "baseline": 3000, "season": "none", "direction": "both"},
        ],
        "unlabelled": {"baseline": 3000, "season": "none"},
        "no_data_after": "1h",
        # A step that a third of all predictions lack: an episode that is open all day.
        "data": {"features": None, "steps": {"country": [{"map": {"c0": "c1"}}]}, "baseline": "0s"},
    },
]


@cache
def stream(predictions: int = 20_000) -> tuple[Record, ...]:
    """A day with duplicates, garbage and an error rate that doubles; topics `predictions` and `labels`."""
    return tuple(drawn(Shape(predictions, garbage=0.002)))


@dataclass(frozen=True, slots=True)
class Results:
    """What a run has left behind. `counts` are the worker's own two lines, one for each input."""

    alerts: list[tuple[Any, ...]]
    rejected: list[tuple[Any, ...]]
    counts: list[str]

    @property
    def alert_ids(self) -> list[str]:
        """With repeats, were there any."""
        return [orjson.loads(value)["id"] for _, value, _ in self.alerts]


@dataclass(slots=True)
class Process:
    """A worker as a process, and what it says."""

    popen: "subprocess.Popen[str]"
    said: Path
    printed: Path

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of one kind so far."""
        lines = self.said.read_text(encoding="utf-8").splitlines()
        found = [orjson.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [each for each in found if each["event"] == name]

    @property
    def has_work(self) -> bool:
        """Whether the group has given it partitions."""
        assigned = self.events("partitions_assigned")
        return bool(assigned and assigned[-1]["partitions"])

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that this process will cause."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if self.popen.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"exit code {self.popen.poll()}:\n{self.said.read_text(encoding='utf-8')[-4000:]}")
            time.sleep(0.05)

    @property
    def lines(self) -> list[str]:
        """What it has printed: the account of the group, and in the last line its own."""
        return self.printed.read_text(encoding="utf-8").splitlines()

    def end(self) -> int:
        """Wait for its own end; its exit code."""
        return self.popen.wait(PATIENCE_S)

    def terminate(self) -> int:
        """SIGTERM; its exit code."""
        self.popen.send_signal(signal.SIGTERM)
        return self.end()


@dataclass(slots=True)
class Job:
    """One group, and topics that no other test uses."""

    bootstrap: str
    directory: Path
    name: str = field(default_factory=lambda: f"job-{uuid4().hex[:8]}")
    partitions: int = PARTITIONS
    monitors: list[dict[str, Any]] = field(default_factory=lambda: MONITORS)
    log_settings: dict[str, Any] = field(default_factory=dict)

    def settings(self, log: Mapping[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
        """A configuration in which no clock enters the results."""
        kafka = {"kind": "kafka", "bootstrap_servers": self.bootstrap, "group": self.name, "session_timeout": "6s"}
        return {
            "log": dict(log or (kafka | self.log_settings)),
            "predictions": {"topic": f"{self.name}-predictions", "fields": {"time": "timestamp"}},
            "labels": {"topic": f"{self.name}-labels", "fields": {"time": "timestamp"}},
            "join": {"before": "0s", "after": "2h", "disorder": "30s", "idle_after": None},
            "monitors": self.monitors,
            "outcomes": {"partitions": min(2, self.partitions)},
            "alerts": {"topic": f"{self.name}-alerts"},
            "state": {"every": "1s"},
            **sections,
        }

    def config(self, *, worker: str | None = None, **sections: Any) -> Path:
        """The configuration of one worker, as a file."""
        settings = self.settings(**sections)
        if worker is not None:
            settings["log"]["worker"] = worker
        path = self.directory / f"{self.name}-{worker or 'worker'}.yaml"
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return path

    @contextmanager
    def open(self) -> Iterator[Log]:
        """The broker as a log."""
        log = open_log(parse(self.settings()).log)
        try:
            yield log
        finally:
            log.close()

    def create(self, *, max_record_bytes: int | None = None) -> None:
        """The two inputs. Kept for ever: the records carry old times, and retention goes by those."""
        with self.open() as log:
            for topic in self.inputs:
                log.create(TopicInfo(topic, self.partitions, max_record_bytes=max_record_bytes))

    @property
    def inputs(self) -> tuple[str, str]:
        """Predictions, labels."""
        return f"{self.name}-predictions", f"{self.name}-labels"

    def append(self, log: Log, records: Iterable[Record]) -> None:
        """Write records of `predictions` and `labels` to this job's topics."""
        rest = (self.mine(record) for record in records)
        while piece := list(islice(rest, PIECE)):
            log.append(piece)

    def mine(self, record: Record) -> Record:
        """The record, on this job's topic."""
        return replace(record, topic=f"{self.name}-{record.topic}")

    @contextmanager
    def worker(self, config: Path, *options: str) -> Iterator[Process]:
        """A worker process, killed at the end if it is still there."""
        process = start(config, *options, said=self.directory / f"{uuid4().hex[:8]}.log")
        try:
            yield process
        finally:
            process.popen.kill()
            process.popen.wait()

    def run_to_end(self, config: Path | None = None) -> Results:
        """One worker, `--until-end`."""
        with self.worker(config or self.config(), "--until-end") as process:
            code = process.end()
            assert code == 0, process.said.read_text(encoding="utf-8")[-4000:]
        return self.results(process)

    def results(self, process: Process) -> Results:
        """What is on the topics, and what this process says of the group."""
        with self.open() as log:
            return results_of(log, self, process.lines[:2])

    def written(self, log: Log) -> Iterator[Record]:
        """What is on the inputs, as it was to be written: `append` names this job's topics again."""
        for topic in ("predictions", "labels"):
            for batch in log.read(f"{self.name}-{topic}"):
                columns = zip(batch.keys, batch.values, batch.timestamps, strict=True)
                for key, value, at_ms in columns:
                    yield Record(topic, key, value, batch.source.partition, timestamp_ms=int(at_ms))

    def expected(self, records: Iterable[Record]) -> Results:
        """The same records on an embedded log, in one go."""
        path = self.directory / f"{self.name}.db"
        config = parse(self.settings({"kind": "embedded", "path": str(path), "group": self.name}))
        log = open_log(config.log)
        try:
            for topic in self.inputs:
                log.create(TopicInfo(topic, self.partitions, max_record_bytes=12 << 20))
            self.append(log, records)
            worker = Worker(config, log, "expected", Clock(time.monotonic, time.sleep))
            worker.run(until_end=True)
            return results_of(log, self, account(worker)[:2])
        finally:
            log.close()


def start(config: Path, *options: str, said: Path) -> Process:
    """A worker process that logs to `said`."""
    printed = said.with_suffix(".out")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGUARD_")}
    with said.open("w") as errors, printed.open("w") as output:
        command = [*COMMAND, "run", str(config), *options]
        popen = subprocess.Popen(command, stdout=output, stderr=errors, text=True, env=environment)
    return Process(popen, said, printed)


def results_of(log: Log, job: Job, counts: list[str]) -> Results:
    """What is on the topics of this log."""
    rejected = f"streamguard-{job.name}-rejected"
    return Results(_rows(log, f"{job.name}-alerts"), _rows(log, rejected), counts)


def _rows(log: Log, topic: str) -> list[tuple[Any, ...]]:
    """Key, value and headers of each record; sorted, since partitions have no common order."""
    rows = [
        (key, value, tuple((name, content or b"") for name, content in headers))
        for batch in log.read(topic)
        for key, value, headers in zip(batch.keys, batch.values, batch.headers, strict=True)
    ]
    return sorted(rows, key=repr)


def counted(line: str) -> Counter[str]:
    """A line of the closing account, as numbers."""
    return Counter({name: int(count.replace(",", "")) for count, name in re.findall(r"([\d,]+) ([a-z]+)", line)})


def differences(found: Results, expected: Results) -> list[str]:
    """What is missing, more than once, or not as it should be; a line each."""
    lines = [
        f"{title} {name}: {len(rows)}, the first {rows[0]!r:.600}"
        for name in ("alerts", "rejected")
        for title, rows in _unequal(getattr(found, name), getattr(expected, name))
    ]
    lines += [f"repeated alert {each}" for each, times in Counter(found.alert_ids).items() if times > 1]
    pairs = zip_longest(found.counts, expected.counts)
    return lines + [f"counts: {mine!r}, expected {other!r}" for mine, other in pairs if mine != other]


def _unequal(found: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> Iterator[tuple[str, list[Any]]]:
    mine, other = Counter(found), Counter(expected)
    for title, rows in (("lost", list((other - mine).elements())), ("too many", list((mine - other).elements()))):
        if rows:
            yield title, rows


def check_same(found: Results, expected: Results) -> None:
    """The same alerts, bytes and headers included, the same rejected records, the same account."""
    assert found.counts == expected.counts
    assert found.alert_ids == expected.alert_ids
    assert len(set(found.alert_ids)) == len(found.alert_ids) > 0
    assert found.alerts == expected.alerts
    assert found.rejected == expected.rejected
    for line in found.counts:
        account = counted(line)
        assert account["consumed"] * 2 == account.total()
