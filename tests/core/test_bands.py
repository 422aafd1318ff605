"""How well a rate is known."""

import numpy as np
import pytest

from streamguard.core.bands import anytime_band, chernoff, quantile, wilson


def test_a_band_that_is_looked_at_all_the_time_is_seldom_wrong() -> None:
    """Of 400 streams at most 5% may leave it at any moment up to 2,000 losses; a fixed interval fails a third."""
    rng = np.random.default_rng(4)
    looks = np.unique(np.geomspace(5, 2000, 60).astype(int))
    ever = fixed = 0
    for _ in range(400):
        totals = np.cumsum(rng.random(2000) < 0.1)[looks - 1]
        bands = [anytime_band(float(total), int(count)) for total, count in zip(totals, looks, strict=True)]
        ever += any(not low <= 0.1 <= high for low, high in bands)
        narrow = [wilson(total / count, int(count), 1.96) for total, count in zip(totals, looks, strict=True)]
        fixed += any(not low <= 0.1 <= high for low, high in narrow)
    assert ever <= 20
    assert fixed > 60


def test_a_band_is_as_narrow_as_its_count_allows() -> None:
    """It holds the mean, shrinks with more losses, and ends at 0 and 1."""
    widths = [high - low for low, high in (anytime_band(count / 10, count) for count in (10, 100, 1000, 100_000))]
    assert sorted(widths, reverse=True) == widths
    assert widths[-1] < 0.01
    assert anytime_band(0, 0) == (0.0, 1.0)
    assert anytime_band(0, 50)[0] == 0.0
    assert anytime_band(50, 50)[1] == 1.0
    # A quarter of all rates from 0 up give no loss in fifty by less than one chance in twenty.
    assert 0.05 < anytime_band(0, 50)[1] < 0.2


def test_losses_between_0_and_1_are_as_good() -> None:
    """Half a loss each time is a mean of a half."""
    low, high = anytime_band(50.5, 101)
    assert low < 0.5 < high


@pytest.mark.parametrize(("total", "count"), [(-0.1, 3), (3.1, 3)])
def test_a_total_that_cannot_be_is_refused(total: float, count: int) -> None:
    """More losses than outcomes is a mistake of the caller."""
    with pytest.raises(ValueError, match=rf"losses of {total} in {count} outcomes"):
        anytime_band(total, count)


def test_the_score_bound_errs_as_often_as_it_says() -> None:
    """One-sided, of rates as models have them: within a few in a thousand of the chance, and rather less often."""
    rng = np.random.default_rng(5)
    for rate in (0.01, 0.05, 0.2):
        totals = rng.binomial(2000, rate, 20_000)
        wrong = np.mean([wilson(total / 2000, 2000, quantile(0.02))[1] < rate for total in totals.tolist()])
        assert 0.005 < wrong < 0.025


def test_the_lower_bound_is_safe_for_rare_losses() -> None:
    """Of one mistake in a thousand, where Wilson's errs several times more often than it says."""
    rng = np.random.default_rng(6)
    totals = rng.binomial(1000, 0.001, 100_000)
    counts = np.bincount(totals)
    wrong = sum(int(counts[total]) for total in range(len(counts)) if chernoff(total / 1000, 1000, 0.001) > 0.001)
    assert wrong / 100_000 <= 0.001
    assert (
        sum(
            int(counts[total]) for total in range(len(counts)) if wilson(total / 1000, 1000, quantile(0.001))[0] > 0.001
        )
        > 200
    )
    assert chernoff(0.0, 10, 0.05) == 0.0
    assert 0.7 < chernoff(1.0, 10, 0.05) < 1.0
