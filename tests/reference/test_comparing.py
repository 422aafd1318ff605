"""From a profile to bins and shares: what training rows are counted as is what the profile says of them."""

import math
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamguard.core.features import reference as bins
from streamguard.core.features.folding import Fold
from streamguard.core.features.reference import FIRST, MISSING, ODD, Column, Kind, Reference
from streamguard.core.features.text_steps import LowerCase
from streamguard.errors import ConfigError
from streamguard.profile import build
from streamguard.reference.comparing import ROWS_MIN, reference_of
from streamguard.reference.document import Profile
from tests.core.features import helpers
from tests.core.features.helpers import profile_of, wanted

REPEATED = 3
ABSENT = "absent"
# Of texts their length, rates and words are of those rows alone that have them.
PARTS = {Kind.LENGTH, Kind.RATE}

WHOLE = st.integers(-40, 40) | st.integers(-(1 << 53), 1 << 53) | st.integers(-(1 << 63), (1 << 64) - 1)
# Smaller ones are equal to the last bit of a float: bins of them may be one bin.
NORMAL = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)
POWERS = st.builds(lambda sign, power: sign * 2.0**power, st.sampled_from([-1, 1]), st.integers(-30, 30))
NEAR_POWERS = st.builds(math.nextafter, POWERS, st.sampled_from([-math.inf, math.inf]))
LOG_EDGES = st.builds(
    lambda sign, power, part: sign * 2.0**power * (1 + part / 32),
    st.sampled_from([-1, 1]),
    st.integers(-4, 4),
    st.integers(0, 31),
)
CATEGORIES = st.integers(0, 60).map(lambda each: f"c{each}")
TEXTS = st.text("aB1 é!.", max_size=9) | st.text(max_size=5)


