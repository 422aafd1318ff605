"""Secrets: in a file of their own or in the environment, and never shown."""

from pathlib import Path

from pydantic import SecretStr, ValidationInfo

HIDDEN = "********"


def read_secret(value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
    """The secret itself, or what its file holds; a file declared earlier in the section, so already legal."""
    name = info.data.get(f"{info.field_name}_file")
    if name is None:
        return value
    if value is not None:
        raise ValueError(f"and {info.field_name}_file are both set; keep one")
    return SecretStr(Path(name).read_text(encoding="utf-8").rstrip("\r\n"))
