"""Rows of inference tables and of monitoring become predictions.

The examples are facts of public documents, typed anew: the columns of both generations of Databricks inference tables
("Inference tables for monitoring and debugging models", "Monitor served models using AI Gateway-enabled inference
tables"); BentoML documentation, "Inference Data Collection & Model Monitoring", the log of the iris classifier.
"""

from typing import Any

import orjson
import pytest

from streamguard.core.fields import Unreadable
from tests.core.payloads.helpers import predictions_format, raw, whole

FIRST = {
    "client_request_id": None,
    "databricks_request_id": "0f4a7f3c-7d3e-4b3a-9c7c-2f4f5ad30a4b",
    "date": "2024-05-01",
    "timestamp_ms": 1_714_556_400_123,
    "status_code": 200,
    "execution_time_ms": 12,
    "request": '{"dataframe_records": [{"Temperature": 14.5, "id": "a-1"}, {"Temperature": 16.25, "id": "a-2"}]}',
    "response": '{"predictions": [0.25, 0.75]}',
    "sampling_fraction": 1.0,
    "request_metadata": {"model_name": "power", "model_version": "4", "endpoint_name": "power-serving"},
}
GATEWAY = {
    "request_date": "2025-02-01",
    "databricks_request_id": "6c1c3f8e-55a4-4f0e-8a39-5f4a0f6b7f11",
    "client_request_id": "order-17",
    "request_time": "2025-02-01T10:11:12.345Z",
    "status_code": 200,
    "sampling_fraction": 1.0,
    "execution_duration_ms": 31,
    "request": '{"dataframe_split": {"columns": ["amount", "country"], "index": [0], "data": [[12.5, "DE"]]}}',
    "response": '{"predictions": ["fraud"], "databricks_output": {"trace": null}}',
    "served_entity_id": "8d2b7a64f2f24c7cbb7f",
    "logging_error_codes": [],
    "requester": "somebody@example.com",
}


def test_a_table_of_the_first_generation() -> None:
    """Many rows in one; the model from the metadata."""
    assert whole(predictions_format(type="databricks"), raw(FIRST)) == [
        {
            "request_id": f"{FIRST['databricks_request_id']}:{number}",
            "prediction": prediction,
            "timestamp": FIRST["timestamp_ms"],
            "model": "power",
            "version": "4",
            "endpoint": "power-serving",
            "features": features,
        }
        for number, (prediction, features) in enumerate(
            [(0.25, {"Temperature": 14.5, "id": "a-1"}), (0.75, {"Temperature": 16.25, "id": "a-2"})]
        )
    ]
    rows = whole(predictions_format(type="mlflow", row_id="id"), raw(FIRST))
    assert [row["request_id"] for row in rows] == ["a-1", "a-2"]


def test_a_table_of_the_ai_gateway() -> None:
    """One row, by the ID that the client gave."""
    assert whole(predictions_format(type="mlflow"), raw(GATEWAY)) == [
        {
            "request_id": "order-17",
            "prediction": "fraud",
            "timestamp": 1_738_404_672_345,
            "served_entity_id": "8d2b7a64f2f24c7cbb7f",
            "features": {"amount": 12.5, "country": "DE"},
        }
    ]
    (row,) = whole(predictions_format(type="mlflow", request_id="databricks_request_id"), raw(GATEWAY))
    assert row["request_id"] == GATEWAY["databricks_request_id"]


@pytest.mark.parametrize(
    "found",
    ["2025-02-01T10:11:12.345+00:00", "2025-02-01 10:11:12.345", 1_738_404_672_345, "2025-02-01T12:11:12.345+02:00"],
)
def test_times_as_exports_write_them(found: Any) -> None:
    """Milliseconds, RFC 3339, or as Spark shows UTC."""
    (row,) = whole(predictions_format(type="mlflow"), raw(GATEWAY | {"request_time": found}))
    assert row["timestamp"] == 1_738_404_672_345


def test_a_request_that_was_too_large_to_be_logged() -> None:
    """The prediction was made all the same. And a map may come as pairs, as Parquet has it."""
    pairs = [["model_name", "power"], ["model_version", "5"]]
    (first, _) = whole(predictions_format(type="mlflow"), raw(FIRST | {"request": None, "request_metadata": pairs}))
    assert "features" not in first
    assert (first["model"], first["version"]) == ("power", "5")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"status_code": 400}, "status_code 400 is an error"),
        ({"status_code": "500"}, "status_code 500 is an error"),
        ({"response": None}, "column 'response' is missing or null"),
        ({"response": '{"error_code": "BAD_REQUEST", "message": "x"}'}, "BAD_REQUEST"),
        ({"response": '{"predictions": [NaN]}'}, "NaN"),
        ({"request": '{"dataframe_split": {"columns": []}}'}, "dataframe_split has no data"),
        ({"client_request_id": "", "databricks_request_id": None}, "no request ID"),
        ({"request_time": "soon"}, "RFC 3339"),
    ],
)
def test_rows_that_are_no_predictions_have_a_reason(changed: dict[str, Any], words: str) -> None:
    """Errors above all."""
    with pytest.raises(Unreadable) as found:
        whole(predictions_format(type="mlflow"), raw(GATEWAY | changed))
    assert words in str(found.value)


# BentoML documentation, the log of the iris classifier.
IRIS = {
    "sepal length": 6.3,
    "sepal width": 2.3,
    "petal length": 4.4,
    "petal width": 1.3,
    "pred": "versicolor",
    "timestamp": "2022-11-09T15:31:26.781914",
    "request_id": "10655923893485958044",
}


def test_bentoml() -> None:
    """Columns, with the service's local time."""
    form = predictions_format(type="bentoml", prediction="pred", utc_offset="+01:00")
    assert whole(form, raw(IRIS | {"trace_id": "7"})) == [
        {
            "request_id": "10655923893485958044",
            "prediction": "versicolor",
            "timestamp": 1_668_004_286_782,
            "features": {"sepal length": 6.3, "sepal width": 2.3, "petal length": 4.4, "petal width": 1.3},
        }
    ]


def test_bentoml_score_and_ids_of_rows() -> None:
    """A request of many rows is many records of one ID: a column may tell them apart."""
    form = predictions_format(type="bentoml", prediction="pred", score="p", row_id="order")
    (row,) = whole(form, raw(IRIS | {"p": 0.25, "order": 12}))
    assert (row["request_id"], row["score"], row["features"]["order"]) == ("12", 0.25, 12)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"meta_data": {"bento_name": "iris"}, "columns": [{"name": "pred", "role": "prediction"}]}, "a schema"),
        ({name: value for name, value in IRIS.items() if name != "pred"}, "no output 'pred'"),
        (IRIS | {"request_id": None}, "column 'request_id' is missing"),
        (IRIS | {"timestamp": "x"}, "RFC 3339"),
    ],
)
def test_what_is_no_record_of_bentoml_has_a_reason(record: dict[str, Any], words: str) -> None:
    """Its schema lies beside its data."""
    with pytest.raises(Unreadable) as found:
        whole(predictions_format(type="bentoml", prediction="pred"), raw(orjson.dumps(record)))
    assert words in str(found.value)
