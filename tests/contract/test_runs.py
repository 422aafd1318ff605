"""Whatever the tasks write follows the contract."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.alerts import alert_data
from streamguard.core.merge import SequenceGapError
from streamguard.core.monitor import MonitorTask
from streamguard.core.records import Output, Stream
from tests.contract import arriving, carried, runs
from tests.contract.examples import ARRIVING, CARRIED
from tests.contract.schemas import wrong, wrong_alert
from tests.contract.test_schemas import ALL
from tests.core.environment.fleets import GONE, Row, as_batch, fingerprint, pods, task, told_every
from tests.core.helpers import batch, documents, headers_of
from tests.laws.joining import walk
from tests.laws.test_monitor import MUTATED, VALID, WATCHING
from tests.laws.watching import JOINS, ORDER, WAYS, Joins, Moves, Watching, interleaved

REFERENCES = {
    "headers": "asyncapi.yaml#/components/schemas/alertHeaders",
    "event": "asyncapi.yaml#/components/schemas/alertEvent",
    "rejected": "asyncapi.yaml#/components/schemas/rejectedHeaders",
    "state": "asyncapi.yaml#/components/schemas/state",
    "outcomes": "outcomes-1.schema.json",
}
MANY = settings(max_examples=100, deadline=None, print_blob=True)
FEW = settings(max_examples=15, deadline=None, print_blob=True)


def mistakes(outputs: Iterable[Output]) -> list[str]:
    """What outputs break of the contract."""
    found: list[str] = []
    for output in outputs:
        value: Any = None if output.stream is Stream.REJECTED else orjson.loads(output.value or b"null")
        if output.stream is Stream.ALERTS:
            found += wrong_alert(value) + wrong(REFERENCES["headers"], headers_of(output))
            found += [] if (output.key or b"").decode() == value["episode"] else [f"key {output.key!r}"]
        elif output.stream is Stream.REJECTED:
            found += wrong(REFERENCES["rejected"], headers_of(output))
        else:
            found += wrong(REFERENCES[output.stream.value], value)
    return found


@MANY
@given(JOINS, WAYS, ORDER)
def test_what_both_stages_write_follows_the_contract(data: Joins, ways: tuple[Moves, ...], order: list[int]) -> None:
    """Outcomes, alerts, rejected records and state, over drawn logs."""
    given_settings = data.settings()
    for number, (logs, way) in enumerate(zip(data.logs, ways, strict=True)):
        assert mistakes(walk(logs, way, given_settings, number).outputs) == []
    for target in range(data.targets):
        watching = Watching(interleaved(data.outcomes(ways, target), order), given_settings, target)
        watching.go(len(watching.records))
        assert mistakes([*watching.outputs, *watching.task.snapshot(watching.position)]) == []


@FEW
@given(runs.PHASES, st.integers(0, 1 << 32))
def test_alerts_of_every_check_follow_the_contract(phases: list[runs.Phase], seed: int) -> None:
    """Every loss, every check that suits it; streams that get worse, lose labels, fall silent, change their types."""
    assert mistakes(runs.run([replace(each, count=min(each.count, 120)) for each in phases], seed, SETTINGS)) == []


SETTINGS = runs.settings()


def test_a_story_has_every_kind_of_alert() -> None:
    """So the contract is tried against each of them, at length."""
    outputs = runs.run(runs.STORY, 1, SETTINGS)
    alerts = documents(outputs, Stream.ALERTS)
    assert mistakes(outputs) == []
    assert {(each["kind"], each["status"]) for each in alerts} == {
        each for each in ALL if each[0] not in {"retraining", "environment", *CARRIED, *ARRIVING}
    }
    assert {each["resolution"] for each in alerts} == {None, "recovered", "accepted"}
    assert {each["direction"] for each in alerts} == {"worse", "better", "unknown"}
    raised = {each["check"]["type"] for each in alerts}
    assert raised >= {"threshold", "budgeted", "adwin", "kswin", "page_hinkley", "no_data", "types", "segments"}
    for name in ("before", "after", "onset", "guarantee", "model"):
        assert {each[name] is None for each in alerts} == {True, False}, name
    for name in ("classes", "segments", "examples", "look_first", "labels", "source", "segment"):
        assert {not each[name] for each in alerts} == {True, False}, name
    assert any(each["absorbed"] for each in alerts)


def test_what_predictions_carry_follows_the_contract() -> None:
    """With what is expected of scores, and with a mismatch that names the episode."""
    alerts = carried.alerts()
    assert [line for each in alerts for line in wrong_alert(each)] == []
    found = {(each["kind"], each["status"]) for each in alerts}
    assert found >= {(kind, status) for kind in CARRIED for status in ("raised", "updated", "resolved")}
    assert any("related" in each for each in alerts if each["kind"] == "mismatch_drift")
    assert any("estimate" in each for each in alerts)


def test_what_arrives_follows_the_contract() -> None:
    """Records that change their format and are mended, and labels that stop and come back."""
    alerts = arriving.alerts()
    assert [line for each in alerts for line in wrong_alert(each)] == []
    assert {(each["kind"], each["status"]) for each in alerts} == {each for each in ALL if each[0] in ARRIVING}
    assert {each["severity"] for each in alerts} == {"critical", "info"}


def test_modes_differ_in_nothing_but_where_things_stand() -> None:
    """The data is the same, byte for byte; what were headers are fields of the document."""
    binary = runs.run(runs.STORY[:3], 1, SETTINGS)
    structured = runs.run(runs.STORY[:3], 1, runs.settings(alerts={"cooldown": "30m", "mode": "structured"}))
    assert len(binary) == len(structured) > 0
    for one, two in zip(binary, structured, strict=True):
        assert (one.stream, one.key, one.partition) == (two.stream, two.key, two.partition)
        event = orjson.loads(two.value or b"")
        attributes = {name.removeprefix("ce_"): text for name, text in headers_of(one).items() if name[:3] == "ce_"}
        about = {"datacontenttype": headers_of(one)["content-type"], "subject": (one.key or b"").decode()}
        assert event == {**attributes, **about, "data": orjson.loads(one.value or b"")}
        assert (two.value or b"").endswith(b'"data":' + (one.value or b"") + b"}")
        assert headers_of(two) == {"content-type": "application/cloudevents+json"}
        assert alert_data(one.value) == alert_data(two.value) == event["data"]
        assert wrong(REFERENCES["event"], event) == []


@MANY
@given(st.lists(MUTATED, max_size=6))
def test_alerts_over_foreign_outcomes_follow_the_contract(values: list[bytes]) -> None:
    """The outcomes topic may be written by others, too: what is taken from there is told as it must be."""
    task, outputs = MonitorTask(0, WATCHING.monitor), list[Output]()
    later = [orjson.dumps({**VALID, "sequence": number, "watermark": 10**number}) for number in range(2, 9)]
    try:
        for offset, value in enumerate([orjson.dumps(VALID), *values, *later]):
            outputs += task.step(batch([value], topic="outcomes", start=offset))
    except SequenceGapError:
        return
    assert mistakes([*outputs, *task.snapshot(len(values) + 8)]) == []


@pytest.mark.parametrize(
    "value", [None, b"", b"null", b"[1]", b"7", b'{"specversion":"1.0"}', b'{"specversion":"1.0","data":[]}']
)
def test_what_is_no_alert_has_no_fields(value: bytes | None) -> None:
    """Others may have written it there."""
    assert alert_data(value) == {}


def test_what_is_told_of_instances_follows_the_contract() -> None:
    """Alerts of every subject, records that cannot be used, and state."""
    other = {"packages": {"scikit-learn": "1.5.0"}}
    image = {"packages": {f"package-{number}": "2" for number in range(20)}}
    short = {"memory": {"used": 2 << 30}}
    changes: dict[str, list[tuple[int, dict[str, Any]]]] = {
        "pod-1": [(60, other)],
        "pod-2": [(60, image)],
        "pod-3": [(60, short), (90, {})],
        "pod-4": [(90, GONE)],
    }
    rows: list[Row] = [*told_every(300, pods(), changes), (0, {"type": "fingerprint"})]
    given_task = task(expect_instances=12)
    outputs = [*given_task.step(as_batch(rows)), *given_task.snapshot(7)]
    assert mistakes(outputs) == []
    assert {each.stream for each in outputs} == {Stream.ALERTS, Stream.REJECTED, Stream.STATE}
    assert len({each["check"]["subject"] for each in documents(outputs, Stream.ALERTS)}) == 4


def test_fingerprints_follow_the_contract() -> None:
    """Those that the tests are of."""
    assert wrong("fingerprint-1.schema.json", fingerprint("pod-1")) == []
    assert wrong("fingerprint-1.schema.json", {**fingerprint("pod-1"), "v": 2}) != []
