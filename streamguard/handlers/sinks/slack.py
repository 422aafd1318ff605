"""A chat: an incoming webhook of Slack, or of what is compatible."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from streamguard.config.handlers import SlackHandler
from streamguard.handlers.alert import Alert
from streamguard.handlers.sinks import facts, one_line, secret_of, segment_text, short_levels
from streamguard.handlers.sinks.http import Poster

# Slack refuses more, though only the first two limits are documented: characters of a section, blocks, and characters
# of all blocks together (13,000 or so).
_SECTION_CHARS, _BLOCKS, _MESSAGE_CHARS = 3000, 50, 12_000
# Of these, for what is only told in a line.
_BRIEF_CHARS = 2800
_SIGNS = {"critical": "🔴", "warning": "🟠", "info": "🔵"}
_RESOLVED_SIGN = "✅"
# What is in a span of code is not formatted, but a chat may call people from there, too.
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "`": "'", "@": "@\u200b"})
_SEVERITIES = ("critical", "warning", "info")


class SlackSink:
    """Posts one message, of one alert or several; the first ones in full, then some in a line each, then how many more.

    All of an alert's text is in spans of code, in which nothing is formatted, linked or called; `text` says the same as
    `blocks`, for chats that know no blocks and for notifications.
    """

    def __init__(self, section: SlackHandler) -> None:
        url = secret_of(section.url, section.name, "url")
        self._poster = Poster(section.name, url, section.timeout_ms, ca_file=section.ca_file)

    def deliver(self, alerts: Sequence[Alert]) -> None:
        self._poster.post(orjson.dumps(_message(alerts)), {"Content-Type": "application/json; charset=utf-8"})

    def close(self) -> None:
        """Nothing is held."""


def _message(alerts: Sequence[Alert]) -> dict[str, Any]:
    sections: list[str] = []
    left = _MESSAGE_CHARS - _BRIEF_CHARS
    shown = 0
    for alert in alerts:
        told = [_headline(alert), _details(alert)]
        left -= sum(map(len, told))
        if left < 0 or len(sections) + len(told) >= _BLOCKS:
            break
        sections += told
        shown += 1
    sections += _brief(alerts[shown:])
    return {
        "text": "\n".join(sections),
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": each, "verbatim": True}} for each in sections
        ],
        "unfurl_links": False,
        "unfurl_media": False,
    }


def _brief(alerts: Sequence[Alert]) -> Iterator[str]:
    """One section of those that there is no room for, if any."""
    lines: list[str] = []
    left = _BRIEF_CHARS - 200
    for alert in alerts:
        line = _headline(alert)
        left -= len(line) + 1
        if left < 0:
            break
        lines.append(line)
    if more := Counter(each.severity for each in alerts[len(lines) :]):
        counts = ", ".join(f"{more[each]} {each}" for each in _SEVERITIES if more[each])
        lines.append(f"*and {more.total()} more*: {counts or 'see the alerts topic'}")
    if lines:
        yield "\n".join(lines)


def _headline(alert: Alert) -> str:
    sign = _RESOLVED_SIGN if alert.status == "resolved" else _SIGNS.get(alert.severity, "⚪")
    segment, levels = segment_text(alert, fields=3, chars=40), short_levels(alert)
    where = f" ({_code(segment)})" if segment else ""
    told = f", {_code(levels)}" if levels else ""
    status = f"*{_word(alert.severity).upper()} {_word(alert.status)}*"
    return f"{sign} {status}: {_code(one_line(alert.kind, 40))}, {_code(one_line(alert.monitor, 80))}{where}{told}"


def _details(alert: Alert) -> str:
    """The facts, as far as a section holds them; the command, which is the last, is kept in any case."""
    *others, explain = [f"*{name}*: {_code(line)}" for name, line in facts(alert)]
    lines: list[str] = []
    left = _SECTION_CHARS - len(explain)
    for line in others:
        if len(line) + 1 <= left:
            lines.append(line)
            left -= len(line) + 1
    return "\n".join([*lines, explain])


def _word(text: str) -> str:
    """A word as it is, which needs no span of code."""
    return text if text.isascii() and text.isalpha() and len(text) <= 20 else "unknown"


def _code(line: str) -> str:
    """A span of code; up to five times as long, where all of it is to be escaped."""
    return f"`{line.translate(_ESCAPES) or '(empty)'}`"
