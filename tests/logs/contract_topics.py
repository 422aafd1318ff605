"""What the topics of any log keep to. A subclass gives the `log` fixture; each test has its own topics."""

import time
from itertools import islice
from uuid import uuid4

import pytest

from streamguard.errors import LogError
from streamguard.logs.interface import Log, Record, TopicInfo
from tests.logs.helpers import make_topic, numbered, values


class TopicContract:
    """Kinds, and reading and writing outside groups."""

    def test_stamps_records_without_a_time(self, log: Log) -> None:
        """A record that names no time gets the time at which it was written."""
        topic = make_topic(log)
        before_ms = time.time_ns() // 1_000_000
        log.append(numbered(topic, 1))
        (batch,) = log.read(topic)
        assert before_ms <= batch.timestamps[0] <= time.time_ns() // 1_000_000

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
            log.session(group, [["no-such-topic"]], "worker-0").poll(1000)

    def test_compacted_topic_gives_the_last_of_each_key(self, log: Log) -> None:
        """Whatever compaction has removed so far, the newest record of each key is there, tombstones too."""
        topic = make_topic(log, compacted=True)
        for number in range(5):
            log.append([Record(topic, b"a", b"%d" % number, 0), Record(topic, b"b", b"%d" % number, 0)])
        log.append([Record(topic, b"b", None, 0)])
        last = {key: value for batch in log.read(topic) for key, value in zip(batch.keys, batch.values, strict=True)}
        assert last == {b"a": b"4", b"b": None}
