"""The laws of the monitor task, and of both stages together: docs/design.md, "Laws"."""

import math
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.detectors import TYPES, settings_of
from streamguard.core.join import JoinTask
from streamguard.core.losses import Loss, suits
from streamguard.core.merge import Merge, SequenceGapError
from streamguard.core.monitor import MonitorTask
from streamguard.core.outcomes import read_outcomes
from streamguard.core.records import Stream
from tests.core.helpers import THRESHOLD, batch, topology
from tests.laws.joining import LAW
from tests.laws.test_join import JSON
from tests.laws.watching import JOINS, ORDER, SOURCES, WAYS, Joins, Moves, Watching, alerts, interleaved

STEPS = st.lists(st.integers(1, 6), max_size=20)


def watched(data: Joins, ways: tuple[Moves, ...], order: list[int], steps: list[int], target: int = 0) -> Watching:
    """The alerts of one outcomes partition, after everything."""
    found = Watching(interleaved(data.outcomes(ways, target), order), data.settings(), target)
    for count in [*steps, len(found.records)]:
        found.go(count)
    return found


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
    """Cuts and interleavings, of the inputs and of the sources' outcomes, change no byte of any alert."""
    for target in range(data.targets):
        one, two = watched(data, ways, order, steps, target), watched(data, others, other, [], target)
        assert alerts(one.outputs) == alerts(two.outputs)
        assert one.task.counts == two.task.counts
        assert one.task.merge.late_count == 0
        assert one.task.merge.held_count == 0
        assert one.task.counts["released"] == one.task.counts["outcomes"]


@LAW
@given(JOINS, WAYS, ORDER, st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.none() | STEPS), max_size=20))
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
            assert restarted.remembered() == steady.remembered()
        steady.go(count)
        restarted.go(count)
        assert restarted.outputs == steady.outputs
    assert restarted.remembered() == steady.remembered()


@LAW
@given(JOINS, WAYS, ORDER)
def test_outcomes_are_released_in_the_total_order(data: Joins, ways: tuple[Moves, ...], order: list[int]) -> None:
    """For each monitor, (time, source, prediction offset, label offset) strictly grows, over all releases."""
    for target in range(data.targets):
        merge, numbers, last = Merge(SOURCES), dict[str, int](), dict[int, tuple[int, ...]]()
        for offset, value in enumerate(interleaved(data.outcomes(ways, target), order)):
            record = read_outcomes(value)
            parts = []
            for name, _, rows in record.blocks:
                rows.stream[:] = numbers.setdefault(name, len(numbers))
                parts.append(rows)
            merge.add(record, parts, offset)
            for released in merge.release():
                columns = released.time, released.source, released.prediction_offset, released.label_offset
                for stream, *place in zip(released.stream.tolist(), *(each.tolist() for each in columns), strict=True):
                    assert last.get(stream, ()) < tuple(place)
                    last[stream] = tuple(place)


