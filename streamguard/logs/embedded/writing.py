"""Records into tables: partitions, offsets, compaction, retention."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from streamguard.core.records import Headers, TopicPartition
from streamguard.errors import LogError
from streamguard.logs.embedded.topics import Bounds, Topic, Topics
from streamguard.logs.interface import Record, TopicInfo
from streamguard.logs.partitioner import partitions_of

# Rows of one INSERT: 1.5 to 2 times as fast as one by one, and no faster beyond.
_BLOCK_ROWS = 64
_SHARED = 3
_COLUMNS = 4
# Between two trims a partition is a little longer than its retention promises, as in Kafka.
_TRIM_EVERY_MS = 60_000

_SUPERSEDE = """DELETE FROM records WHERE topic = ?1 AND partition = ?2 AND "offset" =
    (SELECT "offset" FROM latest WHERE topic = ?1 AND partition = ?2 AND key = ?3)"""
_REMEMBER = """INSERT INTO latest VALUES (?, ?, ?, ?)
    ON CONFLICT (topic, partition, key) DO UPDATE SET "offset" = excluded."offset" """


class Writer:
    """Writes records within a transaction that the caller has begun."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._trimmed_ms: dict[str, int] = {}

    def write(self, connection: sqlite3.Connection, records: Sequence[Record], now_ms: int) -> None:
        by_topic: dict[str, list[Record]] = {}
        for record in records:
            by_topic.setdefault(record.topic, []).append(record)
        for name, group in by_topic.items():
            topic = self._topics.topic(connection, name)
            bounds = self._topics.bounds(connection, [name])
            _check(topic.info, group)
            chosen = _partitions(topic.info, group, bounds)
            parts: dict[int, list[Record]] = {partition: [] for partition in chosen}
            for record, partition in zip(group, chosen, strict=True):
                parts[partition].append(record)
            sources = {TopicPartition(name, partition): part for partition, part in parts.items()}
            held = self._topics.bounds_of(connection, sources)
            for source, part in sources.items():
                _append(connection, topic, source, held[source].end, _columns(part, now_ms))
            self._trim(connection, topic, now_ms)

    def _trim(self, connection: sqlite3.Connection, topic: Topic, now_ms: int) -> None:
        name, retention_ms = topic.info.name, topic.info.retention_ms
        if retention_ms is None or topic.info.compacted:
            return
        if now_ms - self._trimmed_ms.get(name, 0) < _TRIM_EVERY_MS:
            return
        for source, bounds in self._topics.bounds(connection, [name]).items():
            place = (topic.number, source.partition)
            kept = connection.execute(
                """SELECT "offset" FROM records WHERE topic = ? AND partition = ? AND timestamp_ms >= ?
                ORDER BY "offset" LIMIT 1""",
                (*place, now_ms - retention_ms),
            ).fetchone()
            start = kept[0] if kept else bounds.end
            connection.execute(
                'DELETE FROM records WHERE topic = ? AND partition = ? AND "offset" < ?', (*place, start)
            )
            connection.execute("UPDATE partitions SET start = ? WHERE topic = ? AND partition = ?", (start, *place))
        self._trimmed_ms[name] = now_ms


class _Columns(NamedTuple):
    """What rows differ in: lists, since a tuple a row costs as much as hashing its key."""

    timestamps_ms: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]
    headers: list[str | None]


def _columns(records: Sequence[Record], now_ms: int) -> _Columns:
    return _Columns(
        [now_ms if record.timestamp_ms is None else record.timestamp_ms for record in records],
        [record.key for record in records],
        [record.value for record in records],
        [_encoded(record.headers) if record.headers else None for record in records],
    )


def _encoded(headers: Headers) -> str:
    # Latin-1 gives each byte one character: nothing is lost, and text stays legible in the file.
    pairs = [(name, None if value is None else value.decode("latin-1")) for name, value in headers]
    return orjson.dumps(pairs).decode()


