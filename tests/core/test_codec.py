"""Bytes to columns: what is taken, what is refused, and in which words."""

import math
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.codec import Columns, Mapping, Reader, Rejection, Route, Watch
from streamguard.core.records import Batch
from tests.core.helpers import as_json, batch

PLAIN = Mapping(("id",), ("value",))
TIMED = replace(PLAIN, time=("at",), max_ahead_ms=1000)
DEEP = b'{"x":' * 600 + b"1" + b"}" * 600


def read(*values: bytes | None, mapping: Mapping = PLAIN, times: int = 0) -> tuple[Columns, list[Rejection]]:
    """Read with a new reader."""
    return Reader(mapping).read(batch(values, times))


def taken(value: bytes, mapping: Mapping = PLAIN, times: int = 0) -> Columns:
    """One record, which is not refused."""
    columns, rejections = read(value, mapping=mapping, times=times)
    assert not rejections, rejections[0].reason
    return columns


def value_of(raw: bytes, kind: str | None = None) -> Any:
    """The value in a record, by its declared type."""
    return taken(b'{"id": "a", "value": ' + raw + b"}", replace(PLAIN, value_type=kind)).values[0]


def reason(value: bytes | None, mapping: Mapping = PLAIN, times: int = 0) -> str:
    """Why a record is refused; the good ones around it must not suffer."""
    usual = {"int": 1, "float": 0.5, "bool": True}.get(mapping.value_type or "", "x")
    good = as_json(id="a", value=usual, at=0)
    columns, (rejection,) = read(good, value, good, mapping=mapping, times=times)
    assert columns.offsets.tolist() == [0, 2]
    assert rejection.index == 1
    return rejection.reason


def test_records_become_columns() -> None:
    """Each column holds the records in offset order, and the Kafka timestamp is the event time."""
    columns, rejections = read(as_json(id="a", value=1), as_json(id="b", value="x", more=None), times=7)
    assert columns.offsets.tolist() == [0, 1]
    assert columns.times.tolist() == [7, 7]
    assert columns.ids.tolist() == ["a", "b"]
    assert columns.values.tolist() == [1, "x"]
    assert columns.scores is None
    assert columns.routes is None
    assert rejections == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "empty value (a tombstone): expected a JSON object"),
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"hello", "not JSON"),
        (b'{"id": "a", "value": "x"', "not JSON"),
        (b'{"id": "a", "value": NaN}', "not JSON"),
        (b'{"id": "a", "value": Infinity}', "not JSON"),
        (b'{"id": "\\ud800", "value": 1}', "not JSON"),
        (b'{"id": "a", "value": "\\udc00"}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "expected a JSON object, got an array"),
        (b'"text"', "expected a JSON object, got a string"),
        (b"null", "expected a JSON object, got null"),
        (b"true", "expected a JSON object, got a boolean"),
        (b"{}", "field 'id' is missing or null"),
        (as_json(id=None, value=1), "field 'id' is missing or null"),
        (as_json(id=7, value=1), "field 'id' is a number: expected a string"),
        (as_json(id=["a"], value=1), "field 'id' is an array: expected a string"),
        (as_json(id={}, value=1), "field 'id' is an object: expected a string"),
        (as_json(id="", value=1), "field 'id' has 0 characters: expected 1 to 512"),
        (as_json(id="a" * 513, value=1), "field 'id' has 513 characters: expected 1 to 512"),
        (as_json(id="a"), "field 'value' is missing or null"),
        (as_json(id="a", value=None), "field 'value' is missing or null"),
        (as_json(id="a", value=[1]), "field 'value': value is an array: expected a string, a number or a boolean"),
        (as_json(id="a", value={}), "field 'value': value is an object"),
        (as_json(id="a", value="x" * 1025), "field 'value' has 1025 characters, above 1024"),
        (as_json(id="a", value="x" * 10_000_000), "above limits.record_bytes 1048576"),
    ],
)
def test_what_cannot_be_used_comes_back_with_the_reason(value: bytes | None, words: str) -> None:
    """One bad record costs itself alone, and the rejected topic says what is wrong with it."""
    assert words in reason(value)


