"""The laws of both stages together, of what predictions carry."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.features.reference import Reference
from streamguard.core.join import Input
from streamguard.core.outcomes import OutcomeRecord, read_outcomes
from streamguard.core.records import Batch, Fate, Output, Stream, TopicPartition
from streamguard.preparing.opening import built
from streamguard.reference.comparing import reference_of
from streamguard.worker.topology import Topology
from tests.core.features.helpers import data_topology, profile_of, wanted, with_references
from tests.core.helpers import label, prediction, rows_of, topology
from tests.laws.disk import MemoryDisk
from tests.laws.joining import JUNK, MONITORS, MOVES, RULES, TOPICS, Logs, Walk, logs, matching_logs, walk
from tests.laws.reference import Rules, join
from tests.laws.watching import ORDER, SOURCES, WAYS, Joins, Moves, Watching, alerts, interleaved

LAW = settings(max_examples=40, deadline=None, print_blob=True)

WINDOW_MS = 20
TRAINING: list[dict[str, Any]] = [
    {
        "age": n % 50,
        "plan": ["free", "paid"][n % 2],
        "note": ["good day", "thanks", ""][n % 3],
        "said": "xz"[n % 7 == 0],
        "sure": n % 20 / 20,
        "truth": "xy"[n % 4 == 0],
    }
    for n in range(200)
]
DATA: dict[str, Any] = {"steps": {"note": ["lower_case"]}, "baseline": "0s", "min_samples": 3, "accept_after": "300ms"}
CARRIED: list[dict[str, Any]] = [
    {"features": {"age": 30, "plan": "free", "note": "good day"}, "score": 0.9},
    {"features": {"age": 5, "plan": "paid", "note": "thanks"}, "score": 0.1},
    {"features": {"age": 49, "plan": "free", "note": "LOUD  day"}, "score": 0.5},
    {"features": {"age": "7", "plan": None, "extra": 1}},
    {"features": None},
    {},
]


def references() -> dict[str, Reference]:
    """Of two monitors, one of which has steps alone."""
    profile = profile_of(TRAINING, label="truth", prediction="said", score="sure", positive="x")
    monitor = data_topology(None, steps=DATA["steps"]).config.monitors[0]
    assert monitor.data is not None
    steps = {name: [built(each) for each in found] for name, found in monitor.data.steps.items()}
    all_ = wanted(profile, steps=steps, score=("score",), positive="x", window_ms=WINDOW_MS)
    return {
        "by country": reference_of(all_),
        "all": reference_of(wanted(None, steps=steps, window_ms=WINDOW_MS // 2)),
    }


REFERENCES = references()


@cache
def settings_of(rules: Rules, sources: int, targets: int) -> Topology:
    """Windows are short, and the budget is large, so that few predictions are enough."""
    monitors = [{**MONITORS[0], "whole": True, "data": DATA}, {**MONITORS[1], "data": DATA}, MONITORS[2]]
    ms = {"before": rules.before_ms, "after": rules.after_ms, "disorder": rules.disorder_ms}
    found = topology(
        *monitors,
        sources=sources,
        targets=targets,
        join={name: f"{each}ms" for name, each in ms.items()},
        alerts={"cooldown": "20ms"},
        predictions={"fields": {"score": "score"}},
    )
    found = with_references(found, REFERENCES)
    return replace(found, monitor=replace(found.monitor, budget_per_month=1e9))


@dataclass(frozen=True, slots=True)
class Carrying(Logs):
    """Logs whose predictions carry something: runs of the same, in turn."""

    carried: tuple[int, ...] = (0,)
    run: int = 1

    def settings(self, sources: int = 1, targets: int = 1) -> Topology:
        """Of these rules."""
        return settings_of(self.rules, sources, targets)

    def batch(self, side: Input, start: int, end: int, partition: int = 0) -> Batch:
        """Records number `start` to `end` of one side."""
        part = self.entries[side][start:end]
        return Batch(
            TopicPartition(TOPICS[side], partition),
            [each.offset for each in part],
            [each.time_ms for each in part],
            [None] * len(part),
            [self.value(side, number) for number in range(start, start + len(part))],
            [()] * len(part),
            self.offset(side, end),
        )

    def value(self, side: Input, number: int) -> bytes | None:
        """A record's value."""
        entry = self.entries[side][number]
        if entry.id is None:
            return JUNK[entry.time_ms % len(JUNK)]
        if side is Input.LABELS:
            return label(entry.id, entry.value)
        carried = CARRIED[self.carried[number // self.run % len(self.carried)]]
        return prediction(entry.id, entry.value, model=self.model(number), country=self.country(number), **carried)

    def model(self, number: int) -> str:
        """Of a prediction."""
        return "other" if self.entries[0][number].offset % 4 == 0 else "fraud"

    def country(self, number: int) -> str | None:
        """Of a prediction."""
        return ["DE", "NO", None, "FR"][self.entries[0][number].time_ms % 4]


def carrying(data: st.SearchStrategy[Logs]) -> st.SearchStrategy[Carrying]:
    """These logs, with predictions that carry something."""
    patterns = st.sampled_from([(0, 1), (0, 1, 3), (0, 2), (3, 0), (3,), (0, 1, 2, 3, 4, 5)])
    return st.builds(
        lambda found, carried, run: Carrying(found.entries, found.advances, found.rules, carried, run),
        *(data, patterns, st.sampled_from([1, 1, 7, 12])),
    )


def joins(rules: Rules) -> st.SearchStrategy[Joins]:
    """The logs of all input partitions."""
    return st.builds(Joins, st.tuples(*[carrying(matching_logs(rules))] * SOURCES), st.integers(1, 2))


# Of rules that let predictions come long after others, no window is over before the end.
JOINS = RULES.filter(lambda rules: rules.disorder_ms < 1000).flatmap(joins)


def watched(data: Joins, ways: tuple[Moves, ...], order: list[int], steps: list[int], target: int) -> Watching:
    """The alerts of one outcomes partition, after everything."""
    found = Watching(interleaved(data.outcomes(ways, target), order), data.settings(), target)
    for count in [*steps, len(found.records)]:
        found.go(count)
    return found


def told(outputs: list[Output]) -> list[list[Output]]:
    """Alerts of what predictions carry, and of labels: each kind in its order, byte for byte."""
    found = alerts(outputs)
    is_data = [orjson.loads(each.value or b"{}")["check"]["type"] == "data" for each in found]
    return [[each for each, own in zip(found, is_data, strict=True) if own is wanted_] for wanted_ in (True, False)]


def remembered(found: Watching) -> dict[str, Any]:
    """Everything that the task knows."""
    inputs, gathering = found.task._inputs, found.task._intake.gathering
    return {
        **found.remembered(),
        "gathering": gathering.snapshot(),
        "held": {place: window.rows for place, window in gathering._open.items()},
        "watched": inputs.snapshot(),
        "inputs": {key: each.snapshot() for key, each in inputs.segments.items()},
        "all low": found.task._intake.low(found.position),
    }


STEPS = st.lists(st.integers(1, 6), max_size=12)


@LAW
@given(JOINS, WAYS, WAYS, ORDER, ORDER, STEPS)
def test_the_same_logs_give_the_same_alerts(
    data: Joins,
    ways: tuple[Moves, ...],
    others: tuple[Moves, ...],
    order: list[int],
    other: list[int],
    steps: list[int],
) -> None:
    """Cuts and interleavings, of the inputs and of the sources' records, change no byte of any alert."""
    for target in range(data.targets):
        one, two = watched(data, ways, order, steps, target), watched(data, others, other, [], target)
        assert told(one.outputs) == told(two.outputs)
        assert one.task.counts == two.task.counts
        gathering = one.task._intake.gathering
        assert gathering.counts == {"late": 0, "foreign": 0}
        assert not gathering._open


PLAN = st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.none() | STEPS), max_size=12)


