import math
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.losses import LOSS_MAX, Loss, Needs, is_binary, is_bounded, losses, suits
from streamguard.core.records import Scalar

SCALARS: st.SearchStrategy[Scalar] = st.one_of(
    st.sampled_from(["1", "a", 0, 1, 0.0, 1.0, True, False]),
    st.text(max_size=3),
    st.integers(),
    st.floats(),
    st.booleans(),
)


def kind_of(value: Scalar | None) -> str:
    """Name the JSON kind of a value, one at a time."""
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else "text" if isinstance(value, str) else "none"


@pytest.mark.parametrize(
    ("prediction", "label", "value", "comparable"),
    [
        ("cat", "cat", 0.0, True),
        ("cat", "dog", 1.0, True),
        (1, 1.0, 0.0, True),
        (1, 2, 1.0, True),
        (True, True, 0.0, True),
        (True, False, 1.0, True),
        (1, "1", 1.0, False),
        (True, 1, 1.0, False),
        (0.0, False, 1.0, False),
        ("true", True, 1.0, False),
        (None, "cat", 1.0, False),
    ],
)
def test_mismatch_compares_by_type(prediction: Scalar | None, label: Scalar, value: float, *, comparable: bool) -> None:
    """JSON keeps text, numbers and true/false apart, and Python's True == 1 must not slip through."""
    values, mask = losses(Loss.MISMATCH, [prediction], [label])
    assert (values[0], mask[0]) == (value, comparable)


def test_subclasses_are_of_the_kind_they_inherit() -> None:
    """Callers from Python hand in NumPy's floats and enums of text."""
    values, mask = losses(Loss.MISMATCH, [np.float64(1), Loss.BRIER], [1, "brier"])
    assert (values.tolist(), mask.tolist()) == ([0.0, 0.0], [True, True])


def test_a_missing_prediction_is_never_comparable() -> None:
    """A column of nothing but None has one kind, yet no loss."""
    values, mask = losses(Loss.MISMATCH, [None, None], ["a", "b"])
    assert (values.tolist(), mask.tolist()) == ([1.0, 1.0], [False, False])
    both_missing: list[Any] = [None]
    assert not losses(Loss.MISMATCH, both_missing, both_missing)[1].any()


def test_distances_are_in_units_of_the_label() -> None:
    """Absolute and squared loss are what their names say, and true/false is no number."""
    predictions: list[Scalar] = [3, 5.0, "5", True, float("nan")]
    labels: list[Scalar] = [1, 2.5, 5, 1, 1.0]
    values, mask = losses(Loss.ABSOLUTE, predictions, labels)
    assert values.tolist() == [2.0, 2.5, 0.0, 0.0, 0.0]
    assert mask.tolist() == [True, True, False, False, False]
    assert losses(Loss.SQUARED, predictions, labels)[0].tolist() == [4.0, 6.25, 0.0, 0.0, 0.0]


def test_a_distance_beyond_measure_is_the_largest_loss() -> None:
    """Huge finite numbers must not overflow to infinity, nor look like no error."""
    values, mask = losses(Loss.SQUARED, [1e200, sys.float_info.max], [0, -sys.float_info.max])
    assert values.tolist() == [LOSS_MAX, LOSS_MAX]
    assert mask.all()


def test_an_integer_too_large_for_a_float_spoils_only_itself() -> None:
    """JSON has integers of any length; one of them must not cost the batch its losses."""
    values, mask = losses(Loss.ABSOLUTE, [10**400, 3], [0, 1])
    assert (values.tolist(), mask.tolist()) == ([0.0, 2.0], [False, True])


def test_scores_are_judged_against_the_positive_class() -> None:
    """The score is the probability of the positive class, by default 1 or true."""
    values, mask = losses(Loss.BRIER, [None] * 4, [1, 0, True, "yes"], [0.9, 0.9, 0.5, 0.5])
    assert values == pytest.approx([0.01, 0.81, 0.25, 0.0])
    assert mask.tolist() == [True, True, True, False]
    values, mask = losses(Loss.BRIER, [None] * 3, ["yes", "no", 1], [0.9, 0.9, 0.9], positive="yes")
    assert values == pytest.approx([0.01, 0.81, 0.0])
    assert mask.tolist() == [True, True, False]


