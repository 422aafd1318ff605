"""Functions of a user's own that are told of alerts."""

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from streamguard.config.delivering import HandlerBase
from streamguard.config.loading import AS_A_FILE
from streamguard.config.report import sentences
from streamguard.errors import ConfigError
from streamguard.handlers.alert import Alert
from streamguard.handlers.sink import DeliveryError, TemporaryError
from streamguard.handlers.trying import named

Function = Callable[[Alert], Awaitable[object] | object]

# Of calls that did not come back in time so many are left to themselves; then the handler takes no more.
_ABANDONED_MAX = 16


@dataclass(frozen=True)
class AlertHandler:
    """A function with what it is told of; calling it calls the function."""

    function: Function
    settings: HandlerBase

    def __call__(self, alert: Alert) -> Any:
        return self.function(alert)


_registered: list[AlertHandler] = []


def registered() -> list[AlertHandler]:
    """All functions of this process under `on_alert` so far."""
    return list(_registered)


def on_alert(
    *,
    name: str | None = None,
    kind: str | Iterable[str] = (),
    status: str | Iterable[str] = (),
    severity: str | Iterable[str] = (),
    direction: str | Iterable[str] = (),
    monitor: str | Iterable[str] = (),
    model: str | Iterable[str] = (),
    version: str | Iterable[str] = (),
    **settings: Any,
) -> Callable[[Function], AlertHandler]:
    """Have a function, sync or async, called with every alert that matches; each field takes one value or several.

    `name` (default: the function's own) names its consumer group, hence what it has been told already: keep it. Further
    settings are those of a handler in the configuration, such as `retry={"deadline": "10m"}`, `timeout="30s"`,
    `concurrency=1`, `rate={"most": 5}`, `start="earliest"`. A call that raises or takes longer than `timeout` is tried
    again until `retry.deadline`, and then is a dead letter; `PermanentError` makes it one at once. What an async
    function awaits is cancelled after `timeout`; a call that does not come back all the same cannot be ended: its
    thread is left to itself.

    Raises `ConfigError` for settings that there are not.
    """
    match = {
        "kind": kind,
        "status": status,
        "severity": severity,
        "direction": direction,
        "monitor": monitor,
        "model": model,
        "version": version,
    }
    listed = {field: [value] if isinstance(value, str) else list(value) for field, value in match.items()}

    def wrap(function: Function) -> AlertHandler:
        own = name or getattr(function, "__name__", None)
        if own is None:
            raise ConfigError("on_alert: give the handler a name")
        try:
            chosen = HandlerBase.model_validate({"name": own, "match": listed, **settings}, **AS_A_FILE)
        except ValidationError as error:
            problems = dict.fromkeys(words for _, words in sentences(error))
            raise ConfigError("\n".join(f"on_alert, handler {own!r}: {each}" for each in problems)) from None
        handler = AlertHandler(function, chosen)
        _registered.append(handler)
        return handler

    return wrap


class FunctionSink:
    """Calls a function with each alert, and waits for it no longer than it may take."""

    def __init__(self, function: Function, timeout_s: float) -> None:
        self._function = function
        self._timeout_s = timeout_s
        self._abandoned: list[threading.Thread] = []
        self._lock = threading.Lock()

    def deliver(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            self._deliver(alert)

    def close(self) -> None:
        pass

    def _deliver(self, alert: Alert) -> None:
        """In a thread of its own: a call that never comes back must not hold up the others, nor an end."""
        with self._lock:
            self._abandoned = [each for each in self._abandoned if each.is_alive()]
            if len(self._abandoned) >= _ABANDONED_MAX:
                raise TemporaryError(f"{_ABANDONED_MAX} calls have not come back: it is called no more until one does")
        failures: list[BaseException] = []

        def call() -> None:
            try:
                self._call(alert)
            except BaseException as error:  # noqa: BLE001 - told to who waits; sys.exit would end this thread alone
                failures.append(error)

        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        thread.join(self._timeout_s)
        if thread.is_alive():
            with self._lock:
                self._abandoned.append(thread)
            raise self._late()
        if failures:
            (failure,) = failures
            raise failure if isinstance(failure, DeliveryError) else TemporaryError(f"raised {named(failure)}")

    def _call(self, alert: Alert) -> None:
        """Outside of any event loop, since a sync function may run one of its own."""
        until_s = time.monotonic() + self._timeout_s
        found = self._function(alert)
        if inspect.isawaitable(found):
            asyncio.run(self._await(found, until_s - time.monotonic()))

    async def _await(self, found: Awaitable[object], left_s: float) -> None:
        try:
            async with asyncio.timeout(left_s) as limit:
                await found
        except TimeoutError:
            if limit.expired():
                raise self._late() from None
            raise

    def _late(self) -> TemporaryError:
        return TemporaryError(f"did not come back within {self._timeout_s:g} s")
