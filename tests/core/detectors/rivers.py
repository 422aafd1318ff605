"""river's own detectors, to compare with."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import drift
from river.drift import binary

from streamguard.core.detectors import make

RIVERS: dict[str, Any] = {
    "adwin": drift.ADWIN,
    "kswin": drift.KSWIN,
    "page_hinkley": drift.PageHinkley,
    "ddm": binary.DDM,
    "eddm": binary.EDDM,
    "hddm_a": binary.HDDMA,
    "hddm_w": binary.HDDMW,
    "fhddm": binary.FHDDM,
}


class CountedDraws:
    """Gives river's KSWIN the draws of the adapter, by its own count."""

    def __init__(self) -> None:
        """Borrow the sampler from an adapter that has seen nothing."""
        fresh: Any = make("kswin")
        self._draws = fresh._river._rng

    def sample(self, population: range, k: int) -> list[int]:
        """Draw as the adapter does."""
        drawn: list[int] = self._draws.sample(population, k)
        return drawn


def drifts_of_river(kind: str, losses: NDArray[np.float64]) -> list[int]:
    """Return the indices where river's own detector, at its defaults, signals."""
    detector, found = RIVERS[kind](), []
    if kind == "kswin":
        detector._rng = CountedDraws()
    for index, loss in enumerate(losses.tolist()):
        detector.update(1 - int(loss) if kind == "fhddm" else loss)
        if detector.drift_detected:
            found.append(index)
            if kind == "kswin":
                # river resets on the next update, and would make a generator of its own.
                detector._reset()
                detector._rng = CountedDraws()
    return found
