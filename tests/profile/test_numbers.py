"""Numbers: exact sums, and quantiles within what is promised, whatever the order."""

import math
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamguard.profile.numbers import Numbers
from streamguard.reference.bins import LOG_BINS
from streamguard.reference.exact import ExactSum
from tests.profile.helpers import NUMBERS, merged

PARTS = (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0)


def numbers(values: Any) -> Numbers:
    """Of these values."""
    found = Numbers()
    found.add(np.array(values, np.float64))
    return found


def state(found: Numbers) -> list[object]:
    """All that is held."""
    log, equal = found.log, found.equal
    return [
        *(found.count, found.negative, found.low, found.high, found.total.units, found.squares.units),
        *(log.zeros, log.near, log.by_key(), equal.by_number(), equal.width_log2, equal.span),
    ]


def ranked(values: Any, part: float) -> float:
    """The quantile by rank."""
    return float(np.sort(np.array(values, np.float64))[math.floor(part * (len(values) - 1))])


def test_times_have_a_mean_and_a_deviation() -> None:
    """Far from zero and close to each other is where sums of squares lose all digits."""
    values = 1_767_571_200_000 + np.arange(10_000) % 7
    found = numbers(values)

    assert found.mean == float(Fraction(sum(map(int, values)), len(values)))
    assert found.deviation == pytest.approx(float(np.std(np.arange(10_000) % 7)), rel=1e-12)


def test_times_have_quantiles_of_seconds() -> None:
    """1.6% of the time since 1970 is ten months: equal bins are finer."""
    values = 1_767_571_200_000 + np.arange(0, 86_400_000, 1000)
    found = numbers(values)

    for part in PARTS:
        assert abs(found.quantile(part) - ranked(values, part)) <= 86_400_000 / 127


def test_one_outlier_spoils_nothing() -> None:
    """Who writes 999999999 for what is not known still learns of the others."""
    values = [*np.random.default_rng(1).normal(20, 5, 10_000), 999_999_999.0]
    found = numbers(values)

    assert found.quantile(0.5) == pytest.approx(20, rel=1 / 32)


def test_numbers_beyond_squares_have_no_deviation() -> None:
    """What no float can say is not said."""
    assert numbers([1e200, -1e200]).deviation is None
    assert numbers([1e200, -1e200]).mean == 0
    assert numbers([1e308, 1e308]).mean == 1e308


def test_a_zero_has_no_sign() -> None:
    """Or the order would decide which one is the smallest."""
    assert [str(numbers(each).low) for each in ([0.0, -0.0], [-0.0, 0.0], [-0.0])] == ["0.0"] * 3


def test_nothing_has_no_mean() -> None:
    """Nor a deviation."""
    assert (Numbers().mean, Numbers().deviation) == (None, None)


def test_memory_is_bounded() -> None:
    """However many octaves there are."""
    chance = np.random.default_rng(2)
    found = numbers(chance.normal(0, 1, 100_000) * 10.0 ** chance.integers(-300, 300, 100_000))

    assert len(found.log.by_key()) == LOG_BINS
    assert found.log.near > 0
    assert len(pickle.dumps(state(found))) < 8_000


@given(st.lists(NUMBERS, max_size=60))
def test_sums_are_exact(values: list[float]) -> None:
    """No rounding, in any order."""
    found = merged(ExactSum, lambda part, some: part.add(np.array(some, np.float64)), values)

    assert found.value == sum(map(Fraction, values))


@given(st.lists(NUMBERS, min_size=1, max_size=100))
def test_neither_order_nor_cuts_matter(values: list[float]) -> None:
    """All that is held is a function of the numbers."""
    found = merged(Numbers, lambda part, some: part.add(np.array(some, np.float64)), values)

    assert state(found) == state(numbers(values))


@given(st.integers(0, 1000), st.integers(0, 600))
def test_neither_order_nor_cuts_matter_where_bins_are_dropped(seed: int, octaves: int) -> None:
    """The bins that are kept are those of the largest magnitudes of all, not of a part."""
    chance = np.random.default_rng(seed)
    values = (chance.normal(0, 1, 2000) * 2.0 ** chance.integers(-octaves, 1, 2000)).tolist()
    found = merged(Numbers, lambda part, some: part.add(np.array(some, np.float64)), values)

    assert state(found) == state(numbers(values))


@given(st.lists(NUMBERS, min_size=1, max_size=100), st.sampled_from(PARTS))
@example([0.0, -1.79e308], 0.0)
@example([0.0, 1.79e308], 1.0)
def test_quantiles_are_within_their_bounds(values: list[float], part: float) -> None:
    """Any numbers: the bounds hold the quantile, and are as narrow as promised."""
    found = numbers(values)
    low, high = found.bounds(part)
    true = ranked(values, part)
    by_range = Fraction(found.high) - Fraction(found.low)

    assert low <= true <= high
    assert found.log.near == 0
    # A bin of 2^w is at most twice the range over 127 wide; the smallest float64 have fewer bits.
    assert Fraction(high) - Fraction(low) <= max(2 * by_range / 127, Fraction(5e-324))
    assert Fraction(high) - Fraction(low) <= max(abs(Fraction(true)) / 32, Fraction(2.0**-1027))


@given(st.integers(0, 1000), st.sampled_from(PARTS))
def test_quantiles_near_zero_are_within_their_bounds(seed: int, part: float) -> None:
    """Where there are more magnitudes than bins."""
    chance = np.random.default_rng(seed)
    values = chance.normal(0, 1, 3000) * 2.0 ** chance.integers(-100, 1, 3000)
    found = numbers(values)
    low, high = found.bounds(part)

    assert found.log.near > 0
    assert low <= ranked(values, part) <= high
    assert high - low <= 2 * (values.max() - values.min()) / 127
