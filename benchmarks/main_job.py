"""The main job on real Kafka and on the embedded log: same alerts, same counts, how fast, how much memory.

    python -m benchmarks.main_job --predictions 1000000

Starts Apache Kafka, writes the records, then runs, each as processes of their own: a bare kafka-python loop
over the same topics, one worker, two workers, and a worker on the embedded log. Prints what each did.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import yaml

from benchmarks.records import Shape, records
from streamguard.config import parse
from streamguard.logs.interface import Log, TopicInfo
from streamguard.logs.opening import open_log
from tests.integration.broker import running

PARTITIONS = 4
CHUNK = 100_000

BARE = """
import sys, time, orjson
from kafka import KafkaConsumer, TopicPartition
consumer = KafkaConsumer(bootstrap_servers=sys.argv[1], group_id=None, enable_auto_commit=False)
parts = [TopicPartition(t, p) for t in ("predictions", "labels") for p in range(int(sys.argv[2]))]
consumer.assign(parts); consumer.seek_to_beginning(*parts); ends = consumer.end_offsets(parts)
seen, began = 0, time.monotonic()
while any(consumer.position(p) < ends[p] for p in parts):
    for batch in consumer.poll(1000, max_records=5000).values():
        for record in batch:
            try: orjson.loads(record.value)
            except orjson.JSONDecodeError: pass
        seen += len(batch)
print(seen, time.monotonic() - began)
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One measured run: wall seconds of all its processes, their CPU, the largest peak memory, what they said."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    said: list[str]


def measured(commands: list[list[str]]) -> Run:
    """Run commands side by side until all end."""
    began = time.monotonic()
    processes = [subprocess.Popen(each, stdout=subprocess.PIPE, text=True) for each in commands]
    said, cpu, peak = [], 0.0, 0.0
    for process in processes:
        said.append(process.stdout.read() if process.stdout else "")
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu += usage.ru_utime + usage.ru_stime
        peak = max(peak, usage.ru_maxrss / 1024)
        if process.returncode:
            sys.exit(f"{commands[0]} ended with {process.returncode}")
    return Run(time.monotonic() - began, cpu, peak, said)


def config(directory: Path, name: str, log: dict[str, object]) -> Path:
    """A configuration with ADWIN and the threshold check on, split by version."""
    settings = {
        "log": log,
        "predictions": {"topic": "predictions", "fields": {"time": "timestamp"}},
        "labels": {"topic": "labels", "fields": {"time": "timestamp"}},
        "join": {"before": "0s", "after": "2h", "disorder": "30s"},
        "monitors": [
            {
                "name": "fraud",
                "match": {"model": "fraud"},
                "split_by": ["version", "country"],
                "threshold": {"max_mismatch_percent": 8, "window": 2000, "min_samples": 500},
                "detectors": [{"type": "adwin", "delta": 0.002}],
            }
        ],
        "alerts": {"topic": f"alerts-{name}"},
        "logging": {"level": "error"},
    }
    path = directory / f"{name}.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def load(settings: dict[str, object], shape: Shape) -> None:
    """Write the records to new topics, in a process of its own: a child's peak memory counts its parent's."""
    process = get_context("spawn").Process(target=_load, args=(settings, shape))
    process.start()
    process.join()
    if process.exitcode:
        sys.exit("cannot write the records")


def _load(settings: dict[str, object], shape: Shape) -> None:
    log = opened(settings)
    for topic in ("predictions", "labels"):
        log.create(TopicInfo(topic, PARTITIONS))
    source = records(shape)
    count = 0
    while chunk := list(islice(source, CHUNK)):
        log.append(chunk)
        count += len(chunk)
    log.close()
    print(f"wrote {count:,} records", flush=True)


def opened(settings: dict[str, object]) -> Log:
    """The log of these settings."""
    return open_log(parse({**_minimal(), "log": settings}).log)


