"""KServe's events become predictions.

The examples are facts of public documents, typed anew: KServe documentation, "Basic Inference Logger" (requests of the
iris model and their answers), "Open Inference Protocol" (the shapes of tensors), TensorFlow Serving, "RESTful API"
(columns).
"""

from typing import Any

import pytest

from streamguard.core.fields import Unreadable
from streamguard.core.payloads import Side
from tests.core.payloads.helpers import RECORD_MS, half, paired, predictions_format, raw

# KServe documentation, "Basic Inference Logger", expected output of the message dumper.
LOGGED = {
    "ce_specversion": "1.0",
    "ce_type": "org.kubeflow.serving.inference.request",
    "ce_source": "http://localhost:9081/",
    "ce_id": "0009174a-24a8-4603-b098-09c8799950e9",
    "ce_time": "2021-04-10T00:23:26.0789529Z",
    "ce_component": "predictor",
    "ce_endpoint": "",
    "ce_inferenceservicename": "sklearn-iris",
    "ce_namespace": "default",
    "ce_traceparent": "00-90bdf848647d50283394155d2df58f19-84dacdfdf07cadfc-00",
    "content-type": "application/x-www-form-urlencoded",
}
ANSWERED = LOGGED | {"ce_type": "org.kubeflow.serving.inference.response", "ce_time": "2021-04-10T00:23:26.080736102Z"}
TIME_MS = 1_618_014_206_081
IRIS = {"instances": [[6.8, 2.8, 4.8, 1.4], [6.0, 3.4, 4.5, 1.6]]}


def kserve(request: Any, response: Any, **settings: Any) -> list[dict[str, Any]]:
    """What the two become."""
    form = predictions_format(type="kserve", **settings)
    return paired(form, None if request is None else raw(request, LOGGED), raw(response, ANSWERED))


def test_the_documented_example() -> None:
    """Two instances are two predictions, of one request's ID and their numbers."""
    assert kserve(IRIS, {"predictions": [1, 1]}, names=["sl", "sw", "pl", "pw"]) == [
        {
            "request_id": f"0009174a-24a8-4603-b098-09c8799950e9:{number}",
            "prediction": 1,
            "timestamp": TIME_MS,
            "namespace": "default",
            "component": "predictor",
            "model": "sklearn-iris",
            "features": dict(zip(["sl", "sw", "pl", "pw"], row, strict=True)),
        }
        for number, row in enumerate(IRIS["instances"])
    ]


def test_one_instance_keeps_the_requests_id() -> None:
    """Then labels name the prediction by what the client knows."""
    (found,) = kserve({"instances": [[1, 2]]}, {"predictions": [0.5]})
    assert (found["request_id"], found["features"]) == (LOGGED["ce_id"], {"0": 1, "1": 2})


def test_a_feature_may_hold_each_rows_id() -> None:
    """Batches of somebody's own rows."""
    rows = [{"order": 17, "amount": 2.5}, {"order": "A-18", "amount": 3}]
    found = kserve({"instances": rows}, {"predictions": ["ok", "fraud"]}, row_id="order")
    assert [(each["request_id"], each["prediction"]) for each in found] == [("17", "ok"), ("A-18", "fraud")]
    assert found[0]["features"] == rows[0]


def test_structured_mode() -> None:
    """The attributes are around the payload, with or without a header that says so."""
    body = {name.removeprefix("ce_"): text for name, text in ANSWERED.items() if name.startswith("ce_")}
    form = predictions_format(type="kserve")
    response = raw({**body, "datacontenttype": "application/json", "data": {"predictions": [3]}})
    as_base64 = raw({**body, "data_base64": "eyJwcmVkaWN0aW9ucyI6WzNdfQ=="})

    assert paired(form, raw({"instances": [[1]]}, LOGGED), response)[0]["prediction"] == 3
    assert paired(form, None, as_base64) == paired(form, None, response)


def test_without_a_time_kafkas_counts() -> None:
    """An event need not have one."""
    form = predictions_format(type="kserve")
    headers = {name: text for name, text in LOGGED.items() if name != "ce_time"}
    found = half(form, raw(IRIS, headers))
    assert (found.side, found.time_ms) == (Side.REQUEST, RECORD_MS)


# Open Inference Protocol, specification/protocol/inference_rest.md: "Inference Response JSON Object".
TENSORS = {
    "model_name": "mymodel",
    "model_version": "3",
    "id": "42",
    "outputs": [{"name": "output0", "shape": [3, 1], "datatype": "FP32", "data": [1.0, 1.1, 2.0]}],
}


def test_v2_one_tensor() -> None:
    """Rows of a two-dimensional tensor, flat or nested; the version is the response's, the model the envelope's."""
    flat = {"inputs": [{"name": "input0", "shape": [3, 2], "datatype": "UINT32", "data": [1, 2, 3, 4, 5, 6]}]}
    nested = {"inputs": [{"name": "input0", "shape": [3, 2], "datatype": "UINT32", "data": [[1, 2], [3, 4], [5, 6]]}]}
    found = kserve(flat, TENSORS, names=["a", "b"])

    assert [each["prediction"] for each in found] == [1.0, 1.1, 2.0]
    assert [each["features"] for each in found] == [{"a": 1, "b": 2}, {"a": 3, "b": 4}, {"a": 5, "b": 6}]
    assert {(each["model"], each["version"]) for each in found} == {("sklearn-iris", "3")}
    assert kserve(nested, TENSORS, names=["a", "b"]) == found


