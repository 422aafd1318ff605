"""Counts of rejected records."""

from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.records import TopicPartition
from streamguard.rejected.counting import Tally
from streamguard.rejected.letter import Letter, letters
from tests.rejected.helpers import batch_of, output

SOURCES = st.builds(TopicPartition, st.sampled_from(["predictions", "labels"]), st.integers(0, 2))
OUTPUTS = st.builds(
    output, st.binary(), st.sampled_from(["value 'a' is 5", "value 'b' is 77", "missing"]), source=SOURCES
)


def counted(found: list[Letter]) -> Tally:
    """All of them."""
    tally = Tally()
    for each in found:
        tally.add(each, is_sent_back=each.offset % 2 == 0)
    return tally


@given(st.lists(OUTPUTS, min_size=1, max_size=20), st.randoms())
def test_counts_add_up_in_whatever_order_records_come(outputs: list, random: object) -> None:  # type: ignore[type-arg]
    """Partitions are read side by side; the first and the last are so by their time."""
    found = list(letters(batch_of(outputs)))
    tally = counted(found)
    mixed = list(found)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert counted(mixed).as_json("t") == tally.as_json("t")
    for counts in (tally.by_reason, tally.by_origin):
        assert sum(each.count for each in counts.values()) == tally.total == len(found)
        assert min(each.first.offset for each in counts.values()) == 0
        assert max(each.last.offset for each in counts.values()) == len(found) - 1
    assert tally.sent_back == (len(found) + 1) // 2


def test_a_kind_of_one_reason_has_its_values() -> None:
    """Where all of a kind say the same, nothing need be left out."""
    same = list(letters(batch_of([output(b"", "value 'a' is 5")] * 2)))
    assert [reason for reason, _ in counted(same).reasons()] == ["value 'a' is 5"]
    differing = list(letters(batch_of([output(b"", "value 'a' is 5"), output(b"", "value 'b' is 5")])))
    assert [reason for reason, _ in counted(differing).reasons()] == ["value '…' is N"]


def test_kinds_without_end_are_counted_together() -> None:
    """Of a handler's failures a stranger chooses the words."""
    words = [output(b"", "word" + "x" * number) for number in range(1100)]
    tally = counted(list(letters(batch_of(words))))
    assert len(tally.by_reason) == 1001
    assert tally.by_reason["other reasons"].count == 100
