"""What a step of preparation is, and what it says of values.

A step that training applied to a field leaves alone what it has prepared already. So a value that a model is given, and
that the step would still change, was never prepared by it.
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from streamguard.core.features.traits import Traits
from streamguard.errors import StreamguardError

NOT_MINE: Final = 0
"""The value is missing, or of a type that the step is not about."""
SAME: Final = 1
"""The step would leave it as it is."""
CHANGED: Final = 2
"""The step would change it."""
FAILED: Final = 3
"""The step cannot tell: a function of one's own raised an error, or took too long."""

Fates = NDArray[np.int8]


class StepFailedError(StreamguardError):
    """What a step would make of a value is not known."""


class Step(Protocol):
    """One step of preparation."""

    @property
    def name(self) -> str:
        """As in the configuration, such as `lower_case`."""
        ...

    def fates(self, values: Sequence[Any], traits: Traits | None = None) -> Fates:
        """One of the four for each value; never raises. `traits`: of those values that are `str`, in their order."""
        ...

    def applied(self, value: Any) -> Any:
        """The value after the step; one that is not the step's is returned as it is. Raises `StepFailedError`."""
        ...


def by_rows(rows: NDArray[np.bool_], *, is_changed: NDArray[np.bool_]) -> Fates:
    """Fates: NOT_MINE where `rows` is false; `is_changed` is of the others, in their order."""
    fates = np.zeros(len(rows), np.int8)
    fates[rows] = np.where(is_changed, np.int8(CHANGED), np.int8(SAME))
    return fates
