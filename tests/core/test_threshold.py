import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from streamguard.core.durations import parse_duration_ms
from streamguard.core.threshold import Crossing, Threshold, ThresholdSettings, is_above

HOUR_MS = 3_600_000

Outcome = tuple[int, int]
"""Event time in ms, and 1 for a mismatch."""


def settings(percent: float = 50, **others: Any) -> ThresholdSettings:
    """Return settings as a config would make them."""
    return ThresholdSettings.model_validate({"max_mismatch_percent": percent, **others})


def feed(check: Threshold, outcomes: list[Outcome]) -> list[Crossing]:
    """Hand outcomes on in one call."""
    times = np.array([time for time, _ in outcomes], dtype=np.int64)
    return check.update(times, np.array([loss for _, loss in outcomes], dtype=np.float64))


def naive(config: ThresholdSettings, outcomes: list[Outcome]) -> list[Crossing]:
    """Do the check by its definition, looking at the whole past after each outcome."""
    found, looks, is_open = [], list[bool](), False
    for index in range(len(outcomes)):
        past = outcomes[: index + 1]
        held = window_of(config, past)
        wrong = sum(loss for _, loss in held)
        is_enough = len(held) >= config.samples_min
        share = Fraction(100 * wrong, len(held))
        if is_open:
            is_changed = is_enough and share <= Fraction(str(config.resolve_percent))
        else:
            is_changed = is_enough and share > Fraction(str(config.max_mismatch_percent))
            if config.confirm is not None:
                looks += [is_changed] if is_look(config.confirm.every, past) else []
                is_changed = sum(looks[-config.confirm.of :]) >= config.confirm.above
        if is_changed:
            looks, is_open = [], not is_open
            found.append(Crossing(index, is_open, len(held), wrong))
    return found


