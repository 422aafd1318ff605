"""A process of one's own that says things and answers questions, over a pipe."""

import multiprocessing
import pickle
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from streamguard.errors import StreamguardError

_ENDING_S = 10.0

Serve = Callable[..., Iterator[Any]]
"""Is given the child's end of the pipe and its arguments; what it yields is sent."""


class Child:
    """Runs `serve(connection, *args)`, a function at the top of a module, with arguments that can be pickled."""

    def __init__(self, serve: Serve, *args: object) -> None:
        # A fork would copy whatever threads hold at this moment.
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(serve, theirs, args), daemon=True)
        self._process.start()
        theirs.close()

    def tell(self, *words: object) -> None:
        """Send something; waits until there is room for it."""
        try:
            self._ours.send(words)
        except (BrokenPipeError, ConnectionResetError):
            self.hear()  # what it has died of
            raise

    def hear(self) -> Any:
        """What it says next; raises what has ended it."""
        try:
            found = self._ours.recv()
        except (EOFError, ConnectionResetError):
            self._process.join(_ENDING_S)
            code = self._process.exitcode
            raise StreamguardError(
                f"a process of the replay was ended from outside (code {code}), as when memory runs out: give it"
                " more, or fewer processes by --processes"
            ) from None
        if isinstance(found, Exception):
            raise found
        return found

    def ask(self, *words: object) -> Any:
        """Send something, and return what it says to that."""
        self.tell(*words)
        return self.hear()

    def close(self) -> None:
        """End it, whatever it does."""
        self._ours.close()
        self._process.join(0.1)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(_ENDING_S)
        self._process.close()


def _run(serve: Serve, connection: Connection, args: tuple[object, ...]) -> None:
    # Of Ctrl-C all processes of a terminal hear; whether to end is decided by the first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The other side is gone: nobody wants to know any more.
    with suppress(BrokenPipeError, ConnectionResetError, EOFError):
        try:
            for found in serve(connection, *args):
                connection.send(found)
        except (BrokenPipeError, ConnectionResetError, EOFError):
            raise
        except Exception as error:  # noqa: BLE001 - raised where somebody hears of it
            connection.send(_portable(error))


def _portable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own, made in this line
    except Exception:  # noqa: BLE001 - whatever it is, it cannot be sent
        return StreamguardError(f"{type(error).__name__}: {error}")
    return error
