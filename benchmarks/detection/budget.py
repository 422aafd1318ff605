"""Whether the budget holds: false alarms of many stable streams over a quarter, beside what they may give.

    python -m benchmarks.detection.budget
    python -m benchmarks.detection.budget --streams 50 --budgets 1

Two hundred streams share a budget for 90 days of event time. Their rates are from 1% to 30%, their traffic from 300 to
2,000 outcomes a day, most of it by day and in bursts. Nothing ever changes, so that every alarm is false. An alarm that
says itself that nothing is guaranteed is counted apart. Writes its table into `docs/detection.md`.
"""

import argparse
import math
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from multiprocessing import Pool

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.__main__ import PAGE, echo
from benchmarks.detection.report import rewritten
from benchmarks.detection.streams import DAY_MS, chained
from streamguard.core.budget import MONTH_MS
from streamguard.core.budgeted import Budgeted
from streamguard.core.detectors import BudgetedSettings

DAYS = 90
RATES = (0.01, 0.03, 0.05, 0.1, 0.2, 0.3)
PER_DAY = (300, 1000, 2000)
SETTINGS = {
    "as by default": BudgetedSettings(),
    "season: none, baseline: 7d": BudgetedSettings(season="none", baseline="7d"),
}
SEASON, WANDERING = "daily and weekly season", "a rate that wanders"
KINDS = ("independent", "lag-1 correlation .2", "lag-1 correlation .5", SEASON, WANDERING)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Told:
    """What the streams of one kind gave, all together."""

    guaranteed: int = 0
    in_doubt: int = 0
    doubtful_streams: int = 0
    events: int = 0

    def __add__(self, other: "Told") -> "Told":
        return Told(
            self.guaranteed + other.guaranteed,
            self.in_doubt + other.in_doubt,
            self.doubtful_streams + other.doubtful_streams,
            self.events + other.events,
        )


def arrivals(rng: np.random.Generator, per_day: int) -> Ints:
    """Event times: ten times as many by day as by night, and in one hour of ten twice as many."""
    at = np.sort(rng.random(rng.poisson(4 * per_day * DAYS)) * DAYS)
    bursts = np.where(rng.random(DAYS * 24) < 0.1, 1.0, 0.5)
    chance = (1 + 0.8 * np.sin(2 * np.pi * at)) / 1.8 * bursts[(at * 24).astype(np.int64)]
    times: Ints = (at[rng.random(len(at)) < chance] * DAY_MS).astype(np.int64)
    return times


def losses(rng: np.random.Generator, kind: str, rate: float, times_ms: Ints) -> Floats:
    """Of 0 and 1. The season moves the rate by a fifth over the day, and by three tenths at weekends.

    A rate that wanders is 20% off on average, and takes a thousand outcomes to forget where it was.
    """
    if kind.startswith("lag-1"):
        return chained(rng, len(times_ms), rate, float(kind.rsplit(" ", 1)[1]))
    if kind == WANDERING:
        return drawn(rng, rate * np.exp(wandering(rng, len(times_ms)) - 0.02))
    days = times_ms / DAY_MS
    is_weekend = days.astype(np.int64) % 7 >= 5
    season = 1 + 0.2 * np.sin(2 * np.pi * days) + 0.3 * is_weekend
    return drawn(rng, rate * season if kind == SEASON else np.full(len(days), rate))


def drawn(rng: np.random.Generator, rates: Floats) -> Floats:
    """A loss of 0 or 1 for each rate."""
    return (rng.random(len(rates)) < rates).astype(np.float64)


def wandering(rng: np.random.Generator, count: int, every: int = 50, memory: int = 1000) -> Floats:
    """An autoregression with a standard deviation of 0.2 that forgets over so many outcomes: float64[count]."""
    kept = float(np.exp(-every / memory))
    steps = rng.standard_normal(count // every + 1) * 0.2
    for place in range(1, len(steps)):
        steps[place] = kept * steps[place - 1] + np.sqrt(1 - kept**2) * steps[place]
    return np.repeat(steps, every)[:count]


def judged(number: int, kind: str, name: str, monthly: float, streams: int) -> Told:
    """One stream of so many that share the budget."""
    rng = np.random.default_rng((11, number))
    times = arrivals(rng, PER_DAY[number % len(PER_DAY)])
    detector = Budgeted(SETTINGS[name])
    given = (times - times[0]) * (monthly / streams / MONTH_MS)
    counts, is_open = [0, 0], False
    for each in detector.update(times, losses(rng, kind, RATES[number % len(RATES)], times), given):
        if each.is_alarm and not is_open:
            counts[each.learnt.doubt is not None] += 1
        is_open = each.is_alarm
    doubtful = detector.learnt is None or detector.learnt.doubt is not None
    return Told(counts[0], counts[1], int(doubtful), len(times))


def rows(streams: int, budgets: list[float], processes: int) -> Iterator[str]:
    """The table, a line at a time."""
    yield (
        "| losses | detector | false alarms a month allowed | in 90 days at most | three standard errors more"
        " | false alarms | streams that promise nothing | false alarms of these |"
    )
    yield "|---|---|--:|--:|--:|--:|--:|--:|"
    with Pool(processes) as pool:
        for kind, name, monthly in product(KINDS, SETTINGS, budgets):
            if kind == WANDERING and monthly != budgets[0]:
                continue
            one = partial(judged, kind=kind, name=name, monthly=monthly, streams=streams)
            told = sum(pool.imap_unordered(one, range(streams)), Told())
            most = monthly * DAYS * DAY_MS / MONTH_MS
            limit = most + 3 * math.sqrt(most)
            yield (
                f"| {kind} | {name} | {monthly:g} | {most:g} | {limit:.1f} | {told.guaranteed}"
                f" | {told.doubtful_streams} | {told.in_doubt} |"
            )


def main() -> None:
    """Judge, print and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection.budget",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.5, 1.0, 5.0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave docs/detection.md as it is")
    options = parser.parse_args()
    lines = []
    for line in rows(options.streams, options.budgets, options.processes):
        echo(line)
        lines.append(line)
    if options.write:
        command = shlex.join(["python", "-m", "benchmarks.detection.budget", *sys.argv[1:]])
        text = "\n".join([*lines, "", f"`{command}`, {options.streams} streams that share each budget."])
        PAGE.write_text(rewritten(PAGE.read_text(), {"budget": text}))


if __name__ == "__main__":
    main()