def columns_of(values: st.SearchStrategy[Any], least: int = 1, most: int = 60) -> st.SearchStrategy[list[Any]]:
    """A column of training: each value some times, and at least as many rows as a profile needs."""

    def repeated(found: list[Any], times: int) -> list[Any]:
        return found * max(times, -(-ROWS_MIN // len(found)))

    return st.builds(repeated, st.lists(values, min_size=least, max_size=most), st.integers(1, REPEATED))


GAPS = st.sampled_from([None, ABSENT])
NUMBER_COLUMNS = st.one_of(
    columns_of(WHOLE),
    columns_of(NORMAL),
    columns_of(POWERS),
    columns_of(POWERS | NEAR_POWERS | st.sampled_from([0, 0.0, -0.0])),
    columns_of(LOG_EDGES),
    columns_of(st.sampled_from([0, 0.0, -0.0, 1, -1, 5])),
    columns_of(NORMAL, most=1),
    columns_of(WHOLE, most=1),
    columns_of(st.floats(0, 1, allow_subnormal=False)),
    columns_of(st.floats(1e9, 1e9 + 1)),
    columns_of(POWERS | st.integers(-3, 3) | GAPS),
    columns_of(st.integers(0, 9) | NORMAL | GAPS | st.booleans() | st.sampled_from(["x", [], {}])),
)
ANY_COLUMNS = st.one_of(
    NUMBER_COLUMNS,
    columns_of(st.booleans()),
    columns_of(st.booleans() | GAPS),
    columns_of(CATEGORIES),
    columns_of(CATEGORIES, least=35),
    columns_of(CATEGORIES | GAPS),
    columns_of(CATEGORIES | st.sampled_from(["x" * 65, ""])),
    columns_of(st.just("same")),
    columns_of(GAPS | st.just("same")),
)


def rows_of(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """As rows: shorter columns begin anew, and what is absent is not there at all."""
    count = max(map(len, columns.values()))
    taken = {name: [each[n % len(each)] for n in range(count)] for name, each in columns.items()}
    return [{name: each[n] for name, each in taken.items() if each[n] is not ABSENT} for n in range(count)]


def counted(reference: Reference, rows: list[dict[str, Any]]) -> list[list[int]]:
    """The rows themselves, as predictions: of each column the bins."""
    documents = [{"features": each} for each in rows]
    return helpers.dense(reference, Fold(reference).counts(helpers.given(documents)))


def assert_same(column: Column, live: list[int]) -> None:
    """The counts are the shares, exactly."""
    trained = [each * column.rows for each in column.shares]
    if column.kind in PARTS:
        live = [0, 0, *live[FIRST:]]
    assert [round(each) for each in trained] == live, column
    assert trained == pytest.approx(live, abs=1e-6)


@settings(max_examples=150)
@given(NUMBER_COLUMNS)
@example([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0] * 20)
@example([float(-(2**n)) for n in range(-20, 20)] * 3)
@example([1e308, -1e308, 1.7976931348623157e308] * 40)
@example([0] * 100)
@example([(1 << 53) + 1, 1 << 53, -(1 << 53) - 1] * 40)
@example([n / 7 for n in range(-500, 500)])
@example([2.0**n for n in range(-500, 500)] + [-(2.0**n) for n in range(-500, 500)] + [0] * 50)
def test_training_numbers_are_counted_as_the_profile_says(values: list[Any]) -> None:
    """Edges of bins, powers of two on either side of zero, zeros, the smallest and the largest, single values."""
    rows = rows_of({"n": values, "other": [1]})
    reference = reference_of(wanted(build(rows, min_count=1)))
    for column, live in zip(reference.columns, counted(reference, rows), strict=True):
        if column.shares:
            assert_same(column, live)
    for number in (each for each in reference.columns if each.kind is Kind.NUMBER):
        assert all(low < high for low, high in pairwise(number.edges))
        # Outside of training there is nothing; but of numbers that nearly no float is larger than.
        assert number.shares[FIRST] == 0
        assert number.shares[-1] == 0 or number.edges[-1] > 1e307


@given(st.dictionaries(st.sampled_from("abcd"), ANY_COLUMNS, min_size=1), st.booleans())
def test_training_rows_are_counted_as_the_profile_says(columns: dict[str, list[Any]], is_text: bool) -> None:  # noqa: FBT001
    """Of every kind of feature, through the profile's own file; and every share is of all rows."""
    texts = {"note": ["Hello World", "a", "", "Ä 1!", "b  c"]} if is_text else {}
    rows = rows_of({**columns, **texts, "other": [1]})
    profile = Profile.parse(build(rows, text=list(texts), min_count=1).dump(), "profile")
    reference = reference_of(wanted(profile))
    for column, live in zip(reference.columns, counted(reference, rows), strict=True):
        if column.shares:
            assert len(column.shares) == column.size
            assert sum(column.shares) == pytest.approx(1)
            assert min(column.shares) >= 0
            assert_same(column, live)
        if column.kind is Kind.WORDS:
            assert sum(live[FIRST + 1 :]) == 0  # training has none that it does not know
        if column.kind is Kind.NAMES:
            assert live == [0, 0, len(rows), 0]


@given(st.lists(TEXTS | st.none(), min_size=1, max_size=40))
def test_texts_are_counted_as_the_profile_says(texts: list[str | None]) -> None:
    """Whether there is one, lengths, rates; a profile knows its own words."""
    rows = rows_of({"t": texts * (-(-ROWS_MIN // len(texts)))})
    reference = reference_of(wanted(build(rows, text=["t"])))
    for column, live in zip(reference.columns, counted(reference, rows), strict=True):
        if column.shares:
            assert_same(column, live)
        elif column.kind is Kind.WORDS:
            assert sum(live[FIRST + 1 :]) == 0


def test_bins_hold_about_as_many_numbers_each() -> None:
    """At most 32 and two outside of training; none of many distinct numbers holds much more than its part."""
    for values in (
        [n * 1.5 for n in range(1000)],
        [math.exp(n / 130) for n in range(1000)],
        [1e9 + n / 1000 for n in range(1000)],
        [-math.exp(n / 130) for n in range(1000)],
        [(n - 500) ** 3 for n in range(1000)],
    ):
        (column, _) = reference_of(wanted(build([{"n": each} for each in values]))).columns
        assert 16 <= len(column.shares) - FIRST <= 35
        assert max(column.shares) < 0.15


def test_frequent_categories_have_bins_and_all_others_one() -> None:
    """Of more than 32 the most frequent; the rest, those that the profile does not name, and new ones are others."""
    values: list[Any] = [f"c{n}" for n in range(50) for _ in range(60 - n)]
    (column, _) = reference_of(wanted(build([{"c": each} for each in values]))).columns
    assert column.values == tuple(f"c{n}" for n in range(32))
    assert column.shares[-1] * len(values) == pytest.approx(sum(60 - n for n in range(32, 50)))
    reference = reference_of(wanted(build([{"c": each} for each in values])))
    values = ["c0", "c49", "new", None, 7, True, [], {}]
    live = counted(reference, [{"c": each} for each in values])[0]
    assert {place: count for place, count in enumerate(live) if count} == {MISSING: 1, ODD: 4, FIRST: 1, FIRST + 32: 2}


def test_rare_categories_are_others() -> None:
    """A profile names none that came in fewer than `min_count` rows: their share is not lost."""
    rows = [{"c": "often" if n % 2 else f"rare {n % 50}"} for n in range(400)]
    reference = reference_of(wanted(build(rows, min_count=20)))
    assert reference.columns[0].values == ("often",)
    assert_same(reference.columns[0], counted(reference, rows)[0])


def test_values_of_one_look_are_not_one_value() -> None:
    """1, true and "1" are three categories."""
    rows = [{"c": [True, "1", "x", 1, False, "1"][n % 6]} for n in range(120)]
    reference = reference_of(wanted(build(rows)))
    column = reference.columns[0]
    assert Counter((type(each), each) for each in column.values) == Counter(
        [(bool, True), (bool, False), (str, "1"), (str, "x"), (int, 1)]
    )
    assert_same(column, counted(reference, rows)[0])


def test_absent_null_and_foreign_values_have_bins_of_their_own() -> None:
    """So that a feature that stays away, and one of another type, are seen."""
    rows = [{"n": n % 30} if n % 10 else {} if n % 20 else {"n": "unknown"} for n in range(200)]
    column = reference_of(wanted(build(rows))).columns[0]
    assert column.kind is Kind.NUMBER
    assert column.shares[:FIRST] == (0.05, 0.05)
    assert column.rows == 200


def test_what_cannot_be_compared_is_noted() -> None:
    """Lists and objects, and what training never had a value of."""
    asked = wanted(build([{"list": [1], "never": None, "n": n} for n in range(100)]))
    reference = reference_of(asked)
    assert {each.feature for each in reference.columns} == {"n", "never", "features"} - (
        {"never"} if any("never" in note for note in asked.notes) else set()
    )
    assert any(note.startswith("list: ") for note in asked.notes)


@pytest.mark.parametrize(
    ("own", "asked", "message"),
    [
        ({"model": "fraud"}, {"model": "credit"}, "is of model 'fraud', and the monitor watches model 'credit'"),
        ({"version": "1"}, {"version": "2"}, "is of version '1', and the monitor watches version '2'"),
        ({}, {"leave_out": ("agee",)}, "leave_out: the profile has no feature 'agee'; did you mean age"),
        ({}, {"leave_out": ("zzz",)}, "leave_out: the profile has no feature 'zzz'; it has age, note, plan"),
        ({}, {"paths": {"plann": ("p",)}}, "fields: the profile has no feature 'plann'; did you mean plan"),
    ],
)
def test_a_profile_that_does_not_fit_is_refused(own: dict[str, Any], asked: dict[str, Any], message: str) -> None:
    """In words that say which setting, what it has, and what could be meant."""
    with pytest.raises(ConfigError) as error:
        reference_of(wanted(profile_of(**own), **asked))
    assert str(error.value).startswith("monitors.0.data.")
    assert message in str(error.value)


@pytest.mark.parametrize("asked", [{}, {"model": "fraud"}, {"model": "fraud", "version": "3"}])
@pytest.mark.parametrize("own", [{}, {"model": "fraud"}, {"model": "fraud", "version": "3"}])
def test_a_profile_that_says_nothing_else_fits(own: dict[str, Any], asked: dict[str, Any]) -> None:
    """One of no model is taken for that of the monitor's."""
    assert reference_of(wanted(profile_of(**own), **asked)).profile == "training"


def test_a_profile_of_few_rows_is_refused() -> None:
    """Of a hundred it is one."""
    with pytest.raises(ConfigError, match=r"monitors\.0\.data\.profile: is of 99 rows"):
        reference_of(wanted(profile_of(helpers.rows(1, 99))))
    assert reference_of(wanted(profile_of(helpers.rows(1, 100)))).columns


def test_what_is_left_out_is_not_compared_but_known() -> None:
    """Features, and the model's own answers."""
    rows = [{**each, "said": "yes", "sure": 0.5} for each in helpers.rows(1, 200)]
    profile = profile_of(rows, prediction="said", score="sure")
    every = reference_of(wanted(profile, score=("score",)))
    assert {"prediction", "score", "age"} <= {each.feature for each in every.columns}
    some = reference_of(wanted(profile, score=("score",), leave_out=("age", "prediction", "score")))
    assert {each.feature for each in some.columns} == {"note", "plan", "features"}
    assert some.known == every.known == {"age", "note", "plan"}


def test_where_features_are() -> None:
    """Below `features`, unless the profile names them in full, or the monitor says where one is."""
    plain, full = (
        profile_of(),
        profile_of([{"features": each} for each in helpers.rows(1, 200)], text=["features.note"]),
    )
    for profile in (plain, full):
        reference = reference_of(wanted(profile))
        assert {each.path for each in reference.columns[:-1]} == {
            ("features", name) for name in ("age", "note", "plan")
        }
        assert reference.known == {"age", "note", "plan"}
    top = reference_of(wanted(plain, features=(), paths={"age": ("user", "age")}))
    assert {each.path for each in top.columns} == {("user", "age"), ("note",), ("plan",)}
    assert all(each.kind is not Kind.NAMES for each in top.columns)


def test_steps_need_no_profile() -> None:
    """One column a step, and one for the raw value."""
    steps = {"note": [LowerCase(), LowerCase()]}
    reference = reference_of(wanted(None, steps=steps, raws={"note": ("raw",)}))
    assert [(each.name, each.kind, each.raw) for each in reference.columns] == [
        ("note: lower_case", Kind.STEP, None),
        ("note: lower_case", Kind.STEP, None),
        ("note: raw", Kind.STEP, ("raw",)),
    ]
    assert reference.profile is None


def test_the_fingerprint_is_of_what_bins_mean() -> None:
    """Another profile has another; the same rows in another order have the same."""
    rows = helpers.rows(1, 300)
    one, same, other = (reference_of(wanted(profile_of(each))) for each in (rows, rows[::-1], [*rows, {"age": 1e6}]))
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert one.fingerprint != reference_of(wanted(profile_of(rows), window_ms=1000)).fingerprint


def test_ranks_are_a_half_on_average() -> None:
    """The mean of training itself lies in the middle, whatever its bins."""
    for shares in ([1.0], [0.2, 0.3, 0.5], [0, 0, 1, 0], [0.0, 0.0]):
        ranks = bins.midranks(shares)
        weights = np.array(shares) if any(shares) else np.full(len(shares), 1 / len(shares))
        assert float((ranks * weights).sum()) == pytest.approx(0.5)
