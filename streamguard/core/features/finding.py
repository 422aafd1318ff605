"""Since when means are not as they were, and which of them: from what came lately, each hour by its own levels."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamguard.core.baseline import UNIT
from streamguard.core.features.evidence import AllBets, strength, weighed
from streamguard.core.features.looks import Looks, What, runs
from streamguard.core.features.recent import Pane, Recent
from streamguard.core.features.trouble import Named
from streamguard.core.features.usual import Usual

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# What is named beside that which has set off the alarm has by itself this much evidence since the onset.
_NAMED = math.log(1e3)


@dataclass(frozen=True, slots=True)
class Found:
    """All that came since the onset, and what has moved."""

    since: Pane
    named: list[Named]


def found(
    bets: AllBets, recent: Recent, usual: Usual, leader: Named, known: Mask, *, tolerance: float, is_learning: bool
) -> Found:
    """What a leader of the evidence, and others with it that are not known yet, have done since it is as it is."""
    looks = bets.looks
    actives, logs = [], []
    for pane in recent.panes:
        levels = usual.levels(None if is_learning else (pane.start_ms, pane.end_ms), tolerance)
        held = bets.at(levels, is_learning=is_learning)
        actives.append(held.active)
        logs.append(weighed(held.likelihood, looks.gathered(pane.counts.astype(np.int64))))
    # For each beginning all from there on.
    sums = np.cumsum(np.stack(logs)[::-1], axis=0)[::-1]
    look, direction = leader
    place = int(np.argmax(sums[:, look, direction].max(axis=1)))
    strengths = strength(sums[place])
    strengths[~actives[-1] | known[:, None]] = -math.inf
    return Found(recent.since(recent.panes[place].start_ms), _named(looks, strengths, look))


def _named(looks: Looks, strengths: Floats, leader: int) -> list[Named]:
    """Of each column the look that says most, where it says enough."""
    named = []
    for start, end in runs(looks.column):
        own = strengths[start:end].copy()
        # What has set it off is named in any case.
        if not (start <= leader < end or own.max(initial=-math.inf) >= _NAMED):
            continue
        whats = [look.what for look in looks.all[start:end]]
        if What.LOCATION in whats and own[whats.index(What.LOCATION)].max() >= _NAMED:
            # Numbers that are larger are farther out as well; people ask where they are.
            own[[what is What.SPREAD for what in whats]] = -math.inf
        place = int(np.argmax(own))
        named.append((start + place // 2, place % 2))
    return named


def means(looks: Looks, since: Pane) -> Floats:
    """Of each look; shape (looks,)."""
    rows, totals, _ = looks.sums(looks.gathered(since.counts.astype(np.int64)))
    mean: Floats = totals / np.maximum(rows, 1) / UNIT
    return mean


def deviations(looks: Looks, since: Pane, usual: Usual, *, is_learning: bool) -> Floats:
    """How far each mean is from what is usual at those hours, in standard deviations of training."""
    expected = np.nan_to_num(looks.level)
    if usual.rows and not is_learning:
        learnt = usual.expected(since.start_ms, since.end_ms)
        expected = np.where(np.isnan(learnt), expected, learnt)
    distances: Floats = np.abs(means(looks, since) - expected) / looks.spread
    return distances
