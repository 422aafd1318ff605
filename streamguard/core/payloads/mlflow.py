"""Rows of Databricks inference tables, which hold an MLflow model server's requests and responses.

Two generations: the first has `timestamp_ms`, `execution_time_ms` and `request_metadata` (a map with `model_name`,
`model_version` and `endpoint_name`); that of the AI Gateway `request_time`, `execution_duration_ms` and
`served_entity_id`. Both have `databricks_request_id`, `client_request_id`, `status_code`, and `request` and `response`
as JSON in text. A request that held many rows is one row of the table.
Sources: Databricks documentation, "Inference tables for monitoring and debugging models" and "Monitor served models
using AI Gateway-enabled inference tables"; MLflow documentation, "Deploy MLflow Model as a Local Inference Server".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from streamguard.core.fields import Unreadable, document_of, parse_time_ms
from streamguard.core.payloads.adapter import Raw, Row
from streamguard.core.payloads.answers import Reading, records, text_of
from streamguard.core.payloads.protocols import answers_in, document_in, features_in

_IDS = ("client_request_id", "databricks_request_id")
_TIMES = ("timestamp_ms", "request_time", "event_time")
_STATUS_OK = range(200, 300)


@dataclass(frozen=True, slots=True)
class MLflow:
    """Fields as in `config.formats`."""

    reading: Reading
    request_id: str | None
    record_bytes: int

    def rows(self, raw: Raw) -> Sequence[Row]:
        """As `Whole.rows`."""
        document = document_of(raw.value, self.record_bytes)
        status = text_of(document.get("status_code"))
        if status is not None and not (status.isdigit() and int(status) in _STATUS_OK):
            raise Unreadable(f"status_code {status[:10]} is an error, which is no prediction")
        answers = answers_in(_body(document, "response"))
        try:
            features = features_in(_body(document, "request"), self.reading.names)
        except Unreadable:
            # A request that was too large to be logged is null; the prediction was made all the same.
            if document.get("request") is not None:
                raise
            features = None
        return records(self._id(document), _time(document, raw), answers, features, _about(document), self.reading)

    def _id(self, document: dict[str, Any]) -> str | None:
        for name in _IDS if self.request_id is None else (self.request_id,):
            if text := text_of(document.get(name)):
                return text
        return None


def _body(document: dict[str, Any], name: str) -> Any:
    found = document.get(name)
    if found is None:
        raise Unreadable(f"column {name!r} is missing or null")
    return document_in(found.encode(errors="replace")) if type(found) is str else found


def _time(document: dict[str, Any], raw: Raw) -> int:
    for name in _TIMES:
        found = document.get(name)
        if found is not None:
            # A table that was exported as text has a blank, and times in UTC, as Spark shows them.
            is_bare = type(found) is str and found[10:11] in {" ", "T"} and found[-6:-5] not in {"+", "-"}
            return parse_time_ms(f"{found}+00:00" if is_bare and not found.endswith("Z") else found)
    if raw.timestamp_ms < 0:
        raise Unreadable(f"none of {', '.join(_TIMES)} is there, and the record has no Kafka timestamp")
    return raw.timestamp_ms


def _about(document: dict[str, Any]) -> dict[str, str]:
    held = document.get("request_metadata")
    if type(held) is str:
        try:
            held = orjson.loads(held)
        except orjson.JSONDecodeError:
            held = None
    # Tables hand a map out as an object, or as pairs of key and value.
    pairs = held if type(held) is dict else dict(each for each in held if _is_pair(each)) if type(held) is list else {}
    found = {
        "model": pairs.get("model_name"),
        "version": pairs.get("model_version"),
        "endpoint": pairs.get("endpoint_name"),
        "served_entity_id": document.get("served_entity_id"),
    }
    return {name: text for name, value in found.items() if (text := text_of(value))}


def _is_pair(each: Any) -> bool:
    return type(each) is list and len(each) == 2 and type(each[0]) is str
