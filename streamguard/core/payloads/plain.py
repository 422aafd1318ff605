"""Streamguard's own form: an object for each prediction or label, and objects that hold many of them in an array."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamguard.core.codec import Mapping
from streamguard.core.fields import Path, Unreadable, document_of, kind_of, parse_time_ms, pick
from streamguard.core.payloads.adapter import Raw, Row
from streamguard.core.payloads.answers import dumps, text_of


@dataclass(frozen=True, slots=True)
class Plain:
    """One record is one row, and is written as it came."""

    mapping: Mapping

    def rows(self, raw: Raw) -> Sequence[Row]:
        """As `Whole.rows`."""
        document = document_of(raw.value, self.mapping.record_bytes)
        request_id = pick(document, self.mapping.request_id)
        if type(request_id) is not str or not request_id:
            name = ".".join(self.mapping.request_id)
            missing = request_id is None
            found = "missing or null" if missing else f"{kind_of(request_id)}: expected a string that is not empty"
            raise Unreadable(f"field {name!r} is {found}")
        return [Row(request_id, _time(document, {}, self.mapping.time, raw), raw.value or b"")]


@dataclass(frozen=True, slots=True)
class Batch:
    """An array's rows become records of their own: what a row has, and else what the record has beside the array."""

    mapping: Mapping
    array: Path
    features: Path | None = None

    def rows(self, raw: Raw) -> Sequence[Row]:
        """As `Whole.rows`."""
        document = document_of(raw.value, self.mapping.record_bytes)
        found = pick(document, self.array)
        if type(found) is not list or not found:
            what = "empty" if found == [] else kind_of(found) if found is not None else "missing or null"
            raise Unreadable(f"field {'.'.join(self.array)!r} is {what}: expected an array of rows")
        features = self._features(document, len(found))
        shared = _without(_without(document, self.array), self.features or ())
        rows = []
        for number, row in enumerate(found):
            own = row if type(row) is dict else _with({}, self.mapping.value, row)
            if features is not None:
                own = {**own, "features": features[number]}
            request_id = self._id(own, shared, number, len(found))
            time_ms = _time(own, shared, self.mapping.time, raw)
            written = _with({**shared, **own}, self.mapping.request_id, request_id)
            rows.append(Row(request_id, time_ms, dumps(written)))
        return rows

    def _features(self, document: dict[str, Any], count: int) -> list[Any] | None:
        if self.features is None:
            return None
        found = pick(document, self.features)
        name = ".".join(self.features)
        if type(found) is not list:
            raise Unreadable(f"field {name!r} is {kind_of(found)}: expected an array of features")
        if len(found) != count:
            raise Unreadable(f"field {name!r} has {len(found)} rows, and {'.'.join(self.array)!r} has {count}")
        return found

    def _id(self, row: dict[str, Any], shared: dict[str, Any], number: int, count: int) -> str:
        if (own := text_of(pick(row, self.mapping.request_id))) is not None:
            return own
        if (found := text_of(pick(shared, self.mapping.request_id))) is not None:
            return found if count == 1 else f"{found}:{number}"
        raise Unreadable(f"field {'.'.join(self.mapping.request_id)!r} is in neither the rows nor the record")


def _time(row: dict[str, Any], shared: dict[str, Any], path: Path | None, raw: Raw) -> int:
    if path is None:
        if raw.timestamp_ms < 0:
            raise Unreadable("the record has no Kafka timestamp, and no time field is configured")
        return raw.timestamp_ms
    found = pick(row, path)
    if found is None:
        found = pick(shared, path)
    if found is None:
        raise Unreadable(f"field {'.'.join(path)!r} is missing or null")
    return parse_time_ms(found)


def _with(document: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """The same with a value at the end of a path."""
    name, *rest = path
    if rest:
        inner = document.get(name)
        value = _with(inner if type(inner) is dict else {}, tuple(rest), value)
    return {**document, name: value}


def _without(document: dict[str, Any], path: Path) -> dict[str, Any]:
    """The same without what is at the end of a path."""
    if not path:
        return document
    name, *rest = path
    if rest and type(document.get(name)) is dict:
        return {**document, name: _without(document[name], tuple(rest))}
    return {key: value for key, value in document.items() if key != name}
