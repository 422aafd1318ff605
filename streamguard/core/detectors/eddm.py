# ruff: noqa: SLF001 - river publishes no state: what a detector remembers is in its private attributes
"""EDDM: errors that follow each other more closely than they once did."""

from typing import Any, Literal

from river.drift.binary import EDDM

from streamguard.core.detectors.adapter import Adapter, Count, MeanState, State
from streamguard.core.detectors.settings import EddmSettings


class EddmState(State):
    """How many losses and errors there were, the distances between errors, and the greatest of those."""

    type: Literal["eddm"] = "eddm"
    n: Count
    errors: Count
    last_error: Count
    distances: MeanState
    squared_deviations: float
    distance_max: float
    """Of mean + 2 deviations; -1: no error after the warm start."""


class Eddm(Adapter[EddmSettings, EddmState]):
    """Finds errors that come closer together, in losses from one to the next; a fall it does not see.

    Made for slow changes. Memory: seven numbers. About 0.3 µs a loss.

    Traps: the most nervous of all, 102 alarms on 300,000 stationary losses at its defaults: lower `beta`. A
    loss counts as an error if it is exactly 1, hence 0 and 1 only.

    Source: Baena-García et al., "Early Drift Detection Method", IWKDDS 2006.
    """

    state_type = EddmState

    def _fresh(self) -> Any:
        # river's alpha is a level of warning: no part of a drift, but it must not be below beta.
        return EDDM(warm_start=self._settings.warm_start, beta=self._settings.beta, alpha=1.0)

    def _state(self) -> EddmState:
        river = self._river
        return EddmState(
            n=river._n,
            errors=river._n_errors,
            last_error=river._last_error,
            distances=MeanState.of(river._error_distances.mean),
            squared_deviations=river._error_distances._S,
            distance_max=river._p2s_prime_max,
        )

    def _restore(self, state: EddmState) -> None:
        river = self._river
        river._n, river._n_errors, river._last_error = state.n, state.errors, state.last_error
        river._error_distances.mean = state.distances.restored()
        river._error_distances._S = state.squared_deviations
        river._p2s_prime_max = state.distance_max
