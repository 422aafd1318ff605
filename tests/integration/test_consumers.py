"""Subscribers in other languages, with nothing of ours: they see the alerts that were committed, and only these."""

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import orjson
import pytest
from kafka import KafkaProducer

from streamguard.core.alerts import Alert, Status
from streamguard.core.detectors import Direction
from streamguard.core.records import Output
from streamguard.logs.interface import Record, TopicInfo
from tests.contract.schemas import wrong, wrong_alert
from tests.integration.broker import jars
from tests.integration.jobs import COMMAND, PATIENCE_S, Job, stream

pytestmark = pytest.mark.broker

CONSUMER = Path(__file__).parents[2] / "docs" / "examples" / "AlertConsumer.java"
HEADERS = "asyncapi.yaml#/components/schemas/alertHeaders"


@dataclass(frozen=True, slots=True)
class Read:
    """What kcat shows of a record."""

    key: str
    value: str
    headers: dict[str, str]


@pytest.fixture
def job(broker: str, tmp_path: Path) -> Job:
    """A day's alerts on their topic, between two alerts whose transactions were aborted."""
    job = Job(broker, tmp_path)
    job.create()
    with job.open() as log:
        log.create(TopicInfo(f"{job.name}-alerts", 1))
        job.append(log, stream())
    abort(job, made(1).output("streamguard/aborted"))
    job.run_to_end()
    abort(job, made(2).output("streamguard/aborted"))
    return job


def made(number: int, *, status: Status = Status.RAISED) -> Alert:
    """An alert that no worker has raised."""
    alert = Alert(
        status=status,
        kind="no_data",
        severity="critical",
        monitor="ærlig",
        segment={"country": None},
        model=None,
        version=None,
        check={"type": "no_data", "after_ms": 3_600_000},
        event_time_ms=number,
        trigger=(number, -1, -1, -1),
        direction=Direction.UNKNOWN,
    )
    alert.episode = alert.id
    return alert


def abort(job: Job, output: Output) -> None:
    """Write it in a transaction that comes to nothing."""
    name = f"{job.name}-{uuid4().hex[:8]}"
    with closing(KafkaProducer(bootstrap_servers=job.bootstrap, transactional_id=name, acks="all")) as producer:
        producer.init_transactions()
        producer.begin_transaction()
        sent = producer.send(f"{job.name}-alerts", output.value, key=output.key, headers=list(output.headers))
        producer.flush()
        assert sent.get(timeout=PATIENCE_S).offset >= 0
        producer.abort_transaction()


def output_of(command: list[str]) -> str:
    """What a command prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGUARD_")}
    done = subprocess.run(
        command, capture_output=True, timeout=PATIENCE_S, check=False, env={**environment, "LC_ALL": "C.UTF-8"}
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-4000:]
    return done.stdout.decode()


def listed(job: Job) -> list[str]:
    """By `streamguard alerts`."""
    return output_of([*COMMAND, "alerts", str(job.config())]).splitlines()


def by_java(job: Job) -> list[str]:
    """By the consumer of the documentation, as a group of its own."""
    java = ["java", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-cp", f"{jars()}/*", str(CONSUMER)]
    return output_of([*java, job.bootstrap, f"{job.name}-alerts", f"{job.name}-java", "--until-end"]).splitlines()


def by_kcat(job: Job, isolation: str = "read_committed") -> list[Read]:
    """By kcat; skips where there is none, unless REQUIRE_BROKER=1."""
    if shutil.which("kcat") is None:
        (pytest.fail if os.environ.get("REQUIRE_BROKER") == "1" else pytest.skip)("needs kcat: apt-get install kcat")
    options = ["-X", f"isolation.level={isolation}", "-o", "beginning", "-e", "-q", "-J"]
    lines = output_of(["kcat", "-b", job.bootstrap, "-C", "-t", f"{job.name}-alerts", *options]).splitlines()
    records = [orjson.loads(line) for line in lines]
    return [
        Read(each["key"], each["payload"], dict(zip(each["headers"][::2], each["headers"][1::2], strict=True)))
        for each in records
    ]


def values_by_kcat(job: Job) -> list[str]:
    """The values alone."""
    return [record.value for record in by_kcat(job)]


def test_kcat_sees_what_was_committed(job: Job) -> None:
    """Headers and keys, too; told to read all, it sees what was aborted."""
    alerts = listed(job)
    assert len(alerts) > 5
    found = by_kcat(job)
    assert [record.value for record in found] == alerts
    for record in found:
        alert = orjson.loads(record.value)
        assert wrong_alert(alert) == wrong(HEADERS, record.headers) == []
        assert (record.key, record.headers["ce_id"]) == (alert["episode"], alert["id"])
        assert record.headers["ce_source"] == f"streamguard/{job.name}"
        assert record.headers["ce_type"] == f"streamguard.alert.{alert['status']}"
        assert record.headers["ce_time"] == alert["event_time"]
    aborted = [made(number).data().decode() for number in (1, 2)]
    assert [record.value for record in by_kcat(job, "read_uncommitted")] == [aborted[0], *alerts, aborted[1]]


def test_java_sees_what_was_committed(job: Job) -> None:
    """A single source file and the jars of Kafka's client are enough; run again, its group has read all."""
    alerts = listed(job)
    assert len(alerts) > 5
    assert by_java(job) == alerts
    assert by_java(job) == []


@pytest.mark.parametrize("read", [values_by_kcat, by_java])
def test_structured_alerts_are_read_alike(broker: str, tmp_path: Path, read: Callable[[Job], list[str]]) -> None:
    """One JSON document each, and text that is not ASCII; a topic whose mode was changed has both."""
    job = Job(broker, tmp_path)
    outputs = [made(number).output(f"streamguard/{job.name}", is_structured=number > 1) for number in (1, 2, 3)]
    topic = f"{job.name}-alerts"
    with job.open() as log:
        log.create(TopicInfo(topic, 1))
        log.append([Record(topic, each.key, each.value, headers=each.headers) for each in outputs])
    found = read(job)
    assert found == [(each.value or b"").decode() for each in outputs]
    events = [orjson.loads(text) for text in found[1:]]
    assert [wrong("asyncapi.yaml#/components/schemas/alertEvent", each) for each in events] == [[], []]
    assert [orjson.loads(found[0]), *(each["data"] for each in events)] == [orjson.loads(line) for line in listed(job)]


def test_java_refuses_what_is_no_alert(broker: str, tmp_path: Path) -> None:
    """It looks at the headers: a record that somebody else wrote there is not taken for an alert."""
    job = Job(broker, tmp_path)
    topic = f"{job.name}-alerts"
    with job.open() as log:
        log.create(TopicInfo(topic, 1))
        log.append([Record(topic, b"k", b"{}", headers=(("content-type", b"application/json"),))])
    with pytest.raises(AssertionError, match=r"-alerts-0@0 is no alert: header ce_\w+ is null"):
        by_java(job)
