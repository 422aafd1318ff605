"""A group at a fixed rate for an hour, with a fault every minute: memory, lag and invariants, a line a minute.

    python -m tests.integration.soak --minutes 10

At the end, as after `tests.integration.schedule`, what is there is compared with what one undisturbed worker leaves.
"""

import logging
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from pathlib import Path
from random import Random
from tempfile import mkdtemp

from streamguard.worker.telemetry import configure_logging
from tests.integration.crew import Crew
from tests.integration.faults import OTHERS, kill
from tests.integration.trial import Trial, conclude, trial

MINUTE_S = 60


def run(directory: Path, minutes: int, rate: int, seed: int, say: Callable[[str], object]) -> Trial:
    """So many minutes, each with a fault; what is wrong is in `problems` of what comes back."""
    random = Random(seed)  # noqa: S311 (a schedule, not a secret)
    records = minutes * MINUTE_S * rate
    with trial(directory, records, rate, seed) as running:
        running.feeder.is_steady = True
        began = time.monotonic()
        for minute in range(1, minutes + 1):
            fault = random.choice((kill, *OTHERS))
            running.do(fault)
            running.scene.crew.wait(began + minute * MINUTE_S - time.monotonic())
            running.check_moving()
            say(f"{minute:3} min  {fault.__name__:<19} {state(running)}")
        settled_s = running.settle()
        results = running.finish()
        running.compare(results)
    say(f"all was consumed {settled_s:.1f} s after the last record")
    say(running.report(results))
    return running


def state(running: Trial) -> str:
    """Memory, lag, results and invariants now."""
    wrong = [*running.problems, *running.reader.problems, *running.offsets.problems]
    crew = running.scene.crew
    return (
        f"memory {memory(crew)} MB, fed {running.feeder.written:,}, lag {running.lag()},"
        f" alerts {len(running.reader.rows)}, restarted by the supervisor {len(crew.ended)},"
        f" invariants {'hold' if not wrong else '; '.join(wrong)}"
    )


def memory(crew: Crew) -> str:
    """Resident megabytes of each worker."""
    sizes = []
    for name, process in sorted(crew.running.items()):
        status = Path(f"/proc/{process.popen.pid}/status").read_text(encoding="utf-8")
        # A process that has just ended has none.
        kb = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0)
        sizes.append(f"{name} {kb / 1024:.0f}")
    return ", ".join(sizes)


def main() -> None:
    """Run it."""
    parser = ArgumentParser(
        prog="python -m tests.integration.soak", description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=int, default=60, help="default %(default)s")
    parser.add_argument("--rate", type=int, default=2_000, help="records a second; default %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default %(default)s")
    options = parser.parse_args()
    logging.disable()
    configure_logging("error")
    directory = Path(mkdtemp(prefix="streamguard-soak-"))
    running = run(directory, options.minutes, options.rate, options.seed, lambda line: print(line, flush=True))  # noqa: T201 (asked for)
    conclude(directory, running.problems)


if __name__ == "__main__":
    main()
