"""One monitored stream: its checks, its episodes, and what its alerts tell."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pytest

from streamguard.core.alerts import Alert, Status
from streamguard.core.detectors import Direction
from streamguard.core.outcomes import Outcomes
from streamguard.core.segment import Segment
from tests.core.helpers import THRESHOLD, monitor, outcomes

RAISED, UPDATED, RESOLVED = Status.RAISED, Status.UPDATED, Status.RESOLVED

# Six wrong, then all right, then all wrong again, a millisecond apart: up at 1, down at 7 (2 of 4), up at 11.
PHASES = [1] * 6 + [0] * 4 + [1] * 20


def segment(**settings: Any) -> Segment:
    """A stream of a monitor that is not split."""
    return Segment(monitor(**settings), (), cooldown_ms=10)


def alerts_of(wrong: Sequence[int], times: Sequence[int] | None = None, **settings: Any) -> list[Alert]:
    """The alerts over outcomes that come a millisecond apart, or at these times."""
    return [alert for _, alert in segment(**settings).step(outcomes(times or range(len(wrong)), wrong))]


def heard(wrong: Sequence[int], times: Sequence[int] | None = None, **settings: Any) -> list[tuple[Status, int]]:
    """What is told, and at what event time."""
    return [(alert.status, alert.event_time_ms) for alert in alerts_of(wrong, times, **settings)]


def threshold(**changes: Any) -> dict[str, Any]:
    """The threshold of the helpers with other settings: 50 % of 4, from 2 on, cooldown 10 ms."""
    return {"threshold": {**THRESHOLD, **changes}}


def test_the_alert_comes_with_the_outcome_that_sets_it_off() -> None:
    """Its place is that row, and its trigger names the row's offsets."""
    rows = outcomes(range(100, 108), [0, 0, 0, 0, 1, 1, 1, 1], start=40)
    ((place, alert),) = segment().step(rows)
    assert place == 6
    assert alert.trigger == (106, 0, 46, 46)
    assert (alert.status, alert.kind, alert.severity) == (RAISED, "mismatch_drift", "critical")
    assert (alert.direction, alert.episode) == (Direction.WORSE, alert.id)


def test_an_alert_tells_the_level_before_and_after() -> None:
    """Each with its count and 95 % interval, the onset, the mistakes, and how labels come."""
    rows = outcomes(range(72), [0] * 64 + [1] * 8, delay_ms=1500, unlabelled=[3])
    ((_, alert),) = segment(**threshold(window=8, min_samples=8)).step(rows)
    assert alert.event_time_ms == 68
    # The one that expired has no loss, so that the panes of 32 end one later.
    assert alert.onset_ms == 65
    assert alert.before is not None
    assert alert.after is not None
    assert (alert.before["count"], alert.before["rate"]) == (64, 0.015625)
    assert (alert.after["count"], alert.after["rate"]) == (8, 0.625)
    low, high = alert.after["interval"]
    assert 0 < low < 0.625 < high < 1
    assert alert.labels == {"coverage": round(68 / 69, 6), "delay_median_s": 1.5}
    assert alert.examples == ["r64", "r65", "r66", "r67", "r68"]
    assert alert.look_first == ["100% of it: predicted 'yes', labelled 'no' (0.0% -> 100.0% of the outcomes)"]


def test_hysteresis_keeps_a_hovering_share_quiet() -> None:
    """Between the two levels nothing is told; it resolves at the lower."""
    wrong = [1, 1, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0]
    assert heard(wrong, **threshold(max_mismatch_percent=50, resolve_below_percent=0, cooldown=0)) == [
        (RAISED, 1),
        (RESOLVED, 11),
    ]


def test_an_episode_says_how_long_it_was() -> None:
    """A resolved alert belongs to the raised one, and gives no examples of mistakes."""
    first, last = alerts_of([1] * 6 + [0] * 6)
    assert (first.status, last.status) == (RAISED, RESOLVED)
    assert last.episode == first.id != last.id
    assert (last.duration_ms, last.examples, last.look_first) == (6, [], [])


def test_new_trouble_within_the_cooldown_is_raised_when_that_is_over() -> None:
    """Muted at 12, told at 17, ten milliseconds after the end of the last, since it lasts."""
    assert heard(PHASES) == [(RAISED, 1), (RESOLVED, 7), (RAISED, 17)]
    assert heard(PHASES, **threshold(cooldown="4ms")) == [(RAISED, 1), (RESOLVED, 7), (RAISED, 12)]


