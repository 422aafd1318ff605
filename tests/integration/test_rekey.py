"""The re-key stage on Apache Kafka: killed in between and begun again, it writes what one does that nobody disturbs."""

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
import yaml

from streamguard.config import parse
from streamguard.core.records import Headers
from streamguard.logs.interface import Log, Record, TopicInfo
from streamguard.logs.opening import open_log
from tests.integration.jobs import COMMAND, PATIENCE_S, Process

pytestmark = pytest.mark.broker

PARTITIONS = 3
REQUESTS = 4000
BASE_MS = 1_700_000_000_000
_PIECES = 8
KSERVE = "org.kubeflow.serving.inference"


Logged = tuple[int, str, int, dict[str, Any]]
"""Number of the request, request or response, time, and body."""


@dataclass
class Site:
    """A group with a raw topic of KServe's events and a topic of labels."""

    bootstrap: str
    directory: Path
    name: str

    @property
    def raw(self) -> str:
        """The topic that the logger writes to."""
        return f"{self.name}-inference-logs"

    @property
    def written(self) -> str:
        """The topic that the stage writes to."""
        return f"streamguard-{self.name}-predictions"

    def settings(self, **log: Any) -> dict[str, Any]:
        """A configuration in which no clock enters the results."""
        kafka = {"kind": "kafka", "bootstrap_servers": self.bootstrap, "group": self.name, "session_timeout": "6s"}
        return {
            "log": kafka | log,
            "predictions": {"topic": self.raw, "format": {"type": "kserve", "names": ["sl", "sw", "pl", "pw"]}},
            "labels": {"topic": f"{self.name}-labels", "fields": {"time": "timestamp"}},
            "join": {"after": "1h", "disorder": "5s", "idle_after": None},
            "monitors": [{"name": "iris", "threshold": {"max_mismatch_percent": 8, "window": 500}}],
            "alerts": {"topic": f"{self.name}-alerts"},
        }

    def config(self, **log: Any) -> Path:
        """The same as a file."""
        path = self.directory / f"{self.name}-{uuid4().hex[:4]}.yaml"
        path.write_text(yaml.safe_dump(self.settings(**log)), encoding="utf-8")
        return path

    @contextmanager
    def open(self) -> Iterator[Log]:
        """The broker as a log."""
        log = open_log(parse(self.settings()).log)
        try:
            yield log
        finally:
            log.close()

    @contextmanager
    def process(self, command: str, config: Path, *options: str) -> Iterator[Process]:
        """A command as a process, killed at the end if it is still there."""
        said = self.directory / f"{uuid4().hex[:8]}.log"
        printed = said.with_suffix(".out")
        with said.open("w") as errors, printed.open("w") as output:
            popen = subprocess.Popen(
                [*COMMAND, command, str(config), *options], stdout=output, stderr=errors, text=True
            )
        process = Process(popen, said, printed)
        try:
            yield process
        finally:
            popen.kill()
            popen.wait()

    def to_end(self, command: str, config: Path) -> list[str]:
        """Run a command to the end; what it has printed."""
        with self.process(command, config, "--until-end") as process:
            code = process.end()
            assert code == 0, process.said.read_text(encoding="utf-8")[-4000:]
            return process.lines

    def content(self) -> list[list[tuple[Any, ...]]]:
        """Of each partition of the written topic: key, value, timestamp and headers, in order."""
        partitions: list[list[tuple[Any, ...]]] = [[] for _ in range(PARTITIONS)]
        with self.open() as log:
            for batch in log.read(self.written):
                headers = [self._anonymous(each) for each in batch.headers]
                stamps = map(int, batch.timestamps)
                partitions[batch.source.partition] += zip(batch.keys, batch.values, stamps, headers, strict=True)
        return partitions

    def _anonymous(self, headers: Headers) -> Headers:
        """Headers that name no topic of this group alone."""
        return tuple((name, (value or b"").replace(self.name.encode(), b"")) for name, value in headers)


@pytest.fixture
def site(broker: str, tmp_path: Path) -> Site:
    """A group of its own, with its topics."""
    return made(broker, tmp_path)


def made(broker: str, directory: Path, *, is_empty: bool = False) -> Site:
    """A group, and what KServe has logged, unless that is to come."""
    site = Site(broker, directory, f"kserve-{uuid4().hex[:8]}")
    with site.open() as log:
        log.create(TopicInfo(site.raw, PARTITIONS))
        log.create(TopicInfo(f"{site.name}-labels", PARTITIONS))
        if not is_empty:
            log.append([record(site.raw, *each) for each in logged()])
        log.append(labels(f"{site.name}-labels"))
    return site


def logged() -> Iterator[Logged]:
    """Requests of one instance and of two, each with its response; those of some overtake each other."""
    for number in range(REQUESTS):
        at_ms = BASE_MS + 250 * number
        rows = [[5.1, 3.5, 1.4, 0.2], [6.0, 3.4, 4.5, 1.6]][: 1 + number % 2]
        yield number, "request", at_ms, {"instances": rows}
        yield number, "response", at_ms + (12 if number % 10 else -3), {"predictions": [0, 1][: len(rows)]}


