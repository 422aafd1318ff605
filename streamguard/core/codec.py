"""Bytes to columns for predictions and labels; the only place that reads their JSON.

A reader is total: no bytes make it raise, and what it cannot use comes back with the reason.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from streamguard.core.contract.inspecting import Differences, Inspector
from streamguard.core.fields import (
    CONVERSIONS,
    SEGMENT_CHARS_MAX,
    TIME_MAX_MS,
    Path,
    Unreadable,
    canonical,
    document_of,
    kind_of,
    parse_time_ms,
    pick,
)
from streamguard.core.records import Batch, Blobs, Scalar
from streamguard.core.skeleton import Found, Reading, Skeletons
from streamguard.core.texts import Texts, padded

_INTERNED_MAX = 4096
_ROUTES_MAX = 100_000
_MODELS_NAMED_MAX = 100
# A class or a number, not a document: an outcome must fit many times into a record.
_VALUE_CHARS_MAX = 1024

# Types whose values need no conversion, by declared type: JSON has no float that is not finite. Texts are shared.
_AS_THEY_ARE: dict[str | None, set[type]] = {
    None: {int, float, bool},
    "int": {int},
    "float": {float},
    "bool": {bool},
    "str": set(),
}

Ints = NDArray[np.int64]
Objects = NDArray[np.object_]
Target = tuple[int, tuple[str | None, ...]]
"""A monitor's number, and the values of the fields it splits by."""
Route = tuple[Target, ...]
Record = tuple[bytes | None, int, int, int]
"""Value, Kafka timestamp, offset, place in the batch."""
Row = tuple[int, int, str, Scalar, float, Route, Any]
"""Offset, event time, request ID, value, score, route, document."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that cannot be used: its place in the batch, and why."""

    index: int
    reason: str


@dataclass(slots=True)
class Columns:
    """The readable records of one batch, in offset order, as columns of equal length."""

    offsets: Ints
    times: Ints
    ids: Texts
    values: Objects
    scores: NDArray[np.float64] | None
    """None where there are none; NaN where one is not known."""
    routes: Objects | None
    """None for labels: their predictions have them."""
    documents: Objects | None = None
    """The records as they were parsed, where somebody asks for more of their fields."""

    def __len__(self) -> int:
        return len(self.offsets)

    @staticmethod
    def concatenate(parts: "Sequence[Columns]") -> "Columns":
        """All records of all parts, which are of one reader."""
        scores = [part.scores for part in parts if part.scores is not None]
        routes = [part.routes for part in parts if part.routes is not None]
        documents = [part.documents for part in parts if part.documents is not None]
        return Columns(
            np.concatenate([part.offsets for part in parts]),
            np.concatenate([part.times for part in parts]),
            Texts.concatenate([part.ids for part in parts]),
            np.concatenate([part.values for part in parts]),
            np.concatenate(scores) if scores else None,
            np.concatenate(routes) if routes else None,
            np.concatenate(documents) if documents else None,
        )

    def take(self, index: Any) -> "Columns":
        """The records that `index` selects: a slice, a mask or places."""
        return Columns(
            self.offsets[index],
            self.times[index],
            self.ids.take(index),
            self.values[index],
            None if self.scores is None else self.scores[index],
            None if self.routes is None else self.routes[index],
            None if self.documents is None else self.documents[index],
        )


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


class Reader:
    """Reads the batches of one side. Its caches share objects between records; they hold no state."""

    def __init__(
        self,
        mapping: Mapping,
        watches: Sequence[Watch] = (),
        *,
        keeps_documents: bool = False,
        inspector: Inspector | None = None,
    ) -> None:
        """`keeps_documents`: each record is parsed, also one that differs from another in its ID and time alone.

        `inspector`: holds records against a contract.
        """
        self._keeps_documents = keeps_documents
        self._inspector = inspector
        self._bounds = None if inspector is None else inspector.bounds(mapping.time)
        self.differences = Differences()
        """What the records of the last batch have that the contract has not."""
        self._mapping = mapping
        self._watches = watches
        self._convert = CONVERSIONS[mapping.value_type]
        paths = [path for watch in watches for path in (*(p for p, _ in watch.match), *watch.split_by)]
        self._route_paths = tuple(dict.fromkeys(paths))
        self._routes: dict[tuple[Any, ...], Route] = {} if watches else {(): ()}
        own = mapping.request_id, mapping.time or ()
        self._is_routed_by_its_own = any(each[: len(path)] == path for path in self._route_paths for each in own)
        """A field that routes is, or holds, the ID or the time: then no two records are of one kind."""
        self._interned: dict[str, str] = {}
        self._unmonitored: dict[str, int] = {}
        self._as_they_are = _AS_THEY_ARE[mapping.value_type]
        self._get = self._getter()
        self._skeletons = Skeletons(
            self._read_one,
            is_timed=mapping.time is not None,
            max_ahead_ms=mapping.max_ahead_ms,
            record_bytes=mapping.record_bytes,
        )

    def read(self, batch: Batch) -> tuple[Columns, list[Rejection]]:
        """The readable records of a batch, and the others with their reasons; no bytes make this raise."""
        offsets = np.asarray(batch.offsets, np.int64)
        times = np.asarray(batch.timestamps, np.int64)
        parts = []
        self.differences = Differences()
        values = Blobs.of(batch.values)
        is_left = np.ones(len(batch), np.bool_)
        for found in () if self._keeps_documents else self._skeletons.read(values, times):
            columns = self._of_known(offsets, found)
            places, marks = found.rows, found.marks
            if self._bounds is not None:
                fits = self._bounds.fits(columns.ids.tolist, columns.times)
                columns, places, marks = columns.take(fits), places[fits], marks[fits]
            is_left[places] = False
            self._note_kept(places, marks)
            parts.append(columns)
        left = np.flatnonzero(is_left)
        records = zip(values.take(left), times[left].tolist(), offsets[left].tolist(), left.tolist(), strict=True)
        rows, rejections = self._read_singly(records)
        if self._inspector is not None:
            rows, rejections = self._inspect(self._inspector, values, left, offsets, rows, rejections)
        if rows or not parts:
            parts.append(self._columns(rows))
        if len(parts) == 1:
            return parts[0], rejections
        columns = Columns.concatenate(parts)
        return columns.take(np.argsort(columns.offsets, kind="stable")), rejections

    def _of_known(self, offsets: Ints, found: Found) -> Columns:
        """What was read by skeletons."""
        ends = np.cumsum(found.id_sizes)
        return Columns(
            offsets[found.rows],
            found.times,
            Texts(padded(found.ids), ends - found.id_sizes, found.id_sizes),
            found.values,
            None if self._mapping.score is None else found.scores,
            found.routes if self._watches else None,
        )

    def _read_singly(self, records: Iterable[Record]) -> tuple[list[Row], list[Rejection]]:
        """Records of a batch, one by one.

        The body of the loop is the common record: every field at the top level, of the usual type, its
        class and route seen before. Whatever is not that goes to `_read`, which decides alone.
        """
        get, loads, read = self._get, orjson.loads, self._read
        interned, routes, as_they_are = self._interned, self._routes, self._as_they_are
        ahead_max, bytes_max = self._mapping.max_ahead_ms, self._mapping.record_bytes
        id_chars_max, is_timed = self._mapping.request_id_chars, self._mapping.time is not None
        is_scored, score = self._mapping.score is not None, math.nan
        rows: list[Row] = []
        rejections: list[Rejection] = []
        for raw, record_ms, offset, index in records:
            try:
                document = loads(raw or b"")
                request_id, value, time_ms, probability, *rest = get(document)
                if not is_timed:
                    time_ms = record_ms
                if is_scored:
                    score = probability
                if (
                    type(request_id) is str
                    and type(time_ms) is int
                    and 0 < len(request_id) <= id_chars_max
                    and 0 <= time_ms <= TIME_MAX_MS
                    and time_ms - record_ms <= ahead_max
                    and record_ms >= 0
                    and len(raw or b"") <= bytes_max
                    and type(score) is float
                    and (not is_scored or 0 <= score <= 1)
                ):
                    shared = value if type(value) in as_they_are else interned[value]
                    rows.append((offset, time_ms, request_id, shared, score, routes[tuple(rest)], document))
                    continue
            except (KeyError, TypeError, ValueError):
                pass  # not the common record
            try:
                row = read(raw, record_ms, offset)
            except Unreadable as reason:
                rejections.append(Rejection(index, str(reason)))
                continue
            rows.append(row)
            if self._watches and not row[5]:
                self._count_unmonitored(orjson.loads(raw or b""))
        return rows, rejections

    def _inspect(
        self,
        inspector: Inspector,
        values: Blobs,
        left: NDArray[np.intp],
        offsets: Ints,
        rows: list[Row],
        rejections: list[Rejection],
    ) -> tuple[list[Row], list[Rejection]]:
        """Hold what was read singly against the contract; some of it is rejected."""
        for each in rejections:
            inspector.unreadable(each.index, values[each.index], each.reason, self.differences)
        places = left[np.searchsorted(offsets[left], [row[0] for row in rows])].tolist()
        refused = inspector.inspect(places, [row[6] for row in rows], self.differences)
        if not refused:
            return rows, rejections
        more = [Rejection(place, reason) for place, reason in refused.items()]
        kept = [row for place, row in zip(places, rows, strict=True) if place not in refused]
        return kept, sorted([*rejections, *more], key=lambda each: each.index)

    def _note_kept(self, rows: NDArray[np.intp], marks: Objects) -> None:
        """What records of known skeletons differ in."""
        if self._inspector is None:
            return
        for place in np.flatnonzero(marks != None).tolist():  # noqa: E711 - of each
            differences, version = marks[place]
            self.differences.add(int(rows[place]), differences, version, "")

    def _read_one(self, raw: bytes, record_ms: int) -> Reading | None:
        """One record, if it can be read, a monitor takes it, and others may be of its kind."""
        if self._is_routed_by_its_own:
            return None
        try:
            _, time_ms, request_id, value, score, route, document = self._read(raw, record_ms, 0)
        except Unreadable:
            return None
        if self._watches and not route:
            return None
        marks = None
        if self._inspector is not None:
            differences = self._inspector.kept(document)
            if differences is None:
                return None
            marks = (differences, self._inspector.version_of(document)) if differences else None
        return Reading(request_id, time_ms, value, score, route, marks)

    def _columns(self, rows: list[Row]) -> Columns:
        offsets, times, ids, values, scores, routes, documents = zip(*rows, strict=True) if rows else ((),) * 7
        return Columns(
            np.array(offsets, np.int64),
            np.array(times, np.int64),
            Texts.of(ids),
            objects(values),
            None if self._mapping.score is None else np.array(scores, np.float64),
            objects(routes) if self._watches else None,
            objects(documents) if self._keeps_documents else None,
        )

    def _getter(self) -> Callable[[Any], tuple[Any, ...]]:
        """All fields of a document in one call; raises KeyError where that cannot be had."""
        mapping = self._mapping
        own = mapping.request_id
        paths = [own, mapping.value, mapping.time or own, mapping.score or own, *self._route_paths]
        if all(len(path) == 1 for path in paths):
            return itemgetter(*(path[0] for path in paths))
        return {}.__getitem__

    def _read(self, raw: bytes | None, record_ms: int, offset: int) -> Row:
        document = document_of(raw, self._mapping.record_bytes)
        request_id = pick(document, self._mapping.request_id)
        if type(request_id) is not str or not 0 < len(request_id) <= self._mapping.request_id_chars:
            raise _bad_id(request_id, self._mapping)
        value = self._value(document)
        time_ms = self._time(document, record_ms)
        score = math.nan if self._mapping.score is None else self._score(document)
        return offset, time_ms, request_id, value, score, self._route(document), document

    def pop_unmonitored(self) -> dict[str, int]:
        """How many records no watch takes, by the model they name, since the last call."""
        found, self._unmonitored = self._unmonitored, {}
        return found

    def _value(self, document: dict[str, Any]) -> Scalar:
        path = self._mapping.value
        raw = pick(document, path)
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
        raw = pick(document, path)
        if raw is None:
            raise Unreadable(f"field {'.'.join(path)!r} is missing or null")
        time_ms = raw if type(raw) is int and 0 <= raw <= TIME_MAX_MS else parse_time_ms(raw)
        if record_ms < 0:
            raise Unreadable("the record has no Kafka timestamp, so join.max_ahead cannot be checked")
        if time_ms - record_ms > self._mapping.max_ahead_ms:
            raise Unreadable(
                f"field {'.'.join(path)!r} is {time_ms - record_ms} ms ahead of the record's Kafka timestamp,"
                f" above join.max_ahead {self._mapping.max_ahead_ms} ms"
            )
        return time_ms

    def _score(self, document: dict[str, Any]) -> float:
        path = self._mapping.score or ()
        raw = pick(document, path)
        if raw is None:
            return math.nan
        if type(raw) not in (int, float) or not 0 <= raw <= 1:
            raise Unreadable(f"field {'.'.join(path)!r} is not a probability from 0 to 1")
        return float(raw)

    def _route(self, document: dict[str, Any]) -> Route:
        raw = tuple([pick(document, path) for path in self._route_paths])
        if not self._watches:
            return ()
        found = dict(zip(self._route_paths, map(canonical, raw), strict=True))
        route = self._find_route(found)
        # Not an empty one: whose it is is told to the user, so each must pass here. And only texts: 1, 1.0 and
        # true are one key to a dict, and three segments.
        if route and all(type(value) is str and len(value) <= SEGMENT_CHARS_MAX for value in raw):
            if len(self._routes) >= _ROUTES_MAX:
                self._routes.clear()
            route = self._routes.setdefault(raw, route)
        return route

    def _count_unmonitored(self, document: dict[str, Any]) -> None:
        model = canonical(pick(document, self._mapping.model)) if self._mapping.model else None
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


def objects(values: Sequence[Any]) -> Objects:
    """An array of just these objects: NumPy would look into them."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _bad_id(request_id: object, mapping: Mapping) -> Unreadable:
    name = ".".join(mapping.request_id)
    if request_id is None:
        return Unreadable(f"field {name!r} is missing or null")
    if type(request_id) is not str:
        return Unreadable(f"field {name!r} is {kind_of(request_id)}: expected a string")
    return Unreadable(f"field {name!r} has {len(request_id)} characters: expected 1 to {mapping.request_id_chars}")
