"""Other stream processors at the same join, measured beside a worker: those of `benchmarks/peers`."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.check import VARIANTS, mismatches
from streamguard.bench.places import Cluster, new_prefix
from streamguard.bench.records import Shape
from streamguard.bench.report import document
from streamguard.bench.scenarios import CONFLUENT, ONE, PARTITIONS, Bench, DataSet

HERE = Path(__file__).resolve().parent / "peers"


def measure(bench: Bench, names: Sequence[str], predictions: int) -> dict[str, Any]:
    """Peers and workers over the same records, without repeats and garbage, of which no peer knows anything."""
    shape = Shape(predictions, duplicates=0, garbage=0)
    data = DataSet("no repeats, no garbage", shape)
    found = document(bench.measure("peers", data, [ONE, *CONFLUENT]), None, "")
    prefix = new_prefix()
    topics = f"{prefix}-predictions", f"{prefix}-labels"
    place = Cluster(bench.address or "", prefix)
    expected = mismatches(shape).total()
    try:
        written = place.load(topics, shape, PARTITIONS)
        for name in names or VARIANTS:
            for variant in VARIANTS[name]:
                said = _run(name, variant, bench.address or "", (*topics, f"{prefix}-{name}-{variant}"), expected)
                if said is None:
                    bench.echo(f"  {name} is left out: its environment or its run failed, see above")
                    break
                found["rows"].append(_row(said, data.name, written))
                bench.echo(f"  {said['peer']}, {variant}: {said['seconds']:.1f} s")
    finally:
        place.clear()
    return found


def _run(name: str, variant: str, address: str, topics: Sequence[str], expected: int) -> dict[str, Any] | None:
    command = [sys.executable, str(HERE / name / "run.py"), "--bootstrap", address, "--variant", variant]
    for option, topic in zip(("--predictions", "--labels", "--out"), topics, strict=True):
        command += [option, topic]
    done = subprocess.run([*command, "--pairs", str(expected)], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return None
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if said["results"] != expected:
        raise SystemExit(f"{name}, {variant}, found {said['results']} of {expected} pairs that differ")
    return said


def _row(said: dict[str, Any], data: str, records: int) -> dict[str, Any]:
    variant = "" if said["variant"] == "default" else f", {said['variant']}"
    return {
        "scenario": "peers",
        "data": data,
        "run": f"{said['peer']}{variant}",
        "records": records,
        "seconds": said["seconds"],
        "records_per_second": round(records / said["seconds"]),
        "cpu_seconds_per_million": round(said["cpu_seconds"] / records * 1e6, 2),
        "peak_mb": said["peak_mb"],
    }