def test_a_number_too_large_for_a_float_is_refused() -> None:
    """1e999 would be infinity, and one infinity blinds a detector."""
    assert reason(b'{"id": "a", "value": 1e999}')
    assert reason(b'{"id": "a", "value": -1e999}')


def test_the_longest_allowed_is_allowed() -> None:
    """Limits are inclusive."""
    record = as_json(id="a" * 512, value="x" * 1024)
    assert taken(record, replace(PLAIN, record_bytes=len(record))).ids.tolist() == ["a" * 512]
    assert reason(record, replace(PLAIN, record_bytes=len(record) - 1))


SCALARS: st.SearchStrategy[Any] = st.sampled_from(
    ["x", "y", "1", "true", 1, 0, 1.0, 0.5, -0.5, 2.5, True, False, None, [], {}, 1 << 63, -(1 << 63)]
)
FIELDS = {
    "id": st.sampled_from(["a", "b", "", "c" * 30, 7, None]),
    "value": SCALARS,
    "score": SCALARS,
    "model": SCALARS,
}
RECORDS = st.fixed_dictionaries({}, optional={**FIELDS, "at": SCALARS | st.integers(-5, 3000)}).map(orjson.dumps)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(RECORDS | st.sampled_from([None, b"", b"[]", b"{"]), max_size=12),
    st.sampled_from([None, "int", "float", "str", "bool"]),
    st.sampled_from([PLAIN, TIMED, replace(TIMED, score=("score",))]),
    st.sampled_from([-1, 0, 1000]),
)
def test_the_usual_and_the_unusual_way_agree(
    values: list[bytes | None], kind: str | None, mapping: Mapping, at_ms: int
) -> None:
    """The short cut for the common record takes nothing that the long way would refuse, and nothing otherwise."""
    mapping = replace(mapping, value_type=kind, request_id_chars=20, record_bytes=80)
    usual, unusual = (Reader(mapping, [Watch((), (("model",),))]) for _ in range(2))
    unusual._get = {}.__getitem__
    for _ in range(2):
        (one, rejections), (other, others) = (reader.read(batch(values, at_ms)) for reader in (usual, unusual))
        assert rejections == others
        assert repr([*zip(*columns_of(one), strict=True)]) == repr([*zip(*columns_of(other), strict=True)])


def columns_of(columns: Columns) -> list[list[Any]]:
    """All of them."""
    arrays = columns.offsets, columns.times, columns.ids, columns.values, columns.scores, columns.routes
    return [array.tolist() for array in arrays if array is not None]


