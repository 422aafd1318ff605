"""Episodes: what becomes of a check's signals, and the alerts that people get.

One level shift is one episode: it is raised, may be updated, and is resolved. An alert's ID is a function
of what it says and of the outcome that set it off, so a replay raises the same alerts.
"""

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any

import orjson

from streamguard.core.detectors import Direction
from streamguard.core.history import Mean
from streamguard.core.records import Output, Stream

# Of CloudEvents.
_SPEC_VERSION = "1.0"
_JSON = "application/json"
_EVENT_JSON = "application/cloudevents+json"


class Status(StrEnum):
    """Where an episode stands."""

    RAISED = "raised"
    UPDATED = "updated"
    RESOLVED = "resolved"


@dataclass(slots=True)
class Episode:
    """One check's open trouble, if any. Times are event times in milliseconds."""

    id: str | None = None
    raised_ms: int = 0
    last_alert_ms: int = 0
    absorbed: int = 0
    """Signals since the last alert that were the same trouble again."""
    closed_ms: int | None = None
    muted: bool = False
    """There is new trouble, but the cooldown is not over; it is raised then, if it lasts."""
    since_ms: int = 0
    """The last signal: the next change is looked for after it."""
    updates: int = 0
    """Of the trouble that is open."""
    onset_ms: int | None = None
    """Since when it was, as it was told when it was raised."""

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


@dataclass(slots=True)
class Alert:
    """What the alerts topic says, field by field as documented in docs/alerts.md."""

    status: Status
    kind: str
    severity: str
    monitor: str
    segment: dict[str, str | None]
    model: str | None
    version: str | None
    check: dict[str, Any]
    event_time_ms: int
    trigger: tuple[int, int, int, int]
    """The outcome that set it off: time, source, prediction offset, label offset."""
    direction: Direction
    episode: str = ""
    onset_ms: int | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    labels: dict[str, Any] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    classes: list[dict[str, Any]] = field(default_factory=list)
    segments: list[dict[str, Any]] = field(default_factory=list)
    look_first: list[str] = field(default_factory=list)
    guarantee: str | None = None
    absorbed: int = 0
    duration_ms: int | None = None
    resolution: str | None = None
    source: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    features: dict[str, Any] | None = None
    """Of what predictions carry: what has moved, and how far."""
    estimate: dict[str, Any] | None = None
    """The error rate that scores let expect since the onset, without a label."""
    related: list[str] = field(default_factory=list)
    """Episodes of other checks that were open at this moment, of the same segment."""
    retraining: dict[str, Any] | None = None
    """Of kind retraining, which a handler writes: what was run, and what came of it."""
    contract: dict[str, Any] | None = None
    """Of kind message_contract: what records differ in."""
    volume: dict[str, Any] | None = None
    """Of kind volume: how much came, and what is usual."""
    environment: dict[str, Any] | None = None
    """Of kind environment: what differs or lacks where models are served, in words and as plain JSON."""

    @property
    def id(self) -> str:
        """The same for the same trouble in the same records, wherever and whenever it is found."""
        key = [self.monitor, self.segment, self.kind, self.check, self.status, self.trigger]
        return blake2b(orjson.dumps(key, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()

    def data(self) -> bytes:
        """Its fields as JSON: the same bytes in either mode, and in a replay."""
        fields = {
            "id": self.id,
            "episode": self.episode,
            "status": self.status,
            "kind": self.kind,
            "severity": self.severity,
            "monitor": self.monitor,
            "model": self.model,
            "version": self.version,
            "segment": self.segment,
            "check": self.check,
            "guarantee": self.guarantee,
            "event_time": rfc3339(self.event_time_ms),
            "onset": None if self.onset_ms is None else rfc3339(self.onset_ms),
            "direction": self.direction,
            "before": self.before,
            "after": self.after,
            "labels": self.labels,
            "examples": self.examples,
            "classes": self.classes,
            "segments": self.segments,
            "look_first": self.look_first,
            "absorbed": self.absorbed,
            "resolution": self.resolution,
            "duration_s": None if self.duration_ms is None else self.duration_ms / 1000,
            "source": self.source,
        }
        for name in ("features", "estimate", "related", "retraining", "environment", "contract", "volume"):
            if found := getattr(self, name):
                fields[name] = found
        return orjson.dumps(fields)

    def output(self, source: str, *, is_structured: bool = False) -> Output:
        """The alert as a CloudEvent, keyed by episode so that an episode stays in order."""
        attributes = {
            "specversion": _SPEC_VERSION,
            "id": self.id,
            "source": source,
            "type": f"streamguard.alert.{self.status}",
            "time": rfc3339(self.event_time_ms),
        }
        if is_structured:
            about = {**attributes, "datacontenttype": _JSON, "subject": self.episode}
            value = orjson.dumps({**about, "data": orjson.Fragment(self.data())})
            headers = {"content-type": _EVENT_JSON}
        else:
            value = self.data()
            headers = {**{f"ce_{name}": text for name, text in attributes.items()}, "content-type": _JSON}
        encoded = tuple((name, text.encode()) for name, text in headers.items())
        return Output(Stream.ALERTS, self.episode.encode(), value, headers=encoded)


def alert_data(value: bytes | None) -> dict[str, Any]:
    """An alert's fields, from a record of the alerts topic in either mode; none, where the record is no alert.

    Raises `ValueError` for what is no JSON.
    """
    found = orjson.loads(value or b"{}")
    if type(found) is dict and "specversion" in found:
        found = found.get("data")
    return found if type(found) is dict else {}


def rfc3339(time_ms: int) -> str:
    """`2026-01-31T23:59:59.999Z`."""
    seconds, millis = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{millis:03d}Z"


def signal(episode: Episode, *, is_alarm: bool, direction: Direction, time_ms: int, cooldown_ms: int) -> Status | None:
    """What a signal makes of the episode, which it changes; None: nothing that people need to hear.

    The caller gives a raised episode its ID.
    """
    if not is_alarm or (direction is Direction.BETTER and (episode.id is not None or episode.muted)):
        return _end(episode, time_ms)
    if direction is Direction.BETTER:
        episode.since_ms = time_ms
        return Status.RAISED
    if episode.id is not None:
        if time_ms - episode.last_alert_ms < cooldown_ms:
            episode.absorbed += 1
            return None
        episode.last_alert_ms = time_ms
        episode.updates += 1
        return Status.UPDATED
    if episode.closed_ms is not None and time_ms - episode.closed_ms < cooldown_ms:
        episode.muted = True
        return None
    episode.raised_ms = episode.last_alert_ms = time_ms
    episode.updates = 0
    episode.muted = False
    return Status.RAISED


def _end(episode: Episode, time_ms: int) -> Status | None:
    episode.since_ms = time_ms
    episode.muted = False
    if episode.id is None:
        return None
    episode.closed_ms = time_ms
    return Status.RESOLVED


def rate_of(mean: Mean, interval: tuple[float, float] | None) -> dict[str, Any] | None:
    """A level for an alert: the rate, its 95% interval where there is one, and of how many."""
    if mean.count == 0:
        return None
    bounds = None if interval is None else [round(bound, 6) for bound in interval]
    return {"rate": round(mean.rate, 6), "interval": bounds, "count": mean.count}
