"""Waiting records in RocksDB: pieces of blocks that are written once, read by place, and deleted whole.

A piece's number is the greatest yet, so keys only grow, and RocksDB moves its files down without rewriting
them. Pieces skip its write-ahead log, and are flushed before a stamp names them: after a crash the last stamp
is there with all of its pieces. Whatever no stamp names is deleted. One directory is one worker's.
"""

import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import rocksdict
import structlog

from streamguard.core.cold import LAST, Ints
from streamguard.errors import LogError, UnusableError
from streamguard.stores.stamps import Stamps

_log = structlog.get_logger("streamguard.stores")

_KEY = np.dtype([("number", ">u8"), ("block", ">u4")])
_BATCH_BYTES = 1 << 20
_BUFFER_BYTES = 8 << 20
_CACHE_BYTES = 24 << 20
_PAGE_BYTES = 8192

_Found = TypeVar("_Found")


class RocksStore:
    """The directory of one worker. `owner` says what its tasks belong to: of another's nothing is taken over."""

    def __init__(self, directory: Path, owner: str) -> None:
        self._directory = directory
        self._owner = owner
        self._disks: dict[int, RocksDisk] = {}
        self._is_open = False
        self._pieces: rocksdict.Rdict
        self._open()

    def disk(self, task: int) -> "RocksDisk":
        """The disk of one task, as its last stamp has it; the one given out before is used no more."""
        former = self._disks.get(task)
        if former is not None:
            self._delete(former.numbers - self._stamps.numbers(task))
        found = self._disks[task] = RocksDisk(self, task)
        return found

    def close(self) -> None:
        """Let go of the directory."""
        if self._is_open:
            self._pieces.close()
        self._is_open = False

    # For its disks.

    def put(self, blocks: Iterable[bytes], last: bytes | None) -> int:
        """Write a piece, under a number that grows."""
        number = self._next
        self._next += 1
        # In small batches, since each is a copy: nothing names the piece before all of it is there.
        batch, size = rocksdict.WriteBatch(raw_mode=True), 0
        for place, block in enumerate(blocks):
            batch.put(_key(number, place), block)
            size += len(block)
            if size > _BATCH_BYTES:
                self._written(partial(self._pieces.write, batch, self._unlogged))
                batch, size = rocksdict.WriteBatch(raw_mode=True), 0
        if last is not None:
            batch.put(_key(number, LAST), last)
        self._written(partial(self._pieces.write, batch, self._unlogged))
        return number

    def get(self, numbers: Ints, blocks: Ints) -> list[bytes]:
        """Blocks of pieces."""
        keys: list[str | int | float | bytes | bool] = [*_keys(numbers, blocks)]
        try:
            found: list[bytes | None] = self._pieces.get(keys) or []
        except Exception as error:  # noqa: BLE001 - RocksDB's errors have no class of their own
            raise self._lost(str(error)) from None
        known = [each for each in found if each is not None]
        if len(known) < len(found):
            raise self._lost("blocks are missing")
        return known

    def stamp(self, task: int) -> bytes | None:
        """The last one kept."""
        return self._stamps.of(task)

    def keep(self, task: int, stamp: bytes, numbers: Collection[int]) -> None:
        """Make the pieces and then the stamp last; delete the pieces that only former stamps named."""
        self._written(self._pieces.flush)
        before = self._disks[task].numbers | self._stamps.numbers(task)
        self._written(partial(self._stamps.keep, task, stamp, numbers))
        self._delete(before.difference(numbers))

    def drop(self, task: int) -> None:
        """Forget a task's stamp; its pieces go with its disk."""
        self._stamps.drop(task)

    # How it works.

    def _open(self) -> None:
        self._is_open = False
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UnusableError(
                f"join.store.directory {str(self._directory)!r} cannot be made ({error}): name one that can"
            ) from None
        try:
            self._pieces = self._opened()
        except Exception as error:  # noqa: BLE001 - as above
            if "lock" in str(error).lower():
                raise UnusableError(
                    f"join.store.directory {str(self._directory)!r} is in use by another worker: give each its own"
                ) from None
            _said_anew(self._directory, str(error))
            shutil.rmtree(self._directory / "pieces")
            self._pieces = self._opened()
        self._is_open = True
        # After the lock: the stamps of another worker are left alone.
        self._stamps = Stamps(self._directory, self._owner)
        self._unlogged = rocksdict.WriteOptions()
        self._unlogged.disable_wal = True  # type: ignore[method-assign,assignment]  # as it is, not as it is typed
        there, kept = set(self._numbers()), self._stamps.all_numbers()
        if not kept <= there:
            _said_anew(self._directory, "pieces are missing")
            self._stamps.clear()
            kept = set()
        self._next = max(there | kept, default=0) + 1
        self._delete(there - kept)

    def _opened(self) -> rocksdict.Rdict:
        return rocksdict.Rdict(str(self._directory / "pieces"), options())

    def _numbers(self) -> Iterator[int]:
        """Those of all pieces."""
        cursor = self._pieces.iter()
        cursor.seek_to_first()
        while cursor.valid():
            number = int.from_bytes(cursor.key()[:8], "big")
            yield number
            cursor.seek(_key(number + 1, 0))

    def _delete(self, numbers: Collection[int]) -> None:
        if numbers:
            self._written(self._pieces.flush)
        for number in numbers:
            batch = rocksdict.WriteBatch(raw_mode=True)
            batch.delete_range(_key(number, 0), _key(number + 1, 0))
            self._written(partial(self._pieces.write, batch, self._unlogged))
            # In a file of its own: together with other keys it would have all between them rewritten.
            self._written(self._pieces.flush)

    def _written(self, write: Callable[[], _Found]) -> _Found:
        try:
            return write()
        except Exception as error:
            raise UnusableError(
                f"join.store.directory {str(self._directory)!r} cannot be written: {error}: mend the disk, or name"
                " another directory"
            ) from error

    def _lost(self, reason: str) -> LogError:
        """The next tasks begin without it."""
        _said_anew(self._directory, reason)
        self._stamps.clear()
        self._pieces.close()
        shutil.rmtree(self._directory / "pieces")
        self._disks.clear()
        self._open()
        return LogError(f"join.store.directory {str(self._directory)!r} cannot be read: {reason}")


