"""CloudEvents over HTTP, structured, and signed."""

import hmac
import re
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from streamguard.config.handlers import WebhookHandler
from streamguard.errors import ConfigError
from streamguard.handlers.alert import Alert
from streamguard.handlers.sink import PermanentError
from streamguard.handlers.sinks.webhook import WebhookSink
from tests.handlers.samples import (
    HOSTILE,
    LONG,
    RAISED_ID,
    UPDATED_ID,
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


def test_an_empty_key_is_refused() -> None:
    """Anybody could sign with that."""
    section = WebhookHandler(name="hook", type="webhook", url=SecretStr("http://a/"), secret=SecretStr(""))
    with pytest.raises(ConfigError, match="handler 'hook': secret is empty: set it, or secret_file"):
        WebhookSink(section, "streamguard/fraud")
