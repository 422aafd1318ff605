"""Secrets: in a file of their own or in the environment, and never shown."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, SecretStr, ValidationInfo

from streamguard.config.types import FileName

HIDDEN = "********"


def _text(value: Any) -> Any:
    if value is None or isinstance(value, str | SecretStr):
        return value
    # A message about the type alone would be followed by the value.
    raise ValueError("is no text: put it in quotes")


Secret = Annotated[SecretStr, BeforeValidator(_text)]
"""Text that no message, repr or dump shows."""


def secret_in(file: str) -> SecretStr:
    """What a file holds, without its trailing newline; raises `ValueError` where that is no text."""
    try:
        return SecretStr(Path(file).read_text(encoding="utf-8").rstrip("\r\n"))
    except UnicodeDecodeError:
        # The error itself would show some of it.
        raise ValueError(f"must hold UTF-8 text, got other bytes in {file!r}") from None


def _holds_text(file: str) -> str:
    secret_in(file)
    return file


SecretFile = Annotated[FileName, AfterValidator(_holds_text)]
"""A file that a secret can be read from."""


def read_secret(value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
    """The secret itself, or what its file holds; a file declared earlier in the section, so already legal."""
    name = info.data.get(f"{info.field_name}_file")
    if name is None:
        return value
    if value is not None:
        raise ValueError(f"and {info.field_name}_file are both set; keep one")
    return secret_in(name)
