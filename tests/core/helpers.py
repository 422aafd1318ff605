"""What tests of the core start from: records, batches, and tasks derived from a small config."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson

from streamguard.config import Monitor, parse
from streamguard.core.outcomes import Outcomes
from streamguard.core.records import Batch, Headers, Output, Stream, TopicPartition
from streamguard.worker.topology import Topology, derive

THRESHOLD: dict[str, Any] = {"max_mismatch_percent": 50, "window": 4, "min_samples": 2, "cooldown": "10ms"}


def as_json(**fields: Any) -> bytes:
    """A record's value."""
    return orjson.dumps(fields)


def prediction(request_id: str, value: Any = "x", **fields: Any) -> bytes:
    """A prediction's value, by the default names."""
    return as_json(request_id=request_id, prediction=value, **fields)


def label(request_id: str, value: Any = "x", **fields: Any) -> bytes:
    """A label's value, by the default names."""
    return as_json(request_id=request_id, label=value, **fields)


def batch(
    values: Sequence[bytes | None],
    times: Sequence[int] | int = 0,
    *,
    topic: str = "predictions",
    partition: int = 0,
    start: int = 0,
    key: bytes | None = None,
    headers: Headers = (),
) -> Batch:
    """Records from offset `start` on; `times` are their Kafka timestamps."""
    count = len(values)
    return Batch(
        TopicPartition(topic, partition),
        range(start, start + count),
        [times] * count if isinstance(times, int) else times,
        [key] * count,
        values,
        [headers] * count,
        start + count,
    )


def predictions(*records: tuple[str, int], value: Any = "x", start: int = 0) -> Batch:
    """Predictions of one class: (request ID, event time)."""
    return batch([prediction(name, value) for name, _ in records], [at for _, at in records], start=start)


def labels(*records: tuple[str, int], value: Any = "x", start: int = 0) -> Batch:
    """Labels of one class: (request ID, event time)."""
    values = [label(name, value) for name, _ in records]
    return batch(values, [at for _, at in records], topic="labels", start=start)


def monitor(**settings: Any) -> Monitor:
    """A monitor named m, which checks a threshold where nothing else is said."""
    checks = {} if "detectors" in settings else {"threshold": THRESHOLD}
    return Monitor.model_validate({"name": "m", **checks, **settings})


def topology(
    *monitors: Mapping[str, Any],
    sources: int = 1,
    targets: int = 1,
    join: Mapping[str, Any] | None = None,
    **sections: Any,
) -> Topology:
    """The settings of all tasks; a label may come 10 ms after its prediction, and nothing out of order."""
    settings = {
        "log": {"kind": "kafka", "group": "g"},
        "join": {"after": "10ms", "disorder": 0, **(join or {})},
        "monitors": [*monitors] or [{"name": "m", "threshold": THRESHOLD}],
        **sections,
    }
    return derive(parse(settings), sources, targets)


class Row(NamedTuple):
    """An outcome as a person reads it on the topic."""

    monitor: str
    segment: tuple[str | None, ...]
    id: str
    prediction: Any
    label: Any
    prediction_time: int
    label_time: int
    prediction_offset: int
    label_offset: int
    score: float | None = None


def documents(outputs: Sequence[Output], stream: Stream = Stream.OUTCOMES) -> list[Any]:
    """The JSON of what was written to one stream."""
    return [orjson.loads(output.value or b"null") for output in outputs if output.stream is stream]


def rows_of(outputs: Sequence[Output]) -> list[Row]:
    """All outcomes that were written, in order."""
    names = Row._fields[2:9]
    found = []
    for block in (block for document in documents(outputs) for block in document["blocks"]):
        scores = block.get("score", [None] * len(block["id"]))
        columns = zip(*(block[name] for name in names), scores, strict=True)
        segments = [tuple(block["segments"][number]) for number in block["segment"]]
        found += [Row(block["monitor"], segment, *row) for segment, row in zip(segments, columns, strict=True)]
    return found


def headers_of(output: Output) -> dict[str, str]:
    """An output's headers as text."""
    return {name: (value or b"").decode() for name, value in output.headers}


def reasons(outputs: Sequence[Output]) -> list[str]:
    """Why records were rejected."""
    rejected = [output for output in outputs if output.stream is Stream.REJECTED]
    return [headers_of(output)["__connect.errors.exception.message"] for output in rejected]


def outcomes(
    times: Sequence[int],
    wrong: Sequence[bool | int],
    *,
    start: int = 0,
    delay_ms: int = 0,
    unlabelled: Sequence[int] = (),
    source: int = 0,
) -> Outcomes:
    """Outcomes in order, right or wrong; those at `unlabelled` places have expired."""
    count = len(times)
    time = np.array(times, dtype=np.int64)
    offsets = np.arange(start, start + count)
    is_labelled = ~np.isin(np.arange(count), unlabelled)
    label_column = np.array(["no" if each else "yes" for each in wrong], dtype=object)
    label_column[~is_labelled] = None
    return Outcomes(
        time=time,
        source=np.full(count, source),
        prediction_offset=offsets,
        label_offset=np.where(is_labelled, offsets, -1),
        prediction_time=time - delay_ms,
        stream=np.zeros(count, dtype=np.int64),
        id=np.array([f"r{offset}" for offset in offsets], dtype=object),
        prediction=np.full(count, "yes", dtype=object),
        label=label_column,
        score=np.full(count, np.nan),
    )
