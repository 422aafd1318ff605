"""The detectors' settings: river's names and defaults, with bounds; refused outside them.

They stand apart from the detectors, since river takes a second to import and reading a config should not.
river's settings for warnings are left out: a detector here reports drifts, and they do not move those.
"""

from datetime import datetime
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from streamguard.core.durations import DurationMs, parse_duration_ms
from streamguard.core.losses import Needs
from streamguard.core.threshold import WindowSetting

_TWO_WEEKS_MS = 14 * 86_400_000
_SAMPLES_MIN = 100
Probability = Annotated[float, Field(gt=0, lt=1)]
Values = Annotated[int, Field(ge=1, le=1_000_000)]


def _moment(value: object) -> object:
    """Refuse numbers, whose unit would be a guess, and times without an offset."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    if not isinstance(found, datetime) or found.tzinfo is None:
        raise ValueError(f"{str(value)!r} is no time with its UTC offset, such as 2026-01-31T12:00:00Z")
    return found


Moment = Annotated[datetime, BeforeValidator(_moment)]


class Settings(BaseModel):
    """What the settings of all detectors share."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
    needs: ClassVar[Needs]
    """Which losses the detector is defined for."""

    @property
    def takes(self) -> Needs:
        """Which losses it may be given, with these settings."""
        return self.needs


class AdwinSettings(Settings):
    """Change in the mean, up or down, over a window that adapts its length."""

    needs: ClassVar[Needs] = Needs.ANY
    type: Literal["adwin"] = "adwin"
    delta: Probability = 0.002
    """Chance of a false cut at each test; smaller is calmer."""
    clock: Values = 32
    """Tests once in this many losses."""
    max_buckets: int = Field(default=5, ge=2, le=1000)
    """Buckets of each size in its summary of the window; more is finer and slower."""
    min_window_length: Values = 5
    """Fewest losses on either side of a cut."""
    grace_period: int = Field(default=10, ge=0, le=1_000_000)
    """No test until there are more losses than this."""


class KswinSettings(Settings):
    """Change in the distribution: the last losses against a sample of those before."""

    needs: ClassVar[Needs] = Needs.ANY
    type: Literal["kswin"] = "kswin"
    alpha: Probability = 0.005
    """Significance of the test, which is made at every loss; above 0.01 it alarms without cause."""
    window_size: int = Field(default=100, ge=4, le=10_000)
    """Losses held."""
    stat_size: int = Field(default=30, ge=2, le=5_000)
    """The last losses, and as many drawn from the others."""
    seed: int = Field(default=1, ge=0)
    """Seed of the draws, fixed so that a replay draws the same."""

    @model_validator(mode="after")
    def _enough_to_draw_from(self) -> Self:
        if 2 * self.stat_size > self.window_size:
            raise ValueError(f"stat_size ({self.stat_size}) must be at most half of window_size ({self.window_size})")
        return self


class PageHinkleySettings(Settings):
    """Change in the mean: the cumulated distance of the losses from their mean."""

    needs: ClassVar[Needs] = Needs.ANY
    type: Literal["page_hinkley"] = "page_hinkley"
    min_instances: Values = 30
    """No test before this many losses."""
    delta: float = Field(default=0.005, ge=0)
    """Distance from the mean that is tolerated, in units of the loss."""
    threshold: float = Field(default=50.0, gt=0)
    """Cumulated distance that is a drift, in units of the loss (λ of the paper)."""
    alpha: float = Field(default=1 - 0.0001, gt=0, le=1)
    """How much of the cumulated distance is kept from one loss to the next."""
    mode: Literal["up", "down", "both"] = "both"
    """Watch for losses that grow, that shrink, or both."""


class DdmSettings(Settings):
    """A rise of the error rate above its lowest so far."""

    needs: ClassVar[Needs] = Needs.BINARY
    type: Literal["ddm"] = "ddm"
    warm_start: Values = 30
    """No test until there are more losses than this."""
    drift_threshold: float = Field(default=3.0, gt=0)
    """How far the rate may rise, in standard deviations at its lowest."""


class EddmSettings(Settings):
    """Errors that follow each other more closely than they once did."""

    needs: ClassVar[Needs] = Needs.BINARY
    type: Literal["eddm"] = "eddm"
    warm_start: Values = 30
    """No test until there are more errors than this."""
    beta: Probability = 0.9
    """A drift when the distance is below this part of its greatest; smaller is calmer."""


class HddmASettings(Settings):
    """A rise of the mean, by Hoeffding's bound; for sudden changes."""

    needs: ClassVar[Needs] = Needs.BOUNDED
    type: Literal["hddm_a"] = "hddm_a"
    drift_confidence: Probability = 0.001
    """Chance of a false drift at each test; smaller is calmer."""
    two_sided_test: bool = False
    """Watch for losses that shrink, too."""


