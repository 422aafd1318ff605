"""From the configuration to the sinks, and the words that they share."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from streamguard.config.handlers import Handler
from streamguard.core.alerts import Alert as CoreAlert
from streamguard.core.alerts import Status
from streamguard.core.detectors import Direction
from streamguard.errors import ConfigError
from streamguard.handlers.sinks import explain_command, facts, headline, key_of, one_line, plain
from streamguard.handlers.sinks.alertmanager import AlertmanagerSink
from streamguard.handlers.sinks.command import CommandSink
from streamguard.handlers.sinks.file import FileSink
from streamguard.handlers.sinks.mail import EmailSink
from streamguard.handlers.sinks.opening import open_sink
from streamguard.handlers.sinks.pagerduty import PagerDutySink
from streamguard.handlers.sinks.slack import SlackSink
from streamguard.handlers.sinks.webhook import WebhookSink
from tests.handlers.samples import HOSTILE, LONG, RIGHT_TO_LEFT, Server, hostile, raised, reply, resolved

MAIL = {"type": "email", "host": "mail.example.com", "sender": "a@example.com", "to": ["b@example.com"]}


def section(**settings: Any) -> Handler:
    """A handler as a configuration names it."""
    found: Handler = TypeAdapter(Handler).validate_python({"name": "it", **settings})
    return found


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"type": "webhook", "url": "http://a/"}, WebhookSink),
        ({"type": "slack", "url": "http://a/"}, SlackSink),
        ({"type": "pagerduty", "routing_key": "x"}, PagerDutySink),
        ({"type": "alertmanager", "url": "http://a/"}, AlertmanagerSink),
        (MAIL, EmailSink),
        ({"type": "command", "command": ["true"]}, CommandSink),
        ({"type": "file", "path": "alerts.jsonl"}, FileSink),
    ],
)
def test_each_kind_has_its_sink(
    settings: dict[str, Any], kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which does nothing before something is delivered."""
    monkeypatch.chdir(tmp_path)
    sink = open_sink(section(**settings), "streamguard/fraud")
    assert type(sink) is kind
    sink.close()
    assert list(tmp_path.iterdir()) == []


def test_the_source_is_told() -> None:
    """To those that want one."""
    with Server(reply(202)) as server:
        for settings in ({"type": "webhook"}, {"type": "pagerduty", "routing_key": "x"}):
            open_sink(section(url=server.url, **settings), "streamguard/fraud").deliver([raised()])
    event, incident = (orjson.loads(each.body) for each in server.requests)
    assert event["source"] == incident["payload"]["source"] == "streamguard/fraud"


HOSTS = ["hooks.example.com", "MAIL.example.com.", "events.pagerduty.com", "::1", "b\u00fccher.example"]


@pytest.mark.parametrize(
    "settings",
    [
        {"type": "webhook", "url": "https://hooks.example.com:8443/x"},
        {"type": "slack", "url": "https://HOOKS.example.com./x"},
        {"type": "alertmanager", "url": "http://[::1]:9093"},
        {"type": "webhook", "url": "http://xn--bcher-kva.example/"},
        {"type": "pagerduty", "routing_key": "x"},
        MAIL,
        {"type": "command", "command": ["true"]},
    ],
)
def test_hosts_that_are_allowed(settings: dict[str, Any]) -> None:
    """However they are written."""
    open_sink(section(**settings), "streamguard/fraud", HOSTS).close()


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        ({"type": "webhook", "url": "https://example.com/hunter2"}, "example.com"),
        ({"type": "slack", "url": "https://hooks.example.com.evil.test/hunter2"}, "hooks.example.com.evil.test"),
        ({"type": "webhook", "url": "https://hooks.example.com\\@evil.test/hunter2"}, "evil.test"),
        ({"type": "alertmanager", "url": "http://hooks.example.com:hunter2@evil.test"}, "evil.test"),
        ({"type": "pagerduty", "routing_key": "hunter2", "url": "https://eu.pagerduty.com/x"}, "eu.pagerduty.com"),
        ({**MAIL, "host": "evil.test"}, "evil.test"),
    ],
)
def test_hosts_that_are_not_allowed(settings: dict[str, Any], host: str) -> None:
    """Are refused at start, by no more than their name."""
    with pytest.raises(ConfigError, match=f"^handler 'it' may not call '{host}': it is not in handler_hosts") as caught:
        open_sink(section(**settings), "streamguard/fraud", HOSTS)
    assert "hunter2" not in str(caught.value)


