"""What a monitor's checks must find, one loss at a time: part of the reference of the monitor task.

Written from docs/design.md and the settings' own words; river's detectors are called as river documents them.
"""

import math
from typing import Any, NamedTuple

from river import drift
from river.drift import binary

from streamguard.core.durations import parse_duration_ms

WORSE, BETTER, UNKNOWN = "worse", "better", "unknown"


class Window(NamedTuple):
    """What the threshold's window held when the share crossed a level."""

    size: int
    wrong: int


class Untold:
    """Equal to any window: this alert's level is not that of a window."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "UNTOLD"


UNTOLD = Untold()


Signal = tuple[str, Window | Untold | None]
"""Where the losses of a check went, and its window if it has one."""


def loss_of(loss: str, prediction: Any, label: Any) -> tuple[float, bool]:
    """How far the two are apart, and whether they can be compared at all."""
    kinds = _kind(prediction), _kind(label)
    if loss == "mismatch":
        agrees = kinds[0] == kinds[1] != "none"
        return float(not agrees or prediction != label), agrees
    if loss not in ("absolute", "squared"):
        raise ValueError(f"the reference does not know the loss {loss}")
    try:
        values = [float(each) for each in (prediction, label)] if kinds == ("number", "number") else [math.nan]
    except OverflowError:
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        return 0.0, False
    distance = abs(values[0] - values[1])
    return min(distance if loss == "absolute" else distance * distance, 1e100), True


def _kind(value: Any) -> str:
    return {bool: "boolean", int: "number", float: "number", str: "text"}.get(type(value), "none")


class Share:
    """The threshold check: after each outcome, the share of wrong ones in the window."""

    def __init__(self, settings: Any) -> None:
        self._settings = settings
        self._past: list[tuple[int, float]] = []
        self._is_above = False
        self._looks: list[bool] = []
        """Since the start, or since the last alarm was resolved."""

    def look(self, time_ms: int, loss: float) -> Signal | None:
        """The direction and the window, where the share has crossed a level."""
        is_due = self._is_due(time_ms)
        self._past.append((time_ms, loss))
        held = self._held(time_ms)
        window = Window(len(held), sum(each == 1 for each in held))
        settings, is_enough = self._settings, window.size >= self._settings.samples_min
        level = settings.resolve_percent if self._is_above else settings.max_mismatch_percent
        # In millionths of a percent, so that only integers are compared.
        is_above = 100 * 1_000_000 * window.wrong > round(level * 1_000_000) * window.size
        if settings.confirm is not None and not self._is_above:
            if is_due:
                self._looks.append(is_enough and is_above)
            is_above = sum(self._looks[-settings.confirm.of :]) >= settings.confirm.above
        elif not is_enough:
            return None
        if is_above == self._is_above:
            return None
        self._is_above = is_above
        self._looks.clear()
        return WORSE if is_above else BETTER, window

    def _is_due(self, time_ms: int) -> bool:
        """Whether the share is looked at with this outcome: every so many of them, or once in so long a time."""
        confirm = self._settings.confirm
        if confirm is None:
            return False
        if isinstance(confirm.every, int):
            return (len(self._past) + 1) % confirm.every == 0
        every_ms = parse_duration_ms(confirm.every)
        last_ms = self._past[-1][0] if self._past else 0
        return time_ms // every_ms > last_ms // every_ms

    def _held(self, time_ms: int) -> list[float]:
        window = self._settings.window
        if isinstance(window, int):
            return [loss for _, loss in self._past[-window:]]
        # Whole panes of a sixtieth: the one the outcome is in, and those before it that fill the window.
        window_ms = parse_duration_ms(window)
        pane_ms = math.ceil(window_ms / 60)
        after = time_ms // pane_ms - math.ceil(window_ms / pane_ms)
        return [loss for at_ms, loss in self._past if at_ms // pane_ms > after]


_RISES: dict[str, Any] = {
    "ddm": binary.DDM,
    "eddm": binary.EDDM,
    "fhddm": binary.FHDDM,
    "hddm_a": binary.HDDMA,
    "hddm_w": binary.HDDMW,
}
"""Detectors that only ever find a rise, as long as `two_sided_test` is off."""


class Drift:
    """One of river's detectors, which forgets everything after a drift."""

    def __init__(self, settings: Any) -> None:
        self._type = settings.type
        self._given = settings.model_dump(exclude={"type"})
        if self._type not in ("adwin", "page_hinkley", *_RISES) or self._given.get("two_sided_test"):
            raise ValueError(f"the reference does not know the detector {settings!r}")
        self._forget()

    def _forget(self) -> None:
        self._losses: list[float] = []
        self._river: dict[str, Any]
        given = self._given
        if self._type == "adwin":
            self._river = {UNKNOWN: drift.ADWIN(**given)}
        elif self._type == "page_hinkley":
            # Which way it went: one that looks for a rise only, and one for a fall.
            modes = {WORSE: "up", BETTER: "down"}
            self._river = {
                direction: drift.PageHinkley(**{**given, "mode": mode})
                for direction, mode in modes.items()
                if given["mode"] in (mode, "both")
            }
        else:
            warning = {"alpha": 1.0} if self._type == "eddm" else {}
            self._river = {WORSE: _RISES[self._type](**given, **warning)}

    def look(self, _time_ms: int, loss: float) -> Signal | None:
        """The direction, where the losses have drifted."""
        self._losses.append(loss)
        for each in self._river.values():
            each.update(1 - int(loss) if self._type == "fhddm" else loss)
        found = [direction for direction, each in self._river.items() if each.drift_detected]
        if not found:
            return None
        direction = self._went() if self._type == "adwin" else found[0]
        self._forget()
        return direction, None

    def _went(self) -> str:
        """The mean that ADWIN keeps, against the one that it cut off."""
        width = int(self._river[UNKNOWN].width)
        cut, kept = self._losses[:-width], self._losses[-width:]
        before, after = sum(cut) / len(cut), sum(kept) / len(kept)
        return UNKNOWN if before == after else WORSE if after > before else BETTER
