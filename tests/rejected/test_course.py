"""Runs of `replay` over one partition: whatever the filters, and wherever runs are killed, each record is sent once."""

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.records import Batch
from streamguard.logs.interface import Record, TopicInfo
from streamguard.rejected.course import Course, Part
from streamguard.rejected.filters import Filters
from streamguard.rejected.judging import Fate, Rules
from streamguard.rejected.settled import NOTE_BYTES_MAX, Settled
from tests.rejected.helpers import NOW_MS, batch_of, output

KINDS = "apple", "pear", "plum"
TOPICS = {"elsewhere": TopicInfo("elsewhere", 4)}


@dataclass
class Partition:
    """A partition of the rejected topic and what its group has committed, as a broker would hold them."""

    kinds: dict[int, str]
    """By offset: the reason of the record there; markers have none."""
    end: int
    start: int = 0
    committed: tuple[int, str] = (0, "")
    sent: list[Record] = field(default_factory=list)

    def batch(self, first: int, end: int) -> Batch:
        """What a poll brings from there."""
        offsets = [each for each in sorted(self.kinds) if first <= each < end]
        return batch_of([output(b"%d" % each, self.kinds[each]) for each in offsets], offsets, end)

    def run(self, rules: Rules, *, size: int, most: int, commits: int) -> list[Part]:
        """One run that is killed before its commit of that number; every piece is one transaction."""
        course = Course.begun(Settled.restored(*self.committed), self.start, self.end)
        parts: list[Part] = []
        for first in range(course.position, self.end, size):
            batch = self.batch(first, min(first + size, self.end + 3))
            while not course.is_done and course.position < batch.next_offset:
                part = course.take(batch, rules, NOW_MS, most)
                if len(parts) == commits:
                    return parts
                self.committed = course.settled.offset, course.settled.note()
                assert len(self.committed[1]) <= NOTE_BYTES_MAX
                self.sent += part.records
                parts.append(part)
        return parts

    def sent_offsets(self) -> list[int]:
        """Which they were."""
        return [int(record.value or b"") for record in self.sent]


def rules(reason: str | None) -> Rules:
    """All of one kind, to another topic: so no input's reader is asked."""
    return Rules({}, TOPICS, Filters(reason=reason), to="elsewhere")


PARTITIONS = st.builds(
    lambda kinds: Partition({place: kind for place, kind in enumerate(kinds) if kind}, len(kinds)),
    st.lists(st.sampled_from(["", *KINDS]), max_size=40),
)
RUNS = st.lists(
    st.fixed_dictionaries(
        {
            "reason": st.sampled_from([None, *KINDS]),
            "size": st.integers(1, 12),
            "most": st.integers(1, 5),
            "commits": st.integers(0, 12),
            "grows": st.lists(st.sampled_from(["", *KINDS]), max_size=5),
            "removed": st.integers(0, 4),
        }
    ),
    max_size=8,
)


@given(partition=PARTITIONS, runs=RUNS, last=st.sampled_from([None, *KINDS]))
def test_each_is_sent_once_wherever_runs_are_killed(partition: Partition, runs: list[dict], last: str | None) -> None:  # type: ignore[type-arg]
    """None twice, none that was not selected; and what a last, undisturbed run selects has all been sent by then."""
    selected = set()
    for each in runs:
        asked = {place for place, kind in partition.kinds.items() if each["reason"] in (None, kind)}
        selected |= {place for place in asked if partition.start <= place < partition.end}
        partition.run(rules(each["reason"]), size=each["size"], most=each["most"], commits=each["commits"])
        partition.kinds |= {partition.end + place: kind for place, kind in enumerate(each["grows"]) if kind}
        partition.end += len(each["grows"])
        partition.start = min(partition.start + each["removed"], partition.end)
    partition.run(rules(last), size=7, most=3, commits=1000)

    sent = partition.sent_offsets()
    wanted = {place for place, kind in partition.kinds.items() if last in (None, kind) and place >= partition.start}
    assert max(Counter(sent).values(), default=1) == 1
    assert wanted <= set(sent) <= wanted | selected
    assert not any(part.records for part in partition.run(rules(last), size=5, most=2, commits=1000))


@given(st.integers(0, 30), st.integers(1, 9), st.integers(1, 9))
def test_what_is_rejected_again_meanwhile_is_not_looked_at(end: int, size: int, most: int) -> None:
    """A run ends where the partition ended at its start, so nothing goes in circles."""
    partition = Partition(dict.fromkeys(range(end + 10), "pear"), end)
    partition.run(rules(None), size=size, most=most, commits=1000)
    assert partition.sent_offsets() == list(range(end))


def test_a_full_note_stops_what_it_could_not_tell_of() -> None:
    """What is in the note was sent, what is not was not; the way out empties it, and then all goes on."""
    partition = Partition({place: KINDS[place % 2] for place in range(6000)}, 6000)
    parts = partition.run(rules("pear"), size=500, most=100, commits=1000)
    fates = Counter(each.fate for part in parts for each in part.judged)
    sent = partition.sent_offsets()
    assert fates == {Fate.SENT: len(sent), Fate.OTHER: 3000, Fate.NO_ROOM: 3000 - len(sent)}
    assert 900 < len(sent) < 1100
    assert sent == list(range(1, 2 * len(sent), 2))

    for _ in range(3):
        partition.run(rules("apple"), size=500, most=100, commits=1000)
        partition.run(rules("pear"), size=500, most=100, commits=1000)
    assert sorted(partition.sent_offsets()) == list(range(6000))
    assert partition.committed == (6000, "")
