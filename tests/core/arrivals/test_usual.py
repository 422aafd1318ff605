"""What is usual at an hour of the week, and how far counts wander."""

import math

import numpy as np
import orjson
import pytest

from streamguard.core.arrivals.usual import DAY_SLOTS, HOUR_SLOTS, LENGTHS, UNKNOWN, Block, Usual

WEEK_SLOTS = 7 * DAY_SLOTS
MONDAY = 4 * DAY_SLOTS + 3000 * WEEK_SLOTS


def fed(counts: list[int], *, days: int = 14, is_seasonal: bool = True, first: int = MONDAY) -> Usual:
    """After these slots."""
    usual = Usual(days, is_seasonal=is_seasonal)
    usual.next = first
    for count in counts:
        usual.add(count)
    return usual


def by_hour(slots: int, first: int = MONDAY) -> list[int]:
    """A count for each hour of the week, the same in all weeks: 100 at the beginning of Monday, one more an hour."""
    return [100 + (first + number - 4 * DAY_SLOTS) // HOUR_SLOTS % 168 for number in range(slots)]


def test_it_is_learnt_after_the_baseline_and_two_days() -> None:
    """Before that nothing is judged."""
    size = 16 * DAY_SLOTS
    assert not fed([1] * (size - 1)).is_learnt
    assert fed([1] * size).is_learnt


@pytest.mark.parametrize("length", LENGTHS)
def test_what_is_expected_is_of_the_same_hour_of_the_week(length: int) -> None:
    """Weeks that are alike expect the same of the next."""
    counts = by_hour(3 * WEEK_SLOTS + 77)
    block = fed(counts).block(length)
    assert block is not None
    assert block.came == sum(counts[-length:])
    assert block.expected == pytest.approx(block.came)


def test_without_seasons_all_hours_are_alike() -> None:
    """The mean is over all."""
    block = fed([0, 20] * (8 * DAY_SLOTS), days=7, is_seasonal=False).block(12)
    assert block is not None
    assert block.expected == pytest.approx(120)


def test_what_was_forgotten_is_not_usual() -> None:
    """Nor is what is unknown."""
    counts = [10] * (16 * DAY_SLOTS)
    usual = fed(counts)
    usual.forget((usual.next or 0) - 5)
    assert usual.block(3) is None
    for _ in range(3):
        usual.add(UNKNOWN)
    assert usual.block(3) is None
    assert usual.block(3, [1, 2, 3]) is not None
    for _ in range(3):
        usual.add(10)
    block = usual.block(3)
    assert block is not None
    assert block.came == 30
    assert block.expected == pytest.approx(30)


def test_what_was_cleared_is_learnt_anew() -> None:
    """As if there had been nothing."""
    usual = fed([10] * (16 * DAY_SLOTS))
    usual.clear()
    assert not usual.is_learnt
    assert usual.block(1) is None


def test_a_slot_needs_one_before_it() -> None:
    """A slot that is none cannot be counted."""
    with pytest.raises(ValueError, match="no slot is next"):
        Usual(14, is_seasonal=True).add(1)


@pytest.mark.parametrize("is_seasonal", [True, False])
def test_one_from_a_snapshot_knows_the_same(*, is_seasonal: bool) -> None:
    """Wherever in the hour it was taken."""
    rng = np.random.default_rng(3)
    counts = rng.poisson(by_hour(20 * DAY_SLOTS + 5)).tolist()
    usual = fed(counts, is_seasonal=is_seasonal)
    for count in rng.poisson(30, 3 * HOUR_SLOTS).tolist():
        other = Usual(14, is_seasonal=is_seasonal, state=orjson.loads(orjson.dumps(usual.snapshot())))
        for length in LENGTHS:
            assert other.block(length) == usual.block(length)
            assert other.block(length, [1] * length) == usual.block(length, [1] * length)
        usual.add(count)


def test_less_is_more_of_a_surprise() -> None:
    """And more than is expected is none; what wanders far surprises less."""
    surprises = [Block(came, 100.0, 1.0).surprise for came in range(120)]
    assert surprises == sorted(surprises, reverse=True)
    assert surprises[0] == pytest.approx(100, rel=1e-3)
    assert surprises[100:] == [0.0] * 20
    assert Block(0, 100.0, 5.0).surprise < Block(0, 100.0, 2.0).surprise < surprises[0]
    assert Block(0, 100.0, math.inf).surprise == 0


def test_the_bound_is_one() -> None:
    """Counts of independent records are as few no oftener than it says."""
    rng = np.random.default_rng(5)
    came = rng.poisson(20, 200_000)
    for few in (5, 8, 12):
        assert np.mean(came <= few) <= math.exp(-Block(few, 20.0, 1.0).surprise)
