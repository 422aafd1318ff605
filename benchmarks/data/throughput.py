"""What it costs to hold predictions against training: `python -m benchmarks.data.throughput`.

Predictions of 20 features and a text of 30 words, no two alike, a hundred a second of event time, with their labels,
on Apache Kafka with 4 partitions. One worker reads them with a threshold alone, with a profile as well, and with a
profile and three steps, by turns. Before that the memory of what one monitor remembers of one segment: what 20
segments more allocate over 1,600 windows, a twentieth of it; of more windows no more is remembered.
"""

import argparse
import gc
import sys
import tempfile
import tracemalloc
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.data import streams, texts
from benchmarks.jobs import kafka
from streamguard.bench.jobs import measured, worker_command, written
from streamguard.bench.places import Cluster, opened
from streamguard.config import parse
from streamguard.core.features.distances import distances
from streamguard.core.features.folding import Fold, Given
from streamguard.core.features.gathering import Window
from streamguard.core.features.reference import Ints
from streamguard.core.features.watching import InputWatching
from streamguard.logs.interface import Record, TopicInfo
from streamguard.profile import build
from streamguard.worker.topology import Topology, derive

PARTITIONS = 4
TOPICS = ("predictions", "labels")
GAP_MS = 10
DELAY_MS = 60_000
SEGMENTS, WINDOWS, WINDOW_ROWS = 20, 1600, 60
STEPS = {"note": ["lower_case", "strip_digits", "strip_punctuation"]}


def main() -> None:
    """Print a line for each run, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", type=int, default=500_000)
    parser.add_argument("--repeat", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        profile = directory / "profile.json"
        trained = zip(streams.training(20_000).rows(), texts.training(20_000), strict=True)
        profile.write_bytes(build(({**row, "note": text} for row, text in trained), text=["note"]).dump())
        sys.stdout.write(f"{memory(profile) / 1000:.0f} kB for each segment\n")
        for line in throughput(directory, profile, asked.predictions, asked.repeat):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


def throughput(directory: Path, profile: Path, predictions: int, repeat: int) -> Iterator[str]:
    """A worker's seconds over the same records; the least of all repetitions counts."""
    sections: dict[str, dict[str, Any]] = {
        "without": {},
        "profile": {"data": {"profile": str(profile)}},
        "profile and steps": {"data": {"profile": str(profile), "steps": STEPS}},
    }
    with kafka(directory) as address:
        cluster = Cluster(address, "data")
        made(cluster, predictions)
        yield from ran(
            directory, cluster, {name: {"monitor": each} for name, each in sections.items()}, predictions, repeat
        )


def made(cluster: Cluster, predictions: int) -> None:
    """Write the records to a cluster."""
    with opened(cluster.settings("load")) as log:
        for topic in TOPICS:
            log.create(TopicInfo(topic, PARTITIONS))
        every = records(predictions)
        while piece := list(islice(every, 20_000)):
            log.append(piece)


def ran(
    directory: Path, cluster: Cluster, sections: dict[str, dict[str, Any]], predictions: int, repeat: int
) -> Iterator[str]:
    """A worker over them for each of these additions to `monitor`, `predictions` and `labels`; the first has none."""
    best: dict[str, float] = {}
    for number in range(repeat):
        for name, section in sections.items():
            group = f"{name.replace(' ', '-')}-{number}"
            config = written(directory, _settings(cluster.settings(group), section))
            usage = measured(directory, [worker_command(config)])
            best[name] = min(usage.seconds, best.get(name, usage.seconds))
            yield f"{name}: {usage.seconds:.1f} s, CPU {usage.cpu_seconds:.1f} s, peak {usage.peak_mb:.0f} MB"
    first = best[next(iter(sections))]
    for name, seconds in best.items():
        yield f"{name}: {2 * predictions / seconds:,.0f} records/s, {first / seconds:.2f} of without"


def _settings(log: dict[str, Any], section: dict[str, Any]) -> dict[str, Any]:
    fields = {"fields": {"time": "timestamp"}}
    return {
        "log": log,
        "predictions": {"topic": TOPICS[0], **fields, **section.get("predictions", {})},
        "labels": {"topic": TOPICS[1], **fields, **section.get("labels", {})},
        "join": {"after": "10m", "disorder": "30s"},
        "monitors": [
            {"name": "m", "threshold": {"max_mismatch_percent": 20, "window": 2000}, **section.get("monitor", {})}
        ],
        "alerts": {"topic": f"{log['group']}-alerts"},
        "logging": {"level": "error"},
    }


def records(count: int) -> Iterator[Record]:
    """In the order of their times."""
    rows = streams.stable(days=1, rows_a_day=count, seed=3).rows()
    for number, (row, text) in enumerate(zip(rows, texts.stream(count, 5), strict=True)):
        at_ms = streams.START_MS + number * GAP_MS
        key = b"req-%09d" % number
        about = {"request_id": key.decode(), "timestamp": at_ms}
        said = {**about, "prediction": "ok", "features": {**row, "note": text}}
        yield Record("predictions", key, orjson.dumps(said), timestamp_ms=at_ms)
        truth = {**about, "timestamp": at_ms + DELAY_MS, "label": "ok" if number % 20 else "no"}
        yield Record("labels", key, orjson.dumps(truth), timestamp_ms=at_ms + DELAY_MS)


def memory(profile: Path) -> float:
    """Bytes for each segment; what all segments of a monitor share is not counted."""
    log = {"kind": "embedded", "path": "unused.db", "group": "memory"}
    settings = _settings(log, {"monitor": {"data": {"profile": str(profile)}, "split_by": ["country"]}})
    topology = derive(parse(settings), 1, 1)
    reference = topology.monitor.references["m"]
    rows = list(streams.stable(days=1, rows_a_day=WINDOW_ROWS * 20).rows())
    counts = [_counted(reference, rows[start : start + WINDOW_ROWS]) for start in range(0, len(rows), WINDOW_ROWS)]
    # What an alert imports is no segment's.
    distances(np.ones(2), np.ones(2), [0.0, 1.0])
    few, many = (_allocated(topology, counts, segments) for segments in (SEGMENTS, 2 * SEGMENTS))
    return (many - few) / SEGMENTS


def _allocated(topology: Topology, counts: list[Ints], segments: int) -> int:
    watching, window_ms = InputWatching(topology.monitor), topology.monitor.references["m"].window_ms
    gc.collect()
    tracemalloc.start()
    for number in range(WINDOWS):
        start_ms = streams.START_MS + number * window_ms
        windows = []
        for segment in range(segments):
            each = counts[(number + segment) % len(counts)]
            windows.append(Window(("m", (f"c{segment}",)), start_ms, start_ms + window_ms, each, WINDOW_ROWS))
            windows[-1].offsets = dict.fromkeys(range(PARTITIONS), (number, number + 1))
        watching.watch(windows)
    del windows
    gc.collect()
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return used


def _counted(reference: Any, rows: list[dict[str, Any]]) -> Ints:
    count = len(rows)
    documents = [{"features": {**row, "note": "is it so"}} for row in rows]
    zeros = np.zeros(count, np.int64)
    given = Given(np.arange(count), zeros, lambda: [""] * count, documents, ["x"] * count, None, zeros)
    found = np.zeros(reference.size, np.int64)
    for each in Fold(reference).counts(given):
        found[each.bins] += each.counts
    return found


if __name__ == "__main__":
    main()
