# ruff: noqa: SLF001 - river publishes no state: what a detector remembers is in its private attributes
"""HDDM_W: a rise of the exponentially weighted mean, by McDiarmid's bound."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field
from river.drift.binary import HDDMW
from river.drift.binary.hddm_w import SampleInfo

from streamguard.core.detectors.adapter import Adapter, Plain, State
from streamguard.core.detectors.interface import Direction
from streamguard.core.detectors.settings import HddmWSettings


class Sample(Plain):
    """A weighted mean (None: of nothing yet), and the sum of its squared weights."""

    mean: float | None
    squared_weights: Annotated[float, Field(ge=0, le=1)]

    @classmethod
    def of(cls, sample: Any) -> Self:
        """Copy from river's `SampleInfo`."""
        return cls(mean=sample.ewma if sample._is_init else None, squared_weights=sample._ibc)

    def restored(self, weight: float) -> Any:
        """Return a `SampleInfo` that goes on from here."""
        sample = SampleInfo(weight)
        if self.mean is not None:
            # The mean lives in Rust without a setter; its first update makes it that value.
            sample.update(self.mean)
        sample._ibc = self.squared_weights
        return sample


class HddmWState(State):
    """The mean of all losses; those before and after the last cuts; and the cuts, levels of the mean."""

    type: Literal["hddm_w"] = "hddm_w"
    total: Sample
    before_rise: Sample
    after_rise: Sample
    before_fall: Sample
    after_fall: Sample
    rise_cut: float | None
    fall_cut: float | None
    """None: no cut yet, river's infinity."""


class HddmW(Adapter[HddmWSettings, HddmWState]):
    """Finds a weighted mean that rose since its lowest, or with `two_sided_test` fell since its highest.

    For gradual changes, and losses in [0, 1]. Memory: 12 numbers. About 3 to 5 µs a loss.

    Traps: its false alarms grow with the error rate, to one in 2,353 losses at a rate of 0.3; and at the
    default `lambda_val` it misses small changes of a low rate (0.05 to 0.10) altogether.

    Source: Frías-Blanco et al., "Online and Non-Parametric Drift Detection Methods Based on Hoeffding's
    Bounds", IEEE TKDE 27(3), 2015, W-test.
    """

    state_type = HddmWState

    def _fresh(self) -> Any:
        return HDDMW(**self._settings.model_dump(exclude={"type"}))

    def _direction(self) -> Direction:
        rose = self._river._detect_mean_incr(self._settings.drift_confidence)
        return Direction.WORSE if rose else Direction.BETTER

    def _state(self) -> HddmWState:
        river = self._river
        return HddmWState(
            total=Sample.of(river._total),
            before_rise=Sample.of(river._s1_incr),
            after_rise=Sample.of(river._s2_incr),
            before_fall=Sample.of(river._s1_decr),
            after_fall=Sample.of(river._s2_decr),
            rise_cut=None if math.isinf(river._incr_cutpoint) else river._incr_cutpoint,
            fall_cut=None if math.isinf(river._decr_cutpoint) else river._decr_cutpoint,
        )

    def _restore(self, state: HddmWState) -> None:
        river, weight = self._river, self._settings.lambda_val
        river._total = state.total.restored(weight)
        river._s1_incr, river._s2_incr = state.before_rise.restored(weight), state.after_rise.restored(weight)
        river._s1_decr, river._s2_decr = state.before_fall.restored(weight), state.after_fall.restored(weight)
        river._incr_cutpoint = math.inf if state.rise_cut is None else state.rise_cut
        river._decr_cutpoint = -math.inf if state.fall_cut is None else state.fall_cut
