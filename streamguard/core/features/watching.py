"""The predictions of all monitors that compare them with training: segments, budget, and what pairs with what."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from streamguard.config import Monitor
from streamguard.core.alerts import Alert, Status, rfc3339
from streamguard.core.budget import Flow
from streamguard.core.features.evidence import AllBets
from streamguard.core.features.gathering import Key, Window
from streamguard.core.features.inputs import Inputs
from streamguard.core.features.looks import Looks
from streamguard.core.intake import MonitorSettings
from streamguard.core.watching import meaning_of

_PAIRED = {"mismatch_drift", "loss_drift"}
# Of each segment so many beginnings and ends of episodes are remembered.
_TURNS_MAX = 64

_Turn = list[Any]
"""When, the episode (None: its end), and what was told first."""


class InputWatching:
    """Segments are made on first sight. How windows are cut into calls changes nothing."""

    def __init__(self, settings: MonitorSettings) -> None:
        self._settings = settings
        self.monitors = {each.name: each for each in settings.monitors if each.name in settings.references}
        self._bets = {name: AllBets(_looks(each, settings)) for name, each in self.monitors.items()}
        self.segments: dict[Key, Inputs] = {}
        self._sizes: Counter[str] = Counter()
        self._flows = {name: Flow(settings.share) for name in self.monitors}
        self._turns: dict[Key, list[_Turn]] = {}
        self.unwatched_count = 0
        """Predictions of segments beyond `max_segments`."""

    def watch(self, windows: Iterable[Window]) -> list[Alert]:
        """Take released windows, in order; returns alerts in order of event time."""
        alerts: list[Alert] = []
        for _, together in groupby(windows, lambda each: (each.end_ms, each.key[0])):
            alerts += self._together(list(together))
        return alerts

    def relate(self, alert: Alert) -> None:
        """Say of a mismatch what its predictions were like meanwhile: as of its event time, whatever came since."""
        key = alert.monitor, tuple(alert.segment.values())
        inputs = self.segments.get(key)
        if inputs is None or alert.kind not in _PAIRED:
            return
        alert.estimate = inputs.settled.estimate(alert.onset_ms, alert.event_time_ms)
        turns = [turn for turn in self._turns.get(key, ()) if turn[0] <= alert.event_time_ms]
        if alert.status is not Status.RESOLVED and turns and turns[-1][1] is not None:
            began_ms, episode, told = turns[-1]
            alert.related = [episode]
            words = "predictions are not as in training" if told is None else told
            alert.look_first = [f"since {rfc3339(began_ms)}, episode {episode}: {words}", *alert.look_first]

    def _together(self, windows: list[Window]) -> list[Alert]:
        """Windows of one monitor and one time."""
        monitor = self.monitors[windows[0].key[0]]
        flow = self._flows[monitor.name]
        flow.begin(windows[0].start_ms)
        if monitor.whole:
            windows.append(_summed(monitor.name, windows))
        known = [(window, inputs) for window in windows if (inputs := self._segment(monitor, window)) is not None]
        given = float(flow.at(np.array([windows[0].end_ms]))[0]) if known else 0.0
        alerts = []
        for window, inputs in known:
            alert = inputs.step(window, given)
            if alert is not None:
                self._turn(window.key, alert)
                alerts.append(alert)
        flow.settle(windows[0].end_ms)
        return alerts

    def _turn(self, key: Key, alert: Alert) -> None:
        if alert.status is Status.UPDATED:
            return
        is_begun = alert.status is Status.RAISED
        turn = [alert.event_time_ms, alert.episode if is_begun else None, next(iter(alert.look_first), None)]
        self._turns[key] = [*self._turns.get(key, ()), turn][-_TURNS_MAX:]

    def _segment(self, monitor: Monitor, window: Window) -> Inputs | None:
        """Made on first sight while the monitor has room; the whole is none of those."""
        key = window.key
        inputs = self.segments.get(key)
        if inputs is not None:
            return inputs
        is_whole = monitor.whole and key[1] == ()
        if not is_whole and self._sizes[monitor.name] >= monitor.max_segments:
            self.unwatched_count += window.rows
            return None
        self._sizes[monitor.name] += not is_whole
        self._flows[monitor.name].appear(window.start_ms)
        self.segments[key] = self._made(key, None)
        return self.segments[key]

    def _made(self, key: Key, state: Mapping[str, Any] | None) -> Inputs:
        settings = self._settings
        return Inputs(
            self.monitors[key[0]],
            key[1],
            self._bets[key[0]],
            cooldown_ms=settings.cooldown_ms,
            budget=settings.budget_per_month,
            predictions_topic=settings.predictions_topic,
            state=state,
        )

    # How it is kept.

    def meaning(self, name: str) -> dict[str, Any]:
        """What the state of a monitor's segments is about: that of another is not gone on from."""
        monitor = self.monitors[name]
        whose = {field: each for field, each in meaning_of(monitor).items() if field in {"match", "split_by"}}
        season = None if monitor.data is None else monitor.data.season
        of = self._settings.references[name].fingerprint
        return {**whose, "season": season, "of": of, "looks": len(self._bets[name].looks)}

    def wants(self, key: Key, meaning: Mapping[str, Any]) -> bool:
        """Whether a segment of this state would be gone on with."""
        monitor = self.monitors.get(key[0])
        if monitor is None or meaning != self.meaning(key[0]):
            return False
        return bool(key[1]) or monitor.whole or not monitor.split_by

    def snapshot(self) -> dict[str, Any]:
        """All but the segments, which tell by `is_changed` whether theirs is another."""
        return {
            "flows": {name: flow.snapshot() for name, flow in self._flows.items()},
            "turns": [[name, values, turns] for (name, values), turns in self._turns.items()],
        }

    def restore(self, state: Mapping[str, Any], segments: Mapping[Key, Mapping[str, Any]]) -> None:
        """As the one was that took the snapshot, whose segments had these states."""
        self.segments = {key: self._made(key, each) for key, each in segments.items()}
        self._sizes.update(name for name, values in segments if values or not self.monitors[name].whole)
        for name, flow in self._flows.items():
            flow.restore(state.get("flows", {}).get(name), sum(each == name for each, _ in segments))
        turns: Sequence[Any] = state.get("turns", ())
        self._turns = {(name, tuple(values)): each for name, values, each in turns if (name, tuple(values)) in segments}


def _looks(monitor: Monitor, settings: MonitorSettings) -> Looks:
    tolerated = 0.0 if monitor.data is None else monitor.data.tolerated
    return Looks(settings.references[monitor.name], tolerated)


def _summed(name: str, windows: Sequence[Window]) -> Window:
    """All segments together."""
    first = windows[0]
    total = Window((name, ()), first.start_ms, first.end_ms, np.zeros_like(first.counts))
    for window in windows:
        total.merge(window)
    return total
