"""The schema of an alert: what is written fits, what is wrong does not, and the page says the same."""

import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import BaseModel

from streamguard.core.detectors import TYPES, BudgetedSettings, settings_of
from streamguard.core.threshold import ConfirmSettings, ThresholdSettings
from tests.contract import examples
from tests.contract.schemas import SCHEMAS, VALIDATORS, document, wrong, wrong_alert

PAGE = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text(encoding="utf-8")
FILES = {path.stem: orjson.loads(path.read_bytes()) for path in sorted(examples.EXAMPLES.glob("*.json"))}
SCHEMA = document("alert-1.schema.json")
ADDED = ("features", "estimate", "related", "retraining", "environment", "contract", "volume")
DRIFTS = ("mismatch_drift", "loss_drift")
STATES = {
    **dict.fromkeys((*DRIFTS, "label_starvation"), ("raised", "updated", "resolved")),
    **dict.fromkeys(("no_data", "type_disagreement"), ("raised", "resolved")),
    "segments_full": ("raised",),
    **dict.fromkeys(("data_drift", "preprocessing"), ("raised", "updated", "resolved")),
    "retraining": ("updated",),
    "environment": ("raised", "updated", "resolved"),
    "message_contract": ("raised", "updated", "resolved"),
    "volume": ("raised", "resolved"),
}
"""What can become of each kind."""
ALL = {(kind, status) for kind, statuses in STATES.items() for status in statuses}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one(name: str) -> None:
    """By both drafts, though it names the newer."""
    for draft in VALIDATORS:
        draft.check_schema(document(name))
    assert document(name)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def parts(schema: Any) -> Iterator[Any]:
    """A schema and all within it."""
    if isinstance(schema, dict):
        yield schema
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from parts(inner)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_field_is_described_and_none_is_left_open(name: str) -> None:
    """A reader in another language has nothing else to go by."""
    rules = document(name).get("allOf", [])
    for part in parts({**document(name), "allOf": []}):
        fields = part.get("properties", {})
        assert [field for field, each in fields.items() if not each.get("description", "").endswith(".")] == []
        if fields:
            assert part["additionalProperties"] is False
            assert set(part.get("required", ())) <= set(fields)
    assert all(rule["$comment"] for rule in rules)


def test_drafts_mean_the_same() -> None:
    """What only one of the two knows is not used; beside a reference draft 07 looks at nothing."""
    newer = {"prefixItems", "unevaluatedProperties", "unevaluatedItems", "dependentRequired", "$anchor", "$dynamicRef"}
    for name in SCHEMAS:
        for part in parts(document(name)):
            assert not newer & part.keys()
            assert "$ref" not in part or len(part) == 1


def test_the_examples_are_real() -> None:
    """Each was raised by the tasks, most of them over the histories of the replay."""
    assert {f"{name}.json": text for name, text in examples.found().items()} == {
        path.name: path.read_bytes() for path in examples.EXAMPLES.glob("*.json")
    }


def test_there_is_an_example_of_each_kind_and_status() -> None:
    """And of an improvement, of a level that was accepted, and of a whole that names segments."""
    assert {(each["kind"], each["status"]) for each in FILES.values()} == ALL
    assert {f"{kind}-{status}" for kind, status in ALL} <= set(FILES)
    assert FILES["loss_drift-improvement"]["direction"] == "better"
    assert FILES["mismatch_drift-accepted"]["resolution"] == "accepted"
    assert FILES["mismatch_drift-whole"]["segments"]


def test_real_alerts_fit() -> None:
    """The golden ones, and the examples."""
    golden = list(examples.golden())
    assert len(golden) > 100
    assert [line for alert in (*golden, *FILES.values()) for line in wrong_alert(alert)] == []


def test_fields_are_those_of_the_page_and_in_its_order() -> None:
    """Schema, page and record are one list."""
    (table,) = re.findall(r"^\| field \| meaning \|\n(.*?)\n\n", PAGE, flags=re.MULTILINE | re.DOTALL)
    named = [name for line in table.splitlines() for name in re.findall(r"`(\w+)`", line.split(" | ")[0])]
    assert named == list(SCHEMA["properties"])
    assert named == [*SCHEMA["required"], *ADDED]
    for alert in FILES.values():
        assert list(alert) == [name for name in named if name in SCHEMA["required"] or name in alert]
        assert ("retraining" in alert) == (alert["kind"] == "retraining")
        assert ("contract" in alert) == (alert["kind"] == "message_contract")
        assert ("volume" in alert) == (alert["kind"] == "volume")
        assert ("environment" in alert) == (alert["kind"] == "environment")
        assert ("features" in alert) == (alert["kind"] in {"data_drift", "preprocessing"})


def test_checks_are_those_that_can_be_configured() -> None:
    """Each with its settings: those that are always told are required."""
    models: dict[str, type[BaseModel]] = {"threshold": ThresholdSettings, "budgeted": BudgetedSettings}
    models |= {kind: settings_of(kind) for kind in TYPES}
    ours = {"no_data", "types", "segments", "data", "retrain", "environment", "contract", "volume"}
    assert {name.removeprefix("check_") for name in SCHEMA["$defs"] if name.startswith("check_")} == {*models, *ours}
    for name, model in models.items():
        fields = {field: each for field, each in model.model_fields.items() if field != "rebaseline_at"}
        check = SCHEMA["$defs"][f"check_{name}"]
        assert set(check["properties"]) == {*fields, "type"} | ({"of"} if name == "budgeted" else set())
        may_be_null = {"accept_after"} | {field for field, each in fields.items() if each.default is None}
        assert set(check["required"]) == {*fields, "type"} - may_be_null
    confirm = SCHEMA["$defs"]["check_threshold"]["properties"]["confirm"]
    assert set(confirm["properties"]) == set(confirm["required"]) == set(ConfirmSettings.model_fields)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every field, at any depth, whose name is ours."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        yield from places(value[0], (*path, 0))
    if not isinstance(value, dict) or path[-1:] in (
        ("segment",),
        ("source",),
        ("result",),
        ("details",),
        ("versions",),
        ("since",),
    ):
        return
    for name, inner in value.items():
        yield (*path, name)
        yield from places(inner, (*path, name))


