"""The harness that judges detectors: its streams are what they claim, and its figures are worth what they say."""

import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.detection import __main__ as program
from benchmarks.detection import modelled, report, streams
from benchmarks.detection.detectors import ALL, EVERY, Alarm, InBudget, judge, opening, suits
from benchmarks.detection.running import Wanted, judged, judged_stream
from benchmarks.detection.scenarios import GROUPS
from benchmarks.detection.scoring import Figure, Score, Summary, score, summary
from benchmarks.detection.streams import DAY_MS, STABLE_EVENTS, START_MS, Change, Floats, Ints, Kind, Stream
from streamguard.core.detectors import Direction

WORSE_AT_50 = [Change(50, Kind.WORSE)]
EVERY_STREAM = [(group, name) for group, of_group in GROUPS.items() for name in of_group]


def at(*indices: int, direction: Direction = Direction.WORSE) -> list[Alarm]:
    """Alarms with the losses at these indices."""
    return [Alarm(index, direction) for index in indices]


def is_rate(rate: float, losses: Floats) -> bool:
    """Whether it may be that of the losses: their mean is within four standard errors."""
    return abs(float(losses.mean()) - rate) <= 4 * math.sqrt(rate * (1 - rate) / len(losses))


# Scores.


def test_an_alarm_at_the_change_is_perfect() -> None:
    """The event that is the first of the new kind is the first that can tell."""
    assert score(100, WORSE_AT_50, at(50)) == Score((1,), (), false_alarms=0, repeats=0, exposure=50)


def test_an_alarm_beyond_the_horizon_is_a_miss_and_false() -> None:
    """However late it is, it would else count as a detection."""
    assert score(100, WORSE_AT_50, at(60), max_delay=10) == Score((None,), (), 1, 0, exposure=90)
    assert score(100, WORSE_AT_50, at(59), max_delay=10) == Score((10,), (), 0, 0, exposure=90)


def test_an_alarm_before_the_change_is_false() -> None:
    """It detects nothing, and takes nothing from the one that does."""
    assert score(100, WORSE_AT_50, at(10, 49, 52)) == Score((3,), (), 2, 0, 50)


def test_without_an_alarm_the_change_is_missed() -> None:
    """And nothing is false."""
    assert score(100, WORSE_AT_50, []) == Score((None,), (), 0, 0, 50)


def test_alarms_after_the_first_repeat_it() -> None:
    """They are true, if tiresome."""
    assert score(100, WORSE_AT_50, at(52, 53, 99)) == Score((3,), (), 0, 2, 50)


def test_better_is_no_detection_of_worse_but_no_direction_is() -> None:
    """Who says that it is better while it is worse is wrong."""
    wrong = at(51, direction=Direction.BETTER)

    assert score(100, WORSE_AT_50, wrong) == Score((None,), (), 1, 0, 50)
    assert score(100, WORSE_AT_50, wrong + at(54)) == Score((5,), (), 1, 0, 50)
    assert score(100, WORSE_AT_50, at(51, direction=Direction.UNKNOWN)) == Score((2,), (), 0, 0, 50)


def test_after_an_improvement_only_better_is_true() -> None:
    """A detector without direction calls people for good news."""
    changes = [Change(50, Kind.BETTER)]

    assert score(100, changes, at(60, direction=Direction.BETTER)) == Score((), (True,), 0, 0, 100)
    assert score(100, changes, at(60)) == Score((), (False,), 1, 0, 100)
    assert score(100, changes, at(60, direction=Direction.UNKNOWN)) == Score((), (False,), 1, 0, 100)


def test_a_horizon_ends_with_the_next_change() -> None:
    """An alarm belongs to the last change before it."""
    changes = [Change(20, Kind.WORSE), Change(40, Kind.WORSE)]

    assert score(100, changes, at(45)) == Score((None, 6), (), 0, 0, 20)


def test_on_a_stable_stream_every_alarm_is_false() -> None:
    """Whatever it says."""
    assert score(100, [], at(0, 99) + at(7, direction=Direction.BETTER)) == Score((), (), 3, 0, 100)


