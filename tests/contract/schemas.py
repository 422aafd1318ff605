"""The contract's documents, and validators that find in them what they refer to."""

from functools import cache
from pathlib import Path
from typing import Any

import orjson
import yaml
from jsonschema import Draft7Validator, Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

import streamguard

CONTRACT = Path(streamguard.__file__).parent / "contract"
ASYNCAPI = CONTRACT / "asyncapi.yaml"
SCHEMAS = ("alert-1.schema.json", "fingerprint-1.schema.json", "outcomes-1.schema.json", "probe-1.schema.json")

# Whoever reads the schemas, by whichever of the two drafts, must come to the same.
VALIDATORS = (Draft202012Validator, Draft7Validator)


@cache
def document(name: str) -> Any:
    """A file of the contract."""
    text = (CONTRACT / name).read_bytes()
    return yaml.safe_load(text) if name.endswith(".yaml") else orjson.loads(text)


def _resource(name: str) -> Resource[Any]:
    return Resource.from_contents(document(name), default_specification=DRAFT7)


@cache
def validators(reference: str) -> tuple[Draft202012Validator | Draft7Validator, ...]:
    """Of a file of the contract, or of what a fragment names in it."""
    registry: Registry[Any] = Registry(retrieve=_resource)  # type: ignore[call-arg]
    return tuple(draft({"$ref": reference}, registry=registry) for draft in VALIDATORS)


def wrong(reference: str, value: Any) -> list[str]:
    """What a value breaks of a schema, by either draft; nothing where it is valid."""
    errors = [best_match(validator.iter_errors(value)) for validator in validators(reference)]
    return [f"{error.json_path}: {error.message:.300}" for error in errors if error is not None]


def wrong_alert(alert: Any) -> list[str]:
    """What an alert breaks of its schema."""
    return wrong("alert-1.schema.json", alert)
