"""Memory of predictions that wait for their labels: `python -m benchmarks.memory [--predictions N]`."""

import argparse
import gc
import resource
from pathlib import Path

from streamguard.config import parse
from streamguard.core.join import Input, JoinTask
from streamguard.core.records import Batch, TopicPartition
from streamguard.worker.topology import derive

STEP = 20_000
START_MS = 1_767_571_200_000


def resident_bytes() -> int:
    """What this process holds in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def main() -> None:
    """Fill one join task and print bytes per waiting prediction."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--predictions", type=int, default=1_000_000)
    count = parser.parse_args().predictions
    settings = {
        "log": {"kind": "embedded", "path": "unused", "group": "g"},
        "predictions": {"fields": {"time": "timestamp"}},
        "join": {"after": "2h", "max_waiting": 2 * count, "max_waiting_bytes": 1 << 36},
        "monitors": [
            {"name": "fraud", "match": {"model": "fraud"}, "split_by": ["version"], "detectors": [{"type": "adwin"}]}
        ],
    }
    task = JoinTask(0, derive(parse(settings), 1, 1).join)
    gc.collect()
    before = resident_bytes()
    for start in range(0, count, STEP):
        task.step(_batch(start, min(STEP, count - start), count))
    gc.collect()
    held = resident_bytes() - before
    waiting = task.counts(Input.PREDICTIONS)["waiting"]
    print(f"{waiting:,} waiting, {held / 1e6:.0f} MB, {held / waiting:.0f} bytes each")
    print(f"by the task's own estimate {task.held_bytes / 1e6:.0f} MB")
    print(f"the process at its peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def _batch(start: int, size: int, count: int) -> Batch:
    # Written by hand: orjson gives each value a kilobyte first, and what it gives back stays in holes.
    values = [
        b'{"request_id":"req-%08d","prediction":"%s","timestamp":%d,"model":"fraud","version":"7"}'
        % (number, b"legit" if number % 10 else b"fraud", START_MS + number * 3_600_000 // count)
        for number in range(start, start + size)
    ]
    source = TopicPartition("predictions", 0)
    offsets = range(start, start + size)
    return Batch(source, offsets, [START_MS + 3_600_000] * size, [None] * size, values, [()] * size, start + size)


if __name__ == "__main__":
    main()
