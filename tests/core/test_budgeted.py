"""The budgeted detector: what it finds, how soon, and how often it errs."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from streamguard.core.budget import MONTH_MS
from streamguard.core.budgeted import Budgeted, Finding
from streamguard.core.detectors import BudgetedSettings, Direction

DAY_MS = MONTH_MS // 30
WORSE, BETTER = Direction.WORSE, Direction.BETTER

Floats = NDArray[np.float64]


def detector(**settings: Any) -> Budgeted:
    """One that learns from 2,000 losses, whose rate has no season."""
    return Budgeted(BudgetedSettings.model_validate({"baseline": 2000, "season": "none", **settings}))


def stretches(*parts: tuple[float, int], seed: int = 1) -> Floats:
    """Losses of 0 and 1, so many of each rate."""
    rng = np.random.default_rng(seed)
    return np.concatenate([(rng.random(count) < rate).astype(np.float64) for rate, count in parts])


def times(count: int, per_day: int = 10_000) -> NDArray[np.int64]:
    """Evenly over the days."""
    return (np.arange(count) * (DAY_MS / per_day)).astype(np.int64)


def found(
    losses: Floats, *, budget: float = 1.0, per_day: int = 10_000, cuts: tuple[int, ...] = (), **settings: Any
) -> list[Finding]:
    """What it notices at so many false alarms a month; at each cut it goes through a snapshot."""
    watcher, at = detector(**settings), times(len(losses), per_day)
    given, findings = (at * (budget / MONTH_MS)).astype(np.float64), list[Finding]()
    for start, end in pairwise([0, *cuts, len(losses)]):
        part = watcher.update(at[start:end], losses[start:end], given[start:end])
        findings += [replace(each, index=start + each.index) for each in part]
        if cuts:
            state = orjson.loads(orjson.dumps(watcher.snapshot()))
            watcher = Budgeted(watcher._settings, state)
            assert watcher.snapshot() == state
    return findings


def opened(findings: list[Finding]) -> list[int]:
    """Where trouble began, repeats left out."""
    starts, is_open = [], False
    for each in findings:
        if each.is_alarm and not is_open:
            starts.append(each.index)
        is_open = each.is_alarm
    return starts


def test_a_rise_is_found_and_its_end() -> None:
    """From 5% to 15% and back: trouble within hundreds of losses, and over within thousands."""
    findings = found(stretches((0.05, 10_000), (0.15, 10_000), (0.05, 10_000)))
    (start,) = opened(findings)
    assert 10_000 < start < 10_400
    over = [each.index for each in findings if not each.is_alarm]
    assert len(over) == 1
    assert 20_000 < over[0] < 22_000
    assert {each.direction for each in findings if each.is_alarm} == {WORSE}


def test_the_smaller_the_budget_the_later_the_alarm() -> None:
    """By about as many losses as a likelihood ratio of ten takes, for a tenth."""
    losses = stretches((0.05, 10_000), (0.08, 40_000))
    starts = [opened(found(losses, budget=budget))[0] for budget in (100, 1, 0.01)]
    assert starts == sorted(starts)
    assert starts[0] < starts[2]


@pytest.mark.parametrize(
    ("before", "after", "most"), [(0.05, 0.1, 820), (0.05, 0.2, 155), (0.2, 0.3, 544), (0.2, 0.5, 110)]
)
def test_delays_are_no_longer_than_a_fifth_over_adwins(before: float, after: float, most: int) -> None:
    """ADWIN's at its defaults, 5,000 losses after the start, are known (680, 129, 453 and 92 on average)."""
    delays = []
    for seed in range(20):
        losses = stretches((before, 5000), (after, 6000), seed=seed)
        delays.append(opened(found(losses, baseline=4900))[0] - 5000)
    assert min(delays) > 0
    assert np.mean(delays) < most


def test_false_alarms_stay_within_the_budget() -> None:
    """60 streams share 20 a month for a month: 20 and three standard errors at most; of one that may err, some."""
    alarms = 0
    for seed in range(60):
        losses = stretches(([0.02, 0.1, 0.3][seed % 3], 30_000), seed=seed)
        alarms += len(opened(found(losses, budget=20 / 60, per_day=1000)))
    assert alarms <= 20 + 3 * 20**0.5
    reckless = sum(
        len(opened(found(stretches((0.1, 30_000), seed=seed), budget=1000, per_day=1000))) for seed in range(3)
    )
    assert reckless > 3


def test_the_declared_rate_is_what_counts() -> None:
    """Where 12% are tolerated, a rise from 5% to 10% is nothing, and one to 20% is."""
    losses = stretches((0.05, 5000), (0.1, 20_000), (0.2, 5000))
    (start,) = opened(found(losses, tolerated_rate=0.12))
    assert start > 25_000


def test_a_level_that_is_accepted_is_tolerated_whatever_was_declared() -> None:
    """Else it would alarm again at once, and every few days."""
    losses = stretches((0.05, 5000), (0.2, 60_000))
    findings = found(losses, tolerated_rate=0.1, accept_after="2d")
    assert len(opened(findings)) == 1
    assert findings[-1].is_accepted


