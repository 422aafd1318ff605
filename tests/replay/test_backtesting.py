"""A backtest as a whole: what it says of the data, of the settings, and of itself."""

from typing import Any

import numpy as np
import orjson
import pytest

from streamguard.config import Mode
from streamguard.core.alerts import rfc3339
from streamguard.errors import ConfigError, UnusableError
from streamguard.replay import result
from streamguard.replay.backtesting import Question, checked_period, shares_of
from streamguard.replay.history import needed_fields, of_records
from streamguard.replay.truth import Incident
from tests.replay.helpers import MINUTE_MS, START_MS, replayed, settings, story

HOUR_MS = 60 * MINUTE_MS


def test_a_fault_is_found_and_told() -> None:
    """Alerts, counts, series and the range, of a story that a person can check."""
    found = replayed(settings(), *story())
    first = found.alerts[0]
    assert (first["status"], first["kind"]) == ("raised", "mismatch_drift")
    assert rfc3339(START_MS + 1500 * MINUTE_MS) <= first["event_time"] <= rfc3339(START_MS + 1560 * MINUTE_MS)
    assert found.mode is Mode.IDEAL
    assert found.partial is None
    assert found.notes == []
    assert found.counts is not None
    assert found.counts["predictions"] == {"consumed": 2000, "matched": 2000} | dict.fromkeys(
        ("expired", "late", "duplicate", "rejected", "waiting"), 0
    )
    assert found.outcomes == {"released": 2000, "late": 0, "held": 0}
    assert found.inputs["first"] == rfc3339(START_MS)
    assert found.inputs["last"] == rfc3339(START_MS + 2004 * MINUTE_MS)
    (monitor,) = found.document()["monitors"]
    (segment,) = monitor["segments"]
    assert segment["outcomes"] == 2000
    assert segment["rate"] == pytest.approx(167 / 2000)
    assert found.document()["settings"][0]["thresholds"]["m"] == {"max": 0.1, "resolve": 0.1, "window": 100}


def test_the_document_is_plain_json_and_the_same_each_time() -> None:
    """A report of the same data is the same report."""
    one, two = (orjson.dumps(replayed(settings(), *story()).document()) for _ in range(2))
    assert one == two


def test_a_sweep_tells_what_each_setting_raises() -> None:
    """In the order in which it is written, each with its share of a month."""
    sweep = {"monitors.m.threshold.max_mismatch_percent": [20, 60]}
    found = replayed(settings(backtest={"sweep": sweep}), *story())
    assert [each.name for each in found.settings] == [
        "as configured",
        "max_mismatch_percent 20",
        "max_mismatch_percent 60",
    ]
    assert [each.raised for each in found.settings] == [1, 1, 0]
    assert [len(each.alerts) for each in found.settings][2] == 0
    assert found.settings[0].per_month == pytest.approx(30 * 24 * 60 / 1999)


def test_a_setting_may_want_scores_that_the_configuration_does_not() -> None:
    """What it raises is what it raises alone."""
    predictions, labels = story()
    for number, (prediction, label) in enumerate(zip(predictions, labels, strict=True)):
        prediction["score"] = 0.9 if number % 7 == 0 else 0.1
        label["label"] = 1 if label["label"] == "yes" else 0
        prediction["prediction"] = 0
    fields = {"fields": {"time": "at", "score": "score"}}
    watched: dict[str, Any] = {"name": "m", "detectors": [{"type": "page_hinkley", "threshold": 5}]}
    changes = {"monitors.m.loss": "brier"}
    several = settings(
        predictions=fields, monitors=[watched], backtest={"alternatives": [{"name": "brier", "changes": changes}]}
    )
    alone = settings(predictions=fields, monitors=[watched | {"loss": "brier"}])
    found = replayed(several, predictions, labels).settings[1]
    assert list(found.lines) == list(replayed(alone, predictions, labels).settings[0].lines) != []


def test_truth_scores_each_setting_beside_always_and_never() -> None:
    """One incident, and another that began before there was anything to see."""
    truth = [
        Incident("long ago", 0, 1000),
        Incident("fault", START_MS + 1500 * MINUTE_MS),
    ]
    sweep = {"monitors.m.threshold.max_mismatch_percent": [60]}
    found = replayed(settings(backtest={"sweep": sweep}), *story(), Question(truth=truth))
    first, second = (each.score for each in found.settings)
    assert first is not None
    assert second is not None
    assert (first.found, first.missed, first.false_alarms) == (1, 0, 0)
    assert (second.found, second.missed) == (0, 1)
    assert first.delay_median_s is not None
    assert 300 <= first.delay_median_s <= 3600
    assert first.outcomes_median == pytest.approx(first.delay_median_s / 60, abs=6)
    names = [name for name, _ in found.references]
    always, never = (score for _, score in found.references)
    assert names == ["always alarms", "never alarms"]
    assert (always.found, always.missed) == (1, 0)
    assert always.false_alarms > 20
    assert (never.found, never.missed, never.false_alarms) == (0, 1, 0)
    assert found.notes == ["1 incidents began outside the range and are not scored: 'long ago'"]


