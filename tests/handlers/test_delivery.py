"""What may be delivered when, and what a restart knows, whatever the order in which deliveries come to their end."""

from dataclasses import dataclass, field
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.handlers import delivery
from streamguard.handlers.delivery import Deliveries

EPISODES = "abc"
NOTE_BYTES_MAX = 4096
"""Of commit metadata on a broker with its default settings."""


def alert_id(number: int) -> str:
    """As long as one is."""
    return f"{number:032x}"[::-1]


@dataclass
class Handler:
    """A handler that may be killed, over a partition of these episodes; what it has delivered, in order."""

    episodes: str
    deliveries: Deliveries = field(default_factory=lambda: Deliveries(0))
    committed: tuple[int, str] = (0, "")
    delivered: list[int] = field(default_factory=list)
    under_way: list[int] = field(default_factory=list)

    def read(self, count: int) -> None:
        """So many records more."""
        for _ in range(count):
            offset = self.deliveries.position
            if offset < len(self.episodes) and not self.deliveries.is_full:
                self.deliveries.add(offset, self.episodes[offset], alert_id(offset), is_wanted=True)

    def begin(self, most: int) -> None:
        """Up to so many."""
        for offset in self.deliveries.ready(most):
            self.deliveries.begin(offset)
            self.under_way.append(offset)

    def end(self, which: int) -> None:
        """One of those under way."""
        if self.under_way:
            offset = self.under_way.pop(which % len(self.under_way))
            self.delivered.append(offset)
            self.deliveries.settle(offset)

    def commit(self) -> None:
        """What is settled."""
        note = self.deliveries.note()
        assert len(note.encode()) <= NOTE_BYTES_MAX
        self.committed = self.deliveries.committed, note

    def restart(self) -> None:
        """From what is committed; nothing is under way."""
        self.under_way.clear()
        self.deliveries = Deliveries.restored(*self.committed)


STEPS = st.lists(
    st.tuples(st.sampled_from(["read", "begin", "end", "commit", "restart"]), st.integers(0, 7)), max_size=120
)


@given(st.text(EPISODES, min_size=1, max_size=40), STEPS)
def test_all_are_delivered_and_each_episode_in_order(episodes: str, steps: list[tuple[str, int]]) -> None:
    """After any course of things, and a restart only repeats what was not committed."""
    handler = Handler(episodes)
    known = 0
    for name, number in steps:
        if name == "restart":
            repeated = handler.delivered[known:]
            handler.restart()
            # What it does not know of it delivers again: as if that had never been.
            handler.delivered = handler.delivered[: len(handler.delivered) - len(repeated)]
        elif name == "commit":
            handler.commit()
            known = len(handler.delivered)
        else:
            getattr(handler, name)(number)
    while len(handler.delivered) < len(episodes):
        handler.read(8)
        handler.begin(4)
        handler.end(0)
    assert sorted(handler.delivered) == list(range(len(episodes)))
    for episode in EPISODES:
        mine = [offset for offset in handler.delivered if episodes[offset] == episode]
        assert mine == sorted(mine)
    assert handler.deliveries.committed == len(episodes)


def test_the_note_has_room_for_the_worst() -> None:
    """One delivery that does not end holds the commit back, and of the others every second is settled."""
    handler = Handler("a" + "cb" * 2500)
    handler.read(2)
    handler.begin(2)
    while not handler.deliveries.is_full:
        handler.read(2)
        handler.begin(1)
        if len(handler.under_way) > 2:
            handler.end(2)
    handler.commit()
    assert handler.committed[0] == 0
    assert len(handler.delivered) > 100
    assert handler.deliveries.ready(9) == []
    handler.restart()
    assert len(handler.deliveries._latest) == 200
    handler.read(5000)
    again = set(handler.deliveries.waiting)
    assert again.isdisjoint(handler.delivered)


@given(st.lists(st.tuples(st.integers(1, 10**6), st.booleans(), st.integers(0, 70)), max_size=600), st.integers(1, 64))
def test_a_note_fits_and_the_first_may_always_begin(steps: list[tuple[int, bool, int]], concurrency: int) -> None:
    """Whatever lies between the alerts, is not wanted, or ends first; the first is stuck as long as others go on."""
    deliveries = Deliveries(0)
    under_way: list[int] = []
    for gap, is_wanted, which in steps:
        if not deliveries.is_full:
            offset = deliveries.position + gap
            deliveries.add(offset, str(offset), alert_id(offset), is_wanted=is_wanted)
        for offset in deliveries.ready(concurrency - len(under_way)):
            deliveries.begin(offset)
            under_way.append(offset)
        if under_way and which < len(under_way) and under_way[which] != deliveries.committed:
            deliveries.settle(under_way.pop(which))
        assert len(deliveries.note().encode()) <= NOTE_BYTES_MAX
        assert not deliveries.waiting or deliveries.committed in under_way


