"""CloudEvents over HTTP, structured, and signed."""

import hmac
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from streamguard.config.handlers import WebhookHandler
from streamguard.errors import ConfigError
from streamguard.handlers.alert import Alert
from streamguard.handlers.sink import PermanentError, TemporaryError
from streamguard.handlers.sinks.webhook import WebhookSink
from tests.handlers.samples import (
    HOSTILE,
    LONG,
    RAISED_ID,
    UPDATED_ID,
    Peer,
    Request,
    Server,
    hostile,
    many,
    raised,
    reply,
    updated,
)


def delivered(alerts: Sequence[Alert], secret: str | None = None) -> Request:
    """What is posted of them."""
    with Server(reply(202)) as server:
        section = WebhookHandler(
            name="hook", type="webhook", url=SecretStr(server.url), secret=SecretStr(secret) if secret else None
        )
        sink = WebhookSink(section, "streamguard/fraud")
        sink.deliver(alerts)
        sink.close()
    (request,) = server.requests
    return request


def event(alert: Alert, **attributes: Any) -> dict[str, Any]:
    """The whole event, as it is to be."""
    return {
        "specversion": "1.0",
        "source": "streamguard/fraud",
        "datacontenttype": "application/json",
        "data": dict(alert.data),
        **attributes,
    }


def test_one_alert_is_one_event() -> None:
    """Each attribute, and all of the alert."""
    request = delivered([updated()])
    assert request.headers["content-type"] == "application/cloudevents+json"
    assert request.headers["idempotency-key"] == UPDATED_ID
    assert "x-streamguard-signature" not in request.headers
    assert orjson.loads(request.body) == event(
        updated(),
        id=UPDATED_ID,
        type="streamguard.alert.updated",
        time="2026-01-05T17:31:00.500Z",
        subject=RAISED_ID,
    )


def test_several_alerts_are_a_batch() -> None:
    """Of events that are the same as alone; its key is the same whenever it is tried, and that of no other batch."""
    request = delivered([raised(), updated()])
    assert request.headers["content-type"] == "application/cloudevents-batch+json"
    alone = [orjson.loads(delivered([each]).body) for each in (raised(), updated())]
    assert orjson.loads(request.body) == alone
    key = request.headers["idempotency-key"]
    assert re.fullmatch("[0-9a-f]{40}", key)
    assert key == delivered([raised(), updated()]).headers["idempotency-key"]
    assert key != delivered(many(2)).headers["idempotency-key"]


@pytest.mark.parametrize("alerts", [[raised()], [raised(), updated()]])
def test_the_signature_is_of_the_body_as_sent(alerts: list[Alert]) -> None:
    """So whoever has the key can tell that it is ours."""
    request = delivered(alerts, "a key of \u00fcmlauts")
    expected = hmac.new("a key of \u00fcmlauts".encode(), request.body, "sha256").hexdigest()
    assert request.headers["x-streamguard-signature"] == f"sha256={expected}"


@pytest.mark.parametrize("text", [HOSTILE, LONG])
def test_hostile_texts_arrive_as_they_are(text: str) -> None:
    """They are data; what becomes a header is made safe."""
    alert = hostile(text, id=text, episode=text)
    request = delivered([alert])
    assert orjson.loads(request.body)["data"] == alert.data
    assert re.fullmatch("[0-9a-f]{40}", request.headers["idempotency-key"])
    assert "bcc" not in request.headers


def test_errors_tell_no_secret() -> None:
    """Neither the path nor the key."""
    with Server(lambda peer: peer.send(reply(400, b"bad signature by topsecret at /services/abc"))) as server:
        section = WebhookHandler(
            name="hook",
            type="webhook",
            url=SecretStr(f"{server.url}/services/abc"),
            secret=SecretStr("topsecret"),
        )
        with pytest.raises(PermanentError, match=r"^127\.0\.0\.1:\d+ answered 400: bad signature by \*\*\* at \*\*\*$"):
            WebhookSink(section, "streamguard/fraud").deliver([raised()])


def test_headers_of_the_configuration_are_sent(caplog: pytest.LogCaptureFixture) -> None:
    """With each request, beside ours; none of them is told, though the answer repeats them."""
    caplog.set_level(logging.DEBUG)
    headers = {"Authorization": "Bearer hunter2", "x-team": "ml", "user-agent": "theirs"}

    def echo(peer: Peer) -> None:
        peer.send(reply(403, b"ml has no right: Bearer hunter2, hunter2"))

    with Server(echo) as server:
        section = WebhookHandler.model_validate(
            {"name": "hook", "type": "webhook", "url": server.url, "headers": headers, "secret": "a key"}
        )
        sink = WebhookSink(section, "streamguard/fraud")
        with pytest.raises(PermanentError, match=r"answered 403: ml has no right: \*\*\*, \*\*\*$"):
            sink.deliver([raised()])
    (request,) = server.requests
    assert request.headers.items() >= {name.lower(): value for name, value in headers.items()}.items()
    assert request.headers["content-type"] == "application/cloudevents+json"
    assert request.headers["idempotency-key"] == RAISED_ID
    assert "hunter2" not in f"{caplog.text} {section!r} {sink!r}"


def test_an_authority_of_ones_own_is_trusted(certificate: Path) -> None:
    """And without it a server that it vouches for is not: that may be anybody."""
    with Server(reply(202), certificate=certificate) as server:
        settings = {"name": "hook", "type": "webhook", "url": server.url}
        trusting = WebhookHandler.model_validate({**settings, "ca_file": f"{certificate}.crt"})
        with pytest.raises(TemporaryError, match="CERTIFICATE_VERIFY_FAILED"):
            WebhookSink(WebhookHandler.model_validate(settings), "streamguard/fraud").deliver([raised()])
        WebhookSink(trusting, "streamguard/fraud").deliver([raised()])
    assert len(server.requests) == 1


def test_an_empty_key_is_refused() -> None:
    """Anybody could sign with that."""
    section = WebhookHandler(name="hook", type="webhook", url=SecretStr("http://a/"), secret=SecretStr(""))
    with pytest.raises(ConfigError, match="handler 'hook': secret is empty: set it, or secret_file"):
        WebhookSink(section, "streamguard/fraud")
