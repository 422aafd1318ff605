"""Many sources into one order of event time."""

import orjson
import pytest

from streamguard.core import merge as merge_module
from streamguard.core.merge import Merge, SequenceGapError
from streamguard.core.outcomes import NO_OFFSET, OutcomeRecord, Outcomes
from tests.core.helpers import outcomes


def rows(source: int, *times: int, start: int = 0) -> Outcomes:
    """Outcomes of a source, offsets counted from `start`."""
    return outcomes(times, [0] * len(times), source=source, start=start)


def tell(
    merge: Merge,
    source: int,
    watermark_ms: int | None,
    *times: int,
    sequence: int = 1,
    offset: int = 0,
    is_idle: bool = False,
) -> None:
    """One record of a source."""
    record = OutcomeRecord(source, 2, sequence, watermark_ms, is_idle, [])
    merge.add(record, [rows(source, *times)] if times else [], offset)


def released(merge: Merge) -> list[tuple[int, int]]:
    """What comes out now: (time, source)."""
    return [each for found in merge.release() for each in zip(found.time.tolist(), found.source.tolist(), strict=True)]


def test_nothing_is_released_until_all_sources_have_spoken() -> None:
    """A source that was never heard of may still have the earliest outcome."""
    merge = Merge(2)
    tell(merge, 0, 100, 5)
    assert (released(merge), merge.held_count, merge.holders) == ([], 1, [1])
    tell(merge, 1, None, 7)
    assert (released(merge), merge.holders) == ([], [1])


def test_what_all_sources_have_passed_is_released_in_order() -> None:
    """By time and then by source; what lies at the least watermark may still get company, and waits."""
    merge = Merge(2)
    tell(merge, 1, 50, 9, 20, 5)
    tell(merge, 0, 20, 9, 30)
    assert released(merge) == [(5, 1), (9, 0), (9, 1)]
    assert (merge.held_count, merge.released_ms, merge.holders) == (2, 20, [0])
    tell(merge, 0, 31, sequence=2)
    assert released(merge) == [(20, 1), (30, 0)]
    assert released(merge) == []


def test_much_is_released_in_pieces_of_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waited for the last source comes a few rows at a time, in the order in which it would come at once."""
    monkeypatch.setattr(merge_module, "_PIECE_ROWS", 2)
    merge = Merge(2)
    tell(merge, 0, 50, 9, 3, 7, 1)
    tell(merge, 1, 50, 4, 7)
    pieces = [found.time.tolist() for found in merge.release()]
    # Those of one time stay together.
    assert pieces == [[1, 3], [4, 7, 7], [9]]
    assert (released(merge), merge.held_count) == ([], 0)


def test_ties_are_broken_by_offsets() -> None:
    """Two outcomes of one time and source are told apart by the prediction's and then the label's offset."""
    one = rows(0, 5, 5, 5)
    one.prediction_offset[:] = [2, 1, 1]
    one.label_offset[:] = [0, 3, NO_OFFSET]
    found = one.take(one.order())
    assert list(zip(found.prediction_offset, found.label_offset, strict=True)) == [(1, -1), (1, 3), (2, 0)]


def test_an_idle_source_holds_nobody_back() -> None:
    """It has never had a record; when it speaks after all, its own watermark counts from then on."""
    merge = Merge(2)
    tell(merge, 0, 10, 5)
    tell(merge, 1, None, is_idle=True)
    assert released(merge) == [(5, 0)]
    tell(merge, 1, 15, sequence=2)
    tell(merge, 0, 40, 20, sequence=2)
    assert (released(merge), merge.holders) == ([], [1])
    tell(merge, 1, 30, sequence=3)
    assert released(merge) == [(20, 0)]


@pytest.mark.parametrize("is_cut", [False, True])
def test_what_is_late_does_not_depend_on_how_records_are_cut(*, is_cut: bool) -> None:
    """A source that speaks after it was not waited for is too late by the record before it, not by the batch."""
    merge = Merge(2)
    tell(merge, 1, None, is_idle=True)
    tell(merge, 0, 40, 20)
    first = released(merge) if is_cut else []
    tell(merge, 1, 15, 5, 41, sequence=2)
    tell(merge, 1, 50, sequence=3)
    assert first + released(merge) == [(20, 0)]
    assert (merge.late_count, merge.held_count) == (1, 1)


def test_only_idle_sources_release_nothing() -> None:
    """No one has said how far time has come."""
    merge = Merge(2)
    tell(merge, 0, None, is_idle=True)
    tell(merge, 1, None, is_idle=True)
    assert released(merge) == []
    assert merge.released_ms < 0


def test_a_watermark_never_goes_back() -> None:
    """A promise that was made stays."""
    merge = Merge(1)
    tell(merge, 0, 50)
    tell(merge, 0, 20, 60, sequence=2)
    tell(merge, 0, 61, sequence=3)
    assert released(merge) == [(60, 0)]


def test_an_outcome_after_its_release_is_late() -> None:
    """It can only come of a source that was idle; it is counted and never out of order."""
    merge = Merge(2)
    tell(merge, 0, 10)
    tell(merge, 1, None, is_idle=True)
    assert released(merge) == []
    tell(merge, 1, 30, 9, 10, sequence=2)
    assert (merge.late_count, merge.held_count) == (1, 1)


@pytest.mark.parametrize("sequence", [0, 3, 9])
def test_a_gap_in_a_source_raises(sequence: int) -> None:
    """Records are missing: every alert that followed would be wrong, so nothing follows."""
    merge = Merge(2)
    tell(merge, 0, 10, sequence=1)
    with pytest.raises(SequenceGapError, match=f"source 0 at offset 7: sequence 1 is followed by {sequence};"):
        tell(merge, 0, 10, sequence=sequence, offset=7)
    tell(merge, 1, 10, sequence=sequence)


def test_records_of_one_step_share_a_number() -> None:
    """A step that was too large for one record is no gap."""
    merge = Merge(1)
    tell(merge, 0, None, 5, sequence=4)
    tell(merge, 0, 10, 6, sequence=4)
    tell(merge, 0, 20, sequence=5)
    assert released(merge) == [(5, 0), (6, 0)]


def test_a_snapshot_and_the_held_rows_read_again_are_the_same_merge() -> None:
    """The rows are not in the snapshot: they are on the topic, from `low` on; what was released is not held again."""
    merge = Merge(2)
    assert merge.low(9) == 9
    tell(merge, 0, 30, 5, 20, offset=3)
    tell(merge, 0, 30, 25, sequence=2, offset=4)
    tell(merge, 1, 10, offset=5)
    assert released(merge) == [(5, 0)]
    assert merge.low(9) == 3

    again = Merge(2)
    again.restore(orjson.loads(orjson.dumps(merge.snapshot())))
    again.refill([rows(0, 5, 20)], 3)
    again.refill([rows(0, 25)], 4)
    assert again.snapshot()["watermarks"] == merge.snapshot()["watermarks"]
    for each in (merge, again):
        tell(each, 1, 99, 15, sequence=2, offset=9)
        tell(each, 0, 99, sequence=3, offset=10)
        assert released(each) == [(15, 1), (20, 0), (25, 0)]