def test_to_be_silent_while_it_learns_is_no_merit() -> None:
    """Events before which a detector cannot be wrong are none that it was right on."""
    assert score(100, [], at(70), learning=60) == Score((), (), 1, 0, 40)
    assert score(100, WORSE_AT_50, at(70), learning=60).exposure == 0
    assert summary([score(100, WORSE_AT_50, at(70), learning=60)]).false_rate is None


# Summaries.


def test_the_figures_of_a_few_streams_are_those_by_hand() -> None:
    """Two false alarms in 300 events; delays of 10, 20 and a miss: 150 / 15 * 2 / 3."""
    found = summary([Score((10,), (), 1, 4, 100), Score((20,), (), 1, 0, 100), Score((None,), (), 0, 0, 100)])

    assert found.mtd is not None
    assert found.mtd.value == 15
    # Student's quantile for two values is 12.706, the standard error 5.
    assert found.mtd.interval == pytest.approx((0.0, 15 + 12.706 * 5), rel=1e-4)
    assert found.mdr is not None
    assert found.mdr.value == pytest.approx(1 / 3)
    assert values(found)[2:] == pytest.approx([2 / 300 * 100_000, 150, 150 / 15 * 2 / 3])
    assert found.repeats == pytest.approx(4 / 3)


def test_a_perfect_detector_has_figures_and_they_are_bounds() -> None:
    """Where others print NaN, there is at least so much."""
    found = summary([Score((1,), (), 0, 0, 5000)] * 20)

    assert found.mtd == Figure(1, (1, 1))
    assert found.mtfa == Figure(100_000, is_bound=True)
    assert found.mtr == Figure(100_000, is_bound=True)
    assert found.false_rate is not None
    # The rule of three: none in 100,000 is 3 at most.
    assert found.false_rate.interval == pytest.approx((0, 2.9957), rel=1e-4)


def test_a_share_of_none_is_not_certain() -> None:
    """Wilson's interval for 0 of 20 ends at 16%."""
    found = summary([Score((1,), (), 0, 0, 5000)] * 20)

    assert found.mdr is not None
    assert found.mdr.interval == pytest.approx((0, 0.1611), abs=1e-4)


def test_an_interval_holds_the_mean_as_often_as_it_says() -> None:
    """Of false alarms, over 300 sets of 20 streams: 95%, less four standard errors, and a little for the skew."""
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        rate = summary([Score((), (), int(count), 0, 1000) for count in rng.poisson(5, 20)]).false_rate
        assert rate is not None
        assert rate.interval is not None
        hits += rate.interval[0] <= 500 <= rate.interval[1]

    assert 0.89 <= hits / 300 < 1


def test_the_interval_of_the_mtr_holds_it() -> None:
    """And is not of no width where streams differ."""
    found = summary([Score((10 + each,), (), each % 3, 0, 1000) for each in range(20)]).mtr

    assert found is not None
    assert found.interval is not None
    assert found.interval[0] < found.value < found.interval[1]


# Streams.


@pytest.mark.parametrize(("group", "name"), EVERY_STREAM)
def test_a_stream_is_the_same_for_a_seed_and_another_for_another(group: str, name: str) -> None:
    """So that a figure can be measured again; and its parts are of a legal form."""
    make = GROUPS[group][name]
    one, same, other = make(3), make(3), make(4)

    assert np.array_equal(one.losses, same.losses)
    assert np.array_equal(one.times_ms, same.times_ms)
    assert not np.array_equal(one.losses, other.losses)
    assert one.times_ms.dtype == np.int64
    assert np.all(np.diff(one.times_ms) >= 0)
    assert np.isin(one.losses, (0.0, 1.0)).all()
    assert len(one.times_ms) == len(one.losses)


@pytest.mark.parametrize(("before", "after"), [(0.05, 0.1), (0.2, 0.25), (0.2, 0.5), (0.2, 0.1)])
def test_an_abrupt_change_has_its_rates(before: float, after: float) -> None:
    """On either side of the change, in two and a half days."""
    stream = streams.changing("a", 1, before=before, after=after)

    assert stream.changes == (Change(STABLE_EVENTS, Kind.WORSE if after > before else Kind.BETTER),)
    assert is_rate(before, stream.losses[:STABLE_EVENTS])
    assert is_rate(after, stream.losses[STABLE_EVENTS:])
    assert len(stream.losses) == 25_000
    assert np.ptp(stream.times_ms) == pytest.approx(2.5 * DAY_MS, rel=0.01)


