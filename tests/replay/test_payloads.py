"""Payload logs in files are backtested without a line of code: tables, structured events, batches."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest

from streamguard.replay.api import backtest
from tests.core.payloads.test_tables import FIRST, GATEWAY

BASE_MS = 1_767_571_200_000
COUNT = 3000
WRONG_FROM = 2000


def settings(form: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """A configuration whose labels come an hour later."""
    return {
        "predictions": {"format": form},
        "labels": {"fields": {"time": "at"}},
        "join": {"after": "2h"},
        "monitors": [{"name": "m", "threshold": {"max_mismatch_percent": 10, "window": 300}}],
        **sections,
    }


def labels() -> list[dict[str, Any]]:
    """The truth is yes, and of one in three from some time on no."""
    return [
        {"request_id": f"r{n}", "label": "no" if is_wrong(n) else "yes", "at": at_ms(n) + 3_600_000}
        for n in range(COUNT)
    ]


def is_wrong(number: int) -> bool:
    """Whether the model errs."""
    return number > WRONG_FROM and number % 3 == 0


def at_ms(number: int) -> int:
    """One prediction a minute."""
    return BASE_MS + 60_000 * number


def table() -> list[dict[str, Any]]:
    """A Databricks inference table of the AI gateway; one request in a hundred failed."""
    return [
        {
            **GATEWAY,
            "client_request_id": f"r{n}",
            "request_time": at_ms(n),
            "request": '{"dataframe_records": [{"amount": 1.5}]}',
            "response": '{"predictions": ["yes"]}' if n % 100 else '{"error_code": "INTERNAL"}',
            "status_code": 200 if n % 100 else 500,
        }
        for n in range(COUNT)
    ]


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_an_inference_table_that_was_exported(ending: str, tmp_path: Path) -> None:
    """As a file, through the very adapter that runs live; what failed is rejected, and the reason is told."""
    path = tmp_path / f"payload.{ending}"
    frame = pl.DataFrame([{k: v for k, v in row.items() if type(v) is not list} for row in table()])
    frame = frame.with_columns(pl.from_epoch("request_time", time_unit="ms").dt.replace_time_zone("UTC"))
    if ending == "parquet":
        frame.write_parquet(path)
    elif ending == "csv":
        frame.with_columns(pl.col("request_time").dt.to_string("%Y-%m-%d %H:%M:%S%.3f")).write_csv(path)
    else:
        path.write_bytes(b"\n".join(orjson.dumps(row) for row in table()))
    found = backtest(settings({"type": "databricks"}), str(path), labels())

    assert found.counts is not None
    assert dict(found.counts["predictions"]) | {"waiting": 0} == {
        **dict.fromkeys(("late", "duplicate", "expired", "waiting"), 0),
        "consumed": COUNT,
        "matched": COUNT - COUNT // 100,
        "rejected": COUNT // 100,
    }
    assert [alert["kind"] for alert in found.alerts][:1] == ["mismatch_drift"]
    assert any("status_code" in note for note in found.notes)


def test_structured_events_of_kserve(tmp_path: Path) -> None:
    """Requests and responses as JSON lines, in two files of two partitions, with two rows in each payload."""
    files: list[list[bytes]] = [[], []]
    for n in range(0, COUNT, 2):
        for kind, body in (
            ("request", {"instances": [{"id": f"r{n}"}, {"id": f"r{n + 1}"}]}),
            ("response", {"predictions": ["yes", "yes"]}),
        ):
            event = {
                "specversion": "1.0",
                "id": f"batch-{n}",
                "type": f"org.kubeflow.serving.inference.{kind}",
                "time": f"{np.datetime64(at_ms(n), 'ms')}Z",
                "inferenceservicename": "iris",
                "data": body,
            }
            files[(n // 2 + (kind == "response")) % 2].append(orjson.dumps(event))
    for number, lines in enumerate(files):
        folder = tmp_path / f"partition={number}"
        folder.mkdir()
        (folder / "events.jsonl").write_bytes(b"\n".join(lines))
    found = backtest(settings({"type": "kserve", "row_id": "id"}), str(tmp_path), labels())

    assert found.counts is not None
    assert found.counts["predictions"]["matched"] == COUNT
    assert len(found.alerts) >= 1


def test_batches_on_both_sides() -> None:
    """Labels, too, may come many at a time."""
    truth = labels()
    config = settings(
        {"type": "batch", "rows": "rows"},
        predictions={"format": {"type": "batch", "rows": "rows"}, "fields": {"time": "at"}},
        labels={"format": {"type": "batch", "rows": "labels"}, "fields": {"time": "at"}},
    )
    predictions = [
        {"at": at_ms(n), "rows": [{"request_id": f"r{k}", "prediction": "yes"} for k in range(n, n + 10)]}
        for n in range(0, COUNT, 10)
    ]
    nightly = [{"labels": truth[n : n + 50]} for n in range(0, COUNT, 50)]
    found = backtest(config, predictions, nightly)

    assert found.counts is not None
    assert found.counts["labels"]["matched"] == COUNT


def test_a_damaged_file_is_told_after_what_could_be_read(tmp_path: Path) -> None:
    """As it is of plain records."""
    rows = b"\n".join(orjson.dumps(row) for row in table())
    packed = gzip.compress(rows)
    (tmp_path / "payload.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    found = backtest(settings({"type": "databricks"}), str(tmp_path / "payload.jsonl.gz"), labels())

    assert found.partial is not None
    assert found.counts is not None
    assert 0 < found.counts["predictions"]["consumed"] < COUNT


def test_tables_of_the_first_generation() -> None:
    """In memory, without their requests."""
    rows = [
        FIRST
        | {"client_request_id": f"r{n}", "timestamp_ms": at_ms(n)}
        | {"request": None, "response": '{"predictions": ["yes"]}'}
        for n in range(COUNT)
    ]
    found = backtest(settings({"type": "mlflow"}), rows, labels())
    assert found.counts is not None
    assert found.counts["predictions"]["matched"] == COUNT
