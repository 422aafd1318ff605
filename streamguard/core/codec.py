"""Bytes to columns for predictions and labels; the only place that reads their JSON.

A reader is total: no bytes make it raise, and what it cannot use comes back with the reason.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Any

import orjson

from streamguard.core.records import Batch, Scalar

# The last millisecond of the year 9999, the last one that RFC 3339 can write.
TIME_MAX_MS = 253_402_300_799_999
_SEGMENT_CHARS_MAX = 256
_INTERNED_MAX = 4096
_ROUTES_MAX = 100_000
_MODELS_NAMED_MAX = 100
# What JSON libraries can write: signed or unsigned 64 bits.
_INT_MIN, _INT_MAX = -(1 << 63), (1 << 64) - 1
# A class or a number, not a document: an outcome must fit many times into a record.
_VALUE_CHARS_MAX = 1024

Path = tuple[str, ...]
Target = tuple[int, tuple[str | None, ...]]
"""A monitor's number, and the values of the fields it splits by."""
Route = tuple[Target, ...]
Row = tuple[int, int, str, Scalar, float, Route]
"""Offset, event time, request ID, value, score, route."""


class Unreadable(ValueError):  # noqa: N818 - it is a reason, and becomes a rejected record, never an error
    """Why a record cannot be used; its text is what the rejected topic says."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that cannot be used: its place in the batch, and why."""

    index: int
    reason: str


@dataclass(slots=True)
class Columns:
    """The readable records of one batch, in offset order, and the others with their reasons."""

    offsets: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    values: list[Scalar] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Watch:
    """Which predictions a monitor takes, and by which fields it splits them."""

    match: tuple[tuple[Path, str], ...]
    split_by: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """Where the fields of a side's records are; `time` None means the Kafka timestamp."""

    request_id: Path
    value: Path
    value_type: str | None = None
    time: Path | None = None
    score: Path | None = None
    model: Path | None = None
    max_ahead_ms: int = 3_600_000
    record_bytes: int = 1_048_576
    request_id_chars: int = 512


def canonical(value: object) -> str | None:
    """A field's value as the text that names a segment: `7` and `"7"` are one segment, `null` is none.

    Raises `Unreadable`.
    """
    if value is None:
        return None
    try:
        text = value if type(value) is str else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:
        # What can be read may be nested four times as deep as what can be written.
        raise Unreadable("a field that a monitor matches or splits by is nested too deeply") from None
    return text[:_SEGMENT_CHARS_MAX]


def _document(value: bytes | None, record_bytes: int) -> dict[str, Any]:
    if value is None:
        raise Unreadable("empty value (a tombstone): expected a JSON object")
    if len(value) > record_bytes:
        raise Unreadable(f"value of {len(value)} bytes, above limits.record_bytes {record_bytes}")
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"not JSON: {error}") from None
    if type(found) is not dict:
        raise Unreadable(f"expected a JSON object, got {_kind(found)}")
    return found


def _kind(value: object) -> str:
    if value is None:
        return "null"
    kinds = {bool: "a boolean", str: "a string", int: "a number", float: "a number", list: "an array"}
    return kinds.get(type(value), "an object")


def _pick(document: dict[str, Any], path: Path) -> Any:
    found: Any = document
    for name in path:
        if type(found) is not dict:
            return None
        found = found.get(name)
    return found


def parse_time_ms(value: object) -> int:
    """Epoch milliseconds from a number of them or from RFC 3339 text with an offset.

    Raises `Unreadable`.
    """
    if type(value) is int:
        time_ms = value
    elif type(value) is float and math.isfinite(value):
        time_ms = math.floor(value)
    elif type(value) is str:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise Unreadable(f"time {value[:40]!r} is not RFC 3339") from None
        if moment.tzinfo is None:
            raise Unreadable(f"time {value[:40]!r} has no UTC offset")
        try:
            time_ms = math.floor(moment.timestamp() * 1000 + 0.5)
        except (OverflowError, ValueError):
            raise Unreadable(f"time {value[:40]!r} is out of range") from None
    else:
        raise Unreadable(f"time is {_kind(value)}: expected epoch milliseconds or RFC 3339 text")
    if not 0 <= time_ms <= TIME_MAX_MS:
        raise Unreadable(f"time {time_ms} is outside 1970 to 9999")
    return time_ms


def _as_is(value: Any) -> Scalar:
    if type(value) is str or type(value) is int or type(value) is bool:
        return value
    if type(value) is float:
        if math.isfinite(value):
            return value
        raise Unreadable("value is not a finite number")
    raise Unreadable(f"value is {_kind(value)}: expected a string, a number or a boolean")


