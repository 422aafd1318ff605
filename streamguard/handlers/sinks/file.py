"""A file of JSON lines."""

import errno
import fcntl
import os
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from streamguard.config.handlers import FileHandler
from streamguard.errors import ConfigError
from streamguard.handlers.alert import Alert
from streamguard.handlers.sink import TemporaryError
from streamguard.handlers.sinks import Deadline, json_line

# A lock tells nobody when it is free.
_LOOK_S = 0.01
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK


class FileSink:
    """Appends a JSON line for each alert; what is delivered is on the disk.

    Alerts delivered together are written at once, or not at all. Several processes may append to one file: each locks
    it (flock) while it writes. A line that another left unfinished is ended first. A file that was moved away or
    deleted is begun anew at the path. Whatever the system refuses, a full disk for example, is to be tried again.

    The time limit is for the wait for locks; a disk that hangs is waited for. Raises `ConfigError` for a directory that
    does not exist, and for what is no regular file.
    """

    def __init__(self, section: FileHandler) -> None:
        self._path = Path(section.path)
        self._timeout_s = section.timeout_ms / 1000
        self._lock = threading.Lock()
        self._file: int | None = None
        if not self._path.parent.is_dir():
            raise ConfigError(f"handler {section.name!r}: there is no directory {str(self._path.parent)!r}")
        if self._path.exists() and not self._path.is_file():
            raise ConfigError(f"handler {section.name!r}: {section.path!r} is no regular file")

    def deliver(self, alerts: Sequence[Alert]) -> None:
        lines = b"".join(json_line(each) + b"\n" for each in alerts)
        deadline = Deadline(self._timeout_s)
        if not self._lock.acquire(timeout=deadline.left_s):
            raise self._busy()
        try:
            with self._opened(deadline) as file:
                _append(file, lines)
        except OSError as error:
            raise TemporaryError(f"{self._path} cannot be written: {error.strerror or error}") from None
        finally:
            self._lock.release()

    def close(self) -> None:
        """Close the file; it is opened again if something more is delivered."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @contextmanager
    def _opened(self, deadline: Deadline) -> Iterator[int]:
        """The file that is at the path now, locked."""
        while True:
            if self._file is None:
                self._file = self._open()
            file = self._file
            self._wait(file, deadline)
            if _is_at(file, self._path):
                break
            self.close()
        try:
            yield file
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)

    def _open(self) -> int:
        is_new = not self._path.exists()
        file = os.open(self._path, _FLAGS, 0o644)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise OSError(errno.EINVAL, "is no regular file")
        if is_new:
            # Or its name might be lost though its lines are not.
            directory = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        return file

    def _wait(self, file: int, deadline: Deadline) -> None:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not deadline.left_s:
                    raise self._busy() from None
                time.sleep(_LOOK_S)
            else:
                return

    def _busy(self) -> TemporaryError:
        return TemporaryError(f"{self._path} was locked by another for {self._timeout_s:g} s")


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _append(file: int, lines: bytes) -> None:
    """All of it or nothing; raises `OSError`."""
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        lines = b"\n" + lines
    try:
        # One write, unless the system takes less, as when the disk is full: then the next says why.
        while lines:
            lines = lines[os.write(file, lines) :]
        os.fsync(file)
    except OSError:
        os.ftruncate(file, size)
        raise
