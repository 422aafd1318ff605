"""One feature: each kind of value is counted, and nothing that data hold ends in a crash."""

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.profile.feature import Feature, Kinds, Limits
from streamguard.profile.writing import described
from tests.profile.helpers import JSON, merged

WIDE = Limits(categories=10_000, patterns=10_000)


def feature(values: list[Any], limits: Limits = WIDE, *, is_text: bool = False) -> Feature:
    """Of these values."""
    found = Feature(limits, is_text=is_text)
    found.add(values)
    return found


def test_true_and_one_are_two_things() -> None:
    """A column that turns from booleans into 0 and 1 has changed."""
    found = feature([True, False, 1, 0, 1])

    assert found.kinds == Kinds(true=1, false=1, integer=3)
    assert found.categories.ranked(1) == [(1, 2), (0, 1)]
    assert found.numbers.count == 3
    assert found.distinct_count == (4, True)


def test_every_kind_of_value_is_counted() -> None:
    """A column may change its type at any row."""
    found = feature([None, True, 1, 1.5, float("nan"), float("inf"), -float("inf"), "a", [1], {}, {"a": 1}])

    assert found.kinds == Kinds(null=1, true=1, integer=1, number=1, nan=1, infinite=2, text=1, list=1, object=2)
    assert (found.numbers.count, found.numbers.high) == (2, 1.5)


def test_whole_numbers_beyond_floats_are_named() -> None:
    """Rounded to the nearest float64, and if there is none, in no figure but this."""
    found = feature([1 << 53, (1 << 53) - 1, -(1 << 60), 10**400])

    assert (found.kinds.integer, found.beyond_exact, found.numbers.count, found.long) == (4, 3, 3, 1)


def test_only_nulls() -> None:
    """Everything that can be said of nothing."""
    found = described(feature([None] * 5), 7, 1)

    assert (found.missing, found.missing_rate, found.distinct, found.kinds) == (7, 1.0, 0, {"null": 5})
    assert (found.numbers, found.booleans, found.categories, found.length, found.text) == (None,) * 5


def test_only_infinities_are_no_numbers() -> None:
    """They are counted, and are in no range."""
    found = described(feature([float("inf")] * 3), 3, 1)
    assert (found.missing, found.kinds, found.numbers) == (0, {"infinite": 3}, None)


def test_long_and_unsayable_texts_are_no_categories() -> None:
    """A text of 10 MB is not repeated, and a lone surrogate cannot be."""
    found = feature(["a" * 64, "a" * 65, "\ud800", "x" * 10_000_000])

    assert found.categories.ranked(1) == [("a" * 64, 1)]
    assert (found.long, found.unpaired, found.longest) == (2, 1, 10_000_000)
    assert found.distinct_count == (4, False)


def test_rare_values_are_not_named() -> None:
    """Nine rows are too few to be told of."""
    found = described(feature(["often"] * 10 + ["rare9"] * 9), 19, 10)

    assert found.categories is not None
    assert [(each.value, each.count) for each in found.categories.values] == [("often", 10)]
    assert found.categories.other == 9
    assert found.patterns is not None
    assert [each.pattern for each in found.patterns] == ["a"]


def test_100_000_categories_are_bounded() -> None:
    """The frequent one is found, and about how many there are."""
    found = Feature(Limits())
    for first in range(0, 100_000, 10_000):
        found.add([f"c{number}" for number in range(first, first + 10_000)] + ["often"] * 1000)
    told = described(found, 110_000, 10)

    assert told.categories is not None
    assert [each.value for each in told.categories.values] == ["often"]
    assert told.categories.error > 0
    assert told.distinct == pytest.approx(100_001, rel=0.1)
    assert not told.distinct_is_exact


def test_twenty_features_and_a_text_fit_into_200_kb() -> None:
    """So many are held for each segment of a stream."""
    chance = np.random.default_rng(1)
    found = [feature(chance.normal(0, 1, 20_000).tolist(), Limits(categories=32, patterns=8)) for _ in range(16)]
    texts = [[f"{'category'}{number}" for number in chance.integers(0, 1000, 20_000)] for _ in range(4)]
    found += [feature(each, Limits(categories=32, patterns=8)) for each in texts]
    found.append(feature(texts[0], Limits(categories=32, patterns=8), is_text=True))

    assert len(pickle.dumps(found)) < 200_000


def told(found: Feature) -> object:
    """All that a profile says."""
    return described(found, 1000, 1).model_dump()


@given(st.lists(JSON, max_size=40))
def test_neither_order_nor_cuts_matter(values: list[Any]) -> None:
    """Any values, as long as all categories are kept."""
    assert told(merged(lambda: Feature(WIDE), Feature.add, values)) == told(feature(values))


@given(st.lists(JSON, max_size=40))
def test_neither_order_nor_cuts_matter_to_a_text_field(values: list[Any]) -> None:
    """With the filter of its words."""
    limits = Limits(has_filter=True)
    found = merged(lambda: Feature(limits, is_text=True), Feature.add, values)

    assert told(found) == told(feature(values, limits, is_text=True))


@given(st.lists(JSON, max_size=40))
def test_every_value_is_counted_once(values: list[Any]) -> None:
    """Whatever it is."""
    assert feature(values, Limits()).kinds.count == len(values)
