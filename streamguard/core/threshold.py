"""The mismatch check: alarms when too large a share of the predictions in a moving window are wrong.

Theory of operation. After each outcome the share is mismatches / count over the window. It opens an alarm
when it rises above `max_mismatch_percent`, and closes it when it falls to `resolve_below_percent` or less:
two levels, so that a share that hovers at the limit does not alarm again and again. Only integers are
compared: percentages are held in millionths of a percent, so that 8.1 % of 2,000 is 162 and not 161.99999.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from streamguard.core.durations import DurationMs, format_duration_ms, parse_duration_ms
from streamguard.core.windows import CountWindow, TimeWindow, Window

# A percentage as an integer: 8.1 % is 8,100,000 of these. What is finer than that is rounded away.
_MILLIONTHS = 1_000_000

_MIN_SAMPLES = 500
_WINDOW_MAX = 10_000_000


def _window_setting(value: object) -> int | str:
    """Tell a count (2000, or "2000" from the environment) from a duration ("1h")."""
    if isinstance(value, str) and not value.strip().isdecimal():
        duration_ms = parse_duration_ms(value)
        if duration_ms == 0:
            raise ValueError("a window of 0s holds no outcome")
        return format_duration_ms(duration_ms)
    count = int(value) if isinstance(value, str | int) and not isinstance(value, bool) else 0
    if not 1 <= count <= _WINDOW_MAX:
        raise ValueError(f'{value!r} is neither a count from 1 to {_WINDOW_MAX:,} nor a duration such as "1h"')
    return count


WindowSetting = Annotated[
    int | str,
    BeforeValidator(_window_setting),
    WithJsonSchema(
        {"type": ["integer", "string"], "minimum": 1, "maximum": _WINDOW_MAX, "examples": [2000, "30m", "1h"]}
    ),
]


class ThresholdSettings(BaseModel):
    """The tolerated share of wrong predictions, and over how many of them, or how long, it is taken."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    max_mismatch_percent: float = Field(gt=0, le=100)
    """Alarm when more than this percentage of the window's predictions are wrong."""
    resolve_below_percent: float | None = Field(default=None, ge=0, le=100)
    """Resolve when this percentage or less are wrong. Default: `max_mismatch_percent`."""
    window: WindowSetting = 2000
    """How many outcomes (2000), or how long in event time ("1h")."""
    min_samples: int | None = Field(default=None, ge=1)
    """Say nothing on fewer outcomes than this. Default: 500, or the whole window if that is fewer."""
    cooldown: DurationMs = 3_600_000
    """After an alarm, the next on the same segment is raised no sooner than this, in event time."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.resolve_percent > self.max_mismatch_percent:
            raise ValueError(
                f"resolve_below_percent ({self.resolve_percent:g}) must not exceed "
                f"max_mismatch_percent ({self.max_mismatch_percent:g})"
            )
        if isinstance(self.window, int) and self.samples_min > self.window:
            raise ValueError(f"min_samples ({self.samples_min}) must not exceed window ({self.window})")
        return self

    @property
    def resolve_percent(self) -> float:
        """`resolve_below_percent`, or its default."""
        return self.max_mismatch_percent if self.resolve_below_percent is None else self.resolve_below_percent

    @property
    def samples_min(self) -> int:
        """`min_samples`, or its default."""
        if self.min_samples is not None:
            return self.min_samples
        return min(self.window, _MIN_SAMPLES) if isinstance(self.window, int) else _MIN_SAMPLES


@dataclass(frozen=True, slots=True)
class Crossing:
    """The share crossed a level at `index` of the arrays given: rose above it (`alarm`), or fell back."""

    index: int
    alarm: bool
    count: int
    mismatches: int


class _State(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    type: Literal["threshold"] = "threshold"
    version: Literal[1] = 1
    open: bool
    window: dict[str, Any]


class Threshold:
    """The mismatch check over one segment's stream of outcomes in order of event time.

    How the stream is cut into calls changes nothing, nor does a snapshot and restore in between. Below 0.1 µs
    an outcome on arrays of thousands; 10 to 30 µs a call.

    >>> check = Threshold(ThresholdSettings(max_mismatch_percent=50, window=4))
    >>> check.update(np.arange(4), np.array([0.0, 1.0, 1.0, 1.0]))
    [Crossing(index=3, alarm=True, count=4, mismatches=3)]
    """

    def __init__(self, settings: ThresholdSettings, state: Mapping[str, Any] | None = None) -> None:
        """Start anew, or from a snapshot; ValueError if that is damaged, or of another window."""
        self._max = to_millionths(settings.max_mismatch_percent)
        self._resolve = to_millionths(settings.resolve_percent)
        self._samples_min = settings.samples_min
        restored = None if state is None else _State.model_validate(dict(state))
        self._open = restored is not None and restored.open
        self._window = _window(settings.window, None if restored is None else restored.window)

    @property
    def is_open(self) -> bool:
        """Whether the last crossing was an alarm."""
        return self._open

    def update(self, times_ms: NDArray[np.int64], losses: NDArray[np.float64]) -> list[Crossing]:
        """Take in event times in epoch ms that never go back, and losses of 0 and 1; else ValueError."""
        wrong = losses == 1.0
        if not (wrong | (losses == 0.0)).all():
            raise ValueError("the mismatch check takes losses of 0 and 1 only")
        counts, mismatches = self._window.push(times_ms, wrong.view(np.uint8))
        enough = counts >= self._samples_min
        scaled = mismatches * (100 * _MILLIONTHS)
        above = enough & (scaled > counts * self._max)
        below = enough & (scaled <= counts * self._resolve)
        return [
            Crossing(index, alarm, int(counts[index]), int(mismatches[index]))
            for index, alarm in self._crossings(above, below)
        ]

    def _crossings(self, above: NDArray[np.bool_], below: NDArray[np.bool_]) -> list[tuple[int, bool]]:
        if not (below if self._open else above).any():
            return []
        # Between the two levels nothing changes, so only what lies outside them is looked at.
        outside = np.flatnonzero(above | below)
        levels = above[outside]
        changed = levels != np.concatenate(([self._open], levels[:-1]))
        self._open = bool(levels[-1])
        return list(zip(outside[changed].tolist(), levels[changed].tolist(), strict=True))

    def snapshot(self) -> dict[str, Any]:
        """Return the state as plain JSON: about a quarter byte an outcome, or 60 panes."""
        return _State(open=self._open, window=self._window.snapshot()).model_dump()


def _window(window: int | str, state: Mapping[str, Any] | None) -> Window:
    if isinstance(window, int):
        return CountWindow(window, state)
    return TimeWindow(parse_duration_ms(window), state)


def to_millionths(percent: float) -> int:
    """Return a percentage as an integer number of millionths of a percent, the nearest."""
    return round(percent * _MILLIONTHS)


def is_above(mismatches: int, count: int, percent: float) -> bool:
    """Whether more than `percent` of `count` are mismatches; the rule of the check, for one window."""
    return mismatches * 100 * _MILLIONTHS > count * to_millionths(percent)


def interval(mismatches: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return where the true rate lies, as fractions (low, high), for independent outcomes.

    It never leaves [0, 1] and stays honest for few outcomes and for rates near 0; no outcome gives (0, 1).

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22, 1927.

    >>> low, high = interval(182, 2000)
    >>> round(low, 3), round(high, 3)
    (0.079, 0.104)
    """
    if not 0 <= mismatches <= count:
        raise ValueError(f"{mismatches} mismatches of {count} outcomes")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence!r}")
    if count == 0:
        return 0.0, 1.0
    z_squared = NormalDist().inv_cdf(0.5 + confidence / 2) ** 2
    rate = mismatches / count
    centre = rate + z_squared / (2 * count)
    spread = math.sqrt(z_squared * (rate * (1 - rate) / count + z_squared / (4 * count * count)))
    scale = 1 + z_squared / count
    # At 0 and at all mismatches the formula gives 0 and 1, but for the rounding.
    low = 0.0 if mismatches == 0 else (centre - spread) / scale
    high = 1.0 if mismatches == count else (centre + spread) / scale
    return max(0.0, low), min(1.0, high)
