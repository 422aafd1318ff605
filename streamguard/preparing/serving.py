"""The process of a team's own function: what it runs, and how it answers."""

import os
import pickle
import signal
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from io import BytesIO
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from streamguard.core.features.fates import CHANGED, FAILED, SAME
from streamguard.errors import ConfigError

FATES, RESULT = "fates", "result"
"""What it can be asked for: a byte for each value, and then why the last failed; or what it makes of one."""

_SHOWN_CHARS = 200


class _Plain(pickle.Unpickler):
    """Reads text, numbers, lists and mappings, and no class of a team's."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is no plain value")


def read(data: bytes) -> Any:
    """A plain value; raises an error for any other."""
    return _Plain(BytesIO(data)).load()


def _imported(path: str) -> Callable[[Any], Any]:
    """Raises `ConfigError`."""
    module, _, name = path.partition(":")
    way_out = "install it where streamguard runs, or name its directory in PYTHONPATH"
    try:
        found: Any = import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(f"function {path!r} cannot be imported: {error}; {way_out}") from None
    except BaseException as error:  # noqa: BLE001 - the team's own code
        raise ConfigError(f"function {path!r} cannot be imported: {_words(error)}; mend {module}") from None
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"function {path!r}: there is no {part!r} in {module}; name one that it has")
        found = getattr(found, part)
    if not callable(found):
        raise ConfigError(f"function {path!r} cannot be called: it is {type(found).__name__}; name a function")
    return found  # type: ignore[no-any-return]


def serve(connection: Connection, path: str, time_limit_s: float) -> Iterator[object]:
    """Answers, in the process of the function."""
    # What it prints is nobody's: the standard output may be a program's that reads it.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    function = _imported(path)
    yield None
    while True:
        task, packed = pickle.loads(_received(connection))  # noqa: S301 - from the process that started this one
        if task == RESULT:
            yield _made(function, packed[0], time_limit_s)
        else:
            yield _judged(connection, function, packed, time_limit_s)


def _received(connection: Connection) -> bytes:
    parts = []
    is_last = False
    while not is_last:
        is_last, part = connection.recv()
        parts.append(part)
        os.write(connection.fileno(), b"\0")
    return b"".join(parts)


def _judged(
    connection: Connection, function: Callable[[Any], Any], packed: Sequence[bytes], time_limit_s: float
) -> str | None:
    """Tell the fate of each value; return why the last failed, if any did."""
    words = None
    for data in packed:
        try:
            with _Limited(time_limit_s):
                fate = _fate(function, pickle.loads(data))  # noqa: S301 - as above
        except BaseException as error:  # noqa: BLE001 - of the team's code anything may come, such as SystemExit
            fate, words = FAILED, _words(error)
        os.write(connection.fileno(), bytes((fate,)))
    return words


def _made(function: Callable[[Any], Any], data: bytes, time_limit_s: float) -> tuple[bool, bytes | str]:
    try:
        with _Limited(time_limit_s):
            return True, _plain(function(pickle.loads(data)))  # noqa: S301 - as above
    except BaseException as error:  # noqa: BLE001 - as above
        return False, _words(error)


def _fate(function: Callable[[Any], Any], value: Any) -> int:
    # Compared with what nobody else holds: a function may change a list that it is given.
    before = pickle.dumps(value)
    result = function(value)
    given = pickle.loads(before) if isinstance(value, list | dict) else value  # noqa: S301 - of two lines above
    if type(result) is type(given) and result == given:
        return SAME
    result = read(_plain(result))
    kinds = {type(result), type(given)}
    return SAME if result == given and (len(kinds) == 1 or kinds == {int, float}) else CHANGED


def _plain(result: Any) -> bytes:
    """As bytes; raises an error for what is neither plain nor a number of numpy's."""
    data = pickle.dumps(result.item() if isinstance(result, np.generic) else result)
    read(data)
    return data


class _Limited:
    """Ends this process when it computes for ever, and the one that should end it is gone itself.

    The thread that waits for that one's end needs Python's lock. The limit is in time of processors, several of which
    may be at work, and far above the one that is kept.
    """

    __slots__ = ("_limit_s",)

    def __init__(self, time_limit_s: float) -> None:
        self._limit_s = time_limit_s * (1 + (os.cpu_count() or 1)) + 1

    def __enter__(self) -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, self._limit_s)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _words(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:_SHOWN_CHARS]
    except Exception:  # noqa: BLE001 - an error of the team's may not even be able to say what it is
        return type(error).__name__
