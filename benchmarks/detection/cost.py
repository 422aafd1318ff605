"""What a budgeted detector costs: `python -m benchmarks.detection.cost`.

Microseconds of CPU for each loss, where each is a block of its own and where mistakes come in runs, in one stream and
in a thousand that get one loss each in turn, and the bytes of its state as JSON. ADWIN is measured beside it, in the
same run. Writes its table into `docs/detection.md`.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import orjson

from benchmarks.detection.__main__ import PAGE, echo
from benchmarks.detection.report import rewritten
from benchmarks.detection.streams import Floats, chained, evenly
from streamguard.core.budget import MONTH_MS
from streamguard.core.budgeted import Budgeted
from streamguard.core.detectors import BudgetedSettings, Detector, make

COUNT = 300_000
STREAMS = 1000
ROUNDS = 3
NONE = BudgetedSettings(season="none", baseline=5000)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection.cost", description=__doc__)
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave docs/detection.md as it is")
    options = parser.parse_args()
    lines = measured()
    echo("\n".join(lines))
    if options.write:
        text = "\n".join([*lines, "", "`python -m benchmarks.detection.cost`, the least of three rounds."])
        PAGE.write_text(rewritten(PAGE.read_text(), {"cost": text}))


def measured() -> list[str]:
    """The table."""
    rng = np.random.default_rng(1)
    times = evenly(COUNT, 10_000)
    given = (times - times[0]) / MONTH_MS
    single, runs = chained(rng, COUNT, 0.1, 0.0), chained(rng, COUNT, 0.1, 0.5)
    lines = ["| what | us a loss | of ADWIN | bytes of state |", "|---|--:|--:|--:|"]
    adwin = _seconds(lambda: make("adwin").update(single)) / COUNT
    lines.append(f"| adwin | {adwin * 1e6:.2f} | 1.0 | {_size(make('adwin'), single)} |")
    for name, settings, losses in (
        ("budgeted, each loss by itself", NONE, single),
        ("budgeted, mistakes in runs", NONE, runs),
        ("budgeted, by the hour of the week", BudgetedSettings(), single),
    ):
        seconds = _seconds(lambda s=settings, x=losses: Budgeted(s).update(times, x, given)) / COUNT  # type: ignore[misc]
        watcher = Budgeted(settings)
        watcher.update(times, losses, given)
        size = len(orjson.dumps(watcher.snapshot()))
        lines.append(f"| {name} | {seconds * 1e6:.2f} | {seconds / adwin:.1f} | {size} |")
    many = [Budgeted(NONE) for _ in range(STREAMS)]
    for each in many:
        each.update(times[:6000], single[:6000], given[:6000])
    one = slice(6000, 6001)
    seconds = _seconds(lambda: [each.update(times[one], single[one], given[one]) for each in many]) / STREAMS
    lines.append(f"| budgeted, 1,000 streams, one loss each | {seconds * 1e6:.2f} | {seconds / adwin:.1f} | |")
    return lines


def _seconds(work: Callable[[], object]) -> float:
    found = []
    for _ in range(ROUNDS):
        began_s = time.process_time()
        work()
        found.append(time.process_time() - began_s)
    return min(found)


def _size(detector: Detector, losses: Floats) -> int:
    detector.update(losses)
    return len(orjson.dumps(detector.snapshot()))


if __name__ == "__main__":
    main()
