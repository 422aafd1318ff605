"""What a worker says about the data: each thing once, with the setting that mends it."""

from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog
from structlog.testing import capture_logs

from streamguard.core.join import JoinTask
from streamguard.core.records import Batch, Output, Stream, TopicPartition
from streamguard.core.rejected import rejected
from streamguard.worker.notices import Notices
from streamguard.worker.topology import derive
from tests.worker.helpers import config

START_MS = 1_767_571_200_000


@pytest.fixture(autouse=True)
def _every_level() -> None:
    """Another test may have set up logging for the process, and then lesser levels are silent."""
    structlog.reset_defaults()


def batch(values: list[bytes], *, topic: str = "labels", times: list[int] | None = None) -> Batch:
    """Records of one partition, from offset 600 on."""
    count = len(values)
    offsets = list(range(600, 600 + count))
    headers: list[tuple[tuple[str, bytes], ...]] = [()] * count
    return Batch(TopicPartition(topic, 0), offsets, times or [0] * count, [b"k"] * count, values, headers, 600 + count)


def test_a_model_without_a_monitor_is_named_once(tmp_path: Path) -> None:
    """The list of monitors stands beside it, since a mistyped name in one of them is the usual reason."""
    notices = Notices(config(tmp_path))
    with capture_logs() as said:
        notices.unmonitored({"new": 3})
        notices.unmonitored({"new": 5, "newer": 1})
        notices.unmonitored({})

    assert [(each["event"], each["model"], each["monitors"]) for each in said] == [
        ("model_unmonitored", "new", ["m"]),
        ("model_unmonitored", "newer", ["m"]),
    ]


@pytest.mark.parametrize(
    ("fields", "mend"),
    [
        ({"time": "timestamp"}, "labels.fields.time may not be when the record became known: leave it out"),
        ({}, "raise join.disorder (now 1000 ms)"),
    ],
)
def test_many_late_records_have_a_likely_cause(tmp_path: Path, fields: dict[str, Any], mend: str) -> None:
    """Labels that carry their predictions' times are nearly all late, and only the setting can mend that."""
    settings = config(tmp_path, labels={"fields": fields})
    task = JoinTask(0, derive(settings, 1, 1).join)
    notices = Notices(settings)
    times = [START_MS + 60_000] + [START_MS] * 2000
    values = [
        orjson.dumps({"request_id": f"r{number}", "label": "a", "timestamp": at_ms})
        for number, at_ms in enumerate(times)
    ]
    with capture_logs() as said:
        notices.late(0, task)
        task.step(None, batch(values, times=times))
        notices.late(0, task)
        notices.late(0, task)

    (warning,) = said
    assert warning["event"] == "records_late"
    assert (warning["input"], warning["partition"], warning["late"]) == ("labels", 0, 2000)
    assert warning["mend"].startswith(mend)


def test_a_few_late_records_are_the_normal_course(tmp_path: Path) -> None:
    """Some stragglers in a million are no reason to change a setting."""
    settings = config(tmp_path)
    task = JoinTask(0, derive(settings, 1, 1).join)
    times = [START_MS + number * 1000 for number in range(3000)] + [START_MS] * 90
    values = [
        orjson.dumps({"request_id": f"r{number}", "label": "a", "timestamp": at_ms})
        for number, at_ms in enumerate(times)
    ]
    task.step(None, batch(values, times=times))
    with capture_logs() as said:
        Notices(settings).late(0, task)

    assert said == []


def test_each_kind_of_rejection_is_told_with_its_first_record(tmp_path: Path) -> None:
    """The name of the record is one to paste into a console consumer; the numbers in a reason make no new kind."""
    records = batch([b"{", b"[", b"["])
    outputs = [
        rejected(records, index, reason)
        for index, reason in enumerate(["not JSON at byte 1", "not JSON at byte 27", "field 'label' is missing"])
    ]
    notices = Notices(config(tmp_path))
    with capture_logs() as said:
        notices.written(outputs)
        notices.written(outputs)

    assert [(each["event"], each["source"], each["reason"]) for each in said] == [
        ("record_rejected", "labels-0@600", "not JSON at byte 1"),
        ("record_rejected", "labels-0@602", "field 'label' is missing"),
    ]


def test_reasons_of_any_number_do_not_flood_the_log(tmp_path: Path) -> None:
    """A producer that writes nonsense makes a new reason with every record."""
    reasons = [f"field {chr(97 + first)}{chr(97 + second)} is wrong" for first in range(26) for second in range(26)]
    records = batch([b"{"] * len(reasons))
    with capture_logs() as said:
        Notices(config(tmp_path)).written(rejected(records, index, reason) for index, reason in enumerate(reasons))

    assert 1 < len(said) < 50


def test_every_alert_is_told(tmp_path: Path) -> None:
    """Whoever reads only the log still learns of the trouble; outcomes and state are no news."""
    alert = {
        "id": "1",
        "status": "raised",
        "kind": "mismatch_drift",
        "severity": "critical",
        "monitor": "m",
        "segment": {},
        "event_time": "2026-01-05T00:00:00.000Z",
        "before": None,
        "after": {"rate": 0.5},
    }
    outputs = [
        Output(Stream.ALERTS, b"1", orjson.dumps(alert)),
        Output(Stream.OUTCOMES, None, b"{}"),
        Output(Stream.STATE, b"k", b"{}"),
        Output(Stream.ALERTS, b"1", orjson.dumps(alert | {"status": "resolved"})),
    ]
    with capture_logs() as said:
        Notices(config(tmp_path)).written(outputs)

    assert [(each["event"], each["id"]) for each in said] == [("alert_raised", "1"), ("alert_resolved", "1")]
