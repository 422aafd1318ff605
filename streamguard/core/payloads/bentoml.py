"""BentoML's monitoring records.

A flat object for each `monitor.log` round: the columns that the service logs with the roles feature, prediction and
target, and `timestamp` (local time, without an offset), `request_id` and `trace_id`. The roles are in records of their
own, the schema, so that the configuration must name the prediction.
Source: github.com/bentoml/BentoML, src/bentoml/_internal/monitoring/default.py; BentoML documentation, "Inference Data
Collection & Model Monitoring".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamguard.core.fields import Unreadable, document_of, parse_time_ms
from streamguard.core.payloads.adapter import Raw, Row
from streamguard.core.payloads.answers import Reading, records, text_of

_OWN = ("timestamp", "request_id", "trace_id")


@dataclass(frozen=True, slots=True)
class BentoML:
    """Fields as in `config.formats`."""

    prediction: str
    score: str | None
    row_id: str | None
    utc_offset: str
    record_bytes: int

    def rows(self, raw: Raw) -> Sequence[Row]:
        """As `Whole.rows`."""
        document = document_of(raw.value, self.record_bytes)
        if "columns" in document and "meta_data" in document:
            raise Unreadable("a schema of BentoML's monitoring, which is no prediction")
        time_ms = self._time(document, raw)
        left_out = {*_OWN, self.prediction, self.score}
        features = {name: value for name, value in document.items() if name not in left_out}
        request_id = text_of(document.get(self.row_id or "request_id"))
        if request_id is None:
            raise Unreadable(f"column {self.row_id or 'request_id'!r} is missing, null or no ID")
        outputs = {name: document[name] for name in (self.prediction, self.score) if name in document}
        reading = Reading(output=self.prediction, score=self.score if self.score in document else None)
        return records(request_id, time_ms, [outputs], [features], {}, reading)

    def _time(self, document: dict[str, Any], raw: Raw) -> int:
        found = document.get("timestamp")
        if found is None:
            if raw.timestamp_ms < 0:
                raise Unreadable("column 'timestamp' is missing, and the record has no Kafka timestamp")
            return raw.timestamp_ms
        try:
            return parse_time_ms(found)
        except Unreadable:
            return parse_time_ms(f"{found}{self.utc_offset}" if type(found) is str else found)