def is_look(every: int | str, past: list[Outcome]) -> bool:
    """Whether the share is looked at with the last of these outcomes."""
    if isinstance(every, int):
        return len(past) % every == 0
    before, now = ([(0, 0), *past][-2:][number][0] // parse_duration_ms(every) for number in (0, 1))
    return now > before


def window_of(config: ThresholdSettings, past: list[Outcome]) -> list[Outcome]:
    """Return the outcomes of the past that the window holds."""
    if isinstance(config.window, int):
        return past[-config.window :]
    window_ms = parse_duration_ms(config.window)
    pane_ms = math.ceil(window_ms / 60)
    oldest = past[-1][0] // pane_ms - math.ceil(window_ms / pane_ms) + 1
    return [outcome for outcome in past if outcome[0] // pane_ms >= oldest]


OUTCOMES = (
    st.integers(0, 60)
    .flatmap(lambda size: st.lists(st.tuples(st.integers(0, 40), st.integers(0, 1)), min_size=size, max_size=size))
    .map(lambda rows: [(sum(gap for gap, _ in rows[: i + 1]), loss) for i, (_, loss) in enumerate(rows)])
)
EVERY = st.sampled_from([1, 1, 2, 3, 10, "1ms", "30ms", "30ms", "100ms"])
CONFIRMS = st.integers(1, 4).flatmap(
    lambda above: st.fixed_dictionaries({"above": st.just(above), "of": st.integers(above, above + 3), "every": EVERY})
)
CONFIGS = st.builds(
    lambda window, percent, part, samples, confirm: settings(
        percent,
        window=window,
        resolve_below_percent=round(percent * part, 2),
        min_samples=min(samples, window) if isinstance(window, int) else samples,
        confirm=confirm,
    ),
    st.one_of(st.integers(1, 25), st.sampled_from(["1ms", "60ms", "61ms", "200ms", "1s"])),
    st.sampled_from([8.1, 25.0, 33.333333, 50.0, 100.0]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.integers(1, 10),
    st.none() | CONFIRMS,
) | st.builds(
    # Nearly every outcome crosses a level, so that looks often just suffice, or just do not.
    lambda window, resolve, confirm: settings(50, window=window, resolve_below_percent=resolve, confirm=confirm),
    st.integers(1, 2),
    st.sampled_from([0, 50]),
    CONFIRMS,
)


def test_the_alarm_comes_with_the_outcome_that_crosses() -> None:
    """Above means above: half wrong is still tolerated at 50 %."""
    check = Threshold(settings(50, window=4))
    assert feed(check, [(0, 0), (1, 0), (2, 1), (3, 1)]) == []
    assert feed(check, [(4, 1), (5, 1)]) == [Crossing(0, alarm=True, count=4, mismatches=3)]
    assert check.is_open


def test_it_resolves_only_at_the_lower_level() -> None:
    """A share that hovers between the two levels neither resolves nor alarms again."""
    check = Threshold(settings(50, window=4, resolve_below_percent=25))
    assert [crossing.alarm for crossing in feed(check, [(i, 1) for i in range(4)])] == [True]
    assert feed(check, [(4, 0), (5, 0), (6, 1), (7, 1), (8, 1)]) == []
    resolved = feed(check, [(9, 0), (10, 0), (11, 0)])
    assert resolved == [Crossing(2, alarm=False, count=4, mismatches=1)]
    assert not check.is_open


def test_nothing_is_said_on_too_few_outcomes() -> None:
    """The first prediction being wrong is not 100 % drift."""
    check = Threshold(settings(50, window=10, min_samples=3))
    assert feed(check, [(0, 1), (1, 1), (2, 1)]) == [Crossing(2, alarm=True, count=3, mismatches=3)]


def test_a_percentage_is_compared_exactly() -> None:
    """8.1 % of 2,000 is 162, though the nearest float to 8.1 is a little less."""
    losses = [(i, 1) for i in range(162)] + [(i, 0) for i in range(162, 2000)]
    check = Threshold(settings(8.1, window=2000, min_samples=2000))
    assert feed(check, losses) == []
    assert feed(Threshold(settings(8.1, window=2000, min_samples=2000)), [*losses[1:], (2000, 1)]) == []
    crossing = feed(Threshold(settings(8.1, window=2000, min_samples=2000)), [(0, 1), *losses[:-1]])
    assert crossing == [Crossing(1999, alarm=True, count=2000, mismatches=163)]
    assert not is_above(162, 2000, 8.1)
    assert is_above(163, 2000, 8.1)
    assert not is_above(41, 1000, 4.1)


def test_an_event_time_window_forgets_by_time() -> None:
    """After a quiet hour the mistakes of the last one no longer count, however few outcomes came since."""
    check = Threshold(settings(50, window="1h", min_samples=2))
    assert len(feed(check, [(0, 1), (1, 1)])) == 1
    assert feed(check, [(HOUR_MS - 60_001, 0)]) == []
    assert feed(check, [(HOUR_MS + 60_000, 0)]) == [Crossing(0, alarm=False, count=2, mismatches=0)]


def test_a_short_window_in_event_time_is_exact() -> None:
    """Up to 60 ms a pane is one millisecond, so (t - window, t] holds to the letter."""
    check = Threshold(settings(50, window="60ms", min_samples=2))
    assert feed(check, [(0, 1), (59, 1)]) == [Crossing(1, alarm=True, count=2, mismatches=2)]
    again = Threshold(settings(50, window="60ms", min_samples=2))
    assert feed(again, [(0, 1), (60, 1)]) == []


def confirming(above: int, of: int, every: int | str) -> Threshold:
    """Return a check of the last outcome alone: it is above where that is a mismatch."""
    return Threshold(settings(50, window=1, confirm={"above": above, "of": of, "every": every}))


def in_order(losses: str) -> list[Outcome]:
    """Return one outcome a second, from 1 s on, by its loss."""
    return [(1000 * number, int(loss)) for number, loss in enumerate(losses, start=1)]


def test_an_alarm_is_confirmed_by_the_look_that_makes_it_n_of_m() -> None:
    """Two of three looks, one at every second outcome; what lies between two looks is not looked at."""
    found = feed(confirming(2, 3, every=2), in_order("1001100100"))
    assert found == [Crossing(7, alarm=True, count=1, mismatches=1), Crossing(8, alarm=False, count=1, mismatches=0)]


def test_a_brief_excursion_is_not_confirmed() -> None:
    """Looks that were above too long ago no longer count, however many there are in all."""
    check = confirming(2, 3, every=2)
    assert feed(check, in_order("0100000100000111")) == [Crossing(15, True, 1, 1)]
    assert feed(confirming(2, 3, every=2), in_order("110000" * 9 + "110000")) == []


def test_after_an_alarm_the_looks_begin_anew() -> None:
    """What confirmed one alarm is no evidence for the next; looks stay where they are in the stream."""
    found = feed(confirming(2, 4, every=2), in_order("01010101000101"))
    assert [(each.index, each.alarm) for each in found] == [(3, True), (4, False), (7, True), (8, False), (13, True)]


def test_a_look_at_too_few_outcomes_is_not_above() -> None:
    """It counts as a look all the same."""
    check = Threshold(settings(50, window=4, min_samples=3, confirm={"above": 2, "of": 2, "every": 1}))
    assert feed(check, in_order("1111")) == [Crossing(3, alarm=True, count=4, mismatches=4)]


def test_looks_in_event_time_come_with_the_first_outcome_of_an_interval() -> None:
    """A quiet hour is one look and not six: there is nothing new to look at."""
    minutes = [(10, 0), (11, 1), (20, 1), (21, 0), (85, 0), (86, 1), (99, 1)]
    found = feed(confirming(2, 3, every="10m"), [(60_000 * minute, loss) for minute, loss in minutes])
    assert found == [Crossing(6, alarm=True, count=1, mismatches=1)]


def test_without_confirm_the_state_is_what_it_was() -> None:
    """Snapshots from before there were looks go on, and a version without them reads ours."""
    check = Threshold(settings(50, window=4))
    feed(check, in_order("0111"))
    state = {
        "type": "threshold",
        "version": 1,
        "open": True,
        "window": {"version": 1, "window": 4, "count": 4, "bits": "70"},
    }
    assert orjson.dumps(check.snapshot()) == orjson.dumps(state)
    assert Threshold(settings(50, window=4), state).snapshot() == state


def test_the_state_of_looks_is_small() -> None:
    """Those that can still count, and where in the stream the next is due."""
    check = confirming(2, 3, every=2)
    feed(check, in_order("010000010"))
    assert check.snapshot()["looks"] == {"version": 1, "every": 2, "position": 9, "past": "01"}
    feed(check, in_order("1"))
    assert check.snapshot()["looks"] == {"version": 1, "every": 2, "position": 10, "past": ""}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (None, "without looks"),
        ({"every": 3}, "looks every 3, expected every 2"),
        ({"every": "2s"}, "looks every 2s, expected every 2"),
        ({"past": "000"}, "too many for 2 of 3"),
        ({"past": "11"}, "too many for 2 of 3"),
        ({"past": "0x"}, "past"),
        ({"position": "4"}, "position"),
        ({"position": -1}, "position -1"),
        ({"version": 2}, "version"),
        ({"more": 0}, "Extra inputs"),
    ],
)
def test_a_state_of_other_looks_is_refused(changed: dict[str, Any] | None, message: str) -> None:
    """Going on from it would alarm at the wrong outcomes, and nobody would see why."""
    state = confirming(2, 3, every=2).snapshot()
    looks = state.pop("looks")
    if changed is not None:
        state["looks"] = {**looks, **changed}
    with pytest.raises(ValueError, match=message):
        Threshold(settings(50, window=1, confirm={"above": 2, "of": 3, "every": 2}), state)


def test_a_state_with_looks_needs_confirm() -> None:
    """Nothing would ever take them in."""
    with pytest.raises(ValueError, match="with looks"):
        Threshold(settings(50, window=1), confirming(2, 3, every=2).snapshot())


def test_times_that_go_back_are_refused() -> None:
    """Outcomes out of order would be counted in a window that has already moved on."""
    with pytest.raises(ValueError, match="go back"):
        feed(Threshold(settings(window="1h")), [(10, 0), (9, 0)])
    check = Threshold(settings(window="1h"))
    feed(check, [(HOUR_MS, 0)])
    with pytest.raises(ValueError, match="go back"):
        feed(check, [(0, 0)])


@pytest.mark.parametrize("loss", [0.5, 2.0, -1.0, math.nan, math.inf])
def test_only_losses_of_0_and_1_have_a_share(loss: float) -> None:
    """A threshold in percent over squared errors would mean nothing."""
    with pytest.raises(ValueError, match="0 and 1 only"):
        Threshold(settings()).update(np.array([0]), np.array([loss]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_mismatch_percent": 0}, "greater than 0"),
        ({"max_mismatch_percent": 101}, "less than or equal to 100"),
        ({"max_mismatch_percent": math.nan}, "max_mismatch_percent"),
        ({"resolve_below_percent": 51}, "must not exceed max_mismatch_percent"),
        ({"window": 10, "min_samples": 11}, "must not exceed window"),
        ({"window": 0}, "neither a count"),
        ({"window": 10_000_001}, "neither a count"),
        ({"window": True}, "neither a count"),
        ({"window": 1.5}, "neither a count"),
        ({"window": "0s"}, "holds no outcome"),
        ({"window": "1.5h"}, "is not a duration such as"),
        ({"min_samples": 0}, "greater than or equal to 1"),
        ({"min_sample": 5}, "Extra inputs"),
        ({"cooldown": "90"}, "is not a duration such as"),
        (
            {"confirm": {"above": 6, "of": 5, "every": 1}},
            r"above \(6\) must not exceed of \(5\): lower above or raise of",
        ),
        ({"confirm": {"above": 0, "of": 5, "every": 1}}, "greater than or equal to 1"),
        ({"confirm": {"above": 1, "of": 101, "every": 1}}, "less than or equal to 100"),
        ({"confirm": {"above": 1, "of": 1, "every": 0}}, "neither a count"),
        ({"confirm": {"above": 1, "of": 1, "every": "0s"}}, "every: 1 looks at each outcome"),
        ({"confirm": {"above": 1, "of": 1}}, "Field required"),
        ({"confirm": {"above": 1, "of": 1, "every": 1, "out_of": 2}}, "Extra inputs"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given: dict[str, Any], message: str) -> None:
    """A wrong setting is named when it is loaded, not when it fails to alarm."""
    with pytest.raises(ValidationError, match=message):
        settings(**{"percent" if name == "max_mismatch_percent" else name: x for name, x in given.items()})


def test_the_defaults_depend_on_the_window() -> None:
    """A small window fills before 500 outcomes, and must still be able to alarm."""
    assert settings().window == 2000
    assert settings(window=2000).samples_min == 500
    assert settings(window=100).samples_min == 100
    assert settings(window="1h").samples_min == 500
    assert settings(window="90m").window == "1h30m"
    assert settings(window="2000").window == 2000
    assert settings(8).resolve_percent == 8
    assert settings(8, resolve_below_percent=0).resolve_percent == 0
    assert settings().cooldown == HOUR_MS


@given(CONFIGS, OUTCOMES)
def test_crossings_equal_the_definition(config: ThresholdSettings, outcomes: list[Outcome]) -> None:
    """The sums over arrays find what looking at the whole past after each outcome finds."""
    assert feed(Threshold(config), outcomes) == naive(config, outcomes)


@given(CONFIGS, OUTCOMES, st.lists(st.integers(0, 60)) | st.just([*range(60)]))
def test_cuts_and_restarts_change_nothing(config: ThresholdSettings, outcomes: list[Outcome], cuts: list[int]) -> None:
    """However the stream is cut, and restored from JSON at each cut, the crossings are the same."""
    check, found = Threshold(config), []
    edges = [0, *sorted(min(cut, len(outcomes)) for cut in cuts), len(outcomes)]
    for start, end in pairwise(edges):
        found += [(start + c.index, c.alarm, c.count, c.mismatches) for c in feed(check, outcomes[start:end])]
        state = orjson.loads(orjson.dumps(check.snapshot()))
        check = Threshold(config, state)
        assert check.snapshot() == state
    whole = feed(Threshold(config), outcomes)
    assert found == [(c.index, c.alarm, c.count, c.mismatches) for c in whole]


@given(CONFIGS, OUTCOMES)
def test_a_look_at_each_outcome_is_no_confirmation(config: ThresholdSettings, outcomes: list[Outcome]) -> None:
    """One of one look at every outcome is the plain check."""
    plain = config.model_copy(update={"confirm": None})
    each = ThresholdSettings.model_validate({**plain.model_dump(), "confirm": {"above": 1, "of": 1, "every": 1}})
    assert feed(Threshold(each), outcomes) == feed(Threshold(plain), outcomes)
