"""The environment wins over the file, and a variable that sets nothing is told."""

import os
from pathlib import Path

import pytest

from streamguard.config import Field, KafkaLog, load
from tests.config_files import SMALL, only_problem, write


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine happens to have set must not decide a test."""
    for name in [name for name in os.environ if name.startswith("STREAMGUARD_")]:
        monkeypatch.delenv(name)


def test_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One image with one file runs in many places; what differs comes from the environment."""
    monkeypatch.setenv("STREAMGUARD_LOG__BOOTSTRAP_SERVERS", '["x:1", "y:2"]')
    monkeypatch.setenv("STREAMGUARD_LOG__WORKER", "fraud-3")
    monkeypatch.setenv("STREAMGUARD_JOIN__AFTER", "30d")
    monkeypatch.setenv("STREAMGUARD_JOIN__IDLE_AFTER", "null")
    monkeypatch.setenv("STREAMGUARD_PREDICTIONS__FIELDS__SCORE", "out.p")
    monkeypatch.setenv("STREAMGUARD_LOG__CREATE_TOPICS", "false")
    config = load(write(tmp_path, SMALL))

    assert isinstance(config.log, KafkaLog)
    assert config.log.bootstrap_servers == ("x:1", "y:2")
    assert (config.log.group, config.log.worker, config.log.create_topics) == (
        "fraud-monitor",
        "fraud-3",
        False,
    )
    assert (config.join.after_ms, config.join.idle_after_ms) == (30 * 86_400_000, None)
    assert config.predictions.fields.score == Field(path="out.p")


def test_servers_from_the_environment_may_be_plain_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON in a shell is a nuisance, and `a:1,b:2` is how everyone writes servers."""
    monkeypatch.setenv("STREAMGUARD_LOG__BOOTSTRAP_SERVERS", "a:1,b:2")
    log = load(write(tmp_path, SMALL)).log

    assert isinstance(log, KafkaLog)
    assert log.bootstrap_servers == ("a:1", "b:2")


def test_monitors_from_the_environment_are_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list has no names to nest by, so that it comes as a whole."""
    monkeypatch.setenv("STREAMGUARD_MONITORS", '[{"name": "other", "detectors": [{"type": "ddm"}]}]')

    assert [monitor.name for monitor in load(write(tmp_path, SMALL)).monitors] == ["other"]


def test_an_empty_variable_sets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files pass an unset variable on as an empty one."""
    monkeypatch.setenv("STREAMGUARD_LOG__GROUP", "")

    assert load(write(tmp_path, SMALL)).log.group == "fraud-monitor"


@pytest.mark.parametrize("name", ["STREAMGUARD_SERVICE_HOST", "STREAMGUARD_PORT", "STREAMGUARD_WEB_PORT_80_TCP_ADDR"])
def test_variables_that_kubernetes_sets_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A Service that is named streamguard puts such variables into every pod beside it."""
    monkeypatch.setenv(name, "10.0.0.1")

    assert load(write(tmp_path, SMALL)).log.group == "fraud-monitor"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        (
            "STREAMGUARD_JOIN__AFTR",
            "2h",
            "STREAMGUARD_JOIN__AFTR: unknown setting join.aftr; did you mean STREAMGUARD_JOIN__AFTER?",
        ),
        (
            "STREAMGUARD_JOIN_AFTER",
            "2h",
            "STREAMGUARD_JOIN_AFTER: unknown setting join_after; did you mean STREAMGUARD_JOIN__AFTER?",
        ),
        (
            "STREAMGUARD_MONITORS__0__NAME",
            "x",
            ("STREAMGUARD_MONITORS__0__NAME: monitors is a list; set all of it, as JSON, in STREAMGUARD_MONITORS"),
        ),
        (
            "STREAMGUARD_MONITORS",
            "[{",
            "STREAMGUARD_MONITORS: monitors must be a list, got '[{'",
        ),
        (
            "STREAMGUARD_JOIN__MAX_WAITING",
            "many",
            "STREAMGUARD_JOIN__MAX_WAITING: join.max_waiting must be a whole number, got 'many'",
        ),
    ],
)
def test_a_wrong_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str
) -> None:
    """A misspelt variable that is ignored leaves a setting unset, which nobody notices."""
    monkeypatch.setenv(name, value)

    assert only_problem(write(tmp_path, SMALL)) == problem
