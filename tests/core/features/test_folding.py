"""What is counted of predictions: against a definition that looks at one value at a time."""

import re
from bisect import bisect_right
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamguard.core.features.fates import CHANGED, FAILED, NOT_MINE, SAME
from streamguard.core.features.folding import Counts, Example, Fold, Given
from streamguard.core.features.number_steps import Clip, Scale
from streamguard.core.features.reference import DECLARED, FIRST, MISSING, ODD, UNKNOWN, Column, Kind, Reference
from streamguard.core.features.steps import compared
from streamguard.core.features.text_steps import CollapseWhitespace, LowerCase
from streamguard.core.fields import pick
from streamguard.reference.comparing import reference_of
from tests.core.features import helpers
from tests.core.features.helpers import Row, profile_of, wanted
from tests.core.features.test_traits import expected as traits_of_one

TRAINING: list[Row] = [
    {
        "number": (n % 40 - 10) * 1.5,
        "whole": n % 30,
        "plan": ["free", "paid", "trial", 7][n % 4],
        "flag": n % 3 == 0,
        "mixed": [True, 1, "1", None][n % 4],
        "note": ["Hello  World", "room 101!", "café", ""][n % 4],
        "inner": {"x": n % 7, "y": "a"},
    }
    for n in range(200)
]
SCORES = [{"score": n % 20 / 20 + 0.01, "said": n % 2, "truth": int(n % 3 == 0)} for n in range(200)]
STEPS = {"note": [LowerCase(), CollapseWhitespace()], "number": [Clip(0, 20)], "share": [Scale((0, 1))]}


def made() -> Reference:
    """A bit of everything."""
    profile = profile_of([{**one, **other} for one, other in zip(TRAINING, SCORES, strict=True)], label="truth",
                         prediction="said", score="score")  # fmt: skip
    raws = {"note": ("raw", "note"), "share": ("raw", "share")}
    found = reference_of(
        wanted(
            profile,
            steps=STEPS,
            raws=raws,
            score=("score",),
            paths={"whole": ("beside", "n"), "share": ("features", "share")},
        )
    )
    assert {each.kind for each in found.columns} == set(Kind)
    return found


REFERENCE = made()
WINDOW_MS = REFERENCE.window_ms
# Of these columns a row says nothing now and then, and so each has not one bin for every row.
SECONDARY = {Kind.LENGTH, Kind.RATE, Kind.WORDS}

NUMBERS = st.one_of(
    st.integers(-30, 60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-20, 60).map(lambda each: round(each * 2) / 2),
    st.integers(-(1 << 70), 1 << 70),
    st.sampled_from([(1 << 53) + 1, -(1 << 53) - 1, (1 << 63) + 1025, 10**400, -(10**400), -0.0, 5e-324, 1e308]),
    st.sampled_from([each for column in REFERENCE.columns for each in column.edges] or [0.0]),
)
SCALARS = st.one_of(
    NUMBERS,
    st.booleans(),
    st.none(),
    st.sampled_from(["free", "paid", "trial", "7", "1", "Hello  World", "café", "", "nan", "1e5", "ROOM 101"]),
    st.text(max_size=6),
)
VALUES = SCALARS | st.sampled_from([[], [1], {}, {"x": 1}, ["free"], {"x": {"y": 1}}])
NAMES = [*TRAINING[0], "share"]
FEATURES = st.one_of(
    st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, VALUES)),
    st.fixed_dictionaries(dict.fromkeys(NAMES, VALUES)),
    st.fixed_dictionaries({"number": NUMBERS, "plan": st.sampled_from(["free", "new", 7])}, optional={"zz": VALUES}),
    VALUES,
)
DOCUMENTS = st.fixed_dictionaries(
    {"prediction": st.sampled_from([0, 1, True, "x"])},
    optional={
        "features": FEATURES,
        "beside": st.fixed_dictionaries({}, optional={"n": VALUES}) | VALUES,
        "raw": st.fixed_dictionaries({}, optional={"note": SCALARS, "share": SCALARS}) | VALUES,
        "score": st.floats(0, 1),
    },
)
RECORDS = st.lists(
    st.tuples(DOCUMENTS, st.integers(0, 3 * WINDOW_MS), st.integers(0, 2), st.just(float("nan")) | st.floats(0, 1)),
    max_size=24,
)
Records = list[tuple[dict[str, Any], int, int, float]]


def given_rows(records: Records, start: int = 0) -> Given:
    """As columns, from offset `start` on."""
    documents, times, segments, scores = zip(*records, strict=True) if records else ((),) * 4
    return helpers.given(documents, times, start=start, segments=segments, scores=scores)


