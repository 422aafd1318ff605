"""What alarms are worth: how late they are after a change, and how many have no change before them.

After a change to the worse the first alarm within the horizon detects it, and more of them there repeat it. All
other alarms are false: those before a change, those past the horizon, those that say "better" while it is worse and
not yet detected, and after an improvement those that do not say so. An alarm without a direction is taken as "worse".

A delay is the number of events from the change to the alarm, both included, so 1 at the least. Nothing here is NaN:
what a detector without false alarms shows is a bound from below.

Source of the names: MTFA, MTD, MDR and MTR = MTFA / MTD (1 - MDR) are those of Bifet, "Classifier Concept Drift
Detection and the Illusion of Progress", 2017.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

import numpy as np
from scipy import stats

from benchmarks.detection.detectors import Alarm
from benchmarks.detection.streams import Change, Floats, Kind
from streamguard.core.detectors import Direction

PER = 100_000
"""Events that false alarms are counted over."""
_LEVEL = 0.95
_RESAMPLES = 1_000


@dataclass(frozen=True, slots=True)
class Score:
    """What a detector did on one stream.

    `delays`: of each change to the worse, in events, None where it was missed. `noticed`: of each improvement, whether
    an alarm said "better". `exposure`: the events at which an alarm is false: not those in a horizon, nor those that
    the detector only learnt from.
    """

    delays: tuple[int | None, ...]
    noticed: tuple[bool, ...]
    false_alarms: int
    repeats: int
    exposure: int


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over streams with its 95% interval, which is None where too few streams say nothing of it.

    `is_bound`: the value is a bound from below, since what it counts did not occur.
    """

    value: float
    interval: tuple[float, float] | None = None
    is_bound: bool = False


@dataclass(frozen=True, slots=True)
class Summary:
    """Over the streams of all seeds; None where there is no change, none was detected, or no alarm could be false.

    `mtd`: mean delay of what was detected, in events; `mdr`: share of changes missed; `false_rate`: false alarms in
    100,000 events; `mtfa`: mean events between them; `noticed`: share of improvements that were called so;
    `repeats`: mean alarms on a stream after a detection.
    """

    mtd: Figure | None
    mdr: Figure | None
    false_rate: Figure | None
    mtfa: Figure | None
    mtr: Figure | None
    noticed: Figure | None
    repeats: float


def score(
    count: int, changes: Sequence[Change], alarms: Sequence[Alarm], max_delay: int | None = None, learning: int = 0
) -> Score:
    """Judge the alarms on a stream of `count` events.

    The horizon of `max_delay` events ends at the next change at the latest; the first `learning` events, as far as they
    are before the first change, are no chance to be wrong.
    """
    delays, noticed = list[int | None](), list[bool]()
    first = changes[0].index if changes else count
    false, repeats, exposure = sum(alarm.index < first for alarm in alarms), 0, count - min(learning, first)
    for change, following in pairwise([*changes, Change(count, Kind.WORSE)]):
        horizon = min(following.index - change.index, following.index if max_delay is None else max_delay)
        inside = [alarm for alarm in alarms if 0 <= alarm.index - change.index < horizon]
        false += sum(change.index + horizon <= alarm.index < following.index for alarm in alarms)
        if change.kind is Kind.BETTER:
            right = sum(alarm.direction is Direction.BETTER for alarm in inside)
            noticed.append(right > 0)
            false += len(inside) - right
            continue
        exposure -= horizon
        place = next((at for at, alarm in enumerate(inside) if alarm.direction is not Direction.BETTER), None)
        delays.append(None if place is None else inside[place].index - change.index + 1)
        false += len(inside) if place is None else place
        repeats += 0 if place is None else len(inside) - place - 1
    return Score(tuple(delays), tuple(noticed), false, repeats, exposure)