class Reader:
    """Goes along a topic as a handler does that is often restarted, with little room in its note."""

    def __init__(self, wanted: list[bool]) -> None:
        self.wanted = wanted
        self.deliveries = Deliveries(0)
        self.is_paused = False
        self.under_way: list[int] = []
        self.delivered: list[int] = []

    def turn(self, concurrency: int) -> None:
        """Read all that may be read, and begin what may be begun."""
        while not self.is_paused and self.deliveries.position < len(self.wanted):
            offset = self.deliveries.position
            self.is_paused = self.deliveries.is_full
            if not self.is_paused:
                self.deliveries.add(offset, str(offset), alert_id(offset), is_wanted=self.wanted[offset])
        for offset in self.deliveries.ready(concurrency - len(self.under_way)):
            self.deliveries.begin(offset)
            self.under_way.append(offset)
        self.is_paused = self.deliveries.is_full or (self.is_paused and not self.deliveries.is_half_empty)

    def end(self, which: int) -> None:
        """One of those under way."""
        offset = self.under_way.pop(which % len(self.under_way))
        self.deliveries.settle(offset)
        self.delivered.append(offset)

    def restart(self) -> None:
        """What is under way is left, and the IDs do not help."""
        self.deliveries = Deliveries.restored(self.deliveries.committed, self.deliveries.note())
        self.deliveries._latest.clear()
        self.under_way.clear()
        self.is_paused = False


@given(
    st.lists(st.booleans(), max_size=150),
    st.lists(st.sampled_from(["restart", "first", "last"]), max_size=150),
    st.integers(1, 8),
)
def test_little_room_stops_nothing_for_ever(wanted: list[bool], steps: list[str], concurrency: int) -> None:
    """All are delivered, each once, wherever it is restarted; while one waits, there is one that may be begun."""
    with patch.object(delivery, "_BEYOND_BYTES_MAX", 30), patch.object(delivery, "_WAITING_MAX", 20):
        reader = Reader(wanted)
        for step in steps + ["first"] * len(wanted):
            reader.turn(concurrency)
            if step == "restart":
                reader.restart()
            elif reader.under_way:
                reader.end(0 if step == "first" else -1)
            else:
                assert not reader.deliveries.waiting
    assert sorted(reader.delivered) == [offset for offset, each in enumerate(wanted) if each]
    assert reader.deliveries.committed == len(wanted)


def test_no_more_is_begun_than_the_note_can_name() -> None:
    """But for the first: once that is settled, the others go on."""
    deliveries = Deliveries(0)
    deliveries.add(0, "first", alert_id(0), is_wanted=True)
    while not deliveries.is_full:
        offset = deliveries.position
        deliveries.add(offset, str(offset), alert_id(offset), is_wanted=offset % 2 == 1)
    deliveries.add(10**15, "far", alert_id(10**15), is_wanted=True)
    assert deliveries.ready(9) == [0]
    assert not deliveries.is_half_empty
    deliveries.begin(0)
    deliveries.settle(0)
    assert deliveries.ready(1) == [1]
    assert deliveries.is_full
    for offset in deliveries.waiting[:-1]:
        deliveries.settle(offset)
    assert deliveries.is_half_empty
    assert not deliveries.is_full


def test_what_is_settled_behind_a_restart_stays_settled() -> None:
    """Also when all before it is settled, and it was not read yet; and though the latest do not tell."""
    deliveries = Deliveries(0)
    deliveries.add(0, "a", alert_id(0), is_wanted=True)
    deliveries.add(1, "b", alert_id(1), is_wanted=True)
    deliveries.settle(1)
    later = Deliveries.restored(0, deliveries.note())
    later._latest.clear()
    later.add(0, "a", alert_id(0), is_wanted=True)
    later.settle(0)
    assert later.committed == 1
    last = Deliveries.restored(1, later.note())
    last._latest.clear()
    for each in (later, last):
        assert not each.add(1, "b", alert_id(1), is_wanted=True)


def test_what_is_not_wanted_needs_room_as_well() -> None:
    """Between alerts that wait it is noted one by one, and takes no room from the latest IDs."""
    deliveries = Deliveries(0)
    for offset in range(200):
        deliveries.add(offset, str(offset), alert_id(offset), is_wanted=True)
        deliveries.settle(offset)
    while not deliveries.is_full:
        offset = deliveries.position
        deliveries.add(offset, "a", alert_id(offset), is_wanted=offset % 2 == 0)
    assert len(deliveries.waiting) > 300
    later = Deliveries.restored(deliveries.committed, deliveries.note())
    assert len(later._latest) == 200