def test_the_change_is_the_first_event_that_is_not_as_before() -> None:
    """A delay that is counted from its neighbour is wrong by one."""
    losses = streams.changing("a", 1, before=0.0, after=1.0).losses

    assert not losses[:STABLE_EVENTS].any()
    assert losses[STABLE_EVENTS:].all()


def test_a_gradual_change_begins_where_it_says_and_goes_along_a_line() -> None:
    """Half of the way after half of the width."""
    stream = streams.changing("a", 1, before=0.0, after=0.8, width=5000)
    quarters = stream.losses[STABLE_EVENTS : STABLE_EVENTS + 5000].reshape(4, -1)

    assert not stream.losses[:STABLE_EVENTS].any()
    assert all(is_rate(rate, part) for rate, part in zip((0.1, 0.3, 0.5, 0.7), quarters, strict=True))
    assert is_rate(0.8, stream.losses[STABLE_EVENTS + 5000 :])


def test_times_are_even_or_of_a_poisson_process() -> None:
    """With distances whose spread is nought, or their mean."""
    even = np.diff(streams.evenly(10_000, 8_640))
    chance = np.diff(streams.poisson(10_000, 8_640, np.random.default_rng(1)))

    assert set(even.tolist()) == {10_000}
    assert chance.mean() == pytest.approx(10_000, rel=0.01)
    assert chance.std() == pytest.approx(10_000, rel=0.05)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1, 0.2, 0.3])
def test_a_stable_rate_stays_for_thirty_days(rate: float) -> None:
    """In its first half as in its second, with nothing that changes."""
    stream = streams.stable("a", 1, rate=rate)

    assert stream.changes == ()
    assert len(stream.losses) == 300_000
    assert np.ptp(stream.times_ms) == pytest.approx(30 * DAY_MS, rel=0.001)
    assert all(is_rate(rate, half) for half in np.split(stream.losses, 2))


@pytest.mark.parametrize("lag1", [0.2, 0.5])
def test_a_markov_chain_has_its_rate_and_autocorrelation(lag1: float) -> None:
    """Which widens the error of the rate by (1 + lag1) / (1 - lag1)."""
    losses = streams.autocorrelated("a", 1, rate=0.1, lag1=lag1).losses

    assert losses.mean() == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / 300_000 * (1 + lag1) / (1 - lag1)))
    assert np.corrcoef(losses[1:], losses[:-1])[0, 1] == pytest.approx(lag1, abs=0.02)


def test_the_season_follows_the_clock() -> None:
    """Worst at six in the morning, best at six in the evening, and worse on Saturday and Sunday."""
    stream = streams.seasonal("a", 1)
    day, of_day_ms = np.divmod(stream.times_ms - START_MS, DAY_MS)
    is_weekend, hour = day % 7 >= 5, of_day_ms // 3_600_000

    assert len(stream.losses) == 28 * 8_640
    assert is_rate(0.10, stream.losses[~is_weekend])
    assert is_rate(0.13, stream.losses[is_weekend])
    assert is_rate(0.12, stream.losses[~is_weekend & ((hour == 5) | (hour == 6))])
    assert is_rate(0.08, stream.losses[~is_weekend & ((hour == 17) | (hour == 18))])