@pytest.mark.parametrize(
    ("raw", "kind", "expected"),
    [
        (b'"1"', None, "1"),
        (b"1", None, 1),
        (b"1.0", None, 1.0),
        (b"true", None, True),
        (b"18446744073709551615", None, (1 << 64) - 1),
        (b"18446744073709551616", None, float(1 << 64)),
        (b'"12"', "int", 12),
        (b"12.0", "int", 12),
        (b"-9223372036854775808", "int", -(1 << 63)),
        (b'"1.5"', "float", 1.5),
        (b"1", "float", 1.0),
        (b"1", "str", "1"),
        (b"true", "str", "true"),
        (b"0.5", "str", "0.5"),
        (b'"True"', "bool", True),
        (b"0", "bool", False),
        (b"false", "bool", False),
    ],
)
def test_values_compare_by_declared_type(raw: bytes, kind: str | None, expected: Any) -> None:
    """Undeclared, `1`, `"1"` and `true` stay three values; declared, they become one type."""
    value = value_of(raw, kind)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("raw", "kind", "words"),
    [
        (b'"1.5"', "int", "value '1.5' is not an integer, as its declared type says"),
        (b"1.5", "int", "value is a number: expected an integer"),
        (b"true", "int", "value is a boolean: expected an integer"),
        (b'"99999999999999999999"', "int", "value '99999999999999999999' is an integer of more than 64 bits"),
        (b"1e300", "int", "more than 64 bits"),
        (b'"' + b"9" * 5000 + b'"', "int", "is not an integer"),
        (b"[]", "int", "value is an array: expected an integer"),
        (b'"one"', "float", "value 'one' is not a number"),
        (b'"nan"', "float", "value is not a finite number"),
        (b'"-inf"', "float", "value is not a finite number"),
        (b'"1e999"', "float", "value is not a finite number"),
        (b"true", "float", "value is a boolean: expected a number"),
        (b"{}", "str", "value is an object: expected a string"),
        (b"2", "bool", "value '2' is not a boolean"),
        (b'"yes"', "bool", "value 'yes' is not a boolean"),
        (b"1.0", "bool", "value '1.0' is not a boolean"),
    ],
)
def test_a_value_that_is_not_of_its_declared_type_is_refused(raw: bytes, kind: str, words: str) -> None:
    """What cannot be written later, or cannot be compared, is refused where it is read."""
    words_found = reason(b'{"id": "a", "value": ' + raw + b"}", replace(PLAIN, value_type=kind))
    assert words in words_found
    assert "field 'value': " in words_found


def test_a_poison_timestamp_is_refused() -> None:
    """An event time far ahead of its record would make all that follow late; at the limit it is taken."""
    ahead = as_json(id="a", value="x", at=2001)
    assert reason(ahead, TIMED, times=1000) == (
        "field 'at' is 1001 ms ahead of the record's Kafka timestamp, above join.max_ahead 1000 ms"
    )
    text = as_json(id="a", value="x", at="1970-01-01T00:00:02.001Z")
    assert "ahead of the record's Kafka timestamp" in reason(text, TIMED, times=1000)
    assert taken(ahead, TIMED, times=1001).times.tolist() == [2001]
    assert taken(as_json(id="a", value="x", at=0), TIMED, times=10**12).times.tolist() == [0]


def test_a_record_without_a_kafka_timestamp_is_refused() -> None:
    """Nothing says then whether its time field is poison, and one such would make all that follow late."""
    _, rejections = read(as_json(id="a", value="x", at=5), mapping=TIMED, times=-1)
    assert rejections[0].reason == "the record has no Kafka timestamp, so join.max_ahead cannot be checked"
    _, rejections = read(as_json(id="a", value="x"), times=-1)
    assert rejections[0].reason == "the record has no Kafka timestamp, and no time field is configured"


@pytest.mark.parametrize("at", [None, "soon", [], True])
def test_a_bad_time_field_is_no_reason_to_take_the_kafka_timestamp(at: Any) -> None:
    """A record without the time it should have is refused, not dated by when it was written."""
    assert reason(as_json(id="a", value="x", at=at), TIMED)


def test_fields_may_be_nested() -> None:
    """A dotted path of the config reaches into objects, and nothing else."""
    mapping = Mapping(("meta", "id"), ("out", "class"), time=("meta", "at"))
    good = as_json(meta={"id": "a", "at": 3}, out={"class": "x"})
    others = as_json(meta="a", out={}), as_json(meta={"id": "a"}, out=["class"])
    columns, rejections = read(good, *others, mapping=mapping)
    assert (columns.ids.tolist(), columns.values.tolist(), columns.times.tolist()) == (["a"], ["x"], [3])
    assert [each.reason for each in rejections] == [
        "field 'meta.id' is missing or null",
        "field 'out.class' is missing or null",
    ]


@pytest.mark.parametrize(("score", "expected"), [(0, 0.0), (1, 1.0), (0.25, 0.25), (None, math.nan)])
def test_a_score_is_a_probability_or_not_there(score: float | None, expected: float) -> None:
    """A prediction without a score is still a prediction."""
    scores = taken(as_json(id="a", value=1, score=score), replace(PLAIN, score=("score",))).scores
    assert scores is not None
    assert scores[0] == expected or math.isnan(expected) == math.isnan(scores[0])


