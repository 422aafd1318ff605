"""One side of a join: what it remembers, for how long, and from where it can be rebuilt."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from streamguard.core.codec import Columns, objects
from streamguard.core.index import NONE
from streamguard.core.texts import Texts
from streamguard.core.waiting import ENTRY_BYTES, NEVER, Ints, Side, Slots


def side(reach_ms: int = 10, horizon_ms: int = 10, disorder_ms: int = 0) -> Side:
    """A side that has seen nothing; panes are one millisecond wide up to a horizon of 127."""
    return Side(reach_ms=reach_ms, horizon_ms=horizon_ms, disorder_ms=disorder_ms)


class Entry(NamedTuple):
    """A record to be remembered."""

    id: str
    time_ms: int
    offset: int = 0


def columns(entries: Sequence[Entry]) -> Columns:
    """The records as a batch of predictions, without scores."""
    ids, times, offsets = zip(*entries, strict=True)
    count = len(entries)
    return Columns(
        np.array(offsets), np.array(times), Texts.of(ids), objects(["x"] * count), None, objects([("all",)] * count)
    )


def add_all(into: Side, *entries: Entry, is_open: bool = True) -> list[int]:
    """Remember records as the join task does, and return their slots."""
    batch = columns(entries)
    clocks_ms = np.maximum.accumulate(np.concatenate(([into.clock_ms], batch.times)))
    slots, heads = into.add(batch, batch.ids.hashes(), clocks_ms)
    for slot, head in zip(slots.tolist(), heads.tolist(), strict=True):
        if slot != head:
            into.share(head, slot)
    if is_open:
        into.open(slots, batch)
    into.clock_ms = int(clocks_ms[-1])
    return [int(slot) for slot in slots]


def add(into: Side, request_id: str, time_ms: int, offset: int = 0, *, is_open: bool = True) -> int:
    """Remember one record, and return its slot."""
    (slot,) = add_all(into, Entry(request_id, time_ms, offset), is_open=is_open)
    return slot


def head_of(within: Side, request_id: str) -> int:
    """The ID's head, or `NONE`."""
    ids = Texts.of([request_id])
    return int(within.find(ids, ids.hashes())[0])


def at(*slots: int) -> Slots:
    """Some slots."""
    return np.array(slots, np.int32)


def repeats(within: Side, request_id: str, *times_ms: int) -> list[bool]:
    """Whether the ID, at each of these times, is a duplicate."""
    return [within.repeats(head_of(within, request_id), time_ms) for time_ms in times_ms]


def settle_expired(of: Side, other_bound_ms: int) -> list[int]:
    """Expire, and return the offsets of the records that were still waiting."""
    slots, _ = of.expire(other_bound_ms)
    offsets: list[int] = of.store.offsets[slots].tolist()
    of.settle(slots)
    return offsets


def test_a_record_waits_until_its_end() -> None:
    """A settled record no longer waits, and its value is let go; its ID stays known."""
    waiting, store = (found := side()), found.store
    slot = add(waiting, "a", 5)
    assert (waiting.waiting_count, store.values[slot], store.routes[slot]) == (1, "x", ("all",))
    waiting.settle(at(slot))
    assert (waiting.waiting_count, store.values[slot], store.routes[slot]) == (0, None, None)
    assert repeats(waiting, "a", 5) == [True]


def test_an_id_that_was_never_seen_is_not_known() -> None:
    """Nor is one that another begins with."""
    waiting = side()
    add(waiting, "abc", 5)
    assert [head_of(waiting, each) for each in ("ab", "abcd", "b", "abc")] == [NONE, NONE, NONE, 0]


def test_ids_of_one_hash_are_different_ids() -> None:
    """A hash says where to look; the texts decide."""
    waiting, hashes = side(), np.zeros(3, np.uint32)
    _, heads = waiting.add(columns([Entry("a", 1), Entry("b", 2), Entry("a", 40)]), hashes, np.array([NEVER, 1, 2]))
    assert heads.tolist() == [0, 1, 0]
    assert waiting.find(Texts.of(["b", "c", "a"]), hashes).tolist() == [1, NONE, 0]


def test_a_record_repeats_any_of_its_id_within_the_horizon() -> None:
    """On either side of the horizon, of whichever of the known ones, and whether or not that was open."""
    waiting = side(horizon_ms=10)
    add(waiting, "a", 20)
    assert repeats(waiting, "a", 9, 10, 30, 31) == [False, True, True, False]
    add(waiting, "a", 40, is_open=False)
    assert repeats(waiting, "a", 29, 31, 50, 51) == [True, True, True, False]


