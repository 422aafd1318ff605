import random
from array import array
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from streamguard.check import CheckInputError, DriftResult, check_drift
from streamguard.errors import ConfigError


class Series:
    """What check_drift needs of a pandas or polars Series."""

    def __init__(self, values: Any) -> None:
        """Hold an array."""
        self._values = np.asarray(values)

    def to_numpy(self) -> Any:
        """Return the array, as both libraries do."""
        return self._values


class Tensor:
    """What check_drift needs of a tensor: NumPy's own protocol."""

    def __init__(self, values: Any) -> None:
        """Hold a list."""
        self._values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        """Return the values as an array."""
        return np.array(self._values, dtype=dtype)


def result(mismatches: int, count: int, threshold: float) -> DriftResult:
    """Check `count` pairs of which this many differ."""
    return check_drift(["a"] * count, ["b"] * mismatches + ["a"] * (count - mismatches), threshold=threshold)


def test_drift_is_more_than_is_tolerated() -> None:
    """Exactly the threshold is still tolerated."""
    assert not result(160, 2000, 8).drifted
    assert result(161, 2000, 8).drifted
    assert not result(162, 2000, 8.1).drifted


def test_the_result_says_how_many_and_how_sure() -> None:
    """A share without its count and uncertainty is not evidence."""
    found = result(182, 2000, 8)
    assert (found.mismatches, found.count, found.threshold) == (182, 2000, 8)
    assert found.mismatch_percent == pytest.approx(9.1)
    assert found.interval == pytest.approx((7.92, 10.44), abs=0.01)


def test_a_result_reads_as_one_sentence() -> None:
    """The first thing a newcomer sees is an answer."""
    assert str(result(182, 2000, 8)) == (
        "Drift: 9.1% of 2,000 predictions differ from their labels (95% interval 7.9% to 10.4%), "
        "above the threshold of 8%."
    )
    assert str(result(112, 2000, 8.5)) == (
        "No drift: 5.6% of 2,000 predictions differ from their labels (95% interval 4.7% to 6.7%), "
        "within the threshold of 8.5%."
    )


def test_the_sentence_shows_on_which_side_the_share_lies() -> None:
    """8.0% above a threshold of 8% would read as a mistake."""
    assert "Drift: 8.01% of 10,000" in str(result(801, 10_000, 8))


def test_more_confidence_is_a_wider_interval() -> None:
    """The confidence asked for is the one applied, and named."""
    found = check_drift([1, 2, 3, 4], [1, 2, 3, 5], threshold=50, confidence=0.99)
    usual = check_drift([1, 2, 3, 4], [1, 2, 3, 5], threshold=50)
    assert found.interval[0] < usual.interval[0] < usual.interval[1] < found.interval[1]
    assert "99% interval" in str(found)


def generator() -> Iterator[int]:
    """Yield what can be read once only."""
    yield from (1, 0, 1, 1)


@pytest.mark.parametrize(
    "predictions",
    [
        [1, 0, 1, 1],
        (1.0, 0.0, 1.0, 1.0),
        np.array([1, 0, 1, 1]),
        np.array([1, 0, 1, 1], dtype=np.float32),
        np.array([1, 0, 1, 1], dtype=object),
        [np.int64(1), np.float32(0), 1, 1.0],
        Series([1, 0, 1, 1]),
        Tensor([1, 0, 1, 1]),
        array("i", [1, 0, 1, 1]),
        generator(),
    ],
)
def test_any_array_of_numbers_will_do(predictions: Any) -> None:
    """Predictions come from NumPy, pandas, torch or a list, and numbers are one type."""
    assert check_drift(predictions, [1, 0, 0, 1], threshold=30).mismatches == 1


@pytest.mark.parametrize(
    ("predictions", "labels"),
    [
        (["a", "b"], np.array(["a", "c"])),
        ([True, False], np.array([True, True])),
        ([np.str_("a"), "b"], ["a", "c"]),
        ([np.True_, False], [True, True]),
    ],
)
def test_text_and_booleans_compare_across_containers(predictions: Any, labels: Any) -> None:
    """NumPy's own scalars are the Python values they stand for."""
    assert check_drift(predictions, labels, threshold=60).mismatches == 1


