"""The monitor task, and both stages together, against the reference: docs/design.md, "Semantics" and "Monitors"."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from streamguard.config import Monitor
from streamguard.core.join import Input
from streamguard.worker.topology import Topology, derive
from tests.core.helpers import THRESHOLD, Row, as_json, topology
from tests.laws.joining import LAW, MONITORS
from tests.laws.reference import join
from tests.laws.reference_monitor import Seen, seen, sourced, watch
from tests.laws.watching import JOINS, ORDER, SOURCES, WAYS, Joins, Moves, Watching, interleaved

STEPS = st.lists(st.integers(1, 6), max_size=20)

BINARY: list[dict[str, Any]] = [
    {"type": "ddm", "warm_start": 2, "drift_threshold": 0.5},
    {"type": "eddm", "warm_start": 1, "beta": 0.95},
    {"type": "fhddm", "sliding_window_size": 3, "confidence_level": 0.5},
    {"type": "hddm_a", "drift_confidence": 0.5},
    {"type": "hddm_w", "drift_confidence": 0.5},
]
ANY: list[dict[str, Any]] = [
    {"type": "page_hinkley", "min_instances": 1, "threshold": 0.5, "delta": 0.0},
    {"type": "page_hinkley", "min_instances": 2, "threshold": 0.4, "delta": 0.01, "mode": "up"},
    {"type": "page_hinkley", "min_instances": 3, "threshold": 1.0, "delta": 0.0, "mode": "down"},
    {"type": "adwin", "delta": 0.5, "clock": 1, "grace_period": 1, "min_window_length": 1},
]
CHECKED: list[dict[str, Any]] = [
    *MONITORS,
    {
        "name": "two levels",
        "split_by": ["model", "country"],
        "max_segments": 3,
        "severity": "warning",
        "threshold": {
            "max_mismatch_percent": 33.333333,
            "resolve_below_percent": 20,
            "window": 6,
            "min_samples": 3,
            "cooldown": "3ms",
        },
        "detectors": BINARY[:3],
    },
    {
        "name": "panes",
        "match": {"model": "fraud"},
        "threshold": {"max_mismatch_percent": 25, "window": "61ms", "min_samples": 2, "cooldown": "0ms"},
        "detectors": [*BINARY[3:], ANY[0]],
    },
]


@dataclass(frozen=True, slots=True)
class Checked(Joins):
    """Joins that more monitors watch."""

    def settings(self) -> Topology:
        config = self.logs[0].settings().config
        monitors = [Monitor.model_validate(each) for each in CHECKED]
        return derive(config.model_copy(update={"monitors": monitors}), SOURCES, self.targets)

    def rows(self, target: int) -> list[tuple[int, Row]]:
        """The outcomes on one partition, by the definition of the join."""
        targets = self.settings().join.targets
        monitors = [each for each, to in zip(CHECKED, targets, strict=True) if to == target]
        return [
            (source, row)
            for source, logs in enumerate(self.logs)
            for pair in join(*logs.entries, logs.advances, logs.rules).outcomes
            for row in self._taken(source, pair.prediction.offset, monitors, pair)
        ]

    def _taken(self, source: int, offset: int, monitors: list[dict[str, Any]], pair: Any) -> list[Row]:
        """One outcome, as each monitor that matches its prediction has it."""
        prediction, label, label_time_ms = pair
        logs = self.logs[source]
        number = [each.offset for each in logs.entries[0]].index(offset)
        record = orjson.loads(logs.batch(Input.PREDICTIONS, number, number + 1).values[0] or b"")
        value, label_offset = (None, -1) if label is None else (label.value, label.offset)
        outcome = prediction.id, prediction.value, value, prediction.time_ms, label_time_ms, offset, label_offset
        return [
            Row(each["name"], tuple(record[name] for name in each.get("split_by", ())), *outcome)
            for each in monitors
            if all(record[name] == named for name, named in each.get("match", {}).items())
        ]


def told(records: Sequence[bytes | None], settings: Topology, steps: Sequence[int], number: int = 0) -> list[Seen]:
    """The alerts of the monitor task over these records of the outcomes topic."""
    found = Watching(records, settings, number)
    for count in [*steps, len(records)]:
        found.go(count)
    assert found.task.merge.late_count == found.task.merge.held_count == found.task.counts["rejected"] == 0
    return seen(found.outputs)


@LAW
@given(JOINS, WAYS, ORDER, STEPS)
def test_alerts_are_those_of_the_definition(
    data: Joins, ways: tuple[Moves, ...], order: list[int], steps: list[int]
) -> None:
    """From predictions and labels to alerts, both stages tell what follows from the whole logs by definition."""
    checked = Checked(data.logs, data.targets)
    settings = checked.settings()
    for target in range(data.targets):
        records = interleaved(checked.outcomes(ways, target), order)
        wanted = watch(checked.rows(target), settings.config.monitors, settings.monitor.cooldown_ms)
        assert told(records, settings, steps, target) == wanted
        assert watch(sourced(records), settings.config.monitors, settings.monitor.cooldown_ms) == wanted


COOLDOWNS = st.sampled_from(["0ms", "1ms", "5ms", "20ms", "60ms", "60ms"])


@st.composite
def confirmations(draw: st.DrawFn) -> dict[str, Any]:
    """Looks so close that some runs confirm, and so far apart that others do not."""
    above = draw(st.integers(1, 3))
    every = st.sampled_from([1, 1, 2, 3, 7, "1ms", "2ms", "5ms", "60ms"])
    return {"above": above, "of": draw(st.integers(above, above + 3)), "every": draw(every)}


@st.composite
def thresholds(draw: st.DrawFn) -> dict[str, Any]:
    """Levels that shares of few outcomes hit exactly, windows that are just full, and panes of 1 to 3 ms."""
    window = draw(st.sampled_from([1, 3, 5, 8, "5ms", "61ms", "61ms", "130ms", "130ms"]))
    percent = draw(st.sampled_from([20, 33.333334, 50, 60, 100]))
    return {
        "max_mismatch_percent": percent,
        "resolve_below_percent": draw(st.sampled_from([0, percent / 2, percent])),
        "window": window,
        "min_samples": draw(st.integers(1, min(5, window) if isinstance(window, int) else 5)),
        "cooldown": draw(COOLDOWNS),
        "confirm": draw(st.none() | confirmations()),
    }


@st.composite
def monitors(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """A monitor with a few checks."""
    loss = draw(st.sampled_from(["mismatch", "mismatch", "mismatch", "absolute", "squared"]))
    threshold = draw(thresholds()) if loss == "mismatch" else None
    detectors = st.sampled_from([*ANY, *BINARY] if loss == "mismatch" else ANY)
    return {
        "name": name,
        "loss": loss,
        "split_by": draw(st.sampled_from([(), ("country",)])),
        "max_segments": draw(st.integers(1, 2)),
        "threshold": threshold,
        "detectors": draw(st.lists(detectors, min_size=threshold is None, max_size=3, unique_by=str)),
    }


PAIRS: list[tuple[Any, Any]] = [
    *[("x", "x"), ("x", "y")] * 6,
    *(("x", None), (1, 1), (1, 1.0), (1, 3), (0.5, -2.0), (1, "1"), (True, 1), (True, True)),
]
"""Predictions and labels; where that is None it never came. The numbers have exact sums, whatever the order."""
GAPS = st.sampled_from([0, 1, 1, 1, 1, 2, 4, 5, 20, 60, 130])
RUN = st.tuples(st.sampled_from(PAIRS), st.integers(1, 9), GAPS, st.integers(0, 1), st.sampled_from([0, 0, 0, 1, 2, 3]))
WAVES = st.lists(st.sampled_from([*range(1, 9), 25]), min_size=10, max_size=60).map(
    lambda counts: [(PAIRS[number % 2], count, 0, 1, 0) for number, count in enumerate(counts)]
)
RUNS = st.lists(RUN, max_size=5) | st.lists(RUN, min_size=10, max_size=40) | WAVES
"""A pair, how often it comes, after which time and at which intervals, and which way its outcomes are spread."""
ODD = st.sampled_from([0] * 9 + [1, 49, 50, 51])
"""How often, at the start, the types of the two sides disagree."""


def outcomes(runs: Any, odd: int, split: Sequence[dict[str, Any]]) -> list[tuple[int, Row]]:
    """The runs, for every monitor, in order of time but not of offset."""
    found, time_ms, number = list[tuple[int, Row]](), 10_000, 0
    for (prediction, label), count, gap_ms, step_ms, spread in [((1, "1"), odd, 0, 0, 1), *runs]:
        time_ms += gap_ms
        for place in range(count):
            number, time_ms = number + 1, time_ms + step_ms
            shuffled = number * 37 % 1009
            source = place % SOURCES if spread else number // 9 % SOURCES
            country = [None, "NO"][place % 2] if spread == 3 else ["DE", "DE", "NO"][spread]
            # Without a label its own offset, with one the label's, tells it from all others.
            offsets = (2000 + shuffled, -1) if label is None else (shuffled % 3, shuffled)
            times = (time_ms, time_ms - spread) if shuffled % 4 == 0 else (time_ms - number % 7, time_ms)
            for monitor in split:
                segment = (country,) if monitor["split_by"] else ()
                row = Row(monitor["name"], segment, f"r{number}", prediction, label, *times, *offsets)
                found.append((source, row))
    return found


def written(rows: Sequence[tuple[int, Row]], source: int, sizes: Sequence[int]) -> list[bytes | None]:
    """One source's records of the outcomes topic, of so many outcomes each, the last first."""
    own = [row for each, row in rows if each == source]
    records: list[bytes | None] = []
    for size in [*sizes, len(own)]:
        part, own = own[:size][::-1], own[size:]
        watermark = max(own[0].prediction_time, own[0].label_time) if own else 10**9
        head = {"v": 1, "source": source, "sources": SOURCES, "sequence": len(records), "watermark": watermark}
        # The monitors in their order, as a join task has them.
        blocks = [
            _block([row for row in part if row.monitor == name]) for name in sorted({row.monitor for row in part})
        ]
        records.append(as_json(**head, idle=False, blocks=blocks))
    return records


