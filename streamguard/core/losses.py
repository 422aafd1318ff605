"""Losses: how far each prediction is from its label, as a column of finite numbers.

Values compare by type: text, number (int and float are one) and true/false. JSON keeps them apart, and so do
we, since a label topic that turned `1` into `"1"` overnight is a broken contract and not a worse model.
"""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from streamguard.core.records import Scalar

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

LOSS_MAX = 1e100
"""Larger losses count as this one: its square, summed over any stream, is still finite."""

# A score of exactly 0 or 1 that turns out wrong costs 34.5 instead of infinity (as in scikit-learn).
_PROBABILITY_MIN = 1e-15


class Loss(StrEnum):
    """What a prediction costs, given its label.

    `mismatch` is 1 where they differ, else 0. `absolute` and `squared` are in the unit of the label, and that
    unit squared. `log_loss` (nats) and `brier` judge a score: the probability given to the positive class.

    Source for `brier`: Brier, "Verification of forecasts expressed in terms of probability", 1950.
    """

    MISMATCH = "mismatch"
    ABSOLUTE = "absolute"
    SQUARED = "squared"
    LOG_LOSS = "log_loss"
    BRIER = "brier"


class Needs(StrEnum):
    """Which losses a detector is defined for: any number, numbers in [0, 1], or only 0 and 1."""

    ANY = "any"
    BOUNDED = "bounded"
    BINARY = "binary"


def is_binary(kind: Loss) -> bool:
    """Whether each value is 0 or 1."""
    return kind is Loss.MISMATCH


def is_bounded(kind: Loss) -> bool:
    """Whether each value lies in [0, 1]."""
    return kind in (Loss.MISMATCH, Loss.BRIER)


def suits(kind: Loss, needs: Needs) -> bool:
    """Whether a detector with these needs may watch this loss."""
    return needs is Needs.ANY or (is_binary(kind) if needs is Needs.BINARY else is_bounded(kind))


def losses(
    kind: Loss,
    predictions: Sequence[Scalar | None],
    labels: Sequence[Scalar],
    scores: Sequence[float] | None = None,
    positive: Scalar | None = None,
) -> tuple[Floats, Mask]:
    """Return the losses, and a mask that is False where no loss is defined; all columns are of equal length.

    Where the mask is False, a mismatch is 1 (the values do differ) and any other loss is 0. No value is NaN
    or infinite. `scores` and `positive` (default: 1 or true) matter to `log_loss` and `brier` alone.

    >>> values, comparable = losses(Loss.MISMATCH, ["a", "b", 1], ["a", "c", "1"])
    >>> values.tolist(), comparable.tolist()
    ([0.0, 1.0, 1.0], [True, True, False])
    """
    if kind is Loss.MISMATCH:
        return _mismatch(predictions, labels)
    if kind in (Loss.ABSOLUTE, Loss.SQUARED):
        return _distance(_numbers(predictions), _numbers(labels), squared=kind is Loss.SQUARED)
    given = np.full(len(labels), np.nan) if scores is None else _numbers(scores)
    return _scored(given, *_is_positive(labels, positive), logarithmic=kind is Loss.LOG_LOSS)


class _Kinds(dict[type, str]):
    """The JSON kind of a Python type; types met for the first time are looked up by inheritance."""

    def __missing__(self, value_type: type) -> str:
        for base in (int, float, str):  # nothing inherits from bool
            if issubclass(value_type, base):
                return self[base]
        return "none"


_KIND = _Kinds({str: "text", bool: "boolean", int: "number", float: "number"})


def _kinds(values: Sequence[Scalar | None]) -> set[str]:
    return {_KIND[value_type] for value_type in set(map(type, values))}


def _mismatch(predictions: Sequence[Scalar | None], labels: Sequence[Scalar]) -> tuple[Floats, Mask]:
    pairs = zip(predictions, labels, strict=True)
    values = np.array([prediction != label for prediction, label in pairs], dtype=np.float64)
    kinds = _kinds(predictions) | _kinds(labels)
    if len(kinds) <= 1 and "none" not in kinds:
        return values, np.ones(len(values), dtype=np.bool_)
    pairs = zip(predictions, labels, strict=True)
    same_kind = [_KIND[type(prediction)] == _KIND[type(label)] != "none" for prediction, label in pairs]
    comparable = np.array(same_kind, dtype=np.bool_)
    # In Python True == 1; here they are of two kinds, and so differ.
    values[~comparable] = 1.0
    return values, comparable


def _numbers(values: Sequence[Scalar | None]) -> Floats:
    """Return the values as floats, with NaN for whatever is not a number or too large to be a float."""
    if _kinds(values) <= {"number"}:
        try:
            return np.array(values, dtype=np.float64)
        except OverflowError:
            pass  # an int beyond 1e308: one by one, so that it spoils its own place only
    return np.array([_number(value) for value in values], dtype=np.float64)


def _number(value: Scalar | None) -> float:
    if _KIND[type(value)] != "number":
        return np.nan
    try:
        return float(value)  # type: ignore[arg-type] # a number, by the line above
    except OverflowError:
        return np.nan


def _distance(predictions: Floats, labels: Floats, *, squared: bool) -> tuple[Floats, Mask]:
    if predictions.shape != labels.shape:
        raise ValueError(f"{len(predictions)} predictions for {len(labels)} labels")
    comparable = np.isfinite(predictions) & np.isfinite(labels)
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.abs(predictions - labels)
        values = np.minimum(values * values if squared else values, LOSS_MAX)
    values[~comparable] = 0.0
    return values, comparable


def _is_positive(labels: Sequence[Scalar], positive: Scalar | None) -> tuple[Mask, Mask]:
    """Return which labels are the positive class, and which are of a kind that can be compared with it."""
    accepted = {"number", "boolean"} if positive is None else {_KIND[type(positive)]}
    target = 1 if positive is None else positive
    known = np.array([_KIND[type(label)] in accepted for label in labels], dtype=np.bool_)
    return known & np.array([label == target for label in labels], dtype=np.bool_), known


def _scored(scores: Floats, hit: Mask, known: Mask, *, logarithmic: bool) -> tuple[Floats, Mask]:
    if scores.shape != hit.shape:
        raise ValueError(f"{len(scores)} scores for {len(hit)} labels")
    comparable = known & (scores >= 0.0) & (scores <= 1.0)
    scores = np.where(comparable, scores, 0.5)
    if logarithmic:
        scores = np.clip(scores, _PROBABILITY_MIN, 1.0 - _PROBABILITY_MIN)
        values = -np.where(hit, np.log(scores), np.log1p(-scores))
    else:
        values = np.square(scores - hit)
    return np.where(comparable, values, 0.0), comparable
