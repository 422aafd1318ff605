"""Thresholds and budgets from a normal period: whether they would have been silent, and stay as silent as is said."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamguard.replay.suggesting import Peak, _allowed, _room, suggest_budget, suggest_threshold

WINDOW, DAYS = 500, 14


def peak(rate: float, outcomes: int = 14_000, segment: str = "", window: int = 1000) -> Peak:
    """The highest rate of a segment's windows."""
    return Peak(segment, rate, outcomes, window)


@pytest.mark.parametrize(
    ("before", "later", "chance", "expected"),
    [
        # The difference of two normal variables has twice the variance.
        (1, 1, 0.05, 1.6449 * math.sqrt(2)),
        (1, 1, 0.00005, 3.8906 * math.sqrt(2)),
        # Of so many that are alike each is as likely to be the highest.
        (10, 10, 0.5, 0.0),
        (30, 10, 0.25, 0.0),
        (30, 10, 0.3, 0.0),
    ],
)
def test_by_how_much_a_maximum_exceeds_another_is_as_calculated(
    before: float, later: float, chance: float, expected: float
) -> None:
    """Where that can be done without an integral."""
    assert _room(before, later, chance) == pytest.approx(expected, abs=0.003)


def test_by_how_much_a_maximum_exceeds_another_is_as_drawn() -> None:
    """Of 14 and of 30 normal variables, in 100,000 draws."""
    rng = np.random.default_rng(2)
    past, month = rng.standard_normal((100_000, 14)).max(axis=1), rng.standard_normal((100_000, 30)).max(axis=1)
    assert float(np.quantile(month - past, 0.95)) == pytest.approx(_room(14, 30, 0.05), abs=0.02)


def highest(rng: np.random.Generator, rate: float, days: int, per_day: int) -> NDArray[np.float64]:
    """The highest rate of a window that moves by single outcomes, in so many days and in the month after them."""
    ends = np.concatenate(([0], np.cumsum(rng.random((days + 30) * per_day) < rate)))
    rates = (ends[WINDOW:] - ends[:-WINDOW]) / WINDOW
    normal = days * per_day - WINDOW + 1
    return np.array([rates[:normal].max(), rates[normal:].max()])


@pytest.mark.parametrize(
    ("rate", "per_day", "segments"),
    [(0.005, 400, 1), (0.05, 400, 1), (0.05, 1500, 1), (0.3, 400, 1), (0.1, 400, 10)],
)
def test_a_month_is_as_silent_as_is_said(rate: float, per_day: int, segments: int) -> None:
    """In 95 of 100 cases, three standard errors less at least; without the room it is not even in half of them."""
    rng, loud, bare, cases = np.random.default_rng(5), 0, 0, 200
    for _ in range(cases):
        pairs = np.array([highest(rng, rate, DAYS, per_day) for _ in range(segments)])
        peaks = [Peak(str(number), each, DAYS * per_day, WINDOW) for number, each in enumerate(pairs[:, 0].tolist())]
        value = suggest_threshold(peaks, DAYS).value
        assert value is not None
        assert value / 100 >= pairs[:, 0].max()
        loud += bool(pairs[:, 1].max() > value / 100)
        bare += bool(pairs[:, 1].max() > pairs[:, 0].max())
    assert loud <= 0.05 * cases + 3 * math.sqrt(0.05 * 0.95 * cases)
    assert bare > 0.4 * cases


def test_a_threshold_says_what_it_rests_upon() -> None:
    """The window's rate, the days, the segment, the value and the condition; 1.55 deviations of 3.2% are 0.87%."""
    found = suggest_threshold([peak(0.011, segment="version=6"), peak(0.023, segment="version=7")], 14)
    single = suggest_threshold([peak(0.023)], 14)

    assert found.value == 3.4
    assert found.sentence == (
        "The highest rate of a window of 1,000 in 14 days was 2.3% (version=7); max_mismatch_percent: 3.4 would have"
        " been silent, and stays so for a month in at least 95 of 100 such cases, if nothing moves the rate and"
        " mistakes do not come in runs."
    )
    assert single.value == 3.2
    assert single.sentence.startswith("The highest rate of a window of 1,000 in 14 days was 2.3%; max_mismatch")


def test_a_month_needs_no_room_above_a_period_that_was_far_longer() -> None:
    """Of two years that are alike the last month has the highest window in one case of 25."""
    assert suggest_threshold([peak(0.023)], 720).value == 2.3


def test_a_segment_that_asks_for_more_room_is_named() -> None:
    """Few outcomes in its window: 1.86 deviations of 3.05% are 5.7%."""
    found = suggest_threshold([peak(0.05, segment="a"), peak(0.048, 1200, "b", 100)], 14)
    assert found.value == 11
    assert "was 5% (a);" in found.sentence
    assert found.sentence.endswith(" Most room is needed for 4.8% of 100 outcomes (b).")