def test_v2_a_tensor_for_each_column() -> None:
    """As MLServer's codecs write a data frame."""
    request = {
        "parameters": {"content_type": "pd"},
        "inputs": [
            {"name": "country", "shape": [2, 1], "datatype": "BYTES", "data": ["DE", "FR"]},
            {"name": "amount", "shape": [2], "datatype": "FP64", "data": [1.5, 2.5]},
        ],
    }
    response = {
        "outputs": [
            {"name": "predict", "shape": [2], "datatype": "INT64", "data": [0, 1]},
            {"name": "predict_proba", "shape": [2, 2], "datatype": "FP64", "data": [0.9, 0.1, 0.2, 0.8]},
        ]
    }
    found = kserve(request, response)
    assert [each["prediction"] for each in found] == [0, 1]
    assert [each["features"] for each in found] == [{"country": "DE", "amount": 1.5}, {"country": "FR", "amount": 2.5}]

    classes = {"argmax": True, "classes": ["no", "yes"]}
    found = kserve(request, response, output="predict_proba", **classes)
    assert [(each["prediction"], each["score"]) for each in found] == [("no", 0.1), ("yes", 0.8)]
    found = kserve(request, response, output="predict_proba", positive="no", **classes)
    assert [each["score"] for each in found] == [0.9, 0.2]


def test_v1_columns() -> None:
    """TensorFlow Serving's columnar form."""
    found = kserve(
        {"inputs": {"x": [1, 2], "y": [[3], [4]]}}, {"outputs": {"label": ["a", "b"], "p": [0.2, 0.9]}}, score="p"
    )
    assert [(each["features"], each["prediction"], each["score"]) for each in found] == [
        ({"x": 1, "y": 3}, "a", 0.2),
        ({"x": 2, "y": 4}, "b", 0.9),
    ]


def test_many_classes_have_no_score_without_a_positive_one() -> None:
    """The score is the probability of the positive class, and of three none is."""
    response = {"predictions": [[0.1, 0.7, 0.2]]}
    assert kserve({"instances": [[1]]}, response, argmax=True)[0]["prediction"] == 1
    assert "score" not in kserve({"instances": [[1]]}, response, argmax=True)[0]
    named = kserve({"instances": [[1]]}, response, argmax=True, classes=["x", "y", "z"], positive="z")
    assert (named[0]["prediction"], named[0]["score"]) == ("y", 0.2)


def test_pictures_are_no_features() -> None:
    """A prediction of one is a prediction all the same."""
    (found,) = kserve({"instances": [[[[0.1, 0.2], [0.3, 0.4]]]]}, {"predictions": [7]})
    assert "features" not in found


@pytest.mark.parametrize(
    ("request_body", "response_body", "settings", "words"),
    [
        (IRIS, {"error": "model is not ready"}, {}, "error, which is no prediction: model is not ready"),
        (IRIS, {"predictions": [1]}, {}, "2 instances, and the response 1 predictions"),
        (IRIS, {"predictions": []}, {}, "no predictions"),
        (IRIS, {"ok": 1}, {}, "neither predictions nor outputs"),
        (IRIS, b"", {}, "not JSON"),
        (IRIS, b'{"predictions": [NaN, 1]}', {}, "NaN or Infinity"),
        (IRIS, b"\x1f\x8b\x08\x00", {}, "compressed"),
        (IRIS, b"\x00\xff\x80", {}, "not JSON"),
        (IRIS, {"predictions": [[1, 2], [3, 4]]}, {}, "format.argmax"),
        (IRIS, {"predictions": [1, 2]}, {"argmax": True}, "no array of numbers"),
        (IRIS, {"predictions": [1, 2]}, {"output": "x"}, "no output 'x'"),
        (IRIS, {"predictions": [1, 2]}, {"row_id": "order"}, "feature 'order', which format.row_id names, holds no ID"),
        (IRIS, {"predictions": [1, 2]}, {"names": ["a"]}, "4 values, and 1 columns are named"),
        (IRIS, {"predictions": [{"p": 2}, {"p": 1}]}, {"score": "p"}, "not a probability"),
        ({"instances": 3}, {"predictions": [1]}, {}, "instances is a number"),
        ([1], {"predictions": [1]}, {}, "the request is an array"),
        (
            IRIS,
            {"outputs": [{"name": "o", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}}]},
            {},
            "binary data",
        ),
        (IRIS, {"outputs": [{"name": "o", "datatype": "FP32", "shape": [3], "data": [1]}]}, {}, "its shape is [3]"),
    ],
)
def test_what_cannot_be_used_has_a_reason(request_body: Any, response_body: Any, settings: Any, words: str) -> None:
    """None is a crash, and none is passed over in silence."""
    with pytest.raises(Unreadable) as found:
        kserve(request_body, response_body, **settings)
    assert words in str(found.value)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (raw(IRIS, LOGGED | {"ce_type": "org.example"}), "event of type 'org.example'"),
        (raw(IRIS, LOGGED | {"ce_id": ""}), "no id"),
        (raw(IRIS, LOGGED | {"ce_time": "yesterday"}), "not RFC 3339"),
        (raw(None, LOGGED), "tombstone"),
        (raw(IRIS), "no CloudEvent"),
        (raw(b"hello"), "not JSON"),
        (raw({"specversion": "1.0", "type": "x", "id": "1"}), "no data"),
        (raw({"specversion": "1.0", "type": "x", "data_base64": "%"}), "not base64"),
    ],
)
def test_what_is_no_event_has_a_reason(record: Any, words: str) -> None:
    """The reader of events, too, is total."""
    with pytest.raises(Unreadable) as found:
        half(predictions_format(type="kserve"), record)
    assert words in str(found.value)
