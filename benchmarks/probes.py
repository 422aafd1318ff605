"""How often latencies that do not change alarm, and how soon a doubling does: `python -m benchmarks.probes`."""

import numpy as np

from streamguard.core.environment.latency import Latency
from tests.core.environment.test_latency import DAY_MS, MONTH, STATIONARY, run

MONTHS = 10
RUNS = 20
FROM = 1500


def false_alarms(name: str) -> int:
    """In so many months, each learnt anew."""
    draws = (STATIONARY[name](np.random.default_rng(seed), MONTH) for seed in range(MONTHS))
    return sum(rise.is_wrong for values in draws for _, rise in run(values))


def delays(name: str, factor: float) -> list[int]:
    """Minutes until a rise by this factor is found, a day later at most; sorted."""
    found = []
    for seed in range(RUNS):
        values = STATIONARY[name](np.random.default_rng(1000 + seed), FROM + 1440)
        values[FROM:] *= factor
        latency = Latency(DAY_MS)
        run(values[:FROM], latency)
        found.append(next((place - FROM + 1 for place, _ in run(values[FROM:], latency, FROM)), 1440))
    return sorted(found)


def main() -> None:
    """Print the table of docs/probes.md."""
    print(
        f"| latencies | false alarms in {MONTHS} months | minutes, median | nine in ten | longest | tenfold, longest |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    for name in STATIONARY:
        found, large = delays(name, 2), delays(name, 10)
        last = f"{found[RUNS // 2]} | {found[RUNS * 9 // 10 - 1]} | {found[-1]} | {large[-1]}"
        print(f"| {name} | {false_alarms(name)} | {last} |", flush=True)


if __name__ == "__main__":
    main()
