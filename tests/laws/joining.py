"""Logs to join, ways to walk through them, and a join task that is led along such a way."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from streamguard.core.join import Input, JoinTask
from streamguard.core.note import Note
from streamguard.core.records import Batch, Output, TopicPartition
from streamguard.worker.topology import Topology
from tests.core.helpers import Row, label, prediction, rows_of, topology
from tests.laws.disk import MemoryDisk
from tests.laws.reference import Advance, Entry, Joined, Rules

LAW = settings(max_examples=250, deadline=None, print_blob=True)
"""What every law is run with; a failure prints the line that repeats it."""

END = 1_000_000
"""The position after the last record of every log here."""

JUNK = [None, b"", b"{}", b"[1]", b'{"request_id": 7}', b'{"request_id": "a"}', b"\xff"]
TOPICS = "predictions", "labels"
MONITORS: list[dict[str, Any]] = [
    {
        "name": "by country",
        "match": {"model": "fraud"},
        "split_by": ["country"],
        "max_segments": 2,
        "threshold": {"max_mismatch_percent": 40, "window": 3, "min_samples": 2, "cooldown": "20ms"},
    },
    {
        "name": "all",
        "threshold": {"max_mismatch_percent": 50, "window": "40ms", "min_samples": 1, "cooldown": "5ms"},
        "detectors": [
            {"type": "page_hinkley", "min_instances": 2, "threshold": 0.4, "delta": 0.01},
            {"type": "adwin", "delta": 0.5, "clock": 1, "grace_period": 1, "min_window_length": 1},
        ],
    },
    {
        "name": "confirmed",
        "threshold": {
            "max_mismatch_percent": 40,
            "window": 3,
            "min_samples": 2,
            "cooldown": "3ms",
            "confirm": {"above": 2, "of": 3, "every": 2},
        },
    },
]


@dataclass(frozen=True, slots=True)
class Logs:
    """Two partitions to be joined, and when each was idle. Offsets have gaps."""

    entries: tuple[tuple[Entry, ...], tuple[Entry, ...]]
    advances: tuple[tuple[Advance, ...], tuple[Advance, ...]]
    rules: Rules

    def settings(self, sources: int = 1, targets: int = 1) -> Topology:
        """The tasks' settings for these rules."""
        rules = self.rules
        join = {
            "before": f"{rules.before_ms}ms",
            "after": f"{rules.after_ms}ms",
            "disorder": f"{rules.disorder_ms}ms",
        }
        return topology(*MONITORS, sources=sources, targets=targets, join=join, alerts={"cooldown": "20ms"})

    def batch(self, side: Input, start: int, end: int, partition: int = 0) -> Batch:
        """Records number `start` to `end` of one side."""
        entries = self.entries[side]
        part = entries[start:end]
        return Batch(
            TopicPartition(TOPICS[side], partition),
            [each.offset for each in part],
            [each.time_ms for each in part],
            [None] * len(part),
            [_value(side, each) for each in part],
            [()] * len(part),
            self.offset(side, end),
        )

    def offset(self, side: Input, number: int) -> int:
        """The position before record `number`."""
        entries = self.entries[side]
        return entries[number].offset if number < len(entries) else END


def _value(side: Input, entry: Entry) -> bytes | None:
    if entry.id is None:
        return JUNK[entry.time_ms % len(JUNK)]
    if side is Input.PREDICTIONS:
        model = "other" if entry.offset % 4 == 0 else "fraud"
        return prediction(entry.id, entry.value, model=model, country=["DE", "NO", None, "FR"][entry.time_ms % 4])
    return label(entry.id, entry.value)


RULES = st.builds(
    Rules,
    before_ms=st.sampled_from([0, 0, 1, 5, 64, 130]),
    after_ms=st.sampled_from([1, 5, 64, 200]),
    disorder_ms=st.sampled_from([0, 0, 1, 10, 300, 1_000_000]),
)
MOVES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=30)
"""How many predictions and labels each step takes."""


@st.composite
def logs(draw: st.DrawFn) -> Logs:
    """Few IDs, so that records meet; times that step by just a window, a horizon or the disorder, and ties."""
    rules = draw(RULES)
    names = st.sampled_from(draw(st.sampled_from(["a", "ab", "abcdef"])))
    row = st.tuples(st.sampled_from([0, 0, 1, 1, *_edges(rules)]), names, st.sampled_from("xy"), KINDS)
    ends_ms = st.sampled_from([None, None, 2_100, 3_000_000])
    return _logs([draw(st.lists(row, max_size=24)) for _ in TOPICS], [draw(ends_ms) for _ in TOPICS], rules)


@st.composite
def matching_logs(draw: st.DrawFn, rules: Rules) -> Logs:
    """Labels that mostly follow their predictions, runs of mistakes, and an end that releases all outcomes."""
    steps = st.sampled_from([0, 1, 1, 2, 3] * 10 + _edges(rules))
    sides = []
    for values in ("xxxxxxxxz", "xy"):
        rows = draw(
            st.lists(st.tuples(steps, st.integers(0, 20), st.sampled_from(values), KINDS), min_size=12, max_size=40)
        )
        # One in twenty is not of the prediction or label that is next.
        sides.append([(step, f"{n - (skip == 20)}", value, kind) for n, (step, skip, value, kind) in enumerate(rows)])
    return _logs(sides, [10**9, 10**9], rules)


KINDS = st.integers(0, 11)
_GAPS = [1, 1, 1, 3]


