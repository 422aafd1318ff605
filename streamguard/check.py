"""The five-minute check: whether a model's predictions have drifted from the labels, over two arrays."""

import math
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamguard.core.losses import Loss, losses
from streamguard.core.records import Scalar
from streamguard.core.threshold import interval, is_above
from streamguard.errors import ConfigError

# Dates and durations are left out: in nanoseconds, `item()` would turn them into bare integers.
_NUMPY = np.bool_ | np.integer | np.floating | np.str_


class CheckInputError(ConfigError, ValueError):
    """What was given to `check_drift` cannot be compared: says where, and how to mend it."""


@dataclass(frozen=True, slots=True)
class DriftResult:
    """How many predictions differ from their labels, and whether that is more than is tolerated."""

    drifted: bool
    """Whether `mismatch_percent` is above `threshold`."""
    mismatch_percent: float
    interval: tuple[float, float]
    """Where the true percentage lies with the confidence asked for: low, high."""
    mismatches: int
    count: int
    threshold: float
    """The tolerated percentage."""
    confidence: float

    def __str__(self) -> str:
        decimals = self._decimals()
        share, low, high = (f"{x:.{decimals}f}%" for x in (self.mismatch_percent, *self.interval))
        verdict, place = ("Drift", "above") if self.drifted else ("No drift", "within")
        return (
            f"{verdict}: {share} of {self.count:,} predictions differ from their labels "
            f"({100 * self.confidence:g}% interval {low} to {high}), "
            f"{place} the threshold of {self.threshold:g}%."
        )

    def _decimals(self) -> int:
        """One, or as many as it takes to see on which side of the threshold the share lies; at most six."""
        return next((n for n in range(1, 6) if (round(self.mismatch_percent, n) > self.threshold) == self.drifted), 6)


def check_drift(
    predictions: Iterable[Any], labels: Iterable[Any], *, threshold: float, confidence: float = 0.95
) -> DriftResult:
    """Compare predictions with labels, pair by pair; drift is more than `threshold` percent that differ.

    Takes lists, tuples, NumPy arrays, pandas and polars Series, or other iterables, of text, numbers or
    true/false. These three are never equal to each other: `1` is neither `"1"` nor `True`. The interval is
    Wilson's, at `confidence`, for pairs that are independent of each other.

    Raises CheckInputError, a ValueError, for columns of unequal length, empty or not flat; for a value that
    is missing, NaN, infinite or no scalar; and where the types of predictions and labels never agree.

    >>> result = check_drift(["cat", "dog"] * 50, ["cat", "cat", "cat", "dog"] * 25, threshold=8)
    >>> result.drifted, result.mismatch_percent, result.mismatches
    (True, 25.0, 25)
    """
    if not 0 < threshold <= 100:
        raise CheckInputError(f"threshold must be a percentage above 0 and up to 100, got {threshold!r}")
    if not 0 < confidence < 1:
        raise CheckInputError(f"confidence must lie between 0 and 1, got {confidence!r}")
    predicted, actual = _column("predictions", predictions), _column("labels", labels)
    if len(predicted) != len(actual):
        raise CheckInputError(f"{len(predicted)} predictions for {len(actual)} labels: give one label each")
    values, comparable = losses(Loss.MISMATCH, predicted, actual)
    if not comparable.any():
        raise CheckInputError(_never_agree(predicted[0], actual[0]))
    mismatches, count = int(values.sum()), len(values)
    low, high = interval(mismatches, count, confidence)
    return DriftResult(
        drifted=is_above(mismatches, count, threshold),
        mismatch_percent=100 * mismatches / count,
        interval=(100 * low, 100 * high),
        mismatches=mismatches,
        count=count,
        threshold=threshold,
        confidence=confidence,
    )


def _column(name: str, given: Iterable[Any]) -> list[Scalar]:
    """Return the values as plain Python scalars."""
    if isinstance(given, str | bytes | Mapping | AbstractSet):
        raise CheckInputError(f"{name} is a {type(given).__name__}: give a list or an array, in order")
    values = _unpacked(name, given)
    if not values:
        raise CheckInputError(f"{name} is empty")
    if any(issubclass(kind, np.generic) for kind in set(map(type, values))):
        values = [
            value.item() if isinstance(value, _NUMPY) and not isinstance(value, np.timedelta64) else value
            for value in values
        ]
    for kind in set(map(type, values)):
        if not issubclass(kind, str | int | float):
            index = next(i for i, value in enumerate(values) if type(value) is kind)
            raise CheckInputError(_no_scalar(name, index, values[index]))
        if issubclass(kind, float):
            index = next((i for i, v in enumerate(values) if type(v) is kind and not math.isfinite(v)), -1)
            if index >= 0:
                raise CheckInputError(f"{name}[{index}] is {values[index]}: leave out pairs without a value")
    return values


def _unpacked(name: str, given: Iterable[Any]) -> list[Any]:
    if hasattr(given, "to_numpy"):
        given = given.to_numpy()
    elif hasattr(given, "__array__"):
        given = np.asarray(given)
    if isinstance(given, np.ndarray):
        if given.ndim != 1:
            raise CheckInputError(f"{name} has shape {given.shape}: give one value each, such as .ravel() or [:, 0]")
        # Dates and the like would turn into bare integers: leave them what they are, to be named below.
        values: list[Any] = list(given) if given.dtype.kind in "mM" else given.tolist()
        return values
    if not isinstance(given, Iterable):
        raise CheckInputError(f"{name} is a {type(given).__name__}: give a list or an array")
    return list(given)


def _no_scalar(name: str, index: int, value: object) -> str:
    if value is None or type(value).__name__ == "NAType":
        return f"{name}[{index}] is missing ({value!r}): leave out pairs without a value"
    return f"{name}[{index}] is a {type(value).__name__}: give text, numbers or true/false, one value each"


def _never_agree(prediction: Scalar, label: Scalar) -> str:
    return (
        f"predictions such as {prediction!r} ({type(prediction).__name__}) and labels such as {label!r} "
        f"({type(label).__name__}) are never of the same type: convert one side, "
        f"such as [{type(prediction).__name__}(x) for x in labels]"
    )
