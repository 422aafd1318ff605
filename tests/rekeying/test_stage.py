"""The stage on an embedded log, with a hand clock: topics, idle partitions, back-pressure, and what it refuses."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamguard.config import Config
from streamguard.errors import ConfigError, LogError, UnusableError
from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.interface import Record, TopicInfo
from streamguard.rekeying.running import account, run_rekey
from streamguard.rekeying.stage import Stage
from tests.worker.helpers import HandClock, config

BASE_MS = 1_700_000_000_000


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    """The log of `config(tmp_path)`."""
    log = EmbeddedLog(tmp_path / "log.db")
    yield log
    log.close()


def settings(path: Path, **changes: Any) -> Config:
    """Plain labels without a key, and predictions in batches."""
    form = {"format": {"type": "batch", "rows": "rows"}, "topic": "raw"}
    return config(path, predictions=form, **{"labels": {"rekey": True, "topic": "raw-labels"}, **changes})


def stage(given: Config, log: EmbeddedLog, clock: HandClock | None = None) -> Stage:
    """One that can be run."""
    return Stage(given, log, "s", (clock or HandClock()).clock)


def batches(count: int, partitions: int = 2) -> list[Record]:
    """Ten predictions a record, one record a second."""
    return [
        Record(
            "raw",
            None,
            orjson.dumps(
                {"request_id": f"b{n}", "timestamp": at_ms(n), "rows": [{"prediction": row % 2} for row in range(10)]}
            ),
            n % partitions,
            timestamp_ms=at_ms(n),
        )
        for n in range(count)
    ]


def at_ms(number: int) -> int:
    """A second each."""
    return BASE_MS + 1000 * number


def truths(count: int) -> list[Record]:
    """The labels of these, in no partition in particular."""
    return [
        Record(
            "raw-labels",
            None,
            orjson.dumps({"request_id": f"b{n}:{row}", "label": 0, "timestamp": at_ms(n) + 60_000}),
            (n + row) % 2,
            timestamp_ms=at_ms(n) + 60_000,
        )
        for n in range(count)
        for row in range(10)
    ]


def read(log: EmbeddedLog, topic: str) -> list[tuple[bytes | None, bytes | None, int]]:
    """Key, value and timestamp of all records."""
    return [
        row
        for batch in log.read(topic)
        for row in zip(batch.keys, batch.values, map(int, batch.timestamps), strict=True)
    ]


def test_both_sides_are_written_keyed_with_their_event_time(tmp_path: Path, log: EmbeddedLog) -> None:
    """And every raw record is accounted for; what cannot be used is on the rejected topic with its reason."""
    given = settings(tmp_path)
    log.create(TopicInfo("raw", 2))
    log.create(TopicInfo("raw-labels", 2))
    log.append([*batches(40), *truths(40), Record("raw", b"k", b"no JSON", 1, (("h", b"v"),), BASE_MS)])
    run = stage(given, log)
    run.run(until_end=True)

    written = read(log, "streamguard-g-predictions")
    assert sorted(key or b"" for key, _, _ in written) == sorted(
        f"b{n}:{row}".encode() for n in range(40) for row in range(10)
    )
    assert all(orjson.loads(value or b"")["timestamp"] == stamp for _, value, stamp in written)
    assert len(read(log, "streamguard-g-labels")) == 400
    (batch,) = log.read("streamguard-g-rejected")
    assert (batch.keys[0], batch.values[0], batch.headers[0][0]) == (b"k", b"no JSON", ("h", b"v"))
    assert "not JSON" in str(dict(batch.headers[0])["__connect.errors.exception.message"])
    assert account(run)[:2] == [
        "raw: 41 consumed = 40 used, 1 rejected, 0 waiting; 400 predictions written to streamguard-g-predictions",
        "raw-labels: 400 consumed = 400 used, 0 rejected, 0 waiting; 400 labels written to streamguard-g-labels",
    ]


def test_an_idle_partition_is_not_waited_for_and_all_leaves_at_last(tmp_path: Path, log: EmbeddedLog) -> None:
    """Live, a partition without records holds nothing back for longer than join.idle_after."""
    given = settings(tmp_path, join={"after": "10m", "disorder": "1s", "idle_after": "5s"})
    log.create(TopicInfo("raw", 3))
    log.create(TopicInfo("raw-labels", 1))
    log.append(batches(10, partitions=2))
    run = stage(given, log, HandClock(step_s=0.7))
    turns = 0

    def stop(_progress: object) -> None:
        nonlocal turns
        turns += 1
        if turns > 60 or run.progress.written == 100:
            run.stop()

    run.run(on_progress=stop)

    assert len(read(log, "streamguard-g-predictions")) == 100


def test_more_than_may_wait_pauses_those_that_run_ahead(tmp_path: Path, log: EmbeddedLog) -> None:
    """A partition that is far behind is read alone until it has caught up; the order stays that of event time."""
    given = settings(tmp_path, join={"after": "10m", "disorder": "1s", "idle_after": None, "max_waiting": 150})
    log.create(TopicInfo("raw", 2))
    log.create(TopicInfo("raw-labels", 1))
    log.append(batches(20))
    stage(given, log).run(until_end=True)
    written = read(log, "streamguard-g-predictions")
    assert len(written) == 200


def test_more_than_twice_what_may_wait_ends_it(tmp_path: Path, log: EmbeddedLog) -> None:
    """With the settings that help."""
    given = settings(tmp_path, join={"after": "10m", "disorder": "1h", "idle_after": None, "max_waiting": 30})
    log.create(TopicInfo("raw", 2))
    log.create(TopicInfo("raw-labels", 1))
    log.append(batches(20))
    with pytest.raises(UnusableError, match=r"join\.max_waiting"):
        stage(given, log).run()


def test_other_rules_over_the_same_offsets_are_refused(tmp_path: Path, log: EmbeddedLog) -> None:
    """The state would be another."""
    log.create(TopicInfo("raw", 2))
    log.create(TopicInfo("raw-labels", 1))
    log.append(batches(3))
    stage(settings(tmp_path), log).run(until_end=True)
    other = settings(tmp_path, join={"after": "10m", "disorder": "2s", "idle_after": None})
    with pytest.raises(UnusableError, match="set them back"):
        stage(other, log).run(until_end=True)


def test_partitions_are_those_that_the_join_needs(tmp_path: Path, log: EmbeddedLog) -> None:
    """As many as the labels topic has where that is read as it is; set ones count, and must fit what is there."""
    log.create(TopicInfo("raw", 2))
    log.create(TopicInfo("labels", 5))
    stage(config(tmp_path, predictions={"topic": "raw", "rekey": True}), log)
    assert log.topics(["streamguard-g-predictions"])["streamguard-g-predictions"].partitions == 5

    with pytest.raises(LogError, match=r"has 5 partitions, and predictions\.partitions is 3"):
        stage(config(tmp_path, predictions={"topic": "raw", "rekey": True, "partitions": 3}), log)


def test_without_anything_to_write_anew_the_command_says_so(tmp_path: Path) -> None:
    """Rather than waiting for nothing."""
    with pytest.raises(ConfigError, match="nothing to write anew"):
        run_rekey(config(tmp_path), until_end=True, echo=print)
