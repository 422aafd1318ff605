"""What a join task tells the monitor tasks of the predictions that it took: counts of bins, as JSON.

They stand in the records of the outcomes topic (core/outcomes.py), as `features` beside `blocks`:

    [{"monitor": "fraud", "of": "5f0c…", "segments": [["7", "DE"]],
      "windows": [{"segment": 0, "start": 1700000000000, "rows": 120, "offsets": [10, 140],
                   "bins": [0, 3, 17], "counts": [2, 100, 18], "scored": 120, "expected": 8120000,
                   "examples": [[4, 17, 1700000000123, "req-1", "what training made of it", "what came"]]}]}]

`of` is the fingerprint of what the bins mean. `bins` are numbered through all columns of the reference. Windows of one
start and segment are added up over all sources. `examples`: the column, the offset, the event time, the request ID, and
what is shown of it. `expected`: millionths of errors that the scores of `scored` predictions let expect.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from streamguard.core.features.folding import Counts, Example
from streamguard.core.fields import TIME_MAX_MS

Segments = list[tuple[str | None, ...]]
_INTS: set[type] = {int}
# Of names and brackets.
_HEAD_BYTES = 60
# So that sums of them, weighed, stay within 64 bits.
_COUNT_MAX = 1 << 28
_OFFSET_MAX = 1 << 53
_SHOWN_MAX, _SHOWN_CHARS = 2, 1000


@dataclass(frozen=True, slots=True)
class Delta:
    """Counts of one monitor."""

    monitor: str
    fingerprint: str
    segments: Segments
    windows: list[Counts]


def written(delta: Delta, bytes_max: int) -> list[bytes]:
    """As JSON, in pieces that are not larger, or of one window."""
    pieces: list[_Piece] = [_Piece()]
    head = _HEAD_BYTES + len(orjson.dumps([delta.monitor, delta.fingerprint]))
    sizes = [len(orjson.dumps(values)) for values in delta.segments]
    for each in delta.windows:
        piece = pieces[-1]
        window = _window(each, piece.places.get(each.segment, len(piece.places)))
        # With what separates it from the next.
        size = len(window) + 1 + (0 if each.segment in piece.places else sizes[each.segment] + 1)
        if piece.windows and piece.size + size > bytes_max - head:
            piece = _Piece()
            pieces.append(piece)
            window, size = _window(each, 0), len(window) + 1 + sizes[each.segment] + 1
        piece.places.setdefault(each.segment, len(piece.places))
        piece.windows.append(window)
        piece.size += size
    return [
        orjson.dumps(
            {
                "monitor": delta.monitor,
                "of": delta.fingerprint,
                "segments": [delta.segments[number] for number in piece.places],
                "windows": [orjson.Fragment(each) for each in piece.windows],
            }
        )
        for piece in pieces
    ]


@dataclass(slots=True)
class _Piece:
    """What fits into one record: its windows, and the segments that they are of, numbered anew."""

    windows: list[bytes] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)
    size: int = 0


def _window(each: Counts, segment: int) -> bytes:
    window = {
        "segment": segment,
        "start": each.start_ms,
        "rows": each.rows,
        "offsets": each.offsets,
        "bins": each.bins,
        "counts": each.counts,
        "scored": each.scored,
        "expected": each.expected,
        "examples": _examples(each.examples),
    }
    return orjson.dumps(window, option=orjson.OPT_SERIALIZE_NUMPY)


def _examples(examples: Mapping[int, Example]) -> list[list[Any]]:
    ordered = sorted(examples.items())
    return [[column, one.offset, one.time_ms, one.request_id, *one.shown] for column, one in ordered]


def read(block: dict[str, Any]) -> Delta:
    """One of `features`; raises `ValueError`, `TypeError` or `KeyError` where it does not follow the contract."""
    segments = [tuple(_of(each, {str, type(None)})) for each in block["segments"]]
    windows = [_read_window(each) for each in block["windows"]]
    if any(not 0 <= each.segment < len(segments) for each in windows):
        raise ValueError("a segment number without a segment")
    monitor, fingerprint = _of([block["monitor"], block["of"]], {str})
    return Delta(monitor, fingerprint, segments, windows)


def _read_window(window: dict[str, Any]) -> Counts:
    names = ("segment", "start", "rows", "scored", "expected")
    segment, start_ms, rows, scored, expected = _of([window[name] for name in names], _INTS)
    first, last = _of(window["offsets"], _INTS)
    every = [*_of(window["bins"], _INTS), *_of(window["counts"], _INTS), rows, scored]
    if not 0 <= min(every) <= max(every) <= _COUNT_MAX or not min(first, last, expected) >= 0:
        raise ValueError("a count of a window is negative, or larger than 2^28")
    if not max(first, last, expected) <= _OFFSET_MAX or not 0 <= start_ms <= TIME_MAX_MS:
        raise ValueError("an offset of a window is larger than 2^53, or it has no time")
    bins, counts = (np.array(window[name], np.int64) for name in ("bins", "counts"))
    if len(bins) != len(counts):
        raise ValueError("bins and counts of a window differ in length")
    examples = {}
    for column, offset, time_ms, request_id, *shown in window["examples"]:
        if not 0 <= min(_of([column, offset, time_ms], _INTS)) <= max(column, offset, time_ms) <= _OFFSET_MAX:
            raise ValueError("an example of no column, offset or time")
        _of([request_id, *shown], {str})
        if len(shown) > _SHOWN_MAX or any(len(each) > _SHOWN_CHARS for each in shown):
            raise ValueError("an example that shows too much")
        examples[column] = Example(offset, time_ms, request_id, tuple(shown))
    return Counts(segment, start_ms, rows, (first, last), bins, counts, scored, expected, examples)


def _of(values: Sequence[Any], types: set[type]) -> Sequence[Any]:
    if type(values) is not list or not set(map(type, values)) <= types:
        raise ValueError("a column of another type")
    return values
