"""What texts are made of: by tables and sums, and one character at a time."""

import tracemalloc
import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.features.traits import RATES, traits_of

# Of several planes, and of those that are looked up as bytes; runs of white space, and texts longer than a piece.
CHARACTERS = st.sampled_from("abAB 09.Äß\t\n\x1c\xa0²٣Ⅷ\u2003\u3000\ud800\0\U0001d7d8\U0001d400😀")
TEXTS = st.one_of(
    st.text(CHARACTERS, max_size=12),
    st.text(max_size=8),
    st.builds(lambda text, times: text * times, st.text(CHARACTERS, min_size=1, max_size=5), st.integers(800, 5000)),
)


def expected(text: str) -> dict[str, int]:
    """Characters of each kind, one by one."""
    basic = [each for each in text if ord(each) < 0x10000]
    return {
        "upper": sum(each.isupper() for each in basic),
        "digits": sum(each.isdigit() for each in basic),
        "punctuation": sum(each.isascii() and unicodedata.category(each)[0] in "PS" for each in text),
        "non_ascii": sum(not each.isascii() for each in text),
        "whitespace_runs": sum(a.isspace() and b.isspace() for a, b in pairwise(text)),
    }


def rows(texts: list[str]) -> list[dict[str, int]]:
    """Of each text, as from the array."""
    traits = traits_of(texts)
    assert traits.lengths.tolist() == [len(each) for each in texts]
    assert all(each.dtype == np.int64 and each.shape == (len(texts),) for each in traits.counts.values())
    assert list(traits.counts) == list(RATES)
    return [{name: int(traits.counts[name][place]) for name in RATES} for place in range(len(texts))]


@given(st.lists(TEXTS, max_size=20))
def test_counts_are_those_of_a_loop(texts: list[str]) -> None:
    """Whatever is next to what in a batch."""
    assert rows(texts) == [expected(each) for each in texts]


def test_every_character_is_counted_as_itself() -> None:
    """All of the basic plane, alone and in pairs, and some of each other plane."""
    texts = [chr(code) * 2 for code in (*range(0x10000), *range(0x10000, 0x110000, 251))]
    assert rows(texts) == [expected(each) for each in texts]


def test_all_counts_of_a_piece_fit() -> None:
    """One more would be carried into the next count."""
    for text in ("A", "1", "!", " ", "é", "É", "—"):
        for length in (4095, 4096, 15_000, 15_001, 100_000):
            assert rows(["x", text * length, "X"])[1] == expected(text * length)


def test_many_texts_are_counted_in_parts() -> None:
    """Where one begins, nothing of the last is left; empty ones are anywhere."""
    texts = [" A  1"[: number % 6] for number in range(30_000)]
    assert rows(texts) == [expected(each) for each in texts]


@pytest.mark.parametrize("character", ["a", "ß", "—", "😀", "\ud800"])
def test_ten_megabytes_take_little_memory(character: str) -> None:
    """Next to the text itself, and as one text or as many."""
    text = f"A {character}" * 3_333_333
    many = [f"A {character}" * 33] * 10_000
    traits_of([text[:100]])
    tracemalloc.start()
    counts = traits_of([text]).counts
    of_many = traits_of(many).counts
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert counts["upper"].tolist() == [3_333_333]
    assert of_many["upper"].sum() == 330_000
    assert most < 4 << 20
