"""`streamguard handle`: the handlers of a configuration, until stopped, or one alert to see that they work."""

import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from importlib.resources import files
from types import FrameType
from uuid import uuid4

import orjson

from streamguard.config import Config
from streamguard.config.handlers import Handler
from streamguard.errors import ConfigError
from streamguard.handlers.alert import Alert, read_alert
from streamguard.handlers.sink import DeliveryError, Sink
from streamguard.handlers.sinks.opening import open_sink
from streamguard.handlers.subscriber import Handlers
from streamguard.worker.signals import ended_by
from streamguard.worker.telemetry import configure_logging

_OPENING = {"pagerduty", "alertmanager"}
_SAMPLE = "mismatch_drift-raised.json"

Echo = Callable[[str], None]


def run_handlers(config: Config, only: tuple[str, ...]) -> None:
    """Deliver alerts until stopped: by the handlers named, or by all."""
    configure_logging(config.logging.level)
    handlers = Handlers(config, [(each, _sink(config, each)) for each in _chosen(config, only)], None)
    with _stopped_by_signals(handlers):
        handlers.run()


def run_test(config: Config, only: tuple[str, ...], echo: Echo) -> int:
    """Deliver a test by each handler, whatever it matches and without a log; returns how many have failed.

    Where an alert opens something, it is resolved at once.
    """
    configure_logging("error")
    raised, resolved = _test_alerts()
    failed = 0
    for each in _chosen(config, only):
        if each.type == "retrain" and each.name not in only:
            echo(f"{each.name} ({each.type}): not tried, since it would start a retraining: name it by --handler")
            continue
        try:
            with closing(_sink(config, each)) as sink:
                for alert in (raised, resolved) if each.type in _OPENING else (raised,):
                    sink.deliver([alert])
        except (DeliveryError, ConfigError) as error:
            failed += 1
            echo(f"{each.name} ({each.type}): FAILED: {error}")
        else:
            echo(f"{each.name} ({each.type}): delivered")
    return failed


def _test_alerts() -> tuple[Alert, Alert]:
    """One that nobody takes for real, and its end; each time others, so that no receiver takes them for known."""
    sample = orjson.loads((files("streamguard") / "contract" / "examples" / _SAMPLE).read_bytes())
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    episode = uuid4().hex
    words = "this is a test of a handler: nothing is wrong"
    test = sample | {"id": episode, "episode": episode, "monitor": "test", "event_time": now, "onset": now}
    raised = test | {"look_first": [words], "guarantee": f"none: {words}"}
    resolved = test | {"id": uuid4().hex, "status": "resolved", "resolution": "recovered", "duration_s": 0.0}
    return read_alert(orjson.dumps(raised)), read_alert(orjson.dumps(resolved | {"look_first": []}))


def _chosen(config: Config, only: tuple[str, ...]) -> list[Handler]:
    names = [each.name for each in config.handlers]
    if not names:
        raise ConfigError("there are no handlers in the configuration: see docs/handlers.md")
    if unknown := [name for name in only if name not in names]:
        raise ConfigError(f"--handler: there is no {unknown[0]!r}; there is {', '.join(map(repr, names))}")
    return [each for each in config.handlers if not only or each.name in only]


def _sink(config: Config, handler: Handler) -> Sink:
    return open_sink(handler, f"streamguard/{config.log.group}", config.handler_hosts)


@contextmanager
def _stopped_by_signals(handlers: Handlers) -> Iterator[None]:
    """SIGTERM or SIGINT ends them after the tries that are under way; a second one ends all at once."""

    def stop(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        handlers.stop()

    with ended_by(stop):
        yield
