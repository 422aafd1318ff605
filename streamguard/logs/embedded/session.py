"""One worker on an embedded log."""

import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from streamguard.core.records import Batch, TopicPartition
from streamguard.errors import CommitLostError, LogError
from streamguard.logs.embedded.file import LogFile
from streamguard.logs.embedded.lease import Lease
from streamguard.logs.embedded.reading import Limits, check_position, fetch
from streamguard.logs.embedded.topics import Bounds, Topics
from streamguard.logs.embedded.writing import Writer
from streamguard.logs.interface import Committed, Poll, Record

# Kafka's own limit (offset.metadata.max.bytes): what fits here fits there.
_METADATA_BYTES_MAX = 4096


class EmbeddedSession:
    """The one worker of a group: its first poll assigns it all partitions of its topics."""

    def __init__(self, path: Path, group: str, topics: Collection[str], worker: str, limits: Limits) -> None:
        self._group = group
        self._limits = limits
        self._topics = Topics()
        self._writer = Writer(self._topics)
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._is_dead = False
        self._commit_s = 0.0
        self._lease = Lease(path, group, worker)
        try:
            self._file = LogFile(path)
        except BaseException:
            self._lease.release()
            raise
        try:
            with self._file.writing() as connection:
                self._partitions = frozenset(self._topics.bounds(connection, topics))
                connection.execute(
                    """INSERT INTO groups VALUES (?, 1)
                    ON CONFLICT (name) DO UPDATE SET epoch = epoch + 1""",
                    (group,),
                )
                self._epoch = self._current_epoch(connection)
        except BaseException:
            self.close()
            raise

    def poll(self, timeout_ms: int) -> Poll:
        with self._dying():
            if not self._positions and self._partitions:
                return self._assign()
            deadline_s = time.monotonic() + timeout_ms / 1000
            while True:
                # Taken before the look: what is committed between the two then counts as a change.
                version = self._file.version()
                batches = self._fetch()
                if batches or not self._file.wait_changed(version, deadline_s):
                    return Poll(batches)

    def committed(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Committed]:
        with self._file.reading() as connection:
            return committed(connection, self._topics, self._group, partitions)

    def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        with self._file.reading() as connection:
            bounds = self._topics.bounds_of(connection, partitions)
        return {source: held.end for source, held in bounds.items()}

    def high_watermarks(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        # What is not committed is not in the file.
        return self.ends(partitions)

    def starts(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        with self._file.reading() as connection:
            bounds = self._topics.bounds_of(connection, partitions)
        return {source: held.start for source, held in bounds.items()}

    def position(self, partition: TopicPartition) -> int:
        self._check_assigned([partition])
        return self._positions[partition]

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._check_assigned([partition])
        self._positions[partition] = offset

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        self._check_assigned(partitions)
        self._paused.update(partitions)

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        self._check_assigned(partitions)
        self._paused.difference_update(partitions)

    def commit(self, records: Sequence[Record], offsets: Mapping[TopicPartition, Committed]) -> None:
        self.begin(records, offsets)
        self.settle()

    def settle(self) -> float:
        """Nothing is left to wait for."""
        return self._commit_s

    def begin(self, records: Sequence[Record], offsets: Mapping[TopicPartition, Committed]) -> None:
        """Commit at once: a transaction of SQLite keeps its thread busy, and leaves nothing to overlap."""
        began_s = time.monotonic()
        self._write(records, offsets)
        self._commit_s = time.monotonic() - began_s

    def _write(self, records: Sequence[Record], offsets: Mapping[TopicPartition, Committed]) -> None:
        with self._dying(), self._file.writing(CommitLostError) as connection:
            # The lease keeps a second worker out; this also holds where its file was deleted.
            if self._current_epoch(connection) != self._epoch:
                raise CommitLostError(f"group {self._group!r}: another worker has taken over; let one of the two stop")
            self._writer.write(connection, records, time.time_ns() // 1_000_000)
            self._topics.bounds_of(connection, offsets)
            for source, committed in offsets.items():
                self._write_offset(connection, source, committed)

    def close(self) -> None:
        self._file.close()
        self._lease.release()

    def _assign(self) -> Poll:
        committed = self.committed(self._partitions)
        starts = self.starts(self._partitions)
        self._positions = {
            source: committed[source].offset if source in committed else starts[source] for source in self._partitions
        }
        return Poll(assigned=self._partitions)

    def _fetch(self) -> list[Batch]:
        active = self._positions.keys() - self._paused
        with self._file.reading() as connection:
            held = self._topics.bounds_of(connection, active)
            wanted = {}
            for source in active:
                check_position(source, self._positions[source], held[source])
                wanted[source] = Bounds(self._positions[source], held[source].end)
            batches = fetch(connection, self._topics, wanted, self._limits)
        for batch in batches:
            self._positions[batch.source] = batch.next_offset
        return [batch for batch in batches if len(batch)]

    def _write_offset(self, connection: sqlite3.Connection, source: TopicPartition, committed: Committed) -> None:
        size = len(committed.metadata.encode())
        if size > _METADATA_BYTES_MAX:
            raise LogError(
                f"{source.topic}-{source.partition}: a commit's metadata takes at most "
                f"{_METADATA_BYTES_MAX} bytes, got {size}"
            )
        number = self._topics.topic(connection, source.topic).number
        connection.execute(
            "INSERT OR REPLACE INTO group_offsets VALUES (?, ?, ?, ?, ?)",
            (self._group, number, source.partition, committed.offset, committed.metadata),
        )

    def _current_epoch(self, connection: sqlite3.Connection) -> int:
        return int(connection.execute("SELECT epoch FROM groups WHERE name = ?", (self._group,)).fetchone()[0])

    def _check_assigned(self, partitions: Collection[TopicPartition]) -> None:
        for source in partitions:
            if source not in self._positions:
                raise LogError(
                    f"{source.topic}-{source.partition} is not assigned to this session of group "
                    f"{self._group!r}: poll first, and name its topic when joining"
                )

    @contextmanager
    def _dying(self) -> Iterator[None]:
        """After any error the positions may be ahead of what is committed: no call may build on them."""
        if self._is_dead:
            raise LogError(f"group {self._group!r}: this session has failed; close it and join again")
        try:
            yield
        except BaseException:
            self._is_dead = True
            raise


def committed(
    connection: sqlite3.Connection, topics: Topics, group: str, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, Committed]:
    """What a group has committed; partitions without a commit are left out."""
    topics.bounds_of(connection, partitions)
    found = {}
    for source in partitions:
        row = connection.execute(
            """SELECT "offset", metadata FROM group_offsets
            WHERE group_name = ? AND topic = ? AND partition = ?""",
            (group, topics.topic(connection, source.topic).number, source.partition),
        ).fetchone()
        if row:
            found[source] = Committed(*row)
    return found
