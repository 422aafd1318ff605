"""Mail: what is in it, and that nothing in it is an alert's to choose."""

import email
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import policy
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any
from unicodedata import category

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope, Session
from hypothesis import given
from hypothesis import strategies as st

from streamguard.config.handlers import EmailHandler
from streamguard.handlers.alert import Alert
from streamguard.handlers.sinks.mail import EmailSink
from tests.handlers.samples import (
    HOSTILE,
    LONG,
    RAISED_ID,
    RIGHT_TO_LEFT,
    UPDATED_ID,
    hostile,
    many,
    raised,
    resolved,
    updated,
)


class Mailbox:
    """Takes all mail."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    async def handle_DATA(self, _server: object, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take it, and note whether it came encrypted."""
        envelope.is_encrypted = session.ssl is not None  # type: ignore[attr-defined]
        self.envelopes.append(envelope)
        return "250 OK"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def section(port: int, **settings: Any) -> EmailHandler:
    """Mail to a server of ours, without encryption unless that is set."""
    fixed = {"name": "mail", "type": "email", "host": "127.0.0.1", "port": port}
    return EmailHandler.model_validate(
        {"tls": "none", "sender": "streamguard@example.com", "to": ["team@example.com"], **fixed, **settings}
    )


@contextmanager
def serving(**settings: Any) -> Iterator[tuple[int, Mailbox]]:
    """A mail server: its port, and what it gets."""
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port(), **settings)
    controller.start()
    try:
        yield controller.port, mailbox
    finally:
        controller.stop()


def delivered(alerts: Sequence[Alert], **settings: Any) -> EmailMessage:
    """What arrives, as a reader of mail understands it."""
    with serving() as (port, mailbox):
        sink = EmailSink(section(port, **settings))
        sink.deliver(alerts)
        sink.close()
    (envelope,) = mailbox.envelopes
    assert envelope.rcpt_tos == list(settings.get("to", ["team@example.com"]))
    assert isinstance(envelope.content, bytes)
    return email.message_from_bytes(envelope.content, policy=policy.default)


def part(message: EmailMessage, kind: str) -> str:
    """The text or the HTML."""
    found = message.get_body((kind,))
    assert found is not None
    return str(found.get_content()).replace("\r\n", "\n")


def test_the_whole_mail() -> None:
    """Headers, and the text as people read it."""
    message = delivered([raised()], to=["team@example.com", "duty@example.com"])
    age = datetime.now(UTC) - message["Date"].datetime
    assert timedelta(seconds=-2) < age < timedelta(minutes=1)
    assert {name: value for name, value in message.items() if name not in {"Date", "Content-Type"}} == {
        "From": "streamguard@example.com",
        "To": "team@example.com, duty@example.com",
        "Subject": "CRITICAL raised: mismatch_drift, by country (country=NO, plan=(none)), 2.26% -> 34.38%",
        "Message-ID": f"<{RAISED_ID}@example.com>",
        "Auto-Submitted": "auto-generated",
        "X-Streamguard-Event-Time": "2026-01-05T16:16:31.042Z",
        "MIME-Version": "1.0",
    }
    assert part(message, "plain").splitlines() == [
        message["Subject"],
        "",
        "Status: raised, critical, worse",
        "Monitor: by country",
        "Segment: country=NO, plan=(none)",
        "Model: churn",
        "Version: 7",
        "Since: 2026-01-05 15:21:22 UTC",
        "Noticed: 2026-01-05 16:16:31 UTC",
        "Level: 2.26% (of 576, 95% interval 0.64% to 5.43%) -> 34.38% (of 32, 95% interval 13.34% to 60.88%)",
        "Look first: 54% of it: predicted 'yes', labelled 'no' (1.4% -> 20.0% of the outcomes)",
        "Examples: r1817, r1862",
        "Check: adwin",
        "Guarantee: none: nobody knows how often adwin alarms though nothing is wrong",
        f"Explain: streamguard explain {RAISED_ID} CONFIG",
    ]


