"""Where alerts are delivered to, one module for each kind of place; here are the words and limits that they share.

What an alert says comes from records, so from strangers: for people each text is cut, put into one line, and rid of
characters that are not seen or turn the direction of what follows.
"""

import shlex
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice
from typing import Any
from unicodedata import bidirectional, category

import orjson
from pydantic import SecretStr

from streamguard.core.durations import format_duration_ms
from streamguard.errors import ConfigError
from streamguard.handlers.alert import Alert

_SPACES = {"Cc", "Zl", "Zp", "Zs"}
_UNSEEN = {"Cf", "Cs"}
_RIGHT_TO_LEFT = {"R", "AL", "AN"}
_ISOLATE, _END_OF_ISOLATE = "\u2068", "\u2069"

_SHARES = {"mismatch_drift", "label_starvation"}
"""Kinds whose rate is a share, and is told in percent."""

_KEY_CHARS = 40
_DEPTH = 20

Fact = tuple[str, str]
"""A name, and what is to be said of it in one line; a name may come several times."""


class Deadline:
    """When a try is to be over, so many seconds from now."""

    def __init__(self, seconds: float) -> None:
        self._end_s = time.monotonic() + seconds

    @property
    def left_s(self) -> float:
        """Seconds; 0 when it is over."""
        return max(self._end_s - time.monotonic(), 0.0)


def plain(text: object, chars: int) -> str:
    """One line of at most so many characters, an ellipsis included where something is left out."""
    whole = str(text)
    head = whole[: 2 * chars + 100]
    kept = [(" " if kind in _SPACES else each) for each in head if (kind := category(each)) not in _UNSEEN]
    line = " ".join("".join(kept).split())
    if len(line) <= chars and len(head) == len(whole):
        return line
    return f"{line[: chars - 1].rstrip()}…"


def one_line(text: object, chars: int) -> str:
    """`plain`, and where something in it is written from the right, what stands beside it keeps its place."""
    line = plain(text, chars)
    if not any(bidirectional(each) in _RIGHT_TO_LEFT for each in line):
        return line
    return f"{_ISOLATE}{plain(text, chars - 2)}{_END_OF_ISOLATE}"


def segment_text(alert: Alert, *, fields: int, chars: int) -> str:
    """`country=NO, plan=free`: so many of its fields, each name and value of up to so many characters."""
    shown = [
        f"{one_line(name, chars)}={'(none)' if value is None else one_line(value, chars)}"
        for name, value in islice(alert.segment.items(), fields)
    ]
    return ", ".join(shown + (["…"] if len(alert.segment) > fields else []))


def short_levels(alert: Alert) -> str:
    """`2.26% -> 34.38%`, or as much of that as is known."""
    levels = [alert.data.get(name) for name in ("before", "after")]
    return " -> ".join(_number(alert, each["rate"]) for each in levels if each)


def headline(alert: Alert) -> str:
    """What happened, in a line of at most 500 characters."""
    segment = segment_text(alert, fields=3, chars=40)
    where = f"{one_line(alert.monitor, 80)}{f' ({segment})' if segment else ''}"
    levels = short_levels(alert)
    status = f"{plain(alert.severity, 20).upper()} {plain(alert.status, 20)}"
    return f"{status}: {one_line(alert.kind, 40)}, {where}{f', {levels}' if levels else ''}"


def facts(alert: Alert) -> list[Fact]:
    """All that people are told of an alert, in the order that they need it; at most 500 characters a line."""
    segment = segment_text(alert, fields=4, chars=60)
    check = alert.data.get("check") or {}
    return [
        ("Status", f"{plain(alert.status, 20)}, {plain(alert.severity, 20)}, {plain(alert.direction, 20)}"),
        ("Monitor", one_line(alert.monitor, 200)),
        *([("Segment", segment)] if segment else []),
        *_known("Model", alert.model),
        *_known("Version", alert.version),
        ("Since", "unknown" if alert.onset is None else moment(alert.onset)),
        ("Noticed", moment(alert.event_time)),
        *_levels(alert),
        *_ending(alert),
        *(("Look first", one_line(each, 500)) for each in (alert.data.get("look_first") or [])[:5]),
        *_examples(alert),
        *_known("Check", check.get("type")),
        *_known("Guarantee", alert.data.get("guarantee")),
        ("Explain", explain_command(alert)),
    ]


