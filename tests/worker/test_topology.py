"""What a worker makes of a config and of the topics that are there, before it reads anything."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamguard.config import parse
from streamguard.core.records import Stream
from streamguard.errors import LogError
from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.interface import TopicInfo
from streamguard.worker.topology import prepare
from tests.worker.helpers import config

MINUTE_MS = 60_000


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    """An empty log, of the file that `config` names."""
    log = EmbeddedLog(tmp_path / "log.db")
    yield log
    log.close()


def test_a_first_worker_makes_what_is_missing(tmp_path: Path, log: EmbeddedLog) -> None:
    """Nobody need prepare an embedded log, and each topic keeps records as its part needs."""
    settings = config(tmp_path)
    prepare(settings, log)
    made = log.topics(settings.topics.values())

    assert {role: made[name].partitions for role, name in settings.topics.items()} == {
        "predictions": 2,
        "labels": 2,
        "outcomes": 1,
        "alerts": 1,
        "rejected": 2,
        "state": 1,
    }
    assert [role for role, name in settings.topics.items() if made[name].compacted] == ["state"]
    assert made[settings.alerts.topic].retention_ms is None


def test_a_second_worker_changes_nothing(tmp_path: Path, log: EmbeddedLog) -> None:
    """What the first one made suits every other with the same config."""
    settings = config(tmp_path)
    prepare(settings, log)
    before = log.topics(settings.topics.values())
    prepare(settings, log)

    assert log.topics(settings.topics.values()) == before


@pytest.mark.parametrize(
    ("topics", "reason"),
    [
        ([TopicInfo("predictions", 2), TopicInfo("labels", 3)], "'predictions' has 2 partitions and 'labels' has 3"),
        ([TopicInfo("predictions", 2, compacted=True)], "'predictions' is compacted"),
        ([TopicInfo("labels", 2, retention_ms=20 * MINUTE_MS)], "'labels' keeps records for 1200000 ms.*1201000 ms"),
        ([TopicInfo("streamguard-g-outcomes", 1), TopicInfo("streamguard-g-state", 1)], "must be compacted"),
        ([TopicInfo("streamguard-g-state", 2, compacted=True)], "must be compacted and have 1 partitions"),
    ],
)
def test_topics_that_would_give_wrong_results_are_refused(
    tmp_path: Path, log: EmbeddedLog, topics: list[TopicInfo], reason: str
) -> None:
    """Before a record is read, with the topic's name and what is wrong with it."""
    for topic in topics:
        log.create(topic)
    with pytest.raises(LogError, match=reason):
        prepare(config(tmp_path), log)


def test_just_enough_retention_is_enough(tmp_path: Path, log: EmbeddedLog) -> None:
    """Twice the window and the disorder, and not a millisecond more."""
    log.create(TopicInfo("labels", 2, retention_ms=20 * MINUTE_MS + 1000))

    assert prepare(config(tmp_path), log).source_count == 2


def test_outcomes_partitions_cannot_change(tmp_path: Path, log: EmbeddedLog) -> None:
    """The monitors' state lies by partition: a new number would separate them from it."""
    prepare(config(tmp_path), log)
    with pytest.raises(LogError, match=r"has 1 partitions, and outcomes.partitions is 2: set that to 1"):
        prepare(config(tmp_path, outcomes={"partitions": 2}), log)


def test_a_monitor_keeps_its_partition_when_others_come(tmp_path: Path, log: EmbeddedLog) -> None:
    """Where it went before, its state is."""

    def targets(*names: str) -> dict[str, int]:
        monitors: list[dict[str, Any]] = [{"name": name, "detectors": [{"type": "adwin"}]} for name in names]
        settings = config(tmp_path, outcomes={"partitions": 4}).model_dump(by_alias=True, mode="json")
        topology = prepare(parse(settings | {"monitors": monitors}), log)
        return dict(zip(topology.join.monitor_names, topology.join.targets, strict=True))

    few, many = targets("a", "b"), targets("z", "b", "y", "a", "x")
    assert few == {name: many[name] for name in few}
    assert set(many.values()) <= set(range(4))
    assert len(set(many.values())) > 1


def test_every_output_has_a_topic(tmp_path: Path, log: EmbeddedLog) -> None:
    """Four kinds of output go to four topics, none of them an input."""
    topology = prepare(config(tmp_path), log)
    outputs = {topology.topic(stream) for stream in Stream}

    assert len(outputs) == len(Stream)
    assert not outputs & set(topology.inputs)
