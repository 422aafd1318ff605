"""`streamguard handle`: the handlers of a configuration, until stopped, or one alert to see that they work."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from types import FrameType

from streamguard.config import Config
from streamguard.config.handlers import Handler
from streamguard.errors import ConfigError
from streamguard.handlers.alert import read_alert
from streamguard.handlers.sink import DeliveryError, Sink
from streamguard.handlers.sinks.opening import open_sink
from streamguard.handlers.subscriber import Handlers
from streamguard.worker.signals import ended_by
from streamguard.worker.telemetry import configure_logging

_SAMPLE = "mismatch_drift-raised.json"

Echo = Callable[[str], None]


def run_handlers(config: Config, only: tuple[str, ...]) -> None:
    """Deliver alerts until stopped: by the handlers named, or by all."""
    configure_logging(config.logging.level)
    handlers = Handlers(config, [(each, _sink(config, each)) for each in _chosen(config, only)], None)
    with _stopped_by_signals(handlers):
        handlers.run()


def run_test(config: Config, only: tuple[str, ...], echo: Echo) -> int:
    """Deliver a sample by each handler, whatever it matches and without a log; returns how many have failed."""
    configure_logging("error")
    value = (files("streamguard") / "contract" / "examples" / _SAMPLE).read_bytes()
    failed = 0
    for each in _chosen(config, only):
        sink = _sink(config, each)
        if each.type == "retrain" and each.name not in only:
            echo(f"{each.name} ({each.type}): not tried, since it would start a retraining: name it by --handler")
            continue
        try:
            sink.deliver([read_alert(value)])
        except DeliveryError as error:
            failed += 1
            echo(f"{each.name} ({each.type}): FAILED: {error}")
        else:
            echo(f"{each.name} ({each.type}): delivered")
        finally:
            sink.close()
    return failed


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
