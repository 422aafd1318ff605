"""Which records differ from a contract, held against another validator of JSON Schema."""

from typing import Any

import jsonschema
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.codec import Mapping, Reader
from streamguard.core.contract.checking import Check
from streamguard.core.contract.fields import KINDS, Kind
from streamguard.core.contract.inspecting import Differences, Inspector
from streamguard.core.contract.schema import contract_of
from tests.core.helpers import batch

NAMES = st.sampled_from(
    ["a", "b", "c", "a.b", "", "f0", "class", "\u00e9", "x-usual", "__init__", "0", '"', "\\", "\n"]
)
TEXTS = st.sampled_from(["", "a", "ab", "abc", "2026-01-01", "\u00e9\u00e9", "\U0001f600", "1", "a\n", "true"])
NUMBERS = st.sampled_from([0, 1, -1, 2, 1.0, 0.5, -0.0, 2.5, 1e300, 1 << 53, (1 << 64) - 1, -(1 << 63), 3.0, 1e20])
SCALARS = TEXTS | NUMBERS | st.booleans() | st.none()
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)
RECORDS = st.dictionaries(NAMES, DOCUMENTS, max_size=5)
BOUNDS = st.sampled_from([-1, 0, 0.5, 1, 2, 2.0, 1e20, 1 << 53])
KEYWORDS: dict[str, st.SearchStrategy[Any]] = {
    "minimum": BOUNDS,
    "maximum": BOUNDS,
    "exclusiveMinimum": BOUNDS,
    "exclusiveMaximum": BOUNDS,
    "pattern": st.sampled_from(["^a", "b$", "^.{2}$", "", r"^[^\d]+$", "é"]),
    "enum": st.lists(SCALARS, min_size=1, max_size=4),
}
TYPES = st.sampled_from(["string", "number", "integer", "boolean", "null", "array", "object"])