def _as_int(value: Any) -> Scalar:
    try:
        number = int(value) if type(value) is str else value
    except ValueError:
        raise Unreadable(f"value {value[:40]!r} is not an integer, as its declared type says") from None
    if type(number) is float and number.is_integer():
        number = int(number)
    if type(number) is not int:
        raise Unreadable(f"value is {_kind(value)}: expected an integer, as its declared type says")
    if not _INT_MIN <= number <= _INT_MAX:
        raise Unreadable(f"value {str(value)[:40]!r} is an integer of more than 64 bits")
    return number


def _as_float(value: Any) -> Scalar:
    if type(value) not in (str, int, float):
        raise Unreadable(f"value is {_kind(value)}: expected a number, as its declared type says")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise Unreadable(f"value {str(value)[:40]!r} is not a number, as its declared type says") from None
    if not math.isfinite(number):
        raise Unreadable("value is not a finite number")
    return number


def _as_str(value: Any) -> Scalar:
    if type(value) is str:
        return value
    if type(value) in (int, float, bool):
        return orjson.dumps(_as_is(value)).decode()
    raise Unreadable(f"value is {_kind(value)}: expected a string, as its declared type says")


def _as_bool(value: Any) -> Scalar:
    if type(value) is bool:
        return value
    named = {"true": True, "1": True, "false": False, "0": False}
    text = str(value).lower()
    if type(value) in (str, int) and text in named:
        return named[text]
    raise Unreadable(f"value {text[:40]!r} is not a boolean, as its declared type says")


_CONVERT: dict[str | None, Callable[[Any], Scalar]] = {
    None: _as_is,
    "int": _as_int,
    "float": _as_float,
    "str": _as_str,
    "bool": _as_bool,
}


