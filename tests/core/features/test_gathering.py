"""Windows of all sources, added up, and released in event-time order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.features.deltas import Delta
from streamguard.core.features.folding import Counts, Example
from streamguard.core.features.gathering import Gathering, Shape, Window
from streamguard.core.outcomes import OutcomeRecord

SOURCES = 3
BINS = 5
SHAPES = {"a": Shape("fa", BINS, 10, split=1), "b": Shape("fb", BINS, 20, split=1)}
SEGMENTS: list[tuple[str | None, ...]] = [("DE",), (None,), ("",)]
Records = list[OutcomeRecord]


def counts(segment: int, start_ms: int, offset: int, bins: Sequence[int], column: int | None = None) -> Counts:
    """Of one window, one row a bin."""
    found, times = np.unique(np.array(bins, np.int64), return_counts=True)
    examples = {} if column is None else {column: Example(offset=offset, time_ms=start_ms, request_id=f"r{offset}")}
    span = offset, offset + len(bins)
    return Counts(segment, start_ms, len(bins), span, found, times, len(bins), 7 * len(bins), examples)


def record(source: int, features: Sequence[Delta], until_ms: int | None, *, is_idle: bool = False) -> OutcomeRecord:
    """One record of the outcomes topic."""
    return OutcomeRecord(source, SOURCES, 1, None, is_idle, [], until_ms, list(features))


@st.composite
def streams(draw: st.DrawFn, source: int) -> Records:
    """What one source tells: windows that are not before what it has promised; in the end it promises all."""
    found = []
    bound_ms, offset = draw(st.integers(0, 30)), 0
    for step in draw(st.lists(st.integers(0, 40), max_size=8)):
        features = []
        for name, shape in SHAPES.items():
            times = draw(st.lists(st.integers(bound_ms, bound_ms + 60), max_size=3))
            taken = []
            for time_ms in times:
                start_ms = time_ms // shape.window_ms * shape.window_ms
                bins = draw(st.lists(st.integers(0, BINS - 1), min_size=1, max_size=3))
                column = draw(st.none() | st.integers(0, 1))
                taken.append(counts(draw(st.integers(0, 2)), start_ms, offset, bins, column))
                offset += len(bins) + 1
            if taken:
                features.append(Delta(name, shape.fingerprint, SEGMENTS, taken))
        bound_ms += step
        found.append(record(source, features, draw(st.sampled_from([bound_ms, bound_ms, None]))))
    return [*found, record(source, [], 10_000)]


STREAMS = st.tuples(*(streams(source) for source in range(SOURCES)))
ORDER = st.lists(st.integers(0, SOURCES - 1), max_size=30)


def interleaved(each: Sequence[Records], order: Sequence[int]) -> Records:
    """One topic: each source's records in their own order."""
    rest = [list(records) for records in each]
    found = [rest[source].pop(0) for source in order if rest[source]]
    return found + [one for records in rest for one in records]


def plain(window: Window) -> tuple[Any, ...]:
    """As what can be compared."""
    return (
        *(window.end_ms, window.key, window.start_ms, window.rows, window.counts.tolist()),
        *(window.scored, window.expected, sorted(window.offsets.items()), sorted(window.examples.items())),
    )


@dataclass
class Reading:
    """A gathering on its way along the topic."""

    records: Records
    cuts: Sequence[int]

    def __post_init__(self) -> None:
        self.gathering = Gathering(SOURCES, SHAPES)
        self.released: list[tuple[Any, ...]] = []

    def run(self) -> "Reading":
        """All of it; windows are released where `cuts` says, and in the end."""
        for offset, each in enumerate(self.records):
            self.gathering.take(each, offset)
            if offset in self.cuts or offset == len(self.records) - 1:
                self.released += map(plain, self.gathering.release())
        return self


CUTS = st.lists(st.integers(0, 30), max_size=10)


@given(STREAMS, ORDER, CUTS, ORDER, CUTS)
def test_interleavings_and_cuts_change_nothing(
    data: tuple[Records, ...], order: list[int], cuts: list[int], other: list[int], others: list[int]
) -> None:
    """The same windows, in the same order; and nobody's rows are lost, late or foreign."""
    one = Reading(interleaved(data, order), cuts).run()
    two = Reading(interleaved(data, other), others).run()
    assert one.released == two.released
    assert one.gathering.counts == two.gathering.counts == {"late": 0, "foreign": 0}
    windows = [each for records in data for told in records for delta in told.features for each in delta.windows]
    assert sum(each[3] for each in one.released) == sum(each.rows for each in windows)
    assert sum(sum(each[4]) for each in one.released) == sum(each.rows for each in windows)
    assert sum(each[6] for each in one.released) == sum(each.expected for each in windows)
    places = [(each[0], each[1][0], repr(each[1][1])) for each in one.released]
    assert places == sorted(set(places))


