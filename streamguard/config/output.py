"""A configuration as text: what is in effect, and what could be set."""

from typing import Any

from streamguard.config.models import Config
from streamguard.core.durations import format_duration_ms


def show(config: Config) -> str:
    """What is in effect, as a file that can be loaded again: defaults filled in, secrets hidden."""
    return config.as_yaml()


def schema() -> dict[str, Any]:
    """The JSON Schema of the file, for editors that complete and explain settings."""
    body = Config.model_json_schema(by_alias=True)
    _tidy(body)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **body,
        "title": "streamguard configuration",
    }


def _tidy(node: Any) -> None:
    """Say what a file would say, and drop the titles that pydantic makes up from the names."""
    if isinstance(node, list):
        for item in node:
            _tidy(item)
    if not isinstance(node, dict):
        return
    for part in node.get("properties", {}).values():
        part.pop("title", None)
        if "description" in part:
            part["description"] = part["description"].replace("\n", " ")
        for form in (part, *part.get("anyOf", ())):
            if "1h30m" in form.get("examples", ()):
                _tidy_duration(part, form)
    for item in node.values():
        _tidy(item)


def _tidy_duration(part: dict[str, Any], form: dict[str, Any]) -> None:
    """A file must say the unit, where Python may give milliseconds as a number."""
    form["type"] = "string"
    for word in ("minimum", "gt", "ge"):
        form.pop(word, None)
    if isinstance(part.get("default"), int):
        part["default"] = format_duration_ms(part["default"])
