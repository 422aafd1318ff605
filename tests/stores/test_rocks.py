"""The disk of waiting records: kept whole or not at all, of one worker, and never in the way of a restart."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from streamguard.errors import LogError, UnusableError
from streamguard.stores.rocks import RocksDisk, RocksStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RocksStore]:
    """A directory that is opened for the first time."""
    found = RocksStore(tmp_path, "ours")
    yield found
    found.close()


def get(disk: RocksDisk, number: int, *blocks: int) -> list[bytes]:
    """Some blocks of one piece."""
    return disk.get(np.full(len(blocks), number), np.array(blocks))


def reopened(store: RocksStore, path: Path, owner: str = "ours") -> RocksStore:
    """After a clean end."""
    store.close()
    return RocksStore(path, owner)


def test_blocks_are_read_by_place(store: RocksStore) -> None:
    """In any order; the last one by its own number."""
    disk = store.disk(0)
    number = disk.put([b"a", b"", b"ccc"], last=b"z")
    assert get(disk, number, 2, 0, (1 << 32) - 1, 1) == [b"ccc", b"a", b"z", b""]


def test_what_the_last_stamp_names_is_there_again(store: RocksStore, tmp_path: Path) -> None:
    """And nothing else, of any task; numbers go on where they were."""
    disk, other = store.disk(0), store.disk(1)
    first, second, third = disk.put([b"1"]), disk.put([b"2"]), other.put([b"3"])
    disk.keep(b"one", [first, second])
    other.keep(b"other", [third])
    disk.keep(b"two", [second])
    disk.put([b"too late"])
    store = reopened(store, tmp_path)
    disk, other = store.disk(0), store.disk(1)

    assert (disk.stamp(), other.stamp()) == (b"two", b"other")
    assert get(disk, second, 0) + get(other, third, 0) == [b"2", b"3"]
    assert disk.put([b"new"]) > third
    with pytest.raises(LogError, match="cannot be read: blocks are missing"):
        get(disk, first, 0)
    store.close()


def test_a_task_that_is_opened_again_begins_from_its_stamp(store: RocksStore) -> None:
    """What was written after it is gone, as after a crash."""
    disk = store.disk(0)
    kept = disk.put([b"1"])
    disk.keep(b"one", [kept])
    unkept = disk.put([b"2"])
    disk = store.disk(0)
    assert get(disk, kept, 0) == [b"1"]
    with pytest.raises(LogError):
        get(disk, unkept, 0)


def test_a_disk_that_cannot_be_read_is_begun_anew(store: RocksStore) -> None:
    """Everything is on the inputs: the next tasks find an empty disk, and can use it."""
    disk = store.disk(0)
    disk.keep(b"one", [disk.put([b"1"])])
    with pytest.raises(LogError, match="cannot be read"):
        get(disk, 99, 0)
    disk = store.disk(0)
    assert disk.stamp() is None
    assert get(disk, disk.put([b"1"]), 0) == [b"1"]


@pytest.mark.parametrize("damage", ["stamp", "pieces", "files"])
def test_damage_is_not_taken_over(store: RocksStore, tmp_path: Path, damage: str) -> None:
    """Whatever has become of the files, what is found is the last stamp with its pieces, or nothing."""
    disk = store.disk(0)
    number = disk.put([b"1" * 5000])
    disk.keep(b"one", [number])
    store.close()
    if damage == "stamp":
        path = tmp_path / "task-0.stamp"
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    for path in (tmp_path / "pieces").iterdir():
        if damage == "pieces" and path.suffix == ".sst":
            path.unlink()
        if damage == "files" and path.name != "LOCK":
            path.write_bytes(b"x" * path.stat().st_size)
    store = RocksStore(tmp_path, "ours")
    assert store.disk(0).stamp() is None
    assert get(store.disk(0), store.disk(0).put([b"2"]), 0) == [b"2"]
    store.close()


def test_a_directory_is_of_one_worker(store: RocksStore, tmp_path: Path) -> None:
    """The second is told, and leaves the first alone."""
    store.disk(0).keep(b"one", [])
    # It is told though what it is to find there is another's.
    with pytest.raises(UnusableError, match="is in use by another worker: give each its own"):
        RocksStore(tmp_path, "theirs")
    assert reopened(store, tmp_path).disk(0).stamp() == b"one"


def test_nothing_is_taken_over_from_another_group(store: RocksStore, tmp_path: Path) -> None:
    """Its tasks have the same numbers."""
    disk = store.disk(0)
    disk.keep(b"one", [disk.put([b"1"])])
    assert reopened(store, tmp_path, "theirs").disk(0).stamp() is None


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """It is named, with what the system says of it."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UnusableError, match=r"join.store.directory .*file' cannot be made .*name one that can"):
        RocksStore(tmp_path / "file", "ours")
