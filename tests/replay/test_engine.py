"""A replay raises what a worker's tasks raise, however its inputs are cut, read and shared out."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.join import Input, JoinTask
from streamguard.core.monitor import MonitorTask
from streamguard.core.records import Batch, Output, Stream
from streamguard.replay.engine import Progress, Replayed, replay_inputs, replay_outcomes
from streamguard.replay.joining import Pair
from streamguard.replay.watchers import Watchers
from streamguard.worker.topology import Topology
from tests.core.helpers import batch
from tests.laws.joining import LAW, RULES, TOPICS, Logs, matching_logs
from tests.replay.helpers import Listed

CUTS = st.lists(st.integers(1, 6), max_size=4)


def cut(logs: Logs, side: Input, sizes: Sequence[int], partition: int) -> Listed:
    """One input of a partition in batches of these sizes, over and over; one of all where there are none."""
    count = len(logs.entries[side])
    places = [0]
    while places[-1] < count:
        places.append(min(count, places[-1] + (sizes[len(places) % len(sizes)] if sizes else count)))
    batches = [logs.batch(side, start, end, partition) for start, end in pairwise(places)]
    return Listed([each for each in batches if len(each)], TOPICS[side], partition)


def pairs(all_logs: Sequence[Logs], sizes: Sequence[int] = ()) -> list[Pair]:
    """Each log as a partition."""
    return [
        Pair(number, cut(logs, Input.PREDICTIONS, sizes, number), cut(logs, Input.LABELS, sizes, number))
        for number, logs in enumerate(all_logs)
    ]


def never(_: Progress) -> bool:
    """Let it go on."""
    return False


def live(all_logs: Sequence[Logs], topology: Topology) -> tuple[list[bytes | None], list[dict[str, int]]]:
    """What tasks raise that take each input whole, and then learn that nothing more follows; and how records ended."""
    tasks = [JoinTask(number, topology.join) for number in range(len(all_logs))]
    outputs: list[Output] = []
    for task, logs in zip(tasks, all_logs, strict=True):
        whole = [logs.batch(side, 0, len(logs.entries[side]), task.number) for side in Input]
        outputs += task.step(*(each if len(each) else None for each in whole))
    last_ms = max(task.clock_ms(side) for task in tasks for side in Input)
    for task in tasks:
        for side in Input:
            outputs += task.idle(side, last_ms + 1 + topology.join.disorder_ms)
    alerts: list[bytes | None] = []
    for target in range(topology.target_count):
        values = [each.value for each in outputs if each.stream is Stream.OUTCOMES and each.partition == target]
        found = MonitorTask(target, topology.monitor).step(batch(values, topic="outcomes"))
        alerts += [each.value for each in found if each.stream is Stream.ALERTS]
    return sorted(alerts, key=repr), [task.counts(side) for task in tasks for side in Input]


def alerts_of(found: Replayed, setting: int = 0) -> list[bytes | None]:
    """Of one setting, as `live` tells them."""
    return sorted((each.value for each in found.watched.told if each.setting == setting), key=repr)


@LAW
@given(RULES.flatmap(lambda rules: st.lists(matching_logs(rules), min_size=1, max_size=3)), CUTS, st.integers(1, 2))
def test_a_replay_raises_what_the_tasks_do(all_logs: list[Logs], sizes: list[int], targets: int) -> None:
    """Byte for byte, with inputs of any cut, and the records end the same way."""
    topology = all_logs[0].settings(len(all_logs), targets)
    expected, counts = live(all_logs, topology)
    found = replay_inputs(pairs(all_logs, sizes), topology.join, Watchers([topology.monitor], targets), never)
    assert alerts_of(found) == expected
    assert found.watched.late == found.watched.held == 0
    assert found.seen is not None
    for side in Input:
        summed = {fate: sum(each[fate] for each in counts[side::2]) for fate in counts[side]}
        assert {fate: found.seen[side].counts[fate] for fate in summed} == summed


def history(partitions: int, count: int = 300) -> tuple[list[Pair], Topology]:
    """Predictions a second apart, each with its label; the last half has every other one wrong."""
    sources = []
    for number in range(partitions):
        places = range(number, count, partitions)
        predictions = [b'{"request_id":"r%d","prediction":"no"}' % place for place in places]
        labels = [
            b'{"request_id":"r%d","label":"%b"}' % (place, b"yes" if place > count // 2 and place % 2 else b"no")
            for place in places
        ]
        times = [1000 * place for place in places]
        sources.append(
            Pair(
                number,
                Listed([batch(predictions, times, partition=number)], "predictions", number),
                Listed([batch(labels, [at + 500 for at in times], topic="labels", partition=number)], "labels", number),
            )
        )
    from tests.core.helpers import topology  # noqa: PLC0415 - by the name of a parameter elsewhere

    return sources, topology(
        {"name": "m", "threshold": {"max_mismatch_percent": 20, "window": 20, "min_samples": 10}},
        sources=partitions,
        join={"after": "10s"},
    )


def settings_of(topology: Topology, percents: Sequence[float]) -> list[Any]:
    """The same with other thresholds."""
    (monitor,) = topology.config.monitors
    assert monitor.threshold is not None
    changed = [monitor.threshold.model_copy(update={"max_mismatch_percent": each}) for each in percents]
    return [replace(topology.monitor, monitors=(monitor.model_copy(update={"threshold": each}),)) for each in changed]


def test_settings_that_are_compared_do_not_touch_each_other() -> None:
    """Each raises what it raises alone."""
    sources, topology = history(2)
    percents = (10, 20, 30, 45)
    together = replay_inputs(sources, topology.join, Watchers(settings_of(topology, percents), 1), never)
    for number, each in enumerate(percents):
        alone = replay_inputs(sources, topology.join, Watchers(settings_of(topology, [each]), 1), never)
        assert alerts_of(together, number) == alerts_of(alone) != []


def test_processes_change_nothing() -> None:
    """Neither how many join nor how many watch."""
    sources, topology = history(3)
    percents = (10, 20, 30)
    one = replay_inputs(sources, topology.join, Watchers(settings_of(topology, percents), 1), never)
    watchers = Watchers(settings_of(topology, percents), 1, processes=2)
    try:
        many = replay_inputs(sources, topology.join, watchers, never, processes=2)
    finally:
        watchers.close()
    assert list(many.watched.told.of(0)) == list(one.watched.told.of(0))
    assert replace(many.watched, told=one.watched.told) == one.watched
    assert many.seen == one.seen
    assert many.progress.records == one.progress.records == 600
    assert one.watched.told


@pytest.mark.parametrize("processes", [0, 2])
def test_a_replay_can_be_ended_early(processes: int) -> None:
    """What was judged until then is what a longer one judges first; and it does not wait for the rest."""
    sources, topology = history(2, 10_000)
    sources = [replace(each, predictions=small(each.predictions), labels=small(each.labels)) for each in sources]
    whole = replay_inputs(sources, topology.join, Watchers([topology.monitor], 1), never)
    part = replay_inputs(
        sources,
        topology.join,
        Watchers([topology.monitor], 1),
        lambda progress: progress.records > 3000,
        processes=processes,
    )
    assert part.is_stopped
    assert not whole.is_stopped
    # What the processes had said before they heard of it still counts.
    assert 3000 < part.progress.records < 10_000 < whole.progress.records
    assert part.seen is not None
    assert sum(side.counts["consumed"] for side in part.seen) < 10_000
    known = alerts_of(part)
    assert known == [each for each in alerts_of(whole) if each in known]


def small(source: Any) -> Listed:
    """The same in batches of fifty."""
    (whole,) = source.listed
    parts = [whole.part(start, start + 50) for start in range(0, len(whole), 50)]
    return Listed(parts, source.topic, source.partition)


def test_a_partition_that_is_silent_for_long_holds_nothing_up() -> None:
    """What comes next is known: outcomes are judged at once, not when the partition speaks again."""
    sources, topology = history(1, 3000)
    far = [batch([b'{"request_id":"x","prediction":"no"}'], 1000 * 3000, partition=1)]
    quiet = Pair(1, Listed(far, "predictions", 1), Listed([], "labels", 1))
    several = replace(topology.monitor, source_count=2)
    held: list[int] = []
    watchers = Watchers([several], 1)

    def look(_: Progress) -> bool:
        held.append(watchers.held)
        return False

    small_pair = replace(sources[0], predictions=small(sources[0].predictions), labels=small(sources[0].labels))
    found = replay_inputs([small_pair, quiet], replace(topology.join, source_count=2), watchers, look)
    assert found.watched.told
    assert max(held) < 200


def test_outcomes_are_replayed_as_they_were_written() -> None:
    """Mode faithful: late ones are late again, and nothing more is released than was live."""
    sources, topology = history(2)
    records: list[bytes | None] = []
    tasks = [JoinTask(number, replace(topology.join, source_count=2)) for number in range(2)]
    for task, pair in zip(tasks, sources, strict=True):
        (predictions,), (labels,) = pair.predictions.listed, pair.labels.listed  # type: ignore[attr-defined]
        outputs = task.silent() if task.number else []
        outputs += task.step(predictions, labels)
        records += [each.value for each in outputs if each.stream is Stream.OUTCOMES]
    live_task = MonitorTask(0, topology.monitor)
    silent = records.pop(next(place for place, each in enumerate(records) if b'"idle":true' in (each or b"")))
    records.insert(0, silent)
    expected = [each.value for each in live_task.step(batch(records, topic="outcomes"))]
    found = replay_outcomes(
        [Listed([batch(records, topic="outcomes")], "outcomes")], Watchers([topology.monitor], 1), never
    )
    assert alerts_of(found) == sorted(expected, key=repr)
    assert found.watched.late == live_task.merge.late_count > 0
    assert found.watched.held == live_task.merge.held_count


def test_runs_of_garbage_stop_nothing() -> None:
    """Whole batches without a readable record, more often than a note could tell of advances."""
    sources, topology = history(2, 3000)
    (whole,) = sources[1].predictions.listed  # type: ignore[attr-defined]
    values: list[bytes | None] = []
    times: list[int] = []
    for place, value in enumerate(whole.values[:500]):
        if place % 5 == 0:
            values += [b"{"] * 60
            times += [0] * 60
        values.append(value)
        times.append(int(whole.timestamps[place]))
    junk = Listed([batch(values, times, partition=1)], "predictions", 1)
    ended = replace(sources[1], predictions=junk)
    found = replay_inputs(
        [sources[0], ended], replace(topology.join, held_max=200), Watchers([topology.monitor], 1), never
    )
    assert found.seen is not None
    assert found.seen[0].counts["rejected"] == 6000
    assert found.watched.held == 0
    assert found.watched.released == 2000


def test_what_the_task_rejects_tells_no_time() -> None:
    """Such as a prediction whose field to split by is nested too deeply, however the batches are cut."""
    deep = b'{"request_id":"deep","prediction":"no","site":%b1%b}' % (b'{"a":' * 300, b"}" * 300)
    values = [b'{"request_id":"r%d","prediction":"no","site":"a"}' % place for place in range(300)]
    labels = [b'{"request_id":"r%d","label":"%b"}' % (place, b"yes" if place > 150 else b"no") for place in range(300)]
    times = [1000 * place for place in range(300)]
    topology = split_by_site()
    expected = None
    for size in (301, 100, 7):
        predictions = batch([*values[:100], deep, *values[100:]], [*times[:100], 10**9, *times[100:]])
        parts = [predictions.part(start, start + size) for start in range(0, 301, size)]
        told = batch(labels, [at + 500 for at in times], topic="labels")
        pair = Pair(0, Listed(parts), Listed([told], "labels"))
        found = replay_inputs([pair], topology.join, Watchers([topology.monitor], 1), never)
        assert found.seen is not None
        assert (found.seen[0].counts["rejected"], found.seen[0].counts["late"]) == (1, 0)
        expected = expected or alerts_of(found)
        assert alerts_of(found) == expected != []


def split_by_site() -> Topology:
    """A threshold for each site."""
    from tests.core.helpers import topology  # noqa: PLC0415 - by the name of a parameter elsewhere

    watched = {"name": "m", "split_by": ["site"], "threshold": {"max_mismatch_percent": 20, "window": 20}}
    return topology(watched, join={"after": "10s"})


def test_an_empty_batch_or_garbage_ends_nothing() -> None:
    """A batch of garbage alone tells no time, and is read at once."""
    sources, topology = history(1)
    junk = batch([b"{", None, b"[]"] * 30)
    first = Batch(junk.source, (), (), (), (), (), 0)
    (whole,) = sources[0].predictions.listed  # type: ignore[attr-defined]
    moved = replace(whole, offsets=[90 + each for each in whole.offsets], next_offset=90 + whole.next_offset)
    pair = replace(sources[0], predictions=Listed([first, junk, moved]))
    found = replay_inputs([pair], topology.join, Watchers([topology.monitor], 1), never)
    assert found.seen is not None
    assert found.seen[0].counts["rejected"] == 90
    assert sum(found.seen[0].reasons.values()) == 90
    assert found.seen[0].counts["matched"] == 300