def test_a_normal_period_suggests_a_threshold_and_a_budget() -> None:
    """By what the window reached in it, and by what budgeted detectors raised in it."""
    predictions, labels = story(6000, fault=None)
    for number, label in enumerate(labels):
        label["label"] = "yes" if number % 20 == 0 else "no"
    monitor = {
        "name": "m",
        "threshold": {"max_mismatch_percent": 50, "window": 100, "min_samples": 50},
        "detectors": [{"type": "budgeted", "baseline": 1000, "season": "none"}],
    }
    normal = (START_MS, START_MS + 7000 * MINUTE_MS)
    found = replayed(settings(monitors=[monitor]), predictions, labels, Question(normal_ms=normal))
    threshold, budget = found.suggestions
    assert threshold.startswith("monitor 'm': The highest rate of a window of ")
    assert "max_mismatch_percent: " in threshold
    assert "false_alarms_per_month: 10 is the largest tried" in budget
    assert [each.changes for each in found.settings[1:]] == [
        {"budget.false_alarms_per_month": each} for each in (0.25, 0.5, 2.0, 5.0, 10.0)
    ]
    assert all(each.per_month_normal == 0 for each in found.settings)


def test_request_ids_that_never_meet_are_shown() -> None:
    """The usual cause of an empty result, with examples of both sides."""
    predictions, labels = story(100)
    for label in labels:
        label["request_id"] = label["request_id"].upper()
    (note,) = replayed(settings(), predictions, labels).notes
    assert note.startswith("no label found its prediction. Request IDs of predictions look like 'r0', 'r1', 'r2'")
    assert "of labels like 'R0', 'R1', 'R2'" in note


def test_labels_without_predictions_are_counted() -> None:
    """Predictions from half of the range on."""
    predictions, labels = story(1000)
    (note,) = replayed(settings(), predictions[500:], labels).notes
    assert note.startswith("500 of 1,000 labels found no prediction")


def test_records_that_cannot_be_used_are_counted_by_their_reason() -> None:
    """The reasons that most of them have."""
    predictions, labels = story(100)
    for prediction in predictions[:7]:
        del prediction["at"]
    notes = replayed(settings(), predictions, labels).notes
    assert any(note.startswith("7 of 100 predictions cannot be used: 7: ") for note in notes)


def test_what_is_not_sorted_is_said_to_be_late() -> None:
    """With how far it is off, and what to do."""
    predictions, labels = story(1000)
    notes = replayed(settings(), predictions, labels[500:] + labels[:500]).notes
    assert notes[-1].startswith(
        "500 of 1,000 labels are out of order by more than join.disorder (1m) (among the first by up to 16h39m)"
    )


def test_a_side_without_records_is_named() -> None:
    """And nothing else is made of it."""
    predictions, _ = story(100)
    assert replayed(settings(), predictions, []).notes[0] == "there are no labels at all: nothing can be matched"


def test_a_window_that_does_not_fit_is_an_error_with_a_way_out() -> None:
    """As live."""
    config = settings(join={"after": "1h", "max_waiting": 50})
    with pytest.raises(UnusableError, match=r"the join window holds more than join.max_waiting \(50 records\)"):
        replayed(config, *story(1000))


def test_an_interrupted_backtest_is_partial() -> None:
    """And all that it has is right."""
    whole = replayed(settings(), *story(60_000, fault=1000))
    part = replayed(settings(), *story(60_000, fault=1000), look=lambda progress: progress.records > 50_000)
    assert part.partial is not None
    assert part.partial.startswith("interrupted at event time 2026-0")
    assert part.outcomes["released"] < whole.outcomes["released"]
    lines = part.settings[0].lines
    assert list(lines) == list(whole.settings[0].lines[: len(lines)])
    assert part.document()["partial"] == part.partial


def test_outside_of_kafka_a_time_must_be_named() -> None:
    """Either as the field, or for backtests alone."""
    with pytest.raises(ConfigError, match=r"labels.fields.time is not set.*backtest.labels_time"):
        needed_fields(settings(labels={}))
    config = settings(labels={}, backtest={"labels_time": "at"})
    assert needed_fields(config)[1] == (("request_id",), ("label",), ("at",))
    assert replayed(config, *story()).alerts == replayed(settings(), *story()).alerts


def test_partitions_of_both_sides_must_be_the_same() -> None:
    """A label is looked for on its prediction's partition alone."""
    source: Any = None
    with pytest.raises(ConfigError, match="there are no labels of partition 1"):
        of_records(settings(), {0: source, 1: source}, {0: source}, "files", ("a", "b"))


@pytest.mark.parametrize(
    ("text", "words"),
    [("5", "must be two times"), ("5/5", "ends before it begins"), ("9/5", "ends before it begins")],
)
def test_a_period_that_is_none_is_refused(text: str, words: str) -> None:
    """With the option's name."""
    with pytest.raises(ConfigError, match=f"--normal: {words}"):
        checked_period(text, "--normal", int)
    assert checked_period("5/9", "--normal", int) == (5, 9)


