"""Whether an alert starts a retraining: at most one an episode, and some time between two.

Theory of operation. A run is begun only after its `started` stands on the alerts topic, committed under the handler's
own membership of its group, and what it has come to stands there later. So the topic says what was run, to whoever
comes after, and is the only memory. A `started` names its run, by a number that its process has drawn: one without an
end that is none of this process was under way when its process was lost. It may have come to its end or not, and is
never begun again.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from streamguard.config.handlers import RetrainHandler
from streamguard.core.alerts import Alert as Told
from streamguard.core.alerts import Status, alert_data, rfc3339
from streamguard.core.detectors import Direction
from streamguard.core.durations import format_duration_ms
from streamguard.core.fields import Unreadable, parse_time_ms
from streamguard.handlers.alert import RETRAINING, Alert
from streamguard.handlers.sinks import clipped

_DRIFTS = {"mismatch_drift", "loss_drift"}
# Where the outcome that set an alert off would stand: there is none.
_NO_OUTCOME = -1, -1, -1
_SKIPPED_MAX = 1000
# Alerts may be as large as their topic allows, and what is told of them must fit, too.
_TEXT_CHARS, _ITEMS = 500, 50


class State(StrEnum):
    """Where a run stands."""

    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"
    """Its process is gone or cut off; nobody knows what became of it."""
    SKIPPED = "skipped"
    """It was too early for one."""


class _About(BaseModel):
    """What is read of a record of ours; another may have written it."""

    model_config = ConfigDict(extra="ignore")
    handler: str
    state: State
    run: str
    alert: str
    started: str


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore")
    episode: str
    retraining: _About


@dataclass(frozen=True, slots=True)
class Begun:
    """A `started` on the topic without an end."""

    run: str
    alert: str
    """The ID of the alert that it was started for."""
    started_ms: int


@dataclass(slots=True)
class Run:
    """A retraining of this process, times in epoch ms."""

    run: str
    alert: Alert
    started_ms: int
    is_under_way: bool = False
    ended: Told | None = None
    """What is to be told of its end, once it is known."""


@dataclass(slots=True)
class Retrainings:
    """All runs of one handler. Times are those of the handler's clock, in epoch ms.

    `draw` gives the name of a run, another each time.
    """

    handler: RetrainHandler
    draw: Callable[[], str]
    _run: set[str] = field(default_factory=set)
    """Episodes that had one."""
    _open: dict[str, Begun] = field(default_factory=dict)
    """By episode, the runs that have begun, as the topic says, and not ended."""
    _last_ms: int | None = None
    """When the last was begun."""
    _own: dict[str, Run] = field(default_factory=dict)
    """By episode, the runs of this process whose end is not on the topic yet."""
    _skipped: dict[str, None] = field(default_factory=dict)
    """Episodes of which it was told that it was too early, the latest last."""

    def wants(self, alert: Alert) -> bool:
        """Whether it is about trouble that a retraining may mend."""
        match = self.handler.match
        return (
            alert.kind in (match.kind or _DRIFTS)
            and alert.kind != RETRAINING
            and alert.status != Status.RESOLVED
            and alert.direction != Direction.BETTER
        )

    def restore(self, values: Iterable[bytes | None], now_ms: int) -> None:
        """Begin anew from the records of the alerts topic, all there are; those that nobody can read are none."""
        self._run.clear()
        self._open.clear()
        self._last_ms = None
        for value in values:
            try:
                record = _Record.model_validate(alert_data(value))
                started_ms = parse_time_ms(record.retraining.started)
            except (ValueError, ValidationError, Unreadable, RecursionError):
                continue
            about = record.retraining
            if about.handler == self.handler.name:
                # A clock that was ahead must not keep runs back for years.
                self._note(record.episode, about.state, Begun(about.run, about.alert, min(started_ms, now_ms)))

    def begin(self, alert: Alert, now_ms: int) -> tuple[list[Told], bool]:
        """What is to be told before anything else, and whether the run may begin once that is committed."""
        episode = alert.episode
        own, begun = self._own.get(episode), self._open.get(episode)
        if own is not None and own.ended is None and not own.is_under_way:
            # The commit of its start was in doubt, so it was not begun.
            if begun is not None and begun.run == own.run:
                self._last_ms = now_ms
                return [], True
            del self._own[episode]
            own = None
        if begun is not None and own is None:
            return self._begun_elsewhere(alert, begun)
        if episode in self._run or own is not None:
            return [], False
        left_ms = 0 if self._last_ms is None else self._last_ms + self.handler.min_interval_ms - now_ms
        if left_ms > 0:
            return self._too_early(alert, now_ms), False
        own = self._own[episode] = Run(self.draw(), alert, now_ms)
        return [self._told(own, State.STARTED)], True

    def under_way(self, episode: str) -> Run:
        """The run that may begin does so now."""
        own = self._own[episode]
        own.is_under_way = True
        return own

    def left(self, episode: str) -> None:
        """It was not begun after all, and is to be asked for again."""
        if episode in self._own:
            self._own[episode].is_under_way = False

    def end(self, episode: str, now_ms: int, failure: str | None, result: Any = None) -> None:
        """A run has ended; `failure` says why it failed, `result` is what it said itself."""
        own = self._own.get(episode)
        if own is not None:
            own.is_under_way = False
            state = State.SUCCEEDED if failure is None else State.FAILED
            own.ended = self._told(own, state, ended_ms=max(now_ms, own.started_ms), reason=failure, result=result)

    def unpublished(self) -> list[Told]:
        """The ends of runs that are not known to stand on the topic."""
        return [own.ended for own in self._own.values() if own.ended is not None]

    def published(self, told: Iterable[Told]) -> None:
        """These stand on the topic now."""
        for each in told:
            about = _About.model_validate(each.retraining)
            self._note(each.episode, about.state, Begun(about.run, about.alert, parse_time_ms(about.started)))

    def _begun_elsewhere(self, alert: Alert, begun: Begun) -> tuple[list[Told], bool]:
        if self.handler.command:
            return [self._told(Run(begun.run, alert, begun.started_ms), State.LOST)], False
        # Whoever is asked twice knows by the ID that it is the same run.
        self._own[alert.episode] = Run(begun.run, alert, begun.started_ms)
        return [], True

    def _too_early(self, alert: Alert, now_ms: int) -> list[Told]:
        """Told once an episode, since each update of it would be skipped as well."""
        if alert.episode in self._skipped:
            return []
        self._skipped[alert.episode] = None
        while len(self._skipped) > _SKIPPED_MAX:
            del self._skipped[next(iter(self._skipped))]
        reason = (
            f"the last one began {rfc3339(self._last_ms or 0)}, and min_interval is"
            f" {format_duration_ms(self.handler.min_interval_ms)}"
        )
        return [self._told(Run("", alert, now_ms), State.SKIPPED, reason=reason)]

    def _note(self, episode: str, state: State, begun: Begun) -> None:
        if state is State.SKIPPED:
            self._skipped[episode] = None
            return
        self._run.add(episode)
        if state is State.STARTED:
            self._open[episode] = begun
            self._last_ms = max(begun.started_ms, self._last_ms or 0)
            return
        self._open.pop(episode, None)
        own = self._own.get(episode)
        if own is not None and own.run == begun.run and state is not State.LOST and not own.is_under_way:
            del self._own[episode]

    def _told(
        self,
        run: Run,
        state: State,
        *,
        ended_ms: int | None = None,
        reason: str | None = None,
        result: Any = None,
    ) -> Told:
        """An update of the alert's episode."""
        alert, name = run.alert, self.handler.name
        data = alert.data
        event_time_ms = parse_time_ms(data["event_time"])
        return Told(
            status=Status.UPDATED,
            kind=RETRAINING,
            severity="warning" if state in {State.FAILED, State.LOST} else "info",
            monitor=alert.monitor,
            segment=clipped(dict(alert.segment), chars=_TEXT_CHARS, items=_ITEMS),
            model=alert.model,
            version=alert.version,
            check={"type": "retrain", "handler": name, "alert": alert.id, "run": run.run, "state": state.value},
            event_time_ms=event_time_ms,
            trigger=(event_time_ms, *_NO_OUTCOME),
            direction=Direction(alert.direction),
            episode=alert.episode,
            onset_ms=None if data["onset"] is None else parse_time_ms(data["onset"]),
            before=_level(data["before"]),
            after=_level(data["after"]),
            look_first=[_sentence(name, state, run.started_ms, ended_ms, reason)],
            source=data["source"],
            retraining={
                "handler": name,
                "state": state.value,
                "run": run.run,
                "alert": alert.id,
                "from": data["onset"] or data["event_time"],
                "to": data["event_time"],
                "started": rfc3339(run.started_ms),
                "ended": None if ended_ms is None else rfc3339(ended_ms),
                "reason": reason,
                "result": result,
            },
        )


def _level(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """Of what another may have written only what is known."""
    return found and {name: found[name] for name in ("rate", "interval", "count", "limit") if name in found}


def _sentence(handler: str, state: State, started_ms: int, ended_ms: int | None, reason: str | None) -> str:
    what = f"retraining by handler {handler!r}"
    match state:
        case State.STARTED:
            return f"{what} has started"
        case State.SKIPPED:
            return f"{what} is skipped: {reason}"
        case State.LOST:
            return (
                f"{what}, started {rfc3339(started_ms)}, was lost with its process, or the process is cut off: nobody"
                " knows what becomes of it, and it is not begun again by itself"
            )
        case _:
            lasted = format_duration_ms((ended_ms or started_ms) - started_ms)
            return f"{what} {state.value} after {lasted}{f': {reason}' if reason else ''}"