def test_new_trouble_within_the_cooldown_that_ends_is_never_told() -> None:
    """Over before anyone was told."""
    assert heard([1] * 6 + [0] * 4 + [1] * 4 + [0] * 20) == [(RAISED, 1), (RESOLVED, 7)]


def test_trouble_that_comes_at_the_very_end_of_the_cooldown() -> None:
    """A crossing and the end of the cooldown on one outcome are one alert."""
    wrong = [1] * 6 + [0] * 4 + [1] * 3 + [0] * 3 + [1] * 3
    times = [*range(len(wrong))]
    found = heard(wrong, times, **threshold(cooldown="11ms"))
    assert found == [(RAISED, 1), (RESOLVED, 7), (RAISED, 18)]


def test_the_same_trouble_again_is_absorbed_and_counted() -> None:
    """A detector that fires again in an open episode is heard after the cooldown, with how often it fired."""
    check = {"type": "page_hinkley", "min_instances": 1, "threshold": 1.0, "delta": 0.0, "mode": "up"}
    found = alerts_of([0, 0, 1, 1, 1] * 6, detectors=[check])
    assert [alert.status for alert in found] == [RAISED, UPDATED, UPDATED]
    assert {alert.episode for alert in found} == {found[0].id}
    assert [alert.absorbed for alert in found] == [0, 1, 1]
    assert found[1].event_time_ms - found[0].event_time_ms >= 10


def test_an_improvement_is_a_notice() -> None:
    """It is told as information, opens no episode, and needs nobody to look at mistakes."""
    check = {"type": "page_hinkley", "min_instances": 5, "threshold": 2.0, "delta": 0.0}
    (alert,) = alerts_of([1] * 20 + [0] * 6, detectors=[check])
    assert (alert.status, alert.severity, alert.direction) == (RAISED, "info", Direction.BETTER)
    assert (alert.episode, alert.look_first, alert.examples) == (alert.id, [], [])


def test_a_monitor_names_model_version_and_segment() -> None:
    """From what it matches and what it splits by; its severity is the user's."""
    split = monitor(match={"model": "fraud"}, split_by=["version", "country"], severity="warning")
    ((_, alert),) = Segment(split, ("7", None), 10).step(outcomes(range(2), [1, 1]))
    assert (alert.model, alert.version, alert.segment) == ("fraud", "7", {"version": "7", "country": None})
    assert alert.severity == "warning"


def test_losses_that_are_no_share_are_a_drift_of_the_loss() -> None:
    """Rates are means then, without an interval; there is no most common mistake."""
    rows = outcomes(range(60), [0] * 60)
    rows.prediction[:] = 10.0
    rows.label[:] = [10.0] * 40 + [13] * 20
    check = {"type": "page_hinkley", "min_instances": 5, "threshold": 5.0, "delta": 0.0}
    ((_, alert),) = segment(loss="absolute", detectors=[check]).step(rows)
    assert (alert.kind, alert.look_first) == ("loss_drift", [])
    assert alert.after is not None
    assert alert.after["interval"] is None
    assert alert.examples


def mixed(*labels: Any) -> Outcomes:
    """Outcomes that were all predicted 1, with these labels."""
    rows = outcomes(range(len(labels)), [0] * len(labels))
    rows.prediction[:] = 1
    rows.label[:] = labels
    return rows


def test_types_that_never_agree_are_a_finding_and_not_drift() -> None:
    """`1` against `"1"`, fifty times: told once, with the mend, and never as 100 % mismatch."""
    stream = segment()
    found = [alert for _, alert in stream.step(mixed(*["1"] * 300))]
    (alert,) = found
    assert (alert.status, alert.kind, alert.severity, alert.event_time_ms) == (
        RAISED,
        "type_disagreement",
        "warning",
        49,
    )
    (advice,) = alert.look_first
    assert advice.startswith("predictions such as 1 never compare with labels such as '1': declare one type")
    assert "labels.fields.value: {path: ..., type: int}" in advice
    assert alert.check == {"type": "types"}
    assert stream.step(mixed(*["1"] * 300)) == []


def test_the_finding_resolves_with_the_first_pair_that_agrees() -> None:
    """From there on a pair of two types is a mismatch like any other."""
    stream = segment()
    raised, resolved, drift = [alert for _, alert in stream.step(mixed(*["1"] * 60, 1, "1", "1"))]
    assert (resolved.status, resolved.kind, resolved.event_time_ms) == (RESOLVED, "type_disagreement", 60)
    assert (resolved.episode, resolved.duration_ms) == (raised.id, 11)
    assert (drift.kind, drift.event_time_ms) == ("mismatch_drift", 62)


