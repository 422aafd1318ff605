"""What a report shows of what predictions carried adds up, however it came."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.features.distances import psi
from streamguard.core.features.gathering import Window
from streamguard.core.features.reference import CHANGED, FIRST, MISSING, SAME, Column, Kind, Reference
from streamguard.core.records import Batch
from streamguard.replay.carried import BINS_MAX, SEGMENTS_MAX, Carried, Course
from streamguard.replay.courses import divergences
from streamguard.replay.engine import replay_inputs
from streamguard.replay.joining import Pair
from streamguard.replay.ledger import Ledger
from streamguard.replay.watchers import Watchers
from streamguard.worker.topology import Topology, derive
from tests.core.helpers import batch, monitor
from tests.replay import carrying
from tests.replay.helpers import Listed
from tests.replay.test_engine import never

Json = dict[str, Any]

WINDOW_MS = 60_000
REFERENCE = Reference(
    (
        Column("age", Kind.NUMBER, ("age",), edges=(1.0, 2.0), shares=(0.1, 0.0, 0.0, 0.9, 0.0), rows=100),
        Column("note", Kind.STEP, ("note",), "lower_case"),
    ),
    WINDOW_MS,
    profile="p",
)
WINDOWS = st.lists(
    st.tuples(st.integers(0, 40_000), st.lists(st.integers(0, 9), min_size=REFERENCE.size, max_size=REFERENCE.size)),
    min_size=1,
    max_size=40,
)


def window(number: int, counts: Sequence[int] = (0, 0, 0, 5, 0, 0, 0, 4, 1), segment: tuple[str, ...] = ()) -> Window:
    """The window of so many after the epoch; rows are what came of the first column."""
    rows = sum(counts[:5])
    start_ms = number * WINDOW_MS
    found = Window(("m", segment), start_ms, start_ms + WINDOW_MS, np.array(counts, np.int64), rows)
    found.scored, found.expected = rows, 250_000 * rows
    return found


def course_of(windows: Sequence[Window], **settings: Any) -> Course:
    """One monitor that has taken these."""
    carried = Carried([monitor(**settings)], {"m": REFERENCE})
    carried.add(windows)
    found = carried.of("m")
    assert found is not None
    return found


@given(WINDOWS)
def test_nothing_is_lost_between_bins_of_time(drawn: list[tuple[int, list[int]]]) -> None:
    """Whatever the span and the order: each is in its place, and bins are as narrow as the span allows."""
    (segment,) = course_of([window(number, counts) for number, counts in drawn]).document([])["segments"]
    start, width, bins = segment["start_ms"], segment["width_ms"], len(segment["predictions"])
    first, last = min(number for number, _ in drawn), max(number for number, _ in drawn)
    assert bins <= BINS_MAX
    half = width // WINDOW_MS // 2
    assert half == 0 or last // half - first // half >= BINS_MAX
    assert start <= first * WINDOW_MS < start + width
    expected = np.zeros((bins, REFERENCE.size), int)
    for number, counts in drawn:
        expected[(number * WINDOW_MS - start) // width] += counts
    assert segment["predictions"] == expected[:, :5].sum(axis=1).tolist()
    age, note = segment["columns"]
    assert age["counts"] + note["counts"] == expected.sum(axis=0).tolist()
    for place, row in enumerate(expected):
        count, missing = row[:5].sum(), row[MISSING]
        told = None if age["missing"] is None else age["missing"][place]
        assert told == (pytest.approx(missing / count, abs=1e-6) if count and age["missing"] is not None else None)
        assert segment["expected"][place] == (0.25 if count else None)


@given(WINDOWS, st.randoms(use_true_random=False))
def test_the_order_of_windows_changes_nothing(drawn: list[tuple[int, list[int]]], random: Any) -> None:
    """Which came first is of no account where there is one segment."""
    windows = [window(number, counts) for number, counts in drawn]
    before = course_of(windows).document([])
    random.shuffle(windows)
    assert course_of(windows).document([]) == before


@given(
    st.lists(st.integers(0, 1000), min_size=6, max_size=6),
    st.lists(st.lists(st.integers(0, 50), min_size=6, max_size=6), min_size=1, max_size=5),
)
def test_distances_are_those_of_the_alerts(trained: list[int], live: list[list[int]]) -> None:
    """One function of many rows says of each what the other says of one."""
    found = divergences(np.array(trained, float), np.array(live, float))
    for row, distance in zip(live, found.tolist(), strict=True):
        if any(row):
            assert distance == pytest.approx(psi(np.array(trained, float), np.array(row, float)))
        else:
            assert np.isnan(distance)


def test_counts_since_an_onset_are_told_apart() -> None:
    """By whole bins of time: that in which it lies is since."""
    windows = [window(n) for n in range(10)] + [window(n, (5, 0, 0, 0, 0, 0, 0, 1, 4)) for n in range(10, 20)]
    course = course_of(windows)
    (segment,) = course.document([({}, 10 * WINDOW_MS + 17), ({"site": "x"}, 0)])["segments"]
    age, note = segment["columns"]
    assert segment["since_ms"] == 10 * WINDOW_MS
    assert (age["counts"], age["since"]) == ([50, 0, 0, 50, 0], [50, 0, 0, 0, 0])
    assert age["distance_since"] > age["distance"] > age["distances"][0] > 0
    assert age["missing"] == [0] * 10 + [1] * 10
    assert (note["changed"][9:11], note["odd"]) == ([0.2, 0.8], None)
    assert note["counts"][SAME] + note["counts"][CHANGED] == 100
    assert course.document([])["segments"][0]["since_ms"] is None


def test_the_first_segments_are_kept_and_the_whole() -> None:
    """However many there are; all that are watched are counted."""
    windows = [window(number // 30, segment=(f"s{number % 30}",)) for number in range(90)]
    found = course_of(windows, split_by=["site"], whole=True, max_segments=25).document([])
    segments = [each["segment"] for each in found["segments"]]
    assert segments == [{}, *({"site": f"s{number}"} for number in range(SEGMENTS_MAX))]
    assert (found["left_out"], found["predictions"]) == (5, 90 * 5)
    assert [sum(each["predictions"]) for each in found["segments"]] == [450] + [15] * SEGMENTS_MAX


def test_what_training_had_and_nobody_carries_is_named() -> None:
    """Not what training did not have either."""
    assert course_of([window(0, (7, 0, 0, 0, 0, 0, 0, 7, 0))]).absent == ["age"]
    assert course_of([window(0)]).absent == []
    assert course_of([]).absent == []


@cache
def _inputs() -> tuple[list[bytes], list[int], list[bytes], list[int]]:
    sides: list[Any] = []
    for rows in (list(carrying.predictions(900)), list(carrying.labels(900))):
        sides += [[orjson.dumps(each) for each in rows], [each["at"] for each in rows]]
    return sides[0], sides[1], sides[2], sides[3]


def _pairs(sizes: Sequence[int]) -> list[Pair]:
    """Two partitions, by turns, in batches of these sizes, over and over."""
    predictions, times, labels, label_times = _inputs()
    found = []
    for number in range(2):
        sides = []
        for topic, values, at in (("predictions", predictions, times), ("labels", labels, label_times)):
            own, own_times = values[number::2], at[number::2]
            cut: list[Batch] = []
            start = 0
            while start < len(own):
                end = start + sizes[len(cut) % len(sizes)]
                cut.append(batch(own[start:end], own_times[start:end], topic=topic, partition=number, start=start))
                start = end
            sides.append(Listed(cut, topic, number))
        found.append(Pair(number, *sides))
    return found


@cache
def _topology() -> Topology:
    with TemporaryDirectory() as directory:
        watched = carrying.config(carrying.profile(Path(directory)), {"split_by": ["site"], "whole": True})
        return derive(watched, 2, 1)


def _document(sizes: Sequence[int], *, processes: int = 0) -> Json:
    topology = _topology()
    ledger = Ledger(topology.config.monitors, None, topology.monitor.references)
    watchers = Watchers([topology.monitor] * 2, 1, ledger, processes=1 + processes)
    try:
        replay_inputs(_pairs(sizes), topology.join, watchers, never, processes=processes)
    finally:
        watchers.close()
    course = ledger.carried.of("m")
    assert course is not None
    return course.document([])


@pytest.fixture(scope="module")
def whole() -> Json:
    """Of inputs that come in one piece."""
    return _document([900])


@settings(max_examples=10)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=4))
def test_cuts_change_nothing(whole: Json, sizes: list[int]) -> None:
    """However the inputs are cut."""
    assert _document(sizes) == whole
    assert [each["segment"] for each in whole["segments"]] == [{}, {"site": "east"}, {"site": "west"}]
    assert [sum(each["predictions"]) for each in whole["segments"]] == [900, 300, 600]


def test_processes_change_nothing(whole: Json) -> None:
    """Neither how many join nor how many watch."""
    assert _document([70], processes=1) == whole


def test_a_text_is_counted_by_its_traits(whole: Json) -> None:
    """Each column of the reference is one of the report, and its counts those of its bins."""
    names = [(each["feature"], each["trait"]) for each in whole["columns"]]
    assert ("note", "upper") in names
    assert ("note", "lower_case") in names
    for segment in whole["segments"]:
        assert len(segment["columns"]) == len(whole["columns"])
        for column, live in zip(whole["columns"], segment["columns"], strict=True):
            sizes = {"number": len(column["edges"]) + 1, "category": len(column["values"]) + 1}
            assert len(live["counts"]) == FIRST + sizes.get(column["kind"], len(live["counts"]) - FIRST)
            assert sum(live["counts"]) == sum(segment["predictions"])
