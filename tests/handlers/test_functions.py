"""What counts as delivered by a function of a user's own, and what becomes of one that fails or does not come back."""

import asyncio
import functools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streamguard.handlers.alert import Alert
from streamguard.handlers.functions import Function, FunctionSink, on_alert
from streamguard.handlers.sink import PermanentError, TemporaryError
from tests.handlers.helpers import RETRY, Place, made, subscribed
from tests.handlers.samples import raised


class MuteError(Exception):
    """It cannot say what is wrong."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def failure(function: Function, timeout_s: float = 5.0) -> str:
    """Why a try fails for now."""
    with pytest.raises(TemporaryError) as caught:
        FunctionSink(function, timeout_s).deliver([raised()])
    return str(caught.value)


def raising(error: BaseException) -> list[Function]:
    """A sync function and an async one."""

    def now(_: Alert) -> None:
        raise error

    async def later(_: Alert) -> None:
        await asyncio.sleep(0)
        raise error

    return [now, later]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SystemExit(1), "raised SystemExit: 1"),
        (KeyboardInterrupt(), "raised KeyboardInterrupt"),
        (asyncio.CancelledError(), "raised CancelledError"),
        (TimeoutError("the bell's own"), "raised TimeoutError: the bell's own"),
        (MuteError(), "raised MuteError: (its text cannot be had: RuntimeError)"),
    ],
)
def test_whatever_is_raised_is_a_failure(error: BaseException, told: str) -> None:
    """Also what would end a program, or a task."""
    assert [failure(each) for each in raising(error)] == [told, told]


def test_a_refusal_stays_one() -> None:
    """As it was raised."""
    error = PermanentError("never")
    for each in raising(error):
        with pytest.raises(PermanentError, match="never"):
            FunctionSink(each, 5.0).deliver([raised()])


def awaiting() -> dict[str, Callable[[list[str]], Function]]:
    """Functions that add to a list once they are awaited; only the first looks async."""

    async def note(told: list[str], alert: Alert) -> None:
        await asyncio.sleep(0)
        told.append(alert.id)

    class Caller:
        def __init__(self, told: list[str]) -> None:
            self._told = told

        async def __call__(self, alert: Alert) -> None:
            await note(self._told, alert)

    class Lazy:
        def __init__(self, told: list[str], alert: Alert) -> None:
            self._told, self._alert = told, alert

        def __await__(self) -> Any:
            return note(self._told, self._alert).__await__()

    return {
        "partial": lambda told: functools.partial(note, told),
        "lambda": lambda told: lambda alert: note(told, alert),
        "object": Caller,
        "awaitable": lambda told: lambda alert: Lazy(told, alert),
        "own loop": lambda told: lambda alert: asyncio.run(note(told, alert)),
    }


@pytest.mark.parametrize("which", list(awaiting()))
def test_what_can_be_awaited_is_awaited(which: str) -> None:
    """Whatever it is that returns it."""
    told: list[str] = []
    FunctionSink(awaiting()[which](told), 5.0).deliver([raised(), raised(id="b")])
    assert told == [raised().id, "b"]


@pytest.fixture
def end() -> Iterator[threading.Event]:
    """Set at the end of a test, so that what hangs does not outlast it."""
    event = threading.Event()
    yield event
    event.set()


def hanging(end: threading.Event) -> dict[str, Function]:
    """Functions that do not come back when they are told to."""

    async def blocks(_: Alert) -> None:
        end.wait(20)

    async def elsewhere(_: Alert) -> None:
        await asyncio.to_thread(end.wait, 20)

    async def deaf(_: Alert) -> None:
        while not end.is_set():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue

    return {"blocks": blocks, "elsewhere": elsewhere, "deaf": deaf, "sync": lambda _: end.wait(20)}


@pytest.mark.parametrize("which", ["blocks", "elsewhere", "deaf", "sync"])
def test_a_try_keeps_to_its_timeout(which: str, end: threading.Event) -> None:
    """Whatever the function does; and of calls that did not come back only so many are left to themselves."""
    sink = FunctionSink(hanging(end)[which], 0.05)
    begun_s = time.monotonic()
    for _ in range(16):
        with pytest.raises(TemporaryError, match=r"did not come back within 0\.05 s"):
            sink.deliver([raised()])
    assert 0.8 <= time.monotonic() - begun_s < 5
    with pytest.raises(TemporaryError, match="16 calls have not come back"):
        sink.deliver([raised()])


def test_an_async_function_is_cancelled_in_time() -> None:
    """And told so, so that it can clean up."""
    told = threading.Event()

    async def cleans(_: Alert) -> None:
        try:
            await asyncio.sleep(20)
        finally:
            told.set()

    assert failure(cleans, 0.1) == "did not come back within 0.1 s"
    assert told.wait(5)


def test_a_function_that_exits_is_tried_again_and_is_a_dead_letter(tmp_path: Path) -> None:
    """It is neither delivered nor called for ever, and a hanging one holds up no end."""
    place = Place(tmp_path)
    never = threading.Event()

    @on_alert(name="exits", start="earliest", retry=RETRY)
    def exits(_: Alert) -> None:
        sys.exit(1)

    @on_alert(name="cancels", start="earliest", retry=RETRY)
    async def cancels(_: Alert) -> None:
        raise asyncio.CancelledError

    @on_alert(name="hangs", start="earliest", retry=RETRY, timeout="50ms")
    async def hangs(_: Alert) -> None:
        never.wait(20)

    place.publish(made(1))
    with subscribed(place, [exits, cancels, hangs]) as wait:
        wait(lambda: len(place.dead()) == 3)
        begun_s = time.monotonic()
    assert time.monotonic() - begun_s < 5
    never.set()
    reasons = sorted(why.partition(" tries: ")[2] for _, why in place.dead())
    assert reasons == ["did not come back within 0.05 s", "raised CancelledError", "raised SystemExit: 1"]
    place.log.close()