VALID: dict[str, Any] = {
    "v": 1,
    "source": 0,
    "sources": 1,
    "sequence": 1,
    "watermark": 50,
    "idle": False,
    "blocks": [
        {
            "monitor": name,
            "segments": [["DE"], [None]],
            "segment": [0, 1, 0],
            "id": ["a", "b", "c"],
            "prediction": ["x", 1, True],
            "label": ["y", 0.5, None],
            "score": [0.5, None, 1],
            "prediction_time": [10, 20, 30],
            "label_time": [40, 20, 60],
            "prediction_offset": [0, 1, 2],
            "label_offset": [0, 1, -1],
        }
        for name in ("m", "n")
    ],
}
WATCHING = topology(
    {"name": "m", "split_by": ["country"], "threshold": {**THRESHOLD, "min_samples": 1}},
    {"name": "n", "split_by": ["country"], "loss": "log_loss", "detectors": [{"type": "adwin"}]},
    predictions={"fields": {"score": "score"}},
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document."""
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in pairs:
        yield from paths(inner, (*path, name))


def changed(valid: Any, path: tuple[Any, ...], replacement: Any) -> Any:
    """A valid document with one place replaced; or removed, for an Ellipsis."""
    if not path:
        return None if replacement is ... else replacement
    document = orjson.loads(orjson.dumps(valid))
    inner = document
    for name in path[:-1]:
        inner = inner[name]
    if replacement is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = replacement
    return document


EDGES = st.sampled_from(
    [-1, 0, 1, 2, 1 << 62, -(1 << 62), 1 << 63, 10**17, 253_402_300_800_000, "", "a", [[1]], [[[1]]], [[]]]
)
MUTATED = st.builds(changed, st.just(VALID), st.sampled_from(list(paths(VALID))), st.just(...) | EDGES | JSON).map(
    orjson.dumps
)


@LAW
@given(st.lists(st.one_of(MUTATED, MUTATED, st.none(), st.binary(max_size=9), JSON.map(orjson.dumps)), max_size=6))
def test_no_bytes_make_a_monitor_raise(values: list[bytes | None]) -> None:
    """A foreign record on the outcomes topic is rejected; what is taken goes through every check unharmed."""
    task = MonitorTask(0, WATCHING.monitor)
    later = [orjson.dumps({**VALID, "sequence": number, "watermark": 10**number}) for number in range(2, 9)]
    try:
        for offset, value in enumerate([orjson.dumps(VALID), *values, *later]):
            task.step(batch([value], topic="outcomes", start=offset))
    except SequenceGapError:
        return  # a record that is missing is not to be passed over
    assert task.counts["outcomes"] == task.counts["released"] + task.merge.late_count + task.merge.held_count
    assert task.counts["released"] >= 6
    snapshot = task.snapshot(9)
    MonitorTask(0, WATCHING.monitor).restore([(output.key, output.value) for output in snapshot])


WEIRD = st.sampled_from(
    [
        *(b"1e308", b"-1e308", b"1e999", b"NaN", b"5e-324", b"-0.0", b"18446744073709551615", b"18446744073709551616"),
        *(b'"nan"', b'"-inf"', b'"1e999"', b'"1e308"', b"0", b"1", b"0.5", b"true", b"null", b'"x"', b"[1]"),
    ]
)


def every_check() -> list[dict[str, Any]]:
    """A monitor for each loss, with every detector that suits it."""
    return [
        {
            "name": loss.value,
            "loss": loss.value,
            "detectors": [
                {"type": kind, **SMALL.get(kind, {})} for kind in TYPES if suits(loss, settings_of(kind).needs)
            ],
        }
        for loss in Loss
    ]


SMALL: dict[str, Any] = {
    "kswin": {"window_size": 4, "stat_size": 2},
    "adwin": {"clock": 1, "grace_period": 0, "min_window_length": 1},
    "page_hinkley": {"min_instances": 1},
}


@pytest.mark.parametrize("kind", [None, "float"])
@LAW
@given(st.lists(st.tuples(WEIRD, WEIRD, WEIRD), min_size=1, max_size=12))
def test_no_detector_meets_a_number_that_is_none(kind: str | None, rows: list[tuple[bytes, bytes, bytes]]) -> None:
    """Every detector refuses NaN and infinity with an error: with any bytes as input, and every loss, none does."""
    declared = {} if kind is None else {"type": kind}
    settings = topology(
        *every_check(),
        predictions={"fields": {"value": {"path": "value", **declared}, "score": "score"}},
        labels={"fields": {"value": {"path": "value", **declared}}},
    )
    join, monitor = JoinTask(0, settings.join), MonitorTask(0, settings.monitor)
    form = b'{"request_id": "%d", "value": %s, "score": %s}'
    given_predictions = [form % (n, value, score) for n, (value, _, score) in enumerate(rows)]
    given_labels = [form % (n, value, b"null") for n, (_, value, _) in enumerate(rows)]
    outputs = join.step(batch(given_predictions), batch(given_labels, topic="labels"))
    last = [b'{"request_id": "z", "value": 1}']
    outputs += join.step(batch(last, 99, start=99), batch(last, 99, topic="labels", start=99))
    monitor.step(batch([o.value for o in outputs if o.stream is Stream.OUTCOMES], topic="outcomes"))

    for output in monitor.snapshot(1):
        history = orjson.loads(output.value or b"")["state"].get("history", {"losses": []})
        assert all(isinstance(loss, float) and math.isfinite(loss) for loss in history["losses"])
