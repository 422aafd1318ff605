"""How what predictions carry is held against what the model was trained on."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator
from pydantic import Field as Setting

from streamguard.config.base import Key, Problem, Section
from streamguard.config.preparation import StepSettings
from streamguard.config.types import Count, Duration, FieldPath, FileName, Text

_DAY_MS = 86_400_000
_SEASON_MS = 14 * _DAY_MS


def _some(steps: tuple[StepSettings, ...]) -> tuple[StepSettings, ...]:
    if not steps:
        raise ValueError("must name at least one step, such as lower_case")
    return steps


Steps = Annotated[tuple[StepSettings, ...], AfterValidator(_some)]


class Data(Section):
    """Whether predictions carry what the model was trained on. Needs no labels."""

    profile: FileName | None = None
    """Profile of the training data, made by `streamguard profile build`. Null: only `steps` are checked."""
    features: FieldPath | None = "features"
    """Where a prediction record keeps the features that the profile names. Null: at its top. Default `features`."""
    fields: dict[Text, FieldPath] = Setting(default_factory=dict)
    """Where single features are, by their names, if not below `features`: whole paths in the record."""
    leave_out: tuple[Text, ...] = ()
    """Features of the profile that are not compared; `prediction` and `score` as well."""
    steps: dict[Text, Steps] = Setting(default_factory=dict)
    """By feature: the steps that training prepared it by, in order. Predictions must carry what these leave alone."""
    raw: dict[Text, FieldPath] = Setting(default_factory=dict)
    """By feature: where the record keeps its raw value, if it does. `steps` are then applied to that, and compared."""
    tolerated_percent: float = Setting(default=1.0, gt=0, le=50, allow_inf_nan=False)
    """Percentage of the values of a feature that a step may still change. Default 1."""
    window_ms: Duration = Setting(default=60_000, alias="window", ge=1000, le=_DAY_MS)
    """Predictions are looked at by windows of event time, each as a whole. Default 1m."""
    tolerance: float = Setting(default=0.02, ge=0, lt=0.5, allow_inf_nan=False)
    """How far a mean may be beyond what training and the baseline show, as a part of all it could be: the mean rank of
    a number among those of training, a share of a category, of missing values. Default 0.02."""
    baseline_ms: Duration = Setting(default=_SEASON_MS, alias="baseline", ge=0)
    """From how long, in event time, what is usual is learnt beside what training shows. Until then only steps are
    watched, and what differs grossly over a whole day. 0s: training is all that is usual. Default 14d."""
    season: Literal["hour_of_week", "none"] = "hour_of_week"
    """What is usual differs by the hour of the week (UTC), where the baseline shows that. With `none` it does not."""
    min_samples: Count = 200
    """Nothing is told of fewer predictions. Default 200."""
    accept_after_ms: Duration | None = Setting(default=7 * _DAY_MS, alias="accept_after", gt=0)
    """After so long what has moved is taken for usual, and learnt anew; skipped steps never. Null: never. Default
    7d."""

    @property
    def tolerated(self) -> float:
        """`tolerated_percent` as a fraction."""
        return self.tolerated_percent / 100

    @property
    def is_seasonal(self) -> bool:
        """Whether each hour of the week may have a level of its own."""
        return self.season == "hour_of_week" and self.baseline_ms > 0

    def problems(self) -> Iterable[Problem]:
        key: Key
        if self.profile is None and not self.steps:
            yield (), "compares nothing: name a profile, or the steps of preparation"
        for name, steps in self.steps.items():
            if name not in self.raw and any(each.standardize is not None for each in steps):
                key = ("steps", name)
                yield key, "has standardize, which numbers do not show: name where their raw values are, under raw"
        for name in self.raw:
            if name not in self.steps:
                key = ("raw", name)
                yield key, f"has no steps to apply: name those of {name!r} under steps"
        if self.season == "hour_of_week" and 0 < self.baseline_ms < _SEASON_MS:
            words = "must be 14d or more to learn the hours of the week; or set season: none, if all hours are alike"
            yield ("baseline",), words
