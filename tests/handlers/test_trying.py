"""One delivery, tried again: how long it waits, what it keeps of the other side's wishes, and when it gives up."""

import threading
import time
from asyncio import CancelledError
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from streamguard.config.delivering import Rate, Retry
from streamguard.handlers.alert import Alert
from streamguard.handlers.sink import DeliveryError, PermanentError, TemporaryError
from streamguard.handlers.trying import Gate, StoppedError, Tried, deliver
from tests.handlers.samples import raised

YEAR_S = 31_536_000.0


@dataclass
class Failing:
    """A sink that fails by turns, the last way for ever, and notes when it was called."""

    failures: list[BaseException | None]
    times_s: list[float] = field(default_factory=list)

    def deliver(self, alerts: Sequence[Alert]) -> None:
        """Fail, or not."""
        assert alerts
        self.times_s.append(time.monotonic())
        failure = self.failures[min(len(self.times_s), len(self.failures)) - 1]
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Nothing is held."""

    @property
    def waits_s(self) -> list[float]:
        """Between tries."""
        return [later - earlier for earlier, later in zip(self.times_s, self.times_s[1:], strict=False)]


def tried(sink: Failing, stopping: threading.Event | None = None, **retry: Any) -> Tried:
    """How a delivery ends; times in milliseconds."""
    settings = Retry.model_validate({"first": 10, "most": 50, "deadline": 400, **retry})
    return deliver("it", sink, [raised()], settings, Gate(None), stopping or threading.Event())


def test_it_is_tried_until_it_is_taken() -> None:
    """With waits that grow."""
    sink = Failing([TemporaryError("busy"), TemporaryError("busy"), None])
    assert tried(sink) == Tried(3, None)
    assert all(wait_s >= 0.009 for wait_s in sink.waits_s)


@pytest.mark.parametrize("failure", [PermanentError("no such hook"), DeliveryError("no such hook")])
def test_a_refusal_is_not_tried_again(failure: Exception) -> None:
    """It would be refused again."""
    sink = Failing([failure])
    assert tried(sink) == Tried(1, "no such hook")


def test_a_wait_that_is_asked_for_is_kept() -> None:
    """Though it is longer than the longest of ours."""
    sink = Failing([TemporaryError("busy", after_s=0.2), None])
    assert tried(sink) == Tried(2, None)
    assert sink.waits_s[0] >= 0.19


@pytest.mark.parametrize("after_s", [0.5, YEAR_S, float("inf")])
def test_a_wait_beyond_the_deadline_ends_with_it(after_s: float) -> None:
    """A last try is made then: the other side may be there again, and nobody waits for a year."""
    begun_s = time.monotonic()
    sink = Failing([TemporaryError("busy", after_s=after_s), None])
    assert tried(sink) == Tried(2, None)
    assert 0.39 <= time.monotonic() - begun_s < 2
    hopeless = Failing([TemporaryError("busy", after_s=after_s)])
    assert tried(hopeless) == Tried(2, "busy")


def test_the_deadline_ends_it() -> None:
    """Whatever the waits."""
    begun_s = time.monotonic()
    sink = Failing([TemporaryError("busy")])
    assert tried(sink).failure == "busy"
    assert 0.3 < time.monotonic() - begun_s < 2


def test_a_stop_leaves_it() -> None:
    """In the middle of a wait: it stays on the topic."""
    stopping = threading.Event()
    threading.Timer(0.1, stopping.set).start()
    with pytest.raises(StoppedError):
        tried(Failing([TemporaryError("busy", after_s=YEAR_S)]), stopping, deadline=60_000)


@pytest.mark.parametrize("failure", [TemporaryError, PermanentError, ValueError])
def test_a_reason_is_a_line_that_can_be_written(failure: type[Exception]) -> None:
    """Whatever a function raises: it becomes a header of a dead letter, and part of a log line."""
    found = tried(Failing([failure("a\r\nb\0\ud800\u202e" + "x" * 5000)]), deadline=50)
    assert found.failure is not None
    assert "a b x" in found.failure
    assert found.failure.endswith("x…")
    assert len(found.failure.encode()) < 1100


class MuteError(PermanentError):
    """It cannot say what is wrong."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class MuteLaterError(MuteError, TemporaryError):
    """Nor can this, for now."""


@pytest.mark.parametrize(
    ("failure", "attempts", "told"),
    [
        (SystemExit(1), 1, "SystemExit: 1"),
        (CancelledError(), 1, "CancelledError"),
        (MuteError("x"), 1, "(its text cannot be had: RuntimeError)"),
        (MuteLaterError("x", None), None, "(its text cannot be had: RuntimeError)"),
    ],
)
def test_whatever_is_raised_ends_in_something(failure: BaseException, attempts: int | None, told: str) -> None:
    """A delivery without an end would be begun again and again."""
    found = tried(Failing([failure]), deadline=50)
    assert found.failure == told
    assert attempts in {found.attempts, None}


def test_the_wait_for_the_rate_is_no_failing() -> None:
    """The deadline is of tries, however long the first has waited for its turn."""
    gate = Gate(Rate.model_validate({"most": 2, "per": 300}))
    for _ in range(2):
        gate.enter(threading.Event())
    sink = Failing([TemporaryError("busy"), None])
    settings = Retry.model_validate({"first": 10, "most": 20, "deadline": 100})
    assert deliver("it", sink, [raised()], settings, gate, threading.Event()) == Tried(2, None)
    assert sink.waits_s[0] < 0.2
