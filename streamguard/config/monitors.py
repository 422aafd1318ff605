"""What is watched, and by which checks."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field as Setting
from pydantic import ValidationInfo, field_validator

from streamguard.config.base import Key, Problem, Section, refusal
from streamguard.config.data import Data
from streamguard.config.types import Count, Duration, FieldPath, Text, Value, with_unit
from streamguard.core.detectors import BudgetedSettings, DetectorSettings
from streamguard.core.durations import format_duration_ms
from streamguard.core.losses import Loss, is_bounded, suits
from streamguard.core.threshold import ThresholdSettings

Severity = Literal["critical", "warning", "info"]


class Monitor(Section):
    """Asks of the outcomes whether a model, in each of its segments, gets worse."""

    name: Text
    """Name of the monitor, unique; alerts carry it."""
    match: dict[FieldPath, Value] = Setting(default_factory=dict)
    """Fields that a prediction must have, with these values. A dotted path in the prediction record; `model`
    and `version` are those of `predictions.fields`. Default: every prediction."""
    split_by: tuple[FieldPath, ...] = ()
    """Fields (named as in `match`) whose every combination of values is watched by itself."""
    loss: Loss = Loss.MISMATCH
    """How far a prediction is from its label."""
    positive: Value | None = None
    """The label whose probability `score` is; for log_loss and brier. Null: 1 and true."""
    max_segments: Count = 1000
    """Most combinations of `split_by` that are watched by themselves. Default 1000."""
    cohorts: bool = False
    """Judge outcomes in the order of their predictions, each when its label can come no more: where wrong predictions
    get their labels sooner than others, that looks like drift otherwise. Alerts come later by up to `join.after`."""
    whole: bool = False
    """Watch all segments together as well. Its alerts say which of them explain the change."""
    severity: Severity = "critical"
    """What this monitor's alerts are marked as."""
    threshold: ThresholdSettings | None = None
    """Alert when too many predictions differ from their labels. Null: no such check."""
    detectors: tuple[DetectorSettings, ...] = ()
    """Alert when the losses change."""
    unlabelled: BudgetedSettings | None = None
    """Alert when fewer predictions get a label in time than usual. Null: no such check."""
    data: Data | None = None
    """Alert when predictions do not carry what the model was trained on. Null: no such check."""
    no_data_after_ms: Duration | None = Setting(default=None, alias="no_data_after", gt=0)
    """Alert when a segment has no outcome for so long, in event time, and for twenty times its usual distance. Null: no
    such check."""

    @field_validator("threshold", "detectors", "unlabelled", mode="before")
    @classmethod
    def _durations_with_unit(cls, data: Any, info: ValidationInfo) -> Any:
        # The core takes a number as milliseconds; in a file that would be a slip.
        for place, each in enumerate(data) if isinstance(data, list | tuple) else [(None, data)]:
            for name in ("cooldown", "accept_after"):
                try:
                    with_unit(each.get(name) if isinstance(each, dict) else None, info)
                except ValueError as error:
                    where: Key = (name,) if place is None else (place, name)
                    raise refusal([(where, str(error))]) from None
        return data

    @property
    def budgeted(self) -> tuple[BudgetedSettings, ...]:
        """Its checks that share the budget of false alarms."""
        return tuple(each for each in (*self.detectors, self.unlabelled) if isinstance(each, BudgetedSettings))

    @property
    def checks(self) -> str:
        """In a few words."""
        checks: list[str] = [detector.type for detector in self.detectors]
        if self.threshold is not None:
            threshold = self.threshold
            confirm = threshold.confirm
            looks = "" if confirm is None else f" in {confirm.above} of {confirm.of} looks"
            checks.insert(0, f"threshold {threshold.max_mismatch_percent:g}% of {threshold.window}{looks}")
        if self.unlabelled is not None:
            checks.append("unlabelled")
        if self.data is not None:
            checks.append("data")
        if self.no_data_after_ms is not None:
            checks.append(f"no_data after {format_duration_ms(self.no_data_after_ms)}")
        return ", ".join(checks)

    def problems(self) -> Iterable[Problem]:
        checks = self.threshold, self.detectors or None, self.unlabelled, self.data, self.no_data_after_ms
        if all(each is None for each in checks):
            yield (), f"(monitor {self.name!r}) checks nothing: give it a threshold or a detector"
        if self.unlabelled is not None and (self.unlabelled.direction != "worse" or self.unlabelled.loss_max):
            words = f"(monitor {self.name!r}) watches for labels that stay away: leave out direction and loss_max"
            yield ("unlabelled",), words
        if self.threshold is not None and self.loss is not Loss.MISMATCH:
            yield (
                ("threshold",),
                f"(monitor {self.name!r}) counts mismatches: it needs loss: mismatch, got {self.loss.value}",
            )
        if self.whole and not self.split_by:
            yield ("whole",), f"(monitor {self.name!r}) is all there is without split_by: leave it out, or split"
        if len(set(self.split_by)) < len(self.split_by):
            yield ("split_by",), f"(monitor {self.name!r}) names a field twice"
        for index, detector in enumerate(self.detectors):
            if detector in self.detectors[:index]:
                yield ("detectors", index), f"(monitor {self.name!r}) is there already, with the same settings"
            if isinstance(detector, BudgetedSettings) and detector.loss_max and is_bounded(self.loss):
                words = (
                    f"(monitor {self.name!r}): losses of {self.loss.value} are between 0 and 1 already: leave it out"
                )
                yield ("detectors", index, "loss_max"), words
            if not suits(self.loss, detector.takes):
                works = ", ".join(loss.value for loss in Loss if suits(loss, detector.takes))
                words = f"(monitor {self.name!r}): {detector.type} cannot watch the loss {self.loss.value}"
                more = ", or with loss_max" if isinstance(detector, BudgetedSettings) else ""
                yield ("detectors", index), f"{words}; it works with {works}{more}"
