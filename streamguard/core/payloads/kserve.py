"""KServe's inference logger.

A CloudEvent for the request and one for the response, of one `id`: types `org.kubeflow.serving.inference.request` and
`.response`, with the extensions `inferenceservicename`, `namespace`, `component` and `endpoint` (default or canary);
bodies as they were sent, of protocol V1 or V2. Only responses of HTTP status 200 are logged. The events come to Kafka
by Knative's Kafka broker or sink, un-keyed.
Source: github.com/kserve/kserve, pkg/logger/worker.go and handler.go; KServe documentation, "Inference Logger".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamguard.core.fields import Unreadable
from streamguard.core.payloads.adapter import Half, Raw, Row, Side
from streamguard.core.payloads.answers import Reading, records
from streamguard.core.payloads.events import Event, event_of
from streamguard.core.payloads.protocols import answers_in, document_in, features_in

_SIDES = {
    "org.kubeflow.serving.inference.request": Side.REQUEST,
    "org.kubeflow.serving.inference.response": Side.RESPONSE,
}
_ABOUT = ("namespace", "component", "endpoint")


@dataclass(frozen=True, slots=True)
class KServe:
    """Fields as in `config.formats`."""

    reading: Reading
    pair_within_ms: int
    record_bytes: int

    def half(self, raw: Raw) -> Half:
        """As `Paired.half`."""
        return half_of(event_of(raw, self.record_bytes), raw, _SIDES, ("id",), _ABOUT)

    def pair(self, request: Half | None, response: Half) -> Sequence[Row]:
        """As `Paired.pair`."""
        answered = document_in(response.body)
        answers = answers_in(answered)
        features = None if request is None else features_in(document_in(request.body), self.reading.names)
        about = named_in(answered) | dict(response.about)
        return records(response.request_id, response.time_ms, answers, features, about, self.reading)


def half_of(event: Event, raw: Raw, sides: Mapping[str, Side], ids: Sequence[str], about_names: Sequence[str]) -> Half:
    """A request or a response, by the event's type; its ID is the first of these attributes that there is.

    Raises `Unreadable`.
    """
    kind = event.attributes.get("type", "")
    if kind not in sides:
        raise Unreadable(f"an event of type {kind[:100]!r}, which is neither an inference request nor a response")
    request_id = next((found for name in ids if (found := event.attributes.get(name))), None)
    if request_id is None:
        raise Unreadable(f"the event has no {ids[0]}")
    about = [(name, event.attributes[name]) for name in about_names if event.attributes.get(name)]
    if service := event.attributes.get("inferenceservicename"):
        about.append(("model", service))
    return Half(sides[kind], request_id, event.time_ms(raw), event.body, tuple(about))


def named_in(answered: Any) -> dict[str, str]:
    """Model and version that a V2 response names."""
    found = answered if type(answered) is dict else {}
    pairs = (("model", found.get("model_name")), ("version", found.get("model_version")))
    return {name: text for name, text in pairs if type(text) is str and text}
