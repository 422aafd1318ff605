"""Records on a disk: found by their IDs, brought back once, forgotten by pane."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.codec import Columns
from streamguard.core.cold import Cold
from streamguard.core.frozen import Frozen, Thawing
from streamguard.core.locator import SEGMENTS_MAX, Locator
from streamguard.core.texts import Texts
from streamguard.core.waiting import HEAD, HELD, OPEN
from tests.laws.disk import MemoryDisk


def frozen(ids: list[str], times: list[int] | None = None, value: object = "x") -> Frozen:
    """Waiting records, the offset of each ten times its place."""
    texts, count = Texts.of(ids), len(ids)
    values, routes = np.full(count, value, object), np.empty(count, object)
    routes[:] = [((0, ("a", None)),)] * count
    columns = Columns(
        np.arange(count) * 10, np.array(times or [0] * count), texts, values, np.arange(count) / 7, routes
    )
    return Frozen(columns, texts.hashes(), np.full(count, OPEN | HEAD | HELD))


def rows(parts: list[Frozen]) -> list[tuple[Any, ...]]:
    """All that records say, in the order of their offsets."""
    found: list[tuple[Any, ...]] = []
    for part in parts:
        columns = part.columns
        assert columns.scores is not None
        assert columns.routes is not None
        lists = (columns.offsets, columns.times, columns.scores, columns.values, columns.routes, part.hashes)
        found += zip(columns.ids.tolist(), *(each.tolist() for each in lists), part.flags.tolist(), strict=True)
    return sorted(found, key=lambda row: row[1])


def cold() -> Cold:
    """With panes of ten milliseconds."""
    return Cold(MemoryDisk(), Thawing(with_scores=True), pane_ms=10)


def take(of: Cold, ids: list[str]) -> list[Frozen]:
    """What is found of these IDs."""
    texts = Texts.of(ids)
    return list(of.take(texts, texts.hashes()))


@pytest.mark.parametrize("value", ["x", "ü\u2028", "", 1, 1.0, True, -0.0, 0.1, (1 << 64) - 1, -(1 << 63)])
def test_what_comes_back_is_what_went(value: object) -> None:
    """To the type: 1, 1.0 and true are different answers of a model."""
    records = frozen([f"r{number}" for number in range(100)], value=value)
    found = Thawing(with_scores=True).thaw(records.encode(np.arange(0, 100, 7)))

    assert rows([found]) == rows([records])
    assert {repr(each) for each in found.columns.values.tolist()} == {repr(value)}


def test_values_of_other_types_are_kept_apart() -> None:
    """Though they are equal, and one follows the other."""
    records = frozen(["a", "b", "c"])
    records.columns.values[:] = [1, True, 1.0]
    found = Thawing(with_scores=True).thaw(records.encode(np.array([0])))
    assert [repr(value) for value in found.columns.values.tolist()] == ["1", "True", "1.0"]


def test_a_record_comes_back_once() -> None:
    """Asked for twice at once, it is there once; and then it is cold no more."""
    found = cold()
    records = frozen([f"r{number}" for number in range(1000)])
    found.put(records)

    assert rows(take(found, ["r7", "no", "r7", "r999"])) == rows([records.take(np.array([7, 999]))])
    assert take(found, ["r7", "r999"]) == []


def test_a_record_that_went_again_is_found_as_it_went_last() -> None:
    """Its former row is still on the disk, in a pane of which others are remembered."""
    found = cold()
    found.put(frozen(["a", "b"]))
    (back,) = take(found, ["a"])
    back.flags[:] = HEAD | HELD
    found.put(back)
    (again,) = take(found, ["a"])
    assert again.flags.tolist() == [HEAD | HELD]


def test_waiting_records_come_back_by_pane() -> None:
    """Those that wait, of the panes that are due, from all segments."""
    found = cold()
    first, second = frozen(["a", "b", "c"], [5, 15, 6]), frozen(["d", "e"], [9, 25])
    first.flags[2] = HEAD | HELD
    found.put(first)
    found.put(second)

    back = [each for part in found.take_waiting({0, 2}) for each in part.columns.ids.tolist()]
    assert sorted(back) == ["a", "d", "e"]
    assert found.waiting_panes == {1: 1}
    assert list(found.take_waiting({0, 2})) == []


def test_what_is_forgotten_is_not_found() -> None:
    """Also while its segment has other panes; with the last of them the segment goes."""
    found = cold()
    found.put(frozen(["a", "b", "c"], [5, 15, 6]))
    assert found.drop({0}) == 2
    assert take(found, ["a", "c"]) == []
    assert rows(take(found, ["b"]))[0][0] == "b"
    assert found.drop({1}) == 0
    assert found.groups == []


IDS = st.lists(st.text(max_size=9), unique=True, max_size=40)


@given(st.lists(IDS, max_size=2 * SEGMENTS_MAX), st.lists(st.text(max_size=9), max_size=20))
def test_whatever_is_cold_is_found(segments: list[list[str]], others: list[str]) -> None:
    """Of any texts, in any number of segments, and over a restart."""
    disk = MemoryDisk()
    found = Cold(disk, Thawing(with_scores=True), pane_ms=10)
    known: set[str] = set()
    for ids in segments:
        new = [each for each in ids if each not in known]
        known |= {*new}
        if new:
            found.put(frozen(new))
    document, blocks, pieces = found.keep()
    disk.keep(b"", pieces)
    again = Cold(disk, Thawing(with_scores=True), pane_ms=10)
    again.restore(document, blocks)

    for each in (found, again):
        back = [text for part in take(each, [*known, *others]) for text in part.columns.ids.tolist()]
        assert sorted(back) == sorted(known)


def test_a_locator_seldom_errs() -> None:
    """It finds what it has, and one in a few hundred of what it does not have."""
    ids = [f"r{number}" for number in range(20_000)]
    locator = Locator(10_000)
    for start in range(0, 10_000, 1000):
        assert locator.has_room(1000)
        locator.add(Texts.of(ids[start : start + 1000]).hashes(), start // 1000 + 1)
    found, segments = locator.find(Texts.of(ids).hashes())
    answers = set(zip(found.tolist(), segments.tolist(), strict=True))

    assert answers >= {(row, row // 1000 + 1) for row in range(10_000)}
    assert len({row for row, _ in answers if row >= 10_000}) < 150
    assert not locator.has_room(3000)


def test_an_id_of_any_length_comes_back() -> None:
    """limits.request_id_chars has no upper end: one that is cut would be another's."""
    records = frozen(["a" * 70_000, "b"])
    assert rows([Thawing(with_scores=True).thaw(records.encode(np.array([0, 1])))]) == rows([records])