def _edges(rules: Rules) -> list[int]:
    edges = [rules.before_ms, rules.after_ms, rules.horizon_ms, rules.disorder_ms, max(1, rules.horizon_ms // 64)]
    return [step for edge in edges for step in (edge, edge + 1, -edge, -edge - 1)]


def _logs(sides: Sequence[Sequence[tuple[int, str, str, int]]], ends_ms: Sequence[int | None], rules: Rules) -> Logs:
    (left, left_advances), (right, right_advances) = map(_side, sides, ends_ms)
    return Logs((left, right), (left_advances, right_advances), rules)


def _side(
    rows: Sequence[tuple[int, str, str, int]], end_ms: int | None
) -> tuple[tuple[Entry, ...], tuple[Advance, ...]]:
    time_ms, offset = 2_000, 5
    entries, advances = [], []
    for step_ms, name, value, kind in rows:
        time_ms = max(0, time_ms + step_ms)
        gap = _GAPS[kind % 4]
        offset += gap
        # A few records cannot be read, and before a few the input was idle, for longer and longer.
        entries.append(Entry(offset, time_ms, None if kind == 11 else name, value))
        if kind == 10:
            advances += [Advance(offset, time_ms + 1), Advance(offset, time_ms + 3)]
    if end_ms is not None:
        advances.append(Advance(END, end_ms))
    return tuple(entries), tuple(advances)


@dataclass(slots=True)
class Walk:
    """A join task on its way through the logs."""

    logs: Logs
    settings: Topology
    number: int = 0
    disk: MemoryDisk | None = None
    task: JoinTask = field(init=False)
    at: list[int] = field(default_factory=lambda: [0, 0])
    """The number of the next record of each side."""
    steps: list[list[Output]] = field(default_factory=list)
    """What each step has written."""
    is_resumed: bool = False
    """Whether the last restart found what it needed on the disk."""

    def __post_init__(self) -> None:
        self.task = JoinTask(self.number, self.settings.join, self.disk)
        for side in Input:
            self.task.rewind(side, None, self.logs.offset(side, 0))
        self._idle()

    @property
    def outputs(self) -> list[Output]:
        """Everything written so far."""
        return [output for step in self.steps for output in step]

    def go(self, move: tuple[int, int]) -> None:
        """Step over so many records of each side, but not past a moment when it was idle."""
        batches: list[Batch | None] = []
        for side in Input:
            start, entries = self.at[side], self.logs.entries[side]
            idle_at = {each.offset for each in self.logs.advances[side]}
            end = min(start + move[side], len(entries))
            end = next((place for place in range(start + 1, end) if entries[place].offset in idle_at), end)
            batches.append(self.logs.batch(side, start, end, self.number) if end > start else None)
            self.at[side] = end
        self.steps.append(self.task.step(*batches))
        self._idle()

    def _idle(self) -> None:
        for side in Input:
            offset = self.logs.offset(side, self.at[side])
            for advance in self.logs.advances[side]:
                if advance.offset == offset:
                    self.steps.append(self.task.idle(side, advance.time_ms))

    def finish(self) -> None:
        """Step over all that is left."""
        while any(self.at[side] < len(self.logs.entries[side]) for side in Input):
            self.go((100, 100))

    def counts(self) -> list[dict[str, int]]:
        """How each side's records have ended."""
        return [self.task.counts(side) for side in Input]

    def notes(self) -> list[str]:
        """What would be committed now."""
        return [self.task.note(side) for side in Input]

    def restart(self, pieces: Sequence[tuple[int, int]]) -> None:
        """Forget the task, and bring it back from its notes alone, reading again in these pieces."""
        notes = [Note.decode(note) for note in self.notes()]
        committed = [self.logs.offset(side, self.at[side]) for side in Input]
        self.task = JoinTask(self.number, self.settings.join, self.disk)
        lows = self.task.resume(notes, committed)
        self.is_resumed = lows is not None
        if lows is None:
            for side in Input:
                self.task.rewind(side, notes[side], 0)
            lows = [note.low for note in notes]
        at = [sum(entry.offset < lows[side] for entry in self.logs.entries[side]) for side in Input]
        for piece in [*pieces, (END, 0), (0, END)]:
            for side in Input:
                end = min(at[side] + piece[side], self.at[side])
                if end > at[side]:
                    self.task.replay(side, self.logs.batch(side, at[side], end, self.number))
                at[side] = max(end, at[side])
        assert self.task.restored(notes)


def walk(logs: Logs, moves: Sequence[tuple[int, int]], settings: Topology | None = None, number: int = 0) -> Walk:
    """A task that has gone all the way, in these moves and then the rest at once."""
    found = Walk(logs, settings or logs.settings(), number)
    for move in moves:
        found.go(move)
    found.finish()
    return found


def expected(joined: Joined) -> Counter[Row]:
    """The outcomes as they must be written for the monitor that watches all."""
    rows: Counter[Row] = Counter()
    for prediction_, label_, label_time_ms in joined.outcomes:
        name, value = prediction_.id or "", None if label_ is None else label_.value
        offset = -1 if label_ is None else label_.offset
        times = prediction_.time_ms, label_time_ms
        rows[Row("all", (), name, prediction_.value, value, *times, prediction_.offset, offset)] += 1
    return rows


def written(outputs: Sequence[Output]) -> Counter[Row]:
    """The outcomes that were written for the monitor that watches all."""
    return Counter(row for row in rows_of(outputs) if row.monitor == "all")
