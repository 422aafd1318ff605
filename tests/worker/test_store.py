"""A worker with a disk does what one without does, whatever becomes of process and disk."""

import shutil
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

import pytest
from structlog.testing import capture_logs

from streamguard.bench.records import Shape
from streamguard.bench.records import records as drawn
from streamguard.config import Config
from streamguard.errors import ConfigError, UnusableError
from streamguard.logs.embedded import EmbeddedLog
from streamguard.stores.rocks import RocksStore
from streamguard.worker.worker import Clock, Worker
from tests.worker.helpers import HandClock, alerts, config, topic, traffic, work, write

RECORDS = list(drawn(Shape(3000, garbage=0.01, duplicates=0.05)))
PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.worker.test_store"])


def settings(path: Path, *, disk: bool = True) -> Config:
    """A day; with the disk, hardly any of it is in memory."""
    path.mkdir(exist_ok=True)
    store = {"directory": str(path / "store"), "memory_records": 40} if disk else {}
    return config(path, join={"after": "2h", "disorder": "30s", "store": store}, state={"every": "1ms"})


def results(found: Config) -> tuple[object, ...]:
    """All that people and programs see."""
    rejected = sorted(topic(found, found.rejected_topic), key=repr)
    return alerts(found), rejected


def damaged(path: Path) -> None:
    """Every file of RocksDB is there, with other bytes at its end."""
    for each in (path / "pieces").glob("*.sst"):
        each.write_bytes(each.read_bytes()[:-1000] + bytes(1000))


def without_stamps(path: Path) -> None:
    """The small files are gone."""
    for each in path.glob("*.stamp"):
        each.unlink()


BETWEEN: dict[str, Callable[[Path], object]] = {
    "nothing": lambda _: None,
    "lost": shutil.rmtree,
    "damaged": damaged,
    "no stamps": without_stamps,
}


@pytest.mark.parametrize("between", BETWEEN)
def test_restarts_on_a_disk_are_invisible(tmp_path: Path, between: str) -> None:
    """A day cut at random places: every byte is as from one worker in memory, also where the disk suffers."""
    one, many = settings(tmp_path / "one", disk=False), settings(tmp_path / "many")
    write(one, RECORDS)
    whole = work(one)
    random = Random(7)  # noqa: S311 (a schedule, not a secret)
    cuts = sorted(random.sample(range(len(RECORDS)), 3))
    resumed = []
    for start, end in zip([0, *cuts], [*cuts, len(RECORDS)], strict=True):
        write(many, RECORDS[start:end])
        with capture_logs() as lines:
            pieces = work(many, clock=HandClock(random.choice([0.0, 0.01])))
        resumed.append([line["is_resumed"] for line in lines if line["event"] == "store_opened"])
        BETWEEN[between](tmp_path / "many" / "store")

    assert results(many) == results(one)
    assert alerts(one) != []
    assert pieces.totals == whole.totals
    assert resumed[0] == []
    assert all(each == [True, True] for each in resumed[1:]) is (between == "nothing")


def test_a_disk_of_another_past_is_left(tmp_path: Path) -> None:
    """The same group and topics, but other records: its counts do not lead to what is committed."""
    other, ours = settings(tmp_path / "other"), settings(tmp_path / "ours")
    write(other, traffic(400))
    work(other)
    half = len(RECORDS) // 2
    write(ours, RECORDS[:half])
    work(ours)
    shutil.rmtree(tmp_path / "ours" / "store")
    shutil.copytree(tmp_path / "other" / "store", tmp_path / "ours" / "store")
    write(ours, RECORDS[half:])
    work(ours)
    one = settings(tmp_path / "one", disk=False)
    write(one, RECORDS)
    work(one)
    assert results(ours) == results(one)


def run(done: Connection, found: Config) -> None:
    """A worker in small steps that says so after each."""
    log = EmbeddedLog(Path(found.log.path), poll_records_max=50)  # type: ignore[union-attr]
    worker = Worker(found, log, "w", Clock(time.monotonic, time.sleep))
    worker.run(until_end=True, on_progress=lambda _: done.send_bytes(b"."))


def test_killed_workers_leave_a_disk_to_go_on_from(tmp_path: Path) -> None:
    """Signal 9 at any moment: the next one begins from the disk, and the alerts are those of an unbroken run."""
    found, one = settings(tmp_path / "many"), settings(tmp_path / "one", disk=False)
    write(found, RECORDS)
    random = Random(3)  # noqa: S311 (a schedule, not a secret)
    for _ in range(3):
        ours, theirs = PROCESSES.Pipe()
        process = PROCESSES.Process(target=run, args=(theirs, found))
        process.start()
        theirs.close()
        for _ in range(random.randrange(6, 16)):
            ours.recv_bytes()
        time.sleep(random.random() * 0.01)
        process.kill()
        process.join()
        ours.close()
    with capture_logs() as lines:
        work(found)
    write(one, RECORDS)
    work(one)

    assert [line["is_resumed"] for line in lines if line["event"] == "store_opened"] == [True, True]
    assert results(found) == results(one)


def test_two_workers_do_not_share_a_directory(tmp_path: Path) -> None:
    """The second ends, and says what to do."""
    found = settings(tmp_path)
    write(found, traffic(10))
    store = RocksStore(tmp_path / "store", "another")
    with pytest.raises(UnusableError, match="in use by another worker: give each its own"):
        work(found)
    store.close()
    work(found)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "rocksdict", None)
    monkeypatch.delitem(sys.modules, "streamguard.stores.rocks")
    found = settings(tmp_path)
    write(found, traffic(10))
    with pytest.raises(ConfigError, match=r'pip install "rocksdict>='):
        work(found)


def test_a_disk_makes_room_beyond_memory(tmp_path: Path) -> None:
    """What is on it counts against `max_waiting` alone, and not against the memory that waiting takes."""
    write(settings(tmp_path), traffic(6000, labelled=False))
    for disk in (False, True):
        found = settings(tmp_path, disk=disk)
        join = found.join.model_copy(update={"max_waiting": 5000, "max_waiting_bytes": 300_000})
        tight = found.model_copy(update={"join": join})
        if disk:
            assert work(tight).totals["predictions"]["consumed"] == 6000
        else:
            with pytest.raises(UnusableError, match="the join window holds more"):
                work(tight)
