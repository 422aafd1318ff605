"""What all handlers share: which alerts they are told of, and how those are delivered."""

from typing import Literal

from pydantic import Field as Setting

from streamguard.config.base import Section
from streamguard.config.types import Count, Duration, Text

Texts = tuple[Text, ...]


Kind = Literal[
    "mismatch_drift",
    "loss_drift",
    "label_starvation",
    "no_data",
    "type_disagreement",
    "segments_full",
    "data_drift",
    "preprocessing",
    "retraining",
    "environment",
    "message_contract",
    "volume",
]


class Match(Section):
    """Which alerts; of each field any of the values listed. Nothing listed: any."""

    kind: tuple[Kind, ...] = ()
    """Kinds, as in docs/alerts.md."""
    status: tuple[Literal["raised", "updated", "resolved"], ...] = ()
    """raised, updated, resolved."""
    severity: tuple[Literal["critical", "warning", "info"], ...] = ()
    """critical, warning, info."""
    direction: tuple[Literal["worse", "better", "unknown"], ...] = ()
    """worse, better, unknown."""
    monitor: Texts = ()
    """Names of monitors."""
    model: Texts = ()
    """Names of models."""
    version: Texts = ()
    """Versions of models."""


class Retry(Section):
    """How often an alert is tried again that could not be delivered."""

    first_ms: Duration = Setting(default=1_000, alias="first", gt=0)
    """Wait before the second try; each further wait is twice as long, with some jitter. Default 1s."""
    most_ms: Duration = Setting(default=60_000, alias="most", gt=0)
    """Longest wait between two tries. Default 1m."""
    deadline_ms: Duration = Setting(default=3_600_000, alias="deadline", gt=0)
    """How long after the first try the last may begin; then the alert goes to the topic of dead letters, with the
    reason. Default 1h."""


class Grouping(Section):
    """Alerts that come together are told together."""

    wait_ms: Duration = Setting(default=30_000, alias="wait", gt=0)
    """How long after the first alert others are waited for. Default 30s."""
    most: Count = 100
    """Most alerts that are told at once. Default 100."""


class Rate(Section):
    """How often a handler may deliver; what is more waits, and is not lost."""

    most: Count
    """So many deliveries."""
    per_ms: Duration = Setting(default=60_000, alias="per", gt=0)
    """In so long. Default 1m."""


class HandlerBase(Section):
    """What all handlers share."""

    name: Text
    """Name of the handler, unique: its consumer group is streamguard's and this."""
    match: Match = Match()
    """Which alerts it is told of. Default: all."""
    retry: Retry = Retry()
    """How often it tries again."""
    timeout_ms: Duration = Setting(default=10_000, alias="timeout", gt=0)
    """How long one try may take. Default 10s."""
    concurrency: Count = Setting(default=4, le=64)
    """Of how many episodes it delivers alerts at the same time; those of one episode in their order. Default 4."""
    group: Grouping | None = None
    """Deliver several alerts together. Null: each by itself."""
    rate: Rate | None = None
    """How often it may deliver. Null: as often as there is something."""
    start: Literal["latest", "earliest"] = Setting(default="latest")
    """Where a handler begins that has never run: with alerts from now on, or with all that the topic holds. Default
    latest."""
