"""Judges the detectors on the streams, a stream at a time in each process."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

from benchmarks.detection.detectors import judge, suits
from benchmarks.detection.scenarios import GROUPS
from benchmarks.detection.scoring import Score, score

Found = dict[str, dict[str, dict[str, list[Score]]]]
"""By group, stream and detector: a score for each seed."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is judged: `monthly` is the budget of ours, false alarms in 30 days; `max_delay` the horizon, in events."""

    groups: tuple[str, ...]
    detectors: tuple[str, ...]
    seeds: int = 20
    max_delay: int | None = None
    monthly: float = 1.0
    processes: int = 2


def judged(wanted: Wanted, echo: Callable[[str], None]) -> Found:
    """Run all of it; the same whatever the number of processes."""
    found: Found = {}
    # A process that is forked shares the locks of threads that it does not have.
    with get_context("spawn").Pool(wanted.processes) as pool:
        for group in wanted.groups:
            places = [(group, name, seed) for name in GROUPS[group] for seed in range(wanted.seeds)]
            scores = pool.map(partial(judged_stream, wanted), places, chunksize=1)
            found[group] = {name: {} for name in GROUPS[group]}
            for name in GROUPS[group]:
                of_seeds = [each for place, each in zip(places, scores, strict=True) if place[1] == name]
                found[group][name] = {detector: [each[detector] for each in of_seeds] for detector in of_seeds[0]}
            echo(f"{group}: {len(places)} streams")
    return found


def judged_stream(wanted: Wanted, place: tuple[str, str, int]) -> dict[str, Score]:
    """Score each detector on the stream of a group, a name and a seed."""
    group, name, seed = place
    stream = GROUPS[group][name](seed)
    scores = {}
    for detector in wanted.detectors:
        if suits(detector, group):
            judged_by = judge(detector, wanted.monthly)
            alarms, learning = judged_by.run(stream.times_ms, stream.losses), judged_by.learning(stream.times_ms)
            scores[detector] = score(len(stream.losses), stream.changes, alarms, wanted.max_delay, learning)
    return scores
