"""The team's own source of OAuth tokens, whichever client asks for them."""

from importlib import import_module
from typing import Any

from streamguard.errors import ConfigError


def load(name: str) -> Any:
    """An instance of the class `package.module:Class`; raises `ConfigError`."""
    module, _, attribute = name.partition(":")
    try:
        return getattr(import_module(module), attribute)()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"log.security.sasl.token_provider: cannot load {name!r}: {error}") from None
