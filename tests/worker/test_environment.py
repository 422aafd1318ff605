"""A worker beside a fleet: the environment topic is one more task of the group."""

from pathlib import Path

import orjson
import pytest

from streamguard.config import Config
from streamguard.errors import LogError
from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.interface import Record, TopicInfo
from tests.core.environment.fleets import alerts as fleet_alerts
from tests.core.environment.fleets import as_batch, pods, task, told_every
from tests.worker.helpers import HandClock, alerts, config, parts, traffic, work, write

ROWS = told_every(240, pods(), {"pod-7": [(60, {"packages": {"scikit-learn": "1.5.0"}}), (180, {})]})


def reported(settings: Config, records: list[Record]) -> None:
    """What instances say, on the log."""
    log = EmbeddedLog(Path(settings.log.path))  # type: ignore[union-attr]
    log.create(TopicInfo("environment", 1))
    log.append(records)
    log.close()


def said() -> list[Record]:
    """By twelve pods, one of which runs another version for two hours."""
    return [
        Record("environment", record["instance"].encode(), orjson.dumps(record), timestamp_ms=time_ms)
        for time_ms, record in ROWS
    ]


def of_environment(settings: Config) -> list[bytes]:
    """Its alerts, byte for byte."""
    return [each for each in alerts(settings) if each is not None and orjson.loads(each)["kind"] == "environment"]


def test_a_worker_tells_of_the_one_that_differs_and_of_the_model_as_ever(tmp_path: Path) -> None:
    """The same alerts as those of the task by itself; those of outcomes are what they are without it."""
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    settings, plain = config(tmp_path / "with", environment={}), config(tmp_path / "without")
    reported(settings, said())
    for each in (settings, plain):
        write(each, traffic())
        work(each)
    alone = fleet_alerts(task().step(as_batch(ROWS)))
    found = [orjson.loads(each) for each in of_environment(settings)]
    assert [(each["status"], each["environment"]) for each in found] == [
        (each["status"], each["environment"]) for each in alone
    ]
    assert [each["status"] for each in found] == ["raised", "resolved"]
    assert "pod-7" in found[0]["environment"]["told"]
    assert [each for each in alerts(settings) if each not in of_environment(settings)] == alerts(plain) != []


@pytest.mark.parametrize("every", ["1ms", "1h"])
def test_many_short_runs_are_one_long_run(tmp_path: Path, every: str) -> None:
    """Each restores what the last one left, from a snapshot or from the topic, and nothing shows."""
    (tmp_path / "one").mkdir()
    (tmp_path / "many").mkdir()
    one, many = (
        config(tmp_path / "one", environment={}),
        config(tmp_path / "many", environment={}, state={"every": every}),
    )
    reported(one, said())
    write(one, traffic(300))
    work(one)
    reported(many, [])
    for said_part, part in zip(parts(said(), 9), parts(traffic(300), 9), strict=True):
        reported(many, list(said_part))
        write(many, part)
        work(many, clock=HandClock(0.01))
    assert of_environment(many) == of_environment(one) != []


def test_a_topic_of_several_partitions_is_refused(tmp_path: Path) -> None:
    """What is compared must be in one order."""
    settings = config(tmp_path, environment={})
    write(settings, traffic(10))
    log = EmbeddedLog(Path(settings.log.path))  # type: ignore[union-attr]
    log.create(TopicInfo("environment", 2))
    log.close()
    with pytest.raises(LogError, match="has 2 partitions, and must have one"):
        work(settings)
