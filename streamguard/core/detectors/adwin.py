"""ADWIN: a change in the mean, over a window that adapts its length."""

from collections.abc import Mapping
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river._river_rust.drift import AdaptiveWindowing

from streamguard.core.detectors.adwin_state import AdwinState, decode, encode
from streamguard.core.detectors.interface import Direction, Drift, admitted, compared
from streamguard.core.detectors.settings import AdwinSettings


class Adwin:
    """Finds a change in the mean loss, and its direction: the mean it cut off against the one it kept.

    The window grows while the mean is stable, and its old part is cut off where that differs significantly
    from the rest. Memory O(log window): about 5 buckets for each power of two, 1 to 3 kB. About 0.1 µs a
    loss.

    Traps: it tests once in `clock` losses, and so is up to 31 late; after a drift river forgets the part it
    kept, too; its bound is proven for losses in [0, 1], and on far smaller ones it is blind: choose their
    unit so that they are near 1. `delta` is the chance at one test, not a rate of false alarms. Correlated
    losses alarm.

    Source: Bifet & Gavaldà, "Learning from Time-Changing Data with Adaptive Windowing", SDM 2007, ADWIN2.
    """

    def __init__(self, settings: AdwinSettings, state: Mapping[str, Any] | None = None) -> None:
        """Start anew, or from a snapshot; ValueError says what is wrong with a damaged one."""
        self._settings = settings
        self._window = self._fresh()
        if state is not None:
            self._window.__setstate__(encode(AdwinState.model_validate(dict(state)), settings))

    def update(self, losses: NDArray[np.float64]) -> list[Drift]:
        values = admitted(losses, self._settings.needs)
        drifts = []
        start, width, total = 0, self._window.get_width(), self._window.get_total()
        feed = self._window.update
        for index, loss in enumerate(values):
            if feed(loss):
                # The window lost nothing since the last drift, so these are its sums from before the cut,
                # added up in the order of arrival as the window does: the same to the last bit, however cut
                # into arrays.
                total = reduce(add, values[start : index + 1], total)
                width += index + 1 - start
                drifts.append(Drift(index, self._direction(width, total)))
                self._window = self._fresh()
                start, width, total, feed = index + 1, 0.0, 0.0, self._window.update
        return drifts

    def snapshot(self) -> dict[str, Any]:
        return decode(self._window.__getstate__(), self._settings).model_dump()

    def _fresh(self) -> Any:
        # river's class around this window, `river.drift.ADWIN`, costs twice as much a loss, and adds only the
        # reset; and to import it takes half a second, for the scipy that other detectors need.
        return AdaptiveWindowing(**self._settings.model_dump(exclude={"type"}))

    def _direction(self, width: float, total: float) -> Direction:
        kept_width, kept_total = self._window.get_width(), self._window.get_total()
        return compared(before=(total - kept_total) / (width - kept_width), after=kept_total / kept_width)
