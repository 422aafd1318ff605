"""One delivery, tried again and again: back-off with jitter, the other side's own wish, a deadline, a rate."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
import tenacity

from streamguard.config.delivering import Rate, Retry
from streamguard.handlers.alert import Alert
from streamguard.handlers.sink import DeliveryError, Sink, TemporaryError
from streamguard.handlers.sinks import plain

_REASON_CHARS = 1000

_log = structlog.get_logger("streamguard.handlers")


class StoppedError(Exception):
    """It is to be left for now: what was not delivered stays on the topic."""


@dataclass(frozen=True, slots=True)
class Tried:
    """How a delivery ended."""

    attempts: int
    failure: str | None
    """Why it is a dead letter, in a line of up to 1000 characters; None: it was delivered."""


class Gate:
    """Lets so many through in so long; others wait, in no order."""

    def __init__(self, rate: Rate | None) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._passed_s: deque[float] = deque()

    def enter(self, stopping: threading.Event) -> None:
        """Returns when one more is allowed; raises `StoppedError`."""
        while (wait_s := self._claim()) > 0:
            if stopping.wait(wait_s):
                raise StoppedError

    def _claim(self) -> float:
        """How long to wait before asking again; 0: go."""
        if self._rate is None:
            return 0.0
        now_s, per_s = time.monotonic(), self._rate.per_ms / 1000
        with self._lock:
            while self._passed_s and self._passed_s[0] <= now_s - per_s:
                self._passed_s.popleft()
            if len(self._passed_s) >= self._rate.most:
                return max(0.001, self._passed_s[0] + per_s - now_s)
            self._passed_s.append(now_s)
            return 0.0


def deliver(
    name: str, sink: Sink, alerts: Sequence[Alert], retry: Retry, gate: Gate, stopping: threading.Event
) -> Tried:
    """Try until it is delivered, refused, or too late; raises `StoppedError` where `stopping` is set before that.

    The other side's wish to wait is kept, but for the last try: that begins at the deadline, however long it asks.
    """
    attempts = 0
    # What waits for its first try is not failing yet.
    gate.enter(stopping)

    def attempt() -> None:
        nonlocal attempts
        if attempts:
            gate.enter(stopping)
        if stopping.is_set():
            raise StoppedError
        attempts += 1
        sink.deliver(alerts)

    def note(state: tenacity.RetryCallState) -> None:
        error = None if state.outcome is None else state.outcome.exception()
        reason = "" if error is None else plain(_text(error), _REASON_CHARS)
        wait_s = None if state.next_action is None else round(state.next_action.sleep, 3)
        _log.warning(
            "delivery_failed", handler=name, alert=alerts[0].id, attempt=attempts, reason=reason, wait_s=wait_s
        )

    try:
        tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TemporaryError),
            wait=_waiting(retry),
            stop=tenacity.stop_after_delay(retry.deadline_ms / 1000),
            sleep=_sleeping(stopping),
            before_sleep=note,
            reraise=True,
        )(attempt)
    except StoppedError:
        raise
    except DeliveryError as error:
        return Tried(attempts, plain(_text(error), _REASON_CHARS))
    except BaseException as error:  # noqa: BLE001 - a handler's own mistake is told, and ends nothing else
        return Tried(attempts, plain(named(error), _REASON_CHARS))
    return Tried(attempts, None)


def named(error: BaseException) -> str:
    """An error's type, and what it says; a user's own may be unable to say anything."""
    text = _text(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as failure:  # noqa: BLE001 - whatever it is, the first error is what counts
        return f"(its text cannot be had: {type(failure).__name__})"


def _waiting(retry: Retry) -> Callable[[tenacity.RetryCallState], float]:
    backing_off = tenacity.wait_exponential_jitter(
        multiplier=retry.first_ms / 1000, max=retry.most_ms / 1000, jitter=retry.first_ms / 1000
    )

    def wait(state: tenacity.RetryCallState) -> float:
        error = None if state.outcome is None else state.outcome.exception()
        asked_s = error.after_s if isinstance(error, TemporaryError) else None
        left_s = retry.deadline_ms / 1000 - (state.seconds_since_start or 0.0)
        return max(min(max(backing_off(state), asked_s or 0.0), left_s), 0.0)

    return wait


def _sleeping(stopping: threading.Event) -> Callable[[float], None]:
    def sleep(seconds: float) -> None:
        if stopping.wait(seconds):
            raise StoppedError

    return sleep
