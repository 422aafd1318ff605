"""Many seeds, one, or the broken variants: `python -m tests.simulation --help`."""

import sys
import time
from argparse import ArgumentParser
from concurrent.futures import ProcessPoolExecutor

import pytest
import structlog
from structlog.typing import EventDict

from tests.simulation.checks import check, play
from tests.simulation.run import Run
from tests.simulation.scenario import Scenario
from tests.simulation.variants import VARIANTS
from tests.simulation.world import START_S

CHUNK = 50


def tried(seeds: range) -> tuple[int, int, list[tuple[int, str]]]:
    """Commits, restarts, and the seeds that failed with their reason."""
    silence()
    commits = deaths = 0
    failed = []
    for seed in seeds:
        try:
            run = play(seed)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            failed.append((seed, f"{type(error).__name__}: {error}"))
        else:
            commits, deaths = commits + run.commits, deaths + run.deaths
    return commits, deaths, failed


def silence() -> None:
    """No log lines: they are many, and the same again when a seed is replayed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


def many(first: int, count: int, jobs: int) -> bool:
    """Play seeds on so many processes; whether all held."""
    began = time.monotonic()
    chunks = [range(start, min(start + CHUNK, first + count)) for start in range(first, first + count, CHUNK)]
    commits = deaths = done = bad = 0
    with ProcessPoolExecutor(jobs) as pool:
        for chunk, (more_commits, more_deaths, failed) in zip(chunks, pool.map(tried, chunks), strict=True):
            commits, deaths, done = commits + more_commits, deaths + more_deaths, done + len(chunk)
            bad += len(failed)
            for seed, reason in failed:
                print(f"seed {seed}: {reason[:300]}\n  replay it: python -m tests.simulation --seed {seed}")
            if sys.stderr.isatty():
                print(f"\r{done:,} seeds", end="", file=sys.stderr)
    minutes = (time.monotonic() - began) / 60
    print(
        f"{done:,} seeds, {bad} violations; {commits:,} committed offsets, {deaths:,} workers died;"
        f" {done / minutes:,.0f} seeds a minute"
    )
    return not bad


def again(seed: int) -> None:
    """One seed, with the workers' log lines at their virtual time, and what was done to them."""
    run = Run(Scenario(seed))

    def stamped(_: object, __: str, event: EventDict) -> EventDict:
        return {"at": round(run.world.now_s - START_S, 3), "worker": run.world.running, **event}

    structlog.configure(processors=[stamped, structlog.processors.add_log_level, structlog.dev.ConsoleRenderer()])
    print(run.scenario.describe())
    check(run)
    print(f"seed {seed}: all held")


def caught(name: str, limit: int) -> tuple[int, str] | None:
    """The first seed that catches a broken variant, and how."""
    silence()
    with pytest.MonkeyPatch.context() as patch:
        VARIANTS[name](patch)
        for seed in range(limit):
            try:
                play(seed)
            except Exception as error:  # noqa: BLE001 - however it shows
                return seed, f"{type(error).__name__}: {error}"
    return None


def main() -> None:
    """What was asked for; exit code 1 where something did not hold."""
    parser = ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="so many of them; default 1000")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="from here on; default 0")
    parser.add_argument("--jobs", type=int, default=2, help="processes; default 2")
    parser.add_argument("--seed", type=int, metavar="SEED", help="this one alone, with the workers' log lines")
    parser.add_argument("--variants", action="store_true", help="the seed that catches each broken variant")
    arguments = parser.parse_args()
    if arguments.seeds < 1 or arguments.first < 0 or arguments.jobs < 1 or (arguments.seed or 0) < 0:
        parser.error("seeds and processes are counted from 1, and a seed is not negative")
    if arguments.seed is not None:
        again(arguments.seed)
        return
    if arguments.variants:
        found = {name: caught(name, arguments.seeds) for name in VARIANTS}
        for name, catch in found.items():
            print(f"{name:26} {'NOT CAUGHT' if catch is None else f'seed {catch[0]:4}  {catch[1][:120]}'}")
        sys.exit(any(catch is None for catch in found.values()))
    sys.exit(not many(arguments.first, arguments.seeds, arguments.jobs))


if __name__ == "__main__":
    main()
