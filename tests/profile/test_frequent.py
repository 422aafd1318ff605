"""Frequent values: exact while there are few, and bounded beyond."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from streamguard.profile.frequent import Frequent
from tests.profile.helpers import merged


def test_a_heavy_hitter_is_found_among_100_000_values() -> None:
    """What is more frequent than the error is always kept."""
    frequent = Frequent(64)
    for first in range(0, 100_000, 5000):
        frequent.add({f"c{number}": 1 for number in range(first, first + 5000)} | {"often": 500})

    ((value, count),) = frequent.ranked(1000)
    assert value == "often"
    assert count <= 10_000 <= count + frequent.error
    assert len(frequent.counts) <= 64


def test_numbers_and_texts_are_told_apart() -> None:
    """1 and "1" are two values, and stand in one order."""
    frequent = Frequent(4)
    frequent.add({1: 2})
    frequent.add({"1": 2, "b": 3})
    assert frequent.ranked(2) == [("b", 3), (1, 2), ("1", 2)]


def test_an_error_is_handed_on() -> None:
    """Who takes over counts takes over how wrong they may be."""
    part, whole = Frequent(2), Frequent(2)
    part.add({"a": 5, "b": 3, "c": 1})
    whole.merge(part)
    assert (whole.counts, whole.error, whole.total) == ({"a": 4, "b": 2}, 1, 9)


@given(st.lists(st.sampled_from("abcdefgh")))
def test_few_values_are_exact(values: list[str]) -> None:
    """In any order and cut."""
    found = merged(lambda: Frequent(8), lambda part, some: part.add(Counter(some)), values)
    assert (found.counts, found.error, found.total) == (Counter(values), 0, len(values))


@given(st.lists(st.integers(0, 30), max_size=300))
def test_counts_are_within_their_error(values: list[int]) -> None:
    """However they were cut: each true count is between what is said and that plus the error."""
    found = merged(lambda: Frequent(5), lambda part, some: part.add(Counter(some)), values)

    assert found.total == len(values)
    assert len(found.counts) <= 5
    assert found.error <= len(values) / 6
    for value, count in Counter(values).items():
        assert found.counts.get(value, 0) <= count <= found.counts.get(value, 0) + found.error
