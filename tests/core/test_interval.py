import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.threshold import interval


def test_wilsons_interval_is_the_published_one() -> None:
    """Newcombe (1998) gives these for 81 of 263, 15 of 148 and 1 of 29, at 95 %."""
    assert interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)
    assert interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.floats(0.01, 0.999))
def test_the_interval_holds_the_rate_and_stays_within_0_and_1(a: int, b: int, confidence: float) -> None:
    """A share without the share observed in its interval would be nonsense on an alert."""
    wrong, count = min(a, b), max(a, b)
    low, high = interval(wrong, count, confidence)
    assert 0 <= low <= high <= 1
    if count:
        assert low <= wrong / count <= high
    else:
        assert (low, high) == (0, 1)


@pytest.mark.parametrize(("wrong", "count", "confidence"), [(2, 1, 0.95), (-1, 1, 0.95), (0, 1, 0.0), (0, 1, 1.0)])
def test_an_impossible_interval_is_refused(wrong: int, count: int, confidence: float) -> None:
    """More mismatches than outcomes, or certainty, are mistakes of the caller."""
    with pytest.raises(ValueError, match=r"mismatches of|between 0 and 1"):
        interval(wrong, count, confidence)
