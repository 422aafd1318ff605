"""An alert as whoever subscribes to it gets it: typed, and as it stands on the topic."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic import Field as Setting

from streamguard.core.alerts import alert_data
from streamguard.core.fields import Unreadable, parse_time_ms

_FIELDS = ("id", "episode", "status", "kind", "severity", "monitor", "model", "version", "direction")
_RAISED_ONLY = {"segments_full"}
_CONTRACT = "message_contract"

RETRAINING = "retraining"
"""The kind of what a retrain handler writes; its own episode ends with another alert."""
_WHERE_CHARS = 100


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
    def is_notice(self) -> bool:
        """Whether it is over with being raised, so that nothing will ever resolve it: an improvement, for example."""
        if self.kind == RETRAINING:
            return True
        is_harmless = self.kind == _CONTRACT and self.severity == "info"
        return self.status == "raised" and (self.direction == "better" or self.kind in _RAISED_ONLY or is_harmless)

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


def _utc(text: str) -> datetime:
    """Raises `ValueError`, without the text, since anybody may have written it."""
    try:
        return datetime.fromtimestamp(parse_time_ms(text) / 1000, UTC)
    except Unreadable:
        raise ValueError("must be a time such as 2026-01-31T23:59:59.999Z") from None


def _moment(text: str) -> str:
    _utc(text)
    return text


_Moment = Annotated[str, AfterValidator(_moment)]


class _Published(BaseModel):
    """The fields of an alert that ours read, each of its type; what a later release adds is passed over."""

    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)


class _Level(_Published):
    rate: float
    interval: Annotated[list[float], Setting(min_length=2, max_length=2)] | None
    count: int
    limit: float | None = None


class _Check(_Published):
    type: str


class _Alert(_Published):
    id: str
    episode: str
    status: str
    kind: str
    severity: str
    monitor: str
    model: str | None
    version: str | None
    segment: dict[str, str | None]
    check: _Check
    guarantee: str | None
    event_time: _Moment
    onset: _Moment | None
    direction: Literal["worse", "better", "unknown"]
    before: _Level | None
    after: _Level | None
    examples: list[str]
    look_first: list[str]
    absorbed: int
    resolution: str | None
    duration_s: float | None
    source: dict[str, dict[str, Annotated[list[int], Setting(min_length=2, max_length=2)]]]


def read_alert(value: bytes | None) -> Alert:
    """From the alerts topic; raises `ValueError` for what is no alert, or has a field of another type than it has."""
    try:
        data = alert_data(value)
        _Alert.model_validate(data)
    except ValidationError as error:
        raise ValueError(f"not an alert: {_words(error)}") from None
    except ValueError as error:
        raise ValueError(f"not an alert: {error}") from None
    return Alert(
        **{name: data[name] for name in _FIELDS},
        segment=data["segment"],
        event_time=_utc(data["event_time"]),
        onset=None if data["onset"] is None else _utc(data["onset"]),
        data=data,
        value=value or b"",
    )


def _words(error: ValidationError) -> str:
    """The first problem, without what stands there."""
    problem = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, problem["loc"]))[:_WHERE_CHARS]
    return f"{where}: {problem['msg'].removeprefix('Value error, ')}"
