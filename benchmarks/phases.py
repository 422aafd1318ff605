"""Where a worker's CPU goes: `python -m benchmarks.phases [--predictions N] [--partitions N]`.

Starts Apache Kafka, writes the main job's records, runs one worker in this process, and prints the CPU seconds of its
main thread by phase; what is done within a phase is taken out of it.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.jobs import PARTITIONS, config, kafka, load
from streamguard import config as configuration
from streamguard.bench.records import Shape
from streamguard.core.codec import Reader
from streamguard.core.join import JoinTask
from streamguard.core.merge import Merge
from streamguard.core.monitor import MonitorTask
from streamguard.core.outcomes import OutcomeWriter
from streamguard.logs.kafka.session import KafkaSession
from streamguard.worker.running import run_worker

PHASES: list[tuple[str, type, str]] = [
    ("fetching and decoding record batches", KafkaSession, "poll"),
    ("handing over a commit", KafkaSession, "begin"),
    ("reading records", Reader, "read"),
    ("joining", JoinTask, "step"),
    ("writing outcomes", OutcomeWriter, "write"),
    ("reading outcomes", MonitorTask, "step"),
    ("merging and sorting", Merge, "release"),
    ("checks and alerts", MonitorTask, "_watch"),
]


class Timer:
    """CPU seconds by phase."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._within: list[str] = []
        self._since_s = 0.0

    def wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, timed."""

        def timed(*args: Any, **options: Any) -> Any:
            self._switch(name)
            try:
                found = call(*args, **options)
            finally:
                self._switch(None)
            return self._timed(name, found) if isinstance(found, Iterator) else found

        return timed

    def _timed(self, name: str, found: Iterator[Any]) -> Iterator[Any]:
        done = object()
        following = self.wrapped(name, lambda: next(found, done))
        while (each := following()) is not done:
            yield each

    def _switch(self, name: str | None) -> None:
        now_s = time.thread_time()
        if self._within:
            self.seconds[self._within[-1]] += now_s - self._since_s
        self._since_s = now_s
        if name is None:
            self._within.pop()
        else:
            self._within.append(name)


def main() -> None:
    """Run a worker, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.phases", description=__doc__)
    parser.add_argument("--predictions", type=int, default=1_000_000)
    parser.add_argument("--partitions", type=int, default=PARTITIONS)
    options = parser.parse_args()
    timer = Timer()
    with tempfile.TemporaryDirectory() as name, kafka(Path(name)) as address:
        load(address, Shape(options.predictions), options.partitions)
        path = config(Path(name), {"kind": "kafka", "bootstrap_servers": address, "group": "phases"})
        for phase, owner, method in PHASES:
            setattr(owner, method, timer.wrapped(phase, getattr(owner, method)))
        began_s, main_s = time.process_time(), time.thread_time()
        run_worker(configuration.load(path), until_end=True, echo=print)
        total_s, main_s = time.process_time() - began_s, time.thread_time() - main_s
    rest = {"the rest of the main thread": main_s - timer.seconds.total(), "other threads": total_s - main_s}
    for phase, seconds in [*timer.seconds.most_common(), *rest.items()]:
        print(f"{phase:<40} {seconds:6.2f} s {seconds / total_s:5.0%}")


if __name__ == "__main__":
    main()