def test_log_loss_is_in_nats_and_clipped() -> None:
    """A certain score that is wrong is a large loss, not an infinite one."""
    values, mask = losses(Loss.LOG_LOSS, [None] * 4, [1, 0, 1, 0], [0.5, 0.25, 0.0, 1.0])
    assert values[:2] == pytest.approx([math.log(2), -math.log(0.75)])
    assert values[2:] == pytest.approx([-math.log(1e-15)] * 2, rel=1e-3)
    assert mask.all()


@pytest.mark.parametrize("kind", [Loss.LOG_LOSS, Loss.BRIER])
@pytest.mark.parametrize("score", [float("nan"), float("inf"), -0.01, 1.01, None, "0.5", True])
def test_what_is_no_probability_is_not_comparable(kind: Loss, score: float) -> None:
    """A score outside [0, 1] has no loss, and must not become one."""
    values, mask = losses(kind, [None], [1], [score])
    assert (values.tolist(), mask.tolist()) == ([0.0], [False])


@pytest.mark.parametrize("kind", [Loss.LOG_LOSS, Loss.BRIER])
def test_without_scores_nothing_is_comparable(kind: Loss) -> None:
    """A config that asks for a score loss on a topic without scores shows in the mask."""
    values, mask = losses(kind, ["a", "b"], [1, 0])
    assert (values.tolist(), mask.tolist()) == ([0.0, 0.0], [False, False])


@pytest.mark.parametrize("kind", list(Loss))
def test_columns_of_unequal_length_are_refused(kind: Loss) -> None:
    """A silent broadcast would compare predictions with labels of other records."""
    with pytest.raises(ValueError, match=r"2 (predictions|scores) for 1 labels|shorter|longer"):
        losses(kind, [1, 2], [1], [0.5, 0.5])


@pytest.mark.parametrize("kind", list(Loss))
def test_no_record_is_no_loss(kind: Loss) -> None:
    """An empty poll is an ordinary one."""
    values, mask = losses(kind, [], [], [])
    assert (values.shape, mask.shape) == ((0,), (0,))


@given(st.sampled_from(list(Loss)), st.lists(st.tuples(st.none() | SCALARS, SCALARS, st.none() | st.floats())))
def test_no_loss_is_ever_nan_or_infinite(kind: Loss, rows: list[tuple[Scalar | None, Scalar, float | None]]) -> None:
    """One NaN blinds a detector for good, so none leaves here, whatever came in."""
    predictions, labels, scores = ([row[i] for row in rows] for i in range(3))
    values, mask = losses(kind, predictions, labels, scores)  # type: ignore[arg-type] # None is tried on purpose
    assert np.isfinite(values).all()
    assert ((values >= 0) & (values <= LOSS_MAX)).all()
    assert len(values) == len(mask) == len(rows)
    if is_binary(kind):
        assert set(values.tolist()) <= {0.0, 1.0}
    if is_bounded(kind):
        assert (values <= 1).all()


@given(st.lists(st.tuples(st.none() | SCALARS, SCALARS)))
def test_mismatch_equals_its_definition_pair_by_pair(rows: list[tuple[Scalar | None, Scalar]]) -> None:
    """The fast path over columns is the definition, whatever kinds a column mixes."""
    values, mask = losses(Loss.MISMATCH, [row[0] for row in rows], [row[1] for row in rows])
    same_kind = [kind_of(prediction) == kind_of(label) for prediction, label in rows]
    differ = [not same or row[0] != row[1] for same, row in zip(same_kind, rows, strict=True)]
    assert mask.tolist() == same_kind
    assert values.tolist() == [float(d) for d in differ]


def test_each_detector_may_watch_only_what_it_is_defined_for() -> None:
    """A bound for losses in [0, 1] says nothing of a squared error in euros."""
    assert {kind for kind in Loss if suits(kind, Needs.ANY)} == set(Loss)
    assert {kind for kind in Loss if suits(kind, Needs.BOUNDED)} == {Loss.MISMATCH, Loss.BRIER}
    assert {kind for kind in Loss if suits(kind, Needs.BINARY)} == {Loss.MISMATCH}
