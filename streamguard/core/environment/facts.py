"""A fingerprint as facts that can be compared: names and texts, within bounds whatever a record holds."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from streamguard.core.fields import Unreadable, kind_of

PACKAGE = "package "
"""What the names of facts about packages begin with: one that an instance does not name is not installed there."""

_NAME_CHARS = 300
_VALUE_CHARS = 2000
_PACKAGES = 5000
_OTHERS = 500
_EVERY_MS = (1000, 3_600_000)
_EVERY_DEFAULT_MS = 300_000


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What an instance says of itself. A fact without a value is one that is unset, or has no limit."""

    instance: str
    model: str | None
    version: str | None
    every_ms: int
    """How often it reports."""
    facts: dict[str, str | None]
    has_packages: bool
    memory: tuple[int, int] | None
    """Bytes used, and the limit."""


def read(record: dict[str, Any]) -> Fingerprint:
    """Raises `Unreadable` for what is no fingerprint of version 1, or is too large to be one."""
    if record.get("v") != 1:
        raise Unreadable(f"fingerprint of version {_shown(record.get('v'))}: expected 1")
    instance = _text(record.get("instance"), "instance", _NAME_CHARS)
    if not instance:
        raise Unreadable("field 'instance' is empty: name what serves, such as a pod")
    facts: dict[str, str | None] = {}
    packages = _mapping(record, "packages", _PACKAGES)
    for name, value in packages.items():
        if type(value) is not str or len(value) > _NAME_CHARS or len(name) > _NAME_CHARS:
            raise Unreadable(f"version of package {_shown(name)} must be text of {_NAME_CHARS} characters at most")
        facts[PACKAGE + name] = value
    facts.update(_others(record))
    every_ms = record.get("every_ms", _EVERY_DEFAULT_MS)
    if type(every_ms) is not int:
        raise Unreadable(f"field 'every_ms' is {kind_of(every_ms)}: expected milliseconds")
    return Fingerprint(
        instance,
        _optional(record, "model"),
        _optional(record, "version"),
        min(max(every_ms, _EVERY_MS[0]), _EVERY_MS[1]),
        facts,
        type(record.get("packages")) is dict,
        _memory(_mapping(record, "memory", _OTHERS)),
    )


def _others(record: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
    """All facts but packages; what is not known is none."""
    python, system = _mapping(record, "python", _OTHERS), _mapping(record, "system", _OTHERS)
    yield from _known("", {"python": python.get("version")})
    yield from _known("python", {"implementation": python.get("implementation")})
    yield from _known("", {name: system.get(name) for name in ("os", "kernel", "libc", "arch")})
    for name, value in _mapping(record, "variables", _OTHERS).items():
        yield _name("variable", name), None if value is None else _value(value, f"variable {name}")
    for name, file in _mapping(record, "model_files", _OTHERS).items():
        if file is None:
            yield _name("model file", name), None
            continue
        if type(file) is not dict:
            raise Unreadable(f"model file {_shown(name)} is {kind_of(file)}: expected an object")
        yield from _known("model file", {name: file.get("sha256")})
    yield from _known("", {"preprocessing": record.get("preprocessing")})
    for name, value in _mapping(record, "facts", _OTHERS).items():
        yield _name("fact", name), None if value is None else _value(value, f"fact {name}")
    yield from _limits(record)
    yield from _gpus(_mapping(record, "gpu", _OTHERS))


def _limits(record: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
    for role in ("cpu", "memory"):
        found = _mapping(record, role, _OTHERS)
        if "limit" in found:
            limit = found["limit"]
            yield f"{role} limit", None if limit is None else _value(limit, f"{role}.limit")


def _gpus(gpu: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
    if not gpu:
        return
    devices = gpu.get("devices")
    if type(devices) is not list or len(devices) > _OTHERS or not all(type(each) is dict for each in devices):
        raise Unreadable("field 'gpu.devices' must be a list of objects")
    yield "gpu count", str(len(devices))
    yield "gpu names", ", ".join(sorted({_value(each.get("name"), "gpu name") for each in devices}))[:_VALUE_CHARS]
    yield from _known("", {"gpu driver": gpu.get("driver")})


def _known(kind: str, found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in found.items():
        if value is not None:
            yield _name(kind, name), _value(value, name)


def _name(kind: str, name: str) -> str:
    if len(name) > _NAME_CHARS:
        raise Unreadable(f"name of a {kind} of {len(name)} characters: at most {_NAME_CHARS} are taken")
    return f"{kind} {name}" if kind else name


def _value(value: Any, name: str) -> str:
    if type(value) is str:
        return _text(value, name, _VALUE_CHARS)
    if type(value) is bool:
        return str(value).lower()
    if type(value) in (int, float):
        return f"{value:.15g}" if type(value) is float else str(value)
    raise Unreadable(f"{_shown(name)} is {kind_of(value)}: expected text, a number or a boolean")


def _text(value: Any, name: str, most: int) -> str:
    if type(value) is not str:
        raise Unreadable(f"field {_shown(name)} is {kind_of(value)}: expected a string")
    if len(value) > most:
        raise Unreadable(f"{_shown(name)} has {len(value)} characters: at most {most} are taken")
    return value


def _optional(record: dict[str, Any], name: str) -> str | None:
    value = record.get(name)
    return None if value is None else _text(value, name, _NAME_CHARS)


def _mapping(record: dict[str, Any], name: str, most: int) -> dict[str, Any]:
    found = record.get(name)
    if found is None:
        return {}
    if type(found) is not dict:
        raise Unreadable(f"field '{name}' is {kind_of(found)}: expected an object")
    if len(found) > most:
        raise Unreadable(f"field '{name}' has {len(found)} entries: at most {most} are taken")
    return found


def _memory(memory: dict[str, Any]) -> tuple[int, int] | None:
    used, limit = memory.get("used"), memory.get("limit")
    if type(used) is not int or type(limit) is not int or used < 0 or limit <= 0:
        return None
    return used, limit


def _shown(value: object) -> str:
    # Not of what is nested: that may be nested more deeply than Python can follow.
    return repr(value)[:80] if type(value) in (str, int, float, bool) else kind_of(value)
