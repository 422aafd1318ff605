"""The message contract of one input: what its records differ in, as one episode."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streamguard.core.alerts import Alert, Episode, Status
from streamguard.core.arrivals.differing import fields, version_of
from streamguard.core.arrivals.evidence import Course, Told, allowed, is_alarm
from streamguard.core.budget import MONTH_MS, spoken
from streamguard.core.contract.fields import HARMLESS, KINDS, Contract, Kind
from streamguard.core.detectors import Direction
from streamguard.core.features.gathering import Window
from streamguard.core.outcomes import NO_OFFSET, NO_SOURCE

CONTRACT = "message_contract"
"""The kind of its alerts."""
_STAKE_MAX = 0.01
_SOONER = 12
_TOLD = 20
_RECOVERED_ROWS = 500
_RECOVERED_PART = 0.1
# What is accepted may come half as often again as it did.
_ACCEPTED_ROOM = 1.5


@dataclass(frozen=True, slots=True)
class ContractSettings:
    """What is told of an input, and to whom."""

    name: str
    """Of the monitor, as alerts have it."""
    things: str
    """What the records are called."""
    topic: str
    contract: Contract
    severity: str
    tolerance: float
    cooldown_ms: int
    accept_after_ms: int | None
    share: float
    """Of the budget, in false alarms a month."""
    budget: float
    """Of all monitors."""


@dataclass(slots=True)
class _Named:
    """A mark that was told, and what has come of it since."""

    course: Course
    recent: list[tuple[int, int]] = field(default_factory=list)
    """Rows and marks of the latest windows."""

    def take(self, rows: int, count: int) -> None:
        self.course.rows += rows
        self.course.count += count
        self.recent.append((rows, count))
        while len(self.recent) > 1 and sum(each for each, _ in self.recent[1:]) >= _RECOVERED_ROWS:
            self.recent.pop(0)

    def is_over(self, level: float) -> bool:
        rows, count = (sum(each) for each in zip(*self.recent, strict=True)) if self.recent else (0, 0)
        peak = self.course.count / max(1, self.course.rows)
        return rows >= _RECOVERED_ROWS and count <= rows * (level + _RECOVERED_PART * max(0.0, peak - level))


class Changes:
    """Takes the windows of all sources, in order of time; how they were gathered changes nothing."""

    def __init__(self, settings: ContractSettings, state: Mapping[str, Any] | None = None) -> None:
        self._settings = settings
        state = state or {}
        self._last_ms: int | None = state.get("last")
        self._courses = {mark: Course.restored(each) for mark, each in state.get("courses", ())}
        self._named = {
            mark: _Named(Course.restored(course), [(rows, count) for rows, count in recent])
            for mark, course, recent in state.get("named", ())
        }
        self._accepted: dict[int, float] = dict(state.get("accepted", ()))
        """How often marks may come that were told, and stayed."""
        self._untold: list[int] = list(state.get("untold", ()))
        self._episode = Episode(**state.get("episode", {}))

    def take(self, together: Sequence[Window]) -> list[Alert]:
        """The windows of one time, one for each version of the model."""
        start_ms, end_ms = together[0].start_ms, together[0].end_ms
        stake = self._stake(start_ms, end_ms)
        rows = sum(each.rows for each in together)
        counts: dict[int, int] = {}
        for window in sorted(together, key=lambda each: repr(each.key)):
            self._spread(window, counts, start_ms)
        for mark, course in self._courses.items():
            course.take(rows, counts.get(mark, 0), stake, self._level(mark))
        for mark, named in self._named.items():
            named.take(rows, counts.get(mark, 0))
        found = []
        if is_alarm(list(self._courses.values()), self._settings.contract.size):
            self._name()
            found += self._tell(end_ms)
        elif self._untold:
            found += self._tell(end_ms)
        found += self._recover(end_ms)
        self._courses = {mark: each for mark, each in self._courses.items() if not each.is_faint(stake)}
        return found

    def _stake(self, start_ms: int, end_ms: int) -> float:
        passed_ms = end_ms - (start_ms if self._last_ms is None else min(self._last_ms, end_ms))
        self._last_ms = end_ms
        return min(self._settings.share * passed_ms / MONTH_MS, _STAKE_MAX)

    def _spread(self, window: Window, counts: dict[int, int], start_ms: int) -> None:
        """Add up the marks of a window, and begin to follow those that are new."""
        version = window.key[1][0]
        for mark in np.flatnonzero(window.counts).tolist():
            count = int(window.counts[mark])
            counts[mark] = counts.get(mark, 0) + count
            if mark in self._named:
                self._named[mark].course.note(version, count)
                continue
            if self._level(mark) >= 1:
                continue
            course = self._courses.setdefault(mark, Course(start_ms))
            course.note(version, count)
            if course.since_ms == start_ms:
                for source, (first, _) in window.offsets.items():
                    course.offsets[source] = min(first, course.offsets.get(source, first))
                source, one = window.examples.get(mark, (NO_SOURCE, None))
                told = course.example
                if one is not None and (told is None or (source, one.offset) < (told.partition, told.offset)):
                    course.example = Told(source, one.offset, one.time_ms, one.request_id, list(one.shown))

    def _level(self, mark: int) -> float:
        known = self._accepted.get(mark)
        return known if known is not None else allowed(self._settings.contract.level(mark), self._settings.tolerance)

    def _name(self) -> None:
        """What there is evidence enough for by itself; the strongest in any case."""
        leader = max(self._courses, key=lambda mark: (self._courses[mark].evidence, -mark))
        for mark in sorted(self._courses):
            if mark == leader or self._courses[mark].evidence >= 0:
                self._named[mark] = _Named(self._courses.pop(mark))
                self._untold.append(mark)

    def _tell(self, end_ms: int) -> list[Alert]:
        episode = self._episode
        if all(Kind(mark % KINDS) in HARMLESS for mark in self._untold) and episode.id is None:
            return [self._notice(end_ms)]
        if episode.id is None:
            episode.raised_ms = episode.last_alert_ms = end_ms
            episode.updates, episode.onset_ms = 0, min(self._named[mark].course.since_ms for mark in self._untold)
            return [self._alert(end_ms, Status.RAISED, self._untold)]
        if end_ms - episode.last_alert_ms < self._settings.cooldown_ms // _SOONER:
            episode.absorbed += 1
            return []
        episode.last_alert_ms = end_ms
        episode.updates += 1
        return [self._alert(end_ms, Status.UPDATED, self._untold)]

    def _notice(self, end_ms: int) -> Alert:
        """New fields alone: told once, and usual from now on."""
        marks = list(self._untold)
        alert = self._alert(end_ms, Status.RAISED, marks)
        for mark in marks:
            self._accepted[mark] = 1.0
            del self._named[mark]
        self._episode.id = None
        return alert

    def _recover(self, end_ms: int) -> list[Alert]:
        episode, settings = self._episode, self._settings
        if episode.id is None:
            return []
        is_old = settings.accept_after_ms is not None and end_ms - episode.raised_ms >= settings.accept_after_ms
        over = [mark for mark, each in self._named.items() if each.is_over(self._level(mark))]
        breaking = [mark for mark in self._named if Kind(mark % KINDS) not in HARMLESS]
        if not is_old and not set(breaking) <= set(over):
            # What came back by itself is not told again, unless it begins anew.
            for mark in set(over) - set(self._untold):
                del self._named[mark]
            return []
        alert = self._alert(end_ms, Status.RESOLVED, [])
        alert.resolution = "accepted" if is_old else "recovered"
        alert.duration_ms = end_ms - episode.raised_ms
        for mark, each in self._named.items():
            if mark not in over:
                rate = each.course.count / max(1, each.course.rows)
                self._accepted[mark] = min(1.0, _ACCEPTED_ROOM * rate)
        episode.id, episode.closed_ms = None, end_ms
        self._named.clear()
        self._untold.clear()
        return [alert]

    def _alert(self, end_ms: int, status: Status, news: Sequence[int]) -> Alert:
        settings, episode = self._settings, self._episode
        contract = settings.contract
        all_named = [
            (mark, each.course) for mark, each in sorted(self._named.items(), key=lambda each: _order(each[0]))
        ]
        ordered = sorted(all_named, key=lambda each: each[0] not in news)
        changes = [
            fields(contract, mark, course, contract.level(mark), all_named, settings.things)
            for mark, course in ordered[:_TOLD]
        ]
        is_harmless = all(not each["breaking"] for each in changes)
        courses = [course for _, course in all_named]
        alert = Alert(
            status=status,
            kind=CONTRACT,
            severity="info" if is_harmless and status is Status.RAISED else settings.severity,
            monitor=settings.name,
            segment={},
            model=None,
            version=version_of(courses) if courses else None,
            check={"type": "contract", "topic": settings.topic, "tolerance": settings.tolerance},
            event_time_ms=end_ms,
            trigger=(end_ms, NO_SOURCE, NO_OFFSET, NO_OFFSET),
            direction=Direction.UNKNOWN,
        )
        alert.onset_ms = episode.onset_ms if episode.onset_ms is not None else end_ms
        alert.guarantee = (
            f"at most {spoken(settings.budget)} on average, over all monitors, if records differ independently of each"
            " other, and no more often than the contract says"
        )
        alert.contract = {"topic": settings.topic, "fingerprint": contract.fingerprint, "changes": changes}
        if status is Status.RAISED:
            episode.id = alert.id
            alert.onset_ms = min(course.since_ms for course in courses)
        else:
            alert.absorbed, episode.absorbed = episode.absorbed, 0
        alert.episode = episode.id or ""
        if status is not Status.RESOLVED:
            told = [change for (mark, _), change in zip(ordered, changes, strict=False) if mark in news]
            alert.look_first = [change["told"] for change in told]
            ids = [change["example"]["request_id"] for change in told if "example" in change]
            alert.examples = [each for each in dict.fromkeys(ids) if each][:5]
            self._untold.clear()
        return alert

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "last": self._last_ms,
            "courses": [[mark, each.snapshot()] for mark, each in self._courses.items()],
            "named": [[mark, each.course.snapshot(), each.recent] for mark, each in self._named.items()],
            "accepted": list(self._accepted.items()),
            "untold": self._untold,
            "episode": self._episode.snapshot(),
        }


def _order(mark: int) -> tuple[int, int]:
    """What is gone or of another type first; that a record was rejected, which follows from it, after that."""
    place, kind = divmod(mark, KINDS)
    return kind if kind != Kind.REJECTED else KINDS, place