@pytest.mark.parametrize(
    ("peaks", "days", "sentence"),
    [
        ([], 14, "no window was full within the normal period; name a longer one."),
        ([peak(0.1)], 0, "no window was full within the normal period; name a longer one."),
        (
            [peak(0.1, 3400, "a"), peak(0.1, 9999, "b")],
            14,
            (
                "that takes 10 windows of one segment, 10 x 1,000 outcomes, and there are 9,999 at most (b). A smaller"
                " window, or fewer segments, would do."
            ),
        ),
    ],
)
def test_from_too_little_no_threshold_is_suggested(peaks: list[Peak], days: float, sentence: str) -> None:
    """It is said how much is needed."""
    found = suggest_threshold(peaks, days)
    assert (found.value, found.sentence) == (None, f"Nothing to suggest: {sentence}")


def test_a_threshold_of_100_percent_is_none() -> None:
    """It would never alarm."""
    found = suggest_threshold([peak(0.995, 1000, "a", 20)], 14.04)
    assert found.value is None
    assert found.sentence == (
        "The highest rate of a window of 20 in 14 days was 99.5% (a). Nothing to suggest: with room above 99.5% (a)"
        " a threshold is at 100%, and never alarms; give the check a larger window."
    )


def test_a_rate_of_nothing_still_has_room() -> None:
    """No mistake in any window does not mean that there never is one: 1.55² / (1000 + 1.55²) are 0.24%."""
    assert suggest_threshold([peak(0.0)], 14).value == 0.25


PEAKS = st.lists(
    st.builds(
        Peak, st.just("x"), st.integers(0, 90).map(lambda each: each / 200), st.integers(5000, 10**6), st.just(500)
    ),
    min_size=1,
    max_size=3,
)


@given(PEAKS, st.floats(1, 1000))
def test_a_threshold_is_round_and_above_all_peaks(peaks: list[Peak], days: float) -> None:
    """Two digits; one more segment never lowers it."""
    found = suggest_threshold(peaks, days).value
    assert found is not None
    assert float(f"{found:.2g}") == found
    assert all(found / 100 >= each.rate for each in peaks)
    assert found >= (suggest_threshold(peaks[:1], days).value or 0)


@pytest.mark.parametrize(("mean", "most"), [(0.05, 0), (0.06, 1), (1, 3), (3, 6), (10, 15), (2000, 2074)])
def test_a_budget_allows_what_comes_by_chance(mean: float, most: int) -> None:
    """The 95% quantiles of Poisson's distribution, as in its tables."""
    assert _allowed(mean) == most


def test_the_largest_budget_that_nothing_speaks_against_is_suggested() -> None:
    """Two months: 1 a month allows 5, 2 a month 8, 5 a month 15, and 10 a month 28."""
    found = suggest_budget({10: 29, 2: 8, 5: 16, 1: 4}, 60)
    assert found.value == 2
    assert found.sentence == (
        "false_alarms_per_month: 2 is the largest tried that nothing speaks against: it raised 8 in 60 days, where a"
        " budget that is kept gives up to 8 in 95 of 100 such periods."
    )
    assert suggest_budget({10: 28, 2: 8, 5: 16, 1: 4}, 60).value == 10


def test_a_smaller_budget_that_alarms_too_often_is_told_of() -> None:
    """A rate that moves soon gives no more alarms, however large the budget: that it is kept says little, then."""
    found = suggest_budget({0.5: 5, 1: 6, 10: 7}, 60)
    assert found.value == 10
    assert " But 0.5 raised 5, 1 raised 6, which is more than that allows. The rate moves, " in found.sentence


def test_where_even_the_smallest_alarms_too_often_the_rate_moves() -> None:
    """What is normal, then, is for the user to say, by a season or a tolerance."""
    found = suggest_budget({1: 9, 2: 12}, 30.02)
    assert found.value is None
    assert found.sentence == (
        "Nothing to suggest: even false_alarms_per_month: 1 raised 9 in 30 days, where a budget that is kept gives up"
        " to 3 in 95 of 100 such periods. The rate moves, though the period is called normal: if by the hour or the"
        " weekday, set season: hour_of_week; if it wanders, and nothing is wrong, set a tolerance; and look at the"
        " alarms, they may be right."
    )


def test_from_too_few_days_no_budget_is_suggested() -> None:
    """The largest must be worth one false alarm, or else none says nothing."""
    found = suggest_budget({0.5: 0, 2: 0}, 14.9)
    assert (found.value, found.sentence) == (
        None,
        (
            "Nothing to suggest: to judge false_alarms_per_month: 2 takes 15 days beside those that detectors learn"
            " from, and there are 14.9."
        ),
    )
    assert suggest_budget({0.5: 0, 2: 0}, 15).value == 2


@given(st.floats(0.1, 100), st.floats(1, 24))
def test_a_budget_that_is_just_kept_is_refused_once_in_twenty(budget: float, months: float) -> None:
    """At most, and one alarm fewer would be refused more often than that."""
    mean = budget * months
    most = _allowed(mean)
    chances = [math.exp(count * math.log(mean) - mean - math.lgamma(count + 1)) for count in range(most + 1)]
    assert math.fsum(chances) >= 0.95 - 1e-9
    assert math.fsum(chances[:-1]) < 0.95 + 1e-9
