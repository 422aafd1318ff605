"""A result of a probe, as it is read from the environment topic: what can be believed of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from streamguard.core.environment.certificates import Seen
from streamguard.core.environment.shapes import OPTIONAL, ROOT, TYPES, is_path

_NAME_CHARS_MAX = 200
_TEXT_CHARS_MAX = 300
_FIELDS_MAX = 500
_LATENCY_MS_MAX = 1e9
# 9999-12-31, as for event times.
_TIME_MS_MAX = 253_402_300_799_999
_NOT_JSON = {ROOT: "nothing"}


@dataclass(frozen=True, slots=True)
class Probed:
    """A result; None and empty is what it does not say."""

    target: str
    kind: str
    """That of its error; empty: the answer is good."""
    message: str
    status: int | None
    latency_ms: float | None
    fields: Mapping[str, str] | None
    """The form of the answer; None where it is not looked at."""
    certificate: Seen | None


def read(record: Mapping[str, Any]) -> Probed | None:
    """None for what is no result of a probe, version 1."""
    target, is_ok = record.get("target"), record.get("ok")
    is_ours = record.get("type") == "probe" and record.get("v") == 1 and isinstance(is_ok, bool)
    if not is_ours or not isinstance(target, str) or not 0 < len(target) <= _NAME_CHARS_MAX:
        return None
    error = record.get("error")
    error = error if isinstance(error, Mapping) else {}
    kind = "" if is_ok else _text(error.get("kind")) or "unknown"
    return Probed(
        target=target,
        kind=kind,
        message=_text(error.get("message")) or "no reason given",
        status=_whole(record.get("status"), 999),
        latency_ms=_latency_ms(record.get("latency_ms")),
        fields=_fields(record.get("schema")) if kind in {"", "contract"} else None,
        certificate=_certificate(record),
    )


def _text(value: Any) -> str:
    return value[:_TEXT_CHARS_MAX] if isinstance(value, str) else ""


def _whole(value: Any, most: int) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most else None


def _latency_ms(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _LATENCY_MS_MAX:
        return None
    return float(value) if isfinite(value) else None


def _certificate(record: Mapping[str, Any]) -> Seen | None:
    expires_ms = _whole(record.get("tls_expires"), _TIME_MS_MAX)
    if expires_ms is None:
        return None
    return Seen(_whole(record.get("tls_issued"), _TIME_MS_MAX), expires_ms, _text(record.get("tls_issuer")) or None)


def _fields(schema: Any) -> Mapping[str, str] | None:
    """The legal places among them; of an answer that is not JSON, one place of no type."""
    if schema is None:
        return _NOT_JSON
    fields = schema.get("fields") if isinstance(schema, Mapping) else None
    if not isinstance(fields, Mapping):
        return None
    found: dict[str, str] = {}
    for path, types in fields.items():
        if isinstance(path, str) and isinstance(types, str) and is_path(path) and _is_types(types):
            found[path] = types
        if len(found) == _FIELDS_MAX:
            break
    return found or None


def _is_types(text: str) -> bool:
    return len(text) <= 60 and all(each in TYPES for each in text.removesuffix(OPTIONAL).split("|"))
