"""What is told of everything that arrives on an input, whatever becomes of it."""

from collections.abc import Iterable
from typing import Literal

from pydantic import Field as Setting

from streamguard.config.base import Problem, Section
from streamguard.config.types import Duration, FieldPath, FileName

_DAY_MS = 86_400_000
_SEASON_MS = 14 * _DAY_MS

Severity = Literal["critical", "warning", "info"]


class MessageContract(Section):
    """What records must look like."""

    schema_file: FileName = Setting(alias="schema")
    """JSON Schema of a record, written by hand or by `streamguard contract learn`."""
    reject: tuple[FieldPath | Literal["*"], ...] = ()
    """Fields (dotted paths, with all below them; `*` for all) that a record may not differ in: if it does, it goes to
    the rejected topic. Differences in others are told of alone. What the schema says was usual is never rejected."""
    tolerated_percent: float = Setting(default=0.1, ge=0.001, le=50, allow_inf_nan=False)
    """Percentage of records that may differ in a field, beyond what the schema says was usual. Default 0.1."""
    severity: Severity = "critical"
    """What alerts of changes that break readers are marked as; new fields are told as info. Default critical."""
    accept_after_ms: Duration | None = Setting(default=7 * _DAY_MS, alias="accept_after", gt=0)
    """After so long what has changed is taken for usual. Null: never. Default 7d."""

    @property
    def tolerated(self) -> float:
        """`tolerated_percent` as a fraction."""
        return self.tolerated_percent / 100


class InputVolume(Section):
    """Records that stop, or fall off."""

    baseline_ms: Duration = Setting(default=_SEASON_MS, alias="baseline", ge=2 * _DAY_MS, le=56 * _DAY_MS)
    """From how long, in event time, what is usual is learnt, over and over. Default 14d."""
    season: Literal["hour_of_week", "none"] = "hour_of_week"
    """What is usual differs by the hour of the week (UTC), or not."""
    falls_to_percent: float = Setting(default=50.0, ge=0, le=90, allow_inf_nan=False)
    """Percentage of what is usual at this time of the week that is too little. Default 50."""
    silent_after_ms: Duration | None = Setting(default=None, alias="silent_after", gt=0)
    """A silence that is too long at any time of the week, also while what is usual is learnt. Null: none is."""
    severity: Severity = "critical"
    """What its alerts are marked as. Default critical."""
    accept_after_ms: Duration | None = Setting(default=7 * _DAY_MS, alias="accept_after", gt=0)
    """After so long what comes is taken for usual, and learnt anew. Null: never. Default 7d."""

    def problems(self) -> Iterable[Problem]:
        if self.season == "hour_of_week" and self.baseline_ms < _SEASON_MS:
            words = "must be 14d or more to learn the hours of the week; or set season: none, if all hours are alike"
            yield ("baseline",), words
