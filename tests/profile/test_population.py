"""Rows: which fields they have, and which rows are none."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.fields import Path
from streamguard.errors import ConfigError
from streamguard.profile.feature import Feature, Kinds, Limits
from streamguard.profile.population import Plan, Population
from streamguard.profile.writing import features, judged
from tests.profile.helpers import JSON, merged

ROWS = st.lists(
    st.one_of(
        st.dictionaries(st.sampled_from(["a", "b", "a.c", "p", "l", "note"]), JSON, max_size=4).map(orjson.dumps),
        st.dictionaries(st.just("a"), st.dictionaries(st.sampled_from("cd"), JSON)).map(orjson.dumps),
        st.sampled_from([b"", b"[1]", b"null", b"?", b'{"a": NaN, "b": "\\ud800"}', b'{"a": 1e999}']),
    ),
    max_size=30,
)


def population(rows: list[bytes], plan: Plan | None = None) -> Population:
    """Of these rows."""
    found = Population(plan or Plan())
    found.add(rows)
    return found


def test_objects_are_looked_into() -> None:
    """By dotted paths; a dot in a name is as a step, and empty objects are values."""
    found = population([b'{"a": {"b": {"c": 1}, "d": {}}}', b'{"a.b.c": 2, "a": 3}'])

    assert {".".join(path): each.kinds.count for path, each in found.features.items()} == {"a.b.c": 2, "a.d": 1, "a": 1}


def test_what_is_nested_deeply_is_an_object() -> None:
    """Paths end somewhere."""
    row = b'{"a":' * 100 + b"1" + b"}" * 100
    ((path, found),) = population([row]).features.items()

    assert (len(path), found.kinds) == (8, Kinds(object=1))


def test_a_row_nested_beyond_all_readers_is_no_row() -> None:
    """Neither crashes."""
    found = population([b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"[" * 100_000])
    assert (found.rows, found.unreadable) == (0, 2)


def test_columns_that_come_late_were_missing_before() -> None:
    """As many rows as have no such field."""
    found = population([b'{"a": 1}'] * 3 + [b'{"a": 1, "b": null}'])
    told = features(found.features, found.rows, 1)

    assert (told["a"].missing, told["b"].missing, told["b"].kinds) == (0, 4, {"null": 1})


def test_rows_that_only_lenient_readers_take_are_counted() -> None:
    """Python itself writes NaN, and a worker would reject such records."""
    found = population([b'{"a": NaN, "b": Infinity, "c": "\\ud800"}', b'{"a": 1}', b"{", b"3", b""])

    assert (found.rows, found.loose, found.unreadable) == (2, 1, 3)
    assert found.features["a",].kinds == Kinds(nan=1, integer=1)
    assert found.features["b",].kinds == Kinds(infinite=1)
    assert found.features["c",].unpaired == 1


def test_what_is_left_out_is_left_out_with_all_below_it() -> None:
    """An ID is profiled nowhere, and an answer is no feature."""
    plan = Plan(left_out={("id",): "request ID", ("meta",): "left out"}, prediction=("out", "said"))
    found = population([b'{"id": 1, "meta": {"a": {"b": 2}}, "metal": 3, "out": {"said": "x", "why": "y"}}'], plan)

    assert list(found.features) == [("metal",), ("out", "why")]
    assert found.answers["prediction"].categories.ranked(1) == [("x", 1)]


def test_names_that_are_values_are_refused() -> None:
    """A thousand and one columns are no table: bounded, and said."""
    with pytest.raises(ConfigError, match=r"more than 1,000 features, such as by_user.u0, .*: leave out"):
        population([orjson.dumps({"by_user": {f"u{number}": 1 for number in range(1001)}})])


@given(ROWS)
def test_neither_order_nor_cuts_matter(rows: list[bytes]) -> None:
    """Whatever the rows are."""
    plan = Plan(
        texts=frozenset({("note",)}), prediction=("p",), label=("l",), score=("a",), limits=Limits(has_filter=True)
    )

    def told(found: Population) -> list[Any]:
        counts = [found.rows, found.unreadable, found.loose]
        answers: dict[Path, Feature] = {(name,): each for name, each in found.answers.items()}
        both = features(found.features, max(1, found.rows), 1), features(answers, max(1, found.rows), 1)
        assert found.outcome is not None
        return [*counts, *both, judged(found.outcome, 1)]

    assert told(merged(lambda: Population(plan), Population.add, rows)) == told(population(rows, plan))
