"""What the fields of a record mean: JSON values as request IDs, times, classes and segments."""

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson

from streamguard.core.records import Scalar

# The last millisecond of the year 9999, the last one that RFC 3339 can write.
TIME_MAX_MS = 253_402_300_799_999
SEGMENT_CHARS_MAX = 256
# What JSON libraries can write: signed or unsigned 64 bits.
_INT_MIN, _INT_MAX = -(1 << 63), (1 << 64) - 1

Path = tuple[str, ...]
"""The names that lead to a field."""


class Unreadable(ValueError):  # noqa: N818 - it is a reason, and becomes a rejected record, never an error
    """Why a record cannot be used; its text is what the rejected topic says."""


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
    return text[:SEGMENT_CHARS_MAX]


def document_of(value: bytes | None, record_bytes: int) -> dict[str, Any]:
    """The JSON object that a value is; raises `Unreadable`."""
    if value is None:
        raise Unreadable("empty value (a tombstone): expected a JSON object")
    if len(value) > record_bytes:
        raise Unreadable(f"value of {len(value)} bytes, above limits.record_bytes {record_bytes}")
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"not JSON: {error}") from None
    if type(found) is not dict:
        raise Unreadable(f"expected a JSON object, got {kind_of(found)}")
    return found


def kind_of(value: object) -> str:
    """A JSON value's type, for a message."""
    if value is None:
        return "null"
    kinds = {bool: "a boolean", str: "a string", int: "a number", float: "a number", list: "an array"}
    return kinds.get(type(value), "an object")


def pick(document: dict[str, Any], path: Path) -> Any:
    """The field at the end of a path; None where there is none."""
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
        raise Unreadable(f"time is {kind_of(value)}: expected epoch milliseconds or RFC 3339 text")
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
    raise Unreadable(f"value is {kind_of(value)}: expected a string, a number or a boolean")


def _as_int(value: Any) -> Scalar:
    try:
        number = int(value) if type(value) is str else value
    except ValueError:
        raise Unreadable(f"value {value[:40]!r} is not an integer, as its declared type says") from None
    if type(number) is float and number.is_integer():
        number = int(number)
    if type(number) is not int:
        raise Unreadable(f"value is {kind_of(value)}: expected an integer, as its declared type says")
    if not _INT_MIN <= number <= _INT_MAX:
        raise Unreadable(f"value {str(value)[:40]!r} is an integer of more than 64 bits")
    return number


def _as_float(value: Any) -> Scalar:
    if type(value) not in (str, int, float):
        raise Unreadable(f"value is {kind_of(value)}: expected a number, as its declared type says")
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
    raise Unreadable(f"value is {kind_of(value)}: expected a string, as its declared type says")


def _as_bool(value: Any) -> Scalar:
    if type(value) is bool:
        return value
    named = {"true": True, "1": True, "false": False, "0": False}
    text = str(value).lower()
    if type(value) in (str, int) and text in named:
        return named[text]
    raise Unreadable(f"value {text[:40]!r} is not a boolean, as its declared type says")


CONVERSIONS: dict[str | None, Callable[[Any], Scalar]] = {
    None: _as_is,
    "int": _as_int,
    "float": _as_float,
    "str": _as_str,
    "bool": _as_bool,
}
"""By declared type: what makes a value of a JSON value; each raises `Unreadable`."""
