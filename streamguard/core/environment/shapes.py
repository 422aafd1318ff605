"""Shapes of JSON: which fields there are, of which types, and never what they hold.

A place is written like `predictions[].score`: `[]` is any element of an array, `*` any field of an object whose names
are data, `$` the whole. A name that is not made of letters, digits, `_` and `-` stands in quotes, as JSON has it.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

TYPES = ("object", "array", "string", "number", "boolean", "null")
ROOT = "$"
OPTIONAL = "?"
"""Behind the types of a field that not every object at its place has."""

_PLAIN = re.compile(r"[\w-]+")
_PART = r'(?:\*|[\w-]+|"(?:[^"\\]|\\.)*")'
_PATH = re.compile(rf"\$|(?:\[\]|{_PART})(?:\[\]|\.{_PART})*")
_LAST = re.compile(rf"(?:\[\]|\.?{_PART})$")
_DEPTH_MAX = 20
_NAMES_MAX = 100
_NAME_CHARS_MAX = 100
_FIELDS_MAX = 500
_PATH_CHARS_MAX = 300


def is_path(text: str) -> bool:
    """Whether it is the name of a place.

    >>> is_path("predictions[].score"), is_path("predictions.[0]")
    (True, False)
    """
    return len(text) <= _PATH_CHARS_MAX and _PATH.fullmatch(text) is not None


def parent(path: str) -> str:
    """The place around a place.

    >>> parent("predictions[].score"), parent("predictions[]"), parent("predictions")
    ('predictions[]', 'predictions', '$')
    """
    return _LAST.sub("", path) or ROOT


def shape_of(value: Any, maps: Collection[str] = ()) -> dict[str, str]:
    """Of each place its types, those of several elements with `|` between; at most 500 places, 20 deep.

    An object of more than 100 fields is taken as one whose names are data, as are the places in `maps`.

    >>> shape_of({"scores": [{"p": 0.5}, {"p": None, "why": "new"}]})
    {'$': 'object', 'scores': 'array', 'scores[]': 'object', 'scores[].p': 'null|number', 'scores[].why': 'string?'}
    """
    node = _Node()
    _take(node, value, ROOT, frozenset(maps), 0)
    found: dict[str, str] = {}
    for path, types in _places(node, ROOT, is_optional=False):
        found[path] = types
        if len(found) == _FIELDS_MAX:
            break
    return dict(sorted(found.items()))


def hash_of(fields: Mapping[str, str]) -> str:
    """What is equal for equal shapes: 16 hexadecimal digits."""
    return sha256(json.dumps(sorted(fields.items())).encode()).hexdigest()[:16]


def missing(fields: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """Of each wanted place that is not there, or of another type, what is wrong; under an empty array nothing is."""
    wrong = {}
    for path, types in wanted.items():
        found = fields.get(path)
        if found is None:
            if not _is_unknown(fields, path):
                wrong[path] = "is missing"
        elif found.endswith(OPTIONAL):
            wrong[path] = "is missing in some elements"
        elif types != "any" and (other := set(found.split("|")) - set(types.split("|"))):
            wrong[path] = f"is {' and '.join(sorted(other))}, not {types}"
    return wrong


def _is_unknown(fields: Mapping[str, str], path: str) -> bool:
    """Whether an array or a map around it is empty, so that nothing can be said."""
    while path != ROOT:
        around = parent(path)
        if path.endswith(("[]", "*")) and path not in fields and around in fields:
            return fields[around].rstrip(OPTIONAL) == ("array" if path.endswith("[]") else "object")
        path = around
    return False


@dataclass(slots=True)
class _Node:
    """All values at one place."""

    types: set[str] = field(default_factory=set)
    objects: int = 0
    fields: dict[str, "_Node"] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    inner: "_Node | None" = None
    """Elements of arrays."""
    any: "_Node | None" = None
    """Fields whose names are data."""


def _take(node: _Node, value: Any, path: str, maps: frozenset[str], depth: int) -> None:
    node.types.add(_type(value))
    if depth >= _DEPTH_MAX:
        return
    if isinstance(value, list):
        if value and node.inner is None:
            node.inner = _Node()
        for each in value if node.inner is not None else ():
            _take(node.inner, each, _joined(path, "[]"), maps, depth + 1)  # type: ignore[arg-type]
    elif isinstance(value, dict):
        node.objects += 1
        if node.any is not None or path in maps or len(node.fields.keys() | value.keys()) > _NAMES_MAX:
            _as_map(node)
        for name, each in value.items():
            if node.any is not None:
                _take(node.any, each, _joined(path, "*"), maps, depth + 1)
                continue
            inner = node.fields.setdefault(name, _Node())
            node.seen[name] = node.seen.get(name, 0) + 1
            _take(inner, each, _joined(path, _part(name)), maps, depth + 1)


def _as_map(node: _Node) -> None:
    if node.any is not None:
        return
    node.any = _Node()
    for each in node.fields.values():
        _merge(node.any, each)
    node.fields.clear()
    node.seen.clear()


def _merge(into: _Node, other: _Node) -> None:
    into.types |= other.types
    into.objects += other.objects
    if into.any is not None or other.any is not None or len(into.fields.keys() | other.fields.keys()) > _NAMES_MAX:
        _as_map(into)
        _as_map(other)
    for name, each in other.fields.items():
        _merge(into.fields.setdefault(name, _Node()), each)
        into.seen[name] = into.seen.get(name, 0) + other.seen[name]
    for side in ("inner", "any"):
        if (theirs := getattr(other, side)) is not None:
            if getattr(into, side) is None:
                setattr(into, side, _Node())
            _merge(getattr(into, side), theirs)


def _places(node: _Node, path: str, *, is_optional: bool) -> Iterator[tuple[str, str]]:
    if not node.types or len(path) > _PATH_CHARS_MAX:
        return
    yield path, "|".join(sorted(node.types)) + (OPTIONAL if is_optional else "")
    for name in sorted(node.fields):
        is_rare = node.seen[name] < node.objects
        yield from _places(node.fields[name], _joined(path, _part(name)), is_optional=is_rare)
    if node.any is not None:
        yield from _places(node.any, _joined(path, "*"), is_optional=False)
    if node.inner is not None:
        yield from _places(node.inner, _joined(path, "[]"), is_optional=False)


def _joined(path: str, part: str) -> str:
    if path == ROOT:
        return part
    return path + part if part == "[]" else f"{path}.{part}"


def _part(name: str) -> str:
    if _PLAIN.fullmatch(name):
        return name[:_NAME_CHARS_MAX]
    return json.dumps(name[:_NAME_CHARS_MAX])


def _type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"
