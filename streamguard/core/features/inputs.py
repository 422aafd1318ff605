"""What one monitored segment's predictions carry, held against training: one episode, whatever moves together."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamguard.config import Monitor
from streamguard.core.alerts import Alert, Episode, Status
from streamguard.core.budget import spoken
from streamguard.core.detectors import Direction
from streamguard.core.durations import format_duration_ms
from streamguard.core.features.evidence import DOWN, UP, AllBets, Evidence, weighed
from streamguard.core.features.finding import Found, deviations, found, means
from streamguard.core.features.gathering import Window
from streamguard.core.features.moved import Moved
from streamguard.core.features.recent import COUNT_MAX, Pane, Recent
from streamguard.core.features.reference import DECLARED, Ints, Kind
from streamguard.core.features.settled import Settled
from streamguard.core.features.skew import Skew
from streamguard.core.features.trouble import Named, Trouble
from streamguard.core.features.usual import HOUR_MS, Levels, Usual
from streamguard.core.outcomes import NO_OFFSET, NO_SOURCE

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

DATA_DRIFT, PREPROCESSING = "data_drift", "preprocessing"
"""Kinds of alerts."""
_GIVEN_MAX = 0.01
_SOONER = 12
_TOLD = 20
_RANKED = 10
_EXAMPLES = 5


class Inputs:
    """`step` takes windows in order of event time; how they were gathered changes nothing."""

    def __init__(
        self,
        monitor: Monitor,
        values: Sequence[str | None],
        bets: AllBets,
        *,
        cooldown_ms: int,
        budget: float,
        predictions_topic: str,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        settings = monitor.data
        if settings is None:
            raise ValueError(f"monitor {monitor.name!r} has no data section")
        looks = bets.looks
        self._monitor, self._settings, self._looks, self._bets = monitor, settings, looks, bets
        self._named = dict(zip(monitor.split_by, values, strict=True)) if values else {}
        self._cooldown_ms, self._budget, self._topic = cooldown_ms, budget, predictions_topic
        self._levels: tuple[int, Levels] | None = None
        """With the hour that they are of."""
        state = state or {}
        self._usual = Usual(looks, is_seasonal=settings.is_seasonal)
        self._is_learning: bool = state.get("learning", settings.baseline_ms > 0)
        self._evidence = Evidence(looks, state.get("evidence"))
        self._recent = Recent(state.get("recent"), looks.reference.size)
        self._skew = Skew(looks, state.get("skew"))
        self._episode = Episode(**state.get("episode", {}))
        self._trouble = Trouble(looks, state.get("trouble"))
        self._given: float | None = state.get("given")
        self._untold: list[int] = list(state.get("untold", ()))
        """Looks that have moved, and that no alert of the episode has named."""
        self._kind: str = state.get("kind", "")
        """Of the episode that is open: that of its first alert, whatever is named later."""
        self.settled = Settled(state.get("settled"))
        if "usual" in state:
            self._usual.restore(state["usual"])
        self.is_changed = not state

    def step(self, window: Window, given: float) -> Alert | None:
        """Take a window; `given`: the budget that has flowed by its end, in false alarms."""
        self.is_changed = True
        usual = self._usual
        if usual.start_ms is None:
            usual.start_ms, usual.given = window.start_ms, given
        before = given if self._given is None else self._given
        stake, self._given = min(max(given - before, 0.0), _GIVEN_MAX), given
        self.settled.add(window)
        self._recent.add(window)
        gathered = self._looks.gathered(np.minimum(window.counts, COUNT_MAX))
        skewed = self._learn(window, gathered, given)
        levels = self._levels_at(window.start_ms)
        held = self._bets.at(levels, is_learning=self._is_learning)
        logs = weighed(held.likelihood, gathered)
        parts = held.parts
        if self._episode.id is not None:
            known = self._trouble.known()
            parts = np.where(known[:, None], -math.inf, parts)
            self._evidence.forget(known)
        is_alarm = self._evidence.take(logs, stake, parts)
        alert = self._recovered(window, gathered, stake, levels)
        is_enough = self._recent.rows >= self._settings.min_samples
        if alert is None and is_enough and (is_alarm or skewed is not None):
            alert = self._alarm(window, parts, levels, skewed)
        elif alert is None and self._untold:
            alert = self._update(window)
        return alert

    # How it learns.

    def _learn(self, window: Window, gathered: Ints, given: float) -> Mask | None:
        """Take a window into what is usual; returns which looks differ grossly from training, after a day of it."""
        usual, settings = self._usual, self._settings
        if not self._is_learning or usual.start_ms is None:
            return None
        is_over = window.start_ms >= usual.start_ms + settings.baseline_ms and usual.rows >= settings.min_samples
        if is_over:
            usual.close()
            usual.spent = given - usual.given
            self._is_learning, self._levels = False, None
            self._evidence.clear()
            return None
        sums = self._looks.sums(gathered)
        usual.take(window.start_ms, window.rows, sums)
        return self._skew.take(window.start_ms, settings.window_ms, sums)

    def _levels_at(self, time_ms: int) -> Levels:
        hour = time_ms // HOUR_MS
        if self._levels is None or self._levels[0] != hour:
            usual = self._usual
            is_known = bool(usual.rows) and not self._is_learning
            levels = usual.levels((time_ms, time_ms + 1) if is_known else None, self._settings.tolerance)
            self._levels = hour, levels
        return self._levels[1]

    # What it tells.

    def _alarm(self, window: Window, parts: Floats, levels: Levels, skewed: Mask | None) -> Alert | None:
        """Something has moved that is not known yet; it is told at once, or with what else moves these minutes."""
        known = self._trouble.known()
        what = self._found(self._evidence.leader(parts), known, skewed)
        self._evidence.clear()
        named = [each for each in what.named if not known[each[0]]]
        if not named:
            return None
        onsets = {look: self._begun(what.since, look) for look, _ in named}
        self._trouble.name(named, onsets, means(self._looks, what.since), levels)
        self._untold += [look for look, _ in named]
        episode = self._episode
        if episode.id is not None:
            return self._update(window)
        episode.raised_ms = episode.last_alert_ms = window.end_ms
        episode.updates, episode.onset_ms = 0, min(onsets.values())
        return self._alert(window, Status.RAISED, what.since)

    def _update(self, window: Window) -> Alert | None:
        """What has moved besides, not each by itself."""
        episode = self._episode
        if window.end_ms - episode.last_alert_ms < self._cooldown_ms // _SOONER:
            episode.absorbed += 1
            return None
        episode.last_alert_ms = window.end_ms
        episode.updates += 1
        onset_ms = min(self._trouble.onsets_ms[look] for look in self._untold)
        return self._alert(window, Status.UPDATED, self._recent.since(onset_ms))

    def _found(self, leader: Named, known: Mask, skewed: Mask | None) -> Found:
        """What has moved: over a day, or as far as there is evidence."""
        if skewed is not None:
            since = self._recent.since(0)
            mean = means(self._looks, since)
            places = np.flatnonzero(skewed).tolist()
            return Found(since, [(place, UP if mean[place] > self._looks.level[place] else DOWN) for place in places])
        tolerance, is_learning = self._settings.tolerance, self._is_learning
        return found(self._bets, self._recent, self._usual, leader, known, tolerance=tolerance, is_learning=is_learning)

    def _recovered(self, window: Window, gathered: Ints, stake: float, levels: Levels) -> Alert | None:
        """Whether the trouble is over, or is taken for usual from now on."""
        episode, settings = self._episode, self._settings
        if episode.id is None:
            return None
        is_over = self._trouble.take(gathered, stake, levels)
        is_contract = any(self._looks.is_contract[look] for look, _ in self._trouble.named)
        # Without a baseline nothing could be learnt anew: it would be told again at once.
        accept_ms = settings.accept_after_ms if settings.baseline_ms else None
        is_old = accept_ms is not None and window.end_ms - episode.raised_ms >= accept_ms
        if not is_over and (is_contract or not is_old):
            return None
        if not is_over:
            self._learn_anew(window)
        since = self._recent.since(window.start_ms, settings.min_samples)
        alert = self._alert(window, Status.RESOLVED, since)
        alert.resolution = "recovered" if is_over else "accepted"
        alert.duration_ms = window.end_ms - episode.raised_ms
        episode.id, episode.closed_ms = None, window.end_ms
        self._trouble.clear()
        self._untold.clear()
        self._evidence.clear()
        return alert

    def _learn_anew(self, window: Window) -> None:
        self._usual = Usual(self._looks, is_seasonal=self._settings.is_seasonal)
        self._usual.start_ms, self._usual.given = window.end_ms, self._given or 0.0
        self._is_learning, self._levels = self._settings.baseline_ms > 0, None
        # What has been accepted must not be told again as unlike training.
        self._skew = Skew(self._looks, None, is_off=True)

    def _alert(self, window: Window, status: Status, since: Pane) -> Alert:
        news, moved = self._moved(since, is_over=status is Status.RESOLVED)
        if status is Status.RAISED:
            columns = self._looks.reference.columns
            is_step = any(columns[self._looks.all[look].column].kind is Kind.STEP for look in self._untold)
            self._kind = PREPROCESSING if is_step else DATA_DRIFT
        self._untold.clear()
        monitor, episode, reference = self._monitor, self._episode, self._looks.reference
        onset_ms = episode.onset_ms
        alert = Alert(
            status=status,
            kind=self._kind,
            severity=monitor.severity,
            monitor=monitor.name,
            segment=self._named,
            model=_text(monitor.match.get("model", self._named.get("model"))),
            version=_text(monitor.match.get("version", self._named.get("version"))),
            check=self._about(),
            event_time_ms=window.end_ms,
            trigger=(window.end_ms, NO_SOURCE, NO_OFFSET, NO_OFFSET),
            direction=Direction.UNKNOWN,
        )
        alert.onset_ms = onset_ms
        alert.guarantee = self._guarantee()
        ranking = self._ranking(since)
        alert.features = {"profile": reference.profile, "rows": since.rows, "moved": moved, "ranking": ranking}
        alert.estimate = self.settled.estimate(onset_ms, window.end_ms)
        if status is Status.RAISED:
            episode.id = alert.id
        else:
            alert.absorbed, episode.absorbed = episode.absorbed, 0
        alert.episode = episode.id or ""
        if status is not Status.RESOLVED:
            alert.look_first = [each["told"] for each in moved[:news][:_TOLD]]
            examples = dict.fromkeys(each["example"]["request_id"] for each in moved[:news] if "example" in each)
            alert.examples = list(examples)[:_EXAMPLES]
        ordered = sorted(since.offsets.items())
        alert.source = {self._topic: {str(source): [first, last + 1] for source, (first, last) in ordered}}
        return alert

    def _ranking(self, since: Pane) -> list[dict[str, Any]]:
        """The features that are the farthest from what is usual, certain or not."""
        looks, by_feature = self._looks, dict[str, float]()
        for look, each in zip(looks.all, self._deviations(since).tolist(), strict=True):
            column = looks.reference.columns[look.column]
            if column.kind not in DECLARED:
                by_feature[column.feature] = max(by_feature.get(column.feature, 0.0), each)
        ranked = sorted(by_feature.items(), key=lambda each: -each[1])[:_RANKED]
        return [{"feature": name, "moved": round(each, 4)} for name, each in ranked]

    def _moved(self, since: Pane, *, is_over: bool) -> tuple[int, list[dict[str, Any]]]:
        """What has moved, each since its own onset, or as it is now: how many of them are news, which come first.

        Of these steps come first, then what has moved the farthest.
        """
        looks, trouble, offsets = self._looks, self._trouble, self._looks.reference.offsets
        known = trouble.known()
        moved = []
        for place, direction in trouble.named:
            if not is_over and not known[place]:
                continue
            look = looks.all[place]
            own = since if is_over else self._recent.since(trouble.onsets_ms[place])
            live = own.counts[offsets[look.column] : offsets[look.column + 1]].astype(np.int64)
            distance = float(self._deviations(own)[place])
            column, example = looks.reference.columns[look.column], own.examples.get(look.column)
            moved.append(Moved(place, look, column, live, direction == UP, distance, example))
        untold = set(self._untold)
        moved.sort(key=lambda each: (each.place not in untold, each.column.kind not in DECLARED, -each.deviations))
        return len(untold), [each.fields(trouble.onsets_ms[each.place]) for each in moved]

    def _begun(self, since: Pane, look: int) -> int:
        """Since when a look is not as it was: of what is declared the first example, else the start of a pane."""
        column = self._looks.all[look].column
        if self._looks.is_contract[look] and column in since.examples:
            return max(since.start_ms, since.examples[column][1].time_ms)
        return since.start_ms

    def _deviations(self, since: Pane) -> Floats:
        return deviations(self._looks, since, self._usual, is_learning=self._is_learning)

    def _about(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "type": "data",
            "window": format_duration_ms(settings.window_ms),
            "tolerance": settings.tolerance,
            "season": "hour_of_week" if settings.is_seasonal else "none",
            "baseline": format_duration_ms(settings.baseline_ms),
        }

    def _guarantee(self) -> str:
        settings = self._settings
        words = f"at most {spoken(self._budget)} on average, over all monitors, if predictions"
        independent = "are independent of each other"
        if self._kind == PREPROCESSING:
            return f"{words} {independent}, and steps would change {settings.tolerated_percent:g}% of them at most"
        if self._is_learning:
            return "none: what is usual is still learnt"
        if settings.baseline_ms:
            return f"{words} depend on each other no more than in the baseline"
        return f"{words} {independent}, and training is all that is usual"

    # How it is kept.

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "learning": self._is_learning,
            "usual": self._usual.snapshot(),
            "evidence": self._evidence.snapshot(),
            "recent": self._recent.snapshot(),
            "skew": self._skew.snapshot(),
            "episode": self._episode.snapshot(),
            "trouble": self._trouble.snapshot(),
            "given": self._given,
            "kind": self._kind,
            "untold": self._untold,
            "settled": self.settled.snapshot(),
        }


def _text(value: object) -> str | None:
    return None if value is None else str(value)
