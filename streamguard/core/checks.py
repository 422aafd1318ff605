"""The checks of one monitored stream, whatever their kind: what they notice, and what can be promised of it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamguard.config import Monitor
from streamguard.core.alerts import Episode
from streamguard.core.budget import spoken
from streamguard.core.budgeted import Budgeted, Finding
from streamguard.core.detectors import BudgetedSettings, Detector, Direction, build
from streamguard.core.history import Mean
from streamguard.core.threshold import Threshold, ThresholdSettings

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# 2**10 hours are six weeks.
_DOUBLINGS_MAX = 10


@dataclass(frozen=True, slots=True)
class Feed:
    """What a check is given of some rows: columns of equal length."""

    places: NDArray[np.intp]
    """Of the rows."""
    times_ms: Ints
    losses: Floats
    given: Floats
    """The budget that has flowed by each, in false alarms."""


@dataclass(order=True, frozen=True, slots=True)
class Signal:
    """A check has something to say with the row at `place`; `mean` is its window's own level, where it has a window."""

    place: int
    check: int
    is_alarm: bool
    direction: Direction
    mean: Mean | None = field(default=None, compare=False)
    is_wake: bool = False
    finding: Finding | None = field(default=None, compare=False)
    """Of a budgeted detector."""


@dataclass(slots=True)
class Check:
    """A check with its episode."""

    about: dict[str, Any]
    settings: Any
    instance: Threshold | Detector | Budgeted
    episode: Episode
    of_labels: bool
    """Whether it watches which predictions get a label, and not how right they are."""
    _cooldown_ms: int
    _doubt: str | None = None
    """Of what was told last: trouble that was muted is told later."""

    @property
    def cooldown_ms(self) -> int:
        """How long after an alert it is quiet.

        A budgeted detector finds what lasts again and again; it is told less and less often.
        """
        if isinstance(self.instance, Budgeted) and self.episode.id is not None:
            return self._cooldown_ms << min(self.episode.updates, _DOUBLINGS_MAX)
        return self._cooldown_ms

    @property
    def forgets(self) -> bool:
        """Whether each alarm is of a change since the last; a budgeted detector compares with its baseline."""
        return not isinstance(self.instance, Budgeted)

    def signals(self, number: int, feed: Feed) -> list[Signal]:
        """What it notices."""
        instance, places = self.instance, feed.places
        if isinstance(instance, Threshold):
            return [
                Signal(
                    int(places[each.index]),
                    number,
                    each.alarm,
                    Direction.WORSE if each.alarm else Direction.BETTER,
                    Mean(each.count, float(each.mismatches)),
                )
                for each in instance.update(feed.times_ms, feed.losses)
            ]
        if isinstance(instance, Budgeted):
            return [
                Signal(int(places[each.index]), number, each.is_alarm, each.direction, finding=each)
                for each in instance.update(feed.times_ms, feed.losses, feed.given)
            ]
        return [
            Signal(int(places[drift.index]), number, True, drift.direction) for drift in instance.update(feed.losses)
        ]

    def guarantee(self, each: Signal, per_month: float) -> str:
        """What this can be trusted for, where all budgeted detectors together may err so often."""
        if not isinstance(self.instance, Budgeted):
            return f"none: nobody knows how often {self.about['type']} alarms though nothing is wrong"
        if each.finding is not None:
            self._doubt = each.finding.learnt.doubt
        if self._doubt is not None:
            return f"none: {self._doubt}"
        condition = ", if but for the hours of the week" if self.settings.is_seasonal else ", if"
        condition += " nothing moves the rate when nothing is wrong"
        return f"at most {spoken(per_month)} on average, over all monitors{condition}"

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON."""
        state = {"check": self.about, "state": self.instance.snapshot(), "episode": self.episode.snapshot()}
        return state if self._doubt is None else {**state, "doubt": self._doubt}


def checks(monitor: Monitor, cooldown_ms: int, state: dict[str, Any] | None) -> list[Check]:
    """The monitor's checks; each goes on from the state of the same check, if there is one."""
    known = {repr(each["check"]): each for each in (state or {}).get("checks", ())}
    wanted: list[tuple[dict[str, Any], Any]] = []
    if monitor.threshold is not None:
        wanted.append(({"type": "threshold"}, monitor.threshold))
    wanted += [({}, each) for each in monitor.detectors]
    if monitor.unlabelled is not None:
        wanted.append(({"of": "unlabelled"}, monitor.unlabelled))
    found = []
    for names, settings in wanted:
        # The same check goes on when it is told to learn anew.
        about = names | settings.model_dump(mode="json", exclude_none=True, exclude={"rebaseline_at"})
        kept = known.get(repr(about))
        instance = _instance(settings, kept and kept["state"])
        episode = Episode(**kept["episode"]) if kept else Episode()
        quiet_ms = settings.cooldown if isinstance(settings, ThresholdSettings) else cooldown_ms
        doubt = kept.get("doubt") if kept else None
        found.append(Check(about, settings, instance, episode, "of" in names, quiet_ms, doubt))
    return found


def _instance(settings: Any, state: dict[str, Any] | None) -> Threshold | Detector | Budgeted:
    if isinstance(settings, ThresholdSettings):
        return Threshold(settings, state)
    if isinstance(settings, BudgetedSettings):
        return Budgeted(settings, state)
    return build(settings, state)
