"""What a field's value means; tests/core/test_codec.py has the records around them."""

import math
from typing import Any

import pytest

from streamguard.core.fields import Unreadable, canonical, parse_time_ms


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (1_700_000_000_000, 1_700_000_000_000),
        (1.9, 1),
        ("1970-01-01T00:00:01Z", 1000),
        ("1970-01-01T01:00:00.0015+01:00", 2),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
    ],
)
def test_times_are_epoch_milliseconds_or_rfc_3339(value: Any, expected: int) -> None:
    """Both forms mean the same moment."""
    assert parse_time_ms(value) == expected


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("2024-01-01T00:00:00", "has no UTC offset"),
        ("2024-01-01", "has no UTC offset"),
        ("yesterday", "time 'yesterday' is not RFC 3339"),
        ("\udc80", "is not RFC 3339"),
        ("0001-01-01T00:00:00+23:00", "is outside 1970 to 9999"),
        (-1, "time -1 is outside 1970 to 9999"),
        (253_402_300_800_000, "is outside 1970 to 9999"),
        (1 << 64, "is outside 1970 to 9999"),
        (1e300, "is outside 1970 to 9999"),
        (math.inf, "time is a number: expected epoch milliseconds or RFC 3339 text"),
        (math.nan, "time is a number"),
        (True, "time is a boolean"),
        (None, "time is null"),
        ([1], "time is an array"),
    ],
)
def test_other_times_are_refused(value: Any, words: str) -> None:
    """A time that could be read in two ways, or not at all, is no time."""
    with pytest.raises(Unreadable, match=words.replace("'", ".")) as caught:
        parse_time_ms(value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, None),
        ("DE", "DE"),
        (7, "7"),
        (7.0, "7.0"),
        (True, "true"),
        ({"b": 1, "a": [None]}, '{"a":[null],"b":1}'),
        ("x" * 257, "x" * 256),
    ],
)
def test_a_segment_is_named_by_text(value: Any, name: str | None) -> None:
    """Equal values have one name, whatever the order of their keys, and names are short."""
    assert canonical(value) == name


def test_a_name_that_cannot_be_written_is_refused() -> None:
    """JSON can be written 254 deep only."""
    value: Any = 1
    for _ in range(300):
        value = [value]
    with pytest.raises(Unreadable, match="nested too deeply"):
        canonical(value)
