"""Settings from the environment: `STREAMGUARD_LOG__GROUP` is `log.group`, and wins over the file."""

import json
import os
import re
from collections.abc import Collection, Mapping
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from streamguard.config.base import Key
from streamguard.config.models import Config

PREFIX = "STREAMGUARD_"
NESTED = "__"

# Kubernetes sets such variables in every pod, for every Service: one named `streamguard` must not stop us.
_KUBERNETES = re.compile(r"(.*_)?(SERVICE_(HOST|PORT(_.+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)")


class _Environment(Config, BaseSettings):
    """The same settings, as pydantic-settings wants to see them."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=NESTED,
        env_parse_none_str="null",
        # `docker compose` passes an unset variable on as an empty one.
        env_ignore_empty=True,
    )


class _Source(EnvSettingsSource):
    """Takes lists and mappings as JSON, and all else as text."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ARG002
        try:
            decoded = json.loads(value)
        except ValueError:
            return value
        return decoded if isinstance(decoded, dict | list) else value


def overrides(known: Collection[Key]) -> dict[str, Any]:
    """What the environment sets of the known settings, in the shape of the file."""
    source = _Source(_Environment)
    names = {(PREFIX + NESTED.join(map(str, key))).lower() for key in known}
    source.env_vars = {name: value for name, value in source.env_vars.items() if name in names}
    return source()


def variables() -> dict[Key, str]:
    """Every variable that is meant for us, by the key that it sets."""
    found: dict[Key, str] = {}
    for name, value in os.environ.items():
        rest = name[len(PREFIX) :]
        if name.upper().startswith(PREFIX) and value and not _KUBERNETES.fullmatch(rest.upper()):
            found[tuple(rest.lower().split(NESTED))] = name
    return found


def merge(below: Any, above: Any) -> Any:
    """Mappings are merged key by key; anything else of `above` replaces what is below it."""
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        return {**below, **{key: merge(below.get(key), value) for key, value in above.items()}}
    return above