@pytest.mark.parametrize("disagreeing", [0, 1, 49])
def test_fewer_than_fifty_are_no_finding(disagreeing: int) -> None:
    """A few odd records at the start are neither a finding nor mismatches."""
    assert segment().step(mixed(*["1"] * disagreeing, *[1] * 10)) == []


def test_numbers_that_are_missing_are_named_by_the_loss() -> None:
    """Text has no distance; the finding says what the loss needs."""
    rows = mixed(*["x"] * 60)
    stream = segment(loss="squared", detectors=[{"type": "adwin"}])
    ((_, alert),) = stream.step(rows)
    assert "loss squared needs numbers" in alert.look_first[0]


def test_outcomes_without_a_label_have_no_loss() -> None:
    """They count against the coverage of labels and nothing else."""
    rows = outcomes(range(8), [1] * 8, unlabelled=[0, 1, 2, 3, 4, 5])
    ((place, alert),) = segment().step(rows)
    assert (place, alert.labels["coverage"]) == (7, 0.25)


def test_coverage_and_delay_are_of_the_recent_past() -> None:
    """The last 1,000 outcomes, and the last 255 delays."""
    stream = segment(**threshold(max_mismatch_percent=50, window=10, min_samples=10))
    stream.step(outcomes(range(1000), [0] * 1000, delay_ms=9000, unlabelled=range(0, 1000, 2)))
    stream.step(outcomes(range(1000, 1994), [0] * 994, delay_ms=2000))
    ((_, alert),) = stream.step(outcomes(range(1994, 2000), [1] * 6, delay_ms=2000))
    assert alert.labels == {"coverage": 1.0, "delay_median_s": 2.0}


CHECKS = [
    {"type": "page_hinkley", "min_instances": 2, "threshold": 0.6, "delta": 0.01},
    {"type": "adwin", "delta": 0.3, "clock": 1, "grace_period": 1, "min_window_length": 1},
    {"type": "kswin", "window_size": 8, "stat_size": 3, "alpha": 0.1},
]


def test_cuts_and_restarts_change_nothing() -> None:
    """With every episode there is: raised, absorbed, updated, muted, woken, resolved; the alerts are equal."""
    rng = np.random.default_rng(5)
    wrong = np.concatenate([rng.random(60) < rate for rate in (0.1, 0.9, 0.2, 0.7, 0.0, 1.0) * 3]).astype(int).tolist()
    rows = outcomes(np.cumsum(rng.integers(0, 3, len(wrong))).tolist(), wrong, unlabelled=range(0, len(wrong), 9))
    settings = {"detectors": CHECKS, **threshold(cooldown="40ms")}
    whole = segment(**settings).step(rows)
    assert {(alert.check["type"], alert.status) for _, alert in whole} >= {
        ("threshold", RAISED),
        ("threshold", RESOLVED),
        ("page_hinkley", UPDATED),
        ("adwin", RAISED),
        ("kswin", RAISED),
    }

    stream, found = segment(**settings), []
    cuts = [0, *sorted({int(cut) for cut in rng.integers(0, len(wrong), 200)}), len(wrong)]
    for start, end in pairwise(cuts):
        found += [(start + place, alert) for place, alert in stream.step(rows.take(slice(start, end)))]
        state = orjson.loads(orjson.dumps(stream.snapshot()))
        stream = Segment(monitor(**settings), (), 10, state)
        assert stream.snapshot() == state
        assert not stream.is_changed
    assert found == whole
    assert [alert.id for _, alert in found] == [alert.id for _, alert in whole]


def test_a_check_whose_settings_changed_begins_anew() -> None:
    """The others go on from their state: a window of another size has none to go on from."""
    stream = segment(detectors=CHECKS[:1], **threshold())
    stream.step(outcomes(range(3), [0, 1, 1]))
    state = orjson.loads(orjson.dumps(stream.snapshot()))
    changed = Segment(monitor(detectors=CHECKS[:1], **threshold(window=5)), (), 10, state)
    now = {each["check"]["type"]: each for each in changed.snapshot()["checks"]}
    assert now["page_hinkley"] == state["checks"][1]
    assert now["threshold"]["state"]["window"]["count"] == 0
    assert now["threshold"]["episode"]["id"] is None
