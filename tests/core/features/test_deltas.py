"""What join tasks tell of predictions, as JSON and back."""

from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.features.deltas import Delta, read, written
from streamguard.core.features.folding import Counts, Example, Fold
from streamguard.core.fields import TIME_MAX_MS
from streamguard.core.outcomes import read_outcomes
from streamguard.reference.comparing import reference_of
from tests.core.features import helpers
from tests.core.features.helpers import START_MS, profile_of, wanted
from tests.laws.test_join import JSON
from tests.laws.test_monitor import changed, paths

LIMITS = st.sampled_from([1, 200, 500, 2_000, 10**6])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
COUNTS = st.integers(0, 1 << 28)
EXAMPLES = st.builds(
    Example,
    offset=COUNTS,
    time_ms=st.integers(0, TIME_MAX_MS),
    request_id=TEXTS,
    shown=st.lists(TEXTS, max_size=2).map(tuple),
)


@st.composite
def windows(draw: st.DrawFn, segments: int) -> Counts:
    """What came in one window of one of so many segments."""
    pairs = draw(st.dictionaries(st.integers(0, 1 << 28), st.integers(1, 1 << 28), max_size=6))
    bins = sorted(pairs)
    return Counts(
        segment=draw(st.integers(0, segments - 1)),
        start_ms=draw(st.integers(0, TIME_MAX_MS)),
        rows=draw(COUNTS),
        offsets=(draw(COUNTS), draw(COUNTS)),
        bins=np.array(bins, np.int64),
        counts=np.array([pairs[each] for each in bins], np.int64),
        scored=draw(COUNTS),
        expected=draw(COUNTS),
        examples=draw(st.dictionaries(st.integers(0, 99), EXAMPLES, max_size=3)),
    )


@st.composite
def deltas(draw: st.DrawFn) -> Delta:
    """Counts of one monitor; segments are texts or null."""
    segments = draw(st.lists(st.lists(TEXTS | st.none(), max_size=2).map(tuple), min_size=1, max_size=3))
    return Delta(draw(TEXTS), draw(TEXTS), segments, draw(st.lists(windows(len(segments)), min_size=1, max_size=8)))


def plain(delta: Delta) -> list[Any]:
    """As what can be compared."""
    return [
        (
            *(delta.monitor, delta.fingerprint, delta.segments[each.segment], each.start_ms, each.rows, each.offsets),
            *(each.bins.tolist(), each.counts.tolist(), each.scored, each.expected, each.examples),
        )
        for each in delta.windows
    ]


@given(deltas(), LIMITS)
def test_what_is_written_is_read_back(delta: Delta, bytes_max: int) -> None:
    """Through pieces of any size: the same windows, in the same order, types included."""
    found = [read(orjson.loads(piece)) for piece in written(delta, bytes_max)]
    assert [each for piece in found for each in plain(piece)] == plain(delta)
    for each in (each for piece in found for each in piece.windows):
        assert each.bins.dtype == each.counts.dtype == np.int64


@given(deltas(), LIMITS)
def test_pieces_are_below_the_limit(delta: Delta, bytes_max: int) -> None:
    """Head and all, or there is one window alone; and those of the next would have been too much, about."""
    pieces = written(delta, bytes_max)
    found = [orjson.loads(piece) for piece in pieces]
    assert all(len(piece) <= bytes_max or len(each["windows"]) == 1 for piece, each in zip(pieces, found, strict=True))
    spare = 100 + len(orjson.dumps([delta.monitor, delta.fingerprint, *delta.segments]))
    for (piece, _), (_, after) in pairwise(zip(pieces, found, strict=True)):
        assert len(piece) + len(orjson.dumps(after["windows"][0])) > bytes_max - spare
    # Each names the segments that it has windows of, and no others.
    assert all({w["segment"] for w in each["windows"]} == set(range(len(each["segments"]))) for each in found)


def test_what_was_counted_is_written_and_read_back() -> None:
    """As a join task does it: NumPy's own numbers and all."""
    reference = reference_of(wanted(profile_of()))
    documents = [{"features": each} for each in helpers.rows(3, 40, new="é")]
    rows = helpers.given(documents, [START_MS + 7_000 * n for n in range(40)], segments=[n % 2 for n in range(40)])
    delta = Delta("m", reference.fingerprint, [("DE",), (None,)], Fold(reference).counts(rows))
    assert sum(each.rows for each in delta.windows) == 40
    assert len(delta.windows) > 4
    for bytes_max in (1, 1000, 10**6):
        found = [read(orjson.loads(piece)) for piece in written(delta, bytes_max)]
        assert [each for piece in found for each in plain(piece)] == plain(delta)


