"""How long a worker takes to start, to restore and to stop, by how much waits.

    python -m benchmarks.restart --waiting 10000 100000 1000000

For each number, starts Apache Kafka, lets a worker read so many predictions whose labels never come, and starts
another.
"""

import argparse
import json
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.jobs import PARTITIONS, config, kafka
from streamguard.bench.places import opened
from streamguard.logs.interface import Log, Record, TopicInfo

START_MS = 1_767_571_200_000
CHUNK = 50_000


def load(log: Log, waiting: int) -> None:
    """Predictions spread over an hour, and so many labels of others that the labels' time moves along."""
    for topic in ("predictions", "labels"):
        log.create(TopicInfo(topic, PARTITIONS))
    for start in range(0, waiting, CHUNK):
        records = []
        for number in range(start, min(start + CHUNK, waiting)):
            at_ms = START_MS + number * 3_600_000 // waiting
            body = {"request_id": f"req-{number:08d}", "prediction": "legit", "timestamp": at_ms}
            body |= {"model": "fraud", "version": "7", "country": "DE"}
            key = b"req-%08d" % number
            records.append(Record("predictions", key, orjson.dumps(body), timestamp_ms=at_ms))
        log.append(records)


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds from start to the assignment, from there to restored, and from SIGTERM to exit; records restored."""

    assigned: float
    restored: float
    stopped: float
    held: int


def timed_start(path: Path) -> Start:
    """Start a worker, wait until it has restored its state, and end it."""
    environment = os.environ | {"STREAMGUARD_LOGGING__LEVEL": "info"}
    began = time.monotonic()
    process = subprocess.Popen(
        ["streamguard", "run", str(path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assigned = restored = 0.0
    held = 0
    for line in process.stderr or ():
        event = json.loads(line)
        if event["event"] == "partitions_assigned":
            assigned = time.monotonic()
            if not event["restoring"]:
                restored = assigned
        if event["event"] == "state_restored":
            restored = time.monotonic()
            held = event["held"]
        if restored:
            break
    time.sleep(2)
    stopping = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate()
    return Start(assigned - began, restored - assigned, time.monotonic() - stopping, held)


def measure(waiting: int) -> Start:
    """On a broker of its own."""
    with tempfile.TemporaryDirectory() as name, kafka(Path(name)) as address:
        settings = {"kind": "kafka", "bootstrap_servers": address, "group": "restart"}
        with opened(settings) as log:
            load(log, waiting)
        path = config(Path(name), settings)
        subprocess.run(["streamguard", "run", str(path), "--until-end"], check=True, stdout=subprocess.DEVNULL)
        return timed_start(path)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.restart", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--waiting", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    print("  waiting  restored  start to assignment  restore  records/s  SIGTERM to exit")
    for waiting in parser.parse_args().waiting:
        start = measure(waiting)
        rate = start.held / start.restored if start.restored else 0
        print(
            f"{waiting:>9,} {start.held:>9,} {start.assigned:>18.2f} s {start.restored:>6.2f} s {rate:>10,.0f}"
            f" {start.stopped:>14.2f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