def test_no_host_is_allowed_by_an_empty_list() -> None:
    """Which is another thing than none."""
    with pytest.raises(ConfigError, match="may not call"):
        open_sink(section(**MAIL), "streamguard/fraud", [])


def test_the_samples_are_alerts() -> None:
    """They have the fields that are published."""
    core = CoreAlert(
        status=Status.RAISED,
        kind="no_data",
        severity="critical",
        monitor="m",
        segment={},
        model=None,
        version=None,
        check={},
        event_time_ms=0,
        trigger=(0, 0, 0, 0),
        direction=Direction.WORSE,
    )
    for sample in (raised(), resolved()):
        assert list(sample.data) == list(orjson.loads(core.output("s").value or b""))


@given(st.text(), st.integers(min_value=10, max_value=60))
def test_a_line_is_a_line(text: str, chars: int) -> None:
    """Of no more characters than that, none of which is unseen or turns what follows."""
    for line in (plain(text, chars), one_line(text, chars)):
        assert len(line) <= chars
        assert len(line.splitlines()) <= 1
        assert "\0" not in line
        assert not set("\u202a\u202b\u202d\u202e\u200e\u200f\u2066\u2067\u200b") & set(line)
        assert line.count("\u2068") == line.count("\u2069") <= 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a  b\r\n\tc", "a b c"),
        ("\x1b[31mred\u202e", "[31mred"),
        ("x" * 11, "x" * 9 + "…"),
        ("x" * 10, "x" * 10),
        ("\u200b" * 500 + "hidden", "…"),
        (RIGHT_TO_LEFT, f"\u2068{RIGHT_TO_LEFT}\u2069"),
        (RIGHT_TO_LEFT * 3, f"\u2068{(RIGHT_TO_LEFT * 3)[:7]}…\u2069"),
        (None, "None"),
    ],
)
def test_how_a_text_becomes_a_line(text: object, line: str) -> None:
    """With an ellipsis where something is left out."""
    assert one_line(text, 10) == line


@pytest.mark.parametrize("text", [HOSTILE, LONG, RIGHT_TO_LEFT])
def test_no_line_is_longer_than_is_promised(text: str) -> None:
    """Sinks rely on that to keep to the limits of the other side."""
    alert = hostile(text, kind=text, id=text, segment={f"{text[:30]}{number}": text for number in range(9)})
    assert len(headline(alert)) <= 500
    assert max(len(line) for _, line in facts(alert)) <= 500


def test_not_all_is_told_of_what_is_long() -> None:
    """A message is no place for it."""
    told = facts(raised(look_first=[str(number) for number in range(9)], examples=["r"] * 9))
    assert [line for name, line in told if name == "Look first"] == ["0", "1", "2", "3", "4"]
    assert ("Examples", "r, r, r, r, r") in told


def test_the_command_is_safe_to_type() -> None:
    """An ID is not always ours."""
    assert explain_command(raised(id="$(rm -rf ~)'")) == "streamguard explain '$(rm -rf ~)'\"'\"'' CONFIG"


def test_keys_are_of_the_ids() -> None:
    """All of them, in order, and apart."""
    keys = {key_of("ab"), key_of("a", "b"), key_of("b", "a"), key_of("x" * 41), key_of("x" * 42), key_of("\u00e4")}
    assert len(keys) == 6
    assert "ab" in keys
    assert all(len(each) <= 40 and each.isascii() and each.isalnum() for each in keys)
