"""What must hold at the end of a run: docs/design.md, "Laws"."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from streamguard.core.join import Input, JoinTask
from streamguard.core.monitor import MonitorTask
from streamguard.core.note import Note
from streamguard.core.records import Batch, Fate, Output, Stream, TopicPartition
from streamguard.core.waiting import NEVER
from streamguard.worker.topology import Topology, derive
from tests.core import helpers
from tests.core.helpers import Row
from tests.laws import reference
from tests.laws.joining import expected
from tests.laws.reference_monitor import seen, sourced, watch
from tests.simulation.cluster import Partition
from tests.simulation.log import batch
from tests.simulation.run import Run, ViolationError
from tests.simulation.scenario import Scenario


def play(seed: int) -> Run:
    """A seed's run, with everything that must hold; raises `ViolationError`."""
    run = Run(Scenario(seed))
    check(run)
    return run


def check(run: Run) -> None:
    """Play it, and look at what is left; raises `ViolationError`."""
    run.play()
    Check(run).all()


Written = tuple[bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]
"""Key, value and headers."""


class Check:
    """A run that has ended, beside an undisturbed one over the same logs."""

    def __init__(self, run: Run) -> None:
        self.run = run
        config = run.scenario.config
        self.topology: Topology = derive(config, run.scenario.partitions, config.outcomes.partitions or 1)
        self.tasks = [self._undisturbed(number) for number in range(run.scenario.partitions)]

    def all(self) -> None:
        self._sequences()
        for task, outputs in self.tasks:
            self._joined(task, outputs)
        self._rejected()
        self._monitored()

    # The logs.

    def records(self, topic: str, number: int) -> Batch:
        """What a reader of committed records has seen in one partition, with what retention has removed since."""
        place = TopicPartition(topic, number)
        partition = self.run.cluster.partitions[place]
        if partition.undecided:
            raise ViolationError(f"{place}: a transaction is still open")
        whole = Partition(self.run.written(place), 0, partition.end)
        return batch(place, *whole.read(0, 1 << 60, is_committed=True))

    def input(self, side: Input, number: int) -> Batch:
        """An input, whole."""
        return self.records(self.topology.inputs[side], number)

    def note(self, side: Input, number: int) -> Note | None:
        """What the group has committed last."""
        found = self.run.cluster.offsets.get(("g", TopicPartition(self.topology.inputs[side], number)))
        return None if found is None else Note.decode(found.metadata)

    # Both stages.

    def _undisturbed(self, number: int) -> tuple[JoinTask, list[Output]]:
        """A join task that takes its whole logs at once, with the idle advances that were recorded."""
        task = JoinTask(number, replace(self.topology.join, held_max=1 << 30))
        inputs = [self.input(side, number) for side in Input]
        for side in Input:
            floors = tuple(sorted(self.run.floors.get(inputs[side].source, ())))
            task.rewind(side, Note(0, NEVER, floors), 0)
        outputs = task.step(*[each if len(each) else None for each in inputs])
        for side in Input:
            task._apply_floors(side, 1 << 62)
        task._expire()
        outputs += task._announce()
        return task, outputs

    def _joined(self, task: JoinTask, outputs: Sequence[Output]) -> None:
        """Laws 1 to 4, I1: outcomes and fates are those of the undisturbed task, and of the definition."""
        for side in Input:
            note = self.note(side, task.number)
            counts = {} if note is None else note.counts
            mine = {name: count for name, count in task.counts(side).items() if name != Fate.WAITING}
            if any(counts.get(name, 0) != count for name, count in mine.items()):
                raise ViolationError(f"join {task.number}, {side.name}: counted {counts}, expected {mine}")
            ended = sum(count for name, count in mine.items() if name != "consumed")
            waiting = task.counts(side)[Fate.WAITING]
            if mine["consumed"] != ended + waiting or mine["consumed"] != len(self.input(side, task.number)):
                raise ViolationError(f"join {task.number}, {side.name}: {mine} and {waiting} waiting do not add up")
        found = [
            value
            for number in range(self.topology.target_count)
            for value in self.records(self.topology.outcomes, number).values
            if orjson.loads(value or b"")["source"] == task.number
        ]
        whole = rows_of([each.value for each in outputs if each.stream is Stream.OUTCOMES])
        if rows_of(found) != whole:
            missing, more = whole - rows_of(found), rows_of(found) - whole
            raise ViolationError(f"join {task.number}: outcomes missing {dict(missing)}, too many {dict(more)}")
        self._defined(task, whole)

    def _defined(self, task: JoinTask, rows: Counter[Row]) -> None:
        """The undisturbed task beside the definition over whole logs."""
        settings = self.topology.join
        rules = reference.Rules(settings.before_ms, settings.after_ms, settings.disorder_ms)
        logs, advances = [], []
        for side in Input:
            source = self.input(side, task.number)
            columns = zip(source.offsets, source.timestamps, source.values, strict=True)
            logs.append([entry(*row, side) for row in columns])
            floors = sorted(self.run.floors.get(source.source, ()))
            advances.append([reference.Advance(*floor) for floor in floors])
        joined = reference.join(logs[0], logs[1], (advances[0], advances[1]), rules)
        found = Counter({row: count for row, count in rows.items() if row.monitor == "all"})
        if found != expected(joined):
            raise ViolationError(f"join {task.number}: {dict(found)}, by definition {dict(expected(joined))}")
        for side in Input:
            fates = Counter(fate.value for fate in joined.fates[side].values())
            mine = {fate.value: count for fate in Fate if (count := task.counts(side)[fate])}
            if dict(fates) != mine:
                raise ViolationError(f"join {task.number}, {side.name}: fates {mine}, by definition {dict(fates)}")

    def _sequences(self) -> None:
        """I2: what a join task writes to one outcomes partition is numbered without a gap or a repeat."""
        for number in range(self.topology.target_count):
            last: dict[int, int] = {}
            for value in self.records(self.topology.outcomes, number).values:
                record = orjson.loads(value or b"")
                source, sequence = record["source"], record["sequence"]
                if sequence != last.get(source, sequence - 1) + 1:
                    raise ViolationError(f"source {source}: sequence {last[source]} is followed by {sequence}")
                last[source] = sequence

    def _rejected(self) -> None:
        """Every record that cannot be used is on the rejected topic once, with where it came from."""
        count = self.topology.source_count
        found = [self.records(self.topology.topic(Stream.REJECTED), number) for number in range(count)]
        rejected = [each for _, outputs in self.tasks for each in outputs if each.stream is Stream.REJECTED]
        expected = Counter((each.key, each.value, tuple(each.headers)) for each in rejected)
        rows = [row for each in found for row in zip(each.keys, each.values, map(tuple, each.headers), strict=True)]
        if Counter(rows) != Counter(mapped(row) for row in expected.elements()):
            raise ViolationError(f"rejected: {sorted(map(repr, rows))}, expected {sorted(map(repr, expected))}")

    def _monitored(self) -> None:
        """Laws 8 and 9, I4, I6, I8: the alerts, byte for byte, and the state."""
        alerts: list[Written] = []
        for number in range(self.topology.target_count):
            outcomes = self.records(self.topology.outcomes, number)
            restored = self._restored(number, outcomes)
            task = MonitorTask(number, self.topology.monitor)
            found = alerts_of(task.step(outcomes))
            alerts += found
            if remembered(restored) != remembered(task):
                raise ViolationError(f"monitor {number}: restored {remembered(restored)}, expected {remembered(task)}")
            if not task.merge.late_count:  # a partition that had been silent: what is late depends on when it spoke
                self._watched(number, outcomes, found)
        written = self.records(self.topology.topic(Stream.ALERTS), 0)
        rows = [mapped(row) for row in zip(written.keys, written.values, written.headers, strict=True)]
        ids = [orjson.loads(value or b"")["id"] for _, value, _ in rows]
        if len(set(ids)) != len(ids):
            raise ViolationError("an alert was raised twice")
        if Counter(rows) != Counter(map(mapped, alerts)):
            raise ViolationError(f"{len(rows)} alerts, expected {len(alerts)}, or other ones")

    def _watched(self, number: int, outcomes: Batch, found: list[Written]) -> None:
        """The same from the undisturbed joins, and by definition."""
        ordered = [output for _, outputs in self.tasks for output in outputs if output.partition == number]
        spoken = [output.value for output in ordered if output.stream is Stream.OUTCOMES]
        sources = {orjson.loads(value or b"")["source"] for value in spoken}
        records = [(value, orjson.loads(value or b"")) for value in outcomes.values]
        silent = [value for value, record in records if record["idle"] and record["source"] not in sources]
        values = numbered([*spoken, *silent])
        task = MonitorTask(number, self.topology.monitor)
        outputs = task.step(unkeyed(outcomes.source, values))
        if Counter(alerts_of(outputs)) != Counter(found):
            raise ViolationError(f"monitor {number}: {found}, without disturbance {alerts_of(outputs)}")
        released = [row for row in sourced(values) if max(row[1][5:7]) < task.merge.released_ms]
        if seen(outputs) != watch(released, self.topology.monitor.monitors, self.topology.monitor.cooldown_ms):
            raise ViolationError(f"monitor {number}: {seen(outputs)}, by definition otherwise")

    def _restored(self, number: int, outcomes: Batch) -> MonitorTask:
        """A monitor task as a worker would bring it back now."""
        task = MonitorTask(number, self.topology.monitor)
        state = self.records(self.topology.topic(Stream.STATE), number)
        resume = task.restore(list(zip(state.keys, state.values, strict=True)))
        low, position = (0, 0) if resume is None else (resume.low, resume.position)
        rows = list(zip(outcomes.offsets, outcomes.values, strict=True))
        task.refill(unkeyed(outcomes.source, *columns(rows, low, position)))
        committed = self.run.cluster.offsets.get(("g", outcomes.source))
        task.step(unkeyed(outcomes.source, *columns(rows, position, 0 if committed is None else committed.offset)))
        return task


