"""Memory of predictions that wait for their labels, and how fast they are taken.

    python -m benchmarks.memory --predictions 10000000
    python -m benchmarks.memory --predictions 50000000 --store disk --labels 1000000

Fills one join task, by itself, with predictions whose labels do not come. `--labels` then brings the labels of so
many of them, evenly spread. With the disk, a checkpoint is made as often as a worker would: twice a minute.
"""

import argparse
import gc
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from streamguard.config import parse
from streamguard.core.join import Input, JoinSettings, JoinTask
from streamguard.core.note import Note
from streamguard.core.records import Batch, TopicPartition
from streamguard.stores.rocks import RocksStore
from streamguard.worker.topology import derive

STEP = 20_000
START_MS = 1_767_571_200_000
CHECKPOINT_S = 30.0


def main() -> None:
    """Fill one join task and print what it took."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--predictions", type=int, default=1_000_000)
    parser.add_argument("--labels", type=int, default=0)
    parser.add_argument("--store", choices=["memory", "disk"], default="memory")
    parser.add_argument("--memory-records", type=int, default=500_000, help="with the disk: how many stay in memory")
    parser.add_argument("--directory", help="where the disk's files are made; they are deleted at the end")
    given = parser.parse_args()
    if given.store == "memory":
        measure(given, JoinTask(0, settings(given)))
        return
    with tempfile.TemporaryDirectory(dir=given.directory) as name:
        store = RocksStore(Path(name), "benchmark")
        task = JoinTask(0, settings(given), store.disk(0))
        measure(given, task)
        resume(given, task, store)
        megabytes = sum(path.stat().st_size for path in Path(name).rglob("*") if path.is_file()) / 1e6
        print(f"on the disk {megabytes:,.0f} MB")
        store.close()


def settings(given: argparse.Namespace) -> JoinSettings:
    """Of a task that takes as many as are asked for."""
    found = {
        "log": {"kind": "embedded", "path": "unused", "group": "g"},
        "predictions": {"fields": {"time": "timestamp"}},
        "join": {"after": "2h", "max_waiting": 2 * given.predictions, "max_waiting_bytes": 1 << 36},
        "monitors": [
            {"name": "fraud", "match": {"model": "fraud"}, "split_by": ["version"], "detectors": [{"type": "adwin"}]}
        ],
    }
    return replace(derive(parse(found), 1, 1).join, memory_records=given.memory_records)


def measure(given: argparse.Namespace, task: JoinTask) -> None:
    """Fill, label, and print."""
    gc.collect()
    before = resident_bytes()
    count = given.predictions
    rates = fill(task, Input.PREDICTIONS, count, lambda number: _prediction(number, count))
    gc.collect()
    held = resident_bytes() - before
    waiting = task.counts(Input.PREDICTIONS)["waiting"]
    print(f"{waiting:,} waiting, {held / 1e6:.0f} MB, {held / waiting:.0f} bytes each; {rates}")
    print(f"by the task's own estimate {task.held_bytes / 1e6:.0f} MB")
    if given.labels:
        step = count // given.labels
        rates = fill(task, Input.LABELS, given.labels, lambda number: _label(number * step, count))
        print(f"{task.counts(Input.LABELS)['matched']:,} labels matched; {rates}")
    print(f"the process at its peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def resume(given: argparse.Namespace, task: JoinTask, store: RocksStore) -> None:
    """As a worker that ends and another that begins, on the same disk."""
    began_s = time.perf_counter()
    task.checkpoint()
    kept_s = time.perf_counter()
    notes = [Note.decode(task.note(side)) for side in Input]
    again = JoinTask(0, settings(given), store.disk(0))
    again.resume(notes, (given.predictions, given.labels))
    fits = again.restored(notes)
    print(
        f"a checkpoint in {kept_s - began_s:.1f} s, and from it {again.held_count:,} records in"
        f" {time.perf_counter() - kept_s:.1f} s, {'as before' if fits else 'with other counts'}"
    )


def fill(task: JoinTask, side: Input, count: int, value: Callable[[int], bytes]) -> str:
    """Let the task take so many records; returns how fast that was, checkpoints included."""
    took_s, cpu_s, kept_s = 0.0, 0.0, time.perf_counter()
    for start in range(0, count, STEP):
        batch = _batch(side, start, [value(number) for number in range(start, min(start + STEP, count))])
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        task.step(*((batch, None) if side is Input.PREDICTIONS else (None, batch)))
        if began_s - kept_s > CHECKPOINT_S:
            task.checkpoint()
            kept_s = began_s
        took_s += time.perf_counter() - began_s
        cpu_s += time.process_time() - began_cpu_s
    return f"{count / took_s:,.0f} records/s, {count / cpu_s:,.0f} a second of CPU"


def resident_bytes() -> int:
    """What this process holds in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


# Written by hand: orjson gives each value a kilobyte first, and what it gives back stays in holes.
def _prediction(number: int, count: int) -> bytes:
    return b'{"request_id":"req-%08d","prediction":"%s","timestamp":%d,"model":"fraud","version":"7"}' % (
        number,
        b"legit" if number % 10 else b"fraud",
        START_MS + number * 3_600_000 // count,
    )


def _label(number: int, count: int) -> bytes:
    at_ms = START_MS + number * 3_600_000 // count
    return b'{"request_id":"req-%08d","label":"legit","timestamp":%d}' % (number, at_ms)


def _batch(side: Input, start: int, values: list[bytes]) -> Batch:
    size = len(values)
    source = TopicPartition("predictions" if side is Input.PREDICTIONS else "labels", 0)
    offsets = range(start, start + size)
    return Batch(source, offsets, [START_MS + 3_600_000] * size, [None] * size, values, [()] * size, start + size)


if __name__ == "__main__":
    main()
