"""Records out of tables: columns, fair shares, limits."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from streamguard.core.records import Batch, Headers, TopicPartition
from streamguard.errors import LogError
from streamguard.logs.embedded.topics import Bounds, Topics

_READ = """SELECT "offset", timestamp_ms, key, value, headers,
        ifnull(length(key), 0) + ifnull(length(value), 0) + ifnull(length(headers), 0)
    FROM records WHERE topic = ? AND partition = ? AND "offset" >= ? AND "offset" < ?
    ORDER BY "offset" LIMIT ?"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one read brings at most, shared fairly between the partitions that have something.

    Each of those gives at least one record, so the largest record never blocks its partition.
    """

    records_max: int
    bytes_max: int


def fetch(
    connection: sqlite3.Connection,
    topics: Topics,
    wanted: Mapping[TopicPartition, Bounds],
    limits: Limits,
) -> list[Batch]:
    """Records of each partition from a position (`start`) up to its `end`, in batches.

    A batch without records moves the position over a gap.
    """
    behind = [(span.end - span.start, source) for source, span in wanted.items() if span.start < span.end]
    records_left, bytes_left = limits.records_max, limits.bytes_max
    batches = []
    # Those with least to read come first, and what they leave of their share goes to the others.
    for count, (_, source) in enumerate(sorted(behind)):
        sharers = len(behind) - count
        number = topics.topic(connection, source.topic).number
        rows_max, size_max = max(1, records_left // sharers), max(1, bytes_left // sharers)
        batch, size = _read(connection, number, source, wanted[source], Limits(rows_max, size_max))
        records_left -= len(batch)
        bytes_left -= size
        batches.append(batch)
    return batches


def check_position(
    source: TopicPartition, position: int, held: Bounds, advice: str = "start with a new group, or seek"
) -> None:
    """Refuse a position whose records are gone, or will never have been: both would lose records silently."""
    if not held.start <= position <= held.end:
        cause = "retention has deleted them" if position < held.start else "this is not the log they came from"
        raise LogError(
            f"{source.topic}-{source.partition}@{position} is not held, only {held.start} to {held.end}: "
            f"{cause}; {advice}"
        )


def _read(
    connection: sqlite3.Connection, topic: int, source: TopicPartition, span: Bounds, limits: Limits
) -> tuple[Batch, int]:
    size = 0
    rows: list[tuple[Any, ...]] = []
    cursor = connection.execute(_READ, (topic, source.partition, span.start, span.end, limits.records_max))
    for row in cursor:
        size += row[5]
        if size > limits.bytes_max and rows:
            break
        rows.append(row)
    cursor.close()
    if not rows:
        return Batch(source, (), (), (), (), (), span.end), 0
    offsets, timestamps, keys, values, headers, _ = zip(*rows, strict=True)
    return Batch(source, offsets, timestamps, keys, values, _decoded(headers), offsets[-1] + 1), size


def _decoded(column: Sequence[str | None]) -> Sequence[Headers]:
    if not any(column):
        return ((),) * len(column)
    return [() if text is None else _headers(text) for text in column]


def _headers(text: str) -> Headers:
    return tuple((name, None if value is None else value.encode("latin-1")) for name, value in orjson.loads(text))
