"""Whatever strangers write into records, each place gets it as text that fits, and does nothing for it."""

import string
from pathlib import Path
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.config.handlers import (
    AlertmanagerHandler,
    CommandHandler,
    EmailHandler,
    PagerDutyHandler,
    WebhookHandler,
)
from streamguard.handlers.alert import Alert
from streamguard.handlers.sinks import as_text, facts, headline, json_line
from streamguard.handlers.sinks.alertmanager import AlertmanagerSink
from streamguard.handlers.sinks.command import CommandSink
from streamguard.handlers.sinks.mail import EmailSink
from streamguard.handlers.sinks.pagerduty import PagerDutySink
from streamguard.handlers.sinks.slack import _message
from streamguard.handlers.sinks.webhook import WebhookSink
from tests.handlers.samples import HOSTILE, LONG, RIGHT_TO_LEFT, hostile, resolved, updated
from tests.handlers.test_sink_mail import read_harmless
from tests.handlers.test_sink_slack import check_harmless

# What has a meaning somewhere: markup of chats and pages, ends of lines and headers, signs that turn or hide text.
PIECES = [
    *("<!channel>", "<@U1>", "<http://evil.example|here>", "@everyone", "```", "*_~`", "&amp;", "&#0;"),
    *("</td><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "<!--", "]]>", "javascript:alert(1)"),
    *("\r\nBcc: evil@example.com", "\n.\r\n", "\r", "=?utf-8?B?Zm9v?=", "\u2028", "\u2029", "\x85", "\x0b"),
    *("\0", "\x1b[2J", "\x7f", "\x9b", "\u202e", "\u2066", "\u2069", "\u200b", "\ufeff", "\U000e0041"),
    *("{{ .Labels }}", "${jndi:ldap://evil}", "$(reboot)", "`reboot`", "%n%s", "'; --", "\\", "../", HOSTILE),
    *(RIGHT_TO_LEFT, "\U0001f600", "e\u0301" * 50, "\ufffe", "\U0010ffff", LONG, "\0" * 5000, "\u202e" * 5000),
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=20), max_size=4).map("".join)


@st.composite
def alerts(draw: st.DrawFn) -> list[Alert]:
    """Several, of which each text may be another."""
    fields = ("id", "episode", "kind", "severity", "status", "resolution")
    found = []
    for _ in range(draw(st.integers(1, 3))):
        changes: dict[str, Any] = {name: draw(TEXTS) for name in fields if draw(st.booleans())}
        changes["segment"] = draw(st.dictionaries(TEXTS, st.none() | TEXTS, max_size=6))
        changes["check"] = {"type": draw(TEXTS)}
        found.append(hostile(draw(TEXTS), **changes))
    return found


def webhook(given: list[Alert]) -> None:
    """The data is as it was, whatever it is."""
    section = WebhookHandler.model_validate({"name": "it", "type": "webhook", "url": "http://a/"})
    events = [WebhookSink(section, "streamguard/g")._event(each) for each in given]
    assert [each["data"] for each in orjson.loads(orjson.dumps(events))] == [each.data for each in given]


def pagerduty(given: list[Alert]) -> None:
    """Within its limits, and with the words that it knows."""
    section = PagerDutyHandler.model_validate({"name": "it", "type": "pagerduty", "routing_key": "key"})
    sink = PagerDutySink(section, "streamguard/g")
    for alert in given:
        post = sink._post(alert)
        event = orjson.loads(post.body)
        assert len(post.body) < 512_000
        assert 1 <= len(event["payload"]["summary"]) <= 1024
        if post.below != "change":
            assert event["event_action"] in {"trigger", "resolve"}
            assert event["payload"]["severity"] in {"critical", "warning", "info"}
            assert 1 <= len(event["dedup_key"]) <= 255


def alertmanager(given: list[Alert]) -> None:
    """Its labels are legal, and what is read is in as many lines as facts."""
    section = AlertmanagerHandler.model_validate({"name": "it", "type": "alertmanager", "url": "http://a/"})
    legal = set(string.ascii_letters + string.digits + "_")
    for alert in given:
        found = AlertmanagerSink(section)._posted(alert)
        assert all(set(name) <= legal and not name[0].isdigit() for name in found["labels"])
        assert all(value and len(value.splitlines()) == 1 for value in found["labels"].values())
        assert found["annotations"]["description"].count("\n") == len(facts(alert)) - 1
        assert found["startsAt"] <= found["endsAt"]


def mail(given: list[Alert]) -> None:
    """It is read as it was meant; no header, tag or line is a stranger's."""
    section = EmailHandler.model_validate(
        {"name": "it", "type": "email", "host": "h", "sender": "streamguard@example.com", "to": ["team@example.com"]}
    )
    for alert in given:
        read_harmless(EmailSink(section)._message([alert]).as_bytes())


def chat(given: list[Alert]) -> None:
    """All of it is in spans of code, and Slack takes it."""
    texts = [each["text"]["text"] for each in _message(given)["blocks"]]
    assert all(1 <= len(each) <= 3000 for each in texts)
    check_harmless(texts)


def file(given: list[Alert]) -> None:
    """A line is an alert."""
    lines = [json_line(each) for each in given]
    assert not any(b"\n" in each for each in lines)
    assert [orjson.loads(each) for each in lines] == [each.data for each in given]


def words(given: list[Alert]) -> None:
    """Each fact is a line of up to 500 characters."""
    for alert in given:
        for line in (headline(alert), *as_text(alert).split("\n")):
            assert len(line) <= 520
            assert len(line.splitlines()) == 1


@settings(max_examples=60, deadline=None)
@given(alerts())
def test_what_strangers_write_is_only_text(given: list[Alert]) -> None:
    """At each place."""
    for place in (webhook, pagerduty, alertmanager, mail, chat, file, words):
        place(given)


def test_numbers_may_be_as_large_as_they_come() -> None:
    """They are told in a few characters."""
    level = {"rate": 1e300, "interval": [-1e300, 5e-324], "count": 2**63 - 1}
    for alert in (updated(before=level, after=level, absorbed=2**63 - 1), resolved(after=level, duration_s=1e300)):
        for place in (webhook, pagerduty, alertmanager, mail, chat, file, words):
            place([alert])


def test_a_program_gets_variables_of_one_line(tmp_path: Path) -> None:
    """Without a NUL, or there would be no program; and not longer than the system takes."""
    command = ("/bin/sh", "-c", 'env -0 > "$1"', "script", str(tmp_path / "env"))
    sink = CommandSink(CommandHandler(name="it", type="command", command=command))
    names = ("id", "episode", "status", "kind", "monitor")
    for start in range(0, len(PIECES), len(names)):
        sink.deliver([hostile(**dict(zip(names, PIECES[start : start + len(names)], strict=False)))])
        pairs = (tmp_path / "env").read_text(encoding="utf-8").split("\0")
        values = [each.partition("=")[2] for each in pairs if each.startswith("STREAMGUARD_ALERT_")]
        assert len(values) == len(names) + 1
        assert all(len(each) <= 1000 and len(each.splitlines()) <= 1 for each in values)
