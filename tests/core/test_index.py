"""The hash table against a dict."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.index import NONE, Hashes, Index, Same

BATCHES = st.lists(st.lists(st.integers(0, 60), max_size=30), max_size=8)


class Owner:
    """Texts by slot, here numbers, and the dict that the table must agree with; few hashes make texts collide."""

    def __init__(self, hash_count: int) -> None:
        self.index = Index()
        self.known: dict[int, int] = {}
        """The slot of each text."""
        self.slot_count = 0
        self.rebuild_count = 0
        self._hash_count = hash_count
        self._text_of: dict[int, int] = {}

    def hashes(self, texts: Sequence[int]) -> Hashes:
        """Downwards from the largest that there is: looking for a place goes on from the table's end to its start."""
        return np.array([(1 << 32) - 1 - text % self._hash_count for text in texts], np.uint32)

    def same(self, texts: Sequence[int]) -> Same:
        """Whether rows have the texts of slots; a forgotten slot has none."""

        def is_same(rows: Any, slots: Any) -> Any:
            pairs = zip(rows.tolist(), slots.tolist(), strict=True)
            return np.array([self._text_of.get(slot) == texts[row] for row, slot in pairs], np.bool_)

        return is_same

    def find(self, texts: Sequence[int]) -> list[int]:
        """What the table knows of texts."""
        return self.index.find(self.hashes(texts), self.same(texts)).tolist()  # type: ignore[no-any-return]

    def claim(self, texts: Sequence[int]) -> list[int]:
        """The heads of texts, in slots of their own; the dict learns the same."""
        if not self.index.has_room(len(texts)):
            self.rebuild(len(texts))
        slots = np.arange(self.slot_count, self.slot_count + len(texts), dtype=np.int32)
        self.slot_count += len(texts)
        self._text_of.update(zip(slots.tolist(), texts, strict=True))
        heads: list[int] = self.index.claim(slots, self.hashes(texts), self.same(texts)).tolist()
        assert heads == [self.known.setdefault(text, slot) for text, slot in zip(texts, slots.tolist(), strict=True)]
        return heads

    def forget(self, texts: Sequence[int]) -> None:
        """These are no longer known; the table is not told."""
        for text in texts:
            self._text_of.pop(self.known.pop(text, NONE), None)

    def rebuild(self, count: int) -> None:
        """Hold only what is known."""
        slots = np.array(list(self.known.values()), np.int32)
        self.index.rebuild(slots, self.hashes(list(self.known)), count)
        self.rebuild_count += 1

    def check(self, texts: Sequence[int]) -> None:
        """The table agrees with the dict, all asked at once, and each by itself."""
        expected = [self.known.get(text, NONE) for text in texts]
        assert self.find(texts) == expected
        assert [self.find([text])[0] for text in texts[:20]] == expected[:20]


@given(BATCHES, st.sampled_from([1, 2, 7, 1000]), st.data())
def test_it_agrees_with_a_dict(batches: list[list[int]], hash_count: int, data: st.DataObject) -> None:
    """Texts repeated within a batch, texts with one hash, texts that were forgotten and come again."""
    owner = Owner(hash_count)
    for texts in batches:
        owner.claim(texts)
        owner.forget(data.draw(st.lists(st.integers(0, 60), max_size=5)))
        if data.draw(st.booleans()):
            owner.rebuild(data.draw(st.sampled_from([0, 1, 3000])))
        owner.check(range(70))


def test_of_several_rows_with_one_text_the_first_claims() -> None:
    """Whatever else has the same hash."""
    for hash_count in (1, 1000):
        assert Owner(hash_count).claim([5, 6, 5, 7, 6, 5]) == [0, 1, 0, 3, 1, 0]


def test_a_text_known_before_keeps_its_slot() -> None:
    """Only new ones get their own."""
    owner = Owner(1)
    owner.claim([1, 2])
    assert owner.claim([3, 2, 1, 4]) == [2, 1, 0, 5]
    assert owner.find([1, 2, 3, 4, 5]) == [0, 1, 2, 5, NONE]


@pytest.mark.parametrize("hash_count", [50, 1 << 32])
def test_it_grows_and_is_cleared_of_what_was_forgotten(hash_count: int) -> None:
    """Thousands of texts, in batches of all sizes, most of them forgotten again."""
    chance = random.Random(hash_count)  # noqa: S311 - tests must repeat
    owner = Owner(hash_count)
    text_count = 1_500 if hash_count == 50 else 20_000
    for _ in range(20):
        owner.claim([chance.randrange(text_count) for _ in range(chance.choice([1, 10, text_count // 4]))])
        owner.forget(chance.sample(range(text_count), text_count // 10))
        owner.check(chance.sample(range(text_count), 500))
    assert owner.rebuild_count >= 3
    owner.check(range(text_count))


def test_there_is_room_until_two_thirds_are_filled() -> None:
    """Places of forgotten texts are filled too, until the next rebuild; that makes as much room as it is asked for."""
    owner = Owner(1 << 32)
    assert owner.index.has_room(600)
    assert not owner.index.has_room(700)
    owner.claim(range(600))
    owner.forget(range(590))
    assert not owner.index.has_room(100)
    owner.rebuild(100)
    assert owner.index.has_room(600)
    owner.rebuild(100_000)
    assert owner.index.has_room(100_000)
    owner.check(range(600))


def test_nothing_asked_is_nothing_found() -> None:
    """A batch may be empty."""
    owner = Owner(1)
    assert owner.find([]) == owner.claim([]) == []
    owner.rebuild(0)
    owner.check([1])
