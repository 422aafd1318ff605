"""CloudEvents on Kafka: what is said of a payload, in headers or around it.

Binary mode has the attributes in headers `ce_<name>` and the payload as the value; structured mode has both in one
JSON document of content type `application/cloudevents+json`, the payload below `data` or `data_base64`. Headers
`ce-<name>` are those of HTTP, which some bridges keep; a document with `specversion` is taken for an event whatever its
content type, since files have no headers.
Source: CloudEvents, "Kafka Protocol Binding" 1.0.2, sections 3.2 and 3.3, and "JSON Event Format" 1.0.2, section 3.1.
"""

import binascii
from base64 import b64decode
from dataclasses import dataclass
from typing import Any

import orjson

from streamguard.core.fields import Unreadable, document_of, parse_time_ms
from streamguard.core.payloads.adapter import Raw

_PREFIXES = ("ce_", "ce-")


@dataclass(frozen=True, slots=True)
class Event:
    """A payload, and its attributes by their names in small letters."""

    attributes: dict[str, str]
    body: bytes

    def time_ms(self, raw: Raw) -> int:
        """When it was; without attribute `time`, as Kafka says. Raises `Unreadable`."""
        if "time" in self.attributes:
            return parse_time_ms(self.attributes["time"])
        if raw.timestamp_ms < 0:
            raise Unreadable("the event has no time, and the record no Kafka timestamp")
        return raw.timestamp_ms


def event_of(raw: Raw, record_bytes: int, bare: frozenset[str] = frozenset()) -> Event:
    """The event that a record is; `bare` are headers that count without a prefix. Raises `Unreadable`."""
    attributes = {}
    for name, text in raw.headers:
        lower = name.lower()
        if lower.startswith(_PREFIXES):
            lower = lower[3:]
        elif lower not in bare:
            continue
        attributes[lower] = (text or b"").decode(errors="replace")
    if "type" in attributes:
        if raw.value is None:
            raise Unreadable("the event has no payload (a tombstone)")
        if len(raw.value) > record_bytes:
            raise Unreadable(f"value of {len(raw.value)} bytes, above limits.record_bytes {record_bytes}")
        return Event(attributes, raw.value)
    document = document_of(raw.value, record_bytes)
    if "specversion" not in document:
        raise Unreadable("no CloudEvent: neither headers ce_id and ce_type, nor a document with specversion")
    return _structured(document)


def _structured(document: dict[str, Any]) -> Event:
    attributes = {
        name.lower(): value if type(value) is str else orjson.dumps(value).decode()
        for name, value in document.items()
        if name not in {"data", "data_base64"} and type(value) in {str, int, bool}
    }
    if "data_base64" in document:
        try:
            return Event(attributes, b64decode(str(document["data_base64"]), validate=True))
        except (binascii.Error, ValueError):
            raise Unreadable("data_base64 is not base64") from None
    data = document.get("data")
    if data is None:
        raise Unreadable("the event has no data")
    try:
        return Event(attributes, data.encode() if type(data) is str else orjson.dumps(data))
    except (TypeError, UnicodeEncodeError):
        raise Unreadable("the event's data are nested too deeply, or no text") from None
