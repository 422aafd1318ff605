"""A worker on an embedded log, killed again and again, and on a disk that runs full: nothing lost, twice or half."""

import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random

import pytest

from streamguard.config import parse
from streamguard.errors import LogError
from streamguard.logs.interface import Log, TopicInfo
from streamguard.logs.opening import open_log
from streamguard.worker.worker import Worker
from tests.integration.jobs import PARTITIONS, Job, Results, check_same, results_of, stream
from tests.worker.helpers import HandClock

KILLS = 20
PIECE = 15
DISK_BYTES = 64 << 20


class Embedded:
    """A job on a file of its own; what one undisturbed worker leaves goes to another."""

    def __init__(self, directory: Path, path: Path) -> None:
        self.job = Job("", directory)
        self.path = path
        self.log = {"kind": "embedded", "path": str(path), "group": self.job.name}
        self.config = self.job.config(log=self.log)

    @contextmanager
    def open(self) -> Iterator[Log]:
        """The file, with the inputs' topics."""
        log = open_log(parse(self.job.settings(self.log)).log)
        for topic in self.job.inputs:
            log.create(TopicInfo(topic, PARTITIONS, max_record_bytes=12 << 20))
        try:
            yield log
        finally:
            log.close()

    def written(self, log: Log) -> int:
        """Records of outcomes and watermarks so far."""
        topic = f"streamguard-{self.job.name}-outcomes"
        return sum(len(batch) for batch in log.read(topic)) if log.topics([topic]) else 0

    def finish(self) -> Results:
        """One worker, to the end."""
        with self.job.worker(self.config, "--until-end") as process, self.open() as log:
            assert process.end() == 0, process.said.read_text(encoding="utf-8")[-4000:]
            return results_of(log, self.job, process.lines[:2])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(path)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a file system")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def fill(path: Path, left: int) -> None:
    """Leave no more than so many bytes on the disk of this file."""
    free = os.statvfs(path.parent)
    with path.open("wb") as ballast:
        ballast.write(bytes(max(0, free.f_bavail * free.f_frsize - left)))


def test_killed_workers_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """Killed twenty times while records come in, and started again each time, it ends as if it never was."""
    random = Random(1)  # noqa: S311 (a schedule, not a secret)
    embedded = Embedded(tmp_path, tmp_path / "log.db")
    records = list(stream())
    with embedded.open() as log:

        def feed(seconds: float) -> None:
            nonlocal records
            until_s = time.monotonic() + seconds
            while time.monotonic() < until_s:
                piece, records = records[:PIECE], records[PIECE:]
                embedded.job.append(log, piece)
                time.sleep(0.01)

        def has_written(before: int) -> bool:
            feed(0.02)
            return embedded.written(log) > before

        for number in range(KILLS):
            before = embedded.written(log)
            with embedded.job.worker(embedded.config) as process:
                process.wait_until(lambda: process.has_work)
                # In turn from within the restoring to the first commit, and among the commits that follow.
                if number % 2:
                    process.wait_until(partial(has_written, before))
                feed(random.random() * 0.4)
                process.popen.kill()
                assert process.popen.wait() == -signal.SIGKILL
        assert records
        embedded.job.append(log, records)

    check_same(embedded.finish(), embedded.job.expected(stream()))


@pytest.mark.parametrize("is_killed", [False, True])
def test_full_disk_stops_work_and_harms_nothing(tmp_path: Path, disk: Path, is_killed: bool) -> None:  # noqa: FBT001
    """The worker says what is wrong; once there is space it goes on by itself, or after a restart."""
    embedded = Embedded(tmp_path, disk / "log.db")
    with embedded.open() as log:
        embedded.job.append(log, stream())
    fill(disk / "ballast", 1 << 20)
    with embedded.job.worker(embedded.config, "--until-end") as process:
        process.wait_until(lambda: bool(process.events("session_lost")))
        assert "log.db cannot grow: the disk is full" in process.events("session_lost")[0]["reason"]
        if is_killed:
            process.popen.kill()
            process.popen.wait()
        (disk / "ballast").unlink()
        if not is_killed:
            assert process.end() == 0

    check_same(embedded.finish(), embedded.job.expected(stream()))


def test_disk_that_stays_full_ends_the_worker(tmp_path: Path) -> None:
    """After five minutes without a commit it ends with an error that says so; with space, nothing shows it."""
    embedded = Embedded(tmp_path, tmp_path / "log.db")
    config = parse(embedded.job.settings(embedded.log))
    with embedded.open() as log:
        embedded.job.append(log, stream())
        worker = Worker(config, log, "w", HandClock().clock)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = embedded.path.with_name("log.db-wal").stat().st_size + (1 << 20)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            with pytest.raises(LogError, match=r"log\.db cannot be read or written: the disk is full or failing"):
                worker.run(until_end=True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    check_same(embedded.finish(), embedded.job.expected(stream()))
