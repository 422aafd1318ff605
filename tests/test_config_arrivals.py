"""What is said of wrong settings of contracts and volumes."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from streamguard.config import parse
from streamguard.errors import ConfigError
from streamguard.worker.topology import derive

SCHEMA = {"type": "object", "properties": {"amount": {"type": "number"}, "card": {"properties": {"country": {}}}}}


def derived(**sections: Any) -> Any:
    """The settings of all tasks."""
    monitor = {"name": "m", "threshold": {"max_mismatch_percent": 50, "window": 4}}
    log = {"kind": "kafka", "group": "g"}
    return derive(parse({"log": log, "join": {"after": "10ms"}, "monitors": [monitor], **sections}), 1, 1)


def file(directory: Path, content: bytes) -> str:
    """A schema file."""
    path = directory / "predictions.schema.json"
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "is not JSON: "),
        (b"", "is not JSON: "),
        (b"\xff", "is not JSON: "),
        (b"[]", "the schema: is no JSON object"),
        (b'{"properties": {"a": {"type": "text"}}}', "a: is of type 'text'"),
        (b'{"properties": {"a": {"$ref": "#/$defs/x"}}}', "a: refers to '#/$defs/x', which is not in the document"),
    ],
)
def test_a_schema_that_is_no_contract_is_told_of(tmp_path: Path, content: bytes, words: str) -> None:
    """Where, with the file."""
    name = file(tmp_path, content)
    with pytest.raises(ConfigError) as refused:
        derived(predictions={"contract": {"schema": name}})
    assert str(refused.value).startswith(f"predictions.contract.schema: {name!r}")
    assert words in str(refused.value)


@pytest.mark.parametrize("name", ["none.json", "."])
def test_a_file_that_cannot_be_read_is_told_of(tmp_path: Path, name: str) -> None:
    """With the reason of the system."""
    with pytest.raises(ConfigError, match=r"labels\.contract\.schema cannot be read: "):
        derived(labels={"contract": {"schema": str(tmp_path / name)}})


def test_only_fields_of_the_schema_can_be_refused(tmp_path: Path) -> None:
    """The message says which there are."""
    schema = file(tmp_path, orjson.dumps(SCHEMA))
    with pytest.raises(ConfigError) as refused:
        derived(predictions={"contract": {"schema": schema, "reject": ["amuont"]}})
    assert str(refused.value).startswith(
        "predictions.contract.reject: 'amuont' is no field of the schema; it has amount, card, card.country"
    )
    assert derived(predictions={"contract": {"schema": schema, "reject": ["amount", "card.country", "*"]}})


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        ({"baseline": "7d"}, "must be 14d or more to learn the hours of the week; or set season: none"),
        ({"baseline": "1d", "season": "none"}, "labels.volume.baseline"),
        ({"falls_to_percent": 95}, "labels.volume.falls_to_percent"),
        ({"season": "day"}, "labels.volume.season must be one of hour_of_week, none"),
        ({"silent_after": 0}, "labels.volume.silent_after"),
        ({"silent": "1h"}, "unknown setting labels.volume.silent; did you mean"),
    ],
)
def test_wrong_volumes_are_told_of(volume: dict[str, Any], words: str) -> None:
    """What, and the way out."""
    with pytest.raises(ConfigError) as refused:
        derived(labels={"volume": volume})
    assert words in str(refused.value)


def test_a_week_is_enough_without_seasons() -> None:
    """All hours are alike then."""
    assert derived(labels={"volume": {"baseline": "7d", "season": "none"}})
