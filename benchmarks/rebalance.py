"""What it costs the tasks that stay when a worker joins and when one leaves: `python -m benchmarks.rebalance`.

Starts Apache Kafka and workers whose join tasks hold predictions that wait; while records flow, one more joins,
and leaves. Each commit of a join task writes to the outcomes topic, so the times there tell how long a task paused.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import orjson
import yaml
from kafka import KafkaProducer

from benchmarks.jobs import PARTITIONS, config, kafka
from benchmarks.restart import START_MS, load
from streamguard.bench.places import opened

HOUR_MS = 3_600_000
GROUP = "rebalance"
STEP_S = 0.02
CALM_S = 6


@dataclass(slots=True)
class Worker:
    """A worker process; what its log says comes in as it is said."""

    name: str
    process: "subprocess.Popen[str]"
    assigned: list[tuple[float, frozenset[int], int]] = field(default_factory=list)
    """When, which join tasks, and how many partitions had to be read again."""
    restored: int = 0

    def listen(self) -> None:
        """Until it ends."""
        for line in self.process.stderr or ():
            event = json.loads(line) if line.startswith("{") else {"event": line}
            if event["event"] == "partitions_assigned":
                names = event["partitions"]
                tasks = frozenset(int(each.rsplit("-", 1)[1]) for each in names if each.startswith("predictions-"))
                at_s = datetime.fromisoformat(event["timestamp"]).timestamp()
                self.assigned.append((at_s, tasks, event["restoring"]))
            self.restored += event["event"] == "state_restored"

    def tasks(self) -> frozenset[int]:
        """What it has now."""
        return self.assigned[-1][1] if self.assigned else frozenset()


def start(name: str, path: Path) -> Worker:
    """A worker of this name."""
    settings = yaml.safe_load(path.read_text())
    settings["log"]["worker"] = name
    mine = path.with_name(f"{name}.yaml")
    mine.write_text(yaml.safe_dump(settings))
    environment = os.environ | {"STREAMGUARD_LOGGING__LEVEL": "info"}
    command = ["streamguard", "run", str(mine)]
    worker = Worker(
        name, subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment)
    )
    threading.Thread(target=worker.listen, daemon=True).start()
    return worker


@contextmanager
def flowing(address: str, rate: int) -> Iterator[None]:
    """So many predictions a second, each with its label, in all partitions."""
    done = threading.Event()
    producer = KafkaProducer(bootstrap_servers=address, linger_ms=0, metrics_enabled=False)

    def flow() -> None:
        number, began = 0, time.monotonic()
        while not done.wait(STEP_S):
            for _ in range(round((time.monotonic() - began) * rate) - number):
                at_ms = START_MS + HOUR_MS + number * 1000 // rate
                key = f"flow-{number:08d}"
                for topic, name in (("predictions", "prediction"), ("labels", "label")):
                    body = {"request_id": key, name: "legit", "timestamp": at_ms}
                    body |= {"model": "fraud", "version": "7", "country": "DE"}
                    value = orjson.dumps(body)
                    producer.send(topic, value, key.encode(), partition=number % PARTITIONS, timestamp_ms=at_ms)
                number += 1

    thread = threading.Thread(target=flow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        producer.close()


def commits(address: str) -> dict[int, list[float]]:
    """When each join task has committed, in seconds of the clock, oldest first."""
    times: dict[int, set[float]] = defaultdict(set)
    with opened({"kind": "kafka", "bootstrap_servers": address, "group": GROUP}) as log:
        for batch in log.read(f"streamguard-{GROUP}-outcomes"):
            for at_ms, value in zip(batch.timestamps, batch.values, strict=True):
                times[orjson.loads(value)["source"]].add(at_ms / 1000)
    return {source: sorted(each) for source, each in times.items()}


def longest(times: list[float], start_s: float, end_s: float) -> float:
    """The longest time without a commit that ends in this window, in milliseconds."""
    return max((1000 * (after - before) for before, after in pairwise(times) if start_s <= after <= end_s), default=0.0)


def settle(workers: list[Worker], timeout_s: float = 90) -> None:
    """Wait until all tasks are with these workers, each has some, and none restores; and a little longer."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        owned = [task for worker in workers for task in worker.tasks()]
        if sorted(owned) == list(range(PARTITIONS)) and all(worker.tasks() for worker in workers):
            break
        time.sleep(0.05)
    time.sleep(CALM_S)


def report(
    title: str,
    before: dict[int, str],
    after: dict[int, str],
    window: tuple[float, float],
    times: dict[int, list[float]],
) -> None:
    """The pause of each task in this window."""
    print(f"{title}:")
    for task in range(PARTITIONS):
        pause_ms = longest(times[task], *window)
        way = (
            f"stays with {after[task]}" if before[task] == after[task] else f"goes from {before[task]} to {after[task]}"
        )
        print(f"  task {task} {way:<18} pause {pause_ms:>7,.0f} ms")


def owners(workers: list[Worker]) -> dict[int, str]:
    """Which worker has which task."""
    return {task: worker.name for worker in workers for task in worker.tasks()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rebalance", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--waiting", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rate", type=int, default=400, help="predictions a second, each with a label")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        address = stack.enter_context(kafka(Path(directory)))
        settings = {"kind": "kafka", "bootstrap_servers": address, "group": GROUP}
        with opened(settings) as log:
            load(log, options.waiting)
        stack.enter_context(flowing(address, options.rate))
        path = config(Path(directory), settings)
        workers = [start(chr(ord("a") + number), path) for number in range(options.workers)]
        for worker in workers:
            stack.callback(worker.process.kill)
        settle(workers)
        first, began = owners(workers), time.time()
        time.sleep(CALM_S)
        calm = (began, time.time())

        joining = time.time()
        extra = start("z", path)
        stack.callback(extra.process.kill)
        settle([*workers, extra])
        joined, second = time.time(), owners([*workers, extra])
        extra.process.send_signal(signal.SIGTERM)
        leaving = time.time()
        extra.process.wait(60)
        settle(workers)
        left, third = time.time(), owners(workers)

        times = commits(address)
        gaps = [
            1000 * (after - before)
            for each in times.values()
            for before, after in pairwise(each)
            if calm[0] <= before and after <= calm[1]
        ]
        print(
            f"{options.waiting:,} predictions wait; in calm, a commit every {statistics.median(gaps):.0f} ms,"
            f" at most {max(gaps):.0f} ms"
        )
        print("assignments, in seconds from the start of the worker that joins:")
        for worker in (*workers, extra):
            for at_s, tasks, restoring in worker.assigned:
                print(
                    f"  {worker.name} {at_s - joining:+7.2f}  tasks {sorted(tasks)}, {restoring} partitions read again"
                )
        report("a worker joins", first, second, (joining, joined), times)
        report("it leaves", second, third, (leaving, left), times)


if __name__ == "__main__":
    main()
