"""What is committed of one partition: which records were sent back."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.rejected.settled import NOTE_BYTES_MAX, Settled

OFFSETS = st.sets(st.integers(0, 60))


def told(settled: Settled, records: set[int], wanted: set[int], end: int) -> None:
    """One run over these records, from where the partition is committed."""
    settled.begin(0)
    for offset in sorted(each for each in records if settled.offset <= each < end):
        if offset in wanted:
            settled.settle(offset)
        else:
            settled.pass_over(offset)
    settled.end(end)


@given(records=OFFSETS, runs=st.lists(OFFSETS, max_size=5), end=st.integers(0, 70))
def test_settled_is_what_was_settled(records: set[int], runs: list[set[int]], end: int) -> None:
    """After any runs, each from what the one before has committed, and the first that is left is the offset."""
    settled, done = Settled(0), set[int]()
    for wanted in runs:
        settled = Settled.restored(settled.offset, settled.note())
        told(settled, records, wanted, end)
        done |= {each for each in records & wanted if each < end}
        assert {each for each in records if each < end and each in settled} == done
        left = [each for each in sorted(records - done) if each < end]
        assert settled.offset == (left[0] if left else end)


@given(records=OFFSETS, wanted=OFFSETS, start=st.integers(0, 70))
def test_what_retention_removed_is_settled(records: set[int], wanted: set[int], start: int) -> None:
    """It can be sent no more, and takes no room in the note."""
    settled = Settled(0)
    told(settled, records, wanted, 70)
    before = {each for each in records if each in settled}
    settled.begin(start)
    assert settled.offset >= start
    assert {each for each in records if each >= start and each in settled} == {each for each in before if each >= start}


def test_markers_between_two_that_were_sent_are_no_gap() -> None:
    """Else a transaction of the worker's, which ends with one, would cost a range each."""
    settled = Settled(0)
    told(settled, set(range(0, 4000, 2)) | {1}, set(range(2, 4000, 2)), 4000)
    assert (settled.offset, settled.note()) == (0, '{"v":1,"settled":[2,3998]}')


@pytest.mark.parametrize("first", [0, 10**12])
def test_a_full_note_fits(first: int) -> None:
    """Every second record is settled until there is no room: about a thousand, and the note is never too long."""
    settled, count = Settled(first), 0
    for offset in range(first, first + 10_000):
        if offset % 2 == 0:
            settled.pass_over(offset)
        elif settled.is_full:
            break
        else:
            settled.settle(offset)
            count += 1
            assert len(settled.note()) <= NOTE_BYTES_MAX
    assert 900 < count < 1100
    again = Settled.restored(settled.offset, settled.note())
    assert [each for each in range(first, first + 2 * count) if each in again] == list(
        range(first + 1, first + 2 * count, 2)
    )


def test_a_full_note_empties_from_its_start() -> None:
    """What was passed over first can always be sent, and then there is room again."""
    settled = Settled(0, [1, 1] * 1010)
    settled.begin(0)
    for offset in range(2020):
        assert not settled.is_full
        settled.settle(offset)
    assert (settled.offset, settled.note()) == (2020, "")


@pytest.mark.parametrize("first", [1, 5, 10])
def test_ranges_that_grow_by_a_digit_each_are_as_much_as_new_ones(first: int) -> None:
    """A run that finds the note nearly full does not make it too long."""
    settled = Settled(0, [2, 9] * 990)
    settled.begin(0)
    for offset in range(11 * 990):
        if offset < first or settled.is_full:
            settled.pass_over(offset)
        else:
            settled.settle(offset)
        assert offset % 100 or len(settled.note()) <= NOTE_BYTES_MAX
    assert len(settled.note()) <= NOTE_BYTES_MAX


@pytest.mark.parametrize(
    "note",
    ["x", "[]", '{"v":2}', '{"v":1}', '{"v":1,"settled":[1]}', '{"v":1,"settled":[0,1]}', '{"v":1,"settled":["1",2]}'],
)
def test_a_note_of_another_is_refused(note: str) -> None:
    """Nothing is sent again because a note could not be read."""
    with pytest.raises(ValueError, match=r"note|JSON|unexpected|character"):
        Settled.restored(5, note)


def test_a_note_is_json_that_a_person_can_read() -> None:
    """Gap, length, gap, length, from the committed offset on."""
    settled = Settled(5)
    for offset, is_sent in ((5, False), (6, True), (9, True), (10, False), (11, True)):
        (settled.settle if is_sent else settled.pass_over)(offset)
    settled.pass_over(12)
    # Markers at the end: no range of their own.
    settled.end(20)
    assert (settled.offset, orjson.loads(settled.note())) == (5, {"v": 1, "settled": [1, 4, 1, 1]})
