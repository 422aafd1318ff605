"""All handlers of a process: each with a session and threads of its own, so that none waits for another."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from streamguard.config import Config, load, parse
from streamguard.config.delivering import HandlerBase
from streamguard.config.handlers import RetrainHandler
from streamguard.errors import ConfigError, LogError, StreamguardError
from streamguard.handlers.functions import AlertHandler, FunctionSink, registered
from streamguard.handlers.journal import Journal
from streamguard.handlers.sink import Sink
from streamguard.handlers.sinks.retrain import RetrainSink
from streamguard.handlers.subscription import Subscription
from streamguard.logs.interface import TopicInfo
from streamguard.logs.opening import open_log
from streamguard.worker.running import worker_name

_log = structlog.get_logger("streamguard.handlers")

_LOOK_S = 0.5


class Subscriber:
    """Runs functions under `on_alert` as consumer groups on the alerts topic, until `stop`.

    `config`: a file's path, the same as a mapping, or a `Config`; only `log`, `alerts`, `silences` and `dead_letters`
    matter. `functions`: those to run; by default all that were decorated so far.
    """

    def __init__(
        self,
        config: Config | str | Path | Mapping[str, Any],
        functions: Sequence[AlertHandler] | None = None,
        *,
        worker: str | None = None,
    ) -> None:
        if isinstance(config, Mapping):
            config = parse(config)
        self._config = config if isinstance(config, Config) else load(config)
        chosen = registered() if functions is None else list(functions)
        pairs = [(each.settings, FunctionSink(each.function, each.settings.timeout_ms / 1000)) for each in chosen]
        self._handlers = Handlers(self._config, pairs, worker)

    def run(self) -> None:
        """Deliver alerts until `stop` is called, from another thread or a signal's handler.

        Raises `LogError` where the log cannot be reached or used.
        """
        self._handlers.run()

    def stop(self) -> None:
        """End after the tries that are under way."""
        self._handlers.stop()


class Handlers:
    """Subscriptions side by side."""

    def __init__(self, config: Config, pairs: Sequence[tuple[HandlerBase, Sink]], worker: str | None) -> None:
        if not pairs:
            raise ConfigError("there is no handler: add some to `handlers`, or decorate functions with on_alert")
        names = [settings.name for settings, _ in pairs]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"two handlers are named {name!r}: the name says what it has been told already")
        self._config = config
        self._pairs = pairs
        # Each process needs a name of its own: of two with one the later ends the transactions of the other.
        self._worker = worker or worker_name(config)
        self._stopping = threading.Event()
        self._failures: list[StreamguardError] = []

    def run(self) -> None:
        """Until stopped, or until one cannot go on: then all end, and its error is raised."""
        self._prepare()
        threads = [threading.Thread(target=self._one, args=pair, name=pair[0].name) for pair in self._pairs]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    # In pieces: a signal's handler runs in between.
                    thread.join(_LOOK_S)
        finally:
            self._stopping.set()
        if self._failures:
            raise self._failures[0]

    def stop(self) -> None:
        """End after the tries that are under way."""
        self._stopping.set()

    def _one(self, settings: HandlerBase, sink: Sink) -> None:
        log = open_log(self._config.log)
        journal = None
        if isinstance(settings, RetrainHandler) and isinstance(sink, RetrainSink):
            journal = Journal(self._config, settings, sink)
        worker = f"{self._worker}-{settings.name}"
        try:
            Subscription(self._config, settings, sink, log, worker, self._stopping, journal).run()
        except StreamguardError as error:
            _log.error("handler_failed", handler=settings.name, reason=str(error))
            self._failures.append(error)
            self._stopping.set()
        except Exception as error:  # noqa: BLE001 - raised where somebody hears of it
            # A thread that is gone must not look alive.
            _log.exception("handler_failed", handler=settings.name)
            self._failures.append(StreamguardError(f"handler {settings.name!r}: {type(error).__name__}: {error}"))
            self._stopping.set()
        finally:
            log.close()

    def _prepare(self) -> None:
        """The alerts topic must be there; that of dead letters is made."""
        log = open_log(self._config.log)
        try:
            found = log.topics([self._config.alerts.topic, self._config.dead_letters_topic])
            alerts = found.get(self._config.alerts.topic)
            if alerts is None:
                raise LogError(f"no topic {self._config.alerts.topic!r} yet: a worker creates it when it first runs")
            if self._config.dead_letters_topic not in found:
                # What is wrong stands beside the alert, which may be as large as its own topic allows.
                largest = None if alerts.max_record_bytes is None else 2 * alerts.max_record_bytes
                log.create(TopicInfo(self._config.dead_letters_topic, 1, max_record_bytes=largest))
        finally:
            log.close()
