"""Silence: records of an input that stop, or fall off, against what is usual at this hour of the week."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamguard.core.alerts import Alert, Episode, Status, rfc3339
from streamguard.core.arrivals.usual import DAY_SLOTS, LENGTHS, SLOT_MS, UNKNOWN, Usual
from streamguard.core.detectors import Direction
from streamguard.core.durations import format_duration_ms
from streamguard.core.features.gathering import Window
from streamguard.core.outcomes import NO_OFFSET, NO_SOURCE

VOLUME = "volume"
"""The kind of its alerts."""
# Minus the logarithm of 1 in 24 million: there are some 70,000 looks a month.
_FAR = 17.0
# Nothing would be as unlikely as 1 in 3,000 in a block in which something must be seen to be back.
_SEEN = 8.0
# Blocks are looked at so often while they fill.
_LOOKS = 6


@dataclass(frozen=True, slots=True)
class VolumeSettings:
    """What is told of an input, and when."""

    name: str
    """Of the monitor, as alerts have it."""
    things: str
    topic: str
    severity: str
    baseline_ms: int
    is_seasonal: bool
    falls_to: float
    """The part of what is usual below which records have fallen off."""
    silent_after_ms: int | None
    accept_after_ms: int | None


class Volume:
    """Takes the windows of all sources in order of time. What it says follows from them alone."""

    def __init__(self, settings: VolumeSettings, state: Mapping[str, Any] | None = None) -> None:
        self._settings = settings
        state = state or {}
        days = settings.baseline_ms // (DAY_SLOTS * SLOT_MS)
        self._usual = Usual(days, is_seasonal=settings.is_seasonal, state=state.get("usual"))
        self._open: dict[int, int] = dict(state.get("open", ()))
        self._last_ms: int | None = state.get("last")
        """The end of the last window that had a record."""
        self._episode = Episode(**state.get("episode", {}))
        self._length: int = state.get("length", 0)
        """Of the block, in slots, that the open episode was seen in."""
        self._part: float = state.get("part", 0.0)
        """Of what was usual, what came in that block."""
        self._recent: list[int] = list(state.get("recent", ()))
        """The slots since it was raised."""

    def take(self, window: Window) -> None:
        """A released window."""
        if not window.rows:
            return
        slot = window.start_ms // SLOT_MS
        if self._usual.next is None:
            self._usual.next = slot
        self._open[slot] = self._open.get(slot, 0) + window.rows
        self._last_ms = max(self._last_ms or 0, window.end_ms)

    def wait(self, until_ms: int) -> list[Alert]:
        """All windows that end by then were taken."""
        usual, alerts = self._usual, []
        if usual.next is None:
            return []
        end = until_ms // SLOT_MS
        while usual.next < end:
            if usual.next * SLOT_MS - (self._last_ms or 0) >= 2 * len(usual) * SLOT_MS:
                # Of a silence without end nothing is learnt, and nothing more is told.
                usual.clear()
                self._recent.clear()
                usual.next = end
                break
            count = self._open.pop(usual.next, 0)
            if self._episode.id is None:
                usual.add(count)
            else:
                # What has not been usual must not become it.
                usual.add(UNKNOWN)
                self._recent = [*self._recent, count][-LENGTHS[-1] :]
            alerts += self._close(usual.next * SLOT_MS)
        return alerts

    def _close(self, now_ms: int) -> list[Alert]:
        """A slot is over."""
        if self._episode.id is None:
            found = self._fallen(now_ms)
            return [] if found is None else [self._raised(now_ms, found)]
        return self._recover(now_ms)

    def _fallen(self, now_ms: int) -> "_Fallen | None":
        settings, usual = self._settings, self._usual
        last_ms = self._last_ms or 0
        if settings.silent_after_ms is not None and now_ms - last_ms >= settings.silent_after_ms:
            return _Fallen(0, None, (now_ms - last_ms) // SLOT_MS, last_ms)
        if not usual.is_learnt or usual.next is None:
            return None
        for length in LENGTHS:
            if usual.next % max(1, length // _LOOKS):
                continue
            block = usual.block(length)
            if block is None or block.expected <= 0 or block.came > settings.falls_to * block.expected:
                continue
            if block.surprise >= _FAR:
                since_ms = last_ms if block.came == 0 else now_ms - length * SLOT_MS
                return _Fallen(block.came, block.expected, length, min(since_ms, now_ms))
        return None

    def _raised(self, now_ms: int, found: "_Fallen") -> Alert:
        episode = self._episode
        self._length, self._part = max(1, found.length), found.count / (found.expected or 1)
        self._usual.forget(max(found.since_ms // SLOT_MS, (now_ms // SLOT_MS) - LENGTHS[-1]))
        episode.raised_ms, episode.onset_ms = now_ms, found.since_ms
        alert = self._alert(now_ms, Status.RAISED, found)
        episode.id = alert.episode = alert.id
        alert.look_first = [self._told(found)]
        return alert

    def _recover(self, now_ms: int) -> list[Alert]:
        settings, usual, episode = self._settings, self._usual, self._episode
        is_old = settings.accept_after_ms is not None and now_ms - episode.raised_ms >= settings.accept_after_ms
        back = self._back(now_ms)
        if back is None and not is_old:
            return []
        alert = self._alert(now_ms, Status.RESOLVED, back or _Fallen(0, None, 0, now_ms))
        alert.episode, alert.resolution = episode.id or "", "accepted" if back is None else "recovered"
        alert.duration_ms = now_ms - episode.raised_ms
        if back is None:
            usual.clear()
        self._recent.clear()
        episode.id, episode.closed_ms = None, now_ms
        return [alert]

    def _back(self, now_ms: int) -> "_Fallen | None":
        """A block since the episode began in which as much came as is usual."""
        usual, settings = self._usual, self._settings
        if not usual.is_learnt:
            is_back = self._last_ms is not None and self._last_ms > self._episode.raised_ms
            return _Fallen(1, None, 1, now_ms) if is_back else None
        enough = (1 + settings.falls_to) / 2
        for length in LENGTHS:
            if length > max(self._length, LENGTHS[0]) or length > len(self._recent):
                break
            block = usual.block(length, self._recent)
            if block is None or block.came < enough * block.expected:
                continue
            # A few records by chance are no recovery of a stream that has fallen to a part.
            if block._replace(came=0).surprise >= _SEEN and block.excess(self._part) >= _SEEN:
                return _Fallen(block.came, block.expected, length, now_ms - length * SLOT_MS)
        return None

    def _told(self, found: "_Fallen") -> str:
        settings = self._settings
        where = f"look at what writes topic {settings.topic}"
        if found.count == 0:
            usual = (
                "" if found.expected is None else f", where {_about(found.expected)} are usual at this time of the week"
            )
            return f"no {settings.things} since {rfc3339(found.since_ms)}{usual}: {where}"
        percent = 100 * found.count / (found.expected or 1)
        span = format_duration_ms(found.length * SLOT_MS)
        return f"{settings.things} fell to {percent:.2g}% of what is usual, over {span}: {where}"

    def _alert(self, now_ms: int, status: Status, found: "_Fallen") -> Alert:
        settings = self._settings
        alert = Alert(
            status=status,
            kind=VOLUME,
            severity=settings.severity,
            monitor=settings.name,
            segment={},
            model=None,
            version=None,
            check={
                "type": "volume",
                "topic": settings.topic,
                "falls_to_percent": round(100 * settings.falls_to, 6),
                "silent_after_ms": settings.silent_after_ms,
                "season": "hour_of_week" if settings.is_seasonal else "none",
            },
            event_time_ms=now_ms,
            trigger=(now_ms, NO_SOURCE, NO_OFFSET, NO_OFFSET),
            direction=Direction.UNKNOWN,
        )
        alert.onset_ms = self._episode.onset_ms
        alert.volume = {
            "topic": settings.topic,
            "count": found.count,
            "expected": None if found.expected is None else round(found.expected, 2),
            "over_s": found.length * SLOT_MS // 1000,
        }
        return alert

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "usual": self._usual.snapshot(),
            "open": sorted(self._open.items()),
            "last": self._last_ms,
            "episode": self._episode.snapshot(),
            "length": self._length,
            "part": self._part,
            "recent": self._recent,
        }


@dataclass(frozen=True, slots=True)
class _Fallen:
    """A block of slots: what came, what was expected, where that is known, and since when."""

    count: int
    expected: float | None
    length: int
    since_ms: int


def _about(expected: float) -> str:
    return f"{expected:,.0f}" if expected >= 10 else f"{expected:.2g}"
