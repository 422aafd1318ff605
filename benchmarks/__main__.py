"""All that is measured of workers, on Apache Kafka, into `benchmarks/results.json` and `docs/performance.md`.

    python -m benchmarks --predictions 1000000 --repeat 3 --peers

Starts Apache Kafka, runs the scenarios of `streamguard bench` and, with --peers, other stream processors at the same
join, and writes what it found over what the two files said of the same scenarios.
"""

import argparse
import json
import shlex
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks import tables
from benchmarks.jobs import kafka
from streamguard.bench.running import ALL, Wanted, run_bench
from streamguard.bench.scenarios import Bench
from streamguard.errors import StreamguardError

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "results.json", HERE.parent / "docs" / "performance.md"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--predictions", type=int, default=1_000_000)
    parser.add_argument("--scenario", nargs="*", default=ALL, choices=ALL, help="default: all; none: the peers alone")
    parser.add_argument("--repeat", type=int, default=1, help="rounds; the quickest counts")
    parser.add_argument("--peers", nargs="*", metavar="NAME", help="with these peers; no name: all of them")
    parser.add_argument("--bootstrap", metavar="HOST:PORT", help="use this broker instead of one of our own")
    options = parser.parse_args()
    # So that the broker ends with us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as name, kafka(Path(name), options.bootstrap) as address:
        try:
            found = measured(options, Path(name), address)
        except StreamguardError as error:
            sys.exit(f"error: {error}")
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps(before | found, indent=1) + "\n")
    PAGE.write_text(tables.rewritten(PAGE.read_text(), found))


def measured(options: argparse.Namespace, directory: Path, address: str) -> tables.Results:
    """By scenario."""
    found: tables.Results = {}
    if options.scenario:
        wanted = Wanted(address, options.predictions, options.scenario, options.repeat)
        found |= tables.sections(run_bench(wanted, echo))
    if options.peers is not None:
        from benchmarks import peering  # noqa: PLC0415 (only who asks for peers needs them)

        bench = Bench(directory, address, options.repeat, echo)
        found |= tables.sections(peering.measure(bench, options.peers, options.predictions))
    command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    return {name: section | {"command": command} for name, section in found.items()}


def echo(line: str) -> None:
    """As it comes."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
