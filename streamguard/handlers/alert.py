"""An alert as whoever subscribes to it gets it: typed, and as it stands on the topic."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from streamguard.core.alerts import alert_data

_FIELDS = ("id", "episode", "status", "kind", "severity", "monitor", "model", "version", "direction")


@dataclass(frozen=True, slots=True)
class Alert:
    """What the alerts topic holds, as described in docs/alerts.md; `data` has all of its fields."""

    id: str
    """The same for the same trouble in the same records: of two deliveries with one ID the second is a repetition."""
    episode: str
    """The ID of the alert that raised it; alerts of one episode come in order."""
    status: str
    """raised, updated or resolved."""
    kind: str
    severity: str
    """critical, warning or info."""
    monitor: str
    model: str | None
    version: str | None
    direction: str
    """worse, better or unknown."""
    segment: Mapping[str, str | None]
    event_time: datetime
    """UTC."""
    onset: datetime | None
    """From when on the level was another, as far as that is known; UTC."""
    data: Mapping[str, Any]
    value: bytes
    """The JSON as it was published."""

    @property
    def look_first(self) -> tuple[str, ...]:
        """What to look at first, in words."""
        return tuple(self.data["look_first"])

    @property
    def title(self) -> str:
        """What happened, in a line."""
        segment = ", ".join(f"{name}={value}" for name, value in self.segment.items())
        where = f"{self.monitor} ({segment})" if segment else self.monitor
        levels = [self.data[name] for name in ("before", "after")]
        rates = " -> ".join(f"{each['rate']:.4g}" for each in levels if each)
        return f"{self.kind} {self.status}: {where}{f', {rates}' if rates else ''}"


def read_alert(value: bytes | None) -> Alert:
    """From the alerts topic; raises `ValueError` for what is no alert."""
    try:
        data = alert_data(value)
        onset = data["onset"]
        return Alert(
            **{name: data[name] for name in _FIELDS},
            segment=data["segment"],
            event_time=datetime.fromisoformat(data["event_time"]),
            onset=None if onset is None else datetime.fromisoformat(onset),
            data=data,
            value=value or b"",
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"not an alert: {type(error).__name__} {error}") from None
