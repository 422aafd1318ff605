"""Values and keys for a terminal: exact where they can be, harmless always."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.rejected.texts import brief, indented, told

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON, st.sampled_from([None, 0, 3]))
def test_json_is_laid_out_and_else_as_it_came(value: object, indent: int | None) -> None:
    """Only the blanks between its parts are others: no number, escape or name is written anew."""
    raw = json.dumps(value, indent=indent)
    shown = "\n".join(indented(raw))
    assert _packed(shown) == _packed(raw)
    assert shown == shown.strip()


def _packed(text: str) -> list[str]:
    """The parts of a JSON text."""
    return re.findall(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s"{}\[\],:]+', text)


@given(st.none() | st.binary(max_size=3000) | st.text().map(str.encode) | JSON.map(json.dumps).map(str.encode))
def test_nothing_acts_on_a_terminal(value: bytes | None) -> None:
    """Whatever bytes a stranger has sent, each line is printable."""
    lines = list(told(value))
    assert lines
    assert all(line.isprintable() for line in lines)
    assert brief(value).isprintable()


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (None, "(no value)"),
        (b"", "(empty)"),
        (b"a\tb", "a\\tb"),
        (b"\xff\x00A", f"00000000  {'ff 00 41':<48} ..A"),
        (b"[" * 5000, "[" * 5000),
    ],
)
def test_what_is_not_json_is_text_or_digits(value: bytes | None, line: str) -> None:
    """And what is not there is said."""
    assert next(told(value)) == line


@pytest.mark.parametrize(("value", "what"), [(b"x" * 25_000, "5,000 characters"), (b"\xff" * 1500, "476 bytes")])
def test_what_is_long_is_cut(value: bytes, what: str) -> None:
    """With the way to all of it."""
    assert list(told(value))[-1] == f"... and {what} more: --raw writes all of them"


def test_deep_nesting_is_no_flood_of_blanks() -> None:
    """A megabyte of brackets would be a gigabyte of lines."""
    shown = list(told(b"[" * 900 + b"1," * 5000 + b"1" + b"]" * 900))
    assert max(map(len, shown)) < 80
