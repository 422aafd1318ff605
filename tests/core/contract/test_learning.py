"""What is learnt of records in which all was well."""

import random
from collections.abc import Iterable
from typing import Any

import pytest

from benchmarks.contract.streams import records
from streamguard.core.contract.checking import Check
from streamguard.core.contract.fields import KINDS
from streamguard.core.contract.learning import Learner, LearningError
from streamguard.core.contract.schema import contract_of

Record = dict[str, Any]


def learnt(documents: Iterable[Record], *open_fields: str) -> Record:
    """The schema of records."""
    learner = Learner(open_fields)
    learner.take(list(documents))
    return learner.schema("records")


def field(documents: Iterable[Record], *open_fields: str) -> Record:
    """What is learnt of a field named a."""
    found: Record = learnt(documents, *open_fields)["properties"]["a"]
    return found


def test_nothing_is_learnt_of_nothing() -> None:
    """There must be a record."""
    with pytest.raises(LearningError, match="there is no record to learn from"):
        Learner().schema("records")


@pytest.mark.parametrize("count", [1, 10, 999, 1000, 5000])
def test_the_records_themselves_differ_no_oftener_than_usual(count: int) -> None:
    """What was learnt from is taken, but for what was missing and null now and then, which is counted as usual."""
    documents = list(records(count, seed=4))
    contract = contract_of(learnt(documents))
    marks = Check(contract).marks(documents)
    for number in set(marks.numbers):
        assert marks.numbers.count(number) <= contract.level(number) * count + 1e-6, divmod(number, KINDS)


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        ([1, 2], "integer"),
        ([1, 2.5], "number"),
        ([True], "boolean"),
        (["a", None], ["null", "string"]),
        ([[1], []], "array"),
        ([{}], "object"),
        ([1, "a"], ["integer", "string"]),
    ],
)
def test_types_are_those_that_came(values: list[Any], kinds: Any) -> None:
    """A whole number is a number, where others were not whole."""
    assert field({"a": value} for value in values)["type"] == kinds


def test_texts_that_are_few_are_enumerated() -> None:
    """Those of open fields are not, nor those that are many or still new."""
    few = [{"a": "xyz"[number % 3]} for number in range(100)]
    assert field(few)["enum"] == ["x", "y", "z"]
    assert "enum" not in field(few, "a")
    assert "enum" not in field({"a": str(number % 60)} for number in range(5000))
    assert "enum" not in field([*few, {"a": "new"}])
    assert field([*few, *[{"a": None}] * 2])["enum"] == ["x", "y", "z", None]


def test_forms_are_learnt() -> None:
    """Of texts that all have one."""
    days = [{"a": f"2026-{1 + n // 28 % 12:02}-{1 + n % 28:02}"} for n in range(300)]
    assert field(days)["format"] == "date"
    assert "format" not in field([*days, {"a": "soon"}])


def test_bounds_leave_room() -> None:
    """And a number that could not be negative is not expected to be."""
    found = field({"a": number % 101} for number in range(3000))
    assert (found["minimum"], found["maximum"]) == (0, 150)
    assert found["x-quantiles"][0] == 0
    assert found["x-quantiles"][-1] == 100


def test_a_number_that_grows_may_go_on() -> None:
    """A time is held to its order of magnitude."""
    found = field({"a": 1_700_000_000_000 + number * 1000} for number in range(6000))
    assert found["maximum"] >= 2 * 1_700_000_000_000
    assert "x-quantiles" not in found


def test_names_without_end_are_no_fields() -> None:
    """An object by ID is a map: whatever is in it."""
    documents = [{"a": {f"user{number}": number}} for number in range(300)]
    assert field(documents) == {"type": "object"}
    assert len(Check(contract_of(learnt(documents))).marks([{"a": {"other": {}}}])) == 0


def test_rates_are_of_the_worst_thousand() -> None:
    """What comes in bursts is usual."""
    documents = [{"a": None} if 2000 <= number < 2500 else {"a": 1} for number in range(10_000)]
    assert field(documents)["x-usual"] == {"null": 0.5}
    absent = [{} if 2000 <= number < 2300 else {"a": 1} for number in range(10_000)]
    found = learnt(absent)
    assert found["properties"]["a"]["x-usual"] == {"missing": 0.3}
    assert "required" not in found


def test_a_field_that_comes_later_may_be_missing() -> None:
    """Until then it always was."""
    documents: list[Record] = [{}] * 3000 + [{"a": 1}] * 3000
    assert field(documents)["x-usual"] == {"missing": 1.0}
    assert field([{}] * 500 + [{"a": 1}] * 500)["x-usual"] == {"missing": 0.5}


def test_fields_of_arrays_are_learnt() -> None:
    """Of all elements together."""
    found = learnt([{"items": [{"n": 1}, {"n": 2, "m": "x"}]}] * 50)["properties"]["items"]["items"]
    assert found["required"] == ["n"]
    assert found["properties"]["n"]["type"] == "integer"


def test_any_record_can_be_learnt_from() -> None:
    """And is taken then."""
    rng = random.Random(5)  # noqa: S311 - no secrets

    def value(depth: int) -> Any:
        kinds = ["", 0, -1.5, 1e308, -1.7e308, -(1 << 63), (1 << 64) - 1, True, None, "a\x00", "\u00e9"]
        if depth < 4 and rng.random() < 0.4:
            inside = [value(depth + 1) for _ in range(rng.randrange(3))]
            return inside if rng.random() < 0.5 else {str(rng.choice(kinds)): each for each in inside}
        return rng.choice(kinds)

    for _ in range(200):
        documents = [{name: value(0) for name in rng.sample(["a", "b", "c.d", ""], 3)} for _ in range(5)]
        contract = contract_of(learnt(documents))
        marks = Check(contract).marks(documents)
        assert all(contract.level(number) > 0 for number in marks.numbers)
