# ruff: noqa: SLF001 - river publishes no state: what a detector remembers is in its private attributes
"""HDDM_A: a rise of the mean, by Hoeffding's bound."""

from typing import Any, Literal

from river.drift.binary import HDDMA

from streamguard.core.detectors.adapter import Adapter, MeanState, State
from streamguard.core.detectors.interface import Direction
from streamguard.core.detectors.settings import HddmASettings


class HddmAState(State):
    """The mean of all losses, and that of the losses up to where it was lowest and highest."""

    type: Literal["hddm_a"] = "hddm_a"
    mean: MeanState
    lowest: MeanState
    highest: MeanState


class HddmA(Adapter[HddmASettings, HddmAState]):
    """Finds a mean loss that rose from its lowest, or with `two_sided_test` fell from its highest.

    For sudden changes, and losses in [0, 1]. Memory: six numbers. About 2 to 4 µs a loss.

    Traps: the mean is over all losses since the last drift, so a change after a long stable time is found
    late. The bound holds for one test of independent losses; correlated ones alarm.

    Source: Frías-Blanco et al., "Online and Non-Parametric Drift Detection Methods Based on Hoeffding's
    Bounds", IEEE TKDE 27(3), 2015, A-test.
    """

    state_type = HddmAState

    def _fresh(self) -> Any:
        return HDDMA(**self._settings.model_dump(exclude={"type"}))

    def _direction(self) -> Direction:
        rose = self._river._mean_incr(self._settings.drift_confidence)
        return Direction.WORSE if rose else Direction.BETTER

    def _state(self) -> HddmAState:
        river = self._river
        return HddmAState(
            mean=MeanState.of(river._z),
            lowest=MeanState.of(river._x_min),
            highest=MeanState.of(river._x_max),
        )

    def _restore(self, state: HddmAState) -> None:
        river = self._river
        river._z = state.mean.restored()
        river._x_min = state.lowest.restored()
        river._x_max = state.highest.restored()
