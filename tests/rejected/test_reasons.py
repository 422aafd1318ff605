"""Reasons that differ in values alone are one kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.codec import Mapping, Reader
from streamguard.core.records import Batch, TopicPartition
from streamguard.rejected.reasons import kind_of

KINDS = [
    (
        "field 'x1.t' is 5000 ms ahead of the record's Kafka timestamp, above join.max_ahead 3600000 ms",
        "field 'x1.t' is N ms ahead of the record's Kafka timestamp, above join.max_ahead N ms",
    ),
    ("field 'it''s' is missing or null", "field 'it''…' is missing or null"),
    ("field 'label': value 'a\\'b' is not an integer", "field 'label': value '…' is not an integer"),
    ('field "it\'s": value "it\'s" is not a number', "field \"it's\": value '…' is not a number"),
    ("field 't': time '5' is not RFC 3339", "field 't': time '…' is not RFC 3339"),
    (
        "not JSON: unexpected character: line 1 column 5 (char 4)",
        "not JSON: unexpected character: line N column N (char N)",
    ),
    ("value of 1,048,577 bytes, above limits.record_bytes 1048576", "value of N bytes, above limits.record_bytes N"),
    ("after 3 tries: example.com:443 answered 404: gone", "after N tries: example.com:N answered N: gone"),
    ("str is not valid UTF-8: line 1", "str is not valid UTF-8: line N"),
    ("", ""),
]


@pytest.mark.parametrize(("reason", "kind"), KINDS)
def test_values_are_left_out_and_names_stay(reason: str, kind: str) -> None:
    """Numbers and quoted values vary; the field, the topic and the standard do not."""
    assert kind_of(reason) == kind


@given(st.text())
def test_a_kind_is_its_own(text: str) -> None:
    """Whatever a reason says, its kind is of that kind, and nothing raises."""
    assert kind_of(kind_of(text)) == kind_of(text)


VALUES = st.one_of(
    st.text(max_size=60), st.integers(-(10**30), 10**30), st.floats(), st.none(), st.lists(st.integers())
)


@given(value=VALUES, time=VALUES, request_id=VALUES)
def test_the_reader_has_few_kinds(value: object, time: object, request_id: object) -> None:
    """Whatever stands in a record's fields, none of it is in the kind."""
    import orjson  # noqa: PLC0415

    reader = Reader(Mapping(("id",), ("value",), "int", time=("time",)))
    try:
        raw = orjson.dumps({"id": request_id, "value": value, "time": time})
    except TypeError:
        return
    _, rejections = reader.read(Batch(TopicPartition("t", 0), [0], [10**12], [None], [raw], [()], 1))
    kinds = {kind_of(each.reason) for each in rejections}
    assert kinds <= KNOWN, kinds


KNOWN = {
    *(f"field '{name}' is missing or null" for name in ("id", "value", "time")),
    *(f"field 'id' is {kind}: expected a string" for kind in ("a number", "an array")),
    "field 'id' has N characters: expected N to N",
    "field 'value': value '…' is not an integer, as its declared type says",
    *(
        f"field 'value': value is {kind}: expected an integer, as its declared type says"
        for kind in ("a number", "an array", "null")
    ),
    "field 'value': value '…' is an integer of more than N bits",
    "time '…' is not RFC 3339",
    "time '…' has no UTC offset",
    "time '…' is out of range",
    *(f"time is {kind}: expected epoch milliseconds or RFC 3339 text" for kind in ("a number", "an array", "null")),
    "time N is outside N to N",
    "field 'time' is N ms ahead of the record's Kafka timestamp, above join.max_ahead N ms",
}
