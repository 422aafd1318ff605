"""The configuration: what a file means, what wins over it, and what is said about a wrong one."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from streamguard.config import Config, EmbeddedLog, Field, Join, KafkaLog, load, schema, show
from streamguard.config.document import dump, read
from streamguard.config.report import all_keys
from tests.config_files import FULL, SMALL, secured, write


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine happens to have set must not decide a test."""
    for name in [name for name in os.environ if name.startswith("STREAMGUARD_")]:
        monkeypatch.delenv(name)


def test_smallest_file_gets_the_documented_defaults(tmp_path: Path) -> None:
    """A user who sets three things must be able to rely on the rest being as documented."""
    config = load(write(tmp_path, SMALL))

    assert isinstance(config.log, KafkaLog)
    assert config.log.bootstrap_servers == ("localhost:9092",)
    assert (config.log.session_timeout_ms, config.log.transaction_timeout_ms) == (15_000, 10_000)
    assert config.join == Join(
        before=0,
        after=7_200_000,
        disorder=30_000,
        max_ahead=3_600_000,
        idle_after=30_000,
        max_waiting=5_000_000,
        max_waiting_bytes=2**30,
    )
    assert config.predictions.fields.value == Field(path="prediction")
    assert config.predictions.fields.time is None
    assert (config.alerts.cooldown_ms, config.state.every_ms) == (3_600_000, 30_000)
    assert (config.limits.record_bytes, config.limits.request_id_chars) == (2**20, 512)
    assert (config.http.host, config.http.port) == ("127.0.0.1", None)
    assert (config.watchdog.stalled_after_ms, config.watchdog.hung_after_ms) == (60_000, 300_000)
    assert config.topics == {
        "predictions": "predictions",
        "labels": "labels",
        "outcomes": "streamguard-fraud-monitor-outcomes",
        "alerts": "alerts",
        "rejected": "streamguard-fraud-monitor-rejected",
        "state": "streamguard-fraud-monitor-state",
    }


def test_every_setting_reaches_its_attribute(tmp_path: Path) -> None:
    """A setting that is read and not used would be a silent lie."""
    config = load(write(tmp_path, FULL))

    assert isinstance(config.log, KafkaLog)
    assert config.log.bootstrap_servers == ("a:9092", "b:9093")
    assert config.log.security.sasl is not None
    assert config.log.security.sasl.password is not None
    assert config.log.security.sasl.password.get_secret_value() == "hunter2"
    assert config.predictions.fields.value == Field(path="out.class", type="int")
    assert config.predictions.fields.value.parts == ("out", "class")
    assert config.predictions.fields.version is None
    assert (config.join.before_ms, config.join.idle_after_ms) == (60_000, None)
    assert config.horizon_ms == 60_000 + 7 * 86_400_000
    assert config.monitors[0].split_by == ("version", "meta.region")
    assert config.monitors[1].threshold is not None
    assert config.monitors[1].threshold.cooldown == 1_800_000
    assert (config.http.host, config.http.port) == ("::1", 8080)
    assert (config.watchdog.stalled_after_ms, config.watchdog.hung_after_ms) == (90_000, None)
    assert (config.outcomes_topic, config.rejected_topic, config.state_topic) == (
        "joined",
        "letters",
        "snapshots",
    )


def test_embedded_log_needs_nothing_else(tmp_path: Path) -> None:
    """Trying streamguard out must not ask for a broker, nor for a group."""
    config = load(write(tmp_path, SMALL.replace("kafka, group: fraud-monitor", "embedded")))

    assert config.log == EmbeddedLog(kind="embedded", path="./data/streamguard.db", group="streamguard", partitions=4)


def test_plain_words_keep_their_type(tmp_path: Path) -> None:
    """Norway is not false, a zero-padded code is not octal, and a quoted number stays text."""
    match = load(write(tmp_path, FULL)).monitors[0].match

    assert list(match.items()) == [("country", "NO"), ("channel", 3), ("live", True)]
    assert type(match["live"]) is bool
    assert load(write(tmp_path, FULL)).monitors[0].positive == "1"


def test_yaml_reads_what_it_writes(tmp_path: Path) -> None:
    """Text that looks like a number must be quoted on the way out, or it changes type on the way in."""
    data = {
        "a": [
            "NO",
            "1e3",
            "010",
            "true",
            "null",
            "~",
            "",
            "1:30",
            "2026-01-01",
            1e-5,
            10,
            True,
            None,
            ".5",
            "ä",
        ]
    }
    path = tmp_path / "x.yaml"
    path.write_text(dump(data), encoding="utf-8")

    assert read(path).data == data


def test_a_section_without_lines_is_its_defaults(tmp_path: Path) -> None:
    """Commenting out all lines of a section leaves null behind, which nobody means."""
    assert load(write(tmp_path, SMALL + "alerts:\n#  topic: x\n")).alerts.topic == "alerts"