def test_a_tolerance_is_added_to_the_baseline() -> None:
    """A rise within it is never told."""
    losses = stretches((0.05, 5000), (0.08, 30_000))
    assert opened(found(losses))
    assert not opened(found(losses, tolerance=0.05))


def test_an_improvement_is_noticed_where_asked_for_and_is_the_new_baseline() -> None:
    """From 20% to 5%, and then to 12%: worse than what it had come to."""
    losses = stretches((0.2, 8000), (0.05, 12_000), (0.12, 8000))
    directions = [each.direction for each in found(losses, direction="both") if each.is_alarm]
    assert directions[0] is BETTER
    assert set(directions[1:]) == {WORSE}
    assert found(losses, direction="worse") == []
    assert [each.direction for each in found(losses, direction="better")] == [BETTER]


def test_a_level_that_lasts_is_accepted() -> None:
    """After the time that is set it is the new baseline: the same level alarms no more, a higher one does."""
    losses = stretches((0.05, 20_000), (0.12, 60_000), (0.3, 5000))
    findings = found(losses, accept_after="2d")
    accepted = [each for each in findings if each.is_accepted]
    assert len(accepted) == 1
    first = opened(findings)[0]
    assert 20_000 <= accepted[0].index - first < 21_500
    assert opened(findings)[1:] == [each.index for each in findings if each.is_alarm and each.index > 80_000][:1]
    never = found(losses, accept_after=None)
    assert not any(each.is_accepted for each in never)


def test_what_is_usual_is_learnt_anew_when_told() -> None:
    """At the first loss from then on: the trouble is over, and the level is no trouble any more."""
    losses = stretches((0.05, 10_000), (0.12, 30_000), (0.3, 5000))
    findings = found(losses, accept_after=None, rebaseline_at=("1970-01-03T00:00:00Z",))
    assert [each.index for each in findings if each.is_accepted] == [20_000]
    first, second = opened(findings)
    assert 10_000 < first < 11_000
    assert second > 40_000
    # Told of a time before the first loss it does nothing, and of one while it learns it begins again.
    assert found(losses, rebaseline_at=("1969-01-01T00:00:00Z",)) == found(losses)
    later = found(losses, rebaseline_at=("1970-01-01T02:00:00Z",))
    assert opened(later)[0] == pytest.approx(opened(found(losses))[0], abs=300)


def test_a_change_within_the_first_call_counts() -> None:
    """The baseline does not reach across it: it is as if the stream began there."""
    losses = stretches((0.3, 1000), (0.05, 5000), (0.2, 2000))
    late = found(losses[1000:])
    findings = found(losses, rebaseline_at=("1970-01-01T02:24:00Z",))
    assert [each.index - 1000 for each in findings] == [each.index for each in late]


def test_silence_is_no_trouble_that_lasts() -> None:
    """A level is accepted where it is found again after the time; one outcome after a pause is not enough."""
    losses, at = stretches((0.05, 5000), (0.3, 300), (0.05, 4000)), times(9300)
    at[5300:] += 8 * DAY_MS
    watcher = detector(accept_after="7d")
    findings = watcher.update(at, losses, at / MONTH_MS)
    assert not any(each.is_accepted for each in findings)
    assert not findings[-1].is_alarm


@pytest.mark.parametrize(("loss", "direction"), [(1.0, "worse"), (0.0, "better"), (1.0, "both"), (0.0, "both")])
def test_what_is_always_the_same_is_no_change(loss: float, direction: str) -> None:
    """Nothing is worse than always wrong, and nothing better than always right, however long."""
    assert found(np.full(300_000, loss), direction=direction) == []


def test_a_budget_that_begins_anew_is_no_evidence_against() -> None:
    """Where it was away for a while it counts from 0 again, which is less than it was."""
    losses, at = stretches((0.05, 5000), (0.3, 1000)), times(6000)
    watcher = detector()
    watcher.update(at[:4000], losses[:4000], at[:4000] / MONTH_MS)
    assert any(each.is_alarm for each in watcher.update(at[4000:], losses[4000:], (at[4000:] - at[4000]) / MONTH_MS))


def test_bounded_losses_are_watched_as_well() -> None:
    """Brier scores move from 0.05 to 0.08; their spread is small, and so is the delay."""
    rng = np.random.default_rng(3)
    losses = np.concatenate([rng.beta(1, 19, 10_000), rng.beta(1.6, 18.4, 5000)])
    (start,) = opened(found(losses))
    assert 10_000 < start < 10_400


def test_losses_of_a_unit_are_scaled() -> None:
    """Errors in euros, of which 100 is as bad as it gets."""
    rng = np.random.default_rng(3)
    losses = np.concatenate([rng.gamma(2, 5, 10_000), rng.gamma(2, 10, 5000)])
    (start,) = opened(found(losses, loss_max=100))
    assert 10_000 < start < 10_200
    with pytest.raises(ValueError, match="is not between 0 and 1"):
        found(losses)


