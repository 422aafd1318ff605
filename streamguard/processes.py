"""A process of one's own that says things and answers questions, over a pipe."""

import atexit
import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from threading import Thread
from typing import Any

from streamguard.errors import StreamguardError

__all__ = ["Child", "ProcessEndedError", "SilentError"]

_ENDING_S = 10.0
_SIGNALS = signal.SIGINT, signal.SIGTERM

Serve = Callable[..., Iterator[Any]]
"""Is given the child's end of the pipe and its arguments; what it yields is sent."""


class ProcessEndedError(StreamguardError):
    """It is dead, and nobody here has ended it."""


class SilentError(StreamguardError):
    """It has not said anything in time; it still runs."""


class Child:
    """Runs `serve(connection, *args)`, a function at the top of a module, with arguments that can be pickled."""

    def __init__(self, serve: Serve, *args: object) -> None:
        # A fork would copy whatever threads hold at this moment.
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        # No daemon, which could not have processes of its own.
        self._process = context.Process(target=_run, args=(theirs,), daemon=False)
        with _blocked():
            self._process.start()
        theirs.close()
        # At its own exit multiprocessing would wait for it for ever.
        atexit.register(self.close)
        # Not with the start: if it died before it has read all of that, nobody would hear of it.
        try:
            self.tell(serve, args)
        except BaseException:
            self.close()
            raise

    def tell(self, *words: object) -> None:
        """Send something; waits until there is room for it. Raises what has ended it."""
        try:
            self._ours.send(words)
        except OSError:
            # It is dead: what it said before is of no use any more.
            while True:
                self.hear()

    def hear(self, within_s: float | None = None) -> Any:
        """What it says next; raises what has ended it, and `SilentError` where it does not begin to speak in time."""
        try:
            if within_s is not None:
                self._wait(within_s)
            found = self._ours.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            # Maybe in the midst of a word.
            raise self._ended() from None
        if isinstance(found, Exception):
            raise found
        return found

    def hear_bytes(self, most: int, within_s: float) -> bytes:
        """At least one byte of those that it has written into its end of the pipe, which are no word; as `hear`."""
        try:
            self._wait(within_s)
            found = os.read(self._ours.fileno(), most)
        except OSError:
            found = b""
        if not found:
            raise self._ended()
        return found

    def ask(self, *words: object) -> Any:
        """Send something, and return what it says to that."""
        self.tell(*words)
        return self.hear()

    def close(self) -> None:
        """End it, whatever it does."""
        atexit.unregister(self.close)
        self._ours.close()
        self._process.join(0.1)
        if self._process.is_alive():
            # To anything less it is deaf.
            self._process.kill()
            self._process.join(_ENDING_S)
        self._process.close()

    def _wait(self, within_s: float) -> None:
        if not self._ours.poll(within_s):
            raise SilentError(f"a process has said nothing for {within_s:g} s")

    def _ended(self) -> ProcessEndedError:
        self._process.join(_ENDING_S)
        return ProcessEndedError(
            f"a process of streamguard was ended from outside (code {self._process.exitcode}), as when memory runs out:"
            " give it more, or fewer processes by --processes"
        )


@contextmanager
def _blocked() -> Iterator[None]:
    """Signals wait meanwhile, here and, until it lets them in, in a process that is started."""
    # It lets them in when it starts, as it does with the first process.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run(connection: Connection) -> None:
    # Of Ctrl-C all processes of a terminal hear, and a supervisor tells all of a service to end: what to do is decided
    # by the first, which closes the pipe.
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    Thread(target=_end_with_parent, daemon=True).start()
    # The other side is gone: nobody wants to know any more.
    with suppress(BrokenPipeError, ConnectionResetError, EOFError):
        serve, args = connection.recv()
        try:
            for found in serve(connection, *args):
                connection.send(found)
        except (BrokenPipeError, ConnectionResetError, EOFError):
            raise
        except Exception as error:  # noqa: BLE001 - raised where somebody hears of it
            connection.send(_portable(error))


def _end_with_parent() -> None:
    """Whatever this process does: nobody wants to know any more."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _portable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own, made in this line
    except Exception:  # noqa: BLE001 - whatever it is, it cannot be sent
        return StreamguardError(f"{type(error).__name__}: {error}")
    return error
