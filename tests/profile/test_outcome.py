"""Predictions against labels: how often they differ, and whether scores mean what they say."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.losses import Loss
from streamguard.profile.outcome import Calibration, Outcome
from streamguard.profile.writing import judged
from tests.profile.helpers import JSON, merged

Row = tuple[Any, Any, Any]


def add(outcome: Outcome, rows: list[Row]) -> None:
    """Rows of prediction, label and score."""
    outcome.add(*[[row[place] for row in rows] for place in range(3)])


def outcome(rows: list[Row], positive: Any = None) -> Outcome:
    """Of these rows."""
    found = Outcome(positive)
    add(found, rows)
    return found


def test_good_scores_have_a_small_error() -> None:
    """Labels drawn by the scores themselves."""
    chance = np.random.default_rng(1)
    scores = chance.random(100_000)
    found = Calibration()
    found.add(scores, chance.random(100_000) < scores)

    assert found.error is not None
    assert found.error < 0.01


def test_bins_are_of_five_percent() -> None:
    """The last one holds 1 as well."""
    found = Calibration()
    found.add(np.array([0.0, 0.049, 0.05, 0.95, 1.0]), np.array([False, False, True, True, False]))
    assert (found.counts.nonzero()[0].tolist(), found.hits.tolist()[19]) == ([0, 1, 19], 1)


def test_classes_are_judged_by_what_is_taken_for_what() -> None:
    """In numbers, with the labels' own kinds."""
    found = judged(outcome([("yes", "no", 0.8), ("no", "no", 0.1), ("no", 1, 0.1), (None, "no", 0.1)], "yes"), 1)

    assert (found.labelled, found.unlabelled, found.incomparable) == (3, 1, 1)
    assert found.mismatch_rate == pytest.approx(2 / 3)
    assert [(each.label, each.prediction, each.count) for each in found.confusion] == [
        ("no", "no", 1),
        ("no", "yes", 1),
        (1, "no", 1),
    ]
    # Of labels that are numbers nobody knows whether they are the class "yes".
    assert found.calibration is not None
    assert found.calibration.count == 2
    assert found.losses["brier"] == pytest.approx((0.8**2 + 0.1**2) / 2)


def test_measures_are_judged_by_their_distance() -> None:
    """Pairs of numbers with fractions are no classes."""
    found = judged(outcome([(1.5, 2.5, None), (2.0, 2.5, None)]), 1)

    assert found.losses == {"absolute": 0.75, "squared": 0.625}
    assert (found.confusion, found.calibration) == ([], None)


def test_true_and_one_are_two_labels() -> None:
    """As they are in the checks."""
    found = outcome([(True, 1, None), (1, 1, None)])
    assert (found.mismatches, found.incomparable, len(found.pairs.counts)) == (1, 1, 2)


def test_rare_pairs_are_not_named() -> None:
    """A label is of the data."""
    assert judged(outcome([("a", "b", None)]), 2).confusion == []


def test_scores_that_are_none_are_not_judged() -> None:
    """Above 1, NaN, true, text."""
    found = outcome([(1, 1, each) for each in (1.1, float("nan"), True, "0.5", None)])
    assert found.calibration.error is None


@given(st.lists(st.tuples(JSON, JSON, st.one_of(JSON, st.floats(0, 1)))))
def test_neither_order_nor_cuts_matter(rows: list[Row]) -> None:
    """Any rows; up to 256 kinds of pairs."""
    found, whole = merged(lambda: Outcome(None), add, rows), outcome(rows)

    assert judged(found, 1) == judged(whole, 1)
    assert found.labelled + found.unlabelled == len(rows)
    assert all(found.sums[kind].units == whole.sums[kind].units for kind in Loss if kind in found.sums)
