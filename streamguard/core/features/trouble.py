"""What has moved and is not back yet: evidence that each mean is nearer to where it was than to where it went."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamguard.core.baseline import UNIT
from streamguard.core.features.evidence import FINE, UP, recovery
from streamguard.core.features.looks import Looks
from streamguard.core.features.reference import Ints
from streamguard.core.features.usual import Levels

Floats = NDArray[np.float64]
Named = tuple[int, int]
"""A look, and the direction in which it has moved."""

_ROUND = 1 << 20


class Trouble:
    """Of each that has moved the middle, and the evidence that it is on this side of it again."""

    def __init__(self, looks: Looks, state: Sequence[Any] | None = None) -> None:
        self._looks = looks
        self.onsets_ms: dict[int, int] = {}
        """By look: since when it has moved, as it was told first."""
        self._halves: dict[Named, float] = {}
        """Half of how far it went beyond what is usual, which may be another at another hour."""
        self._logs: dict[Named, float | None] = {}
        """None: it is back."""
        for look, direction, onset_ms, half, log in state or ():
            self.onsets_ms[look] = onset_ms
            self._halves[look, direction] = half
            self._logs[look, direction] = None if log == "back" else -math.inf if log is None else log

    @property
    def named(self) -> list[Named]:
        """All that has moved since the episode began."""
        return list(self._halves)

    def name(self, named: Iterable[Named], onsets_ms: Mapping[int, int], means: Floats, levels: Levels) -> None:
        """These have moved, to these means."""
        for look, direction in named:
            self.onsets_ms[look] = onsets_ms[look]
            bound = float(levels.high[look] if direction == UP else levels.low[look])
            self._halves[look, direction] = abs(float(means[look]) - bound) / 2
            self._logs[look, direction] = -math.inf

    def known(self) -> NDArray[np.bool_]:
        """Of which looks people know: of a feature, whatever of it has moved, as long as that is not back.

        Evidence of these is no news, and would hide that of others.
        """
        about = self._looks.about
        open_ = {about[look] for (look, _), log in self._logs.items() if log is not None}
        return np.array([each in open_ for each in about], np.bool_)

    def take(self, gathered: Ints, stake: float, levels: Levels) -> bool:
        """Take a window's counts; returns whether all are back."""
        staked = math.log(stake) if stake > 0 else -math.inf
        for (look, direction), log in self._logs.items():
            if log is None:
                continue
            half = self._halves[look, direction]
            middle = float(levels.high[look]) + half if direction == UP else float(levels.low[look]) - half
            scores = self._looks.scores[look] / UNIT
            # As a mean that has risen.
            level, score = (1 - middle, 1 - scores) if direction == UP else (middle, scores)
            gains = recovery(score, level, half, float(self._looks.spread[look]), float(levels.design[look]))
            gain = int((gains * np.where(self._looks.is_asked[look], gathered[look], 0)).sum())
            found = float(np.logaddexp(log, staked)) + gain / FINE
            found = found if math.isinf(found) else round(found * _ROUND) / _ROUND
            self._logs[look, direction] = None if found >= 0 else found
        return bool(self._logs) and all(log is None for log in self._logs.values())

    def clear(self) -> None:
        """Nothing is wrong any more."""
        self.onsets_ms.clear()
        self._halves.clear()
        self._logs.clear()

    def snapshot(self) -> list[Any]:
        """Plain JSON."""
        return [
            [look, direction, self.onsets_ms[look], half, _kept(self._logs[look, direction])]
            for (look, direction), half in self._halves.items()
        ]


def _kept(log: float | None) -> Any:
    return "back" if log is None else None if math.isinf(log) else log
