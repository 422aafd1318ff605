# ruff: noqa: SLF001 - river publishes no state: what a detector remembers is in its private attributes
"""FHDDM: a fall of the accuracy over a short window below its best so far."""

from collections import deque
from typing import Annotated, Any, Literal

from pydantic import Field
from river.drift.binary import FHDDM

from streamguard.core.detectors.adapter import Adapter, State
from streamguard.core.detectors.interface import Direction
from streamguard.core.detectors.settings import FhddmSettings

Share = Annotated[float, Field(ge=0, le=1)]


class FhddmState(State):
    """The window, the oldest first, 1 for right and 0 for wrong; and the best shares of right ones so far."""

    type: Literal["fhddm"] = "fhddm"
    window: Annotated[str, Field(pattern="^[01]*$")]
    best: Share
    best_short: Share | None
    """None: without a short window."""


class Fhddm(Adapter[FhddmSettings, FhddmState]):
    """Finds a share of right predictions that fell below its best, in a window; a rise it does not see.

    Memory: one digit a loss of the window. About 0.5 µs a loss, more with a short window.

    Traps: unlike all others river's takes 1 for right, so it is fed 1 - loss. It is silent until its window
    is full, and only falls larger than the bound are seen at all: 26 points at the defaults.

    Source: Pesaranghader & Viktor, "Fast Hoeffding Drift Detection Method for Evolving Data Streams", ECML
    2016.
    """

    state_type = FhddmState

    def _fresh(self) -> Any:
        return FHDDM(**self._settings.model_dump(exclude={"type"}))

    def _step(self, loss: float) -> Direction | None:
        return super()._step(1 - int(loss))

    def _state(self) -> FhddmState:
        river = self._river
        return FhddmState(
            window="".join(map(str, river._sliding_window)),
            best=river._u_max,
            best_short=None if self._settings.short_window_size is None else river._u_short_max,
        )

    def _restore(self, state: FhddmState) -> None:
        river, size = self._river, self._settings.sliding_window_size
        if len(state.window) >= size:
            raise ValueError(f"state holds {len(state.window)} losses, expected fewer than {size}")
        if (state.best_short is None) != (self._settings.short_window_size is None):
            raise ValueError("state and settings differ on whether there is a short window")
        river._sliding_window = deque(map(int, state.window), maxlen=size)
        river.n_one = state.window.count("1")
        river._u_max = state.best
        if state.best_short is not None:
            river._u_short_max = state.best_short
