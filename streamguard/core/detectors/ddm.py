# ruff: noqa: SLF001 - river publishes no state: what a detector remembers is in its private attributes
"""DDM: a rise of the error rate above its lowest so far."""

from typing import Any, Literal

from river.drift.binary import DDM

from streamguard.core.detectors.adapter import Adapter, MeanState, State
from streamguard.core.detectors.settings import DdmSettings


class DdmState(State):
    """The error rate, and rate and deviation where their sum was lowest."""

    type: Literal["ddm"] = "ddm"
    rate: MeanState
    rate_min: float | None
    deviation_min: float | None
    """None: there were too few losses for a lowest rate."""


class Ddm(Adapter[DdmSettings, DdmState]):
    """Finds an error rate that rose by `drift_threshold` deviations; a fall it does not see.

    Memory: four numbers. About 0.7 µs a loss.

    Traps: a model without an error during the warm start has a lowest rate and deviation of 0, and then its
    first error is a drift: raise `warm_start` to several times 1 / error rate. The rate is over all losses
    since the last drift, so after a long stable time a change is found late, or never.

    Source: Gama, Medas, Castillo, Rodrigues, "Learning with Drift Detection", SBIA 2004.
    """

    state_type = DdmState

    def _fresh(self) -> Any:
        return DDM(**self._settings.model_dump(exclude={"type"}))

    def _state(self) -> DdmState:
        river = self._river
        return DdmState(rate=MeanState.of(river._p), rate_min=river._p_min, deviation_min=river._s_min)

    def _restore(self, state: DdmState) -> None:
        river = self._river
        river._p = state.rate.restored()
        if state.rate_min is None or state.deviation_min is None:
            if state.rate_min != state.deviation_min or state.rate.n > self._settings.warm_start:
                raise ValueError("state lacks rate_min or deviation_min")
            return
        river._p_min, river._s_min = state.rate_min, state.deviation_min
        river._ps_min = state.rate_min + state.deviation_min
