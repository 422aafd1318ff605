"""The mismatch check: alarms when too large a share of the predictions in a moving window are wrong.

Theory of operation. After each outcome the share is mismatches / count over the window. It opens an alarm
when it rises above `max_mismatch_percent`, and closes it when it falls to `resolve_below_percent` or less:
two levels, so that a share that hovers at the limit does not alarm again and again. Only integers are
compared: percentages are held in millionths of a percent, so that 8.1 % of 2,000 is 162 and not 161.99999.

With `confirm` the share may be above for a while first: it is looked at now and then, and the alarm opens at the
look that makes it `above` of the last `of` looks. It closes as ever, and then no earlier look counts any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from streamguard.core.bands import quantile, wilson
from streamguard.core.durations import DurationMs, format_duration_ms, parse_duration_ms
from streamguard.core.windows import CountWindow, TimeWindow, Window

# A percentage as an integer: 8.1 % is 8,100,000 of these. What is finer than that is rounded away.
_MILLIONTHS = 1_000_000

_MIN_SAMPLES = 500
_WINDOW_MAX = 10_000_000
_LOOKS_MAX = 100


def _window_setting(value: object) -> int | str:
    return _count_or_duration(value, zero="a window of 0s holds no outcome")


def _every_setting(value: object) -> int | str:
    return _count_or_duration(value, zero="0s never passes between two looks; every: 1 looks at each outcome")


def _count_or_duration(value: object, zero: str) -> int | str:
    """Tell a count (2000, or "2000" from the environment) from a duration ("1h"); `zero` refuses one of 0s."""
    if isinstance(value, str) and not value.strip().isdecimal():
        duration_ms = parse_duration_ms(value)
        if duration_ms == 0:
            raise ValueError(zero)
        return format_duration_ms(duration_ms)
    count = int(value) if isinstance(value, str | int) and not isinstance(value, bool) else 0
    if not 1 <= count <= _WINDOW_MAX:
        raise ValueError(f'{value!r} is neither a count from 1 to {_WINDOW_MAX:,} nor a duration such as "1h"')
    return count


_COUNT_OR_DURATION = WithJsonSchema(
    {"type": ["integer", "string"], "minimum": 1, "maximum": _WINDOW_MAX, "examples": [2000, "30m", "1h"]}
)
WindowSetting = Annotated[int | str, BeforeValidator(_window_setting), _COUNT_OR_DURATION]
EverySetting = Annotated[int | str, BeforeValidator(_every_setting), _COUNT_OR_DURATION]


class ConfirmSettings(BaseModel):
    """How often the share is looked at, and how many of the last looks must see it above the level."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    above: int = Field(ge=1, le=_LOOKS_MAX)
    """How many of the last `of` looks must see the percentage above `max_mismatch_percent`."""
    of: int = Field(ge=1, le=_LOOKS_MAX)
    """How many of the last looks count; fewer while there are fewer since the start or the last resolve."""
    every: EverySetting
    """Look at every so many outcomes (500), or at the first outcome of each such interval of event time ("10m")."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.above > self.of:
            raise ValueError(f"above ({self.above}) must not exceed of ({self.of}): lower above or raise of")
        return self


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
    confirm: ConfirmSettings | None = None
    """Alarm only when enough of the last looks were above. Null: at the first outcome that is."""

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
    looks: dict[str, Any] | None = None
    """Left out without `confirm`."""


class _LooksState(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    version: Literal[1] = 1
    every: int | str
    position: int
    """Outcomes so far, or event time of the last one in epoch ms."""
    past: str = Field(pattern="^[01]*$")
    """The looks that still count, the oldest first; 1: above."""


class Threshold:
    """The mismatch check over one segment's stream of outcomes in order of event time.

    How the stream is cut into calls changes nothing, nor does a snapshot and restore in between. Below 0.1 µs
    an outcome on arrays of thousands; 10 to 30 µs a call, up to twice that with `confirm`.

    >>> check = Threshold(ThresholdSettings(max_mismatch_percent=50, window=4))
    >>> check.update(np.arange(4), np.array([0.0, 1.0, 1.0, 1.0]))
    [Crossing(index=3, alarm=True, count=4, mismatches=3)]
    """

    def __init__(self, settings: ThresholdSettings, state: Mapping[str, Any] | None = None) -> None:
        """Start anew, or from a snapshot; ValueError if that is damaged, or of another window or `confirm`."""
        self._max = to_millionths(settings.max_mismatch_percent)
        self._resolve = to_millionths(settings.resolve_percent)
        self._samples_min = settings.samples_min
        restored = None if state is None else _State.model_validate(dict(state))
        self._open = restored is not None and restored.open
        self._window = _window(settings.window, None if restored is None else restored.window)
        looks = None if restored is None else restored.looks
        if restored is not None and (looks is None) != (settings.confirm is None):
            raise ValueError(f"state {'without' if looks is None else 'with'} looks, expected the other")
        self._looks = None if settings.confirm is None else _Looks(settings.confirm, looks)

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
        if self._looks is None:
            crossings = self._crossings(above, below)
        else:
            crossings = self._looks.crossings(times_ms, above, below, is_open=self._open)
            self._open = crossings[-1][1] if crossings else self._open
        return [Crossing(index, alarm, int(counts[index]), int(mismatches[index])) for index, alarm in crossings]

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
        """Return the state as plain JSON: about a quarter byte an outcome, or 60 panes; a byte a look."""
        looks = None if self._looks is None else self._looks.snapshot()
        return _State(open=self._open, window=self._window.snapshot(), looks=looks).model_dump(exclude_none=True)


class _Looks:
    """When the share is looked at, and what the last looks saw.

    A look falls on each outcome at which the outcomes so far, or the event time in epoch ms, reach or pass one
    more multiple of `every`. While an alarm is open none is remembered.
    """

    def __init__(self, settings: ConfirmSettings, state: Mapping[str, Any] | None) -> None:
        self._settings = settings
        self._by_count = isinstance(settings.every, int)
        self._step = settings.every if isinstance(settings.every, int) else parse_duration_ms(settings.every)
        self._position = 0
        self._past = np.zeros(0, dtype=np.bool_)
        if state is not None:
            self._restore(_LooksState.model_validate(dict(state)))

    def crossings(
        self, times_ms: NDArray[np.int64], above: NDArray[np.bool_], below: NDArray[np.bool_], *, is_open: bool
    ) -> list[tuple[int, bool]]:
        """Take in outcomes; return where an alarm opens (True) or closes, in turn."""
        looks = self._taken(times_ms)
        if not (below.any() if is_open else len(looks)):
            return []
        seen = np.concatenate((self._past, above[looks]))
        # Looks of earlier calls lie before all outcomes of this one.
        places = np.concatenate((np.full(len(self._past), -1), looks))
        others = self._settings.above - 1
        high = np.flatnonzero(seen)
        # The looks, as places in `high`, that make it enough: so many others were above shortly before.
        enough = others + np.flatnonzero(high[others:] - high[: max(0, len(high) - others)] < self._settings.of)
        rises, falls = places[high], np.flatnonzero(below)
        found, index = list[tuple[int, bool]](), -2
        while True:
            if is_open:
                rest = falls[np.searchsorted(falls, index, side="right") :]
            else:
                first = np.searchsorted(rises, index, side="right")
                rest = rises[enough[np.searchsorted(enough, first + others) :][:1]]
            if not len(rest):
                break
            index, is_open = int(rest[0]), not is_open
            found.append((index, is_open))
        start = len(seen) if is_open else int(np.searchsorted(places, index, side="right"))
        self._past = seen[max(start, len(seen) - self._settings.of + 1) :]
        return found

    def _taken(self, times_ms: NDArray[np.int64]) -> NDArray[np.intp]:
        """Which of these outcomes are looked at."""
        positions = self._position + np.arange(1, len(times_ms) + 1) if self._by_count else times_ms
        passed = np.diff(positions // self._step, prepend=self._position // self._step)
        if len(positions):
            self._position = int(positions[-1])
        return np.flatnonzero(passed > 0)

    def snapshot(self) -> dict[str, Any]:
        past = "".join("1" if each else "0" for each in self._past.tolist())
        return _LooksState(every=self._settings.every, position=self._position, past=past).model_dump()

    def _restore(self, state: _LooksState) -> None:
        settings = self._settings
        if state.every != settings.every:
            raise ValueError(f"state of looks every {state.every}, expected every {settings.every}")
        if self._by_count and state.position < 0:
            raise ValueError(f"state of looks at position {state.position}, expected a count of outcomes")
        if len(state.past) >= settings.of or state.past.count("1") >= settings.above:
            raise ValueError(f"state holds the looks {state.past!r}, too many for {settings.above} of {settings.of}")
        self._position = state.position
        self._past = np.array([each == "1" for each in state.past], dtype=np.bool_)


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
    return wilson(mismatches / count, count, quantile((1 - confidence) / 2))