def as_float(value: float) -> float:
    """The nearest; of whole numbers beyond all floats an infinity."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def rate_bin(part: int, whole: int) -> int:
    """None, 32 equal parts, all."""
    return FIRST + (0 if part == 0 else 33 if part == whole else 1 + 32 * part // whole)


def bin_of(column: Column, document: dict[str, Any], offset: int) -> int:  # noqa: C901, PLR0911 - one a kind
    """The definition: of one value in one column."""
    value = pick(document, column.path)
    kind = type(value)
    if column.kind is Kind.STEP:
        fate = (
            int(column.steps[0].fates([value])[0])
            if column.raw is None
            else FAILED
            if pick(document, column.raw) is None and value is not None
            else compared(column.steps, pick(document, column.raw), value)
        )
        return {NOT_MINE: MISSING, FAILED: ODD, SAME: FIRST, CHANGED: FIRST + 1}[fate]
    if column.kind is Kind.NAMES:
        return MISSING if kind is not dict else FIRST + any(name not in REFERENCE.known for name in value)
    if column.kind in SECONDARY:
        if kind is not str:
            return MISSING
        if column.kind is Kind.LENGTH:
            return FIRST + bisect_right(column.edges, float(len(value)))
        if column.kind is Kind.RATE:
            return rate_bin(traits_of_one(value)[str(column.trait)], len(value)) if value else MISSING
        words = re.findall(r"\w+", value)
        known = {word for each in TRAINING for word in re.findall(r"\w+", each["note"])}
        if crc32(b"r%d" % offset) % 8 or not words:
            return MISSING
        return rate_bin(sum(word not in known for word in words), len(words))
    if value is None:
        return MISSING
    if column.kind is Kind.TEXT:
        return FIRST if kind is str else ODD
    if column.kind is Kind.NUMBER:
        return FIRST + bisect_right(column.edges, as_float(value)) if kind in (int, float) else ODD
    if kind not in {type(each) for each in column.values}:
        return ODD
    places = [place for place, each in enumerate(column.values) if type(each) is kind and each == value]
    return FIRST + (places[0] if places else len(column.values))


def error_of(document: dict[str, Any], score: float) -> int | None:
    """How many millionths of an error are to be expected."""
    if score != score:  # noqa: PLR0124 - NaN is not
        return None
    rate = [rate for above, rate in REFERENCE.calibration if above <= score] or [REFERENCE.calibration[0][1]]
    said = document["prediction"]
    chance = 1 - rate[-1] if said is True or (type(said) is int and said == 1) else rate[-1]
    return round(Fraction(chance) * 10**6)


Slow = dict[tuple[int, int], dict[str, Any]]


def slowly(records: Records) -> Slow:
    """By window and segment: what must be counted."""
    found: Slow = {}
    for offset, (document, time_ms, segment, score) in enumerate(records):
        new: dict[str, Any] = {"rows": 0, "offsets": [], "bins": Counter(), "scored": 0, "expected": 0, "examples": {}}
        each = found.setdefault((time_ms // WINDOW_MS * WINDOW_MS, segment), new)
        each["rows"] += 1
        each["offsets"].append(offset)
        error = error_of(document, score)
        each["scored"] += error is not None
        each["expected"] += error or 0
        for number, column in enumerate(REFERENCE.columns):
            place = bin_of(column, document, offset)
            each["bins"][number, place] += 1
            if column.kind in DECLARED and place == FIRST + 1:
                each["examples"].setdefault(number, (offset, time_ms, f"r{offset}"))
    return found


def summed(parts: list[list[Counts]]) -> Slow:
    """Of several calls, added up."""
    found: Slow = {}
    starts = REFERENCE.offsets
    for each in (each for part in parts for each in part):
        new: dict[str, Any] = {"rows": 0, "offsets": [], "bins": Counter(), "scored": 0, "expected": 0, "examples": {}}
        total = found.setdefault((each.start_ms, each.segment), new)
        total["rows"] += each.rows
        total["offsets"] += each.offsets
        for place, count in zip(each.bins.tolist(), each.counts.tolist(), strict=True):
            column = int(np.searchsorted(starts, place, "right")) - 1
            total["bins"][column, place - int(starts[column])] += count
        total["scored"] += each.scored
        total["expected"] += each.expected
        for number, shown in each.examples.items():
            total["examples"].setdefault(number, shown)
    return found


def spans(found: Slow) -> Slow:
    """With the first and the last of its offsets."""
    return {key: {**each, "offsets": (min(each["offsets"]), max(each["offsets"]))} for key, each in found.items()}


def bare(found: Slow) -> Slow:
    """Of examples only which records they are of."""
    return {
        key: {
            **each,
            "examples": {n: (one.offset, one.time_ms, one.request_id) for n, one in each["examples"].items()},
        }
        for key, each in found.items()
    }


@given(RECORDS)
@example([({"features": dict.fromkeys(NAMES, 10**400), "prediction": 1}, 0, 0, 1.0)])
@example([({"features": dict.fromkeys(NAMES, -(10**400)), "prediction": 1}, 0, 0, 0.0)] * 2)
@example([({"features": {"number": (1 << 53) + 1}, "prediction": 1}, 0, 0, 0.5), ({"prediction": 0}, 1, 1, 0.5)])
def test_counts_are_those_of_one_row_at_a_time(records: Records) -> None:
    """Whatever is next to what: of each window and segment rows, offsets, bins, expected errors and examples."""
    counts = Fold(REFERENCE).counts(given_rows(records))
    assert bare(spans(summed([counts]))) == spans(slowly(records))


@given(RECORDS)
def test_every_row_is_in_one_bin_of_every_column(records: Records) -> None:
    """Per window, so that shares of bins are shares of rows; bins are sorted, and none is empty."""
    for each in Fold(REFERENCE).counts(given_rows(records)):
        assert each.counts.min() > 0
        assert (np.diff(each.bins) > 0).all()
        total = np.zeros(REFERENCE.size, np.int64)
        total[each.bins] = each.counts
        assert np.add.reduceat(total, REFERENCE.offsets[:-1]).tolist() == [each.rows] * len(REFERENCE.columns)


@given(RECORDS, st.lists(st.integers(0, 24), max_size=6))
def test_cuts_change_nothing(records: Records, cuts: list[int]) -> None:
    """Rows of several calls, added up, are those of one; the first example is the same, with what it shows."""
    fold = Fold(REFERENCE)
    bounds = [0, *sorted(min(cut, len(records)) for cut in cuts), len(records)]
    parts = [fold.counts(given_rows(records[start:end], start)) for start, end in pairwise(bounds)]
    assert spans(summed(parts)) == spans(summed([fold.counts(given_rows(records))]))


@given(RECORDS)
def test_windows_come_in_the_order_of_their_first_rows(records: Records) -> None:
    """So that what is written is a function of the records alone."""
    firsts = [each.offsets[0] for each in Fold(REFERENCE).counts(given_rows(records))]
    assert firsts == sorted(firsts)


def test_no_rows_are_no_windows() -> None:
    """As of a batch in which all records were rejected."""
    assert Fold(REFERENCE).counts(given_rows([])) == []


def test_whole_numbers_are_taken_as_the_nearest_float() -> None:
    """Beyond 2^53 not all can be told apart; beyond all floats they lie outside of what training had."""
    edge = float(1 << 54)
    column = Column("n", Kind.NUMBER, ("features", "n"), edges=(-edge, edge))
    fold = Fold(Reference((column,), WINDOW_MS))
    values = [(1 << 54) - 1, (1 << 54) + 1, (1 << 54) - 3, -(1 << 54) - 1, 10**400, -(10**400), None, True, "1"]
    bins = [4, 4, 3, 3, 4, 2, MISSING, ODD, ODD]
    for each in (values, values[:4], values[:6], values[-3:]):
        (found,) = fold.counts(helpers.given([{"features": {"n": value}} for value in each]))
        counted = dict(zip(found.bins.tolist(), found.counts.tolist(), strict=True))
        assert counted == Counter(place for value, place in zip(values, bins, strict=True) if value in each)


@pytest.mark.parametrize("size", [1, 3, 400])
def test_how_many_rows_there_are_changes_no_count(size: int) -> None:
    """Few rows are counted in another way than many."""
    documents = [{"features": row} for row in (TRAINING * 2)[:size]]
    fold = Fold(REFERENCE)
    together = helpers.dense(REFERENCE, fold.counts(helpers.given(documents)))
    alone = [fold.counts(helpers.given([each], start=place)) for place, each in enumerate(documents)]
    assert together == helpers.dense(REFERENCE, [each for part in alone for each in part])


def test_examples_say_what_training_made_of_the_raw_value() -> None:
    """And what came; an unknown field is named, the first by name, and cut where it is long."""
    documents: list[dict[str, Any]] = [
        {"features": {"note": "a b"}, "raw": {"note": "A  B"}},
        {"features": {"note": "A  B", "zz": 2, "y" * 300: 1}, "raw": {"note": "A  B"}},
    ]
    (found,) = Fold(REFERENCE).counts(helpers.given(documents, start=7))
    shown = {REFERENCE.columns[number].name: each for number, each in found.examples.items()}
    about: dict[str, Any] = {"offset": 8, "time_ms": 0, "request_id": "r8"}
    assert shown["note: raw"] == Example(**about, shown=("a b", "A  B"))
    assert shown["note: lower_case"] == Example(**about)
    assert shown["features: names"] == Example(**about, shown=("y" * 200,))


def test_an_unknown_field_is_one_beside_the_features_of_training() -> None:
    """Fields of steps, of raw values and of what is elsewhere are known where they lie below the features."""
    names = next(n for n, each in enumerate(REFERENCE.columns) if each.kind is Kind.NAMES)
    cases: list[tuple[dict[str, Any], int]] = [
        ({"plan": 1}, FIRST),
        ({"share": 1}, FIRST),
        ({"whole": 1}, UNKNOWN),
        ({"x": 1}, UNKNOWN),
    ]
    for features, place in cases:
        (found,) = Fold(REFERENCE).counts(helpers.given([{"features": features}]))
        assert int(REFERENCE.offsets[names]) + place in found.bins
