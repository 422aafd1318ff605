"""What a process does when it is told to end."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def ended_by(stop: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Meanwhile SIGTERM and SIGINT call `stop`; then what they did before holds again."""
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """The first SIGTERM or SIGINT calls `stop`, which ends the work after its commit; the second ends all at once."""
    count = 0

    def ended(number: int, _frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count > 1:
            # Whatever is open is aborted by the next worker of this name; nothing needs to be tidied up.
            os._exit(128 + number)
        stop()

    with ended_by(ended):
        yield
