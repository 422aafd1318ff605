"""What a session of any log keeps to. A subclass gives the `log` fixture; each test has its own topics."""

import time
from uuid import uuid4

import pytest

from streamguard.core.records import TopicPartition
from streamguard.errors import LogError
from streamguard.logs.interface import Committed, Log, Record, TopicInfo
from tests.logs.helpers import METADATA, PATIENCE_S, join, make_topic, numbered, take, values


class SessionContract:
    """Polls, commits, positions."""

    header_without_value: bytes | None = None

    def test_assigns_before_it_reads(self, log: Log, group: str) -> None:
        """A session first learns its whole assignment, from the start where nothing is committed."""
        topic = make_topic(log, partitions=3)
        log.append(numbered(topic, 1))
        session = log.session(group, [[topic]], "worker-0")
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

    def test_commits_records_and_offsets_together(self, log: Log, group: str) -> None:
        """After a commit both are there, and the next session goes on from it."""
        source, target = make_topic(log), make_topic(log)
        place = TopicPartition(source, 0)
        log.append(numbered(source, 10))
        session = join(log, group, source)
        take(session, 10)
        session.commit(numbered(target, 2), {place: Committed(7, METADATA)})
        assert session.committed([place]) == {place: Committed(7, METADATA)}
        assert log.committed(group, [place]) == {place: Committed(7, METADATA)}
        assert log.committed(f"{group}-other", [place]) == log.committed(group, []) == {}
        session.close()

        assert values(log.read(target)) == [b"0", b"1"]
        session = join(log, group, source)
        assert session.position(place) == 7
        assert session.committed([place]) == {place: Committed(7, METADATA)}
        assert values(take(session, 3)) == [b"7", b"8", b"9"]
        session.close()

    def test_tells_the_offsets_of_many_partitions(self, log: Log, group: str) -> None:
        """Each its own; of those that were never committed, nothing."""
        topic = make_topic(log, 3)
        places = [TopicPartition(topic, number) for number in range(3)]
        session = join(log, group, topic)
        offsets = {places[0]: Committed(4, METADATA), places[2]: Committed(0)}
        session.commit([], offsets)
        assert session.committed(places) == offsets
        assert session.committed([]) == {}
        session.close()

    def test_failed_commit_leaves_nothing(self, log: Log, group: str) -> None:
        """A commit that cannot be carried out whole shows neither its records nor its offsets, ever."""
        source, target = make_topic(log), f"topic-{uuid4().hex[:12]}"
        log.create(TopicInfo(target, 1, max_record_bytes=2_000))
        place = TopicPartition(source, 0)
        log.append(numbered(source, 5))
        session = join(log, group, source)
        take(session, 5)
        too_large = Record(target, b"k", bytes(10_000), 0)
        with pytest.raises(LogError):
            session.commit([*numbered(target, 3), too_large], {place: Committed(5)})
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

    def test_pause_in_the_middle_of_a_partition_loses_no_place(self, log: Log, group: str) -> None:
        """Where a pause finds a partition half read, and others are read meanwhile, the rest comes on resume."""
        topic = make_topic(log, partitions=3)
        held = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
        count = 30_000  # more than one poll brings
        log.append([Record(topic, None, b"%d" % number, place.partition) for place in held for number in range(count)])
        session = join(log, group, topic)
        batches = session.poll(PATIENCE_S * 1000).batches
        session.pause(held)
        assert session.poll(300).batches == []
        log.append([Record(topic, None, b"other", 2)])
        assert values(take(session, 1)) == [b"other"]
        session.resume(held)
        batches += take(session, len(held) * count - sum(map(len, batches)))
        for place in held:
            assert values(each for each in batches if each.source == place) == [b"%d" % n for n in range(count)]
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
