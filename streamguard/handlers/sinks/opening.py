"""From the configuration of a handler to the sink that it delivers to."""

from collections.abc import Sequence
from typing import assert_never

from streamguard.config.handlers import (
    AlertmanagerHandler,
    CommandHandler,
    EmailHandler,
    FileHandler,
    Handler,
    PagerDutyHandler,
    RetrainHandler,
    SlackHandler,
    WebhookHandler,
)
from streamguard.errors import ConfigError
from streamguard.handlers.sink import Sink
from streamguard.handlers.sinks import secret_of
from streamguard.handlers.sinks.alertmanager import AlertmanagerSink
from streamguard.handlers.sinks.command import CommandSink
from streamguard.handlers.sinks.file import FileSink
from streamguard.handlers.sinks.http import host_of
from streamguard.handlers.sinks.mail import EmailSink
from streamguard.handlers.sinks.pagerduty import PagerDutySink
from streamguard.handlers.sinks.retrain import RetrainSink
from streamguard.handlers.sinks.slack import SlackSink
from streamguard.handlers.sinks.webhook import WebhookSink


def open_sink(handler: Handler, source: str, allowed_hosts: Sequence[str] | None = None) -> Sink:
    """The sink of a handler; nothing is connected or written before something is delivered.

    `source` is what alerts are said to come from, `streamguard/<group>`. `allowed_hosts` are the hosts that handlers
    may call, names or addresses without a port; None: all. Raises `ConfigError` for a host that is not among them, and
    for what each sink finds wrong.
    """
    if allowed_hosts is not None:
        _check_host(handler, allowed_hosts)
    sink: Sink
    match handler:
        case WebhookHandler():
            sink = WebhookSink(handler, source)
        case RetrainHandler():
            sink = RetrainSink(handler, source)
        case SlackHandler():
            sink = SlackSink(handler)
        case PagerDutyHandler():
            sink = PagerDutySink(handler, source)
        case AlertmanagerHandler():
            sink = AlertmanagerSink(handler)
        case EmailHandler():
            sink = EmailSink(handler)
        case CommandHandler():
            sink = CommandSink(handler)
        case FileHandler():
            sink = FileSink(handler)
        case _:
            assert_never(handler)
    return sink


def _check_host(handler: Handler, allowed: Sequence[str]) -> None:
    match handler:
        case CommandHandler() | FileHandler():
            return
        case RetrainHandler() if handler.command:
            return
        case EmailHandler():
            host = _same(handler.name, handler.host)
        case PagerDutyHandler():
            host = host_of(handler.name, handler.url)
        case _:
            host = host_of(handler.name, secret_of(handler.url, handler.name, "url"))
    if host not in {_same(handler.name, each) for each in allowed}:
        raise ConfigError(f"handler {handler.name!r} may not call {host!r}: it is not in handler_hosts")


def _same(handler: str, host: str) -> str:
    """The host as one in a URL is compared; an international name may be written either way."""
    return host_of(handler, f"http://[{host}]" if ":" in host else f"http://{host}")
