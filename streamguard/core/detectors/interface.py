"""What every detector is: losses in, drifts out, a state that is plain JSON."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from streamguard.core.losses import LOSS_MAX, Needs


class Direction(StrEnum):
    """Where the losses went: up is worse, down is better."""

    WORSE = "worse"
    BETTER = "better"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Drift:
    """A change that was noticed with the loss at `index` of the array given; it began some time before."""

    index: int
    direction: Direction


class Detector(Protocol):
    """Watches one stream of losses, and forgets the past after each drift.

    How the stream is cut into arrays changes nothing, nor does a snapshot and restore in between.
    """

    def update(self, losses: NDArray[np.float64]) -> list[Drift]:
        """Take in losses in order; ValueError, and none taken in, if one is not what the detector needs."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """Return the state as plain JSON with its version: finite numbers, text, lists; unknown is null."""
        ...


def compared(before: float, after: float) -> Direction:
    """Return the direction from one mean loss to another."""
    if before == after:
        return Direction.UNKNOWN
    return Direction.WORSE if after > before else Direction.BETTER


def admitted(losses: NDArray[np.float64], needs: Needs) -> list[float]:
    """Return the losses as Python floats; ValueError names the first that the detector is not defined for.

    One NaN would blind ADWIN and Page-Hinkley for good, and a huge number would overflow their sums.
    """
    if needs is Needs.BINARY:
        fit, expected = (losses == 0.0) | (losses == 1.0), "0 or 1"
    elif needs is Needs.BOUNDED:
        fit, expected = (losses >= 0.0) & (losses <= 1.0), "between 0 and 1"
    else:
        fit, expected = np.abs(losses) <= LOSS_MAX, f"a finite number of at most {LOSS_MAX:g}"
    if not fit.all():
        index = int(np.argmin(fit))
        raise ValueError(f"loss {losses[index]} at index {index} is not {expected}")
    values: list[float] = losses.tolist()
    return values
