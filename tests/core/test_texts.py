"""Texts as arrays do what lists of strings do."""

import random

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.texts import PADDING, Texts, padded

ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
# Of the lengths about a word, and of one length; they begin alike, so that the last byte decides.
ALIKE = st.builds(lambda size, last: "a" * size + last, st.integers(0, 18), st.sampled_from(["", "a", "b", "\0", "é"]))
LISTS = st.lists(ANY | ALIKE, max_size=12) | st.lists(st.text("ab\0", min_size=8, max_size=8), max_size=12)


def scattered(texts: list[str], seed: int) -> Texts:
    """The same texts in another order and with other bytes between them; the last ends where the padding begins."""
    chance = random.Random(seed)  # noqa: S311 - tests must repeat
    order = chance.sample(range(len(texts)), len(texts))
    data, starts = b"", [0] * len(texts)
    for place in order:
        data += chance.randbytes(chance.randrange(4))
        starts[place] = len(data)
        data += texts[place].encode()
    sizes = [len(text.encode()) for text in texts]
    padding = chance.randbytes(PADDING)
    return Texts(np.frombuffer(data + padding, np.uint8), np.array(starts, np.int64), np.array(sizes, np.int64))


@given(LISTS, st.integers(0, 99))
def test_they_are_the_strings_they_were_made_of(texts: list[str], seed: int) -> None:
    """Wherever they stand in their bytes."""
    for found in (Texts.of(texts), scattered(texts, seed)):
        assert len(found) == len(texts)
        assert found.tolist() == texts
        assert [found[place] for place in range(len(texts))] == texts
        assert found.joined().tobytes() == "".join(texts).encode()


@given(LISTS, st.integers(0, 99), st.data())
def test_those_selected_are_those_of_the_list(texts: list[str], seed: int, data: st.DataObject) -> None:
    """By slice, by mask, and by place, also several times and in another order."""
    found = scattered(texts, seed)
    part = data.draw(st.slices(len(texts)))
    mask = data.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts)))
    places = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=9)) if texts else []
    assert found.take(part).tolist() == texts[part]
    assert found.take(np.array(mask, np.bool_)).tolist() == [
        text for text, is_in in zip(texts, mask, strict=True) if is_in
    ]
    assert found.take(np.array(places, np.intp)).tolist() == [texts[place] for place in places]


@given(st.lists(LISTS, min_size=1, max_size=4), st.integers(0, 99))
def test_concatenated_they_are_the_lists_concatenated(parts: list[list[str]], seed: int) -> None:
    """Only the bytes that are used are taken along."""
    found = Texts.concatenate([scattered(part, seed) for part in parts])
    assert found.tolist() == [text for part in parts for text in part]
    assert len(found.data) == sum(len(text.encode()) for part in parts for text in part) + PADDING


@given(LISTS, st.integers(0, 99))
def test_as_json_they_are_what_orjson_makes_of_the_strings(texts: list[str], seed: int) -> None:
    """Quotes, backslashes and control characters are escaped, nothing else."""
    assert scattered(texts, seed).as_json() == orjson.dumps(texts)


@pytest.mark.parametrize("code", range(256))
def test_every_character_is_escaped_as_orjson_does(code: int) -> None:
    """Texts of one length are not written by orjson: that way knows itself what must be escaped."""
    texts = [f"a{chr(code)}b", f"{chr(code)}ab"]
    assert Texts.of(texts).as_json() == orjson.dumps(texts)


@given(LISTS, LISTS, st.integers(0, 99))
def test_equal_texts_have_equal_hashes(texts: list[str], others: list[str], seed: int) -> None:
    """Wherever they stand, whatever the batch around them and whatever bytes follow."""
    alone = [int(Texts.of([text]).hashes()[0]) for text in texts]
    assert Texts.of(texts).hashes().tolist() == alone
    assert scattered(texts, seed).hashes().tolist() == alone
    assert scattered(others + texts, seed).hashes().tolist()[len(others) :] == alone


def test_hashes_of_different_texts_hardly_collide() -> None:
    """Of usual IDs, counted up or random, of one byte more or with one bit changed: the table's places are hashes."""
    chance = random.Random(1)  # noqa: S311 - tests must repeat
    for texts in (
        [f"r{number}" for number in range(20_000)],
        [f"{number:024x}" for number in range(20_000)],
        [f"{number << 40:x}-suffix" for number in range(20_000)],
        ["a" * size for size in range(2000)],
        ["\0" * size for size in range(2000)],
        [f"{chance.getrandbits(128):032x}" for _ in range(20_000)],
    ):
        hashes = Texts.of(texts).hashes()
        # By chance it would be n * n / 2**33: none or one.
        assert len(set(hashes.tolist())) >= len(texts) - 4
        # In the lowest bits too, which alone count: as many places of 32,768 as by chance, give or take.
        by_chance = 32_768 * (1 - np.exp(-len(texts) / 32_768))
        assert len(set((hashes & 32_767).tolist())) > 0.97 * by_chance


@given(st.lists(st.tuples(ANY | ALIKE, ANY | ALIKE), max_size=12), st.integers(0, 99), st.data())
def test_they_are_equal_where_the_strings_are(pairs: list[tuple[str, str]], seed: int, data: st.DataObject) -> None:
    """Also where sizes differ, where one is the beginning of the other, and at the very end of the bytes."""
    is_same = data.draw(st.lists(st.booleans(), min_size=len(pairs), max_size=len(pairs)))
    mine = [one for one, _ in pairs]
    others = [one if same else other for (one, other), same in zip(pairs, is_same, strict=True)]
    expected = [one == other for one, other in zip(mine, others, strict=True)]
    assert scattered(mine, seed).equal(scattered(others, seed + 1)).tolist() == expected
    assert scattered(others, seed).equal(scattered(mine, seed + 1)).tolist() == expected


@given(st.text("ab", max_size=20), st.text("ab", max_size=20))
def test_bytes_beyond_the_end_are_not_read_as_text(one: str, other: str) -> None:
    """Both stand last in their bytes, with nothing but padding behind."""
    assert Texts.of([one]).equal(Texts.of([other])).tolist() == [one == other]
    behind = padded(np.frombuffer((one + other).encode(), np.uint8))
    starts, sizes = np.array([0, len(one)]), np.array([len(one), len(other)])
    both = Texts(behind, starts, sizes)
    assert both.tolist() == [one, other]
    assert both.take(slice(0, 1)).equal(both.take(slice(1, 2))).tolist() == [one == other]


def test_a_seed_changes_every_hash() -> None:
    """Texts that share a place in a table do not under another seed: who does not know it cannot choose such."""
    texts = Texts.of([f"req-{number}" for number in range(200_000)])
    plain, seeded = texts.hashes(), texts.hashes(-12345)
    together = seeded[plain % 4096 == plain[0] % 4096] % 4096
    assert len(together) > 20
    assert len(np.unique(together)) > len(together) / 2
    assert texts.hashes(-12345).tolist() == seeded.tolist()
