"""What tests of sources read with, and compare by."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from streamguard.core.codec import Columns, Mapping, Reader
from streamguard.core.fields import TIME_MAX_MS
from streamguard.core.records import TopicPartition
from streamguard.replay.files import FileSource
from streamguard.replay.sources import ROWS_MAX, Source

NEEDED = (("request_id",), ("label",), ("time",))
LABELS = Mapping(("request_id",), ("label",), time=("time",), score=("score",))


def labels(*paths: Path, needed: tuple[tuple[str, ...], ...] = NEEDED) -> FileSource:
    """Files of labels."""
    return FileSource("labels", 0, paths, needed)


def record(number: int, **more: Any) -> dict[str, Any]:
    """A label."""
    return {"request_id": f"r{number}", "label": "cat", "time": 1_700_000_000_000 + number} | more


def json_lines(records: Iterable[Any]) -> bytes:
    """As JSON Lines."""
    return b"".join(orjson.dumps(each) + b"\n" for each in records)


def rows(source: Source) -> list[tuple[int, bytes | None]]:
    """Offsets and values of all records; what every batch must be is checked."""
    found: list[tuple[int, bytes | None]] = []
    for batch in source.batches():
        assert batch.source == TopicPartition(source.topic, source.partition)
        assert 0 < len(batch) <= ROWS_MAX
        lengths = {len(each) for each in (batch.timestamps, batch.keys, batch.values, batch.headers)}
        assert lengths == {len(batch)}
        assert set(np.asarray(batch.timestamps).tolist()) == {TIME_MAX_MS}
        assert set(batch.keys) == {None}
        assert set(batch.headers) == {()}
        assert batch.next_offset == batch.offsets[-1] + 1
        found += zip(np.asarray(batch.offsets).tolist(), batch.values, strict=True)
    assert [offset for offset, _ in found] == sorted({offset for offset, _ in found})
    return found


def documents(source: Source) -> list[Any]:
    """The values of all records, as Python objects."""
    return [orjson.loads(value or b"") for _, value in rows(source)]


def columns(source: Source, mapping: Mapping = LABELS) -> Columns:
    """What the reader of records makes of them; it must refuse none."""
    reader, parts = Reader(mapping), []
    for batch in source.batches():
        found, rejections = reader.read(batch)
        assert not rejections, rejections[0].reason
        parts.append(found)
    return Columns.concatenate(parts)


def listed(found: Columns) -> dict[str, list[Any]]:
    """Columns as lists that can be compared; a score that is not known is None."""
    scores = [] if found.scores is None else [None if np.isnan(each) else each for each in found.scores.tolist()]
    return {
        "offsets": found.offsets.tolist(),
        "times": found.times.tolist(),
        "ids": found.ids.tolist(),
        "values": [(type(value), value) for value in found.values.tolist()],
        "scores": scores,
    }
