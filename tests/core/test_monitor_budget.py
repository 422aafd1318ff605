"""Budgeted detectors within a monitor task: shares, guarantees, episodes, cohorts."""

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from streamguard.core.join import JoinTask
from streamguard.core.monitor import MonitorTask
from streamguard.core.records import Output, Stream
from streamguard.worker.topology import Topology
from tests.core.helpers import batch, documents, topology

DAY_MS = 86_400_000
SOURCES = 2
BUDGETED: dict[str, Any] = {"type": "budgeted", "baseline": 1000, "season": "none", "accept_after": None}
GUARANTEE = (
    "at most 1 false alarm a month on average, over all monitors, if nothing moves the rate when nothing is wrong"
)


def settings(*detectors: dict[str, Any], **monitor: Any) -> Topology:
    """One monitor, split by country, with these detectors."""
    return topology(
        {"name": "m", "split_by": ["country"], "detectors": list(detectors or [BUDGETED]), **monitor}, sources=SOURCES
    )


def outcomes(
    wrong: NDArray[np.bool_],
    *,
    per_day: int = 2000,
    countries: int = 3,
    size: int = 200,
    lost: NDArray[np.bool_] | None = None,
    gap: tuple[int, int] = (0, 0),
) -> list[bytes]:
    """The outcomes topic of two sources in turn, `size` rows a record; the last tells that time goes on.

    `lost`: whose labels never came. `gap`: between these rows the first country has none.
    """
    count = len(wrong)
    lost = np.zeros(count, np.bool_) if lost is None else lost
    country = np.arange(count) * 7 // 3 % countries
    country[gap[0] : gap[1]][country[gap[0] : gap[1]] == 0] = countries - 1
    at = np.arange(count) * DAY_MS // per_day
    records, sequence = [], 0
    for start in range(0, count, size):
        sequence += 1
        for source in range(SOURCES):
            rows = np.arange(start + source, min(start + size, count), SOURCES)
            block = {
                "monitor": "m",
                "segments": [[f"c{each}"] for each in range(countries)],
                "segment": country[rows].tolist(),
                "id": [f"r{row}" for row in rows.tolist()],
                "prediction": ["yes"] * len(rows),
                "label": [None if lost[row] else "no" if wrong[row] else "yes" for row in rows.tolist()],
                "prediction_time": at[rows].tolist(),
                "label_time": at[rows].tolist(),
                "prediction_offset": rows.tolist(),
                "label_offset": np.where(lost[rows], -1, rows).tolist(),
            }
            records.append(record(source, sequence, int(at[min(start + size, count) - 1]), [block]))
    return records + [record(source, sequence + 1, 1 << 45, []) for source in range(SOURCES)]


def record(source: int, sequence: int, watermark: int, blocks: list[Any]) -> bytes:
    """One step of one source."""
    head = {"v": 1, "source": source, "sources": SOURCES, "sequence": sequence, "watermark": watermark}
    return orjson.dumps({**head, "idle": False, "blocks": blocks})


