"""Evidence that something comes oftener than is usual, at no more false alarms than the budget gives.

Theory of operation (see core/budgeted.py and core/features/evidence.py, which do the same for means). A mark that comes
in at most a part p of all records, each independently, is betted on to come in a larger part q: each record multiplies
what was staked by q / p where it has the mark, and by (1 - q) / (1 - p) where not, on average by at most 1. So the
product over a window follows from two counts. What is staked flows with time; all marks together alarm at 1, each
having the same part. A mark is followed from the first window that has it: before, its evidence has done nothing but
fall.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# How many times the odds of p the parts are that are betted on; and beside them these, for what is new in most records.
_ODDS = (2.0, 5.0, 20.0, 100.0)
_PARTS = (0.5, 0.95)
BETS = len(_ODDS) + len(_PARTS)
# Differences in the last bits of a logarithm, between processors, are rounded away.
_ROUND = 1 << 20
_LEVEL_MAX = 0.9
_VERSIONS_MAX = 32


@dataclass(slots=True)
class Told:
    """The first record that shows something, as its partition has it."""

    partition: int
    offset: int
    time_ms: int
    request_id: str
    shown: list[str]


@dataclass(slots=True)
class Course:
    """What is known of one mark since the first window that had it."""

    since_ms: int
    logs: list[float] = field(default_factory=lambda: [-math.inf] * BETS)
    rows: int = 0
    count: int = 0
    versions: dict[str, int] = field(default_factory=dict)
    """How many were of which version of the model, as far as known."""
    offsets: dict[int, int] = field(default_factory=dict)
    """By partition: the first offset."""
    example: Told | None = None

    def take(self, rows: int, count: int, stake: float, level: float) -> None:
        """A window, after a stake. `level`: how often the mark may come."""
        self.rows += rows
        self.count += count
        staked = math.log(stake) if stake > 0 else -math.inf
        for place, part in enumerate(_betted(level)):
            had = _log_sum(self.logs[place], staked)
            gain = count * math.log(part / level) + (rows - count) * math.log((1 - part) / (1 - level))
            self.logs[place] = round((had + gain) * _ROUND) / _ROUND if had > -math.inf else had

    def note(self, version: str | None, count: int) -> None:
        """Of whom so many were."""
        if version is not None and (version in self.versions or len(self.versions) < _VERSIONS_MAX):
            self.versions[version] = self.versions.get(version, 0) + count

    @property
    def evidence(self) -> float:
        """The logarithm of the mean over bets."""
        return _log_sum(*self.logs) - math.log(BETS)

    def is_faint(self, stake: float) -> bool:
        """Whether one that begins now would know as much."""
        return self.evidence <= (math.log(stake) if stake > 0 else -math.inf)

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON."""
        one = self.example
        return {
            "since": self.since_ms,
            "logs": [None if math.isinf(each) else round(each * _ROUND) for each in self.logs],
            "rows": self.rows,
            "count": self.count,
            "versions": self.versions,
            "offsets": sorted(self.offsets.items()),
            "example": None if one is None else [one.partition, one.offset, one.time_ms, one.request_id, one.shown],
        }

    @staticmethod
    def restored(state: Mapping[str, Any]) -> "Course":
        """From a snapshot."""
        logs = [-math.inf if each is None else each / _ROUND for each in state["logs"]]
        example = None if state["example"] is None else Told(*state["example"])
        counts = state["rows"], state["count"], dict(state["versions"]), dict(state["offsets"])
        return Course(state["since"], logs, *counts, example)


def is_alarm(courses: Sequence[Course], marks: int) -> bool:
    """Whether all evidence together, each mark having its part, has come to 1."""
    return bool(courses) and _log_sum(*(each.evidence for each in courses)) >= math.log(marks)


def allowed(usual: float, tolerance: float) -> float:
    """How often a mark may come that has come so often."""
    return min(usual + tolerance, _LEVEL_MAX)


def _betted(level: float) -> tuple[float, ...]:
    odds = level / (1 - level)
    parts = [times * odds / (1 + times * odds) for times in _ODDS]
    # No bet on less than what is usual.
    return (*parts, *(max(part, (1 + level) / 2) for part in _PARTS))


def _log_sum(*logs: float) -> float:
    top = max(logs)
    return top if math.isinf(top) else top + math.log(math.fsum(math.exp(each - top) for each in logs))
