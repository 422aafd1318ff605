"""Records and keys, on made-up samples."""

from collections.abc import Sequence

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.records import Batch, TopicPartition
from streamguard.doctor.checks.keys import PARTITIONERS, Keyed, fnv1a_partitions, keys, partitioner
from streamguard.doctor.checks.records import looked, records
from streamguard.doctor.checks.topics import retained
from streamguard.doctor.facts import Sample
from streamguard.doctor.gathering.records import estimated
from streamguard.logs.interface import Span
from tests.doctor.helpers import codes, config, topic

NOW_MS = 1_796_000_000_000


def sample(values: Sequence[bytes | None], name: str = "labels", times: Sequence[int] | None = None) -> Sample:
    """Records of one partition."""
    count = len(values)
    batch = Batch(
        TopicPartition(name, 0), range(count), times or [NOW_MS] * count, [b"k"] * count, values, [()] * count, count
    )
    return Sample(name, (batch,), NOW_MS)


def label(number: int, **more: object) -> bytes:
    """A label's value."""
    return orjson.dumps({"request_id": f"r{number}", "label": 1, **more})


def judged(*samples: Sample, **sections: object) -> list[str]:
    """Codes for what samples hold."""
    wanted = config(**sections)
    return codes(records(wanted, looked(wanted, samples)))


def test_good_records() -> None:
    """No finding."""
    assert judged(sample([label(number) for number in range(100)])) == []


def test_records_that_cannot_be_used() -> None:
    """Most of them, or a few; the first reason is told with its place, and nothing of the record itself."""
    bad = [b"\x1b[2J", None, b"[]", b'{"request_id": 7}']
    (found,) = records(config(), looked(config(), [sample(bad)]))

    assert found.code == "records-rejected"
    assert "the first, labels-0@0: " in found.what
    assert "\x1b" not in found.what
    assert judged(sample([*bad, *(label(number) for number in range(100))])) == ["some-records-rejected"]


def test_times() -> None:
    """Seconds read as milliseconds; late by more than the disorder; from the future."""
    timed = {"labels": {"fields": {"time": "at"}}}
    late = [NOW_MS, *[NOW_MS - 60_000] * 10, *[NOW_MS] * 50]

    assert judged(sample([label(n, at=1_796_000_000 + n) for n in range(20)]), **timed) == ["times-in-1970"]
    assert judged(sample([label(n) for n in range(61)], times=late)) == ["records-late"]
    assert judged(sample([label(n) for n in range(61)], times=late), join={"disorder": "2m"}) == []
    assert judged(sample([label(n) for n in range(20)], times=[NOW_MS + 120_000] * 20)) == ["records-ahead"]
    ahead = [label(n, at=NOW_MS + 7_200_000) for n in range(20)]
    assert judged(sample(ahead), **timed) == ["records-rejected"]


def test_samples_without_records() -> None:
    """Empty, or unread."""
    assert judged(Sample("labels")) == ["sample-empty"]
    assert judged(Sample("labels", problem="UnsupportedCodecError")) == ["sample-unread"]


@given(st.lists(st.none() | st.binary(max_size=60), max_size=30))
def test_any_bytes_are_judged(values: list[bytes | None]) -> None:
    """What strangers write makes nothing raise."""
    judged(sample(values), sample(values, "predictions"))


IDS = [f"r{number}" for number in range(200)]


def placed(how: str, count: int = 6, names: Sequence[str] = IDS, topic: str = "labels") -> Keyed:
    """Records keyed by their ID, where a partitioner puts them."""
    own: list[bytes | None] = [name.encode() for name in names]
    return Keyed(topic, count, PARTITIONERS[how]([name.encode() for name in names], count), own, list(names))


@given(
    how=st.sampled_from(sorted(PARTITIONERS)),
    names=st.lists(st.text("abcdef0123456789", min_size=1, max_size=20), min_size=60, max_size=100, unique=True),
    count=st.integers(3, 50),
)
def test_a_partitioner_is_known_by_where_keys_are(how: str, names: list[str], count: int) -> None:
    """Of sixty keys that are where one puts them, no other puts nearly all there, too."""
    assert partitioner(placed(how, count, names)) == how


def test_sarama_hashes_as_fnv_does() -> None:
    """Vectors of FNV-1a, 32 bits (draft-eastlake-fnv): e40c292c for "a", 0xbf9cf968 for "foobar"."""
    signed = [0xE40C292C - (1 << 32), 0xBF9CF968 - (1 << 32)]

    assert fnv1a_partitions([b"a", b"foobar"], 1000) == [abs(each) % 1000 for each in signed]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("murmur2", "murmur2", []),
        ("crc32", "crc32", []),
        ("murmur2", "crc32", ["partitioners-differ"]),
        ("fnv1a", "crc32", ["partitioners-differ"]),
    ],
)
def test_two_partitioners(first: str, second: str, expected: list[str]) -> None:
    """The same on both sides will do, whichever it is."""
    found = list(keys(config(), placed(first, topic="predictions"), placed(second)))

    assert codes(found) == expected
    if (first, second) == ("fnv1a", "crc32"):
        assert "Sarama producer of topic 'predictions'" in found[0].mend
        assert "librdkafka producer of topic 'labels'" in found[0].mend


def test_a_partitioner_that_nobody_knows() -> None:
    """Where pairs meet it is nobody's business; where there are none, it may be wrong."""
    own: list[bytes | None] = [name.encode() for name in IDS]
    odd = [number * 7 % 6 for number in range(200)]
    other = [f"x{number}" for number in range(200)]
    predictions = Keyed("predictions", 6, odd, own, IDS)

    assert codes(keys(config(), predictions, Keyed("labels", 6, odd, own, IDS))) == []
    unpaired = Keyed("labels", 6, placed("murmur2", names=other).partitions, [x.encode() for x in other], other)
    assert codes(keys(config(), predictions, unpaired)) == ["partitioner-unknown"]


def test_one_partition_needs_no_key() -> None:
    """Everything meets there."""
    lone = Keyed("labels", 1, [0] * 200, [None] * 200, IDS)

    assert codes(keys(config(), lone, lone)) == []


def test_retention_by_size_is_compared_with_what_comes() -> None:
    """A thousand records of about 50 bytes a partition and window."""
    values = [label(number) for number in range(10)]
    size = sum(len(value) + 1 for value in values) / 10 + 10
    facts = {"labels": topic("labels", settings={"retention.bytes": str(int(size * 1000))})}

    def found(count: int) -> list[str]:
        taken = sample(values)
        return codes(retained(config(), facts, [Sample("labels", taken.batches, NOW_MS, {0: count, 1: 1})]))

    assert found(1000 - 1) == []
    assert found(1001) == ["retention-bytes-short"]


@given(rate=st.integers(1, 50), age_s=st.integers(200, 5_000))
def test_records_of_a_window_are_estimated_from_what_is_there(rate: int, age_s: int) -> None:
    """At an even rate the estimate is right to a few percent, however young the topic is."""
    needed_s = 6_400
    whole = Span(0, rate * age_s, 0)
    looks = {
        needed_s * 1000 // part: {0: Span(max(0, rate * (age_s - needed_s // part)), rate * age_s, 0)}
        for part in (1, 8, 64)
    }
    found = estimated(needed_s * 1000, {0: whole}, looks)[0]

    assert abs(found - rate * needed_s) <= 0.05 * rate * needed_s
