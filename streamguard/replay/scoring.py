"""What the alerts of a backtest are worth: which incidents they find, how late, and how often they cry wolf.

An *alarm* is an alert that calls somebody: raised, and not for the better. What is told later of the same episode calls
nobody, so an incident that falls into an episode which was open before is missed.

An alarm *fits* an incident where it may be about it: the monitor is the one that the incident names, if it names one,
and the segment has no other value in any field that the incident names. A field that the alarm does not name it takes
all values of together, so it fits: an alarm of the whole of a monitor fits whatever segment.

The *time* of an incident is from its begin to its end plus a grace, both included: labels and windows lag behind. It
is *found* by the first alarm in its time that fits, and else missed; one alarm may find several that overlap. All
alarms that fit in its time belong to it. What belongs to none is *false*.

An incident that began before the first outcome of the range, or after the last, is not scored: whoever begins to look
later cannot find it in time. What belongs to it is not false, all the same.

False alarms are counted per 30 days of *exposed* time, at which an alarm could be false. That is the range without the
times of the incidents that every alarm fits; where an incident is of one monitor or segment, others can still be wrong.
Where detectors only learn at first, that is part of the range, too.

What is said of settings (`segments_full`, `type_disagreement`) is neither found nor false. A delay is of event time.
This follows benchmarks/detection/scoring.py, where delays are counted in events, and horizons are given.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from streamguard.core.alerts import Status
from streamguard.core.budget import MONTH_MS
from streamguard.core.detectors import Direction
from streamguard.core.fields import parse_time_ms
from streamguard.replay.truth import Incident

OF_SETTINGS = frozenset({"segments_full", "type_disagreement"})
"""Kinds of alerts that find no incident, and are never false."""

Span = tuple[int, int]
"""The event times of the first and the last outcome of a range, in epoch ms."""
OutcomesBetween = Callable[[Incident, int, int], int]
"""How many outcomes of what an incident is about came from one event time to another, in epoch ms."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alert that calls somebody, at an event time in epoch ms. Of a monitor's whole the segment is empty."""

    time_ms: int
    monitor: str
    segment: Mapping[str, str | None]
    kind: str

    @staticmethod
    def of(alert: Mapping[str, Any]) -> "Alarm | None":
        """From an alert's data as in docs/alerts.md; None of what is no alarm: an update, an end, a notice."""
        if alert["status"] != Status.RAISED or alert["direction"] == Direction.BETTER:
            return None
        return Alarm(parse_time_ms(alert["event_time"]), alert["monitor"], alert["segment"], alert["kind"])


@dataclass(frozen=True, slots=True)
class Score:
    """What alarms are worth. Delays and outcomes are of the incidents that were found; None where none was."""

    found: int
    missed: int
    delay_median_s: float | None
    """From an incident's begin to the alarm that found it; of two in the middle their mean."""
    delay_worst_s: float | None
    outcomes_median: int | None
    """The outcomes meanwhile, to the nearest whole; None also where nobody counts them."""
    false_alarms: int
    false_per_month: float
    """Per 30 days of exposed time; 0.0 where there is none."""
    delays_s: tuple[float | None, ...] = ()
    """Of each incident that is scored, in their order; None where it was missed."""


def score(
    alarms: Sequence[Alarm],
    incidents: Sequence[Incident],
    span_ms: Span,
    outcomes_between: OutcomesBetween | None = None,
    *,
    grace_ms: int = 0,
) -> Score:
    """Judge the alarms of a range, in any order, by what is known to have gone wrong."""
    judged = [each for each in alarms if each.kind not in OF_SETTINGS]
    belonging, firsts = set[int](), dict[int, int]()
    for number, incident in enumerate(incidents):
        inside = [place for place, each in enumerate(judged) if _is_in_time(each, incident, grace_ms)]
        belonging.update(inside)
        if inside:
            firsts[number] = min(judged[place].time_ms for place in inside)
    scored = [(each, firsts.get(number)) for number, each in enumerate(incidents) if _is_within(each, span_ms)]
    everywhere = [each for each in incidents if each.monitor is None and not each.segment]
    exposed_ms = span_ms[1] - span_ms[0] - sum(end - start for start, end in _times(everywhere, span_ms, grace_ms))
    return _summed(scored, len(judged) - len(belonging), exposed_ms, outcomes_between)


