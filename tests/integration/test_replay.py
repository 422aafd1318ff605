"""What live raised on a broker, a replay of the same topics raises: byte for byte, and without leaving a trace."""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from kafka import KafkaAdminClient, KafkaProducer

from streamguard.config import Mode, parse
from streamguard.errors import ConfigError
from streamguard.logs.interface import Record, TopicInfo
from streamguard.logs.opening import open_log
from streamguard.replay.backtesting import Question, backtest
from streamguard.replay.explain import explain
from streamguard.replay.history import of_topics
from streamguard.replay.result import Backtest
from streamguard.replay.topics import Range, spans_of
from tests.integration.conftest import CLIENTS
from tests.integration.jobs import Job, stream

pytestmark = pytest.mark.broker

MANY = 100
FILES_MAX = 256


@pytest.fixture(params=CLIENTS)
def job(request: pytest.FixtureRequest, broker: str, tmp_path: Path) -> Job:
    """The stream on its topics, and two workers over it, one of which is killed and comes back."""
    job = Job(broker, tmp_path, log_settings={"session_timeout": "3s", "client": request.param})
    job.create()
    records = stream()
    with job.open() as log:
        job.append(log, records[: len(records) // 2])
        with job.worker(job.config(worker="one")) as one, job.worker(job.config(worker="two")) as two:
            for worker in (one, two):
                worker.wait_until(lambda worker=worker: worker.has_work)  # type: ignore[misc]
            one.popen.kill()
            job.append(log, records[len(records) // 2 :])
            assert two.terminate() == 0
    job.run_to_end()
    return job


def replayed(job: Job, mode: Mode, wanted: Range | None = None, *, processes: int = 1) -> Backtest:
    """The job's topics, replayed."""
    config = parse(job.settings())
    with job.open() as log:
        history = of_topics(config, log, mode, wanted or Range())
    return backtest(config, history, Question(processes=processes))


def values(job: Job) -> list[bytes]:
    """What the alerts topic holds."""
    with job.open() as log:
        return sorted(value or b"" for batch in log.read(f"{job.name}-alerts") for value in batch.values)


def offsets(job: Job) -> list[tuple[str, int, int]]:
    """Of all groups, and of all topics of the job."""
    admin = KafkaAdminClient(bootstrap_servers=job.bootstrap)
    try:
        committed = [
            (f"{each.topic} {name}", each.partition, found.offset)
            for name, partitions in admin.list_group_offsets(job.name).items()
            for each, found in partitions.items()
        ]
    finally:
        admin.close()
    topics = [f"{job.name}-{each}" for each in ("predictions", "labels", "alerts")]
    topics += [f"streamguard-{job.name}-{each}" for each in ("outcomes", "state", "rejected")]
    with job.open() as log:
        ends = [(topic, number, span.end) for topic in topics for number, span in log.spans(topic).items()]
    return sorted(committed + ends)


def test_a_replay_is_live(job: Job) -> None:
    """Two workers, one killed in between; both modes, one process and several; nothing is committed or written."""
    live, before = values(job), offsets(job)
    assert len(live) > 5
    faithful = replayed(job, Mode.FAITHFUL)
    assert sorted(faithful.settings[0].lines) == live
    assert faithful.outcomes["late"] == 0
    for processes in (1, 3):
        ideal = replayed(job, Mode.IDEAL, processes=processes)
        # Live waits for what may still come at the end; a replay knows that nothing does.
        last = max(orjson.loads(line)["event_time"] for line in live)
        until = [line for line in ideal.settings[0].lines if orjson.loads(line)["event_time"] <= last]
        assert sorted(until) == live
        assert ideal.notes[0].startswith("16 of 20,212 predictions cannot be used")
    assert offsets(job) == before


def test_a_part_of_the_topics(job: Job) -> None:
    """Found by timestamp, on every partition; its first alerts are not those of live, which knew more."""
    start_ms = min(record.timestamp_ms or 0 for record in stream())
    wanted = Range(start_ms + 6 * 3_600_000, start_ms + 9 * 3_600_000)
    found = replayed(job, Mode.IDEAL, wanted)
    inside = [each for each in stream() if (wanted.from_ms or 0) <= (each.timestamp_ms or 0) < (wanted.to_ms or 0)]
    assert found.counts is not None
    for side in ("predictions", "labels"):
        assert found.counts[side]["consumed"] == sum(each.topic == side for each in inside)
    assert "the range begins after the topics do" in found.agreement


def by_day_time() -> Sequence[Record]:
    """The stream over many partitions, one after the other: each has its own part of the day."""
    ranks: dict[str, int] = {}
    records = []
    for record in stream():
        try:
            request_id = str(orjson.loads(record.value or b"")["request_id"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            request_id = ""
        rank = ranks.setdefault(request_id, len(ranks))
        records.append(replace(record, partition=rank * MANY // 20_500))
    return records


@pytest.mark.parametrize("client", CLIENTS)
def test_many_partitions_need_few_files(broker: str, tmp_path: Path, client: str) -> None:
    """A client for each would need thousands. They take turns, and what is found is what an embedded log gives."""
    job = Job(broker, tmp_path, partitions=MANY, log_settings={"client": client})
    job.create()
    records = by_day_time()
    with job.open() as log:
        job.append(log, records)
    command = [sys.executable, "-m", "streamguard.cli", "backtest", str(job.config()), "--out", str(tmp_path / "out")]
    limited = ["bash", "-c", f'ulimit -n {FILES_MAX} && exec "$@"', "limited", *command, "--processes", "1"]
    done = subprocess.run(limited, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    config = parse(job.settings({"kind": "embedded", "path": str(tmp_path / "log.db"), "group": job.name}))
    with closing(open_log(config.log)) as log:
        for topic in job.inputs:
            log.create(TopicInfo(topic, MANY))
        job.append(log, records)
        history = of_topics(config, log, Mode.IDEAL, Range())
    expected = backtest(config, history, Question(processes=1)).settings[0].lines
    assert len(expected) > 5
    assert (tmp_path / "out" / "alerts.jsonl").read_bytes().splitlines() == list(expected)


def test_an_alert_is_explained(job: Job) -> None:
    """From no more of the topics than it names, and as much before that."""
    alerts = [orjson.loads(value) for value in values(job)]
    alert = next(each for each in alerts if each["kind"] == "mismatch_drift" and each["status"] == "raised")
    config = parse(job.settings())
    with job.open() as log:
        found = explain(config, of_topics(config, log, Mode.IDEAL, Range()), alert)
    before = [each.rate for each in found.steps if each.from_ms < found.onset_ms]
    after = [each.rate for each in found.steps if each.from_ms >= found.onset_ms]
    assert sum(before) / len(before) < sum(after) / len(after)
    for each in found.wrong:
        assert orjson.loads(each.record)["request_id"] == each.request_id


@pytest.mark.parametrize("client", CLIENTS)
def test_what_a_topic_of_transactions_holds(broker: str, tmp_path: Path, client: str) -> None:
    """Its first and its last record are told, however much was aborted before and behind."""
    job = Job(broker, tmp_path, log_settings={"client": client})
    job.create()
    topic, _ = job.inputs
    start_ms = 1_767_571_200_000
    with closing(KafkaProducer(bootstrap_servers=broker, transactional_id=topic)) as producer:
        producer.init_transactions()
        for times, is_committed in (([1] * 300, False), ([2, 3], True), ([4] * 300, False)):
            producer.begin_transaction()
            for each in times:
                producer.send(topic, b"v", partition=0, timestamp_ms=start_ms + each)
            producer.flush()
            if is_committed:
                producer.commit_transaction()
            else:
                producer.abort_transaction()
    words = "its first record is of 2026-01-05T00:00:00.002Z, its last of 2026-01-05T00:00:00.003Z"
    with job.open() as log, pytest.raises(ConfigError, match=words):
        spans_of(log, topic, Range(1 << 47, None), [])