def test_a_configuration_cannot_be_changed(tmp_path: Path) -> None:
    """Workers share one configuration, so that nobody may turn it under another's hands."""
    config = load(write(tmp_path, SMALL))

    with pytest.raises(ValueError, match="frozen"):
        config.join.after_ms = 1


def test_merge_keys_and_anchors_work(tmp_path: Path) -> None:
    """Monitors that differ in one thing are written with an anchor."""
    text = SMALL.replace("- name: fraud", "- &base\n    name: fraud") + "  - {<<: *base, name: other}\n"

    assert [monitor.name for monitor in load(write(tmp_path, text)).monitors] == ["fraud", "other"]


# Secrets


def test_a_secret_comes_from_its_file(tmp_path: Path) -> None:
    """Orchestrators mount secrets as files, and editors end files with a newline that is not part of them."""
    (tmp_path / "password").write_text("hunter2\n", encoding="utf-8")
    config = load(write(tmp_path, secured(f"password_file: {tmp_path}/password")))
    again = load(write(tmp_path, show(config)))

    assert "hunter2" not in show(config)
    for each in (config, again):
        assert isinstance(each.log, KafkaLog)
        assert each.log.security.sasl is not None
        assert each.log.security.sasl.password is not None
        assert each.log.security.sasl.password.get_secret_value() == "hunter2"


def test_a_secret_is_not_shown_by_any_way_out(tmp_path: Path) -> None:
    """Log lines, tracebacks and `config show` are read by more people than may know the password."""
    config = load(write(tmp_path, FULL))

    assert "hunter2" in FULL
    for text in (repr(config), str(config), show(config), config.model_dump_json(), config.as_yaml()):
        assert "hunter2" not in text
    assert "password: '********'" in show(config)


# The way out


@pytest.mark.parametrize("text", [SMALL, FULL, SMALL.replace("kafka, group: fraud-monitor", "embedded")])
def test_what_is_shown_can_be_loaded_again(tmp_path: Path, text: str) -> None:
    """`config show` is how a user keeps a configuration with its defaults pinned."""
    shown = show(load(write(tmp_path, text)))

    assert show(load(write(tmp_path, shown))) == shown


def test_what_is_shown_is_in_the_words_of_the_file(tmp_path: Path) -> None:
    """Milliseconds and Python's names are ours; the file has durations and keys."""
    shown = show(load(write(tmp_path, FULL)))

    assert "  after: 7d\n" in shown
    assert "  disorder: 1h30m\n" in shown
    assert "    request_id: meta.id\n" in shown
    assert "_ms" not in shown


def sections(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    """Every model of the configuration."""
    if model not in seen:
        seen.add(model)
        yield model
        for info in model.model_fields.values():
            for inner in models_in(info.annotation):
                yield from sections(inner, seen)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models inside a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in getattr(annotation, "__args__", ()) for model in models_in(inner)]


def test_every_setting_is_documented() -> None:
    """The description is the documentation: the schema, the editor and the README show nothing else."""
    bare = [
        f"{model.__name__}.{name}"
        for model in sections(Config, set())
        for name, info in model.model_fields.items()
        if not info.description and name != "type"  # A detector's type is its name.
    ]

    assert bare == []


def test_every_setting_is_frozen_and_closed() -> None:
    """A section that takes unknown keys would swallow a typing mistake."""
    open_ones = [
        model.__name__
        for model in sections(Config, set())
        if model.model_config.get("extra") != "forbid" or not model.model_config.get("frozen")
    ]

    assert open_ones == []


def test_schema_speaks_as_the_file_does() -> None:
    """An editor that works by the schema must offer what `load` accepts."""
    definitions = schema()["$defs"]
    join = definitions["Join"]["properties"]

    assert (join["after"]["type"], join["disorder"]["default"]) == ("string", "30s")
    assert not {"gt", "ge"} & set(join["idle_after"]["anyOf"][0])
    assert join["idle_after"]["default"] == "30s"
    assert "after_ms" not in join
    assert definitions["Join"]["required"] == ["after"]
    assert definitions["Join"]["additionalProperties"] is False
    assert {"type": "string"} in definitions["Field"]["anyOf"]
    assert "how late your labels are" in join["after"]["description"]
    assert json.loads(json.dumps(schema())) == schema()


def test_all_keys_are_those_of_the_file() -> None:
    """Suggestions and variables are looked up there: a key that is left out could never be set."""
    keys = {".".join(map(str, key)) for key in all_keys()}

    assert {"log.security.sasl.password_file", "join.after", "monitors", "log.path", "state.every"} <= keys
    assert not any("after_ms" in key for key in keys)
