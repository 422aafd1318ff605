"""The benchmark as a command."""

import json
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamguard.bench import jobs, live, report, scenarios
from streamguard.bench.records import Shape
from streamguard.bench.scenarios import NAMES, Bench, DataSet, Echo
from streamguard.errors import ConfigError

ALL = (*NAMES, "delay")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to measure. `scenarios` empty: all that can be."""

    bootstrap: str | None = None
    predictions: int = 1_000_000
    scenarios: Sequence[str] = field(default=())
    repeat: int = 1


def run_bench(wanted: Wanted, echo: Echo, out: Path | None = None) -> dict[str, Any]:
    """Measure, show, and write what was found as JSON where a file is named."""
    chosen = _chosen(wanted)
    jobs.without_overrides()
    if wanted.bootstrap is None:
        echo("the embedded log alone; --bootstrap HOST:PORT adds Kafka, bare loops and the delay of alerts")
    with tempfile.TemporaryDirectory(prefix="streamguard-bench-") as name:
        bench = Bench(Path(name), wanted.bootstrap, wanted.repeat, echo)
        shape = Shape(wanted.predictions)
        rows = list(scenarios.rows(bench, chosen, shape))
        delays = None
        if "delay" in chosen:
            ones = [row for row in rows if row.scenario == "main" and row.run == scenarios.ONE.name]
            ones = ones or bench.measure("delay", DataSet("for the rate", shape), [scenarios.ONE])
            delays = live.measure(bench, ones[0].per_second / 2)
    report.show(rows, delays)
    found = report.document(rows, delays, shlex.join(["streamguard", *sys.argv[1:]]))
    if out is not None:
        out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return found


def _chosen(wanted: Wanted) -> Sequence[str]:
    for name in wanted.scenarios:
        if name not in ALL:
            raise ConfigError(f"no scenario {name!r}: there are {', '.join(ALL)}")
    if wanted.bootstrap is not None:
        return wanted.scenarios or ALL
    if "delay" in wanted.scenarios:
        raise ConfigError("the scenario 'delay' needs Kafka: name one with --bootstrap HOST:PORT")
    return wanted.scenarios or NAMES
