"""What live raised on a broker, a replay of the same topics raises: byte for byte, and without leaving a trace."""

from pathlib import Path

import orjson
import pytest
from kafka import KafkaAdminClient

from streamguard.config import Mode, parse
from streamguard.replay.backtesting import Question, backtest
from streamguard.replay.history import of_topics
from streamguard.replay.result import Backtest
from streamguard.replay.topics import Range
from tests.integration.conftest import CLIENTS
from tests.integration.jobs import Job, stream

pytestmark = pytest.mark.broker


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
