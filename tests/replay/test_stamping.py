"""Records without Kafka timestamps: one wrong clock is refused, as live, and honest records never are."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.codec import Mapping, Reader
from streamguard.core.fields import TIME_MAX_MS
from streamguard.core.records import Batch, Blobs, Fate, TopicPartition
from streamguard.replay.sources import DamagedFileError, OnRead, batch_of, ignored
from streamguard.replay.stamping import AFTER, Stamped
from tests.replay.helpers import MINUTE_MS, START_MS, Listed, replayed, settings, story
from tests.replay.reading import record

HOUR_MS, DAY_MS = 60 * MINUTE_MS, 24 * 60 * MINUTE_MS
YEAR_2099_MS = 4_070_908_800_000
MAPPING = Mapping(("request_id",), ("label",), time=("time",))


def source(times: Sequence[int | None], sizes: Sequence[int] = (1000,)) -> Listed:
    """Records of these times, None where one is garbage, in batches of these sizes, over and over."""
    values = [b"{" if each is None else orjson.dumps(record(n, time=each)) for n, each in enumerate(times)]
    batches = list[Batch]()
    first = 0
    while first < len(values):
        end = min(len(values), first + sizes[len(batches) % len(sizes)])
        whole = batch_of(TopicPartition("labels", 0), np.arange(end), Blobs.of(values[:end]))
        batches.append(whole.part(first, end))
        first = end
    return Listed(batches, "labels")


def refused(
    times: Sequence[int | None], sizes: Sequence[int] = (1000,), mapping: Mapping = MAPPING, disorder_ms: int = 0
) -> list[int]:
    """The numbers of the records that the reader refuses for their time."""
    reader, found = Reader(mapping), list[int]()
    count = 0
    for batch in Stamped(source(times, sizes), mapping, disorder_ms).batches():
        assert len(batch) == len(batch.timestamps)
        _, rejections = reader.read(batch)
        found += [count + each.index for each in rejections if "ahead of the record's" in each.reason]
        count += len(batch)
    assert count == len(times)
    return found


def sorted_times(count: int, gap_ms: int = MINUTE_MS) -> list[int]:
    """As they are in an ordinary file."""
    return [START_MS + gap_ms * number for number in range(count)]


def shuffled(times: list[int]) -> list[int]:
    """In no order."""
    return [times[place] for place in np.random.default_rng(7).permutation(len(times))]


def days_in_no_order_within() -> list[int]:
    """As where each day is a file that is sorted by something else."""
    return [each for day in range(9) for each in shuffled([START_MS + DAY_MS * day + 100_000 * n for n in range(800)])]


def a_block_that_came_late() -> list[int]:
    """As from devices that were offline for a day, among what others send."""
    is_late = [2000 < number < 2500 and number % 10 > 0 for number in range(4000)]
    return [time - DAY_MS * late for time, late in zip(sorted_times(4000), is_late, strict=True)]


HONEST: dict[str, Callable[[], list[int]]] = {
    "dense": lambda: sorted_times(5000, 1),
    "sparse": lambda: sorted_times(3000, 5 * HOUR_MS),
    "gaps": lambda: [START_MS + MINUTE_MS * n + 21 * DAY_MS * (n // 700) for n in range(3000)],
    "gaps-soon-after-each-other": lambda: [START_MS + MINUTE_MS * n + 21 * DAY_MS * (n // 20) for n in range(3000)],
    "a-gap-before-the-end": lambda: [START_MS + MINUTE_MS * n + DAY_MS * (n >= 1995) for n in range(2000)],
    "last-alone": lambda: [*sorted_times(2000), START_MS + 2 * DAY_MS],
    "first-alone": lambda: [START_MS - 90 * DAY_MS, *sorted_times(2000)],
    "no-order": lambda: shuffled(sorted_times(5000, HOUR_MS)),
    "newest-first": lambda: sorted_times(5000, 2 * HOUR_MS)[::-1],
    "days-in-no-order-within": days_in_no_order_within,
    "two-files-of-the-same-time": lambda: sorted_times(3000) * 2,
    "a-block-that-came-late": a_block_that_came_late,
    "few": lambda: [START_MS + 9 * DAY_MS, START_MS, START_MS + 3 * DAY_MS],
}


@pytest.mark.parametrize("times", HONEST.values(), ids=HONEST)
def test_honest_records_are_not_refused(times: Callable[[], list[int]]) -> None:
    """Whatever the gaps and the order, since those that follow come as far, or differ by as much."""
    assert refused(times()) == []


@pytest.mark.parametrize("place", [0, 1, 500, 999, 1000, 1989, 1990, 1998, 1999])
@pytest.mark.parametrize("time", [YEAR_2099_MS, TIME_MAX_MS, START_MS + 4 * DAY_MS])
def test_one_that_is_far_ahead_is_refused(place: int, time: int) -> None:
    """The first of all, one in the midst, the last or first of a batch, with ten records after it, and with less."""
    times = sorted_times(2000)
    times[place] = time
    assert refused(times) == [place]


def test_what_may_come_late_makes_nothing_late() -> None:
    """Where disorder of three days is allowed, a record of today among those of the day before yesterday is honest."""
    times = [START_MS + MINUTE_MS * n - (0 if n % 100 == 0 else 2 * DAY_MS) for n in range(5000)]
    assert refused(times, disorder_ms=3 * DAY_MS) == []
    assert refused(times) != []


@given(st.integers(0, 1000), st.lists(st.integers(1, 400), min_size=1, max_size=4))
def test_a_clock_that_is_wrong_again_and_again(seed: int, sizes: list[int]) -> None:
    """Of a twentieth of all records all are refused, among garbage too, however they are cut into batches."""
    draw = np.random.default_rng(seed)
    places = draw.permutation(1400)
    wrong, garbage = sorted(places[:70].tolist()), places[70:170].tolist()
    times: list[int | None] = [*sorted_times(1500)]
    for place in wrong:
        times[place] = int(draw.integers(START_MS + 9 * DAY_MS, YEAR_2099_MS))
    for place in garbage:
        times[place] = None
    assert refused(times, sizes) == wrong


@given(
    st.lists(st.integers(START_MS, START_MS + 10 * HOUR_MS), max_size=600), st.lists(st.integers(1, 300), min_size=1)
)
def test_batches_decide_nothing(times: list[int], sizes: list[int]) -> None:
    """Of times in any order, and a limit that refuses many."""
    mapping = replace(MAPPING, max_ahead_ms=0)
    spoilt = [each + (100 * DAY_MS if number % 37 == 5 else 0) for number, each in enumerate(times)]
    assert refused(spoilt, sizes, mapping) == refused(spoilt, [1000], mapping)


def test_what_is_refused_says_by_how_much() -> None:
    """The records after it stand for Kafka's clock."""
    times = sorted_times(500)
    times[300] = YEAR_2099_MS
    batch = next(iter(Stamped(source(times), MAPPING, 0).batches()))
    _, (rejection,) = Reader(MAPPING).read(batch)
    ahead_ms = YEAR_2099_MS - times[301 + AFTER * 3 // 4]
    assert rejection.reason.startswith(f"field 'time' is {ahead_ms} ms ahead of the record's Kafka timestamp, above")
    assert set(np.delete(np.asarray(batch.timestamps), 300).tolist()) == {TIME_MAX_MS}


@dataclass(frozen=True, slots=True)
class Breaking:
    """Breaks off after its records."""

    whole: Listed
    topic: str = "labels"
    partition: int = 0
    size: int = 0

    def batches(self, on_read: OnRead = ignored) -> Iterator[Batch]:
        """All of them, and then an error."""
        yield from self.whole.batches(on_read)
        raise DamagedFileError("broke off")


def test_what_came_before_damage_is_there() -> None:
    """Though the records that follow are waited for."""
    found = Stamped(Breaking(source(sorted_times(50), [20])), MAPPING, 0).batches()
    assert [len(next(found)) for _ in range(3)] == [20, 20, 10]
    with pytest.raises(DamagedFileError, match="broke off"):
        next(found)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("place", [0, 700])
def test_a_backtest_goes_on_after_a_wrong_clock(side: int, place: int) -> None:
    """The same alerts as without the record, which is told with its reason."""
    config = settings()
    sides = story()
    expected = replayed(config, *sides)
    sides[side].insert(place, {**sides[side][place], "request_id": "wild", "at": YEAR_2099_MS})
    found = replayed(config, *sides)
    name = ("predictions", "labels")[side]
    assert [each["event_time"] for each in found.alerts] == [each["event_time"] for each in expected.alerts] != []
    assert found.counts is not None
    assert (found.counts[name][Fate.REJECTED], found.counts[name][Fate.LATE]) == (1, 0)
    assert any(f"1 of 2,001 {name} cannot be used" in note and "join.max_ahead" in note for note in found.notes)
