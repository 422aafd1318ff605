"""Chat: what people read, and what no alert can make of it."""

import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from streamguard.config.handlers import SlackHandler
from streamguard.handlers.alert import Alert
from streamguard.handlers.sink import PermanentError, TemporaryError
from streamguard.handlers.sinks.slack import SlackSink, _message
from tests.handlers.samples import (
    HOSTILE,
    LONG,
    RAISED_ID,
    RIGHT_TO_LEFT,
    Server,
    hostile,
    improved,
    many,
    raised,
    reply,
    resolved,
    silent,
)

LEVEL = "*Level*: `2.26% (of 576, 95% interval 0.64% to 5.43%) -&gt; 34.38% (of 32, 95% interval 13.34% to 60.88%)`"
# A span of code, and what else may stand around those: our own words.
SPAN = re.compile("`[^`\n]+`")
WORDS = re.compile(r"[ \w*:,().\n🔴🟠🔵✅⚪]*", re.ASCII)


def sink_at(server: Server) -> SlackSink:
    """A sink that posts there."""
    return SlackSink(SlackHandler(name="chat", type="slack", url=SecretStr(f"{server.url}/services/T0/B0/x")))


def sections(*alerts: Alert) -> list[str]:
    """The texts of the blocks; what Slack would refuse fails."""
    message = _message(alerts)
    blocks = message["blocks"]
    assert 1 <= len(blocks) <= 50
    for each in blocks:
        assert each["type"] == "section"
        assert each["text"]["type"] == "mrkdwn"
        assert each["text"]["verbatim"] is True
        assert 1 <= len(each["text"]["text"]) <= 3000
    texts = [each["text"]["text"] for each in blocks]
    assert sum(map(len, texts)) <= 12_000
    assert message["text"] == "\n".join(texts)
    return texts


def test_the_whole_message() -> None:
    """As it is posted."""
    with Server(reply(200, b"ok")) as server:
        sink = sink_at(server)
        sink.deliver([raised()])
        sink.close()
    (request,) = server.requests
    assert request.target == "/services/T0/B0/x"
    head = (
        "🔴 *CRITICAL raised*: `mismatch_drift`, `by country` (`country=NO, plan=(none)`), `2.26% -&gt; 34.38%`",
        "\n".join(
            [
                "*Status*: `raised, critical, worse`",
                "*Monitor*: `by country`",
                "*Segment*: `country=NO, plan=(none)`",
                "*Model*: `churn`",
                "*Version*: `7`",
                "*Since*: `2026-01-05 15:21:22 UTC`",
                "*Noticed*: `2026-01-05 16:16:31 UTC`",
                LEVEL,
                "*Look first*: `54% of it: predicted 'yes', labelled 'no' (1.4% -&gt; 20.0% of the outcomes)`",
                "*Examples*: `r1817, r1862`",
                "*Check*: `adwin`",
                "*Guarantee*: `none: nobody knows how often adwin alarms though nothing is wrong`",
                f"*Explain*: `streamguard explain {RAISED_ID} CONFIG`",
            ]
        ),
    )
    expected: dict[str, Any] = {
        "text": "\n".join(head),
        "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": each, "verbatim": True}} for each in head],
        "unfurl_links": False,
        "unfurl_media": False,
    }
    assert orjson.loads(request.body) == expected


@pytest.mark.parametrize(
    ("sample", "start"),
    [
        (raised(), "🔴 *CRITICAL raised*"),
        (raised(severity="warning"), "🟠 *WARNING raised*"),
        (improved(), "🔵 *INFO raised*"),
        (resolved(), "✅ *CRITICAL resolved*"),
        (raised(severity="<!here>", status="*"), "⚪ *UNKNOWN unknown*"),
    ],
)
def test_severity_and_status_are_in_words_too(sample: Alert, start: str) -> None:
    """Not everybody sees colours."""
    assert sections(sample)[0].startswith(f"{start}: ")


def test_the_end_of_an_episode_is_told() -> None:
    """How it ended, and after how long."""
    assert "*Ended*: `recovered after 2h22m`" in sections(resolved())[1]


def test_what_is_not_known_is_not_told() -> None:
    """No levels, no model."""
    text = "\n".join(sections(silent()))
    assert "*Since*: `unknown`" in text
    assert "*Level*" not in text
    assert "None" not in text


def check_harmless(texts: list[str]) -> None:
    """All that is not ours is in spans of code, in which nothing calls, links or ends the span."""
    for text in texts:
        assert WORDS.fullmatch(SPAN.sub("", text)), text
        assert not re.search("[<>]|@(?!\u200b)|&(?!amp;|lt;|gt;)|\u202e|\r", text)


@pytest.mark.parametrize("text", [HOSTILE, LONG, RIGHT_TO_LEFT, "```", "", "&" * 1000])
def test_hostile_texts_are_only_shown(text: str) -> None:
    """Nobody is called, nothing is linked or formatted, and nothing is too long."""
    texts = sections(hostile(text, kind=text, severity=text, status=text))
    check_harmless(texts)
    assert texts[1].endswith(f"*Explain*: `streamguard explain {RAISED_ID} CONFIG`")


@given(st.text())
def test_any_text_is_only_shown(text: str) -> None:
    """Whatever it is."""
    check_harmless(sections(hostile(text, kind=text, id=text)))


def test_of_many_some_are_told_in_full_some_in_a_line_and_the_rest_is_counted() -> None:
    """In one message, however many there are."""
    alerts = [*many(90), *(improved() for _ in range(10))]
    texts = sections(*alerts)
    in_full = sum("*Explain*" in each for each in texts)
    lines = texts[-1].splitlines()
    assert in_full > 3
    assert len(lines) > 10
    assert re.fullmatch(r"\*and \d+ more\*: \d+ critical, 10 info", lines[-1])
    counts = [int(each) for each in re.findall(r"\d+", lines[-1])]
    assert counts[0] == counts[1] + counts[2] == 100 - in_full - (len(lines) - 1)
    check_harmless(texts)
    check_harmless(sections(*[hostile(HOSTILE)] * 50))


def test_slack_refuses() -> None:
    """404 is of a webhook that is no more; 429 says how long to wait."""
    with Server(reply(404, b"no_service"), reply(429, retry_after="30")) as server:
        sink = sink_at(server)
        with pytest.raises(PermanentError, match=r"answered 404: no_service$"):
            sink.deliver([raised()])
        with pytest.raises(TemporaryError) as caught:
            sink.deliver([raised()])
    assert caught.value.after_s == 30.0
