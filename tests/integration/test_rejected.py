"""`streamguard rejected replay` on a broker, killed again and again: each record goes back once, and is joined."""

import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import yaml

from streamguard.config import Config, parse
from streamguard.core.records import Batch, TopicPartition
from streamguard.core.rejected import rejected
from streamguard.logs.interface import Log, Record, TopicInfo
from streamguard.rejected.filters import Asked
from streamguard.rejected.replaying import Wanted, run_replay
from tests.integration.conftest import CLIENTS
from tests.integration.jobs import COMMAND, PATIENCE_S, Job, counted

pytestmark = pytest.mark.broker

PAIRS = 2000
NOW_MS = 1_770_000_000_000
KILLS = 4
# Fields that no record has, and IDs that must be shorter than some are: so three reasons.
WRONG = {
    "predictions": {"fields": {"time": "timestamp", "value": "answer"}},
    "labels": {"fields": {"time": "timestamp", "value": "truth"}},
    "limits": {"request_id_chars": 6},
}


def pairs() -> Iterator[Record]:
    """Predictions and labels, in the order of their times; every fifth has a long ID."""
    for number in range(PAIRS):
        name = f"r{number}" if number % 5 else f"a-long-name-{number}"
        for topic, value, delay_ms in (("predictions", "prediction", 0), ("labels", "label", 5)):
            at_ms = NOW_MS + 1000 * number + delay_ms
            raw = orjson.dumps({"request_id": name, value: "a", "timestamp": at_ms})
            yield Record(topic, name.encode(), raw, headers=(("trace", name.encode()),), timestamp_ms=at_ms)


def configured(job: Job, *, is_wrong: bool) -> Path:
    """The configuration, or one with mistakes in it."""
    settings = job.settings()
    for name, section in WRONG.items() if is_wrong else ():
        settings[name] = settings.get(name, {}) | section
    path = job.directory / f"{job.name}-{'wrong' if is_wrong else 'right'}.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def sent_back(log: Log, job: Job) -> list[bytes]:
    """What each record on the inputs that was sent back was before."""
    return [
        content or b""
        for topic in job.inputs
        for batch in log.read(topic)
        for headers in batch.headers
        for name, content in headers
        if name == "streamguard.replayed"
    ]


def grown(log: Log, job: Job) -> int:
    """Where the inputs end, added up."""
    return sum(span.end for topic in job.inputs for span in log.spans(topic).values())


def killed(config: Path, log: Log, job: Job) -> int:
    """Begin a run, and end it by SIGKILL at the first sign that it has sent something; its exit code."""
    before = grown(log, job)
    with replaying(config, job) as process:
        deadline = time.monotonic() + PATIENCE_S
        while grown(log, job) == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        process.kill()
    return process.returncode


def replaying(config: Path, job: Job) -> "subprocess.Popen[str]":
    """The command, as a process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGUARD_")}
    command = [*COMMAND, "rejected", "replay", str(config)]
    said = (job.directory / "replay.log").open("a", encoding="utf-8")
    with said:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True, env=environment)


def to_end(config: Path, job: Job) -> list[str]:
    """A run that nobody disturbs: what it prints."""
    with replaying(config, job) as process:
        printed, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, (job.directory / "replay.log").read_text(encoding="utf-8")[-4000:]
    return printed.splitlines()


@pytest.mark.parametrize("client", CLIENTS)
def test_each_goes_back_once_wherever_runs_are_killed(broker: str, client: str, tmp_path: Path) -> None:
    """All of them, unchanged and in the order of their partition, so that the join matches every pair."""
    job = Job(broker, tmp_path, log_settings={"client": client})
    job.create()
    with job.open() as log:
        job.append(log, pairs())
        found = job.run_to_end(configured(job, is_wrong=True))
        assert len(found.rejected) == 2 * PAIRS
        config = configured(job, is_wrong=False)

        ends = [killed(config, log, job) for _ in range(KILLS)]
        assert ends.count(-9) >= 2, "it was done before it could be killed"
        last = to_end(config, job)
        assert last[-1] != "there is nothing to send", "no kill came between two transactions"
        assert to_end(config, job)[-1] == "there is nothing to send"

        marks = Counter(sent_back(log, job))
        places = {
            f"{batch.source.topic}-{batch.source.partition}@{offset}".encode()
            for batch in log.read(f"streamguard-{job.name}-rejected")
            for offset in batch.offsets
        }
        assert set(marks) == places
        assert set(marks.values()) == {1}
        written = [(record.topic, record.key, record.value, record.timestamp_ms) for record in job.written(log)]
        assert set(Counter(written).values()) == {2}

        counts = job.run_to_end(config).counts
        for line in counts:
            each = counted(line)
            assert (each["consumed"], each["matched"], each["rejected"]) == (2 * PAIRS, PAIRS, PAIRS), line


@pytest.mark.parametrize("client", CLIENTS)
def test_a_note_as_long_as_it_may_be_is_taken(broker: str, client: str, tmp_path: Path) -> None:
    """Every second record is sent, until there is no room; what lies between is put away, and then all goes on."""
    job = Job(broker, tmp_path, log_settings={"client": client}, partitions=1)
    job.create()
    topic, count = f"streamguard-{job.name}-rejected", 2600
    with job.open() as log:
        log.create(TopicInfo(topic, 1))
        log.create(TopicInfo(f"{job.name}-parked", 1))
        log.append([odd_or_even(topic, job, number) for number in range(count)])
    config = parse(job.settings())

    code, *lines = replayed(config, Wanted(Asked(reason="odd"), is_forced=True))
    assert code == "1"
    left = re.search(r"  ([\d,]+) stay: they cannot be sent by this run, as the note", "\n".join(lines))
    assert left is not None
    sent = count // 2 - int(left[1].replace(",", ""))
    assert 900 < sent < 1100
    assert lines[-1] == f"sent {sent:,} records"
    assert any(line.startswith("  no earlier run is known: Kafka forgets") for line in lines)
    for reason in ("even", "odd"):
        code, *lines = replayed(config, Wanted(Asked(reason=reason), to_topic=f"{job.name}-parked"))
    assert (code, lines[-1]) == ("0", f"sent {count // 2 - sent:,} records")
    with job.open() as log:
        values = [
            value
            for name in (job.inputs[0], f"{job.name}-parked")
            for batch in log.read(name)
            for value in batch.values
        ]
    assert sorted(int(value or b"") for value in values) == list(range(count))


def odd_or_even(topic: str, job: Job, number: int) -> Record:
    """A rejected record of weeks ago."""
    source = TopicPartition(job.inputs[0], 0)
    batch = Batch(source, [number], [NOW_MS], [None], [b"%d" % number], [()], number + 1)
    found = rejected(batch, 0, "odd" if number % 2 else "even")
    return Record(topic, found.key, found.value, 0, found.headers, NOW_MS)


def replayed(config: Config, wanted: Wanted) -> list[str]:
    """Run the command here; what it prints, after its exit code."""
    lines: list[str] = []
    code = run_replay(config, wanted, lines.append)
    return [str(code), *lines]
