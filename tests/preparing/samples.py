"""Functions of a team's own, good and bad ones."""

import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

CALLS: list[Any] = []


def lower(value: str) -> str:
    """Prepares as it should."""
    return value.lower()


def loud(value: str) -> str:
    """Prints all it can, in every way."""
    sys.stdout.write("printed" * 1000)
    sys.stderr.write("complained")
    sys.stdout.flush()
    os.write(1, b"written")
    return value


def raising(value: str) -> str:
    """Does not like some values."""
    if "bad" in value:
        raise ValueError(f"cannot read {value}")
    return value


def leaving(value: str) -> str:
    """Ends its process, politely or not."""
    if value == "exit":
        sys.exit(3)
    if value == "abort":
        os._exit(3)
    return value


def hanging(value: str) -> str:
    """Hangs in a regular expression, which keeps Python's lock."""
    re.fullmatch(r"(a|aa)+", value)
    return value


def unplain(value: str) -> Any:
    """Gives back what nobody can compare or send."""
    if value == "lambda":
        return lambda: value
    if value == "array":
        return np.zeros(2)
    if value == "path":
        return Path(value)
    if value == "hostile":
        return Hostile()
    return value


class Hostile:
    """Refuses to be compared."""

    def __eq__(self, other: object) -> bool:
        raise SystemExit

    __hash__ = None  # type: ignore[assignment]


def sorting(value: list[int]) -> list[int]:
    """Changes the list that it is given."""
    value.sort()
    return value


def counting(value: Any) -> Any:
    """How often it was called in this process."""
    CALLS.append(value)
    return len(CALLS)


def single(value: float) -> Any:
    """Gives back a number of numpy's."""
    return np.float32(value)


def process(_: Any) -> int:
    """Where it runs."""
    return os.getpid()


def plain(value: Any) -> Any:
    """Anything as it is."""
    return value


NO_FUNCTION = 3
