"""The laws of both stages together, of all that arrives on the inputs."""

from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.fields import TIME_MAX_MS
from streamguard.core.join import Input
from streamguard.core.outcomes import OutcomeRecord, read_outcomes
from streamguard.core.records import Output, Stream
from tests.laws.arriving import Arrived, arrived, joins
from tests.laws.disk import MemoryDisk
from tests.laws.joining import MOVES, RULES, TOPICS, Walk, logs, matching_logs, walk
from tests.laws.watching import ORDER, WAYS, Joins, Moves, Watching, alerts, interleaved

LAW = settings(max_examples=40, deadline=None, print_blob=True)
SHORT = RULES.filter(lambda rules: rules.disorder_ms < 1000)
STEPS = st.lists(st.integers(1, 6), max_size=12)


def told(outputs: list[Output]) -> dict[tuple[str, str], list[Output]]:
    """Alerts by monitor and check: each kind in its order, byte for byte."""
    found: dict[tuple[str, str], list[Output]] = defaultdict(list)
    for each in alerts(outputs):
        data = orjson.loads(each.value or b"{}")
        found[data["monitor"], data["check"]["type"]].append(each)
    return found


def remembered(found: Watching) -> dict[str, Any]:
    """Everything that the task knows of what arrives."""
    arrivals = found.task._arrivals
    return {
        **found.remembered(),
        "arrivals": arrivals.snapshot(),
        "open": [[(place, each.rows) for place, each in held._open.items()] for held in arrivals.gatherings],
        "all low": found.task._intake.low(found.position),
    }


@LAW
@given(joins(SHORT), WAYS, WAYS, ORDER, ORDER, STEPS)
def test_the_same_logs_give_the_same_alerts(
    data: Joins,
    ways: tuple[Moves, ...],
    others: tuple[Moves, ...],
    order: list[int],
    other: list[int],
    steps: list[int],
) -> None:
    """Polls, and interleavings of the inputs and of the sources' records, change no byte of any alert."""
    for target in range(data.targets):
        one = Watching(interleaved(data.outcomes(ways, target), order), data.settings(), target)
        two = Watching(interleaved(data.outcomes(others, target), other), data.settings(), target)
        for count in [*steps, len(one.records)]:
            one.go(count)
        two.go(len(two.records))
        assert told(one.outputs) == told(two.outputs)
        for gathering in (*one.task._arrivals.gatherings, *two.task._arrivals.gatherings):
            assert gathering.counts == {"late": 0, "foreign": 0}


PLAN = st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.none() | STEPS), max_size=12)


@LAW
@given(joins(SHORT), WAYS, ORDER, PLAN)
def test_a_restart_of_a_monitor_changes_nothing(
    data: Joins, ways: tuple[Moves, ...], order: list[int], plan: list[tuple[int, bool, list[int] | None]]
) -> None:
    """A task brought back from its last snapshot, through JSON, goes on to the same alerts and the same state."""
    records = interleaved(data.outcomes(ways, 0), order)
    steady, restarted = Watching(records, data.settings()), Watching(records, data.settings())
    for count, is_snapshot, pieces in [*plan, (1, True, []), (len(records), False, None)]:
        if is_snapshot:
            restarted.snapshot()
        if pieces is not None:
            restarted.restart(pieces)
            assert remembered(restarted) == remembered(steady)
        steady.go(count)
        restarted.go(count)
        assert restarted.outputs == steady.outputs
    assert remembered(restarted) == remembered(steady)


RESTARTS = st.lists(
    st.tuples(
        st.tuples(st.integers(0, 4), st.integers(0, 4)), st.sampled_from(["", "checkpoint", "restart", "both"]), MOVES
    ),
    max_size=15,
)
HOT = st.sampled_from([None, 0, 4])
"""How many records may be in memory; None: all, there is no disk."""


def restarted_walk(data: Arrived, plan: list[tuple[tuple[int, int], str, Moves]], hot: int | None) -> Walk:
    """A join task that is brought back now and then, from its notes alone or from a disk."""
    own = data.settings()
    if hot is not None:
        own = replace(own, join=replace(own.join, memory_records=hot))
    found = Walk(data, own, disk=None if hot is None else MemoryDisk())
    for move, event, pieces in [*plan, ((0, 0), "restart", []), ((100, 100), "both", [])]:
        if event in {"checkpoint", "both"}:
            found.task.checkpoint()
        found.go(move)
        if event in {"restart", "both"}:
            found.restart(pieces)
    found.finish()
    return found


@LAW
@given(SHORT.flatmap(lambda rules: arrived(matching_logs(rules))), RESTARTS, HOT)
def test_a_restart_of_a_join_changes_no_alert(
    data: Arrived, plan: list[tuple[tuple[int, int], str, Moves]], hot: int | None
) -> None:
    """Byte for byte."""
    found = []
    for each in (restarted_walk(data, plan, hot), walk(data, [])):
        stream = Watching([o.value for o in each.outputs if o.stream is Stream.OUTCOMES], data.settings())
        stream.go(len(stream.records))
        found.append(told(stream.outputs))
    assert found[0] == found[1]


Place = tuple[str, int]


def records(outputs: list[Output]) -> list[OutcomeRecord]:
    """What was written, read back."""
    return [read_outcomes(output.value) for output in outputs if output.stream is Stream.OUTCOMES]


def counted(outputs: list[Output]) -> Counter[Place]:
    """Rows by input."""
    found: Counter[Place] = Counter()
    for delta in (delta for record in records(outputs) for delta in record.features):
        for each in delta.windows:
            found[delta.monitor, each.start_ms] += each.rows
    return +found


@LAW
@given(arrived(logs()), MOVES, RESTARTS, HOT)
def test_every_record_is_counted_once(
    data: Arrived, moves: Moves, plan: list[tuple[tuple[int, int], str, Moves]], hot: int | None
) -> None:
    """Late, repeated and rejected ones, too, at the same time, whatever the polls and restarts."""
    one, two = counted(walk(data, moves).outputs), counted(restarted_walk(data, plan, hot).outputs)
    assert one == two
    for side in Input:
        assert sum(rows for (name, _), rows in one.items() if name.endswith(TOPICS[side])) == len(data.entries[side])


@LAW
@given(arrived(logs()), MOVES)
def test_promises_are_kept(data: Arrived, moves: Moves) -> None:
    """No window that ends by a promise follows it, and promises only grow."""
    promised_ms = [-TIME_MAX_MS, -TIME_MAX_MS]
    arrivals = data.settings().join.arrivals
    for each in records(walk(data, moves).outputs):
        for delta in each.features:
            side = next(side for side in arrivals if arrivals[side].name == delta.monitor)
            window_ms = arrivals[side].window_ms
            assert all(window.start_ms + window_ms > promised_ms[side] for window in delta.windows)
        for side, found in enumerate(each.arrivals_ms):
            assert found is None or found >= promised_ms[side]
            promised_ms[side] = promised_ms[side] if found is None else found