def references(
    incidents: Sequence[Incident],
    span_ms: Span,
    cooldown_ms: int,
    outcomes_between: OutcomesBetween | None = None,
    *,
    grace_ms: int = 0,
) -> tuple[Score, Score]:
    """Return what whoever always alarms would score, and whoever never does: neither is worth anything.

    Always: at the first outcome and then whenever the cooldown (1 ms at least) is over, each time for all monitors and
    segments at once. It finds whatever lasts as long as the cooldown, at half of it on average, and is false at all
    other times. Exposed is what is outside all incidents: its alarms fit every one.
    """
    start, end = span_ms
    step = max(1, cooldown_ms)
    times = _times(incidents, span_ms, grace_ms)
    exposed_ms = end - start - sum(until - since for since, until in times)
    total = _ticks(start, end, start, step)
    false = total - sum(_ticks(since, until, start, step) for since, until in times)
    scored = [each for each in incidents if _is_within(each, span_ms)]
    always = list[tuple[Incident, int | None]]()
    for each in scored:
        tick = start + -(-(each.from_ms - start) // step) * step
        always.append((each, tick if tick <= min(end, _until(each, grace_ms)) else None))
    return (
        _summed(always, false, exposed_ms, outcomes_between),
        _summed([(each, None) for each in scored], 0, exposed_ms, outcomes_between),
    )


def outside(incidents: Iterable[Incident], span_ms: Span) -> list[Incident]:
    """Return the incidents that are not scored: they began before the first outcome, or after the last."""
    return [each for each in incidents if not _is_within(each, span_ms)]


def overlap(one: Span, other: Span) -> int:
    """How much of two times is in both, in ms."""
    return max(0, min(one[1], other[1]) - max(one[0], other[0]))


def per_month(count: float, length_ms: int) -> float:
    """How many in 30 days, of so many in a time of this length; 0.0 where it has none."""
    return count * MONTH_MS / length_ms if length_ms > 0 else 0.0


def _is_within(incident: Incident, span_ms: Span) -> bool:
    return span_ms[0] <= incident.from_ms <= span_ms[1]


def _is_in_time(alarm: Alarm, incident: Incident, grace_ms: int) -> bool:
    """Whether an alarm belongs to an incident."""
    if not incident.from_ms <= alarm.time_ms <= _until(incident, grace_ms):
        return False
    return incident.concerns(alarm.monitor, alarm.segment)


def _until(incident: Incident, grace_ms: int) -> float:
    return math.inf if incident.to_ms is None else incident.to_ms + grace_ms


def _times(incidents: Iterable[Incident], span_ms: Span, grace_ms: int) -> list[Span]:
    """The times of incidents within the range, in order; where they meet they are one."""
    start, end = span_ms
    merged = list[Span]()
    for each in sorted(incidents, key=lambda incident: incident.from_ms):
        since, until = max(start, each.from_ms), int(min(end, _until(each, grace_ms)))
        if since > until:
            continue
        if merged and since <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], until)
        else:
            merged.append((since, until))
    return merged


def _ticks(since_ms: int, until_ms: int, start_ms: int, step_ms: int) -> int:
    """How many of the times that are any number of steps after the start lie between the two, both included."""
    return (until_ms - start_ms) // step_ms - (since_ms - start_ms - 1) // step_ms


def _summed(
    scored: Sequence[tuple[Incident, int | None]],
    false_alarms: int,
    exposed_ms: int,
    outcomes_between: OutcomesBetween | None,
) -> Score:
    """Of each incident with the time of the alarm that found it, if any."""
    found = [(each, first) for each, first in scored if first is not None]
    delays = [(first - each.from_ms) / 1000 for each, first in found]
    outcomes = [outcomes_between(each, each.from_ms, first) for each, first in found] if outcomes_between else []
    return Score(
        found=len(found),
        missed=len(scored) - len(found),
        delay_median_s=median(delays) if delays else None,
        delay_worst_s=max(delays, default=None),
        outcomes_median=round(median(outcomes)) if outcomes else None,
        false_alarms=false_alarms,
        false_per_month=per_month(false_alarms, exposed_ms),
        delays_s=tuple(None if first is None else (first - each.from_ms) / 1000 for each, first in scored),
    )
