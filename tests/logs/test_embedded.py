"""The contract on an embedded log, and what only an embedded log promises."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamguard.core.records import TopicPartition
from streamguard.errors import CommitLostError, LogError
from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.interface import Committed, Log, Record, TopicInfo
from tests.logs.contract_sessions import SessionContract
from tests.logs.contract_topics import TopicContract
from tests.logs.helpers import join, numbered, take, values

PLACE = TopicPartition("t", 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log's file will be."""
    return tmp_path / "log.db"


@pytest.fixture
def log(path: Path) -> Iterator[EmbeddedLog]:
    """An embedded log with the topic `t` of one partition."""
    log = EmbeddedLog(path)
    log.create(TopicInfo("t", 1))
    yield log
    log.close()


class TestEmbeddedContract(SessionContract, TopicContract):
    """The contract, on SQLite."""


def test_outlives_its_process(log: EmbeddedLog, path: Path) -> None:
    """All that was appended is there when the file is opened again."""
    log.append(numbered("t", 3))
    log.close()
    again = EmbeddedLog(path)
    assert values(again.read("t")) == [b"0", b"1", b"2"]
    again.close()


def test_makes_missing_directories(tmp_path: Path) -> None:
    """The first start needs no preparation."""
    EmbeddedLog(tmp_path / "a" / "b" / "log.db").close()
    assert (tmp_path / "a" / "b" / "log.db").exists()


def test_keyless_records_take_turns(path: Path) -> None:
    """Without a key the load spreads evenly, and goes on where the last append stopped."""
    log = EmbeddedLog(path)
    log.create(TopicInfo("spread", 3))
    for count in (4, 2, 3):
        log.append([Record("spread", None, b"v")] * count)
    assert {batch.source.partition: len(batch) for batch in log.read("spread")} == {0: 3, 1: 3, 2: 3}
    log.close()


def test_polls_within_its_limits_and_shares_them(path: Path) -> None:
    """A partition far behind cannot crowd out one that has little, and no poll exceeds the record limit."""
    log = EmbeddedLog(path, poll_records_max=10)
    log.create(TopicInfo("wide", 3))
    log.append([Record("wide", None, b"v", 0)] * 100 + [Record("wide", None, b"v", 1)] * 2)
    session = join(log, "g", "wide")
    first = session.poll(0).batches
    assert {batch.source.partition: len(batch) for batch in first} == {0: 8, 1: 2}
    assert [len(batch) for batch in session.poll(0).batches] == [10]
    session.close()
    log.close()


def test_limit_below_the_number_of_partitions_skips_nothing(path: Path) -> None:
    """A share below one record is still one record, never a step over it."""
    log = EmbeddedLog(path, poll_records_max=2)
    log.create(TopicInfo("wide", 5))
    log.append([Record("wide", None, b"%d" % number) for number in range(10)])
    assert sorted(value or b"" for value in values(log.read("wide"))) == [b"%d" % n for n in range(10)]
    log.close()


def test_polls_within_its_byte_limit(path: Path) -> None:
    """Large records come in small polls, and a record above the limit comes alone instead of never."""
    log = EmbeddedLog(path, poll_bytes_max=1000)
    log.create(TopicInfo("large", 1))
    log.append([Record("large", None, bytes(size)) for size in (400, 400, 400, 5000, 1)])
    session = join(log, "g", "large")
    assert [[len(batch) for batch in session.poll(0).batches] for _ in range(5)] == [[2], [1], [1], [1], []]
    session.close()
    log.close()


def test_compaction_bounds_the_state_topic(log: EmbeddedLog, path: Path) -> None:
    """However often a key is written, one record of it stays, and a reader passes over the gaps."""
    log.create(TopicInfo("state", 1, compacted=True))
    for number in range(50):
        log.append([Record("state", b"a", b"%d" % number), Record("state", b"b", b"x")])
    log.append([Record("state", b"b", None)])
    with sqlite3.connect(path) as connection:
        assert connection.execute('SELECT "offset", key, value FROM records').fetchall() == [
            (98, b"a", b"49"),
            (100, b"b", None),
        ]
    connection.close()
    session = join(log, "g", "state")
    (batch,) = take(session, 2)
    assert (batch.offsets, batch.next_offset) == ((98, 100), 101)
    session.close()


def test_compacted_topic_needs_keys(log: EmbeddedLog) -> None:
    """A record without a key could never be superseded, and Kafka refuses it too."""
    log.create(TopicInfo("state", 1, compacted=True))
    with pytest.raises(LogError, match="'state' is compacted"):
        log.append([Record("state", None, b"v")])