class HddmWSettings(Settings):
    """A rise of the exponentially weighted mean, by McDiarmid's bound; for gradual changes."""

    needs: ClassVar[Needs] = Needs.BOUNDED
    type: Literal["hddm_w"] = "hddm_w"
    drift_confidence: Probability = 0.001
    """Chance of a false drift at each test; smaller is calmer."""
    lambda_val: Probability = 0.05
    """Weight of the newest loss."""
    two_sided_test: bool = False
    """Watch for losses that shrink, too."""


class FhddmSettings(Settings):
    """A fall of the accuracy over a short window below its best so far."""

    needs: ClassVar[Needs] = Needs.BINARY
    type: Literal["fhddm"] = "fhddm"
    sliding_window_size: int = Field(default=100, ge=2, le=100_000)
    """Losses in the window."""
    confidence_level: Probability = 0.000001
    """Chance of a false drift at each test; smaller is calmer."""
    short_window_size: int | None = Field(default=None, ge=1)
    """Losses in a second, shorter window, for sudden changes (the stacking variant)."""

    @model_validator(mode="after")
    def _short_is_shorter(self) -> Self:
        if self.short_window_size is not None and self.short_window_size > self.sliding_window_size:
            raise ValueError(
                f"short_window_size ({self.short_window_size}) must not exceed "
                f"sliding_window_size ({self.sliding_window_size})"
            )
        return self


class BudgetedSettings(Settings):
    """A rise of the mean loss above what a baseline showed, at no more false alarms than the budget gives."""

    needs: ClassVar[Needs] = Needs.BOUNDED
    type: Literal["budgeted"] = "budgeted"
    direction: Literal["worse", "better", "both"] = "worse"
    """Watch for losses that grow, that shrink, or both. A shrinking is a notice, and then the new baseline."""
    baseline: WindowSetting = "14d"
    """From how long, in event time ("14d"), or how many outcomes (5000), what is usual is learnt."""
    baseline_samples: int = Field(default=1000, ge=_SAMPLES_MIN, le=100_000_000)
    """Where `baseline` is a duration: at least so many outcomes. Not looked at where it is a count."""
    tolerated_rate: float | None = Field(default=None, ge=0.0001, lt=1)
    """The mean loss that is nothing wrong, as a fraction. Of the baseline is then learnt only how losses depend on each
    other; a short one will do. Null: the upper bound of the baseline's."""
    tolerance: float = Field(default=0.0, ge=0, lt=1)
    """How far above the baseline's bound is nothing wrong either, as a fraction."""
    season: Literal["hour_of_week", "none"] = "hour_of_week"
    """What is usual differs by the hour of the week (UTC); that takes two weeks to learn. With `none` it is the same at
    all hours, which finds more and sooner, and where it is not true alarms in vain."""
    accept_after: DurationMs | None = 604_800_000
    """After trouble of this long its level is taken for the new baseline. Null: never."""
    rebaseline_at: tuple[Moment, ...] = ()
    """Event times (RFC 3339) at which what is usual is learnt anew: to acknowledge trouble whose level is to stay, or
    after a change that is known. Learning goes on from the first outcome after."""
    loss_max: float | None = Field(default=None, gt=0)
    """Losses are divided by this, and larger ones count as 1; `tolerated_rate` and `tolerance` are of the quotient. For
    losses that are not between 0 and 1 by themselves."""

    @property
    def takes(self) -> Needs:
        return self.needs if self.loss_max is None else Needs.ANY

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.accept_after == 0:
            raise ValueError("accept_after must be longer than 0s; null: never")
        if self.baseline_count < _SAMPLES_MIN:
            raise ValueError(f"baseline must be {_SAMPLES_MIN} outcomes at least, got {self.baseline}")
        if self.season == "none":
            return self
        way_out = "or set season: none, if the rate is the same at all hours"
        if self.baseline_ms < _TWO_WEEKS_MS:
            raise ValueError(
                f"baseline must be 14d or more to learn the hours of the week, got {self.baseline}; {way_out}"
            )
        if self.tolerated_rate is not None:
            raise ValueError(f"tolerated_rate is one for all hours: leave it out, {way_out}")
        if self.direction != "worse":
            raise ValueError(f"direction {self.direction} does not go with a season: set worse, {way_out}")
        return self

    @property
    def rebaseline_ms(self) -> list[int]:
        """`rebaseline_at`, in epoch ms and in order."""
        return sorted(round(each.timestamp() * 1000) for each in self.rebaseline_at)

    @property
    def is_seasonal(self) -> bool:
        """Whether each hour of the week has a rate of its own."""
        return self.season == "hour_of_week"

    @property
    def baseline_ms(self) -> int:
        """Its least length in event time."""
        return 0 if isinstance(self.baseline, int) else parse_duration_ms(self.baseline)

    @property
    def baseline_count(self) -> int:
        """Its least number of outcomes."""
        return self.baseline if isinstance(self.baseline, int) else self.baseline_samples


DetectorSettings = Annotated[
    BudgetedSettings
    | AdwinSettings
    | KswinSettings
    | PageHinkleySettings
    | DdmSettings
    | EddmSettings
    | HddmASettings
    | HddmWSettings
    | FhddmSettings,
    Field(discriminator="type"),
]
"""One of them, told apart by `type`."""
