"""Bytes as lines that a person can read, and that do nothing to a terminal."""

import re
from collections.abc import Iterator
from itertools import islice

import orjson

from streamguard.core.printing import printable

_TEXT_CHARS_MAX = 20_000
_HEX_BYTES_MAX = 1024
_ROW_BYTES = 16
# What is nested deeper is not indented further: it would be lines of blanks.
_DEPTH_MAX = 20
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s"{}\[\],:]+')


def told(value: bytes | None) -> Iterator[str]:
    """A value line by line: JSON indented and otherwise as it is, other text as it is, bytes in hexadecimal digits.

    Long ones are cut, and say so.
    """
    if value is None:
        yield "(no value)"
        return
    try:
        text = value.decode()
    except UnicodeDecodeError:
        yield from _hex(value)
        return
    if not text:
        yield "(empty)"
    cut = text[:_TEXT_CHARS_MAX]
    lines = indented(cut) if _is_json(value) else (cut.split("\n") if text else [])
    yield from map(printable, lines)
    if len(text) > len(cut):
        yield f"... and {len(text) - len(cut):,} characters more: --raw writes all of them"


def brief(content: bytes | None) -> str:
    """A key or a header on one line."""
    if content is None:
        return "(none)"
    try:
        text = content.decode()
    except UnicodeDecodeError:
        shown = content[:64].hex()
        return f"0x{shown}{'…' if len(content) > 64 else ''}"
    return printable(text[:500]) + ("…" if len(text) > 500 else "")


def indented(text: str) -> Iterator[str]:
    r"""JSON, a value on each line: not written anew, so that numbers, escapes and repeated names are as they came.

    >>> print("\n".join(indented('{"a":[1.0,{}],"a":2}')))
    {
      "a": [
        1.0,
        {}
      ],
      "a": 2
    }
    """
    line, depth, before = "", 0, ""
    for match in _TOKEN.finditer(text):
        part = match[0]
        if part in "}]":
            depth -= 1
            if before not in ("{", "["):
                yield line
                line = _blank(depth)
        elif before in ("{", "[", ","):
            yield line
            line = _blank(depth)
        line += f"{part} " if part == ":" else part
        depth += part in "{["
        before = part
    yield line


def _blank(depth: int) -> str:
    return "  " * min(depth, _DEPTH_MAX)


def _is_json(value: bytes) -> bool:
    try:
        orjson.loads(value)
    except orjson.JSONDecodeError:
        return False
    return True


def _hex(value: bytes) -> Iterator[str]:
    for start in islice(range(0, len(value), _ROW_BYTES), _HEX_BYTES_MAX // _ROW_BYTES):
        row = value[start : start + _ROW_BYTES]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        yield f"{start:08x}  {row.hex(' '):<{3 * _ROW_BYTES}} {text}"
    if len(value) > _HEX_BYTES_MAX:
        yield f"... and {len(value) - _HEX_BYTES_MAX:,} bytes more: --raw writes all of them"
