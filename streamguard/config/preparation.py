"""Which steps of preparation training applied to a field."""

import re
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    GetJsonSchemaHandler,
    PlainValidator,
    WithJsonSchema,
    model_serializer,
    model_validator,
)
from pydantic import Field as Setting
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from streamguard.config.base import Problem, Section
from streamguard.config.types import Duration, Value
from streamguard.core.durations import format_duration_ms

_DIGITS_MAX = 15
_SHOWN_CHARS = 60

Number = int | float


def _ends(value: Any, *, is_open: bool) -> tuple[Number | None, Number | None]:
    example = "[0, 100]" + (" (null: no limit)" if is_open else "")
    words = f"must be two numbers, the lower one first, such as {example}"
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(words)
    low, high = value
    numbers = [each for each in value if each is not None or not is_open]
    if not numbers or not all(_is_finite(each) for each in numbers) or (len(numbers) == 2 and low >= high):
        raise ValueError(f"{words}, got {repr(list(value))[:_SHOWN_CHARS]}")
    return low, high


def _is_finite(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    except OverflowError:
        return False


def _limits(value: Any) -> tuple[Number | None, Number | None]:
    return _ends(value, is_open=True)


def _range(value: Any) -> tuple[Number | None, Number | None]:
    return _ends(value, is_open=False)


def _true(value: Any) -> bool:
    if value is not True:
        raise ValueError("must be true, or is left out")
    return value


def _names(value: Any) -> Any:
    """Names of categories are text in JSON; YAML may read a number or a truth value."""
    if not isinstance(value, Mapping) or not value:
        raise ValueError("must be a mapping of categories, such as {yes: 1, no: 0}")
    spelled = {str(name).lower() if isinstance(name, bool) else name: target for name, target in value.items()}
    return {str(name) if isinstance(name, int | float) else name: target for name, target in spelled.items()}


def _function_path(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", text, re.ASCII):
        raise ValueError(f"must look like package.module:name, got {text!r}")
    return text


def _digits(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _DIGITS_MAX:
        raise ValueError(f"must be a whole number from -{_DIGITS_MAX} to {_DIGITS_MAX}")
    return value


_NUMBER_SCHEMA: dict[str, Any] = {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number"}}

Plain = Annotated[bool, PlainValidator(_true), WithJsonSchema({"const": True})]
Limits = Annotated[
    tuple[Number | None, Number | None],
    PlainValidator(_limits),
    WithJsonSchema({**_NUMBER_SCHEMA, "items": {"type": ["number", "null"]}}),
]
Range = Annotated[tuple[Number, Number], PlainValidator(_range), WithJsonSchema(_NUMBER_SCHEMA)]
Digits = Annotated[
    int,
    PlainValidator(_digits),
    WithJsonSchema({"type": "integer", "minimum": -_DIGITS_MAX, "maximum": _DIGITS_MAX}),
]
Categories = Annotated[dict[str, Value], BeforeValidator(_names)]
FunctionPath = Annotated[str, AfterValidator(_function_path)]


class ScaleSettings(Section):
    """Into which range numbers are brought."""

    to: Range
    """Lowest and highest number after the step."""
    source: Range | None = Setting(default=None, alias="from")
    """The numbers that become these. Null: not known, and only that numbers lie within `to` is checked."""

    @model_validator(mode="before")
    @classmethod
    def _range_alone(cls, data: Any) -> Any:
        if isinstance(data, list | tuple):
            return {"to": data}
        if isinstance(data, Mapping | ScaleSettings):
            return data
        raise ValueError("must be a range such as [0, 1], or {to: [0, 1], from: [0, 255]}")

    @model_serializer
    def _shortest(self) -> list[Number] | dict[str, list[Number]]:
        return list(self.to) if self.source is None else {"to": list(self.to), "from": list(self.source)}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [dict(_NUMBER_SCHEMA), handler(core)]}


class StandardizeSettings(Section):
    """What a number is taken relative to."""

    mean: float
    """Is taken away."""
    sd: float = Setting(gt=0)
    """Then divides."""


class StepSettings(Section):
    """One step of preparation: one of these settings, and no other. Steps without settings are written as a name."""

    lower_case: Plain | None = None
    """All letters are small."""
    strip_digits: Plain | None = None
    """Digits are removed."""
    strip_punctuation: Plain | None = None
    """ASCII punctuation is removed."""
    collapse_whitespace: Plain | None = None
    """One blank is left between words, and none around them."""
    strip_accents: Plain | None = None
    """Accents are removed."""
    strip_markup: Plain | None = None
    """Tags of HTML and XML are removed, and references such as `&amp;` are resolved."""
    normal_form: Literal["NFC", "NFD", "NFKC", "NFKD"] | None = None
    """Text is in this normal form of Unicode."""
    clip: Limits | None = None
    """Lowest and highest number; what is beyond becomes that."""
    round: Digits | None = None
    """Numbers have at most so many decimals."""
    scale: ScaleSettings | None = None
    """Numbers are brought into a range."""
    standardize: StandardizeSettings | None = None
    """A mean is taken away, and the rest divided by a deviation. Numbers do not show that: it needs the raw value."""
    impute: Value | None = None
    """What a missing value becomes."""
    map: Categories | None = None
    """Categories that get another name, or become a number."""
    function: FunctionPath | None = None
    """A function of your own, as package.module:name: given a value it returns the prepared one."""
    time_limit_ms: Duration = Setting(default=1000, alias="time_limit", gt=0)
    """How long `function` may take for one value. Default 1s."""

    @property
    def name(self) -> str:
        """Of the step, such as `clip`."""
        return next(name for name in _STEPS if getattr(self, name) is not None)

    def problems(self) -> Iterable[Problem]:
        for name in _STEPS:
            if name in self.model_fields_set and getattr(self, name) is None:
                yield (name,), "has no value; give it one, or remove the line"
                return
        named = [name for name in _STEPS if getattr(self, name) is not None]
        if not named:
            yield (), f"names no step; there is {', '.join(_STEPS)}"
        elif len(named) > 1:
            yield (), f"names {len(named)} steps, and their order matters: give each an entry ({_as_list(named)})"
        if named and self.function is None and "time_limit_ms" in self.model_fields_set:
            yield ("time_limit",), "belongs to a function; remove it"

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, data: Any) -> Any:
        if isinstance(data, str):
            if data in _STEPS and data not in PLAIN:
                raise ValueError(f"{data} needs a setting: {_EXAMPLES[data]}")
            # A name that there is not is told as an unknown setting, with the nearest that there is.
            return {data: True}
        if isinstance(data, Mapping | StepSettings):
            return data
        raise ValueError("must be a step such as lower_case, or {clip: [0, 100]}")

    @model_serializer
    def _shortest(self) -> str | dict[str, Any]:
        name = self.name
        value = getattr(self, name)
        if name in PLAIN:
            return name
        if isinstance(value, ScaleSettings | StandardizeSettings):
            value = value.model_dump(mode="json", by_alias=True)
        found = {name: list(value) if isinstance(value, tuple) else value}
        if name == "function" and "time_limit_ms" in self.model_fields_set:
            found["time_limit"] = format_duration_ms(self.time_limit_ms)
        return found

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"enum": list(PLAIN)}, handler(core)]}


_STEPS = tuple(name for name in StepSettings.model_fields if name != "time_limit_ms")
_EXAMPLES = {
    "normal_form": "{normal_form: NFC}",
    "clip": "{clip: [0, 100]}",
    "round": "{round: 2}",
    "scale": "{scale: [0, 1]}",
    "standardize": "{standardize: {mean: 0, sd: 1}}",
    "impute": "{impute: 0}",
    "map": "{map: {yes: 1, no: 0}}",
    "function": "{function: package.module:name}",
}
PLAIN = tuple(name for name in _STEPS if name not in _EXAMPLES)
"""Names of the steps that have no settings."""


def _as_list(names: list[str]) -> str:
    return ", ".join(f"- {name}" if name in PLAIN else f"- {{{name}: ...}}" for name in names)
