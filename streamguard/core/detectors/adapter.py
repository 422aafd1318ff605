# ruff: noqa: SLF001 - river publishes no state: what a detector remembers is in its private attributes
"""What the adapters of river's detectors share.

river signals a drift by a flag, and forgets the past on the next update. Here the detector is replaced by a
fresh one at once, which comes to the same, and makes the state after a drift empty. What a river object
remembers is copied by name into a `State` and back, never pickled: a pickle runs code and is bound to river's
version.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from river import stats

from streamguard.core.detectors.interface import Direction, Drift, admitted
from streamguard.core.detectors.settings import Settings

Count = Annotated[int, Field(ge=0)]


class Plain(BaseModel):
    """Finite numbers, text and lists: what survives JSON unchanged."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class State(Plain):
    """What a detector remembers; each detector names itself in `type`."""

    version: Literal[1] = 1


class MeanState(Plain):
    """river's running mean."""

    n: Annotated[float, Field(ge=0)]
    mean: float

    @classmethod
    def of(cls, mean: Any) -> Self:
        """Copy from a `river.stats.Mean`."""
        return cls(n=mean.n, mean=mean._mean)

    def restored(self) -> Any:
        """Return a `river.stats.Mean` that goes on from here."""
        return stats.Mean._from_state(self.n, self.mean)


SettingsT = TypeVar("SettingsT", bound=Settings)
StateT = TypeVar("StateT", bound=State)


class Adapter(ABC, Generic[SettingsT, StateT]):
    """A detector around a river object, `self._river`."""

    state_type: ClassVar[type[State]]

    def __init__(self, settings: SettingsT, state: Mapping[str, Any] | None = None) -> None:
        """Start anew, or from a snapshot; ValueError says what is wrong with a damaged one."""
        self._settings = settings
        self._river = self._fresh()
        if state is not None:
            # A class variable cannot be of a type variable's type; each subclass names its StateT here.
            self._restore(self.state_type.model_validate(dict(state)))  # type: ignore[arg-type]

    def update(self, losses: NDArray[np.float64]) -> list[Drift]:
        drifts = []
        for index, loss in enumerate(admitted(losses, self._settings.needs)):
            direction = self._step(loss)
            if direction is not None:
                drifts.append(Drift(index, direction))
                self._river = self._fresh()
        return drifts

    def snapshot(self) -> dict[str, Any]:
        return self._state().model_dump()

    @abstractmethod
    def _fresh(self) -> Any:
        """Return a river object that has seen nothing."""

    def _step(self, loss: float) -> Direction | None:
        """Feed one loss; return the direction if it completes a drift."""
        self._river.update(loss)
        return self._direction() if self._river.drift_detected else None

    def _direction(self) -> Direction:
        """Return where the losses went, asked right after a drift; most detectors look for a rise only."""
        return Direction.WORSE

    @abstractmethod
    def _state(self) -> StateT:
        """Copy what the river object remembers."""

    @abstractmethod
    def _restore(self, state: StateT) -> None:
        """Put it back into a fresh river object."""
