"""Records of streamguard's own form, alone and in batches; and no bytes make any format raise anything else."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.codec import Mapping
from streamguard.core.fields import Unreadable
from streamguard.core.payloads import Adapter, Half, Paired, Raw, Row, Side
from tests.core.payloads.helpers import RECORD_MS, labels_format, predictions_format, raw, whole

LABEL = Mapping(("meta", "id"), ("label",), time=("at",))


def test_plain_records_stay_as_they_are() -> None:
    """Byte for byte: only the key is new."""
    value = b'{ "meta": {"id": "r1"}, "label": 1.0, "at": 1700000000005, "country": "DE" }'
    form = labels_format(LABEL, type="plain")
    assert not isinstance(form, Paired)
    (row,) = form.rows(raw(value))
    assert (row.request_id, row.time_ms, row.value) == ("r1", RECORD_MS + 5, value)


def test_a_batch_of_objects() -> None:
    """What a row lacks is the record's."""
    record = {
        "at": RECORD_MS,
        "source": "nightly",
        "rows": [{"meta": {"id": "r1"}, "label": 1}, {"meta": {"id": 7}, "label": 0, "at": RECORD_MS + 1}],
    }
    assert whole(labels_format(LABEL, type="batch", rows="rows"), raw(record)) == [
        {"at": RECORD_MS, "source": "nightly", "meta": {"id": "r1"}, "label": 1},
        {"at": RECORD_MS + 1, "source": "nightly", "meta": {"id": "7"}, "label": 0},
    ]


def test_a_batch_of_values() -> None:
    """With features in an array beside it, and IDs by number."""
    record = {"request_id": "b", "model": "m", "out": {"predictions": [1, 0]}, "inputs": [{"x": 1}, {"x": 2}]}
    form = predictions_format(type="batch", rows="out.predictions", features="inputs")
    assert whole(form, raw(record)) == [
        {"request_id": "b:0", "model": "m", "out": {}, "prediction": 1, "features": {"x": 1}},
        {"request_id": "b:1", "model": "m", "out": {}, "prediction": 0, "features": {"x": 2}},
    ]
    (alone,) = whole(form, raw(record | {"out": {"predictions": [1]}, "inputs": [{"x": 1}]}))
    assert alone["request_id"] == "b"


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"rows": []}, "'rows' is empty"),
        ({"rows": 3}, "'rows' is a number"),
        ({}, "'rows' is missing or null"),
        ({"rows": [{"label": 1}], "at": 1}, "'meta.id' is in neither the rows nor the record"),
        ({"rows": [{"meta": {"id": "a"}}]}, "'at' is missing or null"),
    ],
)
def test_batches_that_cannot_be_used_have_a_reason(record: dict[str, Any], words: str) -> None:
    """Every one."""
    with pytest.raises(Unreadable) as found:
        whole(labels_format(LABEL, type="batch", rows="rows"), raw(record))
    assert words in str(found.value)


FORMS = [
    predictions_format(type="kserve"),
    predictions_format(type="kserve", argmax=True, row_id="x", names=["a"], output="o", score="s"),
    predictions_format(type="seldon"),
    predictions_format(type="seldon", argmax=True, classes=["a", "b"]),
    predictions_format(type="mlflow"),
    predictions_format(type="bentoml", prediction="a", score="s"),
    predictions_format(type="batch", rows="rows", features="inputs"),
    predictions_format(type="plain"),
]
NAMES = [
    *("instances", "inputs", "outputs", "predictions", "data", "names", "ndarray", "tensor", "values", "shape"),
    *(
        "datatype",
        "name",
        "parameters",
        "jsonData",
        "dataframe_split",
        "dataframe_records",
        "columns",
        "rows",
        "a",
        "s",
    ),
    *("request", "response", "request_id", "timestamp", "timestamp_ms", "status_code", "error", "status", "x", "o"),
    *("request_metadata", "client_request_id", "specversion", "type", "id", "data_base64"),
]
scalars = st.none() | st.booleans() | st.integers(-3, 1 << 63) | st.floats(allow_nan=False, allow_infinity=False)
documents = st.recursive(
    scalars | st.text(max_size=5) | st.sampled_from(["FP32", "base64", '{"predictions": [1]}']),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=25,
)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: type(form).__name__)
@settings(max_examples=400, deadline=None)
@given(request=documents, response=documents, garbage=st.binary(max_size=20))
def test_no_bytes_make_a_format_raise(form: Adapter, request: Any, response: Any, garbage: bytes) -> None:
    """All that is not a prediction is `Unreadable`, and what is one can be written as JSON and has an ID."""
    bodies = [orjson.dumps(request), orjson.dumps(response), garbage]
    rows: list[Row] = []
    reasons: list[str] = []
    for body in bodies:
        try:
            if isinstance(form, Paired):
                halves = Half(Side.REQUEST, "r", 0, bodies[0]), Half(Side.RESPONSE, "r", 0, body)
                rows += form.pair(*halves)
                form.half(Raw(body, (), 0))
            else:
                rows += form.rows(Raw(body, (), 0))
        except Unreadable as reason:
            reasons.append(str(reason))
    assert all(reasons)
    for row in rows:
        assert row.request_id
        assert type(orjson.loads(row.value)) is dict
