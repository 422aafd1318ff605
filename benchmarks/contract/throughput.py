"""What it costs to hold predictions to a contract: `python -m benchmarks.contract.throughput`.

The records of `benchmarks.data.throughput` (20 features and a text, no two alike, with their labels, Apache Kafka with
4 partitions): one worker reads them with a threshold alone, and with a contract of both inputs as well, by turns.
"""

import argparse
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from benchmarks.data.throughput import TOPICS, made, ran, records
from benchmarks.jobs import kafka
from streamguard.bench.places import Cluster
from streamguard.core.contract.learning import Learner

LEARNT = 20_000


def main() -> None:
    """Print a line for each run, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        contracts = {topic: {"contract": {"schema": _learnt(directory, topic)}} for topic in TOPICS}
        sections: dict[str, dict[str, Any]] = {"without": {}, "contract": contracts}
        with kafka(directory) as address:
            cluster = Cluster(address, "contract")
            made(cluster, asked.predictions)
            for line in ran(directory, cluster, sections, asked.predictions, asked.repeat):
                sys.stdout.write(line + "\n")
                sys.stdout.flush()


def _learnt(directory: Path, topic: str) -> str:
    learner = Learner(open_fields=["request_id"])
    rows = (record for record in records(LEARNT) if record.topic == topic)
    learner.take([orjson.loads(record.value or b"") for record in islice(rows, LEARNT)])
    path = directory / f"{topic}.schema.json"
    path.write_bytes(orjson.dumps(learner.schema(topic)))
    return str(path)


if __name__ == "__main__":
    main()
