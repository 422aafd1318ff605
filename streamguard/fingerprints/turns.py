"""Which of several processes publishes: workers of one server are one instance, and one record of it is enough."""

import contextlib
import os
import tempfile
from hashlib import blake2b
from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:  # not on Windows
    fcntl = None  # type: ignore[assignment]


class Turn:
    """Held by one process of a user on this machine at a time, for the same `name`; it ends with the process.

    Where no file can be locked, everybody has the turn.
    """

    def __init__(self, name: str) -> None:
        digest = blake2b(name.encode("utf-8", "backslashreplace"), digest_size=12).hexdigest()
        user = os.getuid() if hasattr(os, "getuid") else 0
        self._path = Path(tempfile.gettempdir(), f"streamguard-fingerprint-{user}-{digest}.lock")
        self._file: int | None = None

    def take(self) -> bool:
        """Whether it is ours, now or already."""
        if self._file is not None or fcntl is None:
            return True
        try:
            # Not through a link that somebody else has put there.
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o600)
        except OSError:
            return True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        except OSError:
            os.close(file)
            return True
        self._file = file
        return True

    def leave(self) -> None:
        """Let another have it. In a forked child: the parent's stays the parent's."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None
