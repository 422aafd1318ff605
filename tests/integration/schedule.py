"""Faults on real Apache Kafka: what workers leave behind is what one undisturbed worker leaves.

    python -m tests.integration.schedule --records 2000000 --kills 100 --seed 1

Starts a broker with a proxy before it, feeds it while workers of one group are killed, stopped, cut off and
restarted, and compares alerts, rejected records and counts with those of a run on an embedded log.
"""

import logging
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from tempfile import mkdtemp

from streamguard.worker.telemetry import configure_logging
from tests.integration.conftest import CLIENTS
from tests.integration.faults import FAULTS, Scene, order
from tests.integration.trial import Trial, conclude, trial

FAULT_S = 8.0


def run(
    directory: Path,
    records: int,
    faults: Sequence[Callable[[Scene], None]],
    seed: int,
    say: Callable[[str], object],
    brokers: int = 1,
    client: str = "kafka-python",
) -> Trial:
    """All faults in this order, while so many records are fed; what is wrong is in `problems` of what comes back."""
    began = time.monotonic()

    def tell(line: str) -> None:
        say(f"{time.monotonic() - began:7.1f} s  {line}")

    with trial(directory, records, records / (len(faults) + 1) / FAULT_S, seed, brokers, client) as running:
        faults_s = time.monotonic()
        for number, fault in enumerate(faults, 1):
            running.do(fault)
            running.check_moving()
            # So that the last record is fed at about the last fault.
            each_s = (time.monotonic() - faults_s) / number
            left = records - running.feeder.written
            running.feeder.rate = left / (len(faults) - number + 1) / each_s
            tell(f"{number}/{len(faults)} {fault.__name__}, {running.feeder.written:,} records fed")
        settled_s = running.settle()
        tell(f"all was consumed {settled_s:.1f} s after the last record")
        results = running.finish()
        running.compare(results)
    say(running.report(results))
    tell("done")
    return running


def main() -> None:
    """Run it."""
    parser = ArgumentParser(
        prog="python -m tests.integration.schedule", description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=2_000_000, help="default %(default)s")
    parser.add_argument("--kills", type=int, default=100, help="default %(default)s")
    parser.add_argument("--others", type=int, help="how often each other fault; default: one for 16 kills")
    parser.add_argument("--brokers", type=int, default=1, help="with three, each partition is on all of them")
    parser.add_argument("--client", choices=CLIENTS, default=CLIENTS[0], help="log.client; default %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default %(default)s")
    parser.add_argument("--only", nargs="+", metavar="FAULT", choices=sorted(FAULTS), help=f"of {', '.join(FAULTS)}")
    options = parser.parse_args()
    logging.disable()
    configure_logging("error")
    others = max(1, options.kills // 16) if options.others is None else options.others
    faults = [
        fault
        for fault in order(Random(options.seed), options.kills, others)  # noqa: S311 (a schedule, not a secret)
        if not options.only or fault.__name__ in options.only
    ]
    directory = Path(mkdtemp(prefix="streamguard-schedule-"))
    say = lambda line: print(line, flush=True)  # noqa: E731, T201 (asked for)
    running = run(directory, options.records, faults, options.seed, say, options.brokers, options.client)
    conclude(directory, running.problems)


if __name__ == "__main__":
    main()
