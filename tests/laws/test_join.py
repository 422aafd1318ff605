"""The laws of the join task: docs/design.md, "Laws"."""

from collections import Counter

import orjson
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.join import Input, JoinTask
from streamguard.core.records import Fate, Stream
from tests.core.helpers import batch, documents, rows_of, topology
from tests.laws.joining import LAW, MOVES, Logs, Walk, expected, logs, walk, written
from tests.laws.reference import join

Move = tuple[int, int]

RESTARTS = st.lists(st.tuples(st.tuples(st.integers(0, 4), st.integers(0, 4)), st.none() | MOVES), max_size=25)
"""Moves, some of them after a restart that reads again in pieces."""


@LAW
@given(logs(), MOVES)
def test_results_are_those_of_the_definition(data: Logs, moves: list[Move]) -> None:
    """What matches, expires, is late, duplicate or rejected is a function of the two whole logs."""
    found = walk(data, moves)
    wanted = join(*data.entries, data.advances, data.rules)

    assert written(found.outputs) == expected(wanted)
    for side in Input:
        fates = Counter(wanted.fates[side].values())
        counts = {fate: count for fate, count in found.counts()[side].items() if fate != "consumed"}
        assert counts == {fate.value: fates[fate] for fate in Fate}


@LAW
@given(logs(), MOVES, MOVES)
def test_cuts_and_interleavings_change_nothing(data: Logs, moves: list[Move], others: list[Move]) -> None:
    """However poll cuts the two inputs, and whichever it brings first: the same outcomes, counts and promise."""
    one, two = walk(data, moves), walk(data, others)

    assert Counter(rows_of(one.outputs)) == Counter(rows_of(two.outputs))
    assert one.counts() == two.counts()
    assert one.task.watermark_ms == two.task.watermark_ms
    rejected = [sorted(str(o) for o in each.outputs if o.stream is Stream.REJECTED) for each in (one, two)]
    assert rejected[0] == rejected[1]


@LAW
@given(logs(), RESTARTS)
def test_a_restart_changes_nothing(data: Logs, plan: list[tuple[tuple[int, int], list[Move] | None]]) -> None:
    """A task brought back from its notes writes, byte for byte, what it would have written had it gone on."""
    steady, restarted = Walk(data, data.settings()), Walk(data, data.settings())
    for move, pieces in [*plan, ((0, 0), []), ((100, 100), []), ((100, 100), None)]:
        if pieces is not None:
            restarted.restart(pieces)
            assert restarted.counts() == steady.counts()
        steady.go(move)
        restarted.go(move)

        assert restarted.steps == steady.steps
        assert restarted.counts() == steady.counts()
        assert restarted.notes() == steady.notes()
        assert restarted.task.held_count == steady.task.held_count


@LAW
@given(logs(), MOVES)
def test_every_record_is_accounted_for(data: Logs, moves: list[Move]) -> None:
    """At every step, on each side: consumed = matched + expired + late + duplicate + rejected + waiting."""
    found = Walk(data, data.settings())
    for move in [*moves, (100, 100)]:
        found.go(move)
        for side in Input:
            counts = found.task.counts(side)
            assert counts["consumed"] == found.at[side] == sum(counts[fate] for fate in Fate)
        predictions, labels = found.counts()
        assert predictions[Fate.MATCHED] == labels[Fate.MATCHED]


@LAW
@given(logs(), MOVES)
def test_promises_are_kept(data: Logs, moves: list[Move]) -> None:
    """No outcome lies before a watermark announced before it; watermarks and sequence numbers only grow."""
    promised_ms, sequence = -(10**18), 0
    for document in documents(walk(data, moves).outputs):
        for block in document["blocks"]:
            times = map(max, block["prediction_time"], block["label_time"])
            assert all(time_ms >= promised_ms for time_ms in times)
        assert document["sequence"] == sequence + 1
        sequence = document["sequence"]
        if document["watermark"] is not None:
            assert document["watermark"] >= promised_ms
            promised_ms = document["watermark"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)
FIELDS = ["request_id", "prediction", "label", "at", "model", "version", "score"]
HALF_GOOD = st.dictionaries(st.sampled_from(FIELDS), JSON | st.sampled_from(["a", 1, 0.5, "9" * 25]), max_size=7)
ANYTHING = st.none() | st.binary(max_size=20) | JSON.map(orjson.dumps) | HALF_GOOD.map(orjson.dumps)


@LAW
@given(
    st.lists(st.tuples(ANYTHING, st.integers(-1, 1 << 62)), max_size=8),
    st.sampled_from([None, "int", "float", "str", "bool"]),
    st.sampled_from([{}, {"time": "at"}]),
)
def test_no_bytes_make_the_task_raise(
    records: list[tuple[bytes | None, int]], kind: str | None, time: dict[str, str]
) -> None:
    """Whatever is on the inputs, the task goes on, and what it cannot use is in the rejected records."""
    declared = {} if kind is None else {"type": kind}
    settings = topology(
        {"name": "m", "split_by": ["version", "at.x"], "loss": "brier", "detectors": [{"type": "adwin"}]},
        predictions={"fields": {"value": {"path": "prediction", **declared}, "score": "score", **time}},
        labels={"fields": {"value": {"path": "label", **declared}, **time}},
    )
    task = JoinTask(0, settings.join)
    values, times = [value for value, _ in records], [time_ms for _, time_ms in records]
    outputs = task.step(batch(values, times), batch(values, times, topic="labels"))
    outputs += task.step(batch([orjson.dumps({"request_id": "z", "prediction": 1, "at": 9})], 9, start=8))

    rejected = sum(output.stream is Stream.REJECTED for output in outputs)
    assert rejected == sum(task.counts(side)[Fate.REJECTED] for side in Input)
    assert all(output.value in values for output in outputs if output.stream is Stream.REJECTED)
