"""Whether an alert starts a retraining: at most one an episode, and some time between two.

Theory of operation. A run is begun only after its `started` stands on the alerts topic, committed under the handler's
own membership of its group, and what it has come to stands there later. So the topic says what was run, to whoever
comes after, and is the only memory: a run whose `started` is there and whose end is not was under way when its process
was lost. It may have come to its end or not, and is never begun again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from streamguard.config.handlers import RetrainHandler
from streamguard.core.alerts import Alert as Told
from streamguard.core.alerts import Status, alert_data, rfc3339
from streamguard.core.detectors import Direction
from streamguard.core.durations import format_duration_ms
from streamguard.core.fields import parse_time_ms
from streamguard.handlers.alert import RETRAINING, Alert

_DRIFTS = {"mismatch_drift", "loss_drift"}
# Where the outcome that set an alert off would stand: there is none.
_NO_OUTCOME = -1, -1, -1


class State(StrEnum):
    """Where a run stands."""

    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"
    """Its process is gone; nobody knows what became of it."""
    SKIPPED = "skipped"
    """It was too early for one."""


@dataclass(slots=True)
class Run:
    """A retraining that was begun, times in epoch ms."""

    alert: Alert
    started_ms: int
    ended: Told | None = None
    """What is to be told of its end, once it is known."""


@dataclass(slots=True)
class Retrainings:
    """All runs of one handler. Times are those of the handler's clock, in epoch ms."""

    handler: RetrainHandler
    _run: set[str] = field(default_factory=set)
    """Episodes that had one."""
    _open: dict[str, int] = field(default_factory=dict)
    """Episodes whose run has begun, as the topic says, and not ended; when."""
    _last_ms: int | None = None
    """When the last was begun."""
    _own: dict[str, Run] = field(default_factory=dict)
    """By episode, the runs of this process whose end is not on the topic yet."""

    def wants(self, alert: Alert) -> bool:
        """Whether it is about trouble that a retraining may mend."""
        match = self.handler.match
        return (
            alert.kind in (match.kind or _DRIFTS)
            and alert.kind != RETRAINING
            and alert.status != Status.RESOLVED
            and alert.direction != Direction.BETTER
        )

    def restore(self, values: Iterable[bytes | None]) -> None:
        """Begin anew from the records of the alerts topic, all there are."""
        self._run.clear()
        self._open.clear()
        self._last_ms = None
        for value in values:
            try:
                found = alert_data(value)
            except ValueError:
                continue
            about = found.get("retraining")
            if isinstance(about, Mapping) and about.get("handler") == self.handler.name:
                self._note(str(found["episode"]), State(about["state"]), parse_time_ms(about["started"]))

    def begin(self, alert: Alert, now_ms: int) -> tuple[list[Told], bool]:
        """What is to be told before anything else, and whether the run may begin once that is committed."""
        episode = alert.episode
        own = self._own.get(episode)
        if own is not None and own.ended is None:
            # The commit of its start was in doubt, so it was not begun.
            if episode in self._open:
                return [], True
            del self._own[episode]
            own = None
        if episode in self._open and own is None:
            if not self.handler.command:
                # Whoever is asked twice knows by the ID that it is the same run.
                self._own[episode] = Run(alert, self._open[episode])
                return [], True
            return [self._told(alert, State.LOST, self._open[episode])], False
        if episode in self._run or own is not None:
            return [], False
        left_ms = 0 if self._last_ms is None else self._last_ms + self.handler.min_interval_ms - now_ms
        if left_ms > 0:
            reason = (
                f"the last one began {rfc3339(self._last_ms or 0)}, and min_interval is"
                f" {format_duration_ms(self.handler.min_interval_ms)}"
            )
            return [self._told(alert, State.SKIPPED, now_ms, reason=reason)], False
        self._own[episode] = Run(alert, now_ms)
        return [self._told(alert, State.STARTED, now_ms)], True

    def end(self, episode: str, now_ms: int, failure: str | None, result: Any = None) -> None:
        """A run has ended; `failure` says why it failed, `result` is what it said itself."""
        run = self._own[episode]
        state = State.SUCCEEDED if failure is None else State.FAILED
        run.ended = self._told(run.alert, state, run.started_ms, ended_ms=now_ms, reason=failure, result=result)

    def unpublished(self) -> list[Told]:
        """The ends of runs that are not known to stand on the topic."""
        return [run.ended for run in self._own.values() if run.ended is not None]

    def published(self, told: Iterable[Told]) -> None:
        """These stand on the topic now."""
        for each in told:
            about = each.retraining or {}
            self._note(each.episode, State(about["state"]), parse_time_ms(about["started"]))

    def _note(self, episode: str, state: State, started_ms: int) -> None:
        if state is State.SKIPPED:
            return
        self._run.add(episode)
        if state is State.STARTED:
            self._open[episode] = started_ms
            self._last_ms = max(started_ms, self._last_ms or 0)
            return
        self._open.pop(episode, None)
        if state is not State.LOST:
            self._own.pop(episode, None)

    def _told(
        self,
        alert: Alert,
        state: State,
        started_ms: int,
        *,
        ended_ms: int | None = None,
        reason: str | None = None,
        result: Any = None,
    ) -> Told:
        """An update of the alert's episode."""
        data = alert.data
        name = self.handler.name
        event_time_ms = parse_time_ms(data["event_time"])
        onset_ms = None if data["onset"] is None else parse_time_ms(data["onset"])
        return Told(
            status=Status.UPDATED,
            kind=RETRAINING,
            severity="warning" if state in {State.FAILED, State.LOST} else "info",
            monitor=alert.monitor,
            segment=dict(alert.segment),
            model=alert.model,
            version=alert.version,
            check={"type": "retrain", "handler": name, "alert": alert.id, "state": state.value},
            event_time_ms=event_time_ms,
            trigger=(event_time_ms, *_NO_OUTCOME),
            direction=Direction(alert.direction),
            episode=alert.episode,
            onset_ms=onset_ms,
            before=data["before"],
            after=data["after"],
            look_first=[_sentence(name, state, started_ms, ended_ms, reason)],
            source=data["source"],
            retraining={
                "handler": name,
                "state": state.value,
                "alert": alert.id,
                "from": data["onset"] or data["event_time"],
                "to": data["event_time"],
                "started": rfc3339(started_ms),
                "ended": None if ended_ms is None else rfc3339(ended_ms),
                "reason": reason,
                "result": result,
            },
        )


def _sentence(handler: str, state: State, started_ms: int, ended_ms: int | None, reason: str | None) -> str:
    what = f"retraining by handler {handler!r}"
    match state:
        case State.STARTED:
            return f"{what} has started"
        case State.SKIPPED:
            return f"{what} is skipped: {reason}"
        case State.LOST:
            return (
                f"{what}, started {rfc3339(started_ms)}, was lost with its process: nobody knows what became of it, and"
                " it is not begun again by itself"
            )
        case _:
            lasted = format_duration_ms((ended_ms or started_ms) - started_ms)
            return f"{what} {state.value} after {lasted}{f': {reason}' if reason else ''}"