def alerts_of(outputs: Sequence[Output]) -> list[Written]:
    """Key, value and headers of each alert."""
    return [(each.key, each.value, tuple(each.headers)) for each in outputs if each.stream is Stream.ALERTS]


def columns(rows: Sequence[tuple[int, bytes | None]], start: int, end: int) -> tuple[list[bytes | None], list[int]]:
    """Values and offsets from one offset up to another."""
    part = [row for row in rows if start <= row[0] < end]
    return [value for _, value in part], [offset for offset, _ in part]


def unkeyed(source: TopicPartition, values: Sequence[bytes | None], offsets: Sequence[int] | None = None) -> Batch:
    """Records of which only the value is looked at."""
    count = len(values)
    return Batch(
        source, range(count) if offsets is None else offsets, [0] * count, [None] * count, values, [()] * count, count
    )


def remembered(task: MonitorTask) -> dict[str, Any]:
    """What a monitor task knows, as it would be written."""
    segments = {repr(key): orjson.loads(orjson.dumps(each.snapshot())) for key, each in task._watching.segments.items()}
    return {**segments, "counts": task.counts, "late": task.merge.late_count, "held": task.merge.held_count}


def numbered(values: Sequence[bytes | None]) -> list[bytes | None]:
    """The same records, as if each source had written just these."""
    numbers: Counter[int] = Counter()
    result: list[bytes | None] = []
    for value in values:
        record = orjson.loads(value or b"")
        numbers[record["source"]] += 1
        result.append(orjson.dumps({**record, "sequence": numbers[record["source"]]}))
    return result


def mapped(row: tuple[Any, ...]) -> Written:
    """Key, value, headers; a producer writes no header without a value."""
    return row[0], row[1], tuple((name, value or b"") for name, value in row[2])


def rows_of(values: Sequence[bytes | None]) -> Counter[Row]:
    """Outcomes records as single outcomes."""
    return Counter(helpers.rows_of([Output(Stream.OUTCOMES, None, value) for value in values]))


def entry(offset: int, time_ms: int, value: bytes | None, side: Input) -> reference.Entry:
    """A record as the definition sees it."""
    try:
        body = orjson.loads(value or b"")
        name, answer = body["request_id"], body["prediction" if side is Input.PREDICTIONS else "label"]
    except (ValueError, KeyError, TypeError):
        return reference.Entry(offset, time_ms, None, "")
    return reference.Entry(offset, time_ms, name if isinstance(name, str) else None, answer)
