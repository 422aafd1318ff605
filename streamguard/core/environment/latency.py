"""Latency: whether answers take lastingly longer than an endpoint's own usual answers.

Theory of operation. Usual answers are counted in bins of the logarithm, eight to an octave, so that a doubling is a
shift by eight bins, whatever the distribution. Each further answer adds the logarithm of how much likelier it is
where all takes 2, 4 or 8 times as long than where all takes a sixth longer than usual, which is nothing to tell of;
below 0 the sum begins anew (CUSUM). No answer adds more than 2.5, so that a few slow ones, however slow, are no rise,
and what answers add is lowered until its exponential is at most 1 on average for usual answers. So it is, if the
usual ones are known and independent, at most one false alarm in exp(14) answers, over a million, on average. Slow
answers that follow each other say less: how often two in a row are on the same side of the median gives their
correlation r, as of a Gaussian series (W. F. Sheppard, 1899), and (1 - r) / (1 + r) is what evidence is worth.
Source: E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954); G. Lorden, "Procedures for reacting to a
change in distribution", Annals of Mathematical Statistics 42 (1971), theorem 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor, log2, pi, sin
from typing import Any

import numpy as np
from numpy.typing import NDArray

THRESHOLD = 14.0
_OVER = 7.5
_STEP_MAX = 2.5
_PER_OCTAVE = 8
_TOLERATED = 2
_RISEN = 8
_BINS = 256
# Bin 0 ends at 2^-5 ms; the last begins at about 2^27 ms.
_FIRST = -5 * _PER_OCTAVE
_BANDWIDTH_MIN = 1.0
_BACKGROUND = 0.02
# Of fewer answers nothing is known of the slow ones.
LEARNT_MIN = 120
_PAIRS_MIN = 110
_WORTH_MIN = 0.1
_APART_MIN = 0.1
_FOLD = 60
# About a week of one a minute: what is older counts half.
_LEARNT_MAX = 10_080
_RECENT = 15

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rise:
    """A rise has begun or ended, dated to `since_ms`; the levels are medians, in milliseconds."""

    is_wrong: bool
    since_ms: int
    usual_ms: float
    now_ms: float
    is_accepted: bool = False
    """It has ended since it is taken for usual."""


class Latency:
    """Watches the latencies of one endpoint; its state is about 500 small numbers."""

    def __init__(self, accept_after_ms: int, state: Mapping[str, Any] | None = None) -> None:
        self._accept_after_ms = accept_after_ms
        state = state or {}
        self._learnt = _dense(state.get("learnt", ()))
        self._fresh = _dense(state.get("fresh", ()))
        self._sum = float(state.get("sum", 0.0))
        self._since_ms = int(state.get("since", 0))
        self._is_wrong = bool(state.get("wrong", False))
        self._recent: list[float] = [float(each) for each in state.get("recent", ())]
        self._pairs, self._same = (int(each) for each in state.get("pairs", (0, 0)))
        self._side: bool | None = state.get("side")
        # Both are functions of what was learnt by the last time that it changed.
        self._worth = float(state.get("worth", 0.0))
        self._steps = _steps(self._learnt)
        self._middle = _middle(self._learnt)

    def take(self, time_ms: int, latency_ms: float) -> Rise | None:
        """Take the latency of a good answer, which is finite and more than 0."""
        place = _bin(latency_ms)
        if self._steps is not None and self._worth:
            step = float(self._steps[place]) * self._worth
            if self._is_wrong:
                return self._end(time_ms, latency_ms, step)
            if self._sum <= 0:
                self._since_ms, self._recent = time_ms, []
            self._sum = max(self._sum + step, 0.0)
            self._recent = [*self._recent, latency_ms][-_RECENT:]
            if self._sum >= THRESHOLD:
                return self._begin()
        if self._sum < THRESHOLD / 2:
            self._learn(place)
        else:
            self._side = None
        return None

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "learnt": _sparse(self._learnt),
            "fresh": _sparse(self._fresh),
            "sum": self._sum,
            "since": self._since_ms,
            "wrong": self._is_wrong,
            "recent": self._recent,
            "pairs": [self._pairs, self._same],
            "side": self._side,
            "worth": self._worth,
        }

    def _begin(self) -> Rise:
        self._is_wrong, self._sum, self._side = True, 0.0, None
        return self._rise(self._since_ms)

    def _end(self, time_ms: int, latency_ms: float, step: float) -> Rise | None:
        """Evidence that the rise is over, or time that it has been the usual level for."""
        if self._sum <= 0:
            self._recent = []
        self._sum = max(self._sum + min(-step, _STEP_MAX), 0.0)
        self._recent = [*self._recent, latency_ms][-_RECENT:]
        is_accepted = self._sum < _OVER and time_ms - self._since_ms >= self._accept_after_ms
        if self._sum < _OVER and not is_accepted:
            return None
        self._is_wrong, self._sum = False, 0.0
        rise = self._rise(time_ms, is_accepted=is_accepted)
        if is_accepted:
            self._learnt, self._fresh = _dense(()), _dense(())
            self._steps, self._worth, self._pairs, self._same = None, 0.0, 0, 0
        return rise

    def _rise(self, since_ms: int, *, is_accepted: bool = False) -> Rise:
        now_ms = sorted(self._recent)[len(self._recent) // 2]
        return Rise(self._is_wrong, since_ms, _median_ms(self._learnt), now_ms, is_accepted)

    def _learn(self, place: int) -> None:
        if self._steps is not None:
            side = place > self._middle
            self._pairs += self._side is not None
            self._same += self._side == side
            self._side = side
        self._fresh[place] += 1
        if self._fresh.sum() < _FOLD:
            return
        self._learnt += self._fresh
        self._fresh[:] = 0
        if self._learnt.sum() > _LEARNT_MAX:
            self._learnt = (self._learnt + 1) // 2
            self._pairs, self._same = self._pairs // 2, self._same // 2
        self._steps, self._middle = _steps(self._learnt), _middle(self._learnt)
        self._worth = _worth(self._learnt, self._pairs, self._same)


def _bin(latency_ms: float) -> int:
    return min(max(floor(log2(latency_ms) * _PER_OCTAVE) - _FIRST, 0), _BINS - 1)


def _median_ms(counts: Counts) -> float:
    return float(2.0 ** ((_middle(counts) + _FIRST + 0.5) / _PER_OCTAVE))


def _middle(counts: Counts) -> int:
    """The bin of the median."""
    return int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))


def _worth(learnt: Counts, pairs: int, same: int) -> float:
    """What the evidence of an answer is worth beside that of one that depends on no other; 0 while nobody knows."""
    if pairs < _PAIRS_MIN:
        return 0.0
    above = float(learnt[_middle(learnt) + 1 :].sum() / learnt.sum())
    # How often two that do not depend on each other would be on different sides.
    apart = 2 * above * (1 - above)
    if apart < _APART_MIN:
        return 1.0
    alike = sin(pi / 2 * max(1 - (1 - same / pairs) / apart, 0.0))
    return 1.0 if alike <= 2 / pairs**0.5 else max((1 - alike) / (1 + alike), _WORTH_MIN)


def _steps(learnt: Counts) -> Floats | None:
    """What an answer in each bin adds to the sum; None while too little is known."""
    count = int(learnt.sum())
    if count < LEARNT_MIN:
        return None
    share = np.convolve(learnt / count, _kernel(learnt, count), mode="same")
    share = (1 - _BACKGROUND) * share / share.sum() + _BACKGROUND / _BINS
    usual = _slower(share, _TOLERATED)
    steps = np.log(_slower(share, _RISEN) / usual)
    # Where nothing was seen, it says no more than where something was: beyond the slow ones, and below the quick ones.
    below, above = np.searchsorted(np.cumsum(learnt) / count, (0.01, 0.99)).tolist()
    steps[:below] = steps[below]
    steps[above:] = np.maximum.accumulate(steps[above:])
    steps = np.minimum(steps, _STEP_MAX)
    excess = max(float(np.log(_slower(share, each) @ np.exp(steps))) for each in range(_TOLERATED + 1))
    return np.asarray(steps - max(excess, 0.0), dtype=np.float64)


def _kernel(learnt: Counts, count: int) -> Floats:
    """A bell as wide as so many answers allow: B. W. Silverman, "Density estimation" (1986), equation 3.31."""
    quarter, three = np.searchsorted(np.cumsum(learnt) / count, (0.25, 0.75)).tolist()
    width = max(0.9 * (three - quarter) / 1.34 * count**-0.2, _BANDWIDTH_MIN)
    bell = np.exp(-0.5 * (np.arange(-64, 65) / width) ** 2)
    return np.asarray(bell / bell.sum(), dtype=np.float64)


def _slower(share: Floats, bins: int) -> Floats:
    """Where all takes so many bins longer."""
    if not bins:
        return share
    moved = np.empty_like(share)
    moved[:bins] = share[:bins].min()
    moved[bins:] = share[:-bins]
    moved[-1] += share[-bins:].sum()
    return np.asarray(moved / moved.sum(), dtype=np.float64)


def _sparse(counts: Counts) -> list[list[int]]:
    return [[place, int(counts[place])] for place in np.flatnonzero(counts).tolist()]


def _dense(pairs: Any) -> Counts:
    counts = np.zeros(_BINS, dtype=np.int64)
    for place, count in pairs:
        counts[place] = count
    return counts
