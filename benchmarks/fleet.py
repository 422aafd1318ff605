"""What it takes to compare a thousand instances of 500 packages each: `python -m benchmarks.fleet`."""

import time
import tracemalloc
from collections.abc import Callable

from streamguard.core.records import Batch
from tests.core.environment.fleets import EVERY_MS, START_MS, as_batch, fingerprint, task

INSTANCES, PACKAGES, ROUNDS = 1000, 500, 8


def reported(at: int, version: Callable[[int], str]) -> Batch:
    """All of them once; `version` is that of one package, by instance."""
    packages = {f"package-{number}": f"{number}.{number}.0" for number in range(PACKAGES)}
    gap_ms = EVERY_MS // INSTANCES
    return as_batch(
        (
            START_MS + at * EVERY_MS + number * gap_ms,
            fingerprint(f"pod-{number}", packages={**packages, "numpy": version(number)}),
        )
        for number in range(INSTANCES)
    )


def main() -> None:
    """Measure and tell."""
    for what, version in (("alike", lambda _: "2.0"), ("all different", str)):
        first, *others = [reported(at, version) for at in range(ROUNDS)]
        tracemalloc.start()
        fleet = task()
        fleet.step(first)
        megabytes = tracemalloc.get_traced_memory()[0] / 1e6
        tracemalloc.stop()
        took = []
        for batch in others:
            begun = time.perf_counter()
            fleet.step(batch)
            took.append((time.perf_counter() - begun) / INSTANCES)
        state = [len(each.value or b"") for each in fleet.snapshot(0)]
        again = sum(len(each.value or b"") for each in fleet.snapshot(0))
        print(f"{what}: {megabytes:.1f} MB, {1000 * min(took):.2f} to {1000 * max(took):.2f} ms a record")
        print(f"  state: {len(state)} records, the largest {max(state)} bytes; the next snapshot {again} bytes")


if __name__ == "__main__":
    main()
