"""What a join must do, by its definition over whole logs: quadratic in the records of an ID, with nothing to get wrong.

Written from docs/design.md, "Semantics". A record is a duplicate where an earlier record of its ID on its own
side that was not late, whether itself a duplicate or not, lies within `before + after` of it in event time.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from streamguard.core.records import Fate

BEFORE_ALL_TIMES = -(10**18)


class Entry(NamedTuple):
    """A record of a log; without an ID it is one that cannot be read."""

    offset: int
    time_ms: int
    id: str | None
    value: str


class Advance(NamedTuple):
    """The input was idle, and from this offset on its event time is at least so."""

    offset: int
    time_ms: int


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings of a join."""

    before_ms: int
    after_ms: int
    disorder_ms: int

    @property
    def horizon_ms(self) -> int:
        return self.before_ms + self.after_ms

    def matches(self, prediction: Entry, label: Entry) -> bool:
        """Whether these two belong together."""
        delay_ms = label.time_ms - prediction.time_ms
        return prediction.id == label.id and -self.before_ms <= delay_ms <= self.after_ms

    def end_ms(self, time_ms: int, reach_ms: int) -> int:
        """Until when a record waits: records of one pane wait together."""
        pane_ms = max(1, self.horizon_ms // 64)
        return (time_ms // pane_ms + 1) * pane_ms + reach_ms


@dataclass(slots=True)
class Judged:
    """One log by itself: how each record ends that does not depend on the other log."""

    fates: dict[int, Fate] = field(default_factory=dict)
    accepted: list[Entry] = field(default_factory=list)
    clock_ms: int = BEFORE_ALL_TIMES


def judge(log: Sequence[Entry], advances: Sequence[Advance], rules: Rules) -> Judged:
    """Which records are unreadable, late, duplicates, or accepted."""
    result = Judged()
    in_time: dict[str, list[Entry]] = defaultdict(list)
    for entry in log:
        for advance in advances:
            if advance.offset <= entry.offset:
                result.clock_ms = max(result.clock_ms, advance.time_ms)
        if entry.id is None:
            result.fates[entry.offset] = Fate.REJECTED
            continue
        if entry.time_ms < result.clock_ms - rules.disorder_ms:
            result.fates[entry.offset] = Fate.LATE
            continue
        if any(abs(each.time_ms - entry.time_ms) <= rules.horizon_ms for each in in_time[entry.id]):
            result.fates[entry.offset] = Fate.DUPLICATE
        else:
            result.accepted.append(entry)
        in_time[entry.id].append(entry)
        result.clock_ms = max(result.clock_ms, entry.time_ms)
    for advance in advances:
        result.clock_ms = max(result.clock_ms, advance.time_ms)
    return result


class Pair(NamedTuple):
    """A prediction with its label; without one it has expired at `label_time_ms`."""

    prediction: Entry
    label: Entry | None
    label_time_ms: int


@dataclass(frozen=True, slots=True)
class Joined:
    """How every record of both logs has ended, and what was written."""

    fates: tuple[dict[int, Fate], dict[int, Fate]]
    outcomes: frozenset[Pair]


def by_id(entries: Iterable[Entry]) -> dict[str | None, list[Entry]]:
    """The records of each ID."""
    found: dict[str | None, list[Entry]] = defaultdict(list)
    for entry in entries:
        found[entry.id].append(entry)
    return found


def join(
    predictions: Sequence[Entry],
    labels: Sequence[Entry],
    advances: tuple[Sequence[Advance], Sequence[Advance]],
    rules: Rules,
) -> Joined:
    """The two logs, joined."""
    left, right = judge(predictions, advances[0], rules), judge(labels, advances[1], rules)
    outcomes = set()
    labels_of = by_id(right.accepted)
    for prediction in left.accepted:
        for label in labels_of[prediction.id]:
            if rules.matches(prediction, label):
                outcomes.add(Pair(prediction, label, label.time_ms))
                left.fates[prediction.offset] = right.fates[label.offset] = Fate.MATCHED
    for side, other, reach_ms in ((left, right, rules.after_ms), (right, left, rules.before_ms)):
        for entry in side.accepted:
            if entry.offset in side.fates:
                continue
            end_ms = rules.end_ms(entry.time_ms, reach_ms)
            is_over = end_ms < other.clock_ms - rules.disorder_ms
            side.fates[entry.offset] = Fate.EXPIRED if is_over else Fate.WAITING
            if is_over and side is left:
                outcomes.add(Pair(entry, None, end_ms))
    return Joined((left.fates, right.fates), frozenset(outcomes))
