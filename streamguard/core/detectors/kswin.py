# ruff: noqa: SLF001 - river publishes no state: what a detector remembers is in its private attributes
"""KSWIN: a change in the distribution of the losses."""

import random
from collections import deque
from collections.abc import Sequence
from statistics import fmean
from typing import Any, Literal

from river.drift import KSWIN

from streamguard.core.detectors.adapter import Adapter, Count, State
from streamguard.core.detectors.interface import Direction, compared
from streamguard.core.detectors.settings import KswinSettings


class KswinState(State):
    """The losses held, the oldest first, and how often a sample was drawn from them."""

    type: Literal["kswin"] = "kswin"
    window: list[float]
    draws: Count


class _Draws:
    """Stands in for river's random generator: the n-th draw is a function of the seed and n alone.

    So the state is one counter in place of a generator's 625 words, and no restart changes a result.
    """

    def __init__(self, seed: int, count: int = 0) -> None:
        self.seed = seed
        self.count = count

    def sample(self, population: Sequence[int], k: int) -> list[int]:
        self.count += 1
        return random.Random(f"{self.seed}:{self.count}").sample(population, k)  # noqa: S311 - no secret


class Kswin(Adapter[KswinSettings, KswinState]):
    """Finds a change in the distribution of the losses, and says where their mean went, recent against older.

    At each loss it makes a Kolmogorov-Smirnov test of the last `stat_size` losses against as many drawn from
    those before. Memory: `window_size` numbers. About 200 µs a loss, two thousand times ADWIN: for thin
    streams.

    Traps: a test at each loss makes false alarms frequent, even at the default `alpha`; on losses of 0 and 1
    the test is coarse. The draws are made from `seed`, and differ from river's own for the same seed.

    Source: Raab, Heusinger, Schleif, "Reactive Soft Prototype Computing for Concept Drift Streams", 2020.
    """

    state_type = KswinState

    def _fresh(self) -> Any:
        river: Any = KSWIN(**self._settings.model_dump(exclude={"type"}))
        river._rng = _Draws(self._settings.seed)
        return river

    def _step(self, loss: float) -> Direction | None:
        # At a drift river moves on to a new deque, and this one keeps the losses that were compared.
        window = self._river.window
        self._river.update(loss)
        if not self._river.drift_detected:
            return None
        losses = list(window)
        recent = losses[-self._settings.stat_size :]
        return compared(before=fmean(losses[: -self._settings.stat_size]), after=fmean(recent))

    def _state(self) -> KswinState:
        return KswinState(window=list(self._river.window), draws=self._river._rng.count)

    def _restore(self, state: KswinState) -> None:
        size = self._settings.window_size
        if len(state.window) > size:
            raise ValueError(f"state holds {len(state.window)} losses, but window_size is {size}")
        self._river.window = deque(state.window, maxlen=size)
        self._river._rng.count = state.draws