def test_an_episode_is_a_thread() -> None:
    """Its mails refer to the first one; the same alert has the same ID whenever it is sent."""
    for alert in (updated(), resolved()):
        message = delivered([alert])
        assert message["Message-ID"] == f"<{alert.id}@example.com>"
        assert message["In-Reply-To"] == message["References"] == f"<{RAISED_ID}@example.com>"


def test_several_are_one_mail() -> None:
    """The first ones in full, others in a line."""
    alerts = [updated(), *many(30)]
    message = delivered(alerts)
    assert message["Subject"].endswith(" (and 30 more)")
    assert message["In-Reply-To"].startswith(f"<{RAISED_ID}@")
    assert message["Message-ID"] != f"<{UPDATED_ID}@example.com>"
    text = part(message, "plain")
    assert text.count("Explain: ") == 20
    assert text.count("CRITICAL raised") == 30


def test_ids_fit_into_lines() -> None:
    """Also with a long domain; one that is too long for a line would be written in a way that nobody understands."""
    sink = EmailSink(section(25, sender="streamguard@a-very-long-domain-of-a-very-large-company.example.com"))
    headers = sink._message([updated(), *many(3)]).as_bytes().partition(b"\r\n\r\n")[0]
    assert b"References: <" + RAISED_ID.encode() in headers.replace(b"\r\n ", b" ").replace(b":  ", b": ")
    assert b"=?" not in headers


class Tags(HTMLParser):
    """Which tags and attributes there are, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(name for name, _ in attrs)}

    def handle_data(self, data: str) -> None:
        self.text += data


def check_harmless(message: EmailMessage) -> None:
    """No header, no tag and no line is an alert's to choose."""
    names = {"From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Streamguard-Event-Time"}
    threads = {"In-Reply-To", "References"} & set(message)
    assert set(message) - threads == {*names, "MIME-Version", "Content-Type"}
    assert all(re.fullmatch(r"<[\w-]+@example\.com>", message[each], re.ASCII) for each in (*threads, "Message-ID"))
    assert not {"Cc", "Cf", "Zl", "Zp"} & set(map(category, message["Subject"]))
    assert message["To"] == "team@example.com"
    tags = Tags()
    tags.feed(part(message, "html"))
    known = {"html", "body", "h3", "table", "tr", "th", "td", "bdi", "align", "valign"}
    assert tags.found <= known
    assert part(message, "plain").count("\n") < 30


def read_harmless(sent: bytes) -> None:
    """Of a mail of one alert as it is sent."""
    check_harmless(email.message_from_bytes(sent, policy=policy.default))


@pytest.mark.parametrize("text", [HOSTILE, LONG, RIGHT_TO_LEFT])
def test_hostile_texts_are_only_text(text: str) -> None:
    """Also as an ID, which becomes part of headers."""
    message = delivered([hostile(text, id=text, episode=text, kind=text)])
    check_harmless(message)
    tags = Tags()
    tags.feed(part(message, "html"))
    assert text[:20] in tags.text
    assert len(message.as_bytes()) < 50_000


@given(st.text())
def test_any_text_is_only_text(text: str) -> None:
    """As the server would read it."""
    made = EmailSink(section(25))._message([hostile(text, id=text, episode=text, kind=text)])
    read_harmless(made.as_bytes())


@pytest.mark.parametrize("word", ["=?utf-8?B?zw==?=", "=?utf-8?Q?=CF?=", "=?utf-8?B?Zm9v?="])
def test_what_looks_like_an_encoded_word_is_text(word: str) -> None:
    """Decoded it might be another word, or none that can be written."""
    made = EmailSink(section(25))._message([hostile("x", kind=word, severity=word)])
    sent = email.message_from_bytes(made.as_bytes(), policy=policy.default)
    assert word.replace("=?", "= ?") in sent["Subject"]
