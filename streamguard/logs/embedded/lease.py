"""One worker a group."""

import fcntl
import os
from pathlib import Path
from urllib.parse import quote

from streamguard.errors import LogError


class Lease:
    """The right to be a group's one worker. The kernel takes it back however the process ends."""

    def __init__(self, path: Path, group: str, worker: str) -> None:
        lock_path = path.with_name(f"{path.name}.{quote(group, safe='')}.lock")
        try:
            self._file = lock_path.open("a+", encoding="utf-8")
        except OSError as error:
            raise LogError(f"group {group!r}: cannot lock {lock_path}: {error}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            self._file.close()
            raise LogError(
                f"group {group!r} of log {path} has its worker already ({holder}), and an embedded log "
                "takes one a group: stop that one first, or work under another group"
            ) from error
        self._file.truncate(0)
        self._file.write(f"pid {os.getpid()}, worker {worker}\n")
        self._file.flush()

    def release(self) -> None:
        self._file.close()
