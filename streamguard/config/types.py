"""The small types that settings are made of: each refuses a wrong value in words that name a right one."""

import re
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le
from pydantic import (
    AfterValidator,
    BeforeValidator,
    GetJsonSchemaHandler,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from streamguard.config.base import Section
from streamguard.core.durations import DurationMs
from streamguard.core.records import Scalar

TOPIC_CHARS_MAX = 249  # Kafka's own limit.


def _path(text: str) -> str:
    if not all(text.split(".")):
        raise ValueError(f"must be a dotted path without empty parts, got {text!r}")
    return text


def _topic(name: str) -> str:
    if not is_topic_name(name):
        raise ValueError(
            f"must be a topic name (letters, digits, '.', '_', '-'; at most {TOPIC_CHARS_MAX}), got {name!r}"
        )
    return name


def is_topic_name(name: str) -> bool:
    """Whether Kafka would accept a topic of this name."""
    legal = re.fullmatch(r"[A-Za-z0-9._-]+", name) is not None and name not in {".", ".."}
    return legal and len(name) <= TOPIC_CHARS_MAX


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def _scalar(value: Any) -> Scalar:
    if isinstance(value, str | int) or (isinstance(value, float) and isfinite(value)):
        return value
    raise ValueError("must be text, a finite number, true or false")


def _not_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"must be a whole number, got {str(value).lower()}")  # noqa: TRY004  pydantic wants it
    return value


def with_unit(value: Any, info: ValidationInfo) -> Any:
    """Refuse a bare number in a file, where `after: 30` looks like seconds; Python may say milliseconds."""
    if info.context and isinstance(value, int | float) and value != 0:
        raise ValueError(f'must say its unit, for example "{value}s"')
    return value


def _file(name: str) -> str:
    try:
        with Path(name).open("rb"):
            return name
    except OSError as error:
        raise ValueError(f"cannot be read: {name!r}: {error.strerror}") from None


def _servers(value: Any) -> list[str]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ValueError('must be servers: "host:9092,other:9092" or a list of them')
    servers = [item.strip() for item in items if item.strip()]
    if not servers:
        raise ValueError("must name at least one server, for example localhost:9092")
    for server in servers:
        host, _, port = server.rpartition(":")
        if not re.fullmatch(r"[\w.-]+|\[[0-9a-fA-F:.%\w]+\]", host, re.ASCII) or not is_port(port):
            raise ValueError(f"must be servers as host:port, got {server!r}")
    return servers


def _class_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", text):
        raise ValueError("must look like package.module:Class")
    return text


def is_port(text: str) -> bool:
    """Whether the text is a TCP port."""
    return text.isascii() and text.isdigit() and 0 < int(text) < 2**16


Text = Annotated[str, AfterValidator(_text)]
Duration = Annotated[DurationMs, BeforeValidator(with_unit)]
FieldPath = Annotated[str, AfterValidator(_path)]
ClassName = Annotated[str, AfterValidator(_class_name)]
TopicName = Annotated[str, AfterValidator(_topic)]
FileName = Annotated[str, AfterValidator(_file)]
Count = Annotated[int, BeforeValidator(_not_bool), Gt(0)]
Port = Annotated[int, BeforeValidator(_not_bool), Ge(0), Le(2**16 - 1)]
Value = Annotated[
    Scalar,
    PlainValidator(_scalar),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
Servers = Annotated[
    tuple[str, ...],
    BeforeValidator(_servers),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class Field(Section):
    """Where a value is in a record, and the type that it is compared as."""

    path: FieldPath
    """Dotted path of the value in the record's JSON, for example `meta.request_id`."""
    type: Literal["int", "float", "str", "bool"] | None = None
    """Type that the value is converted to before it is compared. Null: as it comes, so 1 and "1" differ."""

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self.path.split("."))

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"path": _path(data)}
        if isinstance(data, Mapping | Field):
            return data
        raise ValueError("must be a path such as meta.id, or {path: meta.id, type: str}")

    @model_serializer
    def _shortest(self) -> str | dict[str, str]:
        return self.path if self.type is None else {"path": self.path, "type": self.type}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, handler(core)]}
