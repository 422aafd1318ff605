"""How late drift detectors are, and how often they are wrong, on streams whose changes are known.

    python -m benchmarks.detection
    python -m benchmarks.detection --seeds 5 --only delay stable --detectors budgeted adwin

Prints the tables, and writes those whose groups were all judged into `docs/detection.md`. `always-fire`, an alarm
every 100 events, and `never-fire` are in each: what is no better than they are is worth nothing.
"""

import argparse
import shlex
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.detection import detectors, peers, report
from benchmarks.detection.running import Found, Wanted, judged
from benchmarks.detection.scenarios import GROUPS
from streamguard.core.budget import spoken

PAGE = Path(__file__).resolve().parents[2] / "docs" / "detection.md"


def main() -> None:
    """Judge, print and write."""
    options = _parser().parse_args()
    wanted = Wanted(
        tuple(options.only), _detectors(options), options.seeds, options.max_delay, options.budget, options.processes
    )
    if detectors.SLOW not in wanted.detectors:
        echo(f"{detectors.SLOW} is left out, since it takes 0.3 ms an event; `--detectors {detectors.SLOW}` judges it")
    found = judged(wanted, echo)
    texts = {name: _text(found, name, wanted) for name in report.SECTIONS if report.section(found, name)}
    for name, text in texts.items():
        print(f"\n## {name}\n\n{text}")
    # A part of a table would stand there for the whole.
    whole = {name: text for name, text in texts.items() if set(report.SECTIONS[name]) <= set(found)}
    if options.write:
        _write(whole)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    by_default = [name for name in detectors.ALL if name != detectors.SLOW]
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="streams of each kind; default: 20")
    parser.add_argument("--only", nargs="+", default=list(GROUPS), choices=list(GROUPS), metavar="GROUP")
    parser.add_argument("--detectors", nargs="+", default=by_default, choices=detectors.ALL, metavar="NAME")
    parser.add_argument("--frouros", action="store_true", help="with frouros's detectors, where it is installed")
    parser.add_argument("--max-delay", type=int, metavar="EVENTS", help="the horizon; default: up to the next change")
    parser.add_argument("--budget", type=float, default=1.0, help="false alarms in 30 days, for ours; default: 1")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave docs/detection.md as it is")
    return parser


def _detectors(options: argparse.Namespace) -> tuple[str, ...]:
    """Those asked for, and the two that stand in every table."""
    chosen = [name for name in options.detectors if name not in detectors.BASELINES]
    if options.frouros and peers.is_installed():
        chosen += peers.FROUROS
    elif options.frouros:
        echo(peers.ABSENT)
    return (*chosen, *detectors.BASELINES)


def _text(found: Found, name: str, wanted: Wanted) -> str:
    command = shlex.join(["python", "-m", "benchmarks.detection", *sys.argv[1:]])
    horizon = "up to the end of the stream" if wanted.max_delay is None else f"{wanted.max_delay:,} events"
    about = (
        f"`{command}`, river {version('river')}, {wanted.seeds} streams of each kind, horizon {horizon},"
        f" a budget of {spoken(wanted.monthly)}. Intervals are of 95%; `?`: the detector only learns"
        f" before the change, so that its false alarms are seen on longer streams alone."
    )
    return f"{report.section(found, name)}\n\n{about}"


def _write(texts: dict[str, str]) -> None:
    if not PAGE.exists():
        echo(f"\n{PAGE.name} is not there, so nothing is written")
        return
    page = PAGE.read_text()
    placed = {name: text for name, text in texts.items() if f"<!-- bench:{name} -->" in page}
    PAGE.write_text(report.rewritten(page, placed))
    echo(f"\nwritten into {PAGE.name}: {', '.join(placed) or 'nothing'}")


def echo(line: str) -> None:
    """As it comes."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
