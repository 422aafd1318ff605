"""The SQLite file under the embedded log: its schema, transactions, and errors in plain words."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, Self

from streamguard.errors import LogError

# "sglg": tells our files from anybody else's SQLite database.
_APPLICATION_ID = 0x73676C67
_SCHEMA_VERSION = 1
# Writers queue for the file; a commit of 20,000 records takes about 0.1 s.
_LOCK_WAIT_S = 30
# SQLite has no notification: a waiting worker looks every 10 ms, which takes about 2% of a core.
_CHECK_EVERY_S = 0.01
_PAGE_BYTES = 16_384
# Holds the pages of a large commit: with SQLite's 2 MB they are written twice.
_CACHE_KB = 16_000
_WAL_BYTES_KEPT = 64 * 1024 * 1024

_SCHEMA = (
    """CREATE TABLE topics (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL,
        retention_ms INTEGER, compacted INTEGER NOT NULL, max_record_bytes INTEGER)""",
    # Where a partition starts and ends: retention may leave it without any record to tell.
    """CREATE TABLE partitions (
        topic INTEGER NOT NULL, partition INTEGER NOT NULL, start INTEGER NOT NULL, "end" INTEGER NOT NULL,
        PRIMARY KEY (topic, partition)) WITHOUT ROWID""",
    """CREATE TABLE records (
        topic INTEGER NOT NULL, partition INTEGER NOT NULL, "offset" INTEGER NOT NULL,
        timestamp_ms INTEGER NOT NULL, key BLOB, value BLOB, headers TEXT,
        PRIMARY KEY (topic, partition, "offset")) WITHOUT ROWID""",
    # Compacted topics only: where the record stands that a newer one of its key will supersede.
    """CREATE TABLE latest (
        topic INTEGER NOT NULL, partition INTEGER NOT NULL, key BLOB NOT NULL, "offset" INTEGER NOT NULL,
        PRIMARY KEY (topic, partition, key)) WITHOUT ROWID""",
    """CREATE TABLE group_offsets (
        group_name TEXT NOT NULL, topic INTEGER NOT NULL, partition INTEGER NOT NULL,
        "offset" INTEGER NOT NULL, metadata TEXT NOT NULL,
        PRIMARY KEY (group_name, topic, partition)) WITHOUT ROWID""",
    # Each session of a group raises its epoch; a commit under an older one is refused.
    "CREATE TABLE groups (name TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID",
)

_ADVICE = {
    "SQLITE_NOTADB": "is not an embedded log; name another file",
    "SQLITE_CORRUPT": "is damaged; restore it from a copy, or name another file",
    "SQLITE_FULL": "cannot grow: the disk is full; nothing of this write was kept; free space, then restart",
    "SQLITE_IOERR": "cannot be read or written: the disk is full or failing; nothing of this write was kept",
    "SQLITE_READONLY": "is read-only; give this user write access to the file and its directory",
    "SQLITE_CANTOPEN": "cannot be opened; check that it is a file, in a directory this user may write",
    "SQLITE_BUSY": f"was locked by another process for {_LOCK_WAIT_S} s; find that process with fuser",
}


class LogFile:
    """One connection to the file; safe to share between threads, not over a fork.

    Nothing committed is lost when a process is killed: the write-ahead log is in the kernel's hands by
    then. synchronous=FULL carries that over to power loss, at one fsync a commit, on disks that honour
    fsync: Kafka may rely on its replicas instead, a single file has none. A worker commits a few times a
    second, thousands of records each, so the fsync does not show in the throughput.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = RLock()
        self._closed = False
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=_LOCK_WAIT_S, isolation_level=None, check_same_thread=False
            )
        try:
            with self._explained():
                self._prepare()
        except LogError:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def writing(self, failure: type[LogError] = LogError) -> Iterator[sqlite3.Connection]:
        """A write transaction: all of it, or none. What SQLite refuses is raised as `failure`."""
        with self._transaction("BEGIN IMMEDIATE", failure) as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A snapshot: what others commit meanwhile stays out of sight."""
        with self._transaction("BEGIN", LogError) as connection:
            yield connection

    def version(self) -> int:
        """Changes whenever another connection has committed; this one's own commits do not count."""
        with self._lock, self._explained():
            return self._number("data_version")

    def wait_changed(self, version: int, until_s: float) -> bool:
        """Wait until another connection has committed, or until this time of the monotonic clock."""
        while self.version() == version:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return False
            time.sleep(min(left_s, _CHECK_EVERY_S))
        return True

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._connection.close()

    @contextmanager
    def _transaction(self, begin: str, failure: type[LogError]) -> Iterator[sqlite3.Connection]:
        with self._lock, self._explained(failure):
            self._connection.execute(begin)
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                # SQLite ends the transaction itself after some errors, a full disk among them.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def _explained(self, failure: type[LogError] = LogError) -> Iterator[None]:
        if self._closed:
            raise failure(f"log {self._path}: closed already; open it again")
        try:
            yield
        except OSError as error:
            raise failure(f"log {self._path}: {error}") from error
        except sqlite3.Error as error:
            name = str(getattr(error, "sqlite_errorname", ""))
            for prefix, advice in _ADVICE.items():
                if name.startswith(prefix):
                    raise failure(f"log {self._path} {advice} ({name}: {error})") from error
            raise

    def _number(self, pragma: str) -> int:
        return int(self._connection.execute(f"PRAGMA {pragma}").fetchone()[0])

    def _prepare(self) -> None:
        # Takes effect in a new file alone: large pages hold several records, small ones spill at 1 kB.
        self._connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        # In one snapshot: another process may be making the file at this moment.
        with self.reading():
            is_log = self._is_log()
        if not is_log:
            self._enter_wal()
            self._create()
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute(f"PRAGMA cache_size=-{_CACHE_KB}")
        self._connection.execute(f"PRAGMA journal_size_limit={_WAL_BYTES_KEPT}")

    def _is_log(self) -> bool:
        """False for a new file; raises where the file holds something else."""
        application, version = self._number("application_id"), self._number("user_version")
        if application == _APPLICATION_ID:
            if version != _SCHEMA_VERSION:
                raise LogError(
                    f"log {self._path} has format {version}, this streamguard reads {_SCHEMA_VERSION}: "
                    "use the streamguard that wrote it, or name another file"
                )
            return True
        if application or version or self._connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise LogError(f"log {self._path} is an SQLite database of another program; name another file")
        return False

    def _enter_wal(self) -> None:
        # SQLite does not wait for its lock here, and several processes may start on a new file at once.
        deadline = time.monotonic() + _LOCK_WAIT_S
        while True:
            try:
                mode: Any = self._connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            except sqlite3.OperationalError as error:
                if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
                continue
            if mode != "wal":
                raise LogError(f"log {self._path}: its file system has no shared memory; use a local disk")
            return

    def _create(self) -> None:
        with self.writing() as connection:
            if self._is_log():
                return
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")
