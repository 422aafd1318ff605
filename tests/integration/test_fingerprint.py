"""Twelve processes that serve publish what they run on to Apache Kafka; the task names the one that differs."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import orjson
import pytest

from streamguard.config import KafkaLog as Settings
from streamguard.core.records import Output
from streamguard.logs.interface import TopicInfo
from streamguard.logs.kafka import KafkaLog
from tests.contract.schemas import wrong
from tests.core.environment.fleets import story, task

pytestmark = pytest.mark.broker

SERVES = """
import sys, time
import streamguard
import streamguard.fingerprints.publisher as publisher
publisher._SHARE = 1.0  # a test has no five minutes
handle = streamguard.fingerprint(
    bootstrap_servers=sys.argv[1], topic=sys.argv[2], instance=sys.argv[3], model="fraud", version="7", every="4s"
)
sys.stdin.read()
handle.stop()
"""


def distribution(directory: Path, version: str) -> Path:
    """A directory that has one, as pip leaves it."""
    info = directory / version / f"scorer-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: scorer\nVersion: {version}\n")
    return directory / version


@contextmanager
def pods(broker: str, topic: str, paths: list[Path]) -> Iterator[None]:
    """A process for each path, which it has on `sys.path` beside ours."""
    children = []
    try:
        for number, path in enumerate(paths, 1):
            script = f"import sys; sys.path[:0] = {[str(path), *sys.path]!r}\n{SERVES}"
            command = [sys.executable, "-c", script, broker, topic, f"pod-{number}"]
            children.append(subprocess.Popen(command, stdin=subprocess.PIPE))
        yield
    finally:
        for child in children:
            with suppress(subprocess.TimeoutExpired):
                child.communicate(timeout=20)
            child.kill()
            child.wait()


def test_the_one_of_twelve_is_named(broker: str, group: str, tmp_path: Path) -> None:
    """It has another version of a distribution; all that is published follows the contract."""
    topic = f"environment-{group}"
    log = KafkaLog(Settings(kind="kafka", bootstrap_servers=(broker,), group=group))
    log.create(TopicInfo(topic, 1))
    usual, other = distribution(tmp_path, "1.4"), distribution(tmp_path, "1.5")
    seen: set[str] = set()
    # The grace is then four intervals of four seconds.
    judged, outputs = task(grace="0s"), list[Output]()
    with pods(broker, topic, [usual] * 6 + [other] + [usual] * 5):
        for batch in log.read(topic, follow=True):
            outputs += judged.step(batch)
            for value in batch.values:
                record = orjson.loads(value or b"")
                assert wrong("fingerprint-1.schema.json", record) == []
                seen.add(record["instance"])
            if len(seen) == 12 and story(outputs):
                break
    log.close()
    assert judged.counts["rejected"] == 0
    found = story(outputs)
    assert {subject for _, _, subject, _ in found} == {"package scorer of fraud 7"}
    assert found[0][1] == "raised"
    assert re.fullmatch(r"pod-7 runs scorer 1\.5, the other \d+ run 1\.4 \(fraud 7\)", found[0][3])