def _block(rows: Sequence[Row]) -> dict[str, Any]:
    columns = {name: [getattr(row, name) for row in rows] for name in Row._fields[2:9]}
    segments = [row.segment for row in rows]
    return {"monitor": rows[0].monitor, "segments": segments, "segment": [*range(len(rows))], **columns}


SIZES = st.tuples(*[st.lists(st.integers(1, 12), max_size=30)] * SOURCES)
"""How many outcomes each record brings; the rest comes in one more."""

MUTED = [(PAIRS[1], 6, 0, 1, 0), (PAIRS[0], 4, 0, 1, 0), (PAIRS[1], 20, 0, 1, 0)]
"""Trouble that comes back within the cooldown and outlasts it."""
QUIET: dict[str, Any] = {"split_by": (), "threshold": {**THRESHOLD, "cooldown": "10ms"}}


@LAW
@example(MUTED, 0, ({"name": "a", **QUIET}, {"name": "b", **QUIET}), "0ms", ([1] * 30, [1] * 30), [], [1] * 60)
@given(RUNS, ODD, st.tuples(monitors("a"), monitors("b")), COOLDOWNS, SIZES, ORDER, STEPS)
def test_every_outcome_is_checked_by_definition(
    runs: Any,
    odd: int,
    checked: tuple[dict[str, Any], ...],
    cooldown: str,
    sizes: tuple[list[int], ...],
    order: list[int],
    steps: list[int],
) -> None:
    """Shares on a level, windows just full, ties in time, and cooldowns that end with an outcome."""
    settings = topology(*checked, sources=SOURCES, alerts={"cooldown": cooldown})
    rows = outcomes(runs, odd, checked)
    records = interleaved([written(rows, source, sizes[source]) for source in range(SOURCES)], order)
    wanted = watch(rows, settings.config.monitors, settings.monitor.cooldown_ms)
    assert told(records, settings, steps) == wanted