@pytest.mark.parametrize(
    ("predictions", "labels", "message"),
    [
        ([1, 2], [1], "2 predictions for 1 labels"),
        ([], [], "predictions is empty"),
        ([1, float("nan")], [1, 2], r"predictions\[1\] is nan"),
        ([1, 2], np.array([1, np.inf]), r"labels\[1\] is inf"),
        ([1, np.float32("nan")], [1, 2], r"predictions\[1\] is nan"),
        (np.ones((2, 1)), [1, 2], r"predictions has shape \(2, 1\)"),
        (np.float64(1), [1], r"shape \(\)|float64"),
        ([[1], [2]], [1, 2], r"predictions\[0\] is a list"),
        ([1, None], [1, 2], r"predictions\[1\] is missing \(None\)"),
        (["a", b"b"], ["a", "b"], r"predictions\[1\] is a bytes"),
        (np.array(["2020-01-01"], dtype="M8[ns]"), [1], r"predictions\[0\] is a datetime64"),
        (np.array([1], dtype="m8[ns]"), [1], r"predictions\[0\] is a timedelta64"),
        ("ab", ["a", "b"], "predictions is a str"),
        ({"a": 1}, ["a"], "predictions is a dict"),
        ({"a"}, ["a"], "predictions is a set"),
        (7, [7], "predictions is a int"),
        ([1j], [1], r"predictions\[0\] is a complex"),
    ],
)
def test_what_cannot_be_compared_is_named(predictions: Any, labels: Any, message: str) -> None:
    """The message says which column and where, so that it is mended in one go."""
    with pytest.raises(CheckInputError, match=message):
        check_drift(predictions, labels, threshold=8)


@pytest.mark.parametrize(
    ("predictions", "labels", "mend"),
    [
        ([1, 2], ["1", "2"], r"\[int\(x\) for x in labels\]"),
        ([True, False], [1, 0], r"\[bool\(x\) for x in labels\]"),
        (["1", "2"], [1.0, 2.0], r"\[str\(x\) for x in labels\]"),
    ],
)
def test_types_that_never_agree_are_no_drift(predictions: Any, labels: Any, mend: str) -> None:
    """100 % drift would send the reader to the model, where the export is to blame."""
    with pytest.raises(CheckInputError, match=mend):
        check_drift(predictions, labels, threshold=8)


@pytest.mark.parametrize("threshold", [0, -1, 100.1, float("nan")])
def test_a_threshold_is_a_percentage(threshold: float) -> None:
    """What is no percentage is refused, with what was given."""
    with pytest.raises(CheckInputError, match="threshold must be a percentage"):
        check_drift([1], [1], threshold=threshold)


@pytest.mark.parametrize("confidence", [0, 1, 95, float("nan")])
def test_a_confidence_is_a_fraction(confidence: float) -> None:
    """95 for 0.95 is a likely slip."""
    with pytest.raises(CheckInputError, match="confidence must lie between 0 and 1"):
        check_drift([1], [1], threshold=8, confidence=confidence)


def test_the_error_is_both_ours_and_pythons() -> None:
    """A script catches ValueError, and the command line ConfigError with its exit code."""
    assert issubclass(CheckInputError, ValueError)
    assert issubclass(CheckInputError, ConfigError)
    assert CheckInputError.exit_code == 2


def test_the_order_of_the_pairs_does_not_matter() -> None:
    """It is a check over all pairs at once, not over a window of them."""
    pairs = [(i % 7, i % 7 if i % 10 else 9) for i in range(3_000)]
    found = check_drift(*zip(*pairs, strict=True), threshold=9)
    random.Random(1).shuffle(pairs)  # noqa: S311 - an order, no secret
    assert check_drift(*zip(*pairs, strict=True), threshold=9) == found
    assert found.mismatches == 300