def record(topic: str, number: int, kind: str, at_ms: int, body: dict[str, Any]) -> Record:
    """An event as Knative's broker for Kafka writes it: no key, any partition."""
    time_of = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()
    headers = {
        "ce_specversion": "1.0",
        "ce_id": f"req-{number}",
        "ce_type": f"{KSERVE}.{kind}",
        "ce_source": "http://localhost:9081/",
        "ce_time": time_of,
        "ce_inferenceservicename": "sklearn-iris",
        "content-type": "application/json",
    }
    partition = (number * 7 + (kind == "response")) % PARTITIONS
    pairs = tuple((name, text.encode()) for name, text in headers.items())
    return Record(topic, None, orjson.dumps(body), partition, pairs, at_ms)


def ids() -> Iterator[tuple[int, str]]:
    """Of every prediction."""
    for number in range(REQUESTS):
        yield from (
            [(number, f"req-{number}")] if number % 2 == 0 else [(number, f"req-{number}:{row}") for row in (0, 1)]
        )


def labels(topic: str) -> list[Record]:
    """The truth of every prediction, a minute later."""
    found = []
    for number, request_id in ids():
        at_ms = BASE_MS + 250 * number + 60_000
        value = orjson.dumps({"request_id": request_id, "label": 0, "timestamp": at_ms})
        found.append(Record(topic, request_id.encode(), value, timestamp_ms=at_ms))
    return found


def keys(content: Sequence[Sequence[tuple[Any, ...]]]) -> list[str]:
    """All request IDs, sorted."""
    return sorted(row[0].decode() for rows in content for row in rows)


def test_a_killed_stage_writes_every_prediction_once_in_the_same_order(broker: str, tmp_path: Path) -> None:
    """Killed while records come, it leaves the very content that an undisturbed one does; all match."""
    undisturbed = made(broker, tmp_path)
    undisturbed.to_end("rekey", undisturbed.config())
    site = made(broker, tmp_path, is_empty=True)
    slow = site.config(worker="stage")
    events = list(logged())
    for number in range(_PIECES):
        with site.open() as log:
            log.append([record(site.raw, *each) for each in piece(events, number)])
        written = count(site)
        with site.process("rekey", slow) as process:
            # Some are killed while they read again what they read before, the others after a commit.
            process.wait_until(partial(begun, process) if number % 3 == 2 else partial(holds, site, written + 1))
            process.popen.kill()
            process.popen.wait()
    site.to_end("rekey", slow)

    assert site.content() == undisturbed.content()
    assert keys(site.content()) == sorted(request_id for _, request_id in ids())
    account = site.to_end("run", site.config())
    total = sum(1 for _ in ids())
    assert account[0].startswith(f"{site.written}: {total:,} consumed = {total:,} matched, 0 expired, 0 late, 0 dup")


def piece(events: Sequence[Logged], number: int) -> Sequence[Logged]:
    """One of the pieces that events come in."""
    size = len(events) // _PIECES
    return events[number * size : (number + 1) * size]


def begun(process: Process) -> bool:
    """Whether it has all partitions."""
    return process.has_work


def holds(site: Site, wanted: int) -> bool:
    """Whether so many records are written."""
    return count(site) >= wanted


def count(site: Site) -> int:
    """How many records the written topic holds; nobody has made it yet: none."""
    with site.open() as log:
        return sum(span.end for span in log.spans(site.written).values()) if log.topics([site.written]) else 0


def test_another_process_stands_by_and_takes_over(site: Site) -> None:
    """One has all partitions; when it is killed, the other goes on, and nothing is written twice."""
    with (
        site.process("rekey", site.config(worker="first")) as first,
        site.process("rekey", site.config(worker="second")) as second,
    ):
        deadline = time.monotonic() + PATIENCE_S
        while count(site) < 1 and time.monotonic() < deadline:
            time.sleep(0.1)
        worker, other = (first, second) if first.has_work else (second, first)
        assert worker.has_work
        assert not other.has_work
        worker.popen.kill()
        worker.popen.wait()
        other.wait_until(lambda: other.has_work)
        other.terminate()
    site.to_end("rekey", site.config(worker="first"))

    assert keys(site.content()) == sorted(request_id for _, request_id in ids())


def test_a_worker_says_that_the_stage_is_missing(site: Site) -> None:
    """And a stage works beside workers that use the other client."""
    with site.process("run", site.config(client="confluent"), "--until-end") as process:
        assert process.end() == 3
        assert f"no topic '{site.written}': `streamguard rekey` makes it" in process.said.read_text(encoding="utf-8")

    site.to_end("rekey", site.config(client="confluent"))

    assert site.to_end("run", site.config(client="confluent"))[0].startswith(
        f"{site.written}: 6,000 consumed = 6,000 m"
    )
