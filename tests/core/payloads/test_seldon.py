"""Seldon's events become predictions.

The examples are facts of public documents, typed anew: Seldon Core 1 documentation, "Payload Logging" and the notebooks
of the iris classifier; the headers of github.com/SeldonIO/seldon-core, executor/logger/worker.go.
"""

from typing import Any

import pytest

from streamguard.core.fields import Unreadable
from tests.core.payloads.helpers import RECORD_MS, half, paired, predictions_format, raw

# What the executor writes straight to Kafka: plain headers, and no time.
STRAIGHT = {
    "type": "io.seldon.serving.inference.request",
    "content-type": "application/json",
    "modelid": "classifier",
    "requestid": "12b0d447-288e-42a0-a7b4-b630c8b4895c",
    "inferenceservicename": "iris",
    "namespace": "seldon",
    "endpoint": "default",
    "protocol": "seldon",
}
BACK = STRAIGHT | {"type": "io.seldon.serving.inference.response"}
IRIS = {"data": {"names": ["SL", "SW", "PL", "PW"], "ndarray": [[6.8, 2.8, 4.8, 1.4], [6.1, 3.4, 4.5, 1.6]]}}
PROBABILITIES = {
    "data": {"names": ["t:0", "t:1", "t:2"], "ndarray": [[0.001, 0.004, 0.995], [0.9, 0.06, 0.04]]},
    "meta": {"puid": "hello", "requestPath": {"classifier": "seldonio/sklearnserver:1.19.0"}},
}


def seldon(request: Any, response: Any, **settings: Any) -> list[dict[str, Any]]:
    """What the two become."""
    form = predictions_format(type="seldon", **settings)
    return paired(form, None if request is None else raw(request, STRAIGHT), raw(response, BACK))


def test_the_iris_classifier() -> None:
    """Straight from the executor: names from the payload, the class from the largest probability."""
    found = seldon(IRIS, PROBABILITIES, argmax=True, classes=["setosa", "versicolor", "virginica"])

    assert [each["prediction"] for each in found] == ["virginica", "setosa"]
    assert found[0] == {
        "request_id": "12b0d447-288e-42a0-a7b4-b630c8b4895c:0",
        "prediction": "virginica",
        "timestamp": RECORD_MS,
        "namespace": "seldon",
        "endpoint": "default",
        "modelid": "classifier",
        "model": "iris",
        "features": {"SL": 6.8, "SW": 2.8, "PL": 4.8, "PW": 1.4},
    }


def test_events_share_the_request_id_and_not_their_own() -> None:
    """By CloudEvents, each has an `id` of its own."""
    headers = {f"ce-{name}": text for name, text in STRAIGHT.items()} | {"ce-id": "1", "ce-specversion": "1.0"}
    found = half(predictions_format(type="seldon"), raw(IRIS, headers | {"ce-time": "2022-08-16T22:38:13.447502807Z"}))
    assert (found.request_id, found.time_ms) == (STRAIGHT["requestid"], 1_660_689_493_448)


def test_tensors_json_text_and_other_protocols() -> None:
    """All that a payload of Seldon's may be."""
    tensor = {"data": {"names": ["a", "b"], "tensor": {"shape": [2, 2], "values": [1, 2, 3, 4]}}}
    assert [each["features"] for each in seldon(tensor, {"data": {"ndarray": [1, 0]}})] == [
        {"a": 1, "b": 2},
        {"a": 3, "b": 4},
    ]
    assert seldon({"jsonData": {"start": 1}}, {"jsonData": {"label": "x", "p": 0.25}}, score="p")[0] | {
        "timestamp": 0
    } == {
        "request_id": STRAIGHT["requestid"],
        "prediction": "x",
        "score": 0.25,
        "timestamp": 0,
        "namespace": "seldon",
        "endpoint": "default",
        "modelid": "classifier",
        "model": "iris",
        "features": {"start": 1},
    }
    assert seldon({"strData": "hello"}, {"strData": "greeting"})[0]["features"] == {"text": "hello"}
    assert seldon({"instances": [[1, 2]]}, {"predictions": [4]})[0]["prediction"] == 4
    v2 = {"outputs": [{"name": "predict", "shape": [1], "datatype": "INT64", "data": [2]}], "model_version": "v7"}
    request = {"inputs": [{"name": "predict", "shape": [1, 2], "datatype": "FP32", "data": [[1, 2]]}]}
    assert seldon(request, v2)[0]["version"] == "v7"


def test_a_column_may_be_the_prediction() -> None:
    """By the name that the response gives it."""
    assert [each["prediction"] for each in seldon(IRIS, PROBABILITIES, output="t:1")] == [0.004, 0.06]


@pytest.mark.parametrize(
    ("request_body", "response_body", "words"),
    [
        (
            IRIS,
            {"status": {"status": "FAILURE", "reason": "unknown payload type", "info": "x"}},
            "unknown payload type",
        ),
        (IRIS, {"binData": "AAAA"}, "binData"),
        ({"data": {"tftensor": {}}}, {"data": {"ndarray": [1]}}, "tftensor"),
        ({"data": {}}, {"data": {"ndarray": [1]}}, "neither an ndarray nor a tensor"),
        ({"data": {"tensor": {"shape": [3, 0], "values": []}}}, {"data": {"ndarray": [1]}}, "its shape is"),
        (IRIS, {"data": {"ndarray": [[1, 2], [3, 4]]}}, "format.argmax"),
    ],
)
def test_what_cannot_be_used_has_a_reason(request_body: Any, response_body: Any, words: str) -> None:
    """Errors and bytes are no predictions."""
    with pytest.raises(Unreadable) as found:
        seldon(request_body, response_body)
    assert words in str(found.value)


def test_feedback_is_none() -> None:
    """The executor logs that on the same topic."""
    with pytest.raises(Unreadable, match="neither an inference request nor a response"):
        half(predictions_format(type="seldon"), raw(IRIS, STRAIGHT | {"type": "io.seldon.serving.feedback"}))