@LAW
@given(JOINS, WAYS, ORDER, PLAN)
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


Place = tuple[str, tuple[str | None, ...], int]


def accepted(data: Carrying) -> Counter[Place]:
    """By the definition of the join: predictions neither late nor duplicate, by monitor, segment and window."""
    fates = join(*data.entries, data.advances, data.rules).fates[Input.PREDICTIONS]
    found: Counter[Place] = Counter()
    for number, entry in enumerate(data.entries[Input.PREDICTIONS]):
        if fates[entry.offset] not in {Fate.MATCHED, Fate.EXPIRED, Fate.WAITING}:
            continue
        found["all", (), entry.time_ms // (WINDOW_MS // 2) * (WINDOW_MS // 2)] += 1
        if data.model(number) == "fraud":
            found["by country", (data.country(number),), entry.time_ms // WINDOW_MS * WINDOW_MS] += 1
    return found


def records(outputs: list[Output]) -> list[OutcomeRecord]:
    """What was written, read back."""
    return [read_outcomes(output.value) for output in outputs if output.stream is Stream.OUTCOMES]


def counted(outputs: list[Output]) -> Counter[Place]:
    """Rows of all windows; each column's bins add up to them."""
    found: Counter[Place] = Counter()
    for delta in (delta for record in records(outputs) for delta in record.features):
        for each in delta.windows:
            found[delta.monitor, delta.segments[each.segment], each.start_ms] += each.rows
            columns = len(REFERENCES[delta.monitor].columns)
            assert int(each.counts.sum()) == each.rows * columns
    return found


@LAW
@given(carrying(logs()), MOVES, MOVES)
def test_every_accepted_prediction_is_counted_once(
    data: Carrying, moves: list[tuple[int, int]], others: list[tuple[int, int]]
) -> None:
    """Neither late nor duplicate ones nor those of nobody's are; cuts change nothing of it."""
    for way in (moves, others):
        assert counted(walk(data, way).outputs) == accepted(data)


@LAW
@given(carrying(logs()), MOVES)
def test_promises_are_kept(data: Carrying, moves: list[tuple[int, int]]) -> None:
    """No window that ends by a promise follows it; promises and sequence numbers only grow."""
    promised_ms, sequence = -(10**18), 0
    for each in records(walk(data, moves).outputs):
        for delta in each.features:
            window_ms = REFERENCES[delta.monitor].window_ms
            assert all(window.start_ms + window_ms > promised_ms for window in delta.windows)
        assert each.sequence == sequence + 1
        sequence = each.sequence
        if each.predictions_ms is not None:
            assert each.predictions_ms >= promised_ms
            promised_ms = each.predictions_ms
        assert each.watermark_ms is None or each.watermark_ms <= promised_ms


RESTARTS = st.lists(
    st.tuples(
        st.tuples(st.integers(0, 4), st.integers(0, 4)), st.sampled_from(["", "checkpoint", "restart", "both"]), MOVES
    ),
    max_size=15,
)
HOT = st.sampled_from([None, 0, 4])
"""How many records may be in memory; None: all, there is no disk."""


def restarted_walk(data: Carrying, plan: list[tuple[tuple[int, int], str, Moves]], hot: int | None) -> Walk:
    """A join task that is brought back now and then, from its notes alone or from a disk."""
    settings = data.settings()
    if hot is not None:
        settings = replace(settings, join=replace(settings.join, memory_records=hot))
    found = Walk(data, settings, disk=None if hot is None else MemoryDisk())
    for move, event, pieces in [*plan, ((0, 0), "restart", []), ((100, 100), "both", [])]:
        if event in {"checkpoint", "both"}:
            found.task.checkpoint()
        found.go(move)
        if event in {"restart", "both"}:
            found.restart(pieces)
    found.finish()
    return found


@LAW
@given(carrying(logs()), RESTARTS, HOT)
def test_a_restart_of_a_join_counts_nothing_twice(
    data: Carrying, plan: list[tuple[tuple[int, int], str, Moves]], hot: int | None
) -> None:
    """Nor does it lose anything: windows, outcomes and counts are as of a task that has gone on."""
    found = restarted_walk(data, plan, hot)
    assert counted(found.outputs) == accepted(data)
    steady = walk(data, [move for move, _, _ in plan])
    assert Counter(rows_of(found.outputs)) == Counter(rows_of(steady.outputs))
    assert found.counts() == steady.counts()


@LAW
@given(
    RULES.filter(lambda rules: rules.disorder_ms < 1000).flatmap(lambda rules: carrying(matching_logs(rules))),
    RESTARTS,
    HOT,
)
def test_a_restart_of_a_join_changes_no_alert(
    data: Carrying, plan: list[tuple[tuple[int, int], str, Moves]], hot: int | None
) -> None:
    """Byte for byte, of labels and of what predictions carry."""
    found = []
    for each in (restarted_walk(data, plan, hot), walk(data, [])):
        stream = Watching([o.value for o in each.outputs if o.stream is Stream.OUTCOMES], data.settings())
        stream.go(len(stream.records))
        found.append(told(stream.outputs))
    assert found[0] == found[1]
