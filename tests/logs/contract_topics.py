"""What the topics of any log keep to. A subclass gives the `log` fixture; each test has its own topics."""

import time
from itertools import islice
from uuid import uuid4

import pytest

from streamguard.errors import LogError
from streamguard.logs.interface import Log, Record, Span, TopicInfo
from tests.logs.helpers import make_topic, numbered, values

NOON_MS = 1_700_000_000_000


class TopicContract:
    """Kinds, and reading and writing outside groups."""

    def remove(self, topic: str, before: int) -> None:
        """Let partition 0 lose what lies before that offset, and is older than the topic's retention.

        An embedded log has done so when it was written.
        """

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

    def test_spans_lie_between_times(self, log: Log) -> None:
        """From the first record of a time or later to before the first of another, in each partition."""
        topic = make_topic(log, partitions=3)
        log.append([Record(topic, b"k", b"v", 0, timestamp_ms=NOON_MS + each) for each in (0, 10, 10, 5, 20)])
        log.append([Record(topic, b"k", b"v", 1, timestamp_ms=NOON_MS + each) for each in (3, 12)])

        def found(from_ms: int | None, to_ms: int | None) -> list[tuple[int, int]]:
            spans = log.spans(topic, from_ms, to_ms)
            assert sorted(spans) == [0, 1, 2]
            assert {span.held for span in spans.values()} == {0}
            return [(spans[number].start, spans[number].end) for number in range(3)]

        assert log.spans(topic) == {0: Span(0, 5, 0), 1: Span(0, 2, 0), 2: Span(0, 0, 0)}
        assert found(NOON_MS + 10, NOON_MS + 20) == [(1, 4), (1, 2), (0, 0)]
        assert found(NOON_MS + 11, NOON_MS + 12) == [(4, 4), (1, 1), (0, 0)]
        assert found(NOON_MS + 4, None) == [(1, 5), (1, 2), (0, 0)]
        assert found(None, NOON_MS + 11) == [(0, 4), (0, 1), (0, 0)]

    def test_spans_of_times_that_the_topic_does_not_reach(self, log: Log) -> None:
        """What is not there is an empty span at the nearer end, and times in the wrong order are one too."""
        topic = make_topic(log)
        log.append([Record(topic, b"k", b"v", 0, timestamp_ms=NOON_MS + each) for each in range(3)])
        after, before = NOON_MS + 3, NOON_MS - 1
        assert log.spans(topic, after) == log.spans(topic, after, after + 1) == {0: Span(3, 3, 0)}
        assert log.spans(topic, None, before) == log.spans(topic, 0, before) == {0: Span(0, 0, 0)}
        assert log.spans(topic, before, after) == log.spans(topic, -1, after) == {0: Span(0, 3, 0)}
        assert log.spans(topic, None, -1) == {0: Span(0, 0, 0)}
        assert log.spans(topic, NOON_MS + 2, NOON_MS + 1) == {0: Span(1, 1, 0)}
        assert values(log.read(topic, spans=log.spans(topic, after))) == []

    def test_reads_spans_alone(self, log: Log) -> None:
        """Of those partitions, from start to before end, whatever was written with it or comes after."""
        topic = make_topic(log, partitions=4)
        for number, count in enumerate((10, 10, 10, 3000)):
            log.append([Record(topic, b"%d" % each, b"%d" % each, number) for each in range(count)])
        spans = {0: Span(2, 5, 0), 2: Span(4, 4, 0), 3: Span(0, 2999, 0)}
        batches = list(log.read(topic, spans=spans))
        assert all(len(batch) == len(batch.keys) == len(batch.timestamps) == len(batch.headers) for batch in batches)
        found = {number: [each for each in batches if each.source.partition == number] for number in range(4)}
        assert values(found[0]) == [b"2", b"3", b"4"]
        assert [key for batch in found[0] for key in batch.keys] == [b"2", b"3", b"4"]
        assert (list(found[0][-1].offsets)[-1], found[0][-1].next_offset) == (4, 5)
        assert (found[1], found[2]) == ([], [])
        assert values(found[3]) == [b"%d" % each for each in range(2999)]
        assert found[3][-1].next_offset == 2999

    def test_reads_on_without_what_is_done(self, log: Log) -> None:
        """A partition may have far more than its span, and others are still to be read."""
        topic = make_topic(log, partitions=2)
        log.append([Record(topic, None, bytes(700_000), number) for number in (0, 1) for _ in range(12)])
        batches = list(log.read(topic, spans={0: Span(0, 1, 0), 1: Span(0, 12, 0)}))
        assert [sum(len(each) for each in batches if each.source.partition == number) for number in (0, 1)] == [1, 12]

    def test_lets_partitions_wait(self, log: Log) -> None:
        """Nothing comes of one that is not wanted, all comes in the end, and each says that it is at its end."""
        topic = make_topic(log, partitions=3)
        for number in range(3):
            log.append([Record(topic, None, b"%07d" % each + bytes(2000), number) for each in range(1500)])
        spans = {0: Span(0, 1500, 0), 1: Span(700, 1400, 0), 2: Span(1500, 1500, 0)}
        wanted, ended = [1], set()
        found: dict[int, list[int]] = {0: [], 1: []}
        for batch in log.read(topic, spans=spans, wanted=wanted.copy):
            number = batch.source.partition
            found[number] += list(batch.offsets)
            if batch.next_offset == spans[number].end:
                ended.add(number)
            # By turns, while there are two: what was fetched of the other already must not be lost.
            wanted[:] = {1 - number} - ended or {number}
            assert not found[0] or found[1]
        assert ended == {0, 1}
        assert found == {0: list(range(1500)), 1: list(range(700, 1400))}

    def test_follows_from_a_span(self, log: Log) -> None:
        """From its start, past its end, and on."""
        topic = make_topic(log)
        log.append(numbered(topic, 4))
        reading = (batch for batch in log.read(topic, follow=True, spans={0: Span(1, 2, 0)}) if len(batch))
        assert values(islice(reading, 1)) == [b"1", b"2", b"3"]
        log.append(numbered(topic, 1, first=4))
        assert values(islice(reading, 1)) == [b"4"]

    def test_refuses_spans_of_what_is_not_there(self, log: Log) -> None:
        """A name or a number that is wrong is an error that says so: nothing would ever come of waiting."""
        with pytest.raises(LogError, match="topic 'no-such-topic'"):
            log.spans("no-such-topic", NOON_MS)
        with pytest.raises(LogError, match="topic 'no-such-topic'"):
            list(log.read("no-such-topic", spans={0: Span(0, 1, 0)}))
        topic = make_topic(log, partitions=2)
        with pytest.raises(LogError, match=f"topic '{topic}' has no partition 2: it has 0 to 1"):
            list(log.read(topic, [2]))
        with pytest.raises(LogError, match=f"topic '{topic}' has no partition 2: it has 0 to 1"):
            list(log.read(topic, spans={0: Span(0, 0, 0), 2: Span(0, 1, 0)}))

    def test_refuses_a_span_that_retention_has_cut(self, log: Log) -> None:
        """Records that are gone must not pass for a topic that had none; what is left is read."""
        topic = f"topic-{uuid4().hex[:12]}"
        log.create(TopicInfo(topic, 1, retention_ms=3_600_000))
        log.append([Record(topic, b"k", b"old", 0, timestamp_ms=each) for each in (1, 2)] + numbered(topic, 2))
        self.remove(topic, before=2)
        spans = log.spans(topic)
        assert spans == log.spans(topic, 2) == {0: Span(2, 4, 2)}
        assert log.spans(topic, None, 3) == {0: Span(2, 2, 2)}
        assert values(log.read(topic, spans=spans)) == [b"0", b"1"]
        with pytest.raises(LogError, match=f"{topic}-0@1 .*retention has "):
            list(log.read(topic, spans={0: Span(1, 4, 0)}))