class RocksDisk:
    """One task's pieces and stamp; see `streamguard.core.cold.Disk`."""

    def __init__(self, store: RocksStore, task: int) -> None:
        self._store = store
        self._task = task
        self.numbers: set[int] = set()
        """Of all pieces that it has written."""

    def put(self, blocks: Iterable[bytes], *, last: bytes | None = None) -> int:
        """Write a piece; returns its number."""
        number = self._store.put(blocks, last)
        self.numbers.add(number)
        return number

    def get(self, numbers: Ints, blocks: Ints) -> list[bytes]:
        """Some blocks of some pieces."""
        return self._store.get(numbers, blocks)

    def stamp(self) -> bytes | None:
        """What was kept last."""
        return self._store.stamp(self._task)

    def keep(self, stamp: bytes, numbers: Collection[int]) -> None:
        """From here on the task is these pieces and the stamp."""
        self._store.keep(self._task, stamp, numbers)
        self.numbers = set(numbers)

    def clear(self) -> None:
        """Keep nothing."""
        self._store.drop(self._task)


def _said_anew(directory: Path, reason: str) -> None:
    """What was here is lost; all of it is on the inputs."""
    _log.warning("store_begun_anew", directory=str(directory), reason=reason)


def options() -> rocksdict.Options:
    """Little memory, and no compression: IDs and hashes have nothing to compress."""
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(_BUFFER_BYTES)
    options.set_compression_type(rocksdict.DBCompressionType.none())
    options.set_max_background_jobs(2)
    options.set_keep_log_file_num(2)
    table = rocksdict.BlockBasedOptions()
    table.set_block_size(_PAGE_BYTES)
    table.set_block_cache(rocksdict.Cache(_CACHE_BYTES))
    table.set_cache_index_and_filter_blocks(True)
    options.set_block_based_table_factory(table)
    return options


def _keys(numbers: Ints, blocks: Ints) -> Iterator[bytes]:
    keys = np.empty(len(numbers), _KEY)
    keys["number"], keys["block"] = numbers, blocks
    data = keys.tobytes()
    return (data[at : at + _KEY.itemsize] for at in range(0, len(data), _KEY.itemsize))


def _key(number: int, block: int) -> bytes:
    return number.to_bytes(8, "big") + block.to_bytes(4, "big")
