"""Batches read at once are what kafka-python reads one record at a time: records, positions and errors."""

import inspect
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.consumer.fetcher import Fetcher
from kafka.protocol.consumer import FetchResponse, IsolationLevel
from kafka.record import MemoryRecords
from structlog.testing import capture_logs

from streamguard.core.records import TopicPartition
from streamguard.logs.kafka.columns import Block
from streamguard.logs.kafka.records import BatchRecords, read_batches, to_batch
from tests.logs.kafka_batches import (
    APPEND_TIME,
    ENCODERS,
    TP,
    TRANSACTIONAL,
    Row,
    Written,
    legacy,
    marker,
    nullable,
    raw_batch,
    record,
    rows_of,
    varint,
    written,
)

SOURCE = TopicPartition("t", 0)
STOCK = Fetcher.PartitionRecords
ABORTED = FetchResponse.FetchableTopicResponse.PartitionData.AbortedTransaction


class Fetched(NamedTuple):
    """What a broker has sent for one partition."""

    data: bytes
    offset: int = 0
    aborted: Sequence[tuple[int, int]] = ()
    check_crcs: bool = True
    isolation: int = IsolationLevel.READ_COMMITTED


class Read(NamedTuple):
    """What came of it."""

    rows: list[Any]
    error: tuple[type, str] | None
    position: int
    leader_epoch: int
    counts: tuple[int, int]
    drains: int
    positions: dict[int, int]
    """Those on the way, by how many records were read."""


def read(kind: Any, fetched: Fetched, count: int | None = None) -> Read:
    """Everything, as the fetcher takes it, until the end or an error."""
    drained: list[Any] = []
    part = kind(
        fetched.offset,
        TP,
        MemoryRecords(fetched.data),
        check_crcs=fetched.check_crcs,
        isolation_level=fetched.isolation,
        aborted_transactions=[ABORTED(producer_id=each, first_offset=first) for each, first in fetched.aborted],
        on_drain=drained.append,
    )
    rows: list[Any] = []
    positions: dict[int, int] = {}
    error = None
    while part and error is None:
        found: list[Any] = []
        try:
            found.extend(taken := part.take(count))
        except Exception as raised:  # noqa: BLE001 - which one it is, is compared
            error = type(raised), str(raised)
            break
        batch = to_batch(SOURCE, found, part.next_fetch_offset)
        assert len(taken) == len(batch) or not isinstance(found[0], Block)
        rows += rows_of(batch)
        if part:
            positions[len(rows)] = part.next_fetch_offset
    counts = (part.records_read, part.bytes_read)
    drains = len(drained) if error is None else 1
    return Read(rows, error, part.next_fetch_offset, part.leader_epoch, counts, drains, positions)


def assert_equal(fetched: Fetched, count: int | None = None) -> Read:
    """Both paths read the same; returns that."""
    stock, ours = read(STOCK, fetched, 1), read(BatchRecords, fetched, count)
    assert ours[:-1] == stock[:-1]
    offsets = [row[0] for row in ours.rows]
    if offsets == sorted(offsets):
        # Where it gives over, it has passed markers that kafka-python passes with the next record.
        assert all(stock.positions[n] <= at <= [*offsets, at][n] for n, at in ours.positions.items())
    return ours


def fetch_of(batches: Sequence[Written], base_offset: int = 0) -> bytes:
    """Batches that follow one another."""
    parts = []
    for batch in batches:
        data, base_offset = written(batch, base_offset)
        parts.append(data)
    return b"".join(parts)


blobs = (
    st.none() | st.binary(max_size=5) | st.binary(min_size=60, max_size=70) | st.sampled_from([bytes(9000), bytes(70)])
)
names = st.sampled_from([b"", b"ce_id", "größe".encode(), b"x" * 80])
rows = st.builds(
    Row,
    value=blobs,
    key=blobs,
    headers=st.just([]) | st.lists(st.tuples(names, blobs), max_size=3),
    delta_ms=st.integers(-70, 70) | st.integers(-(1 << 60), 1 << 60),
    gap=st.sampled_from([0, 0, 0, 1, 100]),
)
batches = st.builds(
    Written,
    rows=st.lists(rows, max_size=6),
    codec=st.sampled_from(sorted(ENCODERS)),
    flags=st.sampled_from([0, 0, APPEND_TIME, TRANSACTIONAL]),
    producer_id=st.sampled_from([-1, 1, 2]),
    first_ms=st.sampled_from([-1, 0, 1_700_000_000_000]),
    tail=st.sampled_from([0, 0, 3]),
) | st.builds(marker, st.sampled_from([1, 2]), is_commit=st.booleans())