def _schemas(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    lengths = st.fixed_dictionaries({}, optional={name: st.integers(0, 3) for name in ("minLength", "maxLength")})
    sizes = st.fixed_dictionaries({}, optional={name: st.integers(0, 3) for name in ("minItems", "maxItems")})
    types = st.fixed_dictionaries({}, optional={"type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True)})
    object_ = {
        "properties": st.dictionaries(NAMES, inner, max_size=3),
        "required": st.lists(NAMES, max_size=2, unique=True),
        "additionalProperties": st.booleans(),
        "items": inner,
    }
    parts = st.tuples(types, lengths | sizes, st.fixed_dictionaries({}, optional={**KEYWORDS, **object_}))
    plain = parts.map(lambda found: {**found[0], **found[1], **found[2]}).filter(_has_one_meaning)
    plain = plain.map(_possible)
    return plain | plain.map(lambda each: each if each.get("type") == "null" else {"anyOf": [each, {"type": "null"}]})


def _possible(schema: dict[str, Any]) -> dict[str, Any]:
    """What is required of an object without other fields must be one of its fields: else no record would fit."""
    if schema.get("additionalProperties", True) or "required" not in schema:
        return schema
    return {**schema, "required": [name for name in schema["required"] if name in schema.get("properties", {})]}


def _has_one_meaning(schema: dict[str, Any]) -> bool:
    """What JSON Schema says of an object is said of nothing else; here a field with properties is one."""
    has_members = "properties" in schema or "required" in schema
    is_nothing_else = "enum" in schema and not schema.get("type")
    return ("type" in schema or not has_members) and not (is_nothing_else and has_members)


SCHEMAS = st.recursive(st.just({}) | TYPES.map(lambda kind: {"type": kind}), _schemas, max_leaves=6)
ROOTS = st.fixed_dictionaries(
    {"type": st.just("object"), "properties": st.dictionaries(NAMES, SCHEMAS, max_size=4)},
    optional={"required": st.lists(NAMES, max_size=2, unique=True), "additionalProperties": st.booleans()},
).map(_possible)


def _fits(schema: Any, document: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(schema).is_valid(document))


@settings(max_examples=400, deadline=None)
@given(ROOTS, st.lists(RECORDS, max_size=4))
def test_what_another_validator_takes_has_no_mark(schema: dict[str, Any], documents: list[Any]) -> None:
    """And what it refuses has one; a new field is one, though harmless."""
    documents = [orjson.loads(orjson.dumps(each)) for each in documents]
    marks = Check(contract_of(schema)).marks(documents)
    assert {place for place, each in enumerate(documents) if not _fits(schema, each)} == set(marks.places)


@settings(max_examples=200, deadline=None)
@given(ROOTS, st.lists(RECORDS, max_size=4), st.integers(0, 4))
def test_how_records_are_cut_changes_nothing(schema: dict[str, Any], documents: list[Any], cut: int) -> None:
    """It has no state."""
    check = Check(contract_of(schema))
    whole, first, rest = (check.marks(part) for part in (documents, documents[:cut], documents[cut:]))
    first.add([place + min(cut, len(documents)) for place in rest.places], rest.numbers, rest.shown)
    assert sorted(zip(whole.places, whole.numbers, whole.shown, strict=True)) == sorted(
        zip(first.places, first.numbers, first.shown, strict=True)
    )


FULL: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": "^[a-z0-9]+$", "maxLength": 8},
        "value": {"enum": ["x", "y"]},
        "at": {"type": "integer", "minimum": 10, "maximum": 900},
        "amount": {"type": "number", "exclusiveMinimum": 0, "maximum": 100},
        "rare": {"type": ["string", "null"], "x-usual": {"null": 0.1, "missing": 0.2}},
        "card": {
            "type": "object",
            "properties": {
                "country": {"type": "string", "minLength": 2},
                "since": {"type": "string", "format": "date"},
            },
            "required": ["country"],
            "additionalProperties": False,
        },
        "items": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
    },
    "required": ["id", "amount", "card"],
    "additionalProperties": False,
}
GOOD: dict[str, Any] = {"id": "a", "amount": 3, "rare": "x", "card": {"country": "DE"}, "items": [{"n": 1}, {}]}


@pytest.mark.parametrize(
    ("change", "field", "kind", "shown"),
    [
        ({"id": None}, "id", Kind.NULL, "null"),
        ({"id": "A"}, "id", Kind.FORM, "a string: A"),
        ({"id": "a" * 9}, "id", Kind.FORM, "a string: aaaaaaaaa"),
        ({"value": "z"}, "value", Kind.VALUE, "a string: z"),
        ({"amount": "3"}, "amount", Kind.TYPE, "a string: 3"),
        ({"amount": True}, "amount", Kind.TYPE, "a boolean: True"),
        ({"amount": 0}, "amount", Kind.RANGE, "a number: 0"),
        ({"amount": 100.5}, "amount", Kind.RANGE, "a number: 100.5"),
        ({"at": 10.5}, "at", Kind.TYPE, "a number: 10.5"),
        ({"rare": None}, "rare", Kind.NULL, "null"),
        ({"rare": ...}, "rare", Kind.MISSING, "missing"),
        ({"amount": ...}, "amount", Kind.MISSING, "missing"),
        ({"card": []}, "card", Kind.TYPE, "an array: []"),
        ({"card": {}}, "card.country", Kind.MISSING, "missing"),
        ({"card": {"country": "D"}}, "card.country", Kind.FORM, "a string: D"),
        ({"card": {"country": "DE", "since": "2026-13-01"}}, "card.since", Kind.FORM, "a string: 2026-13-01"),
        ({"card": {"country": "DE", "more": {"a": 1, "b": 2}}}, "card", Kind.NEW, "more: an object with a, b"),
        ({"new": 1}, "", Kind.NEW, "new"),
        ({"items": [{"n": 1}, {"n": "1"}, {"n": None}]}, "items[].n", Kind.TYPE, "a string: 1"),
        ({"items": [1]}, "items[]", Kind.TYPE, "a number: 1"),
    ],
)
def test_a_mark_names_the_field_and_what_is_wrong(change: dict[str, Any], field: str, kind: Kind, shown: str) -> None:
    """One mark, of the record that has it."""
    contract = contract_of(FULL)
    record = {name: value for name, value in {**GOOD, **change}.items() if value is not ...}
    marks = Check(contract).marks([GOOD, record, GOOD])
    assert marks.places == [1]
    place, number = divmod(marks.numbers[0], KINDS)
    assert (contract.fields[place].name, Kind(number), marks.shown) == (field, kind, [shown])


def test_the_first_hundred_elements_are_looked_at() -> None:
    """A long array does not cost more; the first element that differs tells what is wrong."""
    check = Check(contract_of({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}}))
    assert len(check.marks([{"a": [1] * 99 + ["x"] * 3}])) == 1
    assert len(check.marks([{"a": [1] * 100 + ["x"]}])) == 0


DEEP = orjson.loads(b'{"id": ' + b"[" * 1000 + b"]" * 1000 + b"}")