@pytest.mark.parametrize("score", [-0.1, 1.1, "0.5", True, [0.5], 1 << 63])
def test_any_other_score_is_refused(score: Any) -> None:
    """A logarithm of a score outside 0 to 1 would be no number."""
    words = reason(as_json(id="a", value=1, score=score), replace(PLAIN, score=("score",)))
    assert words == "field 'score' is not a probability from 0 to 1"


ALL = Watch((), ())
FRAUD = Watch(((("model",), "fraud"),), (("version",), ("geo", "country")))


def routes_of(columns: Columns) -> list[Route]:
    """Where predictions go."""
    assert columns.routes is not None
    return list(columns.routes)


def routes(*records: dict[str, Any], watches: tuple[Watch, ...] = (ALL, FRAUD)) -> list[Route]:
    """Where records go, read one by one, and again from what the reader has seen."""
    reader = Reader(replace(PLAIN, model=("model",)), watches)
    values = [as_json(id="a", value="x", **record) for record in records]
    read_one = [routes_of(reader.read(batch([value]))[0])[0] for value in values]
    assert routes_of(reader.read(batch(values))[0]) == read_one
    return read_one


def test_a_prediction_goes_to_every_monitor_that_matches() -> None:
    """A route names each monitor, and the segment that the record falls into there."""
    assert routes({"model": "fraud", "version": "7", "geo": {"country": "DE"}}, {"model": "other"}) == [
        ((0, ()), (1, ("7", "DE"))),
        ((0, ()),),
    ]


def test_segments_are_named_by_text() -> None:
    """`7` and `"7"` are one segment; a boolean, a missing field and null are others; long names are cut."""
    versions = [7, "7", True, 1, 1.0, "1", None, "v" * 300]
    found = [route[1][1][0] for route in routes(*({"model": "fraud", "version": each} for each in versions))]
    assert found == ["7", "7", "true", "1", "1.0", "1", None, "v" * 256]


def test_what_is_matched_compares_as_segments_do() -> None:
    """`match: {live: true}` takes `true`, not 1."""
    watch = Watch(((("live",), "true"),), ())
    assert [bool(route) for route in routes(*({"live": each} for each in (True, "true", 1)), watches=(watch,))] == [
        True,
        True,
        False,
    ]


def test_a_segment_nested_too_deeply_is_refused() -> None:
    """JSON can be read 1,024 deep but written only 254 deep: such a name must not end the worker."""
    record = b'{"id": "a", "value": 1, "version": ' + DEEP + b"}"
    reader = Reader(PLAIN, [Watch((), (("version",),))])
    assert "nested too deeply" in reader.read(batch([record]))[1][0].reason
    unwatched = Reader(replace(PLAIN, model=("version",)), [FRAUD])
    assert "nested too deeply" in unwatched.read(batch([record]))[1][0].reason


def test_models_that_nobody_monitors_are_counted_by_name() -> None:
    """A model deployed without a monitor is told to the user, each record of it counted, and only once."""
    reader = Reader(replace(PLAIN, model=("model",)), [FRAUD])
    models: list[Any] = ["fraud", "spam", "spam", 7, None]
    read_batch: Batch = batch([as_json(id="a", value="x", model=model) for model in models])
    assert routes_of(reader.read(read_batch)[0])[1:] == [()] * 4
    assert reader.pop_unmonitored() == {"spam": 2, "7": 1, "no model named": 1}
    assert reader.pop_unmonitored() == {}
    reader.read(batch([as_json(id="a", value="x", model=f"m{number}") for number in range(150)]))
    counted = reader.pop_unmonitored()
    assert len(counted) == 101
    assert counted["others"] == 50
    nameless = Reader(PLAIN, [FRAUD])
    nameless.read(batch([as_json(id="a", value="x", model="spam")]))
    assert nameless.pop_unmonitored() == {"no model named": 1}