def test_of_the_records_of_an_id_in_one_batch_the_first_is_its_head() -> None:
    """The others share it, as they do one that was there before."""
    waiting = side()
    assert add_all(waiting, Entry("a", 1), Entry("b", 1), Entry("a", 40), Entry("a", 80)) == [0, 1, 2, 3]
    assert [head_of(waiting, each) for each in ("a", "b")] == [0, 1]
    assert waiting.is_shared(at(0, 1)).tolist() == [True, False]
    add(waiting, "b", 90)
    assert waiting.is_shared(at(0, 1)).tolist() == [True, True]
    assert repeats(waiting, "a", 1, 20, 40, 60, 80) == [True, False, True, False, True]


def test_a_partner_is_open_and_within_reach() -> None:
    """Of several records of one ID the one in the interval is found, unless it has met its end."""
    waiting = side()
    first, second = add(waiting, "a", 20), add(waiting, "a", 40)
    head = head_of(waiting, "a")
    assert waiting.partner(head, 10, 20) == first
    assert waiting.partner(head, 21, 40) == second
    assert waiting.partner(head, 21, 39) == NONE
    waiting.settle(at(first))
    assert waiting.partner(head, 10, 20) == NONE


def test_partners_are_found_at_once_where_ids_have_one_record() -> None:
    """The interval includes both its ends, and a record that is settled or was never open is no partner."""
    waiting = side()
    slots = at(*add_all(waiting, *(Entry(f"r{number}", 20) for number in range(6))))
    never = add(waiting, "r6", 20, is_open=False)
    waiting.settle(slots[5:])
    earliest: Ints = np.array([20, 10, 21, 10, 0, 10, 10])
    latest: Ints = np.array([30, 20, 40, 19, 99, 30, 30])
    found = waiting.partners(np.append(slots, np.int32(never)), earliest, latest)
    assert found.tolist() == [True, True, False, False, True, False, False]


def test_a_pane_expires_when_the_other_side_has_passed_it() -> None:
    """A record of time 5 may meet a partner of time 15, and 16 ends its pane: only beyond that it is over."""
    waiting = side(reach_ms=10)
    add(waiting, "a", 5, offset=7)
    assert settle_expired(waiting, 16) == []
    slots, ends_ms = waiting.expire(17)
    assert (slots.tolist(), ends_ms.tolist()) == ([0], [16])


def test_panes_are_a_64th_of_the_horizon() -> None:
    """All records of a pane expire together, at its end."""
    waiting = side(reach_ms=6400, horizon_ms=6400)
    add(waiting, "a", 100, offset=1)
    add(waiting, "b", 199, offset=2)
    add(waiting, "c", 200, offset=3)
    assert settle_expired(waiting, 6600) == []
    assert settle_expired(waiting, 6601) == [1, 2]
    assert settle_expired(waiting, 6701) == [3]


def test_a_record_that_comes_after_its_pane_expired_expires_too() -> None:
    """The other side may be far ahead when a record comes that is not late on its own side."""
    waiting = side(disorder_ms=100)
    add(waiting, "a", 5, offset=1)
    assert settle_expired(waiting, 1000) == [1]
    add(waiting, "b", 5, offset=2)
    assert settle_expired(waiting, 1000) == [2]


class Counted(np.ndarray):
    """Counts how many of its elements are read."""

    reads = 0

    def __getitem__(self, key: Any) -> Any:
        found = np.asarray(self)[key]
        Counted.reads += found.size
        return found


def test_what_has_expired_is_not_looked_at_again() -> None:
    """Labels expire long before they are forgotten: looking at all of them at each step would take all time."""
    waiting = side(reach_ms=0, horizon_ms=1_000_000)
    add_all(waiting, *(Entry(f"r{number}", number, number) for number in range(1000)))
    counted = waiting.store.flags.view(Counted)
    waiting.store.flags = counted
    assert len(settle_expired(waiting, 900_000)) == 1000
    assert Counted.reads >= 1000
    Counted.reads = 0
    assert settle_expired(waiting, 900_001) == []
    assert Counted.reads == 0
    add(waiting, "one more", 1000, 1000)
    Counted.reads = 0
    assert settle_expired(waiting, 900_002) == [1000]
    # Once to find it, and once to settle it.
    assert Counted.reads <= 2
    assert counted is waiting.store.flags