WINDOW: dict[str, Any] = {
    "segment": 1,
    "start": START_MS,
    "rows": 3,
    "offsets": [1, 4],
    "bins": [0, 3],
    "counts": [1, 2],
    "scored": 3,
    "expected": 1_000_000,
    "examples": [[0, 1, START_MS + 5, "r1", "made", "came"], [7, 4, START_MS + 9, "r4"]],
}
BLOCK: dict[str, Any] = {"monitor": "m", "of": "5f", "segments": [["DE"], [None]], "windows": [WINDOW, WINDOW]}
RECORD: dict[str, Any] = {
    "v": 1,
    "source": 0,
    "sources": 1,
    "sequence": 1,
    "watermark": None,
    "predictions_watermark": 5,
    "blocks": [],
}


EDGES = st.sampled_from(
    [-1, 0, 1, 2, True, 0.5, 1 << 63, (1 << 64) - 1, -(1 << 63), TIME_MAX_MS + 1, "", "ab", [[1]], [[]], {}, {"a": 1}]
)
MUTATED = st.builds(changed, st.just(BLOCK), st.sampled_from(list(paths(BLOCK))), st.just(...) | EDGES | JSON)


@given(st.one_of(st.lists(MUTATED, max_size=2), st.lists(st.just(BLOCK) | JSON, max_size=2), JSON, EDGES))
def test_damage_is_a_value_error(features: Any) -> None:
    """Whatever JSON stands under `features`: it is read as what it says, or the whole record is refused."""
    try:
        found = read_outcomes(orjson.dumps({**RECORD, "features": features}))
    except ValueError:
        return
    for delta in found.features:
        assert all(0 <= each.segment < len(delta.segments) for each in delta.windows)
        assert all(type(value) in (str, type(None)) for segment in delta.segments for value in segment)
        for each in delta.windows:
            assert 0 <= each.start_ms <= TIME_MAX_MS
            assert each.bins.shape == each.counts.shape == (len(each.bins),)
            assert each.bins.min(initial=0) >= 0
            assert {type(value) for value in (each.rows, each.scored, each.expected, *each.offsets)} == {int}
            assert all(type(text) is str for one in each.examples.values() for text in (one.request_id, *one.shown))
        again = [read(orjson.loads(piece)) for piece in written(delta, 10**6)] if delta.windows else []
        assert [one for piece in again for one in plain(piece)] == plain(delta)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("segments",), ["DE"]),
        (("segments", 0), [1]),
        (("windows", 0, "segment"), 2),
        (("windows", 0, "segment"), -1),
        (("windows", 0, "start"), -1),
        (("windows", 0, "start"), TIME_MAX_MS + 1),
        (("windows", 0, "rows"), 1.5),
        (("windows", 0, "rows"), True),
        (("windows", 0, "bins"), [0]),
        (("windows", 0, "bins"), [-1, 3]),
        (("windows", 0, "bins"), [0, True]),
        (("windows", 0, "bins"), [[0], [3]]),
        (("windows", 0, "counts"), [1, 1 << 63]),
        (("windows", 0, "offsets"), [1]),
        (("windows", 0, "examples", 0), [0, 1]),
        (("windows", 0, "examples", 0, 0), "0"),
        (("windows", 0, "rows"), ...),
        (("windows",), ...),
        (("monitor",), ...),
        (("of",), ...),
    ],
)
def test_a_block_that_says_nothing_is_refused(path: tuple[Any, ...], value: Any) -> None:
    """And the same block without the damage is not."""
    assert len(read_outcomes(orjson.dumps({**RECORD, "features": [BLOCK]})).features) == 1
    with pytest.raises(ValueError, match=r".+"):
        read_outcomes(orjson.dumps({**RECORD, "features": [changed(BLOCK, path, value)]}))


def test_records_of_before_have_no_features() -> None:
    """What a worker without a data section has written is read as before."""
    found = read_outcomes(
        orjson.dumps({name: each for name, each in RECORD.items() if name != "predictions_watermark"})
    )
    assert (found.features, found.predictions_ms) == ([], None)


@pytest.mark.parametrize("value", [1.5, "5", True, TIME_MAX_MS + 1, -TIME_MAX_MS - 1, []])
def test_a_watermark_is_a_time(value: Any) -> None:
    """Past the year 9999 every window would be late."""
    with pytest.raises(ValueError, match="watermark"):
        read_outcomes(orjson.dumps({**RECORD, "predictions_watermark": value}))
