"""Workers that come, go, hang and are killed while records flow leave what one undisturbed worker leaves."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from kafka import KafkaAdminClient

from streamguard.logs.interface import Log
from tests.integration.broker import running
from tests.integration.conftest import CLIENTS
from tests.integration.jobs import Job, Process, check_same, counted, stream
from tests.integration.traffic import lag
from tests.stopping import stop

pytestmark = pytest.mark.broker

PIECE = 125
ALL = 4 + 4 + 2
"""Partitions of the inputs and the outcomes."""


class Feed:
    """Writes the stream to the topics piece by piece."""

    def __init__(self, job: Job, log: Log) -> None:
        self._job, self._log = job, log
        self._records = list(stream())

    def write(self, pieces: int = 1) -> None:
        """So many pieces, or what is left."""
        for _ in range(pieces):
            piece, self._records = self._records[:PIECE], self._records[PIECE:]
            if piece:
                self._job.append(self._log, piece)

    def until(self, process: Process, condition: Callable[[], bool]) -> None:
        """Go on writing until the process has come so far; there must be something left to write then."""

        def is_met() -> bool:
            self.write()
            return condition()

        process.wait_until(is_met)
        assert self._records

    def until_read(self, process: Process) -> None:
        """Wait for the group to have read what was written."""
        job = self._job
        with closing(KafkaAdminClient(bootstrap_servers=job.bootstrap)) as admin:

            def is_met() -> bool:
                found = admin.list_group_offsets(job.name)[job.name]
                committed = {partition: each.offset for partition, each in found.items()}
                return lag(job.bootstrap, committed, job.inputs) == 0

            process.wait_until(is_met)

    def finish(self) -> None:
        """All the rest."""
        self._job.append(self._log, self._records)


@pytest.fixture
def job(broker: str, client: str, tmp_path: Path) -> Job:
    """A group of its own, whose topics are empty; a silent member is out after three seconds."""
    job = Job(broker, tmp_path, log_settings={"session_timeout": "3s", "client": client})
    job.create()
    return job


@pytest.fixture
def feed(job: Job) -> Iterator[Feed]:
    """The stream, not written yet."""
    with job.open() as log:
        yield Feed(job, log)


def holds_all(process: Process) -> bool:
    """Whether every partition is this worker's."""
    assigned = process.events("partitions_assigned")
    return bool(assigned) and len(assigned[-1]["partitions"]) == ALL


def records_read(process: Process) -> int:
    """What a worker that has ended says it has read."""
    return counted(process.lines[-1])["records"]


@pytest.mark.parametrize("client", CLIENTS)
def test_workers_come_and_go_while_records_flow(job: Job, feed: Feed) -> None:
    """Partitions change hands twice in the middle of the stream, and no alert, record or count shows it."""
    with job.worker(job.config(worker="a")) as a, job.worker(job.config(worker="b")) as b:
        feed.until(a, lambda: a.has_work and b.has_work and not holds_all(a) and not holds_all(b))
        feed.write(20)
        feed.until_read(a)
        assert a.terminate() == 0
        feed.until(b, lambda: holds_all(b))
        feed.finish()
        assert b.terminate() == 0
        assert min(records_read(a), records_read(b)) > 5 * PIECE

    check_same(job.run_to_end(), job.expected(stream()))


@pytest.mark.parametrize(("client", "with_disk"), [*((each, False) for each in CLIENTS), ("kafka-python", True)])
def test_killed_workers_lose_and_repeat_nothing(job: Job, feed: Feed, tmp_path: Path, *, with_disk: bool) -> None:
    """A worker killed six times, wherever it stood, and started again under its name ends as if it never was."""
    random = Random(5)  # noqa: S311 (a schedule, not a secret)
    join = job.settings()["join"]
    if with_disk:
        # So few in memory that nearly all matches are with records that were on the disk.
        join["store"] = {"directory": str(tmp_path / "store"), "memory_records": 50}
    config = job.config(worker="steady", join=join)
    for _ in range(6):
        with job.worker(config) as process:
            feed.until(process, lambda: process.has_work)
            feed.write(random.randrange(8))
            # From within the restoring to after a few commits.
            time.sleep(random.random() * 0.8)
            process.popen.kill()
            assert process.popen.wait() == -signal.SIGKILL
    feed.finish()

    check_same(job.run_to_end(config), job.expected(stream()))
    assert (tmp_path / "store").exists() == with_disk


@pytest.mark.parametrize("client", CLIENTS)
def test_a_worker_that_hung_does_no_harm_when_it_wakes(job: Job, feed: Feed) -> None:
    """Its partitions went to another meanwhile: what it still meant to commit must not be committed."""
    with job.worker(job.config(worker="a")) as a:
        feed.until(a, lambda: holds_all(a))
        feed.write(5)
        stop(a.popen)
        feed.write(5)
        with job.worker(job.config(worker="b")) as b:
            feed.until(b, lambda: holds_all(b))
            feed.write(5)
            a.popen.send_signal(signal.SIGCONT)
            feed.until(a, lambda: len(a.events("partitions_assigned")) > 1)
            feed.finish()
            assert (a.terminate(), b.terminate()) == (0, 0)

    check_same(job.run_to_end(), job.expected(stream()))


def test_sigterm_ends_a_busy_worker_soon(job: Job, feed: Feed) -> None:
    """Kubernetes waits 30 seconds before it kills; a third of that is plenty for the commit under way."""
    with job.worker(job.config()) as process:
        feed.until(process, lambda: process.has_work)
        feed.write(5)
        began = time.monotonic()
        assert process.terminate() == 0
        assert time.monotonic() - began < 10
        assert process.events("worker_stopped")
        assert counted(process.lines[0])["consumed"] > 0


@pytest.mark.parametrize("client", CLIENTS)
def test_a_second_signal_ends_it_at_once(client: str, tmp_path: Path) -> None:
    """A worker that waits for a broker that hangs need not be waited for."""
    with running(tmp_path / "kafka") as (bootstrap, broker):
        job = Job(bootstrap, tmp_path, log_settings={"client": client})
        job.create()
        with job.worker(job.config()) as process:
            process.wait_until(lambda: process.has_work)
            stop(broker)
            try:
                process.popen.send_signal(signal.SIGTERM)
                time.sleep(1)
                assert process.popen.poll() is None
                began = time.monotonic()
                process.popen.send_signal(signal.SIGTERM)
                assert process.end() == 128 + signal.SIGTERM
                assert time.monotonic() - began < 1
            finally:
                broker.send_signal(signal.SIGCONT)
