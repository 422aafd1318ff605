"""One side of a join: what it remembers, for how long, and from where it can be rebuilt."""

from typing import Any

from streamguard.core.waiting import ENTRY_BYTES, NEVER, Side


def side(reach_ms: int = 10, horizon_ms: int = 10, disorder_ms: int = 0) -> Side:
    """A side that has seen nothing; panes are one millisecond wide up to a horizon of 127."""
    return Side(reach_ms=reach_ms, horizon_ms=horizon_ms, disorder_ms=disorder_ms)


def add(into: Side, request_id: str, time_ms: int, offset: int = 0, *, is_open: bool = True) -> int:
    """Remember a record as the join task does, and return its slot."""
    into.add(request_id, time_ms, offset, "x", 0.5, (), is_open=is_open)
    into.clock_ms = max(into.clock_ms, time_ms)
    known = into.slots_of[request_id]
    return known if isinstance(known, int) else known[-1]


def settle_expired(of: Side, other_bound_ms: int) -> list[int]:
    """Expire, and return the offsets of the records that were still waiting."""
    found = []
    for _, slots in of.expire(other_bound_ms):
        for slot in slots:
            found.append(of.offsets[slot])
            of.settle(slot)
    return found


def test_a_record_waits_until_its_end() -> None:
    """A settled record no longer waits, and its value is let go; its ID stays known."""
    waiting = side()
    slot = add(waiting, "a", 5)
    assert (waiting.waiting_count, waiting.values[slot], waiting.routes[slot]) == (1, "x", ())
    waiting.settle(slot)
    assert (waiting.waiting_count, waiting.values[slot], waiting.routes[slot]) == (0, None, None)
    assert waiting.repeats(waiting.slots_of["a"], 5)


def test_a_record_repeats_any_of_its_id_within_the_horizon() -> None:
    """On either side of the horizon, of whichever of the known ones, and whether or not that was open."""
    waiting = side(horizon_ms=10)
    add(waiting, "a", 20)
    assert [waiting.repeats(waiting.slots_of["a"], at) for at in (9, 10, 30, 31)] == [False, True, True, False]
    add(waiting, "a", 40, is_open=False)
    assert [waiting.repeats(waiting.slots_of["a"], at) for at in (29, 31, 50, 51)] == [True, True, True, False]


def test_a_partner_is_open_and_within_reach() -> None:
    """Of several records of one ID the one in the interval is found, unless it has met its end."""
    waiting = side()
    first, second = add(waiting, "a", 20), add(waiting, "a", 40)
    known = waiting.slots_of["a"]
    assert waiting.partner(known, 10, 20) == first
    assert waiting.partner(known, 21, 40) == second
    assert waiting.partner(known, 21, 39) is None
    waiting.settle(first)
    assert waiting.partner(known, 10, 20) is None


def test_a_pane_expires_when_the_other_side_has_passed_it() -> None:
    """A record of time 5 may meet a partner of time 15, and 16 ends its pane: only beyond that it is over."""
    waiting = side(reach_ms=10)
    add(waiting, "a", 5, offset=7)
    assert settle_expired(waiting, 16) == []
    assert waiting.expire(17) == [(16, [0])]


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


class Counted(bytearray):
    """Counts how often it is read."""

    reads = 0

    def __getitem__(self, key: Any) -> Any:
        self.reads += 1
        return super().__getitem__(key)


def test_what_has_expired_is_not_looked_at_again() -> None:
    """Labels expire long before they are forgotten: looking at all of them at each step would take all time."""
    waiting = side(reach_ms=0, horizon_ms=1_000_000)
    for number in range(1000):
        add(waiting, f"r{number}", number, offset=number)
    settle_expired(waiting, 900_000)
    counted = waiting.is_open = Counted(waiting.is_open)
    settle_expired(waiting, 900_001)
    assert counted.reads == 0


def test_an_expired_pane_is_forgotten_when_no_duplicate_can_come() -> None:
    """An ID stays known for the horizon after its pane, and then its slot is used again."""
    waiting = side(horizon_ms=10)
    add(waiting, "a", 5)
    settle_expired(waiting, 1000)
    for clock_ms, is_known in ((17, True), (18, False)):
        waiting.clock_ms = clock_ms
        waiting.forget()
        assert ("a" in waiting.slots_of) is is_known
    assert len(waiting) == waiting.held_bytes == 0
    assert add(waiting, "b", 20) == 0


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
    assert waiting.repeats(waiting.slots_of["a"], 40)
    assert not waiting.repeats(waiting.slots_of["a"], 15)
    settle_expired(waiting, 1000)
    waiting.clock_ms = 1000
    waiting.forget()
    assert waiting.slots_of == {}


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
    assert [waiting.times[slot] for slot in waiting.slots_of.values() if isinstance(slot, int)] == [40]
    assert waiting.low() == (3, 25)


def test_rebuilding_begins_with_the_first_record_of_a_pane() -> None:
    """Event times go back and forth: the least offset counts, with the clock as it was before that record."""
    waiting = side(horizon_ms=100, disorder_ms=100)
    add(waiting, "a", 50, offset=3)
    add(waiting, "b", 20, offset=4)
    add(waiting, "c", 20, offset=5)
    assert waiting.low() == (3, NEVER)
