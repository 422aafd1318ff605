"""Running text: what its characters are, and which words it knows."""

import pickle
import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.features.traits import RATES
from streamguard.profile.patterns import shape
from streamguard.profile.texts import Texts
from streamguard.reference.hashing import hashes_of_texts
from streamguard.reference.vocabulary import WordFilter, Words, words_of
from tests.profile.helpers import WORDS, merged


def texts(given: list[str], *, is_kept: bool = False) -> Texts:
    """Of these texts."""
    found = Texts(is_kept=is_kept)
    found.add(given)
    return found


def state(found: Texts) -> bytes:
    """All that is held, but for the numbers of lengths, which have tests of their own."""
    rates = [(rate.characters, rate.texts, rate.bins.tolist()) for rate in found.rates.values()]
    words = found.words
    held = [words.count, words.buckets.tolist(), words.distinct.registers.tolist()]
    return pickle.dumps([found.count, found.empty, found.characters, rates, held, found.lengths.log.by_key()])


def expected(text: str) -> dict[str, int]:
    """Characters of each kind, one by one."""
    return {
        "upper": sum(each.isupper() for each in text),
        "digits": sum(each.isdigit() for each in text),
        "punctuation": sum(each.isascii() and unicodedata.category(each)[0] in "PS" for each in text),
        "non_ascii": sum(not each.isascii() for each in text),
        "whitespace_runs": sum(a.isspace() and b.isspace() for a, b in pairwise(text)),
    }


def test_rates_are_of_characters_and_of_texts() -> None:
    """How much of all is in capitals, and how many texts have one."""
    found = texts(["ABC", "abc", "aBc", "", "A"])
    upper = found.rates["upper"]

    assert (upper.characters, upper.texts, found.characters, found.empty) == (5, 3, 10, 1)
    # None, a third, and all of two texts.
    assert {place: count for place, count in enumerate(upper.bins.tolist()) if count} == {0: 1, 11: 1, 33: 2}


def test_a_run_of_white_space_ends_with_its_text() -> None:
    """The next one's first character follows nothing."""
    assert texts(["a ", " b", "\t\n c"]).rates["whitespace_runs"].characters == 2


def test_a_text_of_ten_million_characters_is_one_text() -> None:
    """Slow, perhaps, but no other."""
    found = texts(["text A1 " * 1_250_000, "y"])

    assert (found.count, found.characters, found.words.count) == (2, 10_000_001, 2_500_001)
    assert found.rates["digits"].characters == 1_250_000
    assert found.words.distinct.estimate() == 3


def test_lone_surrogates_are_characters() -> None:
    """They are not ASCII, and crash nothing."""
    assert texts(["\ud800x", "\U0001f600"]).rates["non_ascii"].characters == 2


def test_a_filter_knows_its_words_and_few_others() -> None:
    """It never forgets one; how often it is wrong, it says."""
    words = Words(is_kept=True)
    words.add(" ".join(f"word{number}" for number in range(first, first + 1000)) for first in range(0, 50_000, 1000))
    assert words.filter is not None
    others = hashes_of_texts(f"other{number}" for number in range(20_000))

    assert words.filter.knows(hashes_of_texts(f"word{number}" for number in range(50_000))).all()
    assert words.filter.knows(others).mean() == pytest.approx(words.filter.mistaken, abs=0.005)
    assert words.filter.mistaken < 0.03


def test_a_filter_is_read_as_it_was_written() -> None:
    """As text; what is none is refused."""
    words = WordFilter()
    words.add(hashes_of_texts(["a"]))

    assert WordFilter.decoded(words.encoded()).encoded() == words.encoded()
    with pytest.raises(ValueError, match="has 3 bytes, and must have 65536"):
        WordFilter.decoded("AAAA")
    with pytest.raises(ValueError, match="is no base64"):
        WordFilter.decoded("*")


def test_words_keep_their_capitals() -> None:
    """A step that made all small letters and was skipped must be seen."""
    assert words_of(["Über-uns 3x, Über"]) == {"Über": 2, "uns": 1, "3x": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AB-1234", "A-9"),
        ("", ""),
        ("a\0b", "a\0a"),
        ("Ärger٣", "Aa9"),
        ("-" * 41, "-" * 40 + "…"),
        ("x" * 1_000_000, "a…"),
    ],
)
def test_shapes_are_what_texts_look_like(text: str, expected: str) -> None:
    """Runs are one, and long ones are cut."""
    assert shape(text) == expected


@given(st.lists(st.one_of(WORDS, st.text(st.characters(max_codepoint=0x2FFF), max_size=8))))
def test_characters_are_counted_as_one_by_one(given: list[str]) -> None:
    """By arrays or by a loop."""
    found = texts(given)
    for name in RATES:
        assert found.rates[name].characters == sum(expected(text)[name] for text in given)


@given(st.lists(WORDS, min_size=1))
def test_neither_order_nor_cuts_matter(given: list[str]) -> None:
    """Merges are exact."""
    found = merged(lambda: Texts(is_kept=True), Texts.add, given)
    whole = texts(given, is_kept=True)

    assert state(found) == state(whole)
    assert found.words.filter is not None
    assert whole.words.filter is not None
    assert np.array_equal(found.words.filter.is_set, whole.words.filter.is_set)
