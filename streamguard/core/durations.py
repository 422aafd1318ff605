"""Durations: `1h30m` for people, integer milliseconds for the code."""

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS_MS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}

# Weeks are read but not written: "30d" says more than "4w2d".
_WRITTEN = ("d", "h", "m", "s", "ms")

# Each unit at most once, the largest first: "1h30m" is a duration, "30m1h" is a slip.
_PATTERN = "".join(rf"(?:(?P<{unit}>[0-9]+){unit})?" for unit in _UNITS_MS)
_DURATION = re.compile(_PATTERN)
_SCHEMA_PATTERN = "^(?=.)" + "".join(rf"([0-9]+{unit})?" for unit in _UNITS_MS) + "$"

# A hundred years: longer is a slip, and event times plus this still fit into 64 bits.
_LONGEST_MS = 36_525 * _UNITS_MS["d"]

_FORMS = 'a duration such as "250ms", "30s", "5m", "2h", "7d", "1w" or "1h30m"'


def parse_duration_ms(text: str | int) -> int:
    """Read a duration into milliseconds; an int is taken as milliseconds already.

    Raises ValueError for any other form, for less than 0 and for more than a hundred years.

    >>> parse_duration_ms("1h30m")
    5400000
    """
    if isinstance(text, bool) or not isinstance(text, str | int):
        # Not a TypeError: pydantic reports only a ValueError beside the setting it concerns.
        raise ValueError(f"{text!r} is not {_FORMS}")  # noqa: TRY004
    duration_ms = text if isinstance(text, int) else _parsed(text)
    if not 0 <= duration_ms <= _LONGEST_MS:
        raise ValueError(f"{text!r} is outside 0s to 36525d (a hundred years)")
    return duration_ms


def _parsed(text: str) -> int:
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise ValueError(f"{text!r} is not {_FORMS}")
    return sum(int(amount) * _UNITS_MS[unit] for unit, amount in match.groupdict(default="0").items())


def format_duration_ms(duration_ms: int) -> str:
    """Write milliseconds in the form that `parse_duration_ms` reads back to the same number.

    >>> format_duration_ms(5_400_000)
    '1h30m'
    """
    parts = []
    for unit in _WRITTEN:
        amount, duration_ms = divmod(duration_ms, _UNITS_MS[unit])
        if amount:
            parts.append(f"{amount}{unit}")
    return "".join(parts) or "0s"


DurationMs = Annotated[
    int,
    BeforeValidator(parse_duration_ms),
    PlainSerializer(format_duration_ms, return_type=str),
    WithJsonSchema(
        {
            "type": ["string", "integer"],
            "pattern": _SCHEMA_PATTERN,
            "minimum": 0,
            "examples": ["30s", "5m", "1h30m"],
        }
    ),
]
"""Milliseconds in Python; written as `1h30m` in YAML and JSON, where a bare integer is milliseconds, too."""
