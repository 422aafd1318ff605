"""The detectors that are judged: streamguard's, and two that no detector may be worse than."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from benchmarks.detection.streams import DAY_MS, Floats, Ints
from streamguard.core.detectors import Direction, make

RIVER = ("adwin", "page_hinkley", "ddm", "eddm", "hddm_a", "hddm_w", "fhddm", "kswin")
OURS = ("budgeted", "budgeted, season")
BASELINES = ("always-fire", "never-fire")
ALL = (*OURS, *RIVER, *BASELINES)
SLOW = "kswin"
"""At 0.3 ms an event it alone would take hours: it is judged where it is asked for by name."""

EVERY = 100
"""Events from an alarm of `always-fire` to its next."""
BASELINE_EVENTS = 5_000
"""What ours learns from: all that is before a change, so that its false alarms are seen on longer streams alone."""
_MONTH_MS = 30 * DAY_MS


@dataclass(frozen=True, slots=True)
class Alarm:
    """What a detector said with the loss at `index`."""

    index: int
    direction: Direction


class Judge(Protocol):
    """A detector that is judged: each run is on its own, from nothing learnt."""

    @property
    def name(self) -> str:
        """As it stands in the tables."""
        ...

    def learning(self, times_ms: Ints) -> int:
        """How many events it only learns from: that it is not wrong there says nothing for it."""
        ...

    def run(self, times_ms: Ints, losses: Floats) -> list[Alarm]:
        """Alarms, in order, on the losses `float64[n]` of the event times `int64[n]`."""
        ...


class Watch(Protocol):
    """The budgeted detector, as far as it is used here."""

    def update(self, times_ms: Ints, losses: Floats, given: Floats, /) -> list[Any]:
        """What it found, with `index`, `is_alarm` and `direction`."""
        ...


class Ready:
    """A detector that may alarm from the first event on, or soon after."""

    __slots__ = ()

    def learning(self, times_ms: Ints) -> int:
        del times_ms
        return 0


@dataclass(frozen=True, slots=True)
class River(Ready):
    """A detector of river's at its defaults."""

    name: str

    def run(self, times_ms: Ints, losses: Floats) -> list[Alarm]:
        del times_ms
        return [Alarm(drift.index, drift.direction) for drift in make(self.name).update(losses)]


@dataclass(frozen=True, slots=True)
class AlwaysFire(Ready):
    """Alarms every so many events, whatever they are: it misses nothing."""

    name: str = "always-fire"

    def run(self, times_ms: Ints, losses: Floats) -> list[Alarm]:
        del times_ms
        return [Alarm(index, Direction.UNKNOWN) for index in range(EVERY - 1, len(losses), EVERY)]


@dataclass(frozen=True, slots=True)
class NeverFire(Ready):
    """Says nothing: it is never wrong."""

    name: str = "never-fire"

    def run(self, times_ms: Ints, losses: Floats) -> list[Alarm]:
        del times_ms, losses
        return []


@dataclass(frozen=True, slots=True)
class InBudget:
    """A detector that is given `monthly` false alarms in 30 days, evenly over time.

    Its baseline is of `baseline_count` events, or of `baseline_ms`.
    """

    name: str
    fresh: Callable[[], Watch]
    monthly: float = 1.0
    baseline_count: int = 0
    baseline_ms: int = 0

    def learning(self, times_ms: Ints) -> int:
        by_time = int(np.searchsorted(times_ms, times_ms[0] + self.baseline_ms))
        return min(len(times_ms), max(self.baseline_count, by_time))

    def run(self, times_ms: Ints, losses: Floats) -> list[Alarm]:
        given = self.monthly * (times_ms - times_ms[0]) / _MONTH_MS
        return opening(self.fresh().update(times_ms, losses, given.astype(np.float64)))


def opening(findings: list[Any]) -> list[Alarm]:
    """The alarms that a user gets: while trouble is open, more of it is no alarm of its own."""
    alarms, is_open = [], False
    for finding in findings:
        if finding.is_alarm and not is_open:
            alarms.append(Alarm(finding.index, finding.direction))
        # What is better is said once: it needs nobody, and does not stay open.
        is_open = finding.is_alarm and (is_open or finding.direction is not Direction.BETTER)
    return alarms


def judge(name: str, monthly: float = 1.0) -> Judge:
    """The detector of a name; `monthly` is the budget of ours. Raises `ValueError` where there is none."""
    if name in RIVER:
        return River(name)
    if name in OURS:
        return _budgeted(name, monthly)
    if name in BASELINES:
        return AlwaysFire() if name == BASELINES[0] else NeverFire()
    if name.startswith("frouros "):
        from benchmarks.detection.peers import Frouros  # noqa: PLC0415 (only who asks for it needs it)

        return Frouros(name)
    raise ValueError(f"unknown detector {name!r}; known are {', '.join(ALL)}")


def suits(name: str, group: str) -> bool:
    """Whether a detector can be judged on a group: one that learns a season for two weeks needs a longer stream."""
    return name != OURS[1] or group in ("stable", "autocorrelated", "seasonal")


def _budgeted(name: str, monthly: float) -> InBudget:
    from streamguard.core.budgeted import Budgeted  # noqa: PLC0415 (the others do not need it)
    from streamguard.core.detectors.settings import BudgetedSettings  # noqa: PLC0415

    if name == OURS[1]:
        settings = BudgetedSettings(baseline="14d", season="hour_of_week")
        return InBudget(name, lambda: Budgeted(settings), monthly, baseline_ms=14 * DAY_MS)
    level = BudgetedSettings(baseline=BASELINE_EVENTS, season="none")
    return InBudget(name, lambda: Budgeted(level), monthly, baseline_count=BASELINE_EVENTS)