@pytest.mark.parametrize(
    "document",
    [
        DEEP,
        {"card": DEEP},
        {"items": [DEEP]},
        {"amount": (1 << 64) - 1, "at": -(1 << 63)},
        {"id": "\ud800", "\udfff": "\ud800"},
        {"card": {"\ud800": {"\ud800": 1}}},
        {"": {"": {}}, "\x00": "\x1b[31m"},
        [],
        None,
        "text",
        7,
        [[]] * 1000,
    ],
)
def test_nothing_that_is_json_raises(document: Any) -> None:
    """And what is shown of it can be written."""
    for schema in (FULL, {"type": "object"}, {"properties": {"id": {"enum": [1, None, "a"]}}}):
        marks = Check(contract_of(schema)).marks([document])
        assert all(orjson.dumps(shown) and len(shown) <= 160 for shown in marks.shown)


@settings(max_examples=200, deadline=None)
@given(st.lists(RECORDS | DOCUMENTS, max_size=6))
def test_no_record_makes_it_raise(documents: list[Any]) -> None:
    """Whatever its shape."""
    marks = Check(contract_of(FULL)).marks(documents)
    assert len(marks.places) == len(marks.numbers) == len(marks.shown)
    assert all(orjson.dumps(shown) for shown in marks.shown)


# What a reader makes of it.

TIMED = Mapping(("id",), ("value",), time=("at",), max_ahead_ms=1000)
VARIANTS = st.sampled_from(
    [
        {},
        {"amount": "3"},
        {"amount": 1000},
        {"rare": None},
        {"card": {}},
        {"value": "z"},
        {"new": {"a": 1}},
        {"version": "8", "amount": -1},
    ]
)
IDS = st.sampled_from(["abc", "Abc", "a-c", "xyz", "abcdefghi"])
RUNS = st.lists(st.tuples(VARIANTS, IDS, st.sampled_from([100, 100, 899, 901, 999])), min_size=1, max_size=5)


def found_by(reader: Reader, values: list[bytes]) -> tuple[list[Any], list[tuple[int, str]], list[int]]:
    """Differences by place, why records were rejected, and which were not."""
    columns, rejections = reader.read(batch(values, 1000))
    each: Differences = reader.differences
    marks = sorted(zip(each.places, each.marks, each.shown, each.versions, strict=True), key=repr)
    return marks, [(one.index, one.reason) for one in rejections], columns.offsets.tolist()


@settings(max_examples=60, deadline=None)
@given(RUNS, st.sampled_from([(), ("amount",), ("at",), ("id",), ("",)]))
def test_records_of_one_kind_are_marked_as_each_by_itself(runs: list[Any], refused: tuple[str, ...]) -> None:
    """Readers that know the skeletons of records find what those find that parse each: also in IDs and times."""
    values = []
    for number in range(200):
        change, name, at_ms = runs[number % len(runs)]
        own = {**GOOD, "value": "x", "version": "7", **change, "id": name, "at": at_ms - number % 3}
        values.append(orjson.dumps(own))
    contract = contract_of(FULL)
    readers = [Reader(TIMED, inspector=Inspector(contract, ("id",), ("version",), refused)) for _ in range(2)]
    for _ in range(2):
        usual = found_by(readers[0], values)
        one_by_one = [found_by(readers[1], [value]) for value in values]
        assert usual[0] == sorted(
            ((place, *mark[1:]) for place, each in enumerate(one_by_one) for mark in each[0]), key=repr
        )
        assert usual[1] == [(place, why) for place, each in enumerate(one_by_one) for _, why in each[1]]
        assert usual[2] == [place for place, each in enumerate(one_by_one) if each[2]]


def test_just_the_records_that_differ_in_a_refused_field_are_rejected() -> None:
    """With the reason; what is below a field belongs to it, and what was usual is never refused."""
    records = [{**GOOD, "value": "x", "at": 100}] * 6
    for place, change in ((1, {"card": {}}), (2, {"amount": "3"}), (3, {"rare": None}), (4, {"new": 1})):
        records[place] = {**records[place], **change}
    values = [orjson.dumps(each) for each in records]

    def rejected(*refused: str) -> dict[int, str]:
        inspector = Inspector(contract_of(FULL), ("id",), refused=refused)
        return dict(found_by(Reader(TIMED, inspector=inspector), values)[1])

    assert rejected() == {}
    assert rejected("card") == {1: "contract: field 'card.country' is missing (missing)"}
    assert rejected("amount", "rare") == {2: "contract: field 'amount' is of another type (a string: 3)"}
    assert rejected("").keys() == {1, 2}
