"""Log lines: readable on a terminal, JSON everywhere else, always on stderr unless told otherwise.

An event is named by what happened, `noun_verbed` (`alert_raised`, `record_rejected`); all else is a field:
`log.info("alert_raised", monitor="fraud", source="labels-0@600")`.
"""

import json
import logging
import sys
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

# kafka-python logs every fetch at DEBUG and every rebalance step at INFO; what matters we say ourselves.
_KAFKA_LEVEL = logging.WARNING

_SELDOM_S = 30.0

_FIRST = ("timestamp", "level", "event")


def configure_logging(level: str, *, stream: TextIO | None = None, terminal: bool | None = None) -> None:
    """Set up logging for the process; may be called again, and then replaces what was.

    `level` is debug, info, warning or error. `terminal` chooses the form, by default what `stream` is.
    """
    stream = sys.stderr if stream is None else stream
    terminal = stream.isatty() if terminal is None else terminal
    least = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last = _for_people() if terminal else _for_programs()
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.PrintLoggerFactory(stream),
        # A cached logger would keep the stream of an earlier call.
        cache_logger_on_first_use=False,
    )
    _route_kafka(stream, max(least, _KAFKA_LEVEL), [*shared, _name_event], last)


def _for_people() -> list[Processor]:
    # The default formatter prints the local variables of every frame, and some of those are secrets.
    formatter = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=True, exception_formatter=formatter)]


def _for_programs() -> list[Processor]:
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_to_json)]


def _to_json(fields: EventDict, **_: Any) -> str:
    ordered = {**{name: fields[name] for name in _FIRST if name in fields}, **fields}
    try:
        return orjson.dumps(ordered, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:
        # An integer beyond 64 bits, or half a surrogate pair: a log line must not fail for a field.
        return json.dumps(ordered, default=str, skipkeys=True)


def _name_event(_: WrappedLogger, __: str, fields: EventDict) -> EventDict:
    """Make a library's sentence a field, since it cannot be searched for as an event."""
    record: logging.LogRecord = fields["_record"]
    return {**fields, "event": "kafka_client_logged", "message": fields["event"], "logger": record.name}


def _route_kafka(stream: TextIO, level: int, shared: list[Processor], last: list[Processor]) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    kafka = logging.getLogger("kafka")
    for former in list(kafka.handlers):
        kafka.removeHandler(former)
    # A commit of the worker before us is still being written out: the client waits for it, and all is well.
    handler.addFilter(lambda record: "UnstableOffsetCommitError" not in record.getMessage())
    handler.addFilter(_Seldom())
    kafka.addHandler(handler)
    kafka.setLevel(level)
    kafka.propagate = False


class _Seldom(logging.Filter):
    """Lets each line of the client through once in half a minute: in an outage it says the same many times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._told_s: dict[object, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        place: object = (record.pathname, record.lineno)
        if record.name == "kafka.librdkafka" and isinstance(record.args, tuple):
            # It says everything at the place where it is called, and the kind of it first.
            place = record.args[:1]
        if record.created - self._told_s.get(place, -_SELDOM_S) < _SELDOM_S:
            return False
        self._told_s[place] = record.created
        return True