def test_retention_deletes_from_the_front(log: EmbeddedLog) -> None:
    """Records past their retention go, the start moves up, and offsets go on as if nothing had happened."""
    log.create(TopicInfo("short", 1, retention_ms=3_600_000))
    log.append([Record("short", None, b"old", timestamp_ms=1), Record("short", None, b"new")])
    assert [(batch.offsets, batch.values) for batch in log.read("short")] == [((1,), (b"new",))]
    log.append([Record("short", None, b"newer")])
    session = join(log, "g", "short")
    place = TopicPartition("short", 0)
    assert (session.starts([place]), session.ends([place])) == ({place: 1}, {place: 3})
    session.close()


def test_retention_leaves_a_reader_alone_that_is_past_it(path: Path) -> None:
    """What a bounded read has finished may be deleted while it reads on elsewhere."""
    log = EmbeddedLog(path, poll_records_max=4)
    log.create(TopicInfo("short", 2, retention_ms=3_600_000))
    log.append([Record("short", None, b"new", 1)] * 9)
    log.append([Record("short", None, b"old", 0, timestamp_ms=1)])
    reading = log.read("short")
    assert next(reading).source == TopicPartition("short", 0)
    other = EmbeddedLog(path)
    other.append([Record("short", None, b"old", 0, timestamp_ms=1)])
    assert len(values(reading)) == 9
    other.close()
    log.close()


def test_refuses_positions_it_does_not_hold(log: EmbeddedLog) -> None:
    """Neither deleted records nor a lost file may pass for an empty stream."""
    log.create(TopicInfo("short", 1, retention_ms=3_600_000))
    place = TopicPartition("short", 0)
    log.append([Record("short", None, b"old", timestamp_ms=1), Record("short", None, b"new")])
    for position in (0, 3):
        session = join(log, "g", "short")
        session.seek(place, position)
        with pytest.raises(LogError, match=f"short-0@{position} is not held, only 1 to 2"):
            session.poll(0)
        session.close()


def test_bounds_record_sizes(log: EmbeddedLog) -> None:
    """A topic's own limit holds here as on a broker, so a test on a laptop finds what production refuses."""
    log.create(TopicInfo("small", 1, max_record_bytes=10))
    log.append([Record("small", b"key", b"1234567")])
    with pytest.raises(LogError, match="at most 10 bytes, got 11"):
        log.append([Record("small", b"key", b"12345678")])


def test_refuses_long_metadata(log: EmbeddedLog) -> None:
    """A broker refuses a note above 4 kB, so the embedded log does."""
    session = join(log, "g", "t")
    with pytest.raises(LogError, match="at most 4096 bytes, got 4097"):
        session.commit([], {PLACE: Committed(0, "m" * 4097)})
    session.close()


def test_failed_session_stays_dead(log: EmbeddedLog) -> None:
    """After a failed commit the positions run ahead, so nothing more may be committed on top of them."""
    log.append(numbered("t", 1))
    session = join(log, "g", "t")
    take(session, 1)
    with pytest.raises(LogError, match="unknown topic"):
        session.commit([Record("nowhere", b"k", b"v")], {PLACE: Committed(1)})
    with pytest.raises(LogError, match="join again"):
        session.commit([], {PLACE: Committed(1)})
    with pytest.raises(LogError, match="join again"):
        session.poll(0)
    session.close()


def test_second_worker_is_refused_until_the_first_leaves(log: EmbeddedLog) -> None:
    """Two workers of a group would both commit; the error says who is there and what to do."""
    first = log.session("g/1", [["t"]], "worker-a")
    with pytest.raises(LogError, match=r"pid \d+, worker worker-a.*stop that one"):
        log.session("g/1", [["t"]], "worker-b")
    first.close()
    log.session("g/1", [["t"]], "worker-b").close()


def test_commit_is_fenced_where_the_lock_file_was_deleted(log: EmbeddedLog, path: Path) -> None:
    """Who cleans up lock files gets a second worker, and still no second commit."""
    former = join(log, "g", "t")
    path.with_name("log.db.g.lock").unlink()
    join(log, "g", "t").close()
    with pytest.raises(CommitLostError, match="another worker has taken over"):
        former.commit(numbered("t", 1), {PLACE: Committed(1)})
    former.close()
    assert list(log.read("t")) == []


def test_unassigned_partitions_are_named(log: EmbeddedLog) -> None:
    """A position before the first poll, or of a foreign partition, would be a guess."""
    session = log.session("g", [["t"]], "w")
    with pytest.raises(LogError, match="t-0 is not assigned"):
        session.position(PLACE)
    session.poll(0)
    assert session.position(PLACE) == 0
    with pytest.raises(LogError, match="no partition 1: it has 0 to 0"):
        session.ends([TopicPartition("t", 1)])
    session.close()


def test_names_known_topics(log: Log) -> None:
    """A misspelt topic's error lists what there is."""
    with pytest.raises(LogError, match=r"unknown topic 'tt'.*\(t\)"):
        log.read("tt")
