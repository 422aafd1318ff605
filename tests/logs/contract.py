"""What every log keeps to. A subclass gives the `log` fixture; each test has its own topics and groups."""

import time  # noqa: TID251 (tests of a log wait for it)
from itertools import islice
from uuid import uuid4

import pytest

from streamguard.core.records import TopicPartition
from streamguard.errors import LogError
from streamguard.logs.interface import Committed, Log, Record, TopicInfo
from tests.logs.helpers import METADATA, PATIENCE_S, join, make_topic, numbered, take, values


class LogContract:
    """The tests."""

    header_without_value: bytes | None = None

    @pytest.fixture
    def group(self) -> str:
        """A group nobody else is in."""
        return f"group-{uuid4().hex[:12]}"

    def test_assigns_before_it_reads(self, log: Log, group: str) -> None:
        """A session first learns its whole assignment, from the start where nothing is committed."""
        topic = make_topic(log, partitions=3)
        log.append(numbered(topic, 1))
        session = log.session(group, [topic], "worker-0")
        poll = session.poll(PATIENCE_S * 1000)
        while poll.assigned is None:
            assert not poll.batches
            poll = session.poll(PATIENCE_S * 1000)
        assert not poll.batches
        assert poll.assigned == {TopicPartition(topic, partition) for partition in range(3)}
        assert [session.position(source) for source in poll.assigned] == [0, 0, 0]
        session.close()

    def test_reads_what_was_appended_in_order(self, log: Log, group: str) -> None:
        """Records come once, in offset order, with their time, key and value."""
        topic = make_topic(log)
        log.append([Record(topic, b"a", b"1", 0, timestamp_ms=1_700_000_000_123), *numbered(topic, 50)])
        session = join(log, group, topic)
        batches = take(session, 51)
        assert [offset for batch in batches for offset in batch.offsets] == list(range(51))
        assert values(batches) == [b"1", *(b"%d" % number for number in range(50))]
        assert batches[0].keys[0] == b"a"
        assert batches[0].timestamps[0] == 1_700_000_000_123
        assert batches[-1].next_offset == session.position(TopicPartition(topic, 0)) == 51
        session.close()

    def test_stamps_records_without_a_time(self, log: Log) -> None:
        """A record that names no time gets the time at which it was written."""
        topic = make_topic(log)
        before_ms = time.time_ns() // 1_000_000
        log.append(numbered(topic, 1))
        (batch,) = log.read(topic)
        assert before_ms <= batch.timestamps[0] <= time.time_ns() // 1_000_000

    def test_commits_records_and_offsets_together(self, log: Log, group: str) -> None:
        """After a commit both are there, and the next session goes on from it."""
        source, target = make_topic(log), make_topic(log)
        place = TopicPartition(source, 0)
        log.append(numbered(source, 10))
        session = join(log, group, source)
        take(session, 10)
        session.commit(numbered(target, 2), {place: Committed(7, METADATA)})
        assert session.committed([place]) == {place: Committed(7, METADATA)}
        session.close()

        assert values(log.read(target)) == [b"0", b"1"]
        session = join(log, group, source)
        assert session.position(place) == 7
        assert session.committed([place]) == {place: Committed(7, METADATA)}
        assert values(take(session, 3)) == [b"7", b"8", b"9"]
        session.close()

    def test_failed_commit_leaves_nothing(self, log: Log, group: str) -> None:
        """A commit that cannot be carried out whole shows neither its records nor its offsets, ever."""
        source, target = make_topic(log), make_topic(log)
        place = TopicPartition(source, 0)
        log.append(numbered(source, 5))
        session = join(log, group, source)
        take(session, 5)
        unwritable = Record(target, b"k", b"x", partition=999)
        with pytest.raises(LogError):
            session.commit([*numbered(target, 3), unwritable], {place: Committed(5)})
        session.close()

        assert values(log.read(target)) == []
        session = join(log, group, source)
        assert session.committed([place]) == {}
        assert len(values(take(session, 5))) == 5
        session.close()

    def test_reads_its_own_commits(self, log: Log, group: str) -> None:
        """A worker's outputs are its own inputs a poll later: outcomes feed the monitors."""
        topic = make_topic(log)
        session = join(log, group, topic)
        session.commit(numbered(topic, 3), {})
        assert values(take(session, 3)) == [b"0", b"1", b"2"]
        session.close()

    def test_groups_do_not_share_offsets(self, log: Log, group: str) -> None:
        """What one group has committed says nothing about another's place."""
        topic = make_topic(log)
        place = TopicPartition(topic, 0)
        first, second = join(log, group, topic), join(log, group + "-other", topic)
        first.commit([], {place: Committed(3)})
        assert first.committed([place]) == {place: Committed(3)}
        assert second.committed([place]) == {}
        first.close()
        second.close()

    def test_seek_reads_again(self, log: Log, group: str) -> None:
        """A restore reads the same records again from any offset."""
        topic = make_topic(log)
        place = TopicPartition(topic, 0)
        log.append(numbered(topic, 10))
        session = join(log, group, topic)
        take(session, 10)
        session.seek(place, 8)
        assert session.position(place) == 8
        assert values(take(session, 2)) == [b"8", b"9"]
        session.close()

    def test_pause_holds_one_partition_back(self, log: Log, group: str) -> None:
        """A paused partition gives nothing and keeps its position, and gives all of it when resumed."""
        topic = make_topic(log, partitions=2)
        held = TopicPartition(topic, 1)
        log.append([*numbered(topic, 4), Record(topic, None, b"held", 1)])
        session = join(log, group, topic)
        session.pause([held])
        assert values(take(session, 4)) == [b"0", b"1", b"2", b"3"]
        assert session.poll(300).batches == []
        assert session.position(held) == 0
        session.resume([held])
        assert values(take(session, 1)) == [b"held"]
        session.close()

    def test_poll_waits_for_the_next_record(self, log: Log, group: str) -> None:
        """An empty poll takes its timeout; a record that is there ends it at once."""
        topic = make_topic(log)
        session = join(log, group, topic)
        started = time.monotonic()
        assert session.poll(300).batches == []
        assert time.monotonic() - started >= 0.25
        log.append(numbered(topic, 1))
        started = time.monotonic()
        assert len(session.poll(PATIENCE_S * 1000).batches) == 1
        assert time.monotonic() - started < PATIENCE_S / 2
        session.close()

    def test_tells_starts_and_ends(self, log: Log, group: str) -> None:
        """Restoring needs to know where a partition begins and ends, empty ones included."""
        topic = make_topic(log, partitions=2)
        places = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
        log.append(numbered(topic, 6))
        session = join(log, group, topic)
        assert session.starts(places) == {places[0]: 0, places[1]: 0}
        assert session.ends(places) == {places[0]: 6, places[1]: 0}
        session.close()

    def test_keeps_odd_records_as_they_are(self, log: Log, group: str) -> None:
        """Tombstones, empty keys and values, no key, and headers of any bytes come back unchanged."""
        topic = make_topic(log)
        headers = (
            ("ce_id", b"1"),
            ("none", None),
            ("empty", b""),
            ("raw", bytes(range(256))),
            ("ce_id", b"2"),
        )
        log.append([Record(topic, b"", b"", 0), Record(topic, None, b"v", 0), Record(topic, b"k", None, 0)])
        log.append([Record(topic, b"k", b"v", 0, headers)])
        session = join(log, group, topic)
        records = [
            row for batch in take(session, 4) for row in zip(batch.keys, batch.values, batch.headers, strict=True)
        ]
        session.close()
        assert [(key, value) for key, value, _ in records] == [
            (b"", b""),
            (None, b"v"),
            (b"k", None),
            (b"k", b"v"),
        ]
        expected = tuple((name, self.header_without_value if v is None else v) for name, v in headers)
        assert [tuple(found) for _, _, found in records] == [(), (), (), expected]

    def test_carries_large_values(self, log: Log, group: str) -> None:
        """Three values of 900 kB pass whole: state snapshots are that large."""
        topic = make_topic(log)
        large = [bytes([fill]) * 900_000 for fill in (1, 2, 3)]
        session = join(log, group, topic)
        session.commit([Record(topic, b"k", value, 0) for value in large], {})
        assert values(take(session, 3)) == large
        session.close()

    def test_keys_choose_partitions_as_kafka_does(self, log: Log) -> None:
        """Predictions and labels of one request meet, whoever wrote them: Java's murmur2 places the key."""
        topic = make_topic(log, partitions=4)
        log.append([Record(topic, key, key) for key in (b"req-1", b"req-2", b"")])
        placed = {value: batch.source.partition for batch in log.read(topic) for value in batch.values}
        assert placed == {b"req-1": 3, b"req-2": 1, b"": 1}

    def test_read_stops_where_the_topic_ended(self, log: Log) -> None:
        """A bounded read is not drawn on by what is written meanwhile, nor reads other partitions."""
        topic = make_topic(log, partitions=2)
        log.append([*numbered(topic, 3), Record(topic, None, b"other", 1)])
        reading = log.read(topic, [0])
        first = next(reading)
        log.append(numbered(topic, 3, first=3))
        assert values([first, *reading]) == [b"0", b"1", b"2"]

    def test_read_follows(self, log: Log) -> None:
        """A following read gives what comes later, and an empty batch about once a second in between."""
        topic = make_topic(log)
        log.append(numbered(topic, 1))
        reading = log.read(topic, follow=True)
        assert len(next(batch for batch in reading if len(batch))) == 1
        assert len(next(reading)) == 0
        log.append(numbered(topic, 1, first=1))
        assert values(islice(reading, 3)) == [b"1"]

    def test_creates_once(self, log: Log) -> None:
        """Making a topic again changes nothing: every worker does so at start."""
        topic = make_topic(log, partitions=2)
        log.append(numbered(topic, 1))
        log.create(TopicInfo(topic, partitions=5))
        assert log.topics([topic, "no-such-topic"]).keys() == {topic}
        assert log.topics([topic])[topic].partitions == 2
        assert values(log.read(topic)) == [b"0"]

    def test_tells_what_kind_a_topic_is(self, log: Log) -> None:
        """Doctor checks retention and compaction from what the log says."""
        name = f"topic-{uuid4().hex[:12]}"
        log.create(TopicInfo(name, 1, retention_ms=86_400_000))
        found = log.topics([name, make_topic(log)])[name]
        assert (found.retention_ms, found.compacted) == (86_400_000, False)
        state = make_topic(log, compacted=True)
        assert log.topics([state])[state].compacted

    def test_refuses_an_unknown_topic(self, log: Log, group: str) -> None:
        """A misspelt topic is an error with its name in it, not an empty stream."""
        with pytest.raises(LogError, match="no-such-topic"):
            log.append([Record("no-such-topic", b"k", b"v")])
        with pytest.raises(LogError, match="no-such-topic"):
            log.read("no-such-topic").__next__()
        with pytest.raises(LogError, match="no-such-topic"):
            log.session(group, ["no-such-topic"], "worker-0").poll(1000)

    def test_compacted_topic_gives_the_last_of_each_key(self, log: Log) -> None:
        """Whatever compaction has removed so far, the newest record of each key is there, tombstones too."""
        topic = make_topic(log, compacted=True)
        for number in range(5):
            log.append([Record(topic, b"a", b"%d" % number, 0), Record(topic, b"b", b"%d" % number, 0)])
        log.append([Record(topic, b"b", None, 0)])
        last = {key: value for batch in log.read(topic) for key, value in zip(batch.keys, batch.values, strict=True)}
        assert last == {b"a": b"4", b"b": None}
