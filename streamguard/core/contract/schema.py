"""From a JSON Schema to a contract.

The part of JSON Schema (draft 2020-12, json-schema.org/draft/2020-12) that says what one record looks like: `type`,
`properties`, `required`, `additionalProperties`, `items`, `enum`, `const`, bounds, `pattern`, `format`, references
within the document, and `anyOf` or `oneOf` of one schema and null, as pydantic writes an optional field. What depends
on other fields is refused, since a change of it could not be told as a change of a field. Two annotations of ours,
which other validators pass over: `x-usual` (how often a field was missing, null or beyond its bounds) and
`x-quantiles`.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from streamguard.core.contract.fields import ITEMS, ROOT, Contract, Field, Kind
from streamguard.core.contract.forms import FORMS

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_TYPES = {"string", "number", "integer", "boolean", "null", "array", "object"}
_READ = {
    *("type", "properties", "required", "additionalProperties", "items", "enum", "const", "minimum", "maximum"),
    *("exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems", "pattern", "format"),
    *("$ref", "anyOf", "oneOf", "allOf", "x-usual", "x-quantiles"),
}
_PASSED_OVER = {
    *(
        "$schema",
        "$id",
        "$defs",
        "definitions",
        "$comment",
        "title",
        "description",
        "default",
        "examples",
        "deprecated",
    ),
    *("readOnly", "writeOnly", "contentMediaType", "contentEncoding"),
}
_USUAL = {"missing": Kind.MISSING, "null": Kind.NULL, "range": Kind.RANGE, "values": Kind.VALUE, "form": Kind.FORM}
_OF_TEXT, _OF_ITEMS = ("minLength", "maxLength"), ("minItems", "maxItems")
_FIELDS_MAX = 2000
_DEPTH_MAX = 20

Schema = Mapping[str, Any]


class SchemaError(ValueError):
    """A schema that cannot be a contract: where, and why."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where or 'the schema'}: {why}")


def contract_of(document: Any) -> Contract:
    """The contract of a JSON Schema; raises `SchemaError`."""
    if not isinstance(document, Mapping):
        raise SchemaError("", "is no JSON object, so no JSON Schema of a record")
    reader = _Reader(document, [])
    root = reader.add(ROOT, document, is_required=True, depth=0)
    if root.kinds and "object" not in root.kinds:
        raise SchemaError(
            "", f"must be of an object, as a record is one, and is of type {', '.join(sorted(root.kinds))}"
        )
    root.kinds = frozenset({"object"})
    try:
        text = orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError as error:
        raise SchemaError("", f"cannot be written as JSON: {error}") from None
    return Contract(tuple(reader.fields), text)


@dataclass(slots=True)
class _Reader:
    document: Schema
    fields: list[Field]

    def add(self, name: str, schema: Any, *, is_required: bool, depth: int) -> Field:
        """Read a field and all below it."""
        if len(self.fields) >= _FIELDS_MAX:
            raise SchemaError(
                name, f"has more than {_FIELDS_MAX} fields; describe objects of changing names without them"
            )
        if depth > _DEPTH_MAX:
            raise SchemaError(name, f"is nested more than {_DEPTH_MAX} deep, or refers to itself")
        each = Field(len(self.fields), name, is_required=is_required)
        self.fields.append(each)
        merged, is_nullable = self._plain(name, schema)
        _kinds(each, merged, is_nullable=is_nullable)
        _values(each, merged)
        _bounds(each, merged)
        _form(each, merged)
        _usual(each, merged)
        self._members(each, merged, depth)
        return each

    def _plain(self, name: str, schema: Any) -> tuple[dict[str, Any], bool]:
        """A schema without references, and whether null was allowed beside it."""
        if schema is True or schema is None:
            return {}, False
        if not isinstance(schema, Mapping):
            raise SchemaError(name, f"must be described by an object, not by {schema!r}")
        merged: dict[str, Any] = {}
        is_nullable = False
        for part, nullable in self._parts(name, schema, 0):
            is_nullable |= nullable
            for key, value in part.items():
                if key in merged and merged[key] != value and key in _READ:
                    raise SchemaError(name, f"says {key!r} twice, and not the same")
                merged[key] = value
        unknown = sorted(key for key in merged if key not in _READ | _PASSED_OVER and not key.startswith("x-"))
        if unknown:
            known = "describe the field by type, enum, bounds, pattern or format"
            raise SchemaError(name, f"uses {unknown[0]!r}, which is not checked here: leave it out, or {known}")
        return merged, is_nullable

    def _parts(self, name: str, schema: Any, depth: int) -> Iterator[tuple[Schema, bool]]:
        if not isinstance(schema, Mapping) or depth > _DEPTH_MAX:
            raise SchemaError(name, "refers to what is no schema, or to itself")
        rest = {key: value for key, value in schema.items() if key not in {"$ref", "anyOf", "oneOf", "allOf"}}
        if "$ref" in schema:
            yield from self._parts(name, self._referred(name, schema["$ref"]), depth + 1)
        for each in _list(name, "allOf", schema.get("allOf", [])):
            yield from self._parts(name, each, depth + 1)
        for key in ("anyOf", "oneOf"):
            if key not in schema:
                continue
            choices = _list(name, key, schema[key])
            others = [each for each in choices if not (isinstance(each, Mapping) and each.get("type") == "null")]
            types = [each["type"] for each in others if isinstance(each, Mapping) and set(each) == {"type"}]
            if len(types) == len(others) and types:
                yield {"type": [kind for each in types for kind in (each if isinstance(each, list) else [each])]}, False
            elif len(others) == 1:
                yield from self._parts(name, others[0], depth + 1)
            else:
                raise SchemaError(name, f"{key} may be of one schema and null, or of types alone")
            yield {}, len(others) < len(choices)
        yield rest, False

    def _referred(self, name: str, reference: Any) -> Any:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise SchemaError(
                name, f"refers to {reference!r}: only references within the document (#/$defs/...) are read"
            )
        found: Any = self.document
        for part in reference.removeprefix("#").strip("/").split("/") if reference != "#" else ():
            key = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or key not in found:
                raise SchemaError(name, f"refers to {reference!r}, which is not in the document")
            found = found[key]
        return found

    def _members(self, each: Field, schema: Schema, depth: int) -> None:
        properties = schema.get("properties", {})
        if not isinstance(properties, Mapping):
            raise SchemaError(each.name, "has properties that are no object")
        required = _list(each.name, "required", schema.get("required", []))
        more = schema.get("additionalProperties", True)
        if not isinstance(more, bool):
            raise SchemaError(each.name, "may say additionalProperties: true or false, and not a schema of them")
        each.is_closed = not more
        for key in dict.fromkeys([*properties, *required]):
            if not isinstance(key, str):
                raise SchemaError(each.name, f"requires {key!r}, which is no name")
            if each.is_closed and key not in properties:
                raise SchemaError(each.name, f"requires {key!r}, which additionalProperties: false forbids")
            name = each.below(key)
            each.members[key] = self.add(name, properties.get(key), is_required=key in required, depth=depth + 1)
        if "items" in schema:
            each.items = self.add(each.name + ITEMS, schema["items"], is_required=False, depth=depth + 1)