def summary(scores: Sequence[Score]) -> Summary:
    """Of the scores of one detector on the streams of several seeds, one stream at least."""
    delays = [delay for each in scores for delay in each.delays]
    noticed = [was for each in scores for was in each.noticed]
    detected = [float(delay) for delay in delays if delay is not None]
    return Summary(
        mtd=_mean(np.array(detected)) if detected else None,
        mdr=_share(len(delays) - len(detected), len(delays)) if delays else None,
        false_rate=_false_rate(scores),
        mtfa=_mtfa(scores),
        mtr=_mtr(scores),
        noticed=_share(sum(noticed), len(noticed)) if noticed else None,
        repeats=sum(each.repeats for each in scores) / len(scores),
    )


def _mean(values: Floats) -> Figure:
    """With Student's interval."""
    mean, count = float(values.mean()), len(values)
    if count == 1:
        return Figure(mean)
    margin = float(stats.t.ppf((1 + _LEVEL) / 2, count - 1)) * float(values.std(ddof=1)) / math.sqrt(count)
    return Figure(mean, (max(0.0, mean - margin), mean + margin))


def _share(part: int, whole: int) -> Figure:
    """With Wilson's interval, which is not empty where the share is 0 or 1 ("Probable inference", 1927)."""
    z = NormalDist().inv_cdf((1 + _LEVEL) / 2)
    share = part / whole
    centre = (share + z * z / (2 * whole)) / (1 + z * z / whole)
    margin = z / (1 + z * z / whole) * math.sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole))
    return Figure(share, (max(0.0, centre - margin), min(1.0, centre + margin)))


def _false_rate(scores: Sequence[Score]) -> Figure | None:
    """In `PER` events. Of none, the interval ends where none would be seen in 5% of cases, if they came at random."""
    exposure, false = sum(each.exposure for each in scores), sum(each.false_alarms for each in scores)
    if exposure == 0:
        return None
    if false == 0:
        return Figure(0.0, (0.0, -PER * math.log(1 - _LEVEL) / exposure))
    rates = np.array([PER * each.false_alarms / each.exposure for each in scores if each.exposure])
    return Figure(PER * false / exposure, _mean(rates).interval)


def _mtfa(scores: Sequence[Score]) -> Figure | None:
    """Events to each false alarm; without any, more than all that there were."""
    rate = _false_rate(scores)
    if rate is None:
        return None
    if rate.value == 0:
        return Figure(float(sum(each.exposure for each in scores)), is_bound=True)
    if rate.interval is None:
        return Figure(PER / rate.value)
    low, high = rate.interval
    return Figure(PER / rate.value, (PER / high, PER / low if low > 0 else math.inf))


def _mtr(scores: Sequence[Score]) -> Figure | None:
    """MTFA / MTD (1 - MDR), 0 where nothing was detected; the interval is a bootstrap's over streams."""
    table = np.array([_parts(each) for each in scores], np.float64)
    exposure, false, _, _, changes = table.sum(axis=0)
    if exposure == 0 or changes == 0:
        return None
    value = float(_ratio(table.sum(axis=0)))
    if false == 0:
        return Figure(value, is_bound=value > 0)
    if len(scores) == 1:
        return Figure(value)
    drawn = np.random.default_rng(0).integers(0, len(scores), (_RESAMPLES, len(scores)))
    low, high = np.quantile(_ratio(table[drawn].sum(axis=1)), [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Figure(value, (float(low), float(high)))


def _parts(one: Score) -> tuple[int, int, int, int, int]:
    detected = [delay for delay in one.delays if delay is not None]
    return one.exposure, one.false_alarms, sum(detected), len(detected), len(one.delays)


def _ratio(parts: Floats) -> Floats:
    exposure, false, delay, detected, changes = np.moveaxis(parts, -1, 0)
    # MTD = delay / detected and 1 - MDR = detected / changes.
    found: Floats = exposure / np.maximum(false, 1) * detected**2 / (np.maximum(delay, 1) * changes)
    return found
