"""Several processes on one file, killed where they stand."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import Any

import pytest

from streamguard.core.records import TopicPartition
from streamguard.errors import LogError
from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.interface import Committed, Record, TopicInfo
from tests.logs.helpers import join, numbered, values

# Not fork: threads of the test process would hold locks that nobody in the child ever releases.
PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(["streamguard.logs.embedded", "tests.logs.helpers"])
INPUT = TopicPartition("in", 0)
KILLS = 30


@contextmanager
def running(target: Any, *arguments: Any) -> Iterator[tuple[BaseProcess, Connection]]:
    """A process that runs `target(connection, *arguments)`; killed by signal 9 at the end."""
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=target, args=(theirs, *arguments))
    process.start()
    theirs.close()
    try:
        yield process, ours
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()


def copy(done: Connection, path: Path) -> None:
    """A worker: commits a copy of each input, its newest in a state record, and the input's offset."""
    log = EmbeddedLog(path, poll_records_max=7)
    session = join(log, "g", "in")
    while batches := session.poll(0).batches:
        (batch,) = batches
        outputs = [Record("out", None, value) for value in batch.values]
        state = Record("state", b"last", batch.values[-1])
        session.commit([*outputs, state], {INPUT: Committed(batch.next_offset, str(batch.next_offset))})
        done.send_bytes(b".")


def hold(done: Connection, path: Path) -> None:
    """A worker that has joined, and hangs."""
    session = join(EmbeddedLog(path), "g", "in")
    done.send_bytes(b".")
    done.recv_bytes()
    session.close()


def append(done: Connection, path: Path, writer: int) -> None:
    """A producer, on a file that may not be there yet."""
    done.recv_bytes()
    log = EmbeddedLog(path)
    log.create(TopicInfo("in", 1))
    for number in range(100):
        log.append([Record("in", b"%d" % writer, b"%d" % (number * 5 + step)) for step in range(5)])
    log.close()
    done.send_bytes(b".")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with 20,000 inputs, more than all rounds of a test will copy."""
    path = tmp_path / "log.db"
    log = EmbeddedLog(path)
    for topic in (TopicInfo("in", 1), TopicInfo("out", 1), TopicInfo("state", 1, compacted=True)):
        log.create(topic)
    log.append(numbered("in", 20_000))
    log.close()
    return path


def test_killed_workers_leave_records_and_offsets_in_agreement(path: Path) -> None:
    """However often a worker is killed, what it wrote is exactly what its committed offset says."""
    random = Random(1)  # noqa: S311 (a schedule, not a secret)
    log = EmbeddedLog(path)
    former = 0
    for _ in range(KILLS):
        with running(copy, path) as (_, done):
            for _ in range(random.randrange(1, 10)):
                done.recv_bytes()
            time.sleep(random.random() * 0.003)
        session = join(log, "g", "in")
        committed = session.committed([INPUT])[INPUT]
        session.close()
        assert committed.offset > former
        assert committed.metadata == str(committed.offset)
        assert values(log.read("out")) == [b"%d" % number for number in range(committed.offset)]
        assert values(log.read("state")) == [b"%d" % (committed.offset - 1)]
        former = committed.offset
    log.close()


def test_second_process_is_refused_until_the_first_is_killed(path: Path) -> None:
    """A standby cannot join by mistake, and need not wait for a timeout when the worker has died."""
    log = EmbeddedLog(path)
    with running(hold, path) as (process, done):
        done.recv_bytes()
        with pytest.raises(LogError, match=f"pid {process.pid}, worker worker-0"):
            log.session("g", [["in"]], "worker-1")
    join(log, "g", "in").close()
    log.close()


def test_producers_of_several_processes_lose_nothing(tmp_path: Path) -> None:
    """Four producers that start at once on a new file take turns: nothing is lost, doubled or moved."""
    path = tmp_path / "new.db"
    with (
        running(append, path, 0) as (_, first),
        running(append, path, 1) as (_, second),
        running(append, path, 2) as (_, third),
        running(append, path, 3) as (_, fourth),
    ):
        for connection in (first, second, third, fourth):
            connection.send_bytes(b".")
        for connection in (first, second, third, fourth):
            connection.recv_bytes()
    log = EmbeddedLog(path)
    batches = list(log.read("in"))
    log.close()
    assert [offset for batch in batches for offset in batch.offsets] == list(range(2000))
    rows = [row for batch in batches for row in zip(batch.keys, batch.values, strict=True)]
    for writer in (b"0", b"1", b"2", b"3"):
        assert [value for key, value in rows if key == writer] == [b"%d" % number for number in range(500)]
