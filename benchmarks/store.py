"""RocksDB and LMDB for records that wait: batches written, batches looked up, the oldest deleted.

    python -m benchmarks.store --records 10000000

`record` keeps each record under the hash of its ID, as a store of keys and values suggests. `segment` is what
streamguard does (streamguard/core/cold.py): 125,000 records are sorted by hash and written as blocks of 32 under
growing keys; a lookup reads one block of a known segment. Every batch is of 20,000 records; a lookup asks for 20,000,
in `record` half of them missing. In `segment` memory has answered for those. The oldest tenth is deleted at the end.

Each runs in a process of its own. Memory is what /proc says that it holds: its own, and pages of mapped files, which
the kernel may take back; LMDB's map is of the second kind.
"""

import argparse
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from random import Random

import rocksdict

from streamguard.stores.rocks import options

BATCH = 20_000
SEGMENT = 125_000
BLOCK = 32
VALUE = bytes(range(60))


class Library(ABC):
    """Keys and values in order, in a directory."""

    @abstractmethod
    def put(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Write a batch, at once."""

    @abstractmethod
    def get(self, keys: Sequence[bytes]) -> int:
        """Read a batch; returns how many were there."""

    @abstractmethod
    def delete(self, keys: Sequence[bytes]) -> None:
        """Delete a batch."""

    @abstractmethod
    def delete_range(self, begin: bytes, end: bytes) -> None:
        """Delete all from `begin` to before `end`."""


class Rocks(Library):
    """RocksDB as streamguard opens it."""

    def __init__(self, path: str) -> None:
        self._db = rocksdict.Rdict(path, options())
        self._unlogged = rocksdict.WriteOptions()
        self._unlogged.disable_wal = True  # type: ignore[method-assign,assignment]

    def put(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, value in zip(keys, values, strict=True):
            batch.put(key, value)
        self._db.write(batch, self._unlogged)

    def get(self, keys: Sequence[bytes]) -> int:
        return sum(each is not None for each in self._db.get([*keys]) or [])

    def delete(self, keys: Sequence[bytes]) -> None:
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key in keys:
            batch.delete(key)
        self._db.write(batch, self._unlogged)

    def delete_range(self, begin: bytes, end: bytes) -> None:
        self._db.delete_range(begin, end)


class Lmdb(Library):
    """LMDB, which leaves it to the kernel when pages are written."""

    def __init__(self, path: str) -> None:
        # Not needed by streamguard: pip install lmdb.
        import lmdb  # noqa: PLC0415

        self._env = lmdb.open(path, map_size=1 << 38, sync=False, metasync=False)

    def put(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        with self._env.begin(write=True) as transaction:
            transaction.cursor().putmulti(list(zip(keys, values, strict=True)))

    def get(self, keys: Sequence[bytes]) -> int:
        with self._env.begin() as transaction:
            return len(transaction.cursor().getmulti(keys))

    def delete(self, keys: Sequence[bytes]) -> None:
        with self._env.begin(write=True) as transaction:
            for key in keys:
                transaction.delete(key)

    def delete_range(self, begin: bytes, end: bytes) -> None:
        with self._env.begin(write=True) as transaction:
            cursor = transaction.cursor()
            found = cursor.set_range(begin)
            while found and cursor.key() < end:
                found = cursor.delete()


def records(library: Library, count: int) -> list[tuple[str, int, float]]:
    """One key for each record: what was done, how often, and the seconds."""
    random, put_s, get_s, delete_s, got = Random(1), 0.0, 0.0, 0.0, 0
    for start in range(0, count, BATCH):
        keys = [_hash(number) for number in range(start, start + BATCH)]
        began_s = time.perf_counter()
        library.put(keys, [VALUE] * BATCH)
        put_s += time.perf_counter() - began_s
        if start % (10 * BATCH) == 0:
            wanted = [_hash(random.randrange(2 * (start + BATCH))) for _ in range(BATCH)]
            began_s = time.perf_counter()
            library.get(wanted)
            get_s += time.perf_counter() - began_s
            got += BATCH
    for start in range(0, count // 10, BATCH):
        keys = [_hash(number) for number in range(start, start + BATCH)]
        began_s = time.perf_counter()
        library.delete(keys)
        delete_s += time.perf_counter() - began_s
    return [("put", count, put_s), ("get", got, get_s), ("delete", count // 10, delete_s)]


def segments(library: Library, count: int) -> list[tuple[str, int, float]]:
    """One key for each block of each segment; sorting and the memory's part of it are left out."""
    random, put_s, get_s, got = Random(1), 0.0, 0.0, 0
    block = VALUE * BLOCK
    for start in range(0, count, SEGMENT):
        number = start // SEGMENT
        keys = [_place(number, each) for each in range(SEGMENT // BLOCK)]
        began_s = time.perf_counter()
        library.put(keys, [block] * len(keys))
        put_s += time.perf_counter() - began_s
        wanted = [_place(random.randrange(number + 1), random.randrange(SEGMENT // BLOCK)) for _ in range(BATCH)]
        began_s = time.perf_counter()
        library.get(wanted)
        get_s += time.perf_counter() - began_s
        got += BATCH
    began_s = time.perf_counter()
    for number in range(count // SEGMENT // 10):
        library.delete_range(_place(number, 0), _place(number + 1, 0))
    return [("put", count, put_s), ("get", got, get_s), ("delete", count // 10, time.perf_counter() - began_s)]


def measure(library: str, layout: str, count: int, directory: str | None) -> None:
    """In this process; prints a line."""
    with tempfile.TemporaryDirectory(dir=directory) as name:
        opened = {"rocksdict": Rocks, "lmdb": Lmdb}[library](name)
        found = {"record": records, "segment": segments}[layout](opened, count)
        size = sum(path.stat().st_size for path in Path(name).rglob("*") if path.is_file()) / 1e6
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        own, mapped = (int(status[key].split()[0]) * 1024 / 1e6 for key in ("RssAnon", "RssFile"))
    rates = "".join(f"{number / max(seconds, 1e-9):>14,.0f}" for _, number, seconds in found)
    print(f"{library:<10} {layout:<8}{rates}{own:>9,.0f}{mapped:>9,.0f}{size:>9,.0f}", flush=True)


def _hash(number: int) -> bytes:
    # What a hash does to the order of keys, at no cost: a bijection of 64 bits, by an odd multiplier.
    return (number * 0x9E3779B97F4A7C15 % (1 << 64)).to_bytes(8, "big")


def _place(number: int, block: int) -> bytes:
    return number.to_bytes(8, "big") + block.to_bytes(4, "big")


def main() -> None:
    """Measure all four."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.store", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--directory", help="where the files are made; they are deleted at the end")
    given = parser.parse_args()
    columns = ("put/s", "get/s", "delete/s")
    head = "".join(f"{each:>14}" for each in columns) + "".join(
        f"{each:>9}" for each in ("own MB", "mapped", "disk MB")
    )
    print(f"{'library':<10} {'layout':<8}{head}")
    context = get_context("spawn")
    for layout in ("record", "segment"):
        for library in ("rocksdict", "lmdb"):
            process = context.Process(target=measure, args=(library, layout, given.records, given.directory))
            process.start()
            process.join()


if __name__ == "__main__":
    main()