def drawn(*parts: tuple[float, int], seed: int = 1) -> NDArray[np.bool_]:
    """Mistakes, so many of each rate."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.random(count) < rate for rate, count in parts])


def stepped(records: list[bytes], given: Topology, cuts: list[int], *, restart: bool = False) -> list[Output]:
    """The alerts of a task over these records in pieces; with `restart` it comes back from its state at each cut."""
    task, outputs = MonitorTask(0, given.monitor), list[Output]()
    state: dict[bytes | None, bytes | None] = {}
    for start, end in pairwise([0, *cuts, len(records)]):
        outputs += task.step(batch(records[start:end], topic="outcomes", start=start))
        if restart:
            state |= {output.key: output.value for output in task.snapshot(end)}
            task = MonitorTask(0, given.monitor)
            resume = task.restore(list(state.items()))
            assert resume is not None
            task.refill(batch(records[resume.low : end], topic="outcomes", start=resume.low))
    return outputs


def alerts(wrong: NDArray[np.bool_], *detectors: dict[str, Any], **monitor: Any) -> list[dict[str, Any]]:
    """What is told of these outcomes, in one segment."""
    outputs = stepped(outcomes(wrong, countries=1), settings(*detectors, **monitor), [])
    return documents(outputs, Stream.ALERTS)


@pytest.mark.parametrize("restart", [False, True])
def test_cuts_and_restarts_change_no_byte(*, restart: bool) -> None:
    """Of any alert: shares of the budget, baselines, evidence, silences and episodes go on as they were."""
    wrong, lost = drawn((0.05, 9000), (0.2, 6000), (0.05, 9000)), drawn((0.02, 12_000), (0.2, 4000), (0.02, 8000))
    records = outcomes(wrong, lost=lost, gap=(20_000, 21_000))
    given = settings(BUDGETED, {**BUDGETED, "direction": "both"}, unlabelled=BUDGETED, no_data_after="1h", whole=True)
    whole = stepped(records, given, [])
    said = Counter((each["kind"], each["status"]) for each in documents(whole, Stream.ALERTS))
    assert said["mismatch_drift", "raised"] >= 6
    assert said["mismatch_drift", "resolved"] >= 6
    assert said["label_starvation", "raised"] == said["label_starvation", "resolved"] == 4
    # Each and the whole are silent at the end; the one with the gap was before.
    assert (said["no_data", "raised"], said["no_data", "resolved"]) == (5, 1)
    for seed in range(3):
        cuts = np.unique(np.random.default_rng(seed).integers(1, len(records), 40)).tolist()
        assert stepped(records, given, cuts, restart=restart) == whole


def test_an_alert_says_what_it_can_be_trusted_for() -> None:
    """The budget, where it holds; else that there is none, and why."""
    wrong = drawn((0.05, 5000), (0.3, 1000))
    (one,) = {each["guarantee"] for each in alerts(wrong)}
    assert one == GUARANTEE
    (none,) = {each["guarantee"] for each in alerts(wrong, {"type": "adwin"})}
    assert none == "none: nobody knows how often adwin alarms though nothing is wrong"
    (short,) = {each["guarantee"] for each in alerts(wrong, {**BUDGETED, "baseline": 100})}
    assert short == "none: the baseline has only 100 outcomes"


def test_labels_that_stay_away_are_told() -> None:
    """With their share before and of late; of the mistakes nothing is said."""
    records = outcomes(drawn((0.05, 12_000)), lost=drawn((0.02, 8000), (0.3, 4000)), countries=1)
    found = documents(stepped(records, settings(BUDGETED, unlabelled=BUDGETED), []), Stream.ALERTS)
    first = found[0]
    assert {each["kind"] for each in found} == {"label_starvation"}
    assert (first["severity"], first["status"], first["guarantee"]) == ("critical", "raised", GUARANTEE)
    assert first["before"]["rate"] < 0.03 < first["after"]["rate"]
    assert "look at what writes the labels" in first["look_first"][0]


def test_a_segment_without_outcomes_is_told_while_others_go_on() -> None:
    """At the time when the silence was too long, whoever it was that carried event time past it."""
    records = outcomes(drawn((0.05, 8000)), gap=(5000, 7000))
    found = documents(stepped(records[:-SOURCES], settings(no_data_after="1h"), []), Stream.ALERTS)
    assert [(each["kind"], each["status"], each["segment"]) for each in found] == [
        ("no_data", "raised", {"country": "c0"}),
        ("no_data", "resolved", {"country": "c0"}),
    ]
    assert found[0]["event_time"] == "1970-01-03T12:59:16.800Z"
    assert found[0]["episode"] == found[1]["episode"]
    assert found[0]["look_first"][0].startswith("no outcome since 1970-01-03T11:5")


def test_the_whole_tells_which_segments_explain_it() -> None:
    """One country of three goes from 5% to 30% of mistakes: nearly all of it is its."""
    rng = np.random.default_rng(4)
    country = np.arange(16_000) * 7 // 3 % 3
    wrong = rng.random(16_000) < np.where((np.arange(16_000) >= 9000) & (country == 1), 0.3, 0.05)
    found = documents(stepped(outcomes(wrong), settings(whole=True), []), Stream.ALERTS)
    whole = next(each for each in found if each["segment"] == {})
    (only,) = whole["segments"]
    assert only["segment"] == {"country": "c1"}
    assert only["before"] < 0.07
    assert only["after"] > 0.2
    assert only["share"] > 0.8
    assert whole["look_first"][0].startswith(f"{only['share']:.0%} of it: country=c1 (")
    assert all(each["segments"] == [] for each in found if each["segment"])


def test_the_whole_is_none_of_the_segments_that_are_counted() -> None:
    """Not before and not after a restart: the fourth segment is one too many, and the third is not."""
    records = outcomes(drawn((0.05, 3000)), countries=4)
    given = settings(whole=True, max_segments=3)
    for restart in (False, True):
        found = documents(stepped(records, given, [8, 16], restart=restart), Stream.ALERTS)
        assert [(each["kind"], each["segment"]) for each in found] == [("segments_full", {"country": "c1"})]


def test_the_task_knows_what_is_promised() -> None:
    """Of each budgeted detector: nothing while it learns, and nothing where the baseline does not bear it."""
    short = {**BUDGETED, "baseline": 100}
    task = MonitorTask(0, settings(BUDGETED, short).monitor)
    records = outcomes(drawn((0.05, 6000)))
    task.step(batch(records[:20], topic="outcomes"))
    assert task.promises() == {"learning": 3, "none": 3}
    task.step(batch(records[20:], topic="outcomes", start=20))
    assert task.promises() == {"kept": 3, "none": 3}


def test_segments_and_checks_share_the_budget() -> None:
    """Of four checks over three segments each evidence grows at a twelfth of the rate."""
    records = outcomes(drawn((0.05, 6000)))
    evidence = []
    for given, checks in ((settings(BUDGETED), 1), (settings(BUDGETED, {**BUDGETED, "tolerance": 0.001}), 2)):
        task = MonitorTask(0, given.monitor)
        task.step(batch(records, topic="outcomes"))
        flows = orjson.loads(task.snapshot(1)[-1].value or b"")["state"]["flows"]
        per_month, segments, _, bends = flows["m"]
        assert (per_month, segments) == (1 / checks, 3)
        evidence.append(bends[-1][2])
    assert evidence[0] == pytest.approx(2 * evidence[1])


def test_one_shift_of_a_month_is_one_episode() -> None:
    """It is raised once, told again at longer and longer distances, and resolved when the rate comes back."""
    found = alerts(drawn((0.05, 10_000), (0.12, 60_000), (0.05, 10_000)))
    assert len({each["episode"] for each in found}) == 1
    said = [each["status"] for each in found]
    assert (said[0], said[-1]) == ("raised", "resolved")
    assert 3 <= said.count("updated") <= 10
    # Each compares with the baseline, not with the last.
    levels = [(each["before"]["rate"], each["after"]["rate"]) for each in found[1:-1]]
    assert all(before < 0.06 and after > 0.1 for before, after in levels)
    assert found[-1]["duration_s"] > 29 * 86_400
    assert {each["severity"] for each in found} == {"critical"}


def test_an_alert_tells_the_levels_with_bands_that_hold_whenever_one_looks() -> None:
    """The true rates are inside, the onset is near, and what was to be exceeded is said."""
    first = alerts(drawn((0.05, 10_000), (0.2, 2000)))[0]
    (low, high), (above_low, above_high) = first["before"]["interval"], first["after"]["interval"]
    assert low <= 0.05 <= high
    assert above_low <= 0.2 <= above_high
    assert first["before"]["count"] == 1000
    assert 0.05 < first["before"]["limit"] < above_low
    assert "1970-01-05T23:00" < first["onset"] < "1970-01-06T03:00"
    assert first["direction"] == "worse"


def test_an_improvement_is_a_notice() -> None:
    """Never an alarm of harm."""
    (only,) = alerts(drawn((0.2, 10_000), (0.05, 10_000)), {**BUDGETED, "direction": "both"})
    assert (only["severity"], only["direction"], only["status"]) == ("info", "better", "raised")


def test_a_level_that_is_accepted_is_told() -> None:
    """The episode ends as accepted, and with the level that is; one that comes back ends as recovered."""
    found = alerts(drawn((0.05, 10_000), (0.12, 30_000)), {**BUDGETED, "accept_after": "5d"})
    last = found[-1]
    assert [found[0]["status"], last["status"], last["resolution"]] == ["raised", "resolved", "accepted"]
    assert 0.11 < last["after"]["rate"] < 0.13
    assert last["onset"] == found[0]["onset"]
    back = alerts(drawn((0.05, 10_000), (0.2, 4000), (0.05, 6000)))[-1]
    assert (back["status"], back["resolution"]) == ("resolved", "recovered")
    assert back["after"]["rate"] < 0.08
    assert "1970-01-07T23:00" < back["onset"] < "1970-01-08T03:00"


def sooner_when_wrong(*, cohorts: bool) -> list[dict[str, Any]]:
    """5% of mistakes throughout, whose labels come within hours; those of the others take two days."""
    rng = np.random.default_rng(2)
    count, per_day = 64_000, 8000
    at = np.arange(count) * DAY_MS // per_day
    wrong = rng.random(count) < 0.05
    known = at + np.where(wrong, rng.integers(0, DAY_MS // 8, count), rng.integers(DAY_MS, 2 * DAY_MS, count))
    detector = {**BUDGETED, "baseline": 100, "tolerated_rate": 0.08}
    given = topology(
        {"name": "m", "detectors": [detector], "cohorts": cohorts},
        join={"after": "2d", "disorder": "1s"},
    )
    join, monitor = JoinTask(0, given.join), MonitorTask(0, given.monitor)
    outputs = list[Output]()
    order = np.argsort(known, kind="stable")
    made = [b'{"request_id":"r%d","prediction":"yes"}' % row for row in range(count)]
    truth = [b'{"request_id":"r%d","label":"%s"}' % (row, b"no" if wrong[row] else b"yes") for row in order.tolist()]
    for day in range(12):
        new = np.flatnonzero((at >= day * DAY_MS) & (at < (day + 1) * DAY_MS))
        told = np.flatnonzero((known[order] >= day * DAY_MS) & (known[order] < (day + 1) * DAY_MS))
        step = join.step(
            batch([made[row] for row in new], at[new].tolist(), start=int(new[0])) if len(new) else None,
            batch([truth[row] for row in told], known[order][told].tolist(), topic="labels", start=int(told[0]))
            if len(told)
            else None,
        )
        outcome = [output.value for output in step if output.stream is Stream.OUTCOMES]
        outputs += monitor.step(batch(outcome, topic="outcomes"))
    assert monitor.counts["released"] > count * 0.7
    return documents(outputs, Stream.ALERTS)


def test_labels_that_come_sooner_for_mistakes_are_no_drift_in_cohorts() -> None:
    """The first labels are nearly all of mistakes. Judged by prediction, when all labels are there, they are 5%."""
    assert sooner_when_wrong(cohorts=False)[0]["direction"] == "worse"
    assert sooner_when_wrong(cohorts=True) == []
