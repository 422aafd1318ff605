"""Rows that are Python objects as JSON that readers of records take.

Dates and times become epoch milliseconds (without a zone they are UTC), durations milliseconds, decimals
floats, and whole numbers as request IDs text. What is missing (None, NaN, NaT, NA) is null.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import numpy as np
import orjson

from streamguard.core import fields
from streamguard.core.records import Blobs
from streamguard.replay.sources import ROWS_MAX, GivenError

Value = TypeVar("Value")

TAKEN = (
    "an iterable of mappings, or of JSON as text or bytes; a mapping of columns; or a DataFrame of pandas or polars,"
    " or a Table of pyarrow"
)
"""What is taken for records, for errors."""
_BATCH_BYTES = 8 << 20
_EPOCH = datetime.fromtimestamp(0, UTC)
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_NAIVE_UTC


def written(rows: Iterable[Any], where: str, needed: Sequence[fields.Path]) -> Iterator[Blobs]:
    """Rows as JSON, as many at a time as fit into memory."""
    id_path = needed[0] if needed else ()
    held: list[bytes] = []
    size = 0
    for number, row in enumerate(rows):
        try:
            held.append(row if type(row) is bytes else _json(row, id_path))
        except (TypeError, ValueError, OverflowError) as error:
            raise GivenError(f"{where}: row {number} {_wrong(row, error)}") from None
        size += len(held[-1])
        if len(held) == ROWS_MAX or size >= _BATCH_BYTES:
            yield Blobs.of(held)
            held, size = [], 0
    if held:
        yield Blobs.of(held)


def grouped(names: Mapping[str, Value]) -> tuple[dict[str, Value], dict[str, dict[str, Value]]]:
    """Those that stand for themselves; and by what is before their first dot, those that are within that object."""
    plain: dict[str, Value] = {}
    groups: dict[str, dict[str, Value]] = {}
    for name, value in names.items():
        head, _, rest = name.partition(".")
        if head and rest and head not in names:
            groups.setdefault(head, {})[rest] = value
        else:
            plain[name] = value
    return plain, groups


def nested(cells: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose fields are named by their paths, as the object that it means."""
    plain, groups = grouped(cells)
    return plain | {name: nested(inner) for name, inner in groups.items()}


def _json(row: Any, id_path: fields.Path) -> bytes:
    if isinstance(row, str):
        return row.encode()
    if isinstance(row, bytes | bytearray | memoryview):
        return bytes(row)
    if not isinstance(row, Mapping):
        raise TypeError
    document: Mapping[str, Any] = row if type(row) is dict else dict(row)
    if id_path:
        document = _with_text(document, id_path)
    if np.datetime64 in map(type, document.values()):
        # orjson would write text.
        document = {k: _plain(v) if type(v) is np.datetime64 else v for k, v in document.items()}
    return orjson.dumps(document, _plain, _OPTIONS)


def _with_text(document: Mapping[str, Any], path: fields.Path) -> Mapping[str, Any]:
    """The same with the whole number at the end of a path, if there is one, as text."""
    name, *rest = path
    value = document.get(name)
    if rest:
        changed: Any = _with_text(value, tuple(rest)) if isinstance(value, Mapping) else value
    else:
        changed = str(value) if type(value) is int or isinstance(value, np.integer) else value
    return document if changed is value else {**document, name: changed}


def _wrong(row: object, error: Exception) -> str:
    """What is wrong with a row that cannot be written."""
    if not isinstance(row, Mapping):
        return f"is a {type(row).__name__}. What is taken: {TAKEN}"
    for name, value in row.items():
        try:
            _json({name: value}, ())
        except (TypeError, ValueError, OverflowError) as reason:
            return f"has no JSON: {name!r} is a {type(value).__name__} ({reason.__cause__ or reason})"
    return f"has no JSON ({error})"


def _plain(value: Any) -> Any:
    """What orjson does not take, as what it takes; raises TypeError where there is nothing such."""
    if type(value).__name__ in {"NAType", "NaTType"}:
        return None
    if isinstance(value, np.datetime64 | np.timedelta64):
        return None if np.isnat(value) else int(value.astype(f"{value.dtype.kind}8[ms]").astype(np.int64))
    if isinstance(value, datetime):
        # pandas takes thrice the time for its own arithmetic.
        value = value.to_pydatetime(warn=False) if hasattr(value, "to_pydatetime") else value
        return ((value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)
    if isinstance(value, date):
        return _plain(datetime.combine(value, time()))
    if isinstance(value, timedelta):
        return value // timedelta(milliseconds=1)
    return _other(value)


def _other(value: Any) -> Any:
    if isinstance(value, time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, AbstractSet):
        return list(value)
    raise TypeError("give text, numbers, true or false, times, or lists and mappings of these")