@pytest.mark.parametrize(
    "settings",
    [
        {"direction": "both", "accept_after": "6h"},
        {"rebaseline_at": ["1970-01-01T01:00:00Z", "1970-01-01T02:00:00Z", "1970-01-01T23:00:00Z"]},
        {"tolerated_rate": 0.06},
        {"season": "hour_of_week", "baseline": "14d"},
    ],
)
def test_cuts_and_restarts_change_nothing(settings: dict[str, Any]) -> None:
    """Wherever the stream is cut, and through JSON each time."""
    losses = stretches((0.05, 8000), (0.2, 3000), (0.05, 6000), (0.01, 6000), (0.1, 3000))
    per_day = 400 if "season" in settings else 10_000
    whole = found(losses, per_day=per_day, **settings)
    assert len(whole) > 3
    for seed in range(5):
        cuts = np.unique(np.random.default_rng(seed).integers(1, len(losses), 300)).tolist()
        assert found(losses, per_day=per_day, cuts=tuple(cuts), **settings) == whole


def test_blocks_are_cut_anywhere_too() -> None:
    """Where mistakes come in runs, a block may be half full when a worker ends."""
    rng = np.random.default_rng(1)
    fresh, is_copy = rng.random(20_000) < np.repeat([0.1, 0.3], 10_000), rng.random(20_000) < 0.5
    is_copy[0] = False
    losses = fresh[np.maximum.accumulate(np.where(is_copy, 0, np.arange(20_000)))].astype(np.float64)
    whole = found(losses)
    assert opened(whole)
    watcher = detector()
    watcher.update(times(3000), losses[:3000], np.zeros(3000))
    assert watcher.learnt is not None
    assert watcher.learnt.block > 1
    cuts = np.unique(rng.integers(1, 20_000, 500)).tolist()
    assert found(losses, cuts=tuple(cuts)) == whole


def test_what_is_not_a_loss_is_refused_and_leaves_no_trace() -> None:
    """NaN, infinity, and what is outside [0, 1]."""
    watcher = detector()
    before = watcher.snapshot()
    for bad in (np.nan, np.inf, -0.1, 1.5):
        with pytest.raises(ValueError, match="at index 1 is not between 0 and 1"):
            watcher.update(times(2), np.array([0.0, bad]), np.zeros(2))
        assert watcher.snapshot() == before


def test_a_pause_is_no_alarm() -> None:
    """The budget of years of silence flows at once, and is no evidence."""
    watcher = detector()
    losses = stretches((0.05, 3000))
    at = times(3000)
    at[2500:] += 100 * 12 * MONTH_MS
    assert not watcher.update(at, losses, at / MONTH_MS)


def test_the_state_is_small() -> None:
    """Below 1 kB while it learns, while it watches and in trouble; more with the hours of the week."""
    losses = stretches((0.05, 4000), (0.3, 500))
    for count in (1500, 3000, 4500):
        watcher = detector()
        watcher.update(times(count), losses[:count], times(count) / MONTH_MS)
        assert len(orjson.dumps(watcher.snapshot())) < 1000
    losses = stretches((0.3, 1_000_000))
    for count, most in ((900_000, 4000), (1_000_000, 2000)):
        seasonal = detector(baseline="14d", season="hour_of_week")
        seasonal.update(times(count, 70_000), losses[:count], np.zeros(count))
        assert len(orjson.dumps(seasonal.snapshot())) < most


def test_what_is_not_known_is_told() -> None:
    """A finding says what it was compared with, and whether that bears a promise."""
    losses = stretches((0.05, 3000), (0.3, 500))
    assert {each.learnt.doubt for each in found(losses)} == {None}
    assert {each.learnt.doubt for each in found(losses, baseline=100)} == {"the baseline has only 100 outcomes"}


@pytest.mark.parametrize("state", [{}, {"type": "adwin", "version": 1}, {"type": "budgeted", "version": 2}])
def test_a_state_of_something_else_is_refused(state: dict[str, Any]) -> None:
    """It is never gone on from."""
    with pytest.raises(ValueError, match="state of budgeted, version 1, expected"):
        Budgeted(BudgetedSettings(), state)


def test_a_damaged_state_is_refused() -> None:
    """With an error that says so."""
    state = detector().snapshot()
    for damaged in ({**state, "baseline": {"scales": None}}, {name: state[name] for name in ("type", "version")}):
        with pytest.raises(ValueError, match="a damaged state of budgeted"):
            Budgeted(BudgetedSettings(), damaged)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"baseline": 5000}, "14d or more to learn the hours of the week, got 5000; or set season: none"),
        ({"baseline": 50, "season": "none"}, "100 outcomes at least, got 50"),
        ({"tolerated_rate": 0.1}, "leave it out, or set season: none"),
        ({"direction": "both"}, "set worse, or set season: none"),
        ({"baseline": "1x"}, "not a duration such as"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], words: str) -> None:
    """Each with the way out."""
    with pytest.raises(ValidationError, match=words):
        BudgetedSettings.model_validate(settings)