def _list(name: str, key: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise SchemaError(name, f"{key} must be a list")
    return value


def _kinds(each: Field, schema: Schema, *, is_nullable: bool) -> None:
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else _list(each.name, "type", kinds)
    wrong = [kind for kind in kinds if not isinstance(kind, str) or kind not in _TYPES]
    if wrong:
        raise SchemaError(each.name, f"is of type {wrong[0]!r}; there are {', '.join(sorted(_TYPES))}")
    if not kinds and ("properties" in schema or "required" in schema):
        kinds = ["object"]
    each.kinds = frozenset([*kinds, "null"] if is_nullable and kinds else kinds)


def _values(each: Field, schema: Schema) -> None:
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if values is None:
        return
    for value in _list(each.name, "enum", values):
        if not (value is None or isinstance(value, str | int | float)):
            raise SchemaError(each.name, "may enumerate texts, numbers, true, false and null alone")
    if None in values and each.kinds:
        each.kinds |= {"null"}
    each.values = tuple(values)


def _number(each: Field, schema: Schema, key: str) -> float | None:
    value = schema.get(key)
    if value is None:
        return None
    try:
        found = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise SchemaError(each.name, f"{key} must be a number")
    return found


def _bounds(each: Field, schema: Schema) -> None:
    low, high = _number(each, schema, "minimum"), _number(each, schema, "maximum")
    above, below = _number(each, schema, "exclusiveMinimum"), _number(each, schema, "exclusiveMaximum")
    is_above = above is not None and (low is None or above >= low)
    is_below = below is not None and (high is None or below <= high)
    each.minimum, each.maximum = above if is_above else low, below if is_below else high
    each.is_open = is_above, is_below
    of_text, of_items = ({key for key in keys if key in schema} for keys in (_OF_TEXT, _OF_ITEMS))
    if of_text and of_items:
        raise SchemaError(
            each.name, f"may be bounded as a text ({min(of_text)}) or an array ({min(of_items)}), not both"
        )
    each.is_of_items = bool(of_items)
    shortest, longest = (_number(each, schema, key) for key in (_OF_ITEMS if of_items else _OF_TEXT))
    each.shortest = None if shortest is None else int(shortest)
    each.longest = None if longest is None else int(longest)


def _form(each: Field, schema: Schema) -> None:
    pattern, form = schema.get("pattern"), schema.get("format")
    if pattern is not None:
        try:
            each.pattern, each.form = re.compile(pattern), f"the pattern {pattern}"
        except (re.error, TypeError) as error:
            raise SchemaError(each.name, f"has a pattern that is no regular expression: {error}") from None
    elif isinstance(form, str) and form in FORMS:
        # A format that is not known asserts nothing, as the standard says.
        each.pattern, each.form = FORMS[form], form


def _usual(each: Field, schema: Schema) -> None:
    usual, quantiles = schema.get("x-usual", {}), schema.get("x-quantiles", [])
    if not isinstance(usual, Mapping) or not set(usual) <= set(_USUAL):
        raise SchemaError(each.name, f"x-usual may say {', '.join(_USUAL)}")
    for key in usual:
        rate = _number(each, usual, key)
        if rate is None or not 0 <= rate <= 1:
            raise SchemaError(each.name, f"x-usual.{key} must be a part from 0 to 1")
        each.usual[_USUAL[key]] = rate
    numbers = [_number(each, {"x-quantiles": one}, "x-quantiles") for one in _list(each.name, "x-quantiles", quantiles)]
    each.quantiles = tuple(sorted(one for one in numbers if one is not None))
