"""What is usual in a stream of losses."""

from itertools import pairwise

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from streamguard.core.baseline import Baseline, Learnt, hours_of_week, quanta

HOUR_MS = 3_600_000
WEEK_MS = 168 * HOUR_MS

Floats = NDArray[np.float64]


def chain(rng: np.random.Generator, count: int, rate: float, correlation: float) -> Floats:
    """Losses of 0 and 1, each with this chance the one before it again."""
    fresh, is_copy = rng.random(count) < rate, rng.random(count) < correlation
    is_copy[0] = False
    return fresh[np.maximum.accumulate(np.where(is_copy, 0, np.arange(count)))].astype(np.float64)


def learnt(losses: Floats, *, chance: float = 0.01, over_ms: int = WEEK_MS, seasonal: bool = False) -> Learnt:
    """What a baseline of just these losses says, evenly over a week."""
    baseline = Baseline(seasonal=seasonal)
    baseline.add(np.arange(len(losses)) * over_ms // len(losses), quanta(losses))
    return baseline.learnt(chance)


def test_pieces_and_restarts_change_nothing() -> None:
    """Sums are of integers, so that the last bit is the same in whatever pieces losses come."""
    rng = np.random.default_rng(2)
    losses, times = rng.beta(1, 9, 5000), np.sort(rng.integers(0, 2 * WEEK_MS, 5000))
    whole = Baseline(seasonal=True)
    whole.add(times, quanta(losses))
    pieces = Baseline(seasonal=True)
    for start, end in pairwise([0, *np.sort(rng.integers(1, 5000, 200)).tolist(), 5000]):
        if end > start:
            pieces.add(times[start:end], quanta(losses[start:end]))
        pieces = Baseline.restored(orjson.loads(orjson.dumps(pieces.snapshot())), seasonal=True)
    assert pieces.snapshot() == whole.snapshot()
    assert pieces.learnt(0.1) == whole.learnt(0.1)


def test_the_bound_holds_as_often_as_it_says() -> None:
    """Of independent and of dependent losses: the true rate is above it about once in twenty."""
    rng = np.random.default_rng(3)
    for correlation in (0.0, 0.3):
        wrong = [learnt(chain(rng, 4000, 0.1, correlation), chance=0.05).upper < 0.1 for _ in range(200)]
        assert 0.01 <= np.mean(wrong) <= 0.09


def test_independent_losses_are_blocks_of_their_own() -> None:
    """Nearly always; and they are worth as many as they are."""
    rng = np.random.default_rng(4)
    found = [learnt((rng.random(5000) < 0.1).astype(np.float64)) for _ in range(50)]
    assert sum(each.block == 1 for each in found) >= 48
    assert all(each.doubt is None for each in found)
    assert 0.95 < np.mean([each.design for each in found]) < 1.15


@pytest.mark.parametrize(
    ("correlation", "blocks", "worth"), [(0.2, {2, 4, 8, 16}, 1.5), (0.5, {4, 8, 16, 32, 64}, 3.0)]
)
def test_runs_of_mistakes_make_longer_blocks(correlation: float, blocks: set[int], worth: float) -> None:
    """And such losses say less: by (1 + c) / (1 - c) for a chain of correlation c."""
    rng = np.random.default_rng(5)
    found = [learnt(chain(rng, 20_000, 0.1, correlation)) for _ in range(30)]
    assert {each.block for each in found} <= blocks
    assert np.mean([each.design for each in found]) == pytest.approx(worth, rel=0.15)
    assert all(each.doubt is None for each in found)


def test_runs_too_long_for_the_baseline_are_told() -> None:
    """Blocks that are long enough would be too few."""
    found = learnt(chain(np.random.default_rng(6), 4000, 0.1, 0.99))
    assert found.doubt == "mistakes come in runs as long as blocks can be in this baseline: make it longer"


def test_few_outcomes_are_told() -> None:
    """A hundred make no three sizes of blocks."""
    assert learnt(np.zeros(100)).doubt == "the baseline has only 100 outcomes"


def test_a_rate_that_moves_is_told() -> None:
    """A daily swing from 5% to 15% is not one rate, and neither is a step."""
    rng = np.random.default_rng(7)
    hours = np.arange(50_000) * 168 / 50_000
    swing = (rng.random(50_000) < 0.1 + 0.05 * np.sin(hours / 24 * 2 * np.pi)).astype(np.float64)
    step = (rng.random(50_000) < np.where(hours < 84, 0.08, 0.12)).astype(np.float64)
    for losses in (swing, step):
        assert learnt(losses).doubt == "the rate was not constant over the baseline (a season?)"
        # Of neighbours a slow rate is the same: that is no dependence.
        assert learnt(losses).block == 1


def test_each_hour_of_the_week_has_a_bound() -> None:
    """It follows the swing, and lies above nearly everywhere."""
    rng = np.random.default_rng(8)
    times = np.arange(200_000) * 2 * WEEK_MS // 200_000
    rates = 0.1 + 0.05 * np.sin(times / (24 * HOUR_MS) * 2 * np.pi)
    baseline = Baseline(seasonal=True)
    baseline.add(times, quanta((rng.random(200_000) < rates).astype(np.float64)))
    found = baseline.learnt(0.01)
    assert found.doubt is None
    assert found.season is not None
    bounds = np.array(found.season) / 16384
    true = np.bincount(hours_of_week(times), rates) / np.bincount(hours_of_week(times))
    assert (bounds > true).mean() > 0.95
    assert np.abs(bounds - true).max() < 0.04


def test_hours_without_outcomes_are_told() -> None:
    """Nothing is known of them."""
    losses = np.zeros(5000)
    assert learnt(losses, over_ms=WEEK_MS // 2, seasonal=True).doubt == (
        "the baseline has no outcome in some hour of the week"
    )


def test_an_hour_that_is_unlike_its_neighbours_stands_for_itself() -> None:
    """A job at night that is wrong in 40% of an hour would be smoothed away."""
    rng = np.random.default_rng(9)
    times = np.arange(100_000) * 2 * WEEK_MS // 100_000
    rates = np.where(hours_of_week(times) % 24 == 3, 0.4, 0.05)
    baseline = Baseline(seasonal=True)
    baseline.add(times, quanta((rng.random(100_000) < rates).astype(np.float64)))
    season = baseline.learnt(0.01).season
    assert season is not None
    bounds = np.array(season).reshape(7, 24) / 16384
    assert (bounds[:, 3] > 0.4).all()
    assert (bounds[:, 8:] < 0.12).all()


def test_a_long_baseline_of_large_losses_can_be_kept() -> None:
    """Its squares outgrow 64 bits."""
    baseline = Baseline(seasonal=False)
    ones = np.full(3_000_000, 16384)
    for _ in range(8):
        baseline.add(np.zeros(3_000_000, np.int64), ones)
    assert baseline.scales[12].squares == (24_000_000 // 4096) * (4096 * 16384) ** 2
    state = orjson.loads(orjson.dumps(baseline.snapshot()))
    assert Baseline.restored(state, seasonal=False) == baseline


def test_the_week_begins_on_monday() -> None:
    """2026-01-05 was one."""
    monday_ms = 1_767_571_200_000
    assert hours_of_week(np.array([monday_ms - 1, monday_ms, monday_ms + 25 * HOUR_MS])).tolist() == [167, 0, 25]


def test_losses_that_never_vary_can_be_learnt() -> None:
    """No mistake at all, or always the same loss: a bound above it, and nothing divided by zero."""
    for loss in (0.0, 0.25, 1.0):
        found = learnt(np.full(5000, loss))
        assert found.rate == loss
        assert found.lower <= loss <= found.upper