def test_an_expired_pane_is_forgotten_when_no_duplicate_can_come() -> None:
    """An ID stays known for the horizon after its pane."""
    waiting = side(horizon_ms=10)
    add(waiting, "a", 5)
    settle_expired(waiting, 1000)
    for clock_ms, is_known in ((17, True), (18, False)):
        waiting.clock_ms = clock_ms
        waiting.forget()
        assert (head_of(waiting, "a") != NONE) is is_known
    assert len(waiting) == waiting.held_bytes == 0


def test_nothing_is_forgotten_that_still_waits() -> None:
    """However far this side has come, a record waits for the other side."""
    waiting = side()
    add(waiting, "a", 5)
    waiting.clock_ms = 1_000_000
    waiting.forget()
    assert len(waiting) == 1


def test_one_of_several_records_of_an_id_is_forgotten() -> None:
    """The others stay known."""
    waiting = side(horizon_ms=10)
    add(waiting, "a", 5)
    add(waiting, "a", 40)
    settle_expired(waiting, 17)
    waiting.forget()
    assert repeats(waiting, "a", 40, 15) == [True, False]
    settle_expired(waiting, 1000)
    waiting.clock_ms = 1000
    waiting.forget()
    assert head_of(waiting, "a") == NONE
    assert waiting.store.dead_count == waiting.store.size == 2


def test_a_head_outlives_its_record() -> None:
    """It leads to the others of its ID, and by its own time it is neither a partner nor repeated."""
    waiting = side(horizon_ms=10)
    first, second = add(waiting, "a", 5), add(waiting, "a", 40)
    waiting.expire(17)
    waiting.forget()
    assert (head_of(waiting, "a"), len(waiting)) == (first, 1)
    assert waiting.partner(first, 0, 10) == NONE
    assert waiting.partner(first, 0, 40) == second
    third = add(waiting, "a", 60)
    assert waiting.partner(first, 41, 60) == third


def test_slots_of_what_is_forgotten_are_used_again() -> None:
    """Memory follows what is held, not what was ever seen; what is held stays as it was, in other slots."""
    waiting = side(reach_ms=0, horizon_ms=60)
    sizes = []
    for step in range(20):
        start, now_ms = 1000 * step, 100 * step
        add_all(waiting, *(Entry(f"r{start + row}", now_ms, start + row) for row in range(1000)))
        add_all(waiting, Entry("again", now_ms), Entry("again", now_ms + 50))
        settle_expired(waiting, now_ms + 2)
        waiting.forget()
        sizes.append(waiting.store.size)
        assert len(waiting) == 1002
        for known in range(start, start + 1000, 99):
            slot = head_of(waiting, f"r{known}")
            assert (waiting.store.offsets[slot], waiting.store.times[slot]) == (known, now_ms)
            assert head_of(waiting, f"r{known - 1000}") == NONE
        head = head_of(waiting, "again")
        assert waiting.partner(head, now_ms, now_ms + 49) == NONE
        assert waiting.partner(head, now_ms, now_ms + 50) != NONE
    assert max(sizes) < 5000


def test_memory_is_counted_by_record_and_id() -> None:
    """The caps need an estimate that grows and shrinks with what is held."""
    waiting = side()
    add(waiting, "abc", 5)
    add(waiting, "de", 6)
    assert waiting.held_bytes == 2 * ENTRY_BYTES + 5


def test_rebuilding_begins_a_horizon_before_the_oldest_record() -> None:
    """A forgotten record still says whether a held one is a duplicate: reading again begins with it."""
    waiting = side(horizon_ms=10)
    assert waiting.low() is None
    for offset, time_ms in enumerate((5, 20, 25, 40)):
        add(waiting, f"r{offset}", time_ms, offset=offset)
    assert waiting.low() == (0, NEVER)
    settle_expired(waiting, 1000)
    waiting.forget()
    # 40 and 29 and more are held (25 ended at 26, and 10 later, and a pane, is 37); back from there to 19.
    assert [offset for offset in range(4) if head_of(waiting, f"r{offset}") != NONE] == [3]
    assert waiting.low() == (3, 25)


def test_rebuilding_begins_with_the_first_record_of_a_pane() -> None:
    """Event times go back and forth: the least offset counts, with the clock as it was before that record."""
    waiting = side(horizon_ms=100, disorder_ms=100)
    add(waiting, "a", 50, offset=3)
    add(waiting, "b", 20, offset=4)
    add(waiting, "c", 20, offset=5)
    assert waiting.low() == (3, NEVER)
