"""What people hear of changes: episodes, each raised, updated at most once a cooldown, and resolved."""

from dataclasses import dataclass
from typing import Any

from streamguard.core.alerts import Alert, Episode, Status, signal
from streamguard.core.detectors import Direction
from streamguard.core.environment.change import Change

KIND = "environment"

Told = tuple[Status, Change, Episode]
"""What a change makes of its episode. The ID of one that is raised, or resolved, is the caller's to settle."""


@dataclass(slots=True)
class _Open:
    """The episode of one subject, and the latest change of it."""

    episode: Episode
    change: Change


class Episodes:
    """Of all subjects. One that has ended is forgotten when its cooldown is over."""

    def __init__(self, cooldown_ms: int, state: list[Any] | None = None) -> None:
        self._cooldown_ms = cooldown_ms
        self._open = {each[0]: _Open(Episode(**each[1]), Change(**each[2])) for each in state or ()}

    def take(self, change: Change, time_ms: int) -> list[Told]:
        """What a change makes of the episode that it is about."""
        kept = self._open.get(change.subject)
        if kept is None:
            if not change.is_wrong:
                return []
            kept = self._open[change.subject] = _Open(Episode(), change)
        kept.change = change
        return self._told(kept, time_ms)

    def wait(self, time_ms: int) -> list[Told]:
        """What had to wait for the end of a cooldown: new trouble that lasts, or a change of what is open."""
        found: list[Told] = []
        for subject, kept in [*self._open.items()]:
            episode = kept.episode
            if episode.id is not None:
                if episode.absorbed and time_ms - episode.last_alert_ms >= self._cooldown_ms:
                    # That change was counted when it came.
                    found += self._told(kept, time_ms)
            elif time_ms - (episode.closed_ms or 0) >= self._cooldown_ms:
                if episode.muted:
                    found += self._told(kept, time_ms)
                else:
                    del self._open[subject]
        return found

    def snapshot(self) -> list[Any]:
        """Plain JSON."""
        return [
            [subject, each.episode.snapshot(), {name: getattr(each.change, name) for name in Change.__slots__}]
            for subject, each in self._open.items()
        ]

    def _told(self, kept: _Open, time_ms: int) -> list[Told]:
        status = signal(
            kept.episode,
            is_alarm=kept.change.is_wrong,
            direction=Direction.UNKNOWN,
            time_ms=time_ms,
            cooldown_ms=self._cooldown_ms,
        )
        return [] if status is None else [(status, kept.change, kept.episode)]


def alert_of(told: Told, about: dict[str, Any], time_ms: int, where: tuple[str, int, int]) -> Alert:
    """The alert of an episode, which it changes. `where`: topic, partition and offset of the record that set it off.

    `about`: name of the monitor and severity.
    """
    status, change, episode = told
    topic, partition, offset = where
    details = {name: value for name, value in change.details.items() if name not in ("model", "version")}
    alert = Alert(
        status=status,
        kind=KIND,
        segment={},
        model=change.details.get("model"),
        version=change.details.get("version"),
        check={"type": KIND, "subject": change.subject},
        event_time_ms=time_ms,
        trigger=(time_ms, partition, offset, -1),
        direction=Direction.UNKNOWN,
        onset_ms=change.since_ms,
        source={topic: {str(partition): [offset, offset + 1]}},
        environment={"told": change.told, "details": details},
        **about,
    )
    if status is Status.RAISED:
        episode.id = alert.id
    alert.episode = episode.id or ""
    if status is Status.UPDATED:
        alert.absorbed, episode.absorbed = episode.absorbed, 0
    if status is Status.RESOLVED:
        alert.duration_ms, alert.resolution = time_ms - episode.raised_ms, "recovered"
        alert.absorbed, episode.absorbed = episode.absorbed, 0
        episode.id = None
    else:
        alert.look_first = [change.told]
    return alert
