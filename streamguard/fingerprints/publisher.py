"""When fingerprints are published: at start and every few minutes, by a daemon thread that lets nothing escape.

What a fork leaves of it in the child is a thread that does not run: it is begun anew there, and stands by as long as
the parent publishes. Connections are made for each record and closed after it, so that a fork seldom meets one.
"""

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

import structlog

from streamguard.fingerprints.hashing import Hashes
from streamguard.fingerprints.turns import Turn

_log = structlog.get_logger("streamguard.fingerprint")

# Of a core, by what this thread uses itself: clients of Kafka have threads of their own, so half of 1%.
_SHARE = 0.005
_RETRY_S = 10.0
_STAND_BY_S = 60.0


class Publisher:
    """Publishes what `make` returns by `send`, until it is stopped; also usable in a `with` statement.

    `every_s`: seconds between two records. Where CPU is scarce it takes longer, so as not to take more of it.
    """

    def __init__(
        self, make: Callable[[], bytes], send: Callable[[bytes], None], every_s: float, hashes: Hashes, turn: Turn
    ) -> None:
        self._make, self._send, self._every_s = make, send, every_s
        self._hashes, self._turn = hashes, turn
        self._begin()
        _publishers.add(self)

    def stop(self, timeout_s: float = 5.0) -> None:
        """End it; waits so long at most for a record that is on its way."""
        self._stopping.set()
        _publishers.discard(self)
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        self._turn.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def after_fork(self) -> None:
        """Go on in a child process."""
        self._turn.leave()
        self._begin()

    def _begin(self) -> None:
        self._stopping = threading.Event()
        self._retry_s = 0.0
        self._thread = threading.Thread(
            target=self._run, args=(self._stopping,), name="streamguard-fingerprint", daemon=True
        )
        self._thread.start()

    def _run(self, stopping: threading.Event) -> None:
        due, hashed = 0.0, self._hashes.count
        steps: Iterator[float] | None = None
        pause = 0.0
        while not stopping.is_set():
            if not self._turn.take():
                stopping.wait(min(self._every_s, _STAND_BY_S))
                continue
            if time.monotonic() >= due or hashed != self._hashes.count:
                hashed = self._hashes.count
                due = time.monotonic() + self._publish()
                steps = steps or self._hashes.steps()
            if steps is not None:
                try:
                    pause = next(steps)
                except StopIteration:
                    steps = None
                    if hashed != self._hashes.count:
                        continue
            left = max(0.0, due - time.monotonic())
            stopping.wait(left if steps is None else min(left, pause))

    def _publish(self) -> float:
        """Publish a record; returns after how many seconds the next is due."""
        begun = time.thread_time()
        try:
            self._send(self._make())
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not reach what serves
            if not self._retry_s:
                _log.warning("fingerprint_failed", error=f"{type(error).__name__}: {error}", retried=True)
            self._retry_s = min(max(_RETRY_S, 2 * self._retry_s), max(self._every_s, _RETRY_S))
            wait_s = self._retry_s
        else:
            if self._retry_s:
                _log.info("fingerprint_published")
            self._retry_s = 0.0
            wait_s = self._every_s
        return max(wait_s, (time.thread_time() - begun) / _SHARE)


_publishers: "weakref.WeakSet[Publisher]" = weakref.WeakSet()


def _after_fork() -> None:
    for publisher in list(_publishers):
        publisher.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