def alerts(log: Log, topic: str) -> list[dict[str, object]]:
    """All alerts, ordered by what they say."""
    found = [json.loads(value or b"{}") for batch in log.read(topic) for value in batch.values]
    return sorted(found, key=lambda alert: (str(alert["event_time"]), str(alert["id"])))


def report(name: str, run: Run, count: int, bare: float | None) -> None:
    """A line of figures, and what the worker said."""
    rate = count / run.seconds
    ratio = "" if bare is None else f", {rate / bare:.2f} of the bare loop"
    print(
        f"{name:<12} {run.seconds:7.1f} s, {rate:>9,.0f} events/s{ratio}, cpu {run.cpu_seconds:.1f} s,"
        f" peak {run.peak_mb:.0f} MB"
    )
    lines = [line for said in run.said for line in said.splitlines()]
    for line in dict.fromkeys(lines):
        print(f"             {line}", flush=True)


@contextmanager
def kafka(data: Path, bootstrap: str | None) -> Iterator[str]:
    """A broker of our own, or the one named."""
    if bootstrap is not None:
        yield bootstrap
        return
    with running(data / "kafka") as (address, _):
        yield address


def main() -> None:
    """Run it all and compare."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.main_job", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--predictions", type=int, default=1_000_000)
    parser.add_argument("--client", default="kafka-python", help="log.client of the workers; default %(default)s")
    parser.add_argument("--bootstrap", help="use this broker, which has the records already or gets them")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    shape = Shape(options.predictions)
    with tempfile.TemporaryDirectory() as name, kafka(Path(name), options.bootstrap) as address:
        compare(Path(name), address, options.client, shape)


def compare(directory: Path, address: str, client: str, shape: Shape) -> None:
    """All runs over the same records."""
    stamp = int(time.time())
    settings: dict[str, object] = {"kind": "kafka", "client": client, "bootstrap_servers": address, "group": "load"}
    log = opened(settings)
    if "labels" not in log.topics(["labels"]):
        load(settings, shape)
    bare = measured([[sys.executable, "-c", BARE, address, str(PARTITIONS)]])
    seen, seconds = bare.said[0].split()
    count, rate = int(seen), int(seen) / float(seconds)
    print(f"bare loop    {float(seconds):7.1f} s, {rate:>9,.0f} events/s, peak {bare.peak_mb:.0f} MB", flush=True)
    results = {}
    for workers in (1, 2):
        title = f"{workers} worker" + "s" * (workers > 1)
        path = config(directory, f"g{workers}-{stamp}", settings | {"group": f"g{workers}-{stamp}"})
        run = measured([["streamguard", "run", str(path), "--until-end"]] * workers)
        report(title, run, count, rate)
        results[title] = alerts(log, f"alerts-g{workers}-{stamp}"), run.said[0].splitlines()[:2]
    log.close()
    file = {"kind": "embedded", "path": str(directory / "embedded.db"), "group": "g"}
    load(file, shape)
    path = config(directory, "embedded", file)
    run = measured([["streamguard", "run", str(path), "--until-end"]])
    report("embedded", run, count, rate)
    results["embedded"] = alerts(opened(file), "alerts-embedded"), run.said[0].splitlines()[:2]
    first = results["1 worker"]
    for title, found in results.items():
        same_alerts = [alert["id"] for alert in found[0]] == [alert["id"] for alert in first[0]]
        same_bytes, same_counts = found[0] == first[0], found[1] == first[1]
        print(
            f"{title:<12} {len(found[0])} alerts, same IDs: {same_alerts}, same content: {same_bytes},"
            f" same counts: {same_counts}"
        )
    for alert in first[0]:
        print(f"             {alert['event_time']} {alert['status']} {alert['check']['type']} {alert['segment']}")  # type: ignore[index]


def _minimal() -> dict[str, object]:
    return {
        "join": {"after": "2h"},
        "monitors": [{"name": "fraud", "detectors": [{"type": "adwin"}]}],
    }


if __name__ == "__main__":
    main()
