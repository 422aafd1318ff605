"""A worker that could only give wrong results, or none, says why and does not start."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from streamguard.logs.interface import Log, TopicInfo
from tests.integration.jobs import Job, stream

pytestmark = pytest.mark.broker

HOUR_MS = 3_600_000


@pytest.fixture
def job(broker: str, tmp_path: Path) -> Job:
    """A group whose topics are not there yet."""
    return Job(broker, tmp_path)


def refusal(job: Job, config: Path) -> tuple[int, str]:
    """Exit code, and the lines that are no log lines."""
    with job.worker(config, "--until-end") as process:
        code = process.end()
        said = process.said.read_text(encoding="utf-8")
    assert "Traceback" not in said
    return code, "\n".join(line for line in said.splitlines() if line.startswith("error: "))


def nothing(job: Job, log: Log) -> None:
    """No topic at all."""


def one_is_missing(job: Job, log: Log) -> None:
    """Predictions, and no labels."""
    log.create(TopicInfo(job.inputs[0], 4))


def counts_differ(job: Job, log: Log) -> None:
    """Partitions that do not belong together."""
    log.create(TopicInfo(job.inputs[0], 4))
    log.create(TopicInfo(job.inputs[1], 3))


def retention_is_short(job: Job, log: Log) -> None:
    """Less than twice the window."""
    log.create(TopicInfo(job.inputs[0], 4))
    log.create(TopicInfo(job.inputs[1], 4, retention_ms=4 * HOUR_MS))


def one_is_compacted(job: Job, log: Log) -> None:
    """Records of one request would replace each other."""
    log.create(TopicInfo(job.inputs[0], 4, compacted=True))
    log.create(TopicInfo(job.inputs[1], 4))


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (nothing, "error: no topic '{0}' and no topic '{1}': create it"),
        (one_is_missing, "error: no topic '{1}': create it"),
        (counts_differ, "error: topic '{0}' has 4 partitions and '{1}' has 3: "),
        (retention_is_short, "error: topic '{1}' keeps records for 14400000 ms, and a restart must read back 14430000"),
        (one_is_compacted, "error: topic '{0}' is compacted: "),
    ],
)
def test_topics_that_would_give_wrong_results(job: Job, prepare: Callable[[Job, Log], None], reason: str) -> None:
    """What is wrong, with which topic, and how to mend it, before anything is read or made."""
    with job.open() as log:
        prepare(job, log)
        code, said = refusal(job, job.config())
        assert said.startswith(reason.format(*job.inputs))
        assert code == 3
        assert not log.topics([f"{job.name}-alerts", f"streamguard-{job.name}-outcomes"])


def test_topics_of_ours_that_may_not_be_made(job: Job) -> None:
    """Where the cluster's owner makes the topics, the worker lists what to ask for."""
    job.create()
    job.log_settings["create_topics"] = False
    code, said = refusal(job, job.config())
    assert f"create: streamguard-{job.name}-outcomes (2 partitions), streamguard-{job.name}-state (2" in said
    assert code == 3


def test_a_broker_that_is_not_there(job: Job) -> None:
    """The address is named within the patience of a person who has just mistyped it."""
    job.bootstrap = "127.0.0.1:1"
    began = time.monotonic()
    code, said = refusal(job, job.config())
    assert time.monotonic() - began < 20
    assert said.startswith("error: cannot reach Kafka at 127.0.0.1:1: ")
    assert "check log.bootstrap_servers" in said
    assert code == 3


def test_a_wrong_config_is_no_matter_for_the_broker(job: Job) -> None:
    """Exit code 2 tells a supervisor that trying again is of no use."""
    settings = job.settings() | {"monitor": []}
    path = job.directory / "wrong.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    code, said = refusal(job, path)
    assert "unknown setting monitor; did you mean monitors?" in said
    assert code == 2


def test_a_group_of_somebody_else(job: Job) -> None:
    """Offsets without our notes say nothing of what was matched: to go on from them would lose pairs silently."""
    job.create()
    with job.open() as log:
        job.append(log, stream()[:100])
    consumer = KafkaConsumer(bootstrap_servers=job.bootstrap, group_id=job.name)
    consumer.commit({TopicPartition(job.inputs[0], 0): OffsetAndMetadata(0, "", -1)})
    consumer.close()
    code, said = refusal(job, job.config())
    assert f"{job.inputs[0]}-0: the group's committed offset 0 was not written by streamguard" in said
    assert "use a group of its own" in said
    assert code == 3
