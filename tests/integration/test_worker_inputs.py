"""Whatever bytes are on the inputs, through a real worker on Apache Kafka: nothing is lost, and nothing stops it."""

import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamguard.logs.interface import Record
from tests.integration.jobs import Job, counted

pytestmark = pytest.mark.broker

NOW_MS = time.time_ns() // 1_000_000
LARGE = b'{"request_id": "large", "text": "%s"}' % (b"x" * 10_000_000)


def document(**fields: Any) -> bytes:
    """A prediction, with some fields different; None leaves one out."""
    body = {"request_id": "r", "prediction": "a", "timestamp": NOW_MS, "model": "fraud", "version": "7"} | fields
    return orjson.dumps({name: value for name, value in body.items() if value is not None})


BAD = {
    "not JSON: ": b"<xml/>",
    "field 'prediction' is missing or null": document(prediction=None),
    "field 'request_id' is a number: expected a string": document(request_id=7),
    "field 'prediction'": document(prediction={"class": "a"}),
    "not JSON: unexpected": b'{"request_id": "r", "prediction": NaN}',
    "not JSON: number is infinity": document().replace(b'"a"', b"1e999"),
    "empty value (a tombstone)": None,
    "ms ahead of the record's Kafka timestamp": document(timestamp=4_102_444_800_000),
    "value of 10000035 bytes, above limits.record_bytes": LARGE,
}


def test_bad_records_are_set_aside_unchanged(broker: str, tmp_path: Path) -> None:
    """Each is on the rejected topic as it came, with where from and why, and those around it are all there."""
    job = Job(broker, tmp_path, partitions=1)
    job.create(max_record_bytes=12 << 20)
    sent = []
    for number, value in enumerate(BAD.values()):
        sent += [
            Record("predictions", b"good", document(request_id=f"good-{number}")),
            Record("predictions", b"bad-%d" % number, value, headers=(("trace", b"\x00\xff"), ("empty", b""))),
            Record(
                "labels", b"good", orjson.dumps({"request_id": f"good-{number}", "label": "a", "timestamp": NOW_MS})
            ),
        ]
    with job.open() as log:
        job.append(log, sent)
    config = job.config()
    with job.worker(config, "--until-end") as process:
        assert process.end() == 0, process.said.read_text(encoding="utf-8")
        found = job.results(process)
        assert process.events("record_rejected")

    predictions, labels = map(counted, found.counts)
    assert (predictions["consumed"], predictions["rejected"], predictions["matched"]) == (18, 9, 9)
    assert (labels["consumed"], labels["matched"]) == (9, 9)
    assert [(key, value) for key, value, _ in found.rejected] == [
        (b"bad-%d" % number, value) for number, value in enumerate(BAD.values())
    ]
    for number, (reason, (_, _, headers)) in enumerate(zip(BAD, found.rejected, strict=True)):
        assert headers[:2] == (("trace", b"\x00\xff"), ("empty", b""))
        about = {name: value.decode() for name, value in headers[2:]}
        assert reason in about.pop("__connect.errors.exception.message")
        assert about.pop("streamguard.timestamp").isdigit()
        assert about == {
            "__connect.errors.topic": f"{job.name}-predictions",
            "__connect.errors.partition": "0",
            "__connect.errors.offset": str(2 * number + 1),
            "__connect.errors.connector.name": "streamguard",
            "__connect.errors.stage": "VALUE_CONVERTER",
        }


def test_mistakes_of_the_setup_are_told(broker: str, tmp_path: Path) -> None:
    """A model that nobody watches is named once; types that never agree are an alert that names the setting."""
    monitors = [{"name": "fraud", "match": {"model": "fraud"}, "detectors": [{"type": "adwin"}]}]
    job = Job(broker, tmp_path, partitions=1, monitors=monitors)
    job.create()
    sent = []
    for number in range(300):
        at_ms = NOW_MS + number * 60_000 - 86_400_000
        model = "forgotten" if number % 3 == 0 else "fraud"
        value = document(request_id=f"r{number}", prediction="1", timestamp=at_ms, model=model)
        label = orjson.dumps({"request_id": f"r{number}", "label": 1, "timestamp": at_ms})
        sent += [Record("predictions", b"k", value, 0), Record("labels", b"k", label, 0)]
    with job.open() as log:
        job.append(log, sent[:300])
        with job.worker(job.config()) as process:
            process.wait_until(lambda: bool(process.events("model_unmonitored")))
            job.append(log, sent[300:])
            process.wait_until(lambda: bool(process.events("alert_raised")))
            assert process.terminate() == 0
            (named,) = process.events("model_unmonitored")
            assert named["model"] == "forgotten"
            found = job.results(process)

    (alert,) = [orjson.loads(value) for _, value, _ in found.alerts]
    assert alert["kind"] == "type_disagreement"
    assert "type: " in alert["look_first"][0]