def test_outcomes_of_an_incident_are_those_of_one_monitor() -> None:
    """Two monitors that watch the same predictions do not see twice as many."""
    threshold = {"max_mismatch_percent": 10, "window": 100, "min_samples": 50}
    truth = [Incident("fault", START_MS + 1500 * MINUTE_MS)]
    counts = []
    for names in (["m"], ["m", "n"]):
        monitors = [{"name": name, "threshold": threshold} for name in names]
        found = replayed(settings(monitors=monitors), *story(), Question(truth=truth)).settings[0].score
        counts.append(found and found.outcomes_median)
    assert counts[0]
    assert counts[0] == counts[1]


def test_a_segment_that_is_not_drawn_counts_for_the_suggestion_and_the_score() -> None:
    """The hundred and first segment is the one whose rate is high."""
    predictions, labels = story(12_120, fault=None)
    for number, (prediction, label) in enumerate(zip(predictions, labels, strict=True)):
        prediction["site"] = f"s{number % 101}"
        label["label"] = "yes" if number % 101 == 100 and number % 2 else "no"
    threshold = {"max_mismatch_percent": 90, "window": 10, "min_samples": 5}
    monitor = {"name": "m", "split_by": ["site"], "threshold": threshold}
    normal = START_MS, START_MS + 12_000 * MINUTE_MS
    found = replayed(settings(monitors=[monitor]), predictions, labels, Question(normal_ms=normal))
    assert "(site=s100)" in found.suggestions[0]
    assert found.document()["monitors"][0]["left_out"] == 1


def test_one_record_of_another_age_is_told() -> None:
    """Rates by the month are of the whole range, and the page's bins are years wide."""
    predictions, labels = story(fault=None)
    predictions[0]["at"], labels[0]["at"] = 1000, 2000
    found = replayed(settings(), predictions, labels)
    assert any("has a record a wrong time?" in note for note in found.notes)


def test_a_last_record_of_another_age_is_told() -> None:
    """Of a few records nothing can be said, so it is not refused; behind many it is."""
    predictions, labels = story(100, fault=None)
    predictions[-1]["at"] = 4_070_908_800_000
    found = replayed(settings(), predictions, labels)
    assert any(note.startswith("a record of the predictions is of 2099-01-01") for note in found.notes)
    predictions, labels = story(fault=None)
    predictions[-1]["at"] = 4_070_908_800_000
    assert (replayed(settings(), predictions, labels).counts or {})["predictions"]["rejected"] == 1
    predictions, labels = story(fault=None)
    labels[0]["at"] = 1000
    (note,) = replayed(settings(), predictions, labels).notes
    assert note.startswith("a record of the labels is of 1970-01-01T00:00:01.000Z, long before the first outcome")


@pytest.mark.parametrize(("processes", "settings", "shares"), [
    (1, 1, (0, 1)), (3, 1, (2, 1)), (9, 1, (4, 1)), (1, 5, (0, 1)), (2, 5, (0, 2)), (3, 5, (1, 2)), (0, 1, (0, 1)),
])  # fmt: skip
def test_processes_are_as_many_as_were_asked_for(processes: int, settings: int, shares: tuple[int, int]) -> None:
    """Those that join are beside the one that watches."""
    joining, watching = shares_of(processes, settings, 4)
    assert (joining, watching) == shares
    assert joining + watching <= max(1, processes)


def test_a_report_holds_alerts_of_each_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that raises too many does not crowd the others out, and those left out are counted."""
    monkeypatch.setattr(result, "_ALERTS_MAX", 8)
    predictions, labels = story(fault=None)
    for number, label in enumerate(labels):
        label["label"] = "yes" if number % 400 < 100 else "no"
    sweep = {"monitors.m.threshold.max_mismatch_percent": [60]}
    found = replayed(settings(backtest={"sweep": sweep}), predictions, labels)
    document = found.document()
    held = [sum(alert["setting"] == number for alert in document["alerts"]) for number in range(2)]
    assert held == [4, 4]
    total = sum(len(each.lines) for each in found.settings)
    assert document["alerts_left_out"] == total - 8 > 0


def test_a_new_version_learns_a_baseline_of_its_own() -> None:
    """Worse than the old one was, and no alarm; then worse than itself, and one that compares with itself."""
    rng = np.random.default_rng(3)
    parts = [("7", 0.05, 12_000), ("7", 0.25, 4000), ("8", 0.12, 14_000), ("8", 0.4, 2000)]
    predictions, labels = story(sum(count for _, _, count in parts), fault=None)
    number = 0
    for version, rate, count in parts:
        for _ in range(count):
            predictions[number]["version"] = version
            labels[number]["label"] = "yes" if rng.random() < rate else "no"
            number += 1
    budgeted = {"type": "budgeted", "baseline": 5000, "season": "none"}
    found = replayed(
        settings(monitors=[{"name": "m", "split_by": ["version"], "detectors": [budgeted]}]), predictions, labels
    )
    old, new = (alert for alert in found.alerts if alert["status"] == "raised")
    assert (old["segment"], new["segment"]) == ({"version": "7"}, {"version": "8"})
    assert new["event_time"] > rfc3339(START_MS + 30_000 * MINUTE_MS)
    assert old["before"]["limit"] < 0.1 < new["before"]["rate"] < 0.13
