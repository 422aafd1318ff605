"""Formats as a configuration sets them, and records as they lie on Kafka."""

from collections.abc import Mapping as Headers
from typing import Any

import orjson
from pydantic import TypeAdapter

from streamguard.config.formats import LabelsFormat, PredictionsFormat
from streamguard.core.codec import Mapping
from streamguard.core.payloads import Adapter, Half, Paired, Raw, adapter

PREDICTION = Mapping(("request_id",), ("prediction",))
RECORD_MS = 1_700_000_000_000


def predictions_format(**settings: Any) -> Adapter:
    """The adapter of predictions with these settings."""
    return adapter(TypeAdapter[Any](PredictionsFormat).validate_python(settings), PREDICTION)


def labels_format(mapping: Mapping, **settings: Any) -> Adapter:
    """The adapter of labels with these settings."""
    return adapter(TypeAdapter[Any](LabelsFormat).validate_python(settings), mapping)


def raw(body: Any, headers: Headers[str, str] | None = None, *, timestamp_ms: int = RECORD_MS) -> Raw:
    """A record; the body as bytes, or as what JSON writes."""
    value = body if type(body) is bytes or body is None else orjson.dumps(body)
    return Raw(value, tuple((name, text.encode()) for name, text in (headers or {}).items()), timestamp_ms)


def whole(form: Adapter, record: Raw) -> list[dict[str, Any]]:
    """What a record of whole predictions becomes."""
    assert not isinstance(form, Paired)
    return [orjson.loads(row.value) for row in form.rows(record)]


def paired(form: Adapter, request: Raw | None, response: Raw) -> list[dict[str, Any]]:
    """What a request and its response become."""
    assert isinstance(form, Paired)
    return [
        orjson.loads(row.value)
        for row in form.pair(None if request is None else form.half(request), form.half(response))
    ]


def half(form: Adapter, record: Raw) -> Half:
    """What a record is."""
    assert isinstance(form, Paired)
    return form.half(record)