def test_what_the_note_has_named_can_be_read_after_a_restart() -> None:
    """It needs no more room, so nothing waits on the topic until what is before it is settled."""
    deliveries = Deliveries(0)
    with patch.object(delivery, "_BEYOND_BYTES_MAX", 60):
        while not deliveries.is_full:
            offset = deliveries.position
            deliveries.add(offset, "a", alert_id(offset), is_wanted=offset % 2 == 0)
        later = Deliveries.restored(0, deliveries.note())
        for offset in range(4):
            assert not later.is_full
            later.add(offset, "a", alert_id(offset), is_wanted=offset % 2 == 0)
        assert later.is_half_empty
        later.settle(0)
        later.settle(2)
        assert later.is_half_empty


def test_markers_between_alerts_need_no_room() -> None:
    """A worker's transactions leave one after each alert."""
    deliveries = Deliveries(0)
    for offset in range(0, 3000, 2):
        assert not deliveries.is_full
        deliveries.add(offset, str(offset), alert_id(offset), is_wanted=True)
        if offset:
            deliveries.settle(offset)
        deliveries.skip(offset + 2)
    assert deliveries.committed == 0
    assert deliveries.note().startswith('{"v":2,"beyond":[1,2999],')


def test_the_oldest_ids_give_way() -> None:
    """Where offsets have jumped so far that what is settled takes more room than was thought; the other IDs stay."""
    deliveries = Deliveries(0)
    for offset in range(201):
        deliveries.add(offset, str(offset), alert_id(offset), is_wanted=True)
        deliveries.settle(offset)
    for number in range(1, 200):
        deliveries.add(number * 10**15, str(number), alert_id(number * 10**15), is_wanted=True)
    for offset in deliveries.waiting[1::2]:
        deliveries.settle(offset)
    note = deliveries.note()
    assert NOTE_BYTES_MAX - 13 < len(note.encode()) <= NOTE_BYTES_MAX
    later = Deliveries.restored(deliveries.committed, note)
    assert not later.add(10**18, "a", alert_id(200), is_wanted=True)
    assert later.add(10**18 + 1, "b", alert_id(1), is_wanted=True)


def test_two_of_one_episode_are_never_under_way_together() -> None:
    """And those of others do not wait for it."""
    handler = Handler("aaba")
    handler.read(4)
    assert handler.deliveries.ready(9) == [0, 2]
    assert handler.deliveries.ready(1) == [0]
    handler.begin(9)
    assert handler.deliveries.ready(9) == []
    handler.end(0)
    assert handler.deliveries.ready(9) == [1]


def test_what_is_left_is_delivered_later() -> None:
    """It is at its place again."""
    handler = Handler("ab")
    handler.read(2)
    handler.begin(2)
    handler.deliveries.leave([0, 1])
    assert handler.deliveries.ready(9) == [0, 1]
    assert handler.deliveries.committed == 0


def test_an_alert_that_stands_there_twice_is_delivered_once() -> None:
    """As after a worker's group was begun anew; also over a restart, and while the first is under way."""
    deliveries = Deliveries(0)
    assert deliveries.add(0, "a", alert_id(7), is_wanted=True)
    assert not deliveries.add(1, "a", alert_id(7), is_wanted=True)
    deliveries.begin(0)
    deliveries.settle(0)
    assert deliveries.committed == 2
    later = Deliveries.restored(deliveries.committed, deliveries.note())
    assert not later.add(2, "a", alert_id(7), is_wanted=True)
    assert later.add(3, "a", alert_id(8), is_wanted=True)


def test_ids_of_others_fit_into_the_note() -> None:
    """And two that only begin alike are two, also over a restart."""
    deliveries = Deliveries(0)
    ids = [f"{chr(0) * 10}\U0001f600{number}" for number in range(300)]
    for offset, each in enumerate(ids):
        assert deliveries.add(offset, each, each, is_wanted=True)
        deliveries.begin(offset)
        deliveries.settle(offset)
    assert len(deliveries.note().encode()) <= NOTE_BYTES_MAX
    later = Deliveries.restored(deliveries.committed, deliveries.note())
    assert not later.add(300, "a", ids[-1], is_wanted=True)
    assert later.add(301, "a", f"{ids[-1]}0", is_wanted=True)


def test_ids_that_begin_alike_are_two() -> None:
    """Ten hexadecimal digits at the beginning do not make an ID ours."""
    deliveries = Deliveries(0)
    for offset, each in enumerate(["2026112401-a", "2026112401-b"]):
        assert deliveries.add(offset, each, each, is_wanted=True)
        deliveries.settle(offset)


def test_what_is_not_wanted_is_settled() -> None:
    """So is a gap, and what was no alert."""
    deliveries = Deliveries(5)
    assert not deliveries.add(5, "a", alert_id(1), is_wanted=False)
    deliveries.skip(9)
    assert (deliveries.committed, deliveries.waiting) == (9, [])


def test_a_note_of_something_else_is_refused() -> None:
    """Such as that of a worker."""
    with pytest.raises(ValueError, match="a note of version 2 expected, got 9"):
        Deliveries.restored(0, '{"v": 9}')
