"""What can be a contract, and why not what cannot."""

from typing import Any

import pytest

from streamguard.core.contract.checking import Check
from streamguard.core.contract.fields import Kind
from streamguard.core.contract.schema import SchemaError, contract_of


def of_a(schema: Any, **more: Any) -> dict[str, Any]:
    """A schema of a record with one field."""
    return {"type": "object", "properties": {"a": schema}, **more}


DEEP: dict[str, Any] = {}
for _ in range(30):
    DEEP = of_a(DEEP)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ([], "the schema: is no JSON object"),
        ({"type": "array"}, "the schema: must be of an object, as a record is one, and is of type array"),
        (of_a("text"), "a: must be described by an object, not by 'text'"),
        (of_a({"type": "text"}), "a: is of type 'text'; there are array, boolean, "),
        (of_a({"type": 7}), "a: type must be a list"),
        (of_a({"not": {}}), "a: uses 'not', which is not checked here: leave it out, or describe the field by type"),
        (of_a({"patternProperties": {}}), "a: uses 'patternProperties'"),
        (of_a({"additionalProperties": {}}), "a: may say additionalProperties: true or false"),
        (of_a({"properties": []}), "a: has properties that are no object"),
        (of_a({"required": "b"}), "a: required must be a list"),
        (of_a({"required": [7]}), "a: requires 7, which is no name"),
        (
            of_a({}, required=["b"], additionalProperties=False),
            "requires 'b', which additionalProperties: false forbids",
        ),
        (of_a({"enum": "x"}), "a: enum must be a list"),
        (of_a({"enum": [[1]]}), "a: may enumerate texts, numbers, true, false and null alone"),
        (of_a({"const": {}}), "a: may enumerate"),
        (of_a({"minimum": "1"}), "a: minimum must be a number"),
        (of_a({"maximum": True}), "a: maximum must be a number"),
        (of_a({"maxLength": "1"}), "a: maxLength must be a number"),
        (of_a({"minLength": 1, "minItems": 1}), "a: may be bounded as a text (minLength) or an array (minItems), not"),
        (of_a({"pattern": "("}), "a: has a pattern that is no regular expression"),
        (of_a({"pattern": 7}), "a: has a pattern that is no regular expression"),
        (of_a({"anyOf": [{"type": "string", "minLength": 1}, {"type": "number"}]}), "a: anyOf may be of one schema"),
        (of_a({"oneOf": {}}), "a: oneOf must be a list"),
        (of_a({"allOf": [{"minimum": 1}, {"minimum": 2}]}), "a: says 'minimum' twice, and not the same"),
        (of_a({"$ref": "other.json"}), "a: refers to 'other.json': only references within the document"),
        (of_a({"$ref": "#/$defs/none"}), "a: refers to '#/$defs/none', which is not in the document"),
        (of_a({"$ref": 7}), "a: refers to 7"),
        (of_a({"$ref": "#/$defs/b"}, **{"$defs": {"b": {"$ref": "#/$defs/b"}}}), "a: refers to what is no schema, or"),
        (of_a({"$ref": "#"}), "is nested more than 20 deep, or refers to itself"),
        (DEEP, "is nested more than 20 deep, or refers to itself"),
        (of_a({"items": [{}]}), "a[]: must be described by an object"),
        (of_a({"x-usual": {"missing": 2}}), "a: x-usual.missing must be a part from 0 to 1"),
        (of_a({"x-usual": {"other": 1}}), "a: x-usual may say missing, null, range, values, form"),
        (of_a({"x-quantiles": 7}), "a: x-quantiles must be a list"),
        (of_a({"x-quantiles": ["a"]}), "a: x-quantiles must be a number"),
        ({"properties": {f"f{n}": {} for n in range(2001)}}, "has more than 2000 fields"),
    ],
)
def test_what_cannot_be_a_contract_is_refused(schema: Any, words: str) -> None:
    """Where, why, and the way out."""
    with pytest.raises(SchemaError) as refused:
        contract_of(schema)
    assert words in str(refused.value)


@pytest.mark.parametrize("key", ["minimum", "maximum", "exclusiveMinimum"])
def test_a_bound_that_is_too_large_is_told(key: str) -> None:
    """A number of JSON may be larger than any float."""
    with pytest.raises(SchemaError, match="must be a number"):
        contract_of(of_a({key: 10**400}))


def test_references_are_read() -> None:
    """As pydantic writes them."""
    schema = of_a(
        {"anyOf": [{"$ref": "#/$defs/Card"}, {"type": "null"}], "default": None},
        **{"$defs": {"Card": of_a({"type": "integer"}), "b/~c": {"type": "string"}}},
    )
    schema["properties"]["b"] = {"$ref": "#/$defs/b~1~0c"}
    contract = contract_of(schema)
    assert [each.name for each in contract.fields] == ["", "a", "a.a", "b"]
    assert contract.fields[1].kinds == {"object", "null"}
    assert [len(Check(contract).marks([{"a": each}])) for each in (None, {"a": 1}, {"a": "1"}, 1)] == [0, 0, 1, 1]


def test_all_of_is_put_together() -> None:
    """What is said once, or twice the same."""
    parts = [{"type": "integer", "minimum": 1}, {"type": "integer", "maximum": 5}]
    check = Check(contract_of(of_a({"allOf": parts})))
    assert [len(check.marks([{"a": each}])) for each in (0, 1, 5, 6, "1")] == [1, 0, 0, 1, 1]


def test_types_alone_may_be_one_of_several() -> None:
    """They are a list of types."""
    found = contract_of(of_a({"anyOf": [{"type": "string"}, {"type": ["integer", "boolean"]}, {"type": "null"}]}))
    assert found.fields[1].kinds == {"string", "integer", "boolean", "null"}


def test_what_is_usual_is_counted() -> None:
    """By mark."""
    contract = contract_of(of_a({"type": ["string", "null"], "x-usual": {"missing": 0.25, "null": 0.5}}))
    assert contract.level(contract.fields[1].number * len(Kind) + Kind.MISSING) == 0.25
    assert contract.level(contract.fields[1].number * len(Kind) + Kind.NULL) == 0.5
    assert contract.level(contract.fields[1].number * len(Kind) + Kind.TYPE) == 0


def test_contracts_that_say_the_same_have_one_fingerprint() -> None:
    """Whatever the order of keys."""
    one, two = {"type": "object", "required": ["a"]}, {"required": ["a"], "type": "object"}
    assert contract_of(one).fingerprint == contract_of(two).fingerprint
    assert contract_of(one).fingerprint != contract_of(of_a({})).fingerprint
