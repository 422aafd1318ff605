"""The laws of the join task hold where all but the newest records are on a disk."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.join import Input
from streamguard.core.records import Fate
from streamguard.worker.topology import Topology
from tests.laws.disk import MemoryDisk
from tests.laws.joining import LAW, MOVES, Logs, Walk, expected, logs, written
from tests.laws.reference import Advance, Entry, Rules, join


def test_of_a_group_the_head_alone_outlives_its_record() -> None:
    """Where another record of its ID is forgotten, the head is still held, also after a restart."""
    times = (1990, 1990, 1990, 1989, 1990, 1992, 2003, 2004)
    rows = tuple(Entry(6 + place, time_ms, "a", "x") for place, time_ms in enumerate(times))
    advances = ((), (Advance(6, 2003),))
    data = Logs((rows, (Entry(6, 2000, "a", "x"),)), advances, Rules(before_ms=0, after_ms=1, disorder_ms=10))
    steady, restarted = Walk(data, data.settings()), Walk(data, spilling(data, 0), disk=MemoryDisk())
    for move in ((2, 0), (2, 0), (3, 0), (1, 1)):
        restarted.task.checkpoint()
        steady.go(move)
        restarted.go(move)
        restarted.restart([])
        assert restarted.task.held_count == steady.task.held_count


HOT = st.sampled_from([0, 0, 2, 8])
"""How many records may be in memory."""
STEPS = st.lists(
    st.tuples(
        st.tuples(st.integers(0, 4), st.integers(0, 4)),
        st.sampled_from(["", "", "checkpoint", "restart", "both"]),
        MOVES,
    ),
    max_size=25,
)
"""Moves, and after each perhaps a checkpoint, or a restart that reads again in pieces, or one after the other."""


def spilling(data: Logs, hot: int) -> Topology:
    """Settings with so few records in memory."""
    settings = data.settings()
    return replace(settings, join=replace(settings.join, memory_records=hot))


@LAW
@given(logs(), MOVES, HOT)
def test_results_are_those_of_memory_and_of_the_definition(data: Logs, moves: list[tuple[int, int]], hot: int) -> None:
    """At each step the same bytes are written, and the same is counted, noted and held."""
    memory = Walk(data, data.settings())
    disk = Walk(data, spilling(data, hot), disk=MemoryDisk())
    for move in [*moves, (100, 100), (100, 100), (100, 100)]:
        memory.go(move)
        disk.go(move)

        assert disk.steps == memory.steps
        assert disk.counts() == memory.counts()
        assert disk.notes() == memory.notes()
        assert disk.task.held_count == memory.task.held_count
    disk.finish()
    wanted = join(*data.entries, data.advances, data.rules)
    assert written(disk.outputs) == expected(wanted)
    for side in Input:
        fates = Counter(wanted.fates[side].values())
        assert {fate: disk.counts()[side][fate] for fate in Fate} == {fate: fates[fate] for fate in Fate}


@LAW
@given(logs(), STEPS, HOT)
def test_a_restart_from_the_disk_changes_nothing(
    data: Logs, plan: list[tuple[tuple[int, int], str, list[tuple[int, int]]]], hot: int
) -> None:
    """However far the last checkpoint is behind the commit; what was written since then is of no use, and no harm."""
    steady = Walk(data, data.settings())
    restarted = Walk(data, spilling(data, hot), disk=MemoryDisk())
    for move, event, pieces in [*plan, ((100, 100), "both", []), ((100, 100), "restart", [])]:
        if event in {"checkpoint", "both"}:
            restarted.task.checkpoint()
        steady.go(move)
        restarted.go(move)
        if event in {"restart", "both"}:
            restarted.restart(pieces)

        assert restarted.steps == steady.steps
        assert restarted.counts() == steady.counts()
        assert restarted.notes() == steady.notes()
        assert restarted.task.held_count == steady.task.held_count
