"""A validation error in plain words: what is wrong, with which value, and which name was probably meant."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from streamguard.config.base import PROBLEMS, Key
from streamguard.config.document import dotted
from streamguard.config.models import Config

VALUE_CHARS_MAX = 60

# By pydantic's name of the error; the braces are filled from its context.
_WORDS = {
    "string_type": "must be text",
    "string_unicode": "must be legal Unicode text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping of settings",
    "model_attributes_type": "must be a mapping of settings",
    "greater_than": "must be > {gt}",
    "greater_than_equal": "must be >= {ge}",
    "less_than": "must be < {lt}",
    "less_than_equal": "must be <= {le}",
}

# What is under log.security is not shown in a message, except for these.
_HARMLESS = {"protocol", "mechanism", "check_hostname", "ca_file", "cert_file", "key_file", "token_provider"}


class _Place(NamedTuple):
    """A key as it stands in the file, the section that its last name belongs to, and those it may hold."""

    key: Key
    owner: type[BaseModel] | None
    models: list[type[BaseModel]]


def sentences(error: ValidationError) -> Iterator[tuple[Key, str]]:
    """Each problem with the key that it is about."""
    for details in error.errors(include_url=False):
        place = _place(details["loc"])
        if details["type"] == PROBLEMS:
            for inner, words in details["ctx"]["problems"]:
                key = (*place.key, *inner)
                yield key, f"{dotted(key)} {words}"
        else:
            yield place.key, _sentence(details, place)


def unknown(key: Key, names: list[str]) -> str:
    """The sentence about a setting that does not exist."""
    *parent, name = key
    text = f"unknown setting {dotted(key)}"
    if near := get_close_matches(str(name), names, 1):
        return f"{text}; did you mean {dotted((*parent, near[0]))}?"
    if elsewhere := [other for other in all_keys() if other[-1] == name]:
        return f"{text}; did you mean {' or '.join(map(dotted, elsewhere[:2]))}?"
    return f"{text}; there is {', '.join(names)}"


def settings(model: type[BaseModel]) -> dict[str, Any]:
    """A section's settings: the file's name of each, and its type."""
    return {info.alias or name: info.annotation for name, info in model.model_fields.items()}


def all_keys(model: type[BaseModel] = Config, parent: Key = ()) -> Iterator[Key]:
    """Every setting that there is, lists left out, since their entries have no fixed place."""
    for name, annotation in settings(model).items():
        yield (*parent, name)
        if tuple not in {annotation, getattr(annotation, "__origin__", None)}:
            for inner in _models(annotation):
                yield from all_keys(inner, (*parent, name))


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The sections that a setting of this type may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]


def _place(loc: Key) -> _Place:
    """Where an error is, by the model.

    pydantic's location also names the member of a union that it chose; a file has no such level.
    """
    key: list[str | int] = []
    owner: type[BaseModel] | None = None
    annotation: Any = Config
    models = _models(Config)
    for part in loc:
        if len(models) > 1 and (chosen := [model for model in models if part in _tags(model)]):
            models = chosen
        elif isinstance(part, int) or get_origin(annotation) is dict:
            key.append(part)
            annotation = None
        elif len(models) == 1:
            key.append(part)
            owner = models[0]
            annotation = settings(owner).get(part)
            models = _models(annotation)
    return _Place(tuple(key), owner, models)


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    return tuple(
        value
        for name in ("kind", "type")
        if name in model.model_fields
        for value in get_args(model.model_fields[name].annotation)
    )


def _sentence(details: ErrorDetails, place: _Place) -> str:
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    key, owner, models = place
    name = dotted(key) or "the configuration"
    got = _got(value, key)
    if kind == "extra_forbidden":
        return unknown(key, list(settings(owner)) if owner else [])
    if kind == "missing":
        return f"{name} is missing{_purpose(key, owner)}{_needed(key, owner)}"
    if value is None:
        return f"{name} has no value; give it one, or remove the line"
    if kind == "union_tag_not_found":
        tags = ", ".join(tag for model in models for tag in _tags(model))
        return f"{name}.{_quoted(context['discriminator'])[0]} is missing: one of {tags}"
    if kind == "union_tag_invalid":
        name = f"{name}.{_quoted(context['discriminator'])[0]}"
        return _one_of(name, _quoted(context["expected_tags"]), context["tag"], _got(context["tag"], key))
    return _about_value(details, name, got)


def _about_value(details: ErrorDetails, name: str, got: str) -> str:
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    if kind in {"literal_error", "enum"}:
        return _one_of(name, _quoted(context["expected"]), value, got)
    if kind in {"value_error", "assertion_error"}:
        return _own_words(name, str(context["error"]), got)
    if kind in _WORDS:
        quotes = " (put it in quotes)" if kind == "string_type" and isinstance(value, int | float) else ""
        context = {key: f"{limit:g}" if isinstance(limit, float) else limit for key, limit in context.items()}
        return f"{name} {_WORDS[kind].format(**context)}{got}{quotes}"
    return f"{name}: {details['msg']}{got}"


def _own_words(name: str, words: str, got: str) -> str:
    """A validator's sentence: it follows the name where it reads on, and stands apart elsewhere."""
    if "got " not in words and words.startswith("must"):
        words += got
    reads_on = re.match(r"(must|is|are|and|cannot|has|needs)\b", words)
    return f"{name} {words}" if reads_on else f"{name}: {words}"


def _one_of(name: str, allowed: list[str], value: Any, got: str) -> str:
    spellings = {one.lower(): one for one in allowed}
    near = [spellings[one] for one in get_close_matches(str(value).lower(), spellings, 1)]
    meant = f"; did you mean {near[0]}?" if near else ""
    choice = f"one of {', '.join(allowed)}" if len(allowed) > 1 else allowed[0]
    return f"{name} must be {choice}{got}{meant}"


def _quoted(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text)


def _purpose(key: Key, model: type[BaseModel] | None) -> str:
    """What the missing setting says: the first sentence of its documentation."""
    for name, info in model.model_fields.items() if model else ():
        if (info.alias or name) == key[-1] and info.description:
            first = info.description.split(". ")[0].rstrip(".").replace("\n", " ")
            return f": {first[0].lower()}{first[1:]}"
    return ""


def _needed(key: Key, owner: type[BaseModel] | None) -> str:
    """What a missing section must hold at least, so that it is not found missing next."""
    section = settings(owner).get(str(key[-1])) if owner else None
    if not (isinstance(section, type) and issubclass(section, BaseModel)):
        return ""
    fields = section.model_fields.items()
    names = [dotted((*key, info.alias or name)) for name, info in fields if info.is_required()]
    return f"; it needs {' and '.join(names)}" if names else ""


def _got(value: Any, key: Key) -> str:
    """The value, where it may be shown and tells more than its name."""
    if key[:2] == ("log", "security") and key[-1] not in _HARMLESS:
        return ""
    if value is None:
        return ", got nothing"
    if isinstance(value, bool):
        return f", got {str(value).lower()}"
    if isinstance(value, dict):
        return ", got a mapping"
    if isinstance(value, list | tuple):
        return ", got a list"
    text = repr(value)
    return f", got {text}" if len(text) <= VALUE_CHARS_MAX else f", got {text[:VALUE_CHARS_MAX]}..."