@st.composite
def fetches(draw: st.DrawFn) -> Fetched:
    """What a broker may send, and what may have happened to it on its way."""
    chosen = draw(st.lists(batches, max_size=6))
    base_offset = draw(st.sampled_from([0, 1000, 1 << 40]))
    data = bytearray(fetch_of(chosen, base_offset))
    if draw(st.booleans()):
        data = data[: draw(st.integers(0, len(data)))]
    if draw(st.booleans()) and len(data) > 1:
        # Not the offset's highest byte: no client can ask for what comes after that.
        data[draw(st.integers(1, len(data) - 1))] = draw(st.integers(0, 255))
    return Fetched(
        bytes(data),
        base_offset + draw(st.integers(0, 12)),
        draw(st.lists(st.tuples(st.sampled_from([1, 2]), st.integers(base_offset, base_offset + 12)), max_size=3)),
        check_crcs=draw(st.booleans()),
        isolation=draw(st.sampled_from([IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED])),
    )


@settings(max_examples=400, deadline=None)
@given(fetched=fetches(), count=st.none() | st.integers(1, 9))
def test_any_fetch_is_read_as_kafka_python_reads_it(fetched: Fetched, count: int | None) -> None:
    """Codecs, markers, aborted transactions, gaps, nulls, trimming, cut off tails, damage under and beside the CRC."""
    assert_equal(fetched, count)


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(rows, min_size=1, max_size=4),
    place=st.integers(0, 400),
    octets=st.binary(min_size=1, max_size=12),
    is_inserted=st.booleans(),
)
def test_records_that_are_wrong_under_a_right_crc_are_left_to_kafka_python(
    rows: list[Row],
    place: int,
    octets: bytes,
    is_inserted: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    """A producer's mistakes: lengths, counts and names that are none, however they end."""
    sound = fetch_of([Written([Row(b"before")])])
    data = b"".join(varint(len(each)) + each for each in (record(row, i) for i, row in enumerate(rows)))
    place %= len(data)
    data = data[:place] + octets + data[place + (0 if is_inserted else len(octets)) :]
    wrong = raw_batch(data, Written(), 1, (len(rows) - 1, len(rows)))
    assert_equal(Fetched(sound + wrong + fetch_of([Written()], 1 + len(rows))))


@pytest.mark.parametrize(
    "wrong",
    [
        varint(~len(record(Row(), 1))) + record(Row(), 1),  # the right length, but for its sign
        nullable(record(Row(), 1)[:-1] + varint(1) + varint(-1)),  # a header without a name
        nullable(record(Row(), 1)[:-1] + varint(-1)),  # fewer headers than none
        nullable(record(Row(), 1) + b"."),  # more than the record
        nullable(record(Row(headers=[(b"h", b"v")]), 1) + b"."),  # more than its headers
        nullable(record(Row(headers=[(b"h", b"v")]), 1)[:-1]),  # less than its headers
        nullable(b"\0" + bytes([0x80] * 11)),  # a time without an end
    ],
)
def test_a_record_that_is_not_sound_is_kafka_pythons_error(wrong: bytes) -> None:
    """Those before it are handed out first, of the same batch and of that before."""
    sound = nullable(record(Row(), 0))
    before = fetch_of([Written()])
    result = assert_equal(Fetched(before + raw_batch(sound + wrong, Written(), 1, (1, 2))))
    assert [row[0] for row in result.rows] == [0, 1]
    assert result.error is not None


@pytest.mark.parametrize("octets", [b"\xff" * 5000, b"\x80" * 5000, b"\0" * 5000, b"\x01" * 5000])
def test_bytes_that_are_no_records_end(octets: bytes) -> None:
    """No length makes the reader run on, or stand still."""
    result = assert_equal(Fetched(raw_batch(octets, Written(), 0, (9, 10))))
    assert result.error is not None


@pytest.mark.parametrize("magic", [0, 1])
def test_formats_before_2_are_kafka_pythons(magic: int) -> None:
    """Alone, and before and after batches of format 2."""
    old = legacy(magic, 0, [b"a", b"b"])
    assert len(assert_equal(Fetched(old)).rows) == 2
    assert len(assert_equal(Fetched(old + fetch_of([Written()], 2), 1)).rows) == 2
    assert len(assert_equal(Fetched(fetch_of([Written(), Written()], 0) + legacy(magic, 2, [b"a"]))).rows) == 3


@pytest.mark.parametrize("codec", range(1, 8))
def test_a_codec_that_fails_or_is_not_there_is_kafka_pythons_error(codec: int) -> None:
    """The records before it are handed out first."""
    sound = fetch_of([Written([Row(b"1"), Row(b"2")])])
    result = assert_equal(Fetched(sound + raw_batch(b"no such bytes", Written(codec=codec), 2, (0, 1))))
    assert len(result.rows) == 2
    assert result.error is not None


def test_a_producer_whose_transaction_was_aborted_is_read_again_after_its_marker() -> None:
    """Another's is read all along; control batches are nobody's."""
    ours, others = (Written(flags=TRANSACTIONAL, producer_id=each) for each in (1, 2))
    batches = [ours, others, marker(1, is_commit=False), ours, marker(1, is_commit=True), ours, others]
    fetched = Fetched(fetch_of(batches), aborted=[(1, 0), (2, 6)])
    assert [row[0] for row in assert_equal(fetched).rows] == [1, 3, 5]
    uncommitted = fetched._replace(isolation=IsolationLevel.READ_UNCOMMITTED)
    assert [row[0] for row in assert_equal(uncommitted).rows] == [0, 1, 3, 5, 6]


def test_only_whole_batches_are_handed_out_and_the_position_is_after_them() -> None:
    """As many as were asked for, and no fewer batches than that takes."""
    part = BatchRecords(4, TP, MemoryRecords(fetch_of([Written([Row()] * 3, tail=2)] * 4)))
    taken = []
    while part:
        [block] = part.take(3)
        taken.append((block.offsets.tolist(), part.next_fetch_offset))
    assert taken == [([5, 6, 7], 8), ([10, 11, 12], 13), ([15, 16, 17], 20)]


def test_columns_are_arrays_and_keys_and_headers_are_read_when_asked_for() -> None:
    """By index, from the end, as a slice, and all of them."""
    data = [Row(b"1", b"k", [(b"h", b"v"), (b"n", None)], 5), Row(None, None), Row(b"", b"", [(b"h", b"")], -7)]
    [block] = BatchRecords(0, TP, MemoryRecords(fetch_of([Written(data)]))).take()
    batch = to_batch(SOURCE, [block], 3)
    assert isinstance(batch.offsets, np.ndarray)
    assert isinstance(batch.timestamps, np.ndarray)
    assert batch.offsets.dtype == batch.timestamps.dtype == np.int64
    assert list(batch.values) == [b"1", None, b""]
    assert list(batch.keys) == [batch.keys[0], batch.keys[1], batch.keys[-1]] == [b"k", None, b""]
    assert list(batch.keys[1:]) == [None, b""]
    assert list(batch.headers) == [[("h", b"v"), ("n", None)], [], [("h", b"")]]
    assert list(batch.headers[2:]) == [[("h", b"")]]
    assert [len(batch.keys[:2]), len(batch.headers[:2])] == [2, 2]
    with pytest.raises(IndexError):
        batch.keys[3]


@pytest.mark.parametrize("delta_ms", [5, 1 << 62])
def test_a_time_beyond_64_bits_is_a_time(delta_ms: int) -> None:
    """What no producer should write, and kafka-python adds up in whole numbers, stops nobody."""
    wrong = Written([Row(delta_ms=delta_ms)], first_ms=(1 << 63) - 1)
    result = read(BatchRecords, Fetched(fetch_of([Written(), wrong])))
    assert [row[1] for row in result.rows] == [1_700_000_000_000, (1 << 63) - 1]


def test_what_has_failed_is_over() -> None:
    """kafka-python's own would be asked for more of it for ever; it is fetched again, and fails again."""
    data = bytearray(fetch_of([Written(), Written()]))
    data[-1] ^= 1
    part = BatchRecords(0, TP, MemoryRecords(bytes(data)))
    assert len(part.take(10)) == 1
    with pytest.raises(Exception, match="failed crc check"):
        part.take(10)
    assert not part
    assert part.next_fetch_offset == 1


def consumer_of(kind: Any) -> Any:
    """As much of a consumer as is looked at."""
    fetcher = type("Fetcher", (), {"PartitionRecords": kind, "_append": Fetcher._append})()
    return SimpleNamespace(_fetcher=fetcher)


def test_the_kafka_python_that_is_pinned_is_read_by_batches() -> None:
    """Where that changes, the other tests here say whether it may."""
    consumer = consumer_of(STOCK)
    with capture_logs() as lines:
        read_batches(consumer)
    assert consumer._fetcher.PartitionRecords is BatchRecords
    assert lines == []


class Renamed(STOCK):  # type: ignore[misc, valid-type]
    """As a later version may be: another argument."""

    def take(self, count: int) -> Any:
        """Under another name."""
        return super().take(count)


class Emptied(STOCK):  # type: ignore[misc, valid-type]
    """As a later version may be: without a field."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        del self.records_read

    __init__.__signature__ = inspect.signature(STOCK.__init__)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [Renamed, Emptied, None])
def test_another_kafka_python_reads_record_by_record(kind: Any) -> None:
    """As it comes, and says so once."""
    consumer = consumer_of(kind)
    with capture_logs() as lines:
        read_batches(consumer)
    assert consumer._fetcher.PartitionRecords is kind
    assert [line["event"] for line in lines] == ["kafka_records_one_by_one"]
