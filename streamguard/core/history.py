"""The losses of one stream so far, summarised: when did they change, from what, to what."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamguard.core.panes import Pane, add_pane

_PANE_ROWS = 32


@dataclass(frozen=True, slots=True)
class Mean:
    """A number of losses and their sum."""

    count: int = 0
    total: float = 0.0

    @property
    def rate(self) -> float:
        """The mean loss; there must be one at least."""
        return self.total / self.count


@dataclass(frozen=True, slots=True)
class Change:
    """The likeliest change point: the event time where the new level begins, and both levels."""

    onset_ms: int
    before: Mean
    after: Mean


class History:
    """Panes of (count, total, first time, last time), and the rows that do not fill one yet."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self._panes: list[Pane] = [list(pane) for pane in state["panes"]] if state else []
        self._times: list[int] = list(state["times"]) if state else []
        self._losses: list[float] = list(state["losses"]) if state else []

    def add(self, times_ms: Sequence[int], losses: Sequence[float]) -> None:
        """Take losses in order of event time."""
        self._times += times_ms
        self._losses += losses
        # Summed pane by pane, never by what a call happened to bring: the last digit must not depend on that.
        full = len(self._times) // _PANE_ROWS * _PANE_ROWS
        for start in range(0, full, _PANE_ROWS):
            end = start + _PANE_ROWS
            total = math.fsum(self._losses[start:end])
            add_pane(self._panes, [_PANE_ROWS, total, self._times[start], self._times[end - 1]], _merge)
        del self._times[:full], self._losses[:full]

    def change(self, since_ms: int, *, sign: int = 0) -> Change | None:
        """Where the panes since `since_ms` split best into two levels; None without losses there.

        The split with the largest n0 n1 / (n0 + n1) (m1 - m0)^2: the maximum likelihood of one change in
        the mean of normal observations. `sign` 1 looks for a rise only, -1 for a fall. Without such a
        split there is no level before.
        """
        panes = [*(pane for pane in self._panes if pane[2] >= since_ms), *self._rest()]
        if not panes:
            return None
        counts, totals = [pane[0] for pane in panes], [pane[1] for pane in panes]
        all_count, all_total = sum(counts), math.fsum(totals)
        best, place, count, total = 0.0, 0, 0, 0.0
        for index in range(1, len(panes)):
            count += counts[index - 1]
            total += totals[index - 1]
            rest = all_count - count
            step = (all_total - total) / rest - total / count
            gain = count * rest / all_count * step**2
            if gain > best and step * sign >= 0:
                best, place = gain, index
        before = Mean(sum(counts[:place]), math.fsum(totals[:place]))
        after = Mean(sum(counts[place:]), math.fsum(totals[place:]))
        return Change(panes[place][2], before, after)

    def levels(self, onset_ms: int) -> tuple[Mean, Mean]:
        """What was before that time, and what since; a pane counts as its first loss does."""
        panes = [*self._panes, *self._rest()]
        return _mean([pane for pane in panes if pane[2] < onset_ms]), _mean(
            [pane for pane in panes if pane[2] >= onset_ms]
        )

    def _rest(self) -> list[Pane]:
        """The rows that fill no pane yet, as one."""
        if not self._times:
            return []
        return [[len(self._times), math.fsum(self._losses), self._times[0], self._times[-1]]]

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON: about a hundred panes for a million losses."""
        return {"panes": self._panes, "times": self._times, "losses": self._losses}


def _merge(older: Pane, newer: Pane) -> Pane:
    return [older[0] + newer[0], older[1] + newer[1], older[2], newer[3]]


def _mean(panes: Sequence[Pane]) -> Mean:
    return Mean(sum(pane[0] for pane in panes), math.fsum(pane[1] for pane in panes))
