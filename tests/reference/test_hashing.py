"""Hashes and the number of distinct values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.reference.hashing import Distinct, hashes_of_numbers, hashes_of_texts
from tests.profile.helpers import merged


@pytest.mark.parametrize("count", [0, 1, 2, 10, 1000, 100_000])
def test_distinct_values_are_about_right(count: int) -> None:
    """Within three standard errors."""
    numbers, texts = Distinct(), Distinct()
    values = np.arange(count) * 1.5
    numbers.add(hashes_of_numbers(np.concatenate([values, values])))
    texts.add(hashes_of_texts(f"c{number}" for number in range(count)))

    for each in (numbers, texts):
        assert each.estimate() == pytest.approx(count, rel=0.1)


def test_hashes_are_the_same_everywhere() -> None:
    """A filter that was written on one machine is asked on another."""
    assert hashes_of_texts(["word", "\ud800"]).tolist() == [10776770685243991114, 7497787021708494914]
    assert hashes_of_numbers(np.array([0.0, -0.0])).tolist() == [16294208416658607535] * 2


def test_full_registers_are_counted() -> None:
    """A hash whose last bits are all zero is as rare as it gets."""
    distinct = Distinct(4)
    distinct.add(np.arange(16, dtype=np.uint64) << np.uint64(60))
    assert distinct.estimate() == 1 << 64


def test_a_full_register_among_others_weighs_little() -> None:
    """One hash of a kind that is not to be expected before the year is out."""
    distinct, plain = Distinct(), Distinct()
    hashes = hashes_of_texts(map(str, range(10_000)))
    distinct.add(np.append(hashes, np.uint64(0)))
    plain.add(hashes)
    assert plain.estimate() <= distinct.estimate() <= 1.001 * plain.estimate()


@given(st.lists(st.text(max_size=3)))
def test_order_does_not_matter(texts: list[str]) -> None:
    """Merges are exact."""
    whole = Distinct()
    whole.add(hashes_of_texts(texts))
    found = merged(Distinct, lambda part, some: part.add(hashes_of_texts(some)), texts)

    assert found.registers.tolist() == whole.registers.tolist()
