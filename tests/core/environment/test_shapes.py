"""Shapes of JSON: what is told of it, and that values are not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.environment.shapes import ROOT, hash_of, is_path, missing, parent, shape_of
from tests.contract.schemas import wrong

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=30,
)


def result(fields: dict[str, str]) -> dict[str, Any]:
    """Of a probe, as it would carry this form."""
    times = dict.fromkeys(("connect_ms", "first_byte_ms", "tls_issued", "tls_expires", "tls_issuer", "content_type"))
    about = {"v": 1, "type": "probe", "time": 0, "target": "t", "ok": True, "status": 200, "latency_ms": 1.0}
    return {**about, **times, "size": 1, "error": None, "schema": {"hash": hash_of(fields), "fields": fields}}


@given(JSON)
def test_places_are_legal_and_have_those_around_them(value: Any) -> None:
    """Whatever the names of fields are; and the contract has a word for each type."""
    fields = shape_of(value)
    assert all(is_path(path) for path in fields)
    assert all(parent(path) in fields for path in fields)
    assert wrong("probe-1.schema.json", result(fields)) == []
    assert hash_of(json.loads(json.dumps(fields))) == hash_of(fields)
    assert missing(fields, {path: types.rstrip("?") for path, types in fields.items() if "?" not in types}) == {}


@given(JSON, st.randoms())
def test_the_order_of_fields_and_the_values_change_nothing(value: Any, chance: Any) -> None:
    """Two answers of one form have one hash."""

    def other(each: Any) -> Any:
        if isinstance(each, dict):
            names = list(each)
            chance.shuffle(names)
            return {name: other(each[name]) for name in names}
        if isinstance(each, list):
            return [other(inner) for inner in reversed(each)]
        return each + 1 if isinstance(each, int | float) and not isinstance(each, bool) else each

    assert shape_of(other(value)) == shape_of(value)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (1, {"$": "number"}),
        ([], {"$": "array"}),
        ([[1], ["a"], [None]], {"$": "array", "[]": "array", "[][]": "null|number|string"}),
        ({"$": 1, "*": 2, "a.b": 3, "": 4, "[]": 5, "\u00e9": 6}, None),
        ([{"a": 1}, {}], {"$": "array", "[]": "object", "[].a": "number?"}),
    ],
)
def test_shapes(value: Any, told: dict[str, str] | None) -> None:
    """Each of them by what is in it."""
    names = {"$": "object", '"$"': "number", '"*"': "number", '"a.b"': "number"}
    names |= {'"[]"': "number", "\u00e9": "number"}
    assert shape_of(value) == dict(sorted((told or names | {'""': "number"}).items()))


def test_what_is_large_is_bounded() -> None:
    """Depth, names, and places."""
    deep: Any = 1
    for _ in range(900):
        deep = {"a": deep}
    assert len(shape_of(deep)) == 21
    assert shape_of({f"n{number}": 1 for number in range(5000)}) == {"$": "object", "*": "number"}
    assert shape_of([{f"n{number}": {"x": 1}} for number in range(5000)])["[].*.x"] == "number"
    wide = {f"a{first}": {f"b{second}": 1 for second in range(90)} for first in range(90)}
    assert len(shape_of(wide)) == 500
    assert max(map(len, shape_of({"\u0001" * 100_000: {"\u0001" * 100_000: 1}}))) <= 300


@pytest.mark.parametrize("text", ["", ".a", "a.", "a..b", "[0]", "a[]b", "$.a", "a b", '"a', "a" * 301, '"a"b', "**"])
def test_what_is_no_place(text: str) -> None:
    """As a configuration may have it by mistake, or a hostile record."""
    assert not is_path(text)


def test_what_is_missing() -> None:
    """Of an empty array nothing is known; of what is optional, that it is missing in some."""
    wanted = {"a[].b": "number", "c": "any", ROOT: "object"}
    assert missing(shape_of({"a": [], "c": None}), wanted) == {}
    assert missing(shape_of({"a": [{}], "c": 1}), wanted) == {"a[].b": "is missing"}
    assert missing(shape_of({"a": [{"b": 1}, {}], "c": 1}), wanted) == {"a[].b": "is missing in some elements"}
    assert missing(shape_of({"a": 1}), wanted) == {"a[].b": "is missing", "c": "is missing"}
    assert missing(shape_of([1]), {ROOT: "object|null"}) == {ROOT: "is array, not object|null"}
    assert missing(shape_of({}), {"m.*.x": "number"}) == {"m.*.x": "is missing"}
    assert missing(shape_of({"m": {}}, ["m"]), {"m.*.x": "number"}) == {}
