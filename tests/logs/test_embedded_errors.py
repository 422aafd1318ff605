"""Files that are no log, or cannot be written: each error says which file, and what to do."""

import os
import resource
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from threading import Timer

import pytest

from streamguard.core.records import TopicPartition
from streamguard.errors import CommitLostError, LogError
from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.interface import Committed, Record, TopicInfo
from tests.logs.helpers import join, numbered, take, values

PLACE = TopicPartition("t", 0)
NOBODY = 65_534


@contextmanager
def full_disk(file_bytes_max: int) -> Iterator[None]:
    """No file of this process can grow beyond this size; Python turns the signal into a failed write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes_max, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def without_privileges() -> Iterator[None]:
    """Permissions do not bind root, which CI may well be."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that any user can look into, which pytest's own is not."""
    path = Path(mkdtemp(prefix="streamguard-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_full_disk_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    """A commit on a full disk fails whole; with space again the file works, and reads as before it."""
    log = EmbeddedLog(tmp_path / "log.db")
    log.create(TopicInfo("t", 1))
    log.append(numbered("t", 10))
    session = join(log, "g", "t")
    take(session, 10)
    large = [Record("t", b"k", os.urandom(100_000)) for _ in range(20)]
    with full_disk(1_000_000):
        with pytest.raises(CommitLostError, match=r"log\.db cannot be .*the disk is full"):
            session.commit(large, {PLACE: Committed(10)})
        with pytest.raises(LogError, match=r"log\.db cannot be .*the disk is full"):
            log.append(large)
        assert len(values(log.read("t"))) == 10
    session.close()

    session = join(log, "g", "t")
    assert session.position(PLACE) == 0
    session.commit(large, {PLACE: Committed(10)})
    assert session.ends([PLACE]) == {PLACE: 30}
    session.close()
    log.close()


def test_refuses_a_file_that_is_no_database(tmp_path: Path) -> None:
    """A wrong path must not be overwritten."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    with pytest.raises(LogError, match=r"notes\.txt is not an embedded log"):
        EmbeddedLog(path)
    assert path.read_text().startswith("not a database")


def test_refuses_another_program_s_database(tmp_path: Path) -> None:
    """Another program's SQLite file is left as it is."""
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(LogError, match="of another program"):
        EmbeddedLog(path)
    assert path.read_bytes() == before


def test_refuses_an_unknown_format(tmp_path: Path) -> None:
    """A file of a later version is not guessed at."""
    path = tmp_path / "log.db"
    EmbeddedLog(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(LogError, match="has format 99, this streamguard reads 1"):
        EmbeddedLog(path)


def test_says_why_a_path_cannot_be_opened(tmp_path: Path) -> None:
    """A directory, or a path below a file, is named as it is."""
    with pytest.raises(LogError, match="cannot be opened; check that it is a file"):
        EmbeddedLog(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(LogError, match=r"Not a directory|File exists"):
        EmbeddedLog(tmp_path / "file" / "log.db")


def test_says_that_a_file_is_read_only(open_directory: Path) -> None:
    """A log that another user owns is not written, and the error says what is missing."""
    path = open_directory / "log.db"
    log = EmbeddedLog(path)
    log.create(TopicInfo("t", 1))
    for file in open_directory.iterdir():
        file.chmod(0o444)
    with without_privileges():
        foreign = EmbeddedLog(path)
        with pytest.raises(LogError, match=r"log\.db is read-only; give this user write access"):
            foreign.append(numbered("t", 1))
        with pytest.raises(LogError, match="cannot lock"):
            foreign.session("g", [["t"]], "w")
        foreign.close()
    log.close()


def test_waits_for_a_reader_of_a_new_file(tmp_path: Path) -> None:
    """Workers that start together on a new file meet while one of them sets it up, and none may fail."""
    other = sqlite3.connect(tmp_path / "log.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN")
    other.execute("SELECT * FROM sqlite_master").fetchall()
    release = Timer(0.05, other.close)
    release.start()
    EmbeddedLog(tmp_path / "log.db").close()
    assert release.finished.is_set()
    release.join()


def test_a_closed_log_says_so(tmp_path: Path) -> None:
    """Use after close is an error of its own, not one of SQLite's."""
    log = EmbeddedLog(tmp_path / "log.db")
    log.close()
    with pytest.raises(LogError, match="closed already"):
        log.topics(["t"])
