"""What a process does when it is told to end."""

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