class Reader:
    """Reads the batches of one side. Its caches share objects between records; they hold no state."""

    def __init__(self, mapping: Mapping, watches: Sequence[Watch] = ()) -> None:
        self._mapping = mapping
        self._watches = watches
        self._convert = _CONVERT[mapping.value_type]
        paths = [path for watch in watches for path in (*(p for p, _ in watch.match), *watch.split_by)]
        self._route_paths = tuple(dict.fromkeys(paths))
        self._routes: dict[tuple[Any, ...], Route] = {} if watches else {(): ()}
        self._interned: dict[str, str] = {}
        self._unmonitored: dict[str, int] = {}
        self._get = self._getter()

    def read(self, batch: Batch) -> Columns:
        """The batch as columns; no bytes make this raise.

        The body of the loop is the common record: every field at the top level, of the usual type, its
        class and route seen before. Whatever is not that goes to `_read`, which decides alone.
        """
        get, loads, read = self._get, orjson.loads, self._read
        interned, routes = self._interned, self._routes
        ahead_max, bytes_max = self._mapping.max_ahead_ms, self._mapping.record_bytes
        id_chars_max, is_timed = self._mapping.request_id_chars, self._mapping.time is not None
        columns = Columns()
        rows: list[Row] = []
        for index, (raw, record_ms) in enumerate(zip(batch.values, batch.timestamps, strict=True)):
            offset = batch.offsets[index]
            try:
                request_id, value, time_ms, *rest = get(loads(raw or b""))
                if not is_timed:
                    time_ms = record_ms
                if (
                    type(request_id) is str
                    and type(time_ms) is int
                    and 0 < len(request_id) <= id_chars_max
                    and 0 <= time_ms <= TIME_MAX_MS
                    and time_ms - record_ms <= ahead_max
                    and len(raw or b"") <= bytes_max
                ):
                    route = routes[tuple(rest)]
                    rows.append((offset, time_ms, request_id, interned[value], math.nan, route))
                    continue
            except (KeyError, TypeError, ValueError):
                pass  # not the common record
            try:
                rows.append(read(raw, record_ms, offset))
            except Unreadable as reason:
                columns.rejections.append(Rejection(index, str(reason)))
        if rows:
            columns.offsets, columns.times, columns.ids, columns.values, columns.scores, columns.routes = map(
                list, zip(*rows, strict=True)
            )
        return columns

    def _getter(self) -> Callable[[Any], tuple[Any, ...]]:
        """All fields of a document in one call; raises KeyError where that cannot be had."""
        mapping = self._mapping
        paths = [mapping.request_id, mapping.value, mapping.time or mapping.request_id, *self._route_paths]
        is_usual = mapping.value_type in (None, "str") and mapping.score is None
        if is_usual and all(len(path) == 1 for path in paths):
            return itemgetter(*(path[0] for path in paths))
        return {}.__getitem__

    def _read(self, raw: bytes | None, record_ms: int, offset: int) -> Row:
        document = _document(raw, self._mapping.record_bytes)
        request_id = _pick(document, self._mapping.request_id)
        if type(request_id) is not str or not 0 < len(request_id) <= self._mapping.request_id_chars:
            raise _bad_id(request_id, self._mapping)
        value = self._value(document)
        time_ms = self._time(document, record_ms)
        score = math.nan if self._mapping.score is None else self._score(document)
        return offset, time_ms, request_id, value, score, self._route(document)

    def pop_unmonitored(self) -> dict[str, int]:
        """How many records no watch takes, by the model they name, since the last call."""
        found, self._unmonitored = self._unmonitored, {}
        return found

    def _value(self, document: dict[str, Any]) -> Scalar:
        path = self._mapping.value
        raw = _pick(document, path)
        if raw is None:
            raise Unreadable(f"field {'.'.join(path)!r} is missing or null")
        try:
            value = self._convert(raw)
        except Unreadable as reason:
            raise Unreadable(f"field {'.'.join(path)!r}: {reason}") from None
        if type(value) is not str:
            return value
        if len(value) > _VALUE_CHARS_MAX:
            raise Unreadable(f"field {'.'.join(path)!r} has {len(value)} characters, above {_VALUE_CHARS_MAX}")
        # Classes are few and records many: one object for all of a class.
        shared = self._interned.get(value)
        if shared is None:
            shared = value
            if len(self._interned) < _INTERNED_MAX:
                self._interned[value] = value
        return shared

    def _time(self, document: dict[str, Any], record_ms: int) -> int:
        path = self._mapping.time
        if path is None:
            if not 0 <= record_ms <= TIME_MAX_MS:
                raise Unreadable("the record has no Kafka timestamp, and no time field is configured")
            return record_ms
        raw = _pick(document, path)
        if raw is None:
            raise Unreadable(f"field {'.'.join(path)!r} is missing or null")
        time_ms = raw if type(raw) is int and 0 <= raw <= TIME_MAX_MS else parse_time_ms(raw)
        if time_ms - record_ms > self._mapping.max_ahead_ms and record_ms >= 0:
            raise Unreadable(
                f"field {'.'.join(path)!r} is {time_ms - record_ms} ms ahead of the record's Kafka timestamp,"
                f" above join.max_ahead {self._mapping.max_ahead_ms} ms"
            )
        return time_ms

    def _score(self, document: dict[str, Any]) -> float:
        path = self._mapping.score or ()
        raw = _pick(document, path)
        if raw is None:
            return math.nan
        if type(raw) not in (int, float) or not 0 <= raw <= 1:
            raise Unreadable(f"field {'.'.join(path)!r} is not a probability from 0 to 1")
        return float(raw)

    def _route(self, document: dict[str, Any]) -> Route:
        raw = tuple([_pick(document, path) for path in self._route_paths])
        if not self._watches:
            return ()
        found = dict(zip(self._route_paths, map(canonical, raw), strict=True))
        route = self._find_route(found)
        if not route:
            # Not remembered as a route: these are named to the user, so each must pass here.
            self._count_unmonitored(document)
            return route
        # Only texts are remembered: 1, 1.0 and true are one key to a dict, and three segments.
        if all(type(value) is str and len(value) <= _SEGMENT_CHARS_MAX for value in raw):
            if len(self._routes) >= _ROUTES_MAX:
                self._routes.clear()
            route = self._routes.setdefault(raw, route)
        return route

    def _count_unmonitored(self, document: dict[str, Any]) -> None:
        model = canonical(_pick(document, self._mapping.model)) if self._mapping.model else None
        name = model if model is not None else "no model named"
        if name not in self._unmonitored and len(self._unmonitored) >= _MODELS_NAMED_MAX:
            name = "others"
        self._unmonitored[name] = self._unmonitored.get(name, 0) + 1

    def _find_route(self, found: dict[Path, str | None]) -> Route:
        return tuple(
            (number, tuple(found[path] for path in watch.split_by))
            for number, watch in enumerate(self._watches)
            if all(found[path] == wanted for path, wanted in watch.match)
        )


def _bad_id(request_id: object, mapping: Mapping) -> Unreadable:
    name = ".".join(mapping.request_id)
    if request_id is None:
        return Unreadable(f"field {name!r} is missing or null")
    if type(request_id) is not str:
        return Unreadable(f"field {name!r} is {_kind(request_id)}: expected a string")
    return Unreadable(f"field {name!r} has {len(request_id)} characters: expected 1 to {mapping.request_id_chars}")
