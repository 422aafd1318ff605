"""Whether the peers find what is to be found: `python -m benchmarks.peers.check [--peers quix ...]`.

Starts Apache Kafka, writes predictions and labels without repeats and garbage, runs every variant of the peers
one after the other, and compares what each wrote with the pairs that differ.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import orjson

from benchmarks.jobs import kafka, load
from streamguard.bench.places import opened
from streamguard.bench.records import Shape, records

HERE = Path(__file__).resolve().parent
VARIANTS = {
    "kafka_streams": ("exactly_once_v2", "at_least_once"),
    "pathway": ("interval_join", "join"),
    "bytewax": ("default",),
    "quix": ("default",),
}

Result = tuple[str, str, str]
"""Request ID, prediction, label."""


def mismatches(shape: Shape) -> Counter[Result]:
    """What is to be found."""
    predictions: dict[str, str] = {}
    found: Counter[Result] = Counter()
    for record in records(shape):
        body = orjson.loads(record.value or b"{}")
        key = body["request_id"]
        if record.topic == "predictions":
            predictions[key] = body["prediction"]
        elif predictions[key] != body["label"]:
            found[key, predictions[key], body["label"]] += 1
    return found


def written(settings: dict[str, object], topic: str) -> Counter[Result]:
    """What stands on the topic."""
    with opened(settings) as log:
        bodies = [orjson.loads(value or b"{}") for batch in log.read(topic) for value in batch.values]
    return Counter((body["request_id"], body["prediction"], body["label"]) for body in bodies)


def main() -> None:
    """Run them; a line for each."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers.check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--peers", nargs="+", choices=[*VARIANTS], default=[*VARIANTS], help="default: all")
    parser.add_argument("--predictions", type=int, default=50_000)
    options = parser.parse_args()
    shape = Shape(options.predictions, duplicates=0, garbage=0)
    expected = mismatches(shape)
    is_right = True
    with tempfile.TemporaryDirectory() as name, kafka(Path(name)) as address:
        settings: dict[str, object] = {"kind": "kafka", "bootstrap_servers": address, "group": "check"}
        load(address, shape)
        for peer in options.peers:
            for variant in VARIANTS[peer]:
                topic = f"{peer}-{variant}".replace("_", "-")
                topics = ["--predictions", "predictions", "--labels", "labels", "--out", topic]
                command = [sys.executable, str(HERE / peer / "run.py"), "--bootstrap", address, *topics]
                command += ["--pairs", str(expected.total()), "--variant", variant]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
                found = written(settings, topic)
                verdict = "exactly" if found == expected and not done.returncode else "NOT"
                is_right &= verdict == "exactly"
                said = json.loads(done.stdout) if not done.returncode else {"peer": peer, "variant": variant}
                missing, extra = (expected - found).total(), (found - expected).total()
                print(f"{verdict} the {expected.total()} expected: {missing} missing, {extra} more; {said}", flush=True)
    sys.exit(not is_right)


if __name__ == "__main__":
    main()
