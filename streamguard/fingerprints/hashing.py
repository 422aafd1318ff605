"""SHA-256 of model files, read once and slowly: the CPU belongs to the model."""

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_CHUNK_BYTES = 1 << 20
# Of a core. What is left of 1% is for the rest.
_SHARE = 0.005
_SLICE_S = 0.002


class Hashes:
    """Of the files by their names. A hash is taken again when size or time of change is another."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = dict(files)
        self._found: dict[str, tuple[tuple[int, int], str]] = {}
        self.count = 0
        """How many hashes were taken so far."""

    def known(self) -> dict[str, dict[str, Any] | None]:
        """By name: size in bytes, time of change in epoch ms, and the hash, None as long as it is not known.

        None instead where there is no such file.
        """
        found: dict[str, dict[str, Any] | None] = {}
        for name, path in self._files.items():
            try:
                stamp = _stamp(os.stat(path))  # noqa: PTH116 - of a path or a symbolic link
            except (OSError, ValueError):  # the latter of names that no file can have
                found[name] = None
                continue
            kept = self._found.get(name)
            digest = kept[1] if kept is not None and kept[0] == stamp else None
            found[name] = {"size": stamp[0], "modified": stamp[1] // 1_000_000, "sha256": digest}
        return found

    def steps(self) -> Iterator[float]:
        """Hash what is not known, a little at each step; yields after how many seconds the next may be."""
        for name, path in self._files.items():
            try:
                yield from self._hash(name, path)
            except (OSError, ValueError):
                continue  # `known` says that it cannot be had

    def _hash(self, name: str, path: Path) -> Iterator[float]:
        with path.open("rb", buffering=0) as file:
            stamp = _stamp(os.fstat(file.fileno()))
            kept = self._found.get(name)
            if kept is not None and kept[0] == stamp:
                return
            digest = hashlib.sha256()
            begun = time.thread_time()
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                spent = time.thread_time() - begun
                # Many short waits would cost more than they save.
                if spent > _SLICE_S:
                    yield spent / _SHARE
                    begun = time.thread_time()
            # What was written meanwhile is hashed the next time.
            if _stamp(os.fstat(file.fileno())) == stamp:
                self._found[name] = stamp, digest.hexdigest()
                self.count += 1


def _stamp(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns
