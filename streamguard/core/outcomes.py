"""The outcomes topic: what a join task tells the monitor tasks, as columns of JSON.

One record per source, target and step (more where they would be too large), so that a person can read
the topic and another engine can write it. Version 1:

    {"v": 1, "source": 3, "sources": 4, "sequence": 17, "watermark": 1700000000000 or null, "idle": false,
     "blocks": [{"monitor": "fraud", "segments": [["7", "DE"]], "segment": [0, 0],
                 "id": ["a", "b"], "prediction": ["x", "y"], "label": ["x", null], "score": [0.1, null],
                 "prediction_time": [...], "label_time": [...],
                 "prediction_offset": [...], "label_offset": [...]}],
     "predictions_watermark": 1700000000000 or null, "features": [...], "arrivals_watermarks": [1700000000000, null]}

An outcome whose label never came has a null label, label offset -1, and as its label time the moment
until which it was waited for. `watermark` promises that no outcome before it follows from this source;
null promises nothing, except with `idle`: this source has never had a record, do not wait for it.
`sequence` counts a source's steps without a gap. `score` is there where a monitor's loss needs it.

The next two are there where a monitor has a `data` section: see core/features/deltas.py for `features`, which no window
before `predictions_watermark` follows from this source any more. The last one is there where arrivals are counted
(core/arrivals/folding.py), which are among `features`, too: no window of the predictions before the first of the two
follows any more, and none of the labels before the second.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from streamguard.core.codec import Ints, Objects, objects
from streamguard.core.features import deltas
from streamguard.core.features.deltas import Delta
from streamguard.core.fields import TIME_MAX_MS
from streamguard.core.identity import distinct
from streamguard.core.records import Output, Stream
from streamguard.core.texts import Texts

VERSION = 1
NO_OFFSET = NO_SOURCE = -1
_NOT_MINE = -1
# Below the 1 MiB that a Kafka topic takes by default, with room for the record's own bytes.
_RECORD_BYTES_MAX = 900_000
_ROWS_MAX = 8192
_NULL = type(None)
_INTS: set[type] = {int}
_TEXTS: set[type] = {str}
_NAMES: set[type] = {str, _NULL}
_SCORES: set[type] = {int, float, _NULL}
_SCALARS: set[type] = {str, int, float, bool}
_LABELS: set[type] = {*_SCALARS, _NULL}


class OutcomeSettings(Protocol):
    """What the writer needs of a join task's settings."""

    @property
    def targets(self) -> Any: ...
    @property
    def target_count(self) -> int: ...
    @property
    def source_count(self) -> int: ...
    @property
    def monitor_names(self) -> Any: ...
    @property
    def with_scores(self) -> bool: ...
    @property
    def references(self) -> Any: ...
    @property
    def arrivals(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Half:
    """What outcomes have of their predictions, or of their labels; columns of equal length.

    `scores` and `routes` are of predictions; without scores, none is known.
    """

    offsets: Ints
    times: Ints
    values: Objects
    scores: NDArray[np.float64] | None = None
    routes: Objects | None = None

    def take(self, index: Any) -> "Half":
        """The rows that `index` selects, without their routes."""
        scores = None if self.scores is None else self.scores[index]
        return Half(self.offsets[index], self.times[index], self.values[index], scores)

    @staticmethod
    def concatenate(parts: "Sequence[Half]") -> "Half":
        """All rows of all parts, without their routes."""
        scores = [part.scores for part in parts if part.scores is not None]
        return Half(
            np.concatenate([part.offsets for part in parts]),
            np.concatenate([part.times for part in parts]),
            np.concatenate([part.values for part in parts]),
            np.concatenate(scores) if scores else None,
        )


@dataclass(frozen=True, slots=True)
class _Rows:
    """Outcomes of one monitor; `segment` numbers the `segments` in the order in which they are met."""

    segments: list[tuple[str | None, ...]]
    segment: Ints
    ids: Texts
    prediction: Half
    label: Half

    def part(self, start: int, end: int) -> "_Rows":
        rows = slice(start, end)
        numbers = list(dict.fromkeys(self.segment[rows].tolist()))
        places = np.zeros(len(self.segments), np.int64)
        places[numbers] = np.arange(len(numbers))
        return _Rows(
            [self.segments[number] for number in numbers],
            places[self.segment[rows]],
            self.ids.take(rows),
            self.prediction.take(rows),
            self.label.take(rows),
        )

    @staticmethod
    def concatenate(parts: "Sequence[_Rows]") -> "_Rows":
        if len(parts) == 1:
            return parts[0]
        table: dict[tuple[str | None, ...], int] = {}
        segment = []
        for part in parts:
            places = np.array([table.setdefault(each, len(table)) for each in part.segments])
            segment.append(places[part.segment])
        return _Rows(
            list(table),
            np.concatenate(segment),
            Texts.concatenate([part.ids for part in parts]),
            Half.concatenate([part.prediction for part in parts]),
            Half.concatenate([part.label for part in parts]),
        )


class OutcomeWriter:
    """Collects the outcomes of one step and writes them for each target."""

    def __init__(self, source: int, settings: OutcomeSettings) -> None:
        self._source = source
        self._settings = settings
        self._rows: dict[int, list[_Rows]] = {}
        self._deltas: list[tuple[int, Delta]] = []

    @property
    def is_empty(self) -> bool:
        return not (self._rows or self._deltas)

    def count(self, target: int, delta: Delta) -> None:
        """What predictions carried, or what arrived, for a target."""
        self._deltas.append((target, delta))

    def add(self, ids: Texts, prediction: Half, label: Half) -> None:
        """Predictions with their labels, each for the monitors on its route."""
        routes, number = distinct(np.empty(0, object) if prediction.routes is None else prediction.routes)
        tables: dict[int, dict[tuple[str | None, ...], int]] = {}
        places: dict[int, Ints] = {}
        for each, route in enumerate(routes):
            for monitor, segment in route:
                table = tables.setdefault(monitor, {})
                place = places.setdefault(monitor, np.full(len(routes), _NOT_MINE))
                place[each] = table.setdefault(segment, len(table))
        for monitor, table in tables.items():
            segment_numbers = places[monitor][number]
            rows = _Rows(list(table), segment_numbers, ids, prediction, label)
            if _NOT_MINE in places[monitor]:
                index = np.flatnonzero(segment_numbers != _NOT_MINE)
                rows = _Rows(
                    list(table), segment_numbers[index], ids.take(index), prediction.take(index), label.take(index)
                )
            self._rows.setdefault(monitor, []).append(rows)

    def write(
        self,
        sequence: int,
        watermark_ms: int | None,
        predictions_ms: int | None = None,
        arrivals_ms: Sequence[int | None] = (None, None),
        *,
        is_idle: bool = False,
    ) -> list[Output]:
        """Everything collected since the last call, and the watermarks to every target."""
        outputs = []
        for target in range(self._settings.target_count):
            parts = self._parts(target)
            for part in parts:
                is_last = part is parts[-1]
                head: dict[str, Any] = {
                    "v": VERSION,
                    "source": self._source,
                    "sources": self._settings.source_count,
                    "sequence": sequence,
                    "watermark": watermark_ms if is_last else None,
                    "idle": is_idle,
                    "blocks": [orjson.Fragment(block) for name, block in part if name == "blocks"],
                }
                if self._settings.references:
                    head["predictions_watermark"] = predictions_ms if is_last else None
                if self._settings.arrivals:
                    head["arrivals_watermarks"] = arrivals_ms if is_last else (None, None)
                if self._settings.references or self._settings.arrivals:
                    head["features"] = [orjson.Fragment(block) for name, block in part if name == "features"]
                outputs.append(Output(Stream.OUTCOMES, b"%d" % self._source, orjson.dumps(head), target))
        self._rows.clear()
        self._deltas.clear()
        return outputs

    def _parts(self, target: int) -> list[list[tuple[str, bytes]]]:
        """What goes to a target, by the record that it goes in: each piece with the name of its list."""
        parts: list[list[tuple[str, bytes]]] = [[]]
        size = 0
        for name, block in self._pieces(target):
            if size + len(block) > _RECORD_BYTES_MAX and parts[-1]:
                parts.append([])
                size = 0
            parts[-1].append((name, block))
            size += len(block)
        return parts

    def _pieces(self, target: int) -> Iterator[tuple[str, bytes]]:
        # In the monitors' order: it must not depend on which of them this step happened to meet first.
        for monitor, rows in sorted(self._rows.items()):
            if self._settings.targets[monitor] == target:
                for block in self._blocks(monitor, _Rows.concatenate(rows)):
                    yield "blocks", block
        for whose, delta in self._deltas:
            if whose == target:
                for block in deltas.written(delta, _RECORD_BYTES_MAX):
                    yield "features", block

    def _blocks(self, monitor: int, rows: _Rows) -> list[bytes]:
        count = len(rows.ids)
        if count <= _ROWS_MAX:
            block = self._block(monitor, rows)
            if len(block) <= _RECORD_BYTES_MAX or count == 1:
                return [block]
        middle = count // 2
        return self._blocks(monitor, rows.part(0, middle)) + self._blocks(monitor, rows.part(middle, count))

    def _block(self, monitor: int, rows: _Rows) -> bytes:
        prediction, label = rows.prediction, rows.label
        block = {
            "monitor": self._settings.monitor_names[monitor],
            "segments": rows.segments,
            "segment": rows.segment,
            "id": orjson.Fragment(rows.ids.as_json()),
            "prediction": prediction.values.tolist(),
            "label": label.values.tolist(),
            "prediction_time": prediction.times,
            "label_time": label.times,
            "prediction_offset": prediction.offsets,
            "label_offset": label.offsets,
        }
        if self._settings.with_scores:
            known = [math.nan] * len(rows.ids) if prediction.scores is None else prediction.scores.tolist()
            block["score"] = [None if math.isnan(each) else each for each in known]
        return orjson.dumps(block, option=orjson.OPT_SERIALIZE_NUMPY)


@dataclass(slots=True)
class Outcomes:
    """Outcomes as columns of equal length; `stream` numbers the (monitor, segment) pairs of a task."""

    time: Ints
    source: Ints
    prediction_offset: Ints
    label_offset: Ints
    prediction_time: Ints
    stream: Ints
    id: Objects
    prediction: Objects
    label: Objects
    score: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.time)

    def take(self, index: Any) -> "Outcomes":
        """The rows that `index` selects: a slice, a mask or places."""
        return Outcomes(*(getattr(self, name)[index] for name in Outcomes.__slots__))

    @staticmethod
    def concatenate(parts: "list[Outcomes]") -> "Outcomes":
        """All rows of all parts; there must be one part at least."""
        if len(parts) == 1:
            return parts[0]
        return Outcomes(*(np.concatenate([getattr(part, name) for part in parts]) for name in Outcomes.__slots__))

    def order(self) -> NDArray[np.intp]:
        """The places of all rows by (time, source, prediction offset, label offset): the total order of the design."""
        order = np.argsort(self.time, kind="stable")
        times = self.time[order]
        # Few share a time, and to sort by one column costs a third of sorting by four.
        is_tied = np.zeros(len(order), np.bool_)
        is_tied[1:] = times[1:] == times[:-1]
        is_tied[:-1] |= is_tied[1:]
        tied = order[is_tied]
        keys = self.label_offset[tied], self.prediction_offset[tied], self.source[tied], self.time[tied]
        order[is_tied] = tied[np.lexsort(keys)]
        return order


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    """One record of the outcomes topic, read back; each block is (monitor, segments, rows)."""

    source: int
    sources: int
    sequence: int
    watermark_ms: int | None
    is_idle: bool
    blocks: list[tuple[str, list[tuple[str | None, ...]], Outcomes]]
    predictions_ms: int | None = None
    features: list[Delta] = field(default_factory=list)
    arrivals_ms: tuple[int | None, int | None] = (None, None)


def read_outcomes(value: bytes | None) -> OutcomeRecord:
    """A record of the outcomes topic; raises `ValueError` where it does not follow the contract."""
    try:
        found = orjson.loads(value or b"null")
        if found["v"] != VERSION:
            raise ValueError(f"an outcomes record of version {VERSION} expected, got version {found['v']!r}")
        source, sources, watermark_ms = found["source"], found["sources"], found["watermark"]
        predictions_ms = found.get("predictions_watermark")
        if not (type(source) is int and type(sources) is int and 0 <= source < sources):
            raise ValueError(f"source {source!r} is not one of {sources!r} sources")
        of_predictions, of_labels = found.get("arrivals_watermarks", (None, None))
        for mark in (watermark_ms, predictions_ms, of_predictions, of_labels):
            if not (mark is None or type(mark) is int) or type(found["sequence"]) is not int:
                raise ValueError("watermark and sequence must be integers")
            # Past this, one bad promise would make every outcome that follows late.
            if mark is not None and abs(mark) > TIME_MAX_MS:
                raise ValueError(f"watermark {mark} is outside 1970 to 9999")
        blocks = [_read_block(source, block) for block in found["blocks"]]
        features = [deltas.read(block) for block in found.get("features", ())]
        is_idle = bool(found.get("idle"))
        return OutcomeRecord(
            source,
            sources,
            found["sequence"],
            watermark_ms,
            is_idle,
            blocks,
            predictions_ms,
            features,
            (of_predictions, of_labels),
        )
    except (KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise ValueError(f"not an outcomes record: {type(error).__name__} {error}") from None


def _read_block(source: int, block: dict[str, Any]) -> tuple[str, list[tuple[str | None, ...]], Outcomes]:
    count = len(block["id"])
    segment, prediction_time, label_time, prediction_offset, label_offset = (
        _ints(block, name) for name in ("segment", "prediction_time", "label_time", "prediction_offset", "label_offset")
    )
    request_id = objects(_column(block, "id", _TEXTS))
    prediction, label = objects(_shared(block, "prediction", _SCALARS)), objects(_shared(block, "label", _LABELS))
    score = np.array(_column(block, "score", _SCORES) if block.get("score") else [None] * count, dtype=np.float64)
    time = np.maximum(prediction_time, label_time)
    sources = np.full(count, source)
    rows = Outcomes(
        time,
        sources,
        prediction_offset,
        label_offset,
        prediction_time,
        segment,
        request_id,
        prediction,
        label,
        score,
    )
    if any(len(getattr(rows, name)) != count for name in Outcomes.__slots__):
        raise ValueError("the columns of a block differ in length")
    segments = [tuple(_of_types(each, _NAMES, "a segment")) for each in block["segments"]]
    if count and not 0 <= segment.min() <= segment.max() < len(segments):
        raise ValueError("a segment number without a segment")
    if count and not (prediction_time.min() >= 0 and label_time.min() >= 0 and time.max() <= TIME_MAX_MS):
        raise ValueError("a time outside 1970 to 9999")
    return str(block["monitor"]), segments, rows


def _ints(block: dict[str, Any], name: str) -> Ints:
    values = block[name]
    column = np.array(values if type(values) is list else None)
    # NumPy has found the type of all, at half the cost of asking each.
    if column.dtype != np.int64 or column.ndim != 1:
        column = np.array(_of_types(values, _INTS, name), dtype=np.int64)
    return column


def _column(block: dict[str, Any], name: str, types: set[type]) -> list[Any]:
    return _of_types(block[name], types, name)


def _shared(block: dict[str, Any], name: str, types: set[type]) -> list[Any]:
    """A column in which equal texts are one object: outcomes are held until all sources have come as far."""
    values = _column(block, name, types)
    # Of texts alone: 1, 1.0 and true are equal, too, and must stay what they are.
    texts: dict[str, str] = {}
    return [texts.setdefault(value, value) if type(value) is str else value for value in values]


def _of_types(values: Any, types: set[type], name: str) -> list[Any]:
    """The values, if they are a list of nothing else: NumPy would take nested lists, and numbers as text."""
    if type(values) is not list or not set(map(type, values)) <= types:
        allowed = ", ".join(sorted("null" if each is _NULL else each.__name__ for each in types))
        raise ValueError(f"{name} must be a list of: {allowed}")
    return values
