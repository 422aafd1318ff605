"""Seldon Core's request logger.

An event for the request and one for the response, of types `io.seldon.serving.inference.request` and `.response`. The
ID that they share is the extension `requestid`: the `id` of each is its own. Straight to Kafka (LOGGER_KAFKA_BROKER)
the executor writes the same names as plain headers: `type`, `requestid`, `modelid`, `inferenceservicename`,
`namespace`, `endpoint`. Bodies are of V1, of V2 (MLServer, Seldon Core 2) or of Seldon's protocol: `data` with `names`
and `ndarray` or `tensor`, `jsonData` or `strData`; `binData` and `tftensor` hold no columns.
Sources: github.com/SeldonIO/seldon-core, executor/logger/worker.go and proto/prediction.proto; Seldon Core 1
documentation, "Payload Logging"; github.com/SeldonIO/MLServer, mlserver/cloudevents.py.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamguard.core.fields import Unreadable
from streamguard.core.payloads.adapter import Half, Raw, Row, Side
from streamguard.core.payloads.answers import Answer, Reading, records
from streamguard.core.payloads.events import event_of
from streamguard.core.payloads.kserve import half_of, named_in
from streamguard.core.payloads.protocols import answers_in, document_in, features_in, instances, table

_SIDES = {"io.seldon.serving.inference.request": Side.REQUEST, "io.seldon.serving.inference.response": Side.RESPONSE}
_ABOUT = ("namespace", "endpoint", "modelid")
_BARE = frozenset({"type", "requestid", "modelid", "inferenceservicename", "namespace", "endpoint", "protocol"})
_UNREAD = ("binData", "tftensor", "customData")


@dataclass(frozen=True, slots=True)
class Seldon:
    """Fields as in `config.formats`."""

    reading: Reading
    pair_within_ms: int
    record_bytes: int

    def half(self, raw: Raw) -> Half:
        """As `Paired.half`."""
        return half_of(event_of(raw, self.record_bytes, _BARE), raw, _SIDES, ("requestid", "id"), _ABOUT)

    def pair(self, request: Half | None, response: Half) -> Sequence[Row]:
        """As `Paired.pair`."""
        answered = document_in(response.body)
        answers = _answers(answered)
        features = None if request is None else _features(document_in(request.body), self.reading.names)
        about = named_in(answered) | dict(response.about)
        return records(response.request_id, response.time_ms, answers, features, about, self.reading)


def _features(document: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    if type(document) is not dict:
        return features_in(document, names)
    _refuse_binary(document)
    if type(document.get("data")) is dict:
        own, rows = _table(document["data"])
        return table(own or names, rows, "data")
    if "jsonData" in document:
        found = document["jsonData"]
        if type(found) is dict and {"instances", "inputs"} & found.keys():
            return features_in(found, names)
        return instances(found if type(found) is list else [found], names)
    if type(document.get("strData")) is str:
        return [{"text": document["strData"]}]
    return features_in(document, names)


def _answers(document: Any) -> list[Answer]:
    if type(document) is not dict:
        return answers_in(document)
    status = document.get("status")
    if type(status) is dict and status.get("status") == "FAILURE":
        told = f"{status.get('reason') or ''} {status.get('info') or ''}".strip()
        raise Unreadable(f"the model answered with an error, which is no prediction: {told[:200]}")
    _refuse_binary(document)
    if type(document.get("data")) is dict:
        names, rows = _table(document["data"])
        return [_answer(names, row) for row in rows]
    if "jsonData" in document:
        found = document["jsonData"]
        is_wrapped = type(found) is dict and ({"predictions", "outputs", "error"} & found.keys())
        return answers_in(found if is_wrapped or type(found) is list else [found])
    if type(document.get("strData")) is str:
        return [{"": document["strData"]}]
    return answers_in(document)


def _answer(names: Sequence[str], row: Any) -> Answer:
    """A row whole, and each of its columns by name."""
    answer: Answer = {"": row}
    if type(row) is list and len(row) == len(names):
        answer |= dict(zip(names, row, strict=True))
    return answer


def _refuse_binary(document: dict[str, Any]) -> None:
    data = document.get("data")
    held = [*document, *(data if type(data) is dict else ())]
    for name in _UNREAD:
        if name in held:
            raise Unreadable(f"the payload is {name}, which holds no columns that can be read")


def _table(data: dict[str, Any]) -> tuple[list[str], list[Any]]:
    """Names of the columns, and the rows."""
    names = data.get("names")
    named = [str(each) for each in names] if type(names) is list else []
    if type(data.get("ndarray")) is list:
        rows = data["ndarray"]
        # One row may stand without the array around it.
        return named, rows if not rows or type(rows[0]) is list or len(named) != len(rows) else [rows]
    tensor = data.get("tensor")
    if type(tensor) is dict and type(tensor.get("values")) is list and type(tensor.get("shape")) is list:
        values, shape = tensor["values"], tensor["shape"]
        if not shape or not all(type(size) is int and size > 0 for size in shape) or math.prod(shape) != len(values):
            raise Unreadable(f"the tensor has {len(values)} values, and its shape is {shape}")
        if len(shape) == 1:
            return named, values
        width = len(values) // shape[0]
        return named, [values[at : at + width] for at in range(0, len(values), width)]
    raise Unreadable("data has neither an ndarray nor a tensor")
