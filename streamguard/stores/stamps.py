"""The stamps of a directory's tasks: small files that are there whole or not at all."""

import os
import zlib
from collections.abc import Collection
from pathlib import Path

import orjson
import structlog

_log = structlog.get_logger("streamguard.stores")


class Stamps:
    """For each task the last stamp, and the numbers of the pieces that it needs."""

    def __init__(self, directory: Path, owner: str) -> None:
        self._directory = directory
        self._owner = owner
        self._kept: dict[int, tuple[bytes, frozenset[int]]] = {}
        for path in directory.glob("task-*.stamp"):
            try:
                self._kept[int(path.stem.partition("-")[2])] = self._read(path.read_bytes())
            except (ValueError, KeyError, TypeError) as error:
                _log.warning("stamp_ignored", path=str(path), reason=str(error))
                path.unlink()

    def of(self, task: int) -> bytes | None:
        """The stamp of a task."""
        kept = self._kept.get(task)
        return None if kept is None else kept[0]

    def numbers(self, task: int) -> frozenset[int]:
        """The pieces that a task's stamp needs."""
        kept = self._kept.get(task)
        return frozenset() if kept is None else kept[1]

    def all_numbers(self) -> set[int]:
        """The pieces that any stamp needs."""
        return {number for _, numbers in self._kept.values() for number in numbers}

    def keep(self, task: int, stamp: bytes, numbers: Collection[int]) -> None:
        """Put this in place of the task's last one."""
        path = self._path(task)
        body = orjson.dumps({"owner": self._owner, "numbers": list(numbers)}) + b"\n" + stamp
        draft = path.with_suffix(".draft")
        with draft.open("wb") as file:
            file.write(b"%08x\n" % zlib.crc32(body) + body)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        folder = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._kept[task] = stamp, frozenset(numbers)

    def drop(self, task: int) -> None:
        """Forget the task's."""
        self._path(task).unlink(missing_ok=True)
        self._kept.pop(task, None)

    def clear(self) -> None:
        """Forget all of them."""
        for task in [*self._kept]:
            self.drop(task)

    def _read(self, data: bytes) -> tuple[bytes, frozenset[int]]:
        checksum, _, body = data.partition(b"\n")
        if int(checksum, 16) != zlib.crc32(body):
            raise ValueError("it is damaged")
        head, _, stamp = body.partition(b"\n")
        known = orjson.loads(head)
        if known["owner"] != self._owner:
            raise ValueError(f"it belongs to {known['owner']}")
        return stamp, frozenset(known["numbers"])

    def _path(self, task: int) -> Path:
        return self._directory / f"task-{task}.stamp"