@pytest.mark.parametrize(("group", "name"), [each for each in EVERY_STREAM if each[0] in ("synth", "real")])
def test_a_model_gets_worse_with_the_change_and_only_then(group: str, name: str) -> None:
    """Else a detector that is silent would be right."""
    losses = GROUPS[group][name](0).losses
    first, second = losses[: STABLE_EVENTS // 2], losses[STABLE_EVENTS // 2 : STABLE_EVENTS]
    error = math.sqrt(2 * first.var() / STABLE_EVENTS)

    assert abs(second.mean() - first.mean()) <= 3 * math.sqrt(2) * error
    assert losses[-STABLE_EVENTS:].mean() > losses[:STABLE_EVENTS].mean() + 3 * error


def test_a_concept_comes_from_the_change_on_at_once_or_along_a_sigmoid() -> None:
    """With half of it `width` events later; the first concept is learnt without a mistake."""
    at_once = modelled.drifting("a", 1, concept="STAGGER", width=0).losses[STABLE_EVENTS:]
    slowly = modelled.drifting("a", 1, concept="STAGGER", width=1000).losses[STABLE_EVENTS:]
    level = at_once[-5000:].mean()

    assert at_once[:200].mean() == pytest.approx(level, abs=0.15)
    assert slowly[:200].mean() < 0.1 * level
    assert slowly[800:1200].mean() == pytest.approx(level / 2, abs=0.1)
    assert slowly[3000:].mean() == pytest.approx(level, abs=0.03)


def test_a_fault_that_hits_no_row_changes_nothing() -> None:
    """What gets worse with the others is by the fault, not by the model or the order."""
    losses = modelled.broken("a", 1, data_set="Bananas", share=0.0).losses

    assert losses[:STABLE_EVENTS].mean() == pytest.approx(losses[STABLE_EVENTS:].mean(), abs=0.025)


# Detectors.


@dataclass
class Heard:
    """A detector that finds what it was told to, and keeps what it was given."""

    findings: list[Any]
    given: list[float] = field(default_factory=list)

    def update(self, times_ms: Ints, losses: Floats, given: Floats) -> list[Any]:
        assert len(times_ms) == len(losses)
        self.given += given.tolist()
        return self.findings


@dataclass(frozen=True)
class Found:
    """As of the budgeted detector."""

    index: int
    is_alarm: bool
    direction: Direction = Direction.WORSE


def test_ours_is_given_its_budget_by_the_clock() -> None:
    """Two false alarms in 30 days are one in 15, wherever the events are."""
    heard = Heard([Found(1, is_alarm=True)])
    times_ms = START_MS + np.array([0, 3, 15, 30]) * DAY_MS

    assert InBudget("ours", lambda: heard, monthly=2).run(times_ms, np.zeros(4)) == at(1)
    assert heard.given == pytest.approx([0, 0.2, 1, 2])


def test_more_of_an_open_trouble_is_no_alarm() -> None:
    """Until it is over; what got better is said each time."""
    better = Direction.BETTER
    told = [Found(1, True), Found(2, True), Found(3, False, better), Found(4, True), Found(5, False, better)]

    assert opening(told) == at(1, 4)
    assert opening([Found(1, True, better), Found(2, True, better)]) == at(1, 2, direction=better)
    assert opening([Found(1, True, better), Found(2, True), Found(3, True)]) == at(1, direction=better) + at(2)


def test_a_baseline_is_as_long_as_the_longer_of_its_count_and_time() -> None:
    """And no longer than the stream."""
    times_ms = streams.evenly(100, 10)

    assert InBudget("ours", lambda: Heard([]), baseline_count=30).learning(times_ms) == 30
    assert InBudget("ours", lambda: Heard([]), baseline_ms=4 * DAY_MS).learning(times_ms) == 40
    assert InBudget("ours", lambda: Heard([]), baseline_ms=40 * DAY_MS).learning(times_ms) == 100


@pytest.mark.parametrize("name", ALL)
def test_each_detector_is_found_by_name_and_starts_anew(name: str) -> None:
    """A second run that remembered the first would be of another detector."""
    stream = a_stream(600, 600)
    one = judge(name)

    assert one.name == name
    assert one.run(stream.times_ms, stream.losses) == one.run(stream.times_ms, stream.losses)


def test_an_unknown_detector_is_refused() -> None:
    """With the names that are known."""
    with pytest.raises(ValueError, match=r"unknown detector 'adwim'; known are .*adwin"):
        judge("adwim")


def test_the_seasonal_one_is_judged_where_it_can_learn() -> None:
    """On a stream of two days it would be silent, which is not what it is like."""
    for group, of_group in GROUPS.items():
        for make in of_group.values():
            stream = make(0) if group not in ("synth", "real") else a_stream(5000, 10_000)
            learning = judge("budgeted, season").learning(stream.times_ms)
            assert suits("budgeted, season", group) == (learning < len(stream.times_ms))


# Runs and tables.


def test_the_two_baselines_come_out_as_they_must() -> None:
    """Always: misses nothing, and is worth 1. Never: is never wrong, and is worth 0."""
    of_names = judged_stream(Wanted(("delay",), ("always-fire", "never-fire")), ("delay", ".05→.10", 0))
    always, never = (summary([of_names[name]] * 3) for name in ("always-fire", "never-fire"))

    assert values(always) == pytest.approx([EVERY, 0, 1000, EVERY, 1])
    assert always.mtfa is not None
    assert not always.mtfa.is_bound
    assert never.mtd is None
    assert values(never)[1:] == [1, 0, 3 * STABLE_EVENTS, 0]
    assert never.mtfa is not None
    assert never.mtfa.is_bound


def test_the_number_of_processes_changes_nothing() -> None:
    """What is found belongs to the streams, each under its name and detector."""
    detectors = ("ddm", "always-fire", "never-fire")
    wanted = Wanted(("delay",), detectors, seeds=2, processes=2)

    found = judged(wanted, lambda _: None)

    assert list(found) == ["delay"]
    for name, of_detectors in found["delay"].items():
        by_hand = [judged_stream(wanted, ("delay", name, seed)) for seed in range(2)]
        assert of_detectors == {detector: [each[detector] for each in by_hand] for detector in detectors}
    assert list(found["delay"]) == list(GROUPS["delay"])


def test_tables_say_what_is_a_bound_and_what_is_not_known() -> None:
    """A line for each detector, a column for each stream."""
    tables = report.group_tables("delay", {"a": {"silent": [Score((None,), (), 0, 0, 5000)]}})
    unknown = report.group_tables("delay", {"a": {"learns": [Score((7,), (), 0, 0, 0)]}})

    assert "| detector | a |\n| --- | --: |\n| silent | missed all |" in tables
    assert "| silent | 100% [21, 100] | 0 [0; 59.9] | > 5,000 | 0 |" in tables
    assert "| learns | 7 |" in unknown
    assert "| learns | 0% [0, 79] | ? | ? | 0 |" in unknown


def test_a_table_that_is_not_there_yet_gets_its_place() -> None:
    """Of two empty places each gets its own, and what stands around them stays."""
    page = "a\n<!-- bench:one -->\n<!-- /bench -->\nb\n<!-- bench:two -->\n<!-- /bench -->\nc\n"
    found = report.rewritten(page, {"one": "1", "two": "2"})
    assert found == "a\n<!-- bench:one -->\n1\n<!-- /bench -->\nb\n<!-- bench:two -->\n2\n<!-- /bench -->\nc\n"
    assert report.rewritten(found, {"one": "1", "two": "2"}) == found


def test_a_table_without_a_place_is_an_error() -> None:
    """Figures that nobody sees were measured for nothing."""
    with pytest.raises(ValueError, match="0 places for the table 'delay'"):
        report.rewritten("# Detection", {"delay": "table"})


def test_a_run_writes_the_places_whose_groups_it_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And no other; with the two baselines, whatever was asked for."""
    page = tmp_path / "detection.md"
    page.write_text(
        "by hand\n<!-- bench:delay -->\nold\n<!-- /bench -->\n<!-- bench:stable -->\nold\n<!-- /bench -->\n"
    )
    monkeypatch.setattr(program, "PAGE", page)
    options = "--only delay gradual improving --seeds 1 --detectors ddm --processes 1"
    monkeypatch.setattr(sys, "argv", ["detection", *options.split()])

    program.main()

    written, printed = page.read_text(), capsys.readouterr().out
    assert written.startswith("by hand\n<!-- bench:delay -->\n**A change at once**")
    assert written.endswith("\n<!-- /bench -->\n<!-- bench:stable -->\nold\n<!-- /bench -->\n")
    for name in ("| ddm | ", "| always-fire | ", "| never-fire | "):
        assert written.count(name) == 6
        assert printed.count(name) == 9
    assert "kswin is left out" in printed


def a_stream(before: int, after: int) -> Stream:
    """Losses that are 0 and then 1, ten thousand a day."""
    losses = np.repeat([0.0, 1.0], [before, after])
    return Stream("a", streams.evenly(len(losses), 10_000), losses, (Change(before, Kind.WORSE),))


def values(found: Summary) -> list[float]:
    """MTD, MDR, false alarms in 100,000, MTFA and MTR; -1 for what there is not."""
    figures = (found.mtd, found.mdr, found.false_rate, found.mtfa, found.mtr)
    return [-1 if figure is None else figure.value for figure in figures]