def as_text(alert: Alert) -> str:
    """The facts, a line each."""
    return "\n".join(f"{name}: {line}" for name, line in facts(alert))


def explain_command(alert: Alert) -> str:
    """What to type to see what is behind it, safe to be typed; who reads it knows where the configuration is."""
    return f"streamguard explain {shlex.quote(plain(alert.id, 100))} CONFIG"


def moment(time: datetime) -> str:
    """`2026-01-05 15:21:22 UTC`."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def rfc3339(time: datetime) -> str:
    """`2026-01-05T15:21:22.075Z`."""
    return f"{time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def clipped(value: Any, *, chars: int, items: int, depth: int = _DEPTH) -> Any:
    """A copy of some JSON in which no text is longer than `chars`, and no list or object than `items`.

    What is nested deeper than `depth` is left out.
    """
    if depth == 0 and isinstance(value, dict | list):
        return None
    if isinstance(value, str):
        return value if len(value) <= chars else f"{value[: chars - 1]}…"
    if isinstance(value, dict):
        return {
            clipped(name, chars=chars, items=items): clipped(each, chars=chars, items=items, depth=depth - 1)
            for name, each in islice(value.items(), items)
        }
    if isinstance(value, list):
        return [clipped(each, chars=chars, items=items, depth=depth - 1) for each in value[:items]]
    return value


def json_line(alert: Alert) -> bytes:
    """All of the alert as JSON in one line, however it was published, without the line's end."""
    return orjson.dumps(dict(alert.data))


def key_of(*ids: str) -> str:
    """By which another side knows a repetition: the ID, of several a hash; up to 40 letters, digits, `-`."""
    only = ids[0] if len(ids) == 1 else ""
    if only.isascii() and only.replace("-", "").isalnum() and len(only) <= _KEY_CHARS:
        return only
    return sha256(orjson.dumps(ids)).hexdigest()[:_KEY_CHARS]


def secret_of(value: SecretStr | None, handler: str, setting: str) -> str:
    """The secret itself; raises `ConfigError` where there is none, or an empty one."""
    secret = "" if value is None else value.get_secret_value()
    if not secret:
        raise ConfigError(f"handler {handler!r}: {setting} is empty: set it, or {setting}_file")
    return secret


def _number(alert: Alert, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return plain(value, 20)
    return f"{value:.2%}" if alert.kind in _SHARES and 0 <= value <= 1 else f"{value:.4g}"


def _levels(alert: Alert) -> Iterator[Fact]:
    before, after = (alert.data.get(name) for name in ("before", "after"))
    if before or after:
        yield "Level", " -> ".join(_level(alert, each) if each else "unknown" for each in (before, after))


def _level(alert: Alert, level: dict[str, Any]) -> str:
    details = [f"of {plain(level.get('count'), 20)}"]
    if level.get("interval"):
        details.append("95% interval {} to {}".format(*(_number(alert, each) for each in level["interval"])))
    if level.get("limit") is not None:
        details.append(f"limit {_number(alert, level['limit'])}")
    return f"{_number(alert, level['rate'])} ({', '.join(details)})"


def _ending(alert: Alert) -> Iterator[Fact]:
    if absorbed := alert.data.get("absorbed"):
        yield "Signals", f"{plain(absorbed, 20)} more since the last alert"
    duration_s, resolution = alert.data.get("duration_s"), alert.data.get("resolution")
    if resolution is not None:
        lasted = "" if duration_s is None else f" after {format_duration_ms(round(duration_s) * 1000)}"
        yield "Ended", f"{plain(resolution, 40)}{lasted}"


def _examples(alert: Alert) -> Iterator[Fact]:
    if examples := alert.data.get("examples"):
        yield "Examples", ", ".join(one_line(each, 80) for each in examples[:5])


def _known(name: str, value: object) -> Iterator[Fact]:
    if value is not None:
        yield name, one_line(value, 300)
