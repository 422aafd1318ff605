"""No data: a stream that had outcomes regularly has none.

How long is too long follows from what it had: the time that is set, and twenty times its usual distance, so
that a stream of little traffic is not told of each night. Only event times are looked at: a silence is over
the limit when the outcomes of others, or idle inputs, have carried event time past it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_DISTANCES = 20
# Of fewer outcomes there is no usual distance.
_COUNT_MIN = 20


class Change(NamedTuple):
    """At `time_ms` a silence was too long, or it ended."""

    time_ms: int
    is_silent: bool
    since_ms: int = 0
    """The last outcome before a silence."""
    distance_ms: int = 0
    """The usual time between two outcomes until then."""


@dataclass(slots=True)
class Silence:
    """Watches the outcomes of one stream. `after_ms`: the shortest silence that is one."""

    after_ms: int
    count: int = 0
    first_ms: int = 0
    last_ms: int = 0
    is_silent: bool = False

    def take(self, times_ms: NDArray[np.int64]) -> list[Change]:
        """Take outcomes in order of event time."""
        if not len(times_ms):
            return []
        changes = []
        if not self.count:
            self.first_ms = self.last_ms = int(times_ms[0])
        before = np.concatenate(([self.last_ms], times_ms[:-1]))
        counts = self.count + np.arange(len(times_ms))
        distances = (before - self.first_ms) // np.maximum(counts - 1, 1)
        limits = np.maximum(distances * _DISTANCES, self.after_ms)
        is_late = (times_ms - before > limits) & (counts >= _COUNT_MIN)
        if self.is_silent:
            is_late[0] = True
        for place in np.flatnonzero(is_late).tolist():
            if not self.is_silent:
                changes.append(_begun(int(before[place]), int(limits[place]), int(distances[place])))
            changes.append(Change(int(times_ms[place]), is_silent=False))
            self.is_silent = False
        self.count += len(times_ms)
        self.last_ms = int(times_ms[-1])
        return changes

    def wait(self, until_ms: int) -> list[Change]:
        """No outcome of this stream comes before that time."""
        if self.is_silent or self.count < _COUNT_MIN:
            return []
        distance_ms = (self.last_ms - self.first_ms) // (self.count - 1)
        limit_ms = max(self.after_ms, distance_ms * _DISTANCES)
        if until_ms - self.last_ms <= limit_ms:
            return []
        self.is_silent = True
        return [_begun(self.last_ms, limit_ms, distance_ms)]

    def snapshot(self) -> list[Any]:
        """Plain JSON."""
        return [*asdict(self).values()][1:]

    @staticmethod
    def restored(after_ms: int, state: Sequence[Any] | None) -> "Silence":
        """From a snapshot, if there is one."""
        return Silence(after_ms, *(state or ()))


def _begun(since_ms: int, limit_ms: int, distance_ms: int) -> Change:
    return Change(since_ms + limit_ms, is_silent=True, since_ms=since_ms, distance_ms=distance_ms)
