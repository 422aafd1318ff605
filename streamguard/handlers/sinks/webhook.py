"""Alerts as CloudEvents over HTTP, structured; several as a batch."""

import hmac
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from streamguard.config.handlers import RetrainHandler, WebhookHandler
from streamguard.handlers.alert import Alert
from streamguard.handlers.sinks import key_of, secret_of
from streamguard.handlers.sinks.http import SECRET_CHARS_MIN, Poster


class WebhookSink:
    """Posts one alert as `application/cloudevents+json`, several as `application/cloudevents-batch+json`.

    `source` is the events' source, `streamguard/<group>`. The header Idempotency-Key is the alert's ID, of several a
    hash of their IDs. With a secret, X-Streamguard-Signature is `sha256=` and the HMAC-SHA256 of the body, as sent, in
    hexadecimal. The configuration's own headers go with every request. A batch is taken or refused as a whole.
    """

    def __init__(self, section: WebhookHandler | RetrainHandler, source: str) -> None:
        url = secret_of(section.url, section.name, "url")
        secret = None if section.secret is None else secret_of(section.secret, section.name, "secret")
        self._headers = {name: value.get_secret_value() for name, value in section.headers.items()}
        secrets = [*_secrets_of(self._headers), *([secret] if secret else [])]
        self._poster = Poster(section.name, url, section.timeout_ms, secrets=secrets, ca_file=section.ca_file)
        self._key = None if secret is None else secret.encode()
        self._source = source

    def deliver(self, alerts: Sequence[Alert]) -> None:
        events = [self._event(each) for each in alerts]
        kind = "cloudevents+json" if len(events) == 1 else "cloudevents-batch+json"
        body = orjson.dumps(events[0] if len(events) == 1 else events)
        self.send(body, kind, key_of(*(each.id for each in alerts)))

    def send(self, body: bytes, kind: str, key: str) -> None:
        """Post a body of this kind, signed; of two with one key the second is a repetition."""
        headers = {**self._headers, "Content-Type": f"application/{kind}", "Idempotency-Key": key}
        if self._key is not None:
            headers["X-Streamguard-Signature"] = f"sha256={hmac.digest(self._key, body, 'sha256').hex()}"
        self._poster.post(body, headers)

    def close(self) -> None:
        """Nothing is held."""

    def _event(self, alert: Alert) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "id": alert.id,
            "source": self._source,
            "type": f"streamguard.alert.{alert.status}",
            "time": alert.data["event_time"],
            "datacontenttype": "application/json",
            "subject": alert.episode,
            "data": dict(alert.data),
        }


def _secrets_of(headers: Mapping[str, str]) -> list[str]:
    """What an answer might repeat of them: a whole value, or what stands behind a word such as Bearer."""
    found = [part for value in headers.values() for part in (value, value.partition(" ")[2])]
    return [each for each in found if len(each) >= SECRET_CHARS_MIN]
