"""Steps of preparation as people write them, and what is said about wrong ones."""

import json
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from streamguard.config import report
from streamguard.config.base import Section
from streamguard.config.loading import AS_A_FILE
from streamguard.config.preparation import PLAIN, StepSettings
from streamguard.core.features.steps import BUILT_IN


class Contract(Section):
    """A section with steps."""

    steps: tuple[StepSettings, ...] = ()


STEPS: list[Any] = [
    "lower_case",
    "strip_digits",
    "strip_punctuation",
    "collapse_whitespace",
    "strip_accents",
    "strip_markup",
    {"normal_form": "NFC"},
    {"clip": [0, 100]},
    {"clip": [0.5, None]},
    {"round": 2},
    {"scale": {"to": [0, 1], "from": [0, 255]}},
    {"scale": [-1, 1]},
    {"standardize": {"mean": 1.5, "sd": 2.0}},
    {"impute": 0},
    {"impute": False},
    {"impute": ""},
    {"map": {"a": "b", "1": 2, "true": False}},
    {"function": "package.module:Class.method", "time_limit": "2s"},
    {"function": "module:name"},
]


def validated(*steps: Any) -> tuple[StepSettings, ...]:
    """As from a file."""
    return Contract.model_validate({"steps": list(steps)}, **AS_A_FILE).steps


def test_steps_are_written_as_they_are_read() -> None:
    """The shortest form, and the same settings."""
    settings = Contract.model_validate({"steps": STEPS}, **AS_A_FILE)
    dumped = settings.model_dump(mode="json", by_alias=True)

    assert json.dumps(dumped) == json.dumps({"steps": STEPS})
    assert Contract.model_validate(dumped, **AS_A_FILE) == settings
    assert Contract.model_validate_json(settings.model_dump_json(by_alias=True)) == settings
    assert {each.name for each in settings.steps} == {*BUILT_IN, "function"}


def test_longer_forms_are_the_same_steps() -> None:
    """With a value where none is needed, or as Python's names."""
    assert validated({"lower_case": True}) == validated("lower_case") == (StepSettings(lower_case=True),)
    assert validated({"scale": {"to": [0, 1]}}) == validated({"scale": [0, 1]})
    assert validated({"map": {1: "x", False: "y", 1.5: "z"}}) == validated(
        {"map": {"1": "x", "false": "y", "1.5": "z"}}
    )
    assert validated({"function": "a:b", "time_limit": "1m"})[0].time_limit_ms == 60_000
    assert StepSettings(function="a:b", time_limit=50).model_dump(mode="json") == {
        "function": "a:b",
        "time_limit": "50ms",
    }


def test_an_editor_knows_the_steps() -> None:
    """It marks what is wrong, and shows what a setting means."""
    schema = Contract.model_json_schema(by_alias=True)
    jsonschema.validate({"steps": STEPS}, schema)
    step = schema["$defs"]["StepSettings"]
    assert step["anyOf"][0] == {"enum": list(PLAIN)}
    assert all("description" in each for each in step["anyOf"][1]["properties"].values())
    for wrong in ("lowercase", "clip", {"clip": [1]}, {"round": 99}, {"normal_form": "NFX"}, {"lower_case": False}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"steps": [wrong]}, schema)


NAMES = (
    "lower_case, strip_digits, strip_punctuation, collapse_whitespace, strip_accents, strip_markup, normal_form, clip,"
    " round, scale, standardize, impute, map, function"
)
TWO = "must be two numbers, the lower one first, such as [0, 100]"
OPEN = f"{TWO} (null: no limit)"


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("lowercase", "unknown setting steps[0].lowercase; did you mean steps[0].lower_case?"),
        ({"klip": [0, 1]}, "unknown setting steps[0].klip; did you mean steps[0].clip?"),
        ("stem", f"unknown setting steps[0].stem; there is {NAMES}, time_limit"),
        ("clip", "steps[0]: clip needs a setting: {clip: [0, 100]}"),
        (3, "steps[0] must be a step such as lower_case, or {clip: [0, 100]}, got 3"),
        ({}, f"steps[0] names no step; there is {NAMES}"),
        (
            {"clip": [0, 1], "lower_case": True},
            "steps[0] names 2 steps, and their order matters: give each an entry (- lower_case, - {clip: ...})",
        ),
        ({"lower_case": False}, "steps[0].lower_case must be true, or is left out, got false"),
        ({"lower_case": None}, "steps[0].lower_case has no value; give it one, or remove the line"),
        ({"impute": None}, "steps[0].impute has no value; give it one, or remove the line"),
        ({"impute": [0]}, "steps[0].impute must be text, a finite number, true or false, got a list"),
        (
            {"normal_form": "nfc"},
            "steps[0].normal_form must be one of NFC, NFD, NFKC, NFKD, got 'nfc'; did you mean NFC?",
        ),
        ({"clip": 5}, f"steps[0].clip {OPEN}, got 5"),
        ({"clip": [3, 1]}, f"steps[0].clip {OPEN}, got [3, 1]"),
        ({"clip": [None, None]}, f"steps[0].clip {OPEN}, got [None, None]"),
        ({"clip": [0, True]}, f"steps[0].clip {OPEN}, got [0, True]"),
        ({"clip": [0, 10**400]}, f"steps[0].clip {OPEN}, got [0, 1{'0' * 55}"),
        ({"scale": [0, None]}, f"steps[0].scale.to {TWO}, got [0, None]"),
        ({"scale": {"from": [0, 1]}}, "steps[0].scale.to is missing: lowest and highest number after the step"),
        ({"scale": 3}, "steps[0].scale must be a range such as [0, 1], or {to: [0, 1], from: [0, 255]}, got 3"),
        ({"round": "2"}, "steps[0].round must be a whole number from -15 to 15, got '2'"),
        ({"round": True}, "steps[0].round must be a whole number from -15 to 15, got true"),
        ({"map": {}}, "steps[0].map must be a mapping of categories, such as {yes: 1, no: 0}, got a mapping"),
        ({"map": {"a": [1]}}, "steps[0].map must be text, a finite number, true or false, got a list"),
        ({"function": "package.module"}, "steps[0].function must look like package.module:name, got 'package.module'"),
        ({"function": "a:b", "time_limit": 3}, 'steps[0].time_limit must say its unit, for example "3s", got 3'),
        ({"function": "a:b", "time_limit": "0s"}, "steps[0].time_limit must be > 0, got 0"),
        ({"round": 2, "time_limit": "1s"}, "steps[0].time_limit belongs to a function; remove it"),
    ],
)
def test_a_wrong_step_is_told(monkeypatch: pytest.MonkeyPatch, step: Any, message: str) -> None:
    """What, where, and the way out."""
    monkeypatch.setattr(report, "Config", Contract)
    with pytest.raises(ValidationError) as caught:
        validated(step)
    assert [words for _, words in report.sentences(caught.value)] == [message]
