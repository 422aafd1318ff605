"""Which topics a file holds, and where their partitions start and end."""

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from streamguard.core.records import TopicPartition
from streamguard.errors import LogError
from streamguard.logs.interface import Span, TopicInfo

_SINCE = 'SELECT min("offset") FROM records WHERE topic = ? AND partition = ? AND timestamp_ms >= ?'


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic and the number that stands for it in the tables."""

    number: int
    info: TopicInfo


@dataclass(frozen=True, slots=True)
class Bounds:
    """A partition's first offset, and the one after its last."""

    start: int
    end: int


class Topics:
    """The topics of one file. They never change once made, so what was read is kept."""

    def __init__(self) -> None:
        self._known: dict[str, Topic] = {}

    def find(self, connection: sqlite3.Connection, names: Collection[str]) -> dict[str, Topic]:
        """Those of `names` that exist."""
        if not self._known.keys() >= set(names):
            rows = connection.execute(
                "SELECT id, name, partitions, retention_ms, compacted, max_record_bytes FROM topics"
            )
            self._known = {
                name: Topic(number, TopicInfo(name, partitions, retention, bool(compacted), limit))
                for number, name, partitions, retention, compacted, limit in rows
            }
        return {name: self._known[name] for name in names if name in self._known}

    def topic(self, connection: sqlite3.Connection, name: str) -> Topic:
        found = self.find(connection, [name])
        if not found:
            known = ", ".join(sorted(self._known)) or "none"
            raise LogError(f"unknown topic {name!r}: create it first, or name one that exists ({known})")
        return found[name]

    def bounds(self, connection: sqlite3.Connection, names: Collection[str]) -> dict[TopicPartition, Bounds]:
        """Of all partitions of these topics."""
        found: dict[TopicPartition, Bounds] = {}
        for name in names:
            rows = connection.execute(
                'SELECT partition, start, "end" FROM partitions WHERE topic = ?',
                (self.topic(connection, name).number,),
            )
            found |= {TopicPartition(name, partition): Bounds(start, end) for partition, start, end in rows}
        return found

    def bounds_of(
        self, connection: sqlite3.Connection, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, Bounds]:
        """Of these partitions, all of which must exist."""
        bounds = self.bounds(connection, {source.topic for source in partitions})
        for source in partitions:
            if source not in bounds:
                known = self.topic(connection, source.topic).info.partitions
                raise LogError(f"topic {source.topic!r} has no partition {source.partition}: it has 0 to {known - 1}")
        return {source: bounds[source] for source in partitions}

    def spans(
        self, connection: sqlite3.Connection, name: str, from_ms: int | None, to_ms: int | None
    ) -> dict[int, Span]:
        """Of each partition of a topic, the offsets of the records between two times."""
        number = self.topic(connection, name).number

        def since(partition: int, time_ms: int) -> int | None:
            found: int | None = connection.execute(_SINCE, (number, partition, time_ms)).fetchone()[0]
            return found

        found = {}
        for source, held in self.bounds(connection, [name]).items():
            first = held.start if from_ms is None else since(source.partition, from_ms)
            last = held.end if to_ms is None else since(source.partition, to_ms)
            found[source.partition] = Span.within(held.start, held.end, first, last)
        return found


def create(connection: sqlite3.Connection, topic: TopicInfo) -> None:
    """Make a topic; one that exists already is left as it is."""
    if topic.partitions < 1 or not topic.name:
        raise LogError(f"topic {topic.name!r} needs a name and at least one partition, got {topic.partitions}")
    connection.execute(
        """INSERT INTO topics (name, partitions, retention_ms, compacted, max_record_bytes)
        VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING""",
        (topic.name, topic.partitions, topic.retention_ms, topic.compacted, topic.max_record_bytes),
    )
    connection.execute(
        """WITH RECURSIVE numbers (partition) AS
            (SELECT 0 UNION ALL SELECT partition + 1 FROM numbers WHERE partition < ?2 - 1)
        INSERT INTO partitions SELECT id, partition, 0, 0 FROM topics, numbers WHERE name = ?1
        AND NOT EXISTS (SELECT 1 FROM partitions WHERE topic = id)""",
        (topic.name, topic.partitions),
    )