def changed(alert: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The alert with another value there; without one, for an Ellipsis."""
    result = deepcopy(alert)
    inner: Any = result
    for name in path[:-1]:
        inner = inner[name]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return result


OPTIONAL = {"limit", "resolve_below_percent", "min_samples", "accept_after", "loss_max", "of", "estimate", "related"}
OPTIONAL |= {"example", "distances", "psi", "js", "chi2_p", "ks", "wasserstein"}


@pytest.mark.parametrize("name", FILES)
def test_an_alert_that_lacks_or_adds_or_mistakes_a_field_does_not_fit(name: str) -> None:
    """Wherever it is: strict means that a slip of ours is seen."""
    alert = FILES[name]
    for path in places(alert):
        assert path[-1] in OPTIONAL or wrong_alert(changed(alert, path, ...)), path
        assert wrong_alert(changed(alert, (*path[:-1], "more"), 1)), path
        mistaken = "no such" if path[-1] in ("result", "details") else {"no": ["such"]}
        assert wrong_alert(changed(alert, path, mistaken)), path


WRONG: list[tuple[str, tuple[Any, ...], Any]] = [
    ("mismatch_drift-raised", ("id",), "4711"),
    ("mismatch_drift-raised", ("status",), "closed"),
    ("mismatch_drift-raised", ("kind",), "drift"),
    ("mismatch_drift-raised", ("severity",), "error"),
    ("mismatch_drift-raised", ("event_time",), "2026-01-05 16:16:31"),
    ("mismatch_drift-raised", ("onset",), 1767629791042),
    ("mismatch_drift-raised", ("direction",), None),
    ("mismatch_drift-raised", ("guarantee",), None),
    ("mismatch_drift-raised", ("labels",), {}),
    ("mismatch_drift-raised", ("before", "rate"), None),
    ("mismatch_drift-raised", ("before", "interval"), [0.1]),
    ("mismatch_drift-raised", ("after", "limit"), 0.5),
    ("mismatch_drift-raised", ("examples",), ["r"] * 6),
    ("mismatch_drift-raised", ("classes", 0, "predicted"), None),
    ("mismatch_drift-raised", ("check", "type"), "types"),
    ("mismatch_drift-raised", ("check", "of"), "unlabelled"),
    ("mismatch_drift-raised", ("duration_s",), 1.5),
    ("mismatch_drift-raised", ("absorbed",), 1),
    ("mismatch_drift-raised", ("resolution",), "recovered"),
    ("mismatch_drift-raised", ("source",), {}),
    ("mismatch_drift-raised", ("source", "predictions"), {"zero": [1, 2]}),
    ("mismatch_drift-raised", ("source", "predictions"), {"0": [1]}),
    ("mismatch_drift-resolved", ("resolution",), None),
    ("mismatch_drift-resolved", ("resolution",), "accepted"),
    ("mismatch_drift-resolved", ("duration_s",), -1),
    ("mismatch_drift-resolved", ("look_first",), ["at this"]),
    ("loss_drift-improvement", ("severity",), "critical"),
    ("loss_drift-improvement", ("examples",), ["r1"]),
    ("label_starvation-raised", ("onset",), "2026-01-05T16:16:31.042Z"),
    ("label_starvation-raised", ("check", "of"), "labels"),
    ("no_data-raised", ("status",), "updated"),
    ("no_data-raised", ("source",), {"predictions": {}, "labels": {}}),
    ("type_disagreement-raised", ("severity",), "critical"),
    ("type_disagreement-raised", ("examples",), []),
    ("segments_full-raised", ("status",), "resolved"),
    ("mismatch_drift-raised", ("retraining",), None),
    ("retraining-updated", ("status",), "raised"),
    ("retraining-ended", ("retraining", "state"), "done"),
    ("retraining-ended", ("retraining", "result"), "version 8"),
    ("segments_full-raised", ("model",), "fraud"),
    ("environment-raised", ("onset",), None),
    ("environment-raised", ("environment",), None),
    ("environment-raised", ("check", "type"), "data"),
    ("message_contract-raised", ("contract",), None),
    ("message_contract-raised", ("contract", "changes", 0, "change"), "other"),
    ("volume-raised", ("volume",), None),
    ("volume-raised", ("onset",), None),
    ("mismatch_drift-raised", ("volume",), {"topic": "labels", "count": 0, "expected": None, "over_s": 0}),
    ("mismatch_drift-raised", ("environment",), {"told": "pod-7", "details": {}}),
]


@pytest.mark.parametrize(("name", "path", "value"), WRONG)
def test_what_no_alert_says_does_not_fit(name: str, path: tuple[Any, ...], value: Any) -> None:
    """By either draft."""
    assert len(wrong_alert(changed(FILES[name], path, value))) == len(VALIDATORS)


def test_an_outcomes_record_that_lacks_a_field_does_not_fit() -> None:
    """The schema asks for what the reader does."""
    (first, *_) = document("asyncapi.yaml")["components"]["messages"]["outcomes"]["examples"]
    record = first["payload"]
    assert wrong("outcomes-1.schema.json", record) == []
    for path in places(record):
        if path[-1] != "idle":
            assert wrong("outcomes-1.schema.json", changed(record, path, ...)), path
        assert wrong("outcomes-1.schema.json", changed(record, path, {"no": ["such"]})), path