def _check(topic: TopicInfo, records: Sequence[Record]) -> None:
    if topic.compacted and any(record.key is None for record in records):
        raise LogError(f"topic {topic.name!r} is compacted: each of its records needs a key")
    if topic.max_record_bytes is not None:
        largest = max(len(record.key or b"") + len(record.value or b"") for record in records)
        if largest > topic.max_record_bytes:
            raise LogError(
                f"topic {topic.name!r} takes records of at most {topic.max_record_bytes} bytes, got {largest}"
            )


def _partitions(topic: TopicInfo, records: Sequence[Record], bounds: Mapping[TopicPartition, Bounds]) -> list[int]:
    """The partition of each record: as it says, else by its key, else in turn."""
    keys = [record.key for record in records]
    if topic.partitions == 1:
        return [record.partition or 0 for record in records]
    by_key = iter(partitions_of([key for key in keys if key is not None], topic.partitions))
    # Counted from what the topic has ever held: the same writes give the same file, in any process.
    turn = sum(bound.end for bound in bounds.values())
    in_turn = (place % topic.partitions for place in range(turn, turn + len(keys)))
    chosen = [next(in_turn if key is None else by_key) for key in keys]
    return [
        choice if record.partition is None else record.partition for choice, record in zip(chosen, records, strict=True)
    ]


def _append(connection: sqlite3.Connection, topic: Topic, source: TopicPartition, end: int, columns: _Columns) -> None:
    place = (topic.number, source.partition)
    count = len(columns.keys)
    if topic.info.compacted:
        _insert_compacted(connection, place, end, columns)
    else:
        whole = count // _BLOCK_ROWS * _BLOCK_ROWS
        connection.executemany(_INSERT_BLOCK, _blocks(place, end, columns, range(0, whole, _BLOCK_ROWS)))
        connection.executemany(_INSERT_ROW, _blocks(place, end, columns, range(whole, count)))
    connection.execute('UPDATE partitions SET "end" = ? WHERE topic = ? AND partition = ?', (end + count, *place))


def _blocks(place: tuple[int, int], end: int, columns: _Columns, rows: range) -> Iterator[list[Any]]:
    """The parameters of one INSERT after another; `rows` holds the first row of each."""
    for row in rows:
        block: list[Any] = [*place, end + row, *[None] * (_COLUMNS * rows.step)]
        end_row = row + rows.step
        block[_SHARED::_COLUMNS] = columns.timestamps_ms[row:end_row]
        block[_SHARED + 1 :: _COLUMNS] = columns.keys[row:end_row]
        block[_SHARED + 2 :: _COLUMNS] = columns.values[row:end_row]
        block[_SHARED + 3 :: _COLUMNS] = columns.headers[row:end_row]
        yield block


def _insert_compacted(connection: sqlite3.Connection, place: tuple[int, int], end: int, columns: _Columns) -> None:
    """Keep the last record of each key. The partition's last record is never superseded: `end` is right."""
    last = {key: row for row, key in enumerate(columns.keys)}
    connection.executemany(_SUPERSEDE, ((*place, key) for key in last))
    connection.executemany(_REMEMBER, ((*place, key, end + row) for key, row in last.items()))
    for row in last.values():
        connection.executemany(_INSERT_ROW, _blocks(place, end, columns, range(row, row + 1)))


def _insert(rows: int) -> str:
    """An INSERT of `rows` rows that share topic, partition and first offset."""
    values = []
    for row in range(rows):
        first = _SHARED + 1 + row * _COLUMNS
        columns = ", ".join(f"?{number}" for number in range(first, first + _COLUMNS))
        values.append(f"(?1, ?2, ?3 + {row}, {columns})")
    return " ".join(["INSERT INTO records VALUES", ", ".join(values)])


_INSERT_BLOCK = _insert(_BLOCK_ROWS)
_INSERT_ROW = _insert(1)
