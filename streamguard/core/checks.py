"""The checks of one monitored stream, whatever their kind: what they notice, and what can be promised of it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamguard.config import Monitor
from streamguard.core.alerts import Episode
from streamguard.core.budgeted import Budgeted
from streamguard.core.detectors import BudgetedSettings, Detector, Direction, build
from streamguard.core.history import Mean
from streamguard.core.threshold import Threshold

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# 2**10 hours are six weeks.
_DOUBLINGS_MAX = 10


@dataclass(order=True, frozen=True, slots=True)
class Signal:
    """A check has something to say; `mean` is its window's own level, where it has a window."""

    place: int
    check: int
    is_alarm: bool
    direction: Direction
    mean: Mean | None = field(default=None, compare=False)
    is_wake: bool = False
    note: str | None = field(default=None, compare=False)


@dataclass(slots=True)
class Check:
    """A check with its episode."""

    about: dict[str, Any]
    settings: Any
    instance: Threshold | Detector | Budgeted
    episode: Episode
    _cooldown_ms: int

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

    def signals(self, number: int, times_ms: Ints, losses: Floats, given: Floats) -> list[Signal]:
        """What it notices in these losses; `given` is the budget that has flowed by each."""
        instance = self.instance
        if isinstance(instance, Threshold):
            return [
                Signal(
                    each.index,
                    number,
                    each.alarm,
                    Direction.WORSE if each.alarm else Direction.BETTER,
                    Mean(each.count, float(each.mismatches)),
                )
                for each in instance.update(times_ms, losses)
            ]
        if isinstance(instance, Budgeted):
            return [
                Signal(
                    each.index,
                    number,
                    each.is_alarm,
                    each.direction,
                    note="the level was accepted as the new baseline" if each.is_accepted else None,
                )
                for each in instance.update(times_ms, losses, given)
            ]
        return [Signal(drift.index, number, True, drift.direction) for drift in instance.update(losses)]

    def guarantee(self, per_month: float) -> str:
        """What its alarms can be trusted for, where all budgeted detectors together may err so often."""
        if not isinstance(self.instance, Budgeted):
            return f"none: nobody knows how often {self.about['type']} alarms though nothing is wrong"
        doubt = self.instance.doubt
        if doubt is not None:
            return f"none: {doubt}"
        times = "1 false alarm" if per_month == 1 else f"{per_month:g} false alarms"
        condition = "" if self.settings.is_seasonal else ", if the rate has no season"
        return f"at most {times} a month on average, over all monitors{condition}"

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"check": self.about, "state": self.instance.snapshot(), "episode": self.episode.snapshot()}


def checks(monitor: Monitor, cooldown_ms: int, state: dict[str, Any] | None) -> list[Check]:
    """The monitor's checks; each goes on from the state of the same check, if there is one."""
    known = {repr(each["check"]): each for each in (state or {}).get("checks", ())}
    found = []
    settings: list[Any] = [*([monitor.threshold] if monitor.threshold else []), *monitor.detectors]
    for each in settings:
        # The same check goes on when it is told to learn anew.
        about = each.model_dump(mode="json", exclude_none=True, exclude={"rebaseline_at"})
        is_threshold = each is monitor.threshold
        about = {"type": "threshold", **about} if is_threshold else about
        kept = known.get(repr(about))
        old = kept["state"] if kept else None
        instance: Threshold | Detector | Budgeted
        if is_threshold:
            instance = Threshold(each, old)
        elif isinstance(each, BudgetedSettings):
            instance = Budgeted(each, old)
        else:
            instance = build(each, old)
        episode = Episode(**kept["episode"]) if kept else Episode()
        found.append(Check(about, each, instance, episode, each.cooldown if is_threshold else cooldown_ms))
    return found