@given(STREAMS, ORDER)
def test_nothing_is_released_before_all_sources_have_passed(data: tuple[Records, ...], order: list[int]) -> None:
    """What comes out ends by the least of all promises; and what ends by then has come out."""
    gathering, promised = Gathering(SOURCES, SHAPES), [-(1 << 62)] * SOURCES
    for offset, each in enumerate(interleaved(data, order)):
        gathering.take(each, offset)
        if each.predictions_ms is not None:
            promised[each.source] = max(promised[each.source], each.predictions_ms)
        assert all(window.end_ms <= min(promised) for window in gathering.release())
        assert all(end_ms > min(promised) for end_ms, _ in gathering._open)


@given(STREAMS, ORDER, CUTS)
def test_reading_again_from_low_gives_the_same(
    data: tuple[Records, ...], order: list[int], snapshots: list[int]
) -> None:
    """After a snapshot only what was held then is held again, from the first record that it is of."""
    records = interleaved(data, order)
    steady = Reading(records, range(len(records))).run()
    gathering = Gathering(SOURCES, SHAPES)
    released: list[tuple[Any, ...]] = []
    for offset, each in enumerate(records):
        gathering.take(each, offset)
        released += map(plain, gathering.release())
        if offset in snapshots:
            position = offset + 1
            state, low, held = gathering.snapshot(), gathering.low(position), gathering._open
            gathering = Gathering(SOURCES, SHAPES)
            gathering.restore(state)
            counted = dict(gathering.counts)
            for again in range(low, position):
                gathering.refill(records[again], again)
            gathering.counts = counted
            assert {place: plain(window) for place, window in gathering._open.items()} == {
                place: plain(window) for place, window in held.items()
            }
            assert gathering.low(position) == low
            assert gathering.snapshot() == state
    assert released == steady.released


def told(gathering: Gathering, *records: OutcomeRecord) -> list[tuple[int, int]]:
    """Take records; what is released then: its end and its rows."""
    for offset, each in enumerate(records):
        gathering.take(each, offset)
    return [(window.end_ms, window.rows) for window in gathering.release()]


def one(source: int, start_ms: int, until_ms: int | None, rows: int = 1, **others: Any) -> OutcomeRecord:
    """A record with one window of monitor a."""
    delta = Delta(
        "a", others.get("fingerprint", "fa"), SEGMENTS, [counts(0, start_ms, 0, [others.get("bin", 1)] * rows)]
    )
    return record(source, [delta], until_ms)


def test_an_idle_source_is_not_waited_for() -> None:
    """It has never had a record; when it comes after all, it is waited for again, as soon as its outcomes are."""
    gathering = Gathering(2, SHAPES)
    idle = record(1, [], None, is_idle=True)
    assert told(gathering, one(0, 0, 15)) == []
    assert told(gathering, idle) == [(10, 1)]
    assert told(gathering, one(1, 20, 20)) == []
    assert told(gathering, one(0, 20, 40)) == [(30, 2)]
    gathering = Gathering(2, SHAPES)
    assert told(gathering, one(0, 0, 15), idle) == [(10, 1)]
    assert told(gathering, replace(one(1, 20, 20), watermark_ms=15)) == []
    assert told(gathering, one(0, 20, 40)) == []
    assert told(gathering, one(1, 30, 29)) == []
    assert told(gathering, one(1, 30, 30)) == [(30, 2)]


def test_all_sources_idle_release_nothing() -> None:
    """Nobody has promised anything."""
    gathering = Gathering(2, SHAPES)
    assert told(gathering, record(0, [], None, is_idle=True), record(1, [], None, is_idle=True)) == []
    assert gathering.released_ms < 0


def test_what_comes_after_its_window_is_late() -> None:
    """A window is released once; a source that breaks its promise is counted."""
    gathering = Gathering(1, SHAPES)
    assert told(gathering, one(0, 0, 15)) == [(10, 1)]
    assert told(gathering, one(0, 0, 15, 4)) == []
    assert gathering.counts == {"late": 4, "foreign": 0}


def test_counts_of_another_reference_are_not_added() -> None:
    """Of another fingerprint, or with bins that there are not; of a monitor that there is not, nothing is said."""
    gathering = Gathering(1, SHAPES)
    assert told(gathering, one(0, 0, 5, 2, fingerprint="fb"), one(0, 0, 20, 3, bin=BINS)) == []
    assert gathering.counts == {"late": 0, "foreign": 5}
    assert told(gathering, record(0, [Delta("z", "fa", SEGMENTS, [counts(0, 30, 0, [1])])], 90)) == []


def test_without_a_data_section_nothing_is_held() -> None:
    """And nothing is waited for."""
    gathering = Gathering(1, {})
    assert told(gathering, one(0, 0, 50)) == []
    assert gathering.low(7) == 7


def test_the_first_example_is_of_the_lowest_source() -> None:
    """Whichever came first on the topic; of one source it is the first by offset."""
    window = Window(("a", ()), 0, 10, np.zeros(BINS, np.int64))
    for source, offset in ((2, 5), (1, 9), (1, 4), (2, 1)):
        window.add(source, counts(0, 0, offset, [1, 2], 3))
    assert [(source, each.offset) for source, each in window.examples.values()] == [(1, 4)]
    assert window.offsets == {2: (1, 7), 1: (4, 11)}
