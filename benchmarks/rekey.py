"""How many records a second the re-key stage takes: `python -m benchmarks.rekey [--records N] [--bootstrap HOST:PORT]`.

Writes a raw topic of each form to a broker of its own, un-keyed, over three partitions, and runs `streamguard rekey
--until-end` over it as a process. Seconds are those from the first partition assigned to the last commit, by the
process's own log; CPU seconds are all of the process, its start included. Records are raw ones, of which `kserve` needs
two for a prediction, and `batch` holds ten.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from tempfile import TemporaryDirectory

import orjson
import yaml

from benchmarks.jobs import kafka
from streamguard.config import parse
from streamguard.logs.interface import Record, TopicInfo
from streamguard.logs.opening import open_log

PARTITIONS = 3
BASE_MS = 1_700_000_000_000
PIECE = 50_000
ROWS = 10


def plain(topic: str) -> Iterator[Record]:
    """A prediction with four features for each record."""
    number = 0
    while True:
        at_ms = BASE_MS + number
        document = {
            "request_id": f"req-{number:012}",
            "prediction": number % 2,
            "timestamp": at_ms,
            "features": features(number),
        }
        yield Record(topic, None, orjson.dumps(document), number % PARTITIONS, (), at_ms)
        number += 1


def kserve(topic: str) -> Iterator[Record]:
    """A request and a response, of one instance."""
    number = 0
    while True:
        for kind, body in (
            ("request", {"instances": [[*features(number).values()]]}),
            ("response", {"predictions": [1]}),
        ):
            at_ms = BASE_MS + number + (kind == "response")
            headers = (
                ("ce_id", b"req-%012d" % number),
                ("ce_type", f"org.kubeflow.serving.inference.{kind}".encode()),
                ("ce_time", datetime.fromtimestamp(at_ms / 1000, UTC).isoformat().encode()),
                ("ce_inferenceservicename", b"sklearn-iris"),
            )
            partition = (number + (kind == "response")) % PARTITIONS
            yield Record(topic, None, orjson.dumps(body), partition, headers, at_ms)
        number += 1


def batch(topic: str) -> Iterator[Record]:
    """Ten predictions for each record."""
    number = 0
    while True:
        at_ms = BASE_MS + number
        rows = [
            {"request_id": f"req-{number:012}-{row}", "prediction": 1, "features": features(row)} for row in range(ROWS)
        ]
        yield Record(topic, None, orjson.dumps({"timestamp": at_ms, "rows": rows}), number % PARTITIONS, (), at_ms)
        number += 1


def features(number: int) -> dict[str, float]:
    """As many as the iris has."""
    return {"sl": 5.1 + number % 7, "sw": 3.5, "pl": 1.4, "pw": 0.2}


FORMS: dict[str, tuple[Callable[[str], Iterator[Record]], dict[str, object]]] = {
    "plain": (plain, {"rekey": True, "fields": {"time": "timestamp"}}),
    "kserve": (kserve, {"format": {"type": "kserve"}}),
    "batch": (batch, {"format": {"type": "batch", "rows": "rows"}, "fields": {"time": "timestamp"}}),
}


def measured(bootstrap: str, name: str, count: int, directory: Path) -> str:
    """One form, in a line."""
    make, form = FORMS[name]
    group = f"rekey-{name}-{os.getpid()}"
    settings = {
        "log": {"kind": "kafka", "bootstrap_servers": bootstrap, "group": group},
        "predictions": {"topic": f"{group}-raw", **form},
        "labels": {"topic": f"{group}-labels"},
        "join": {"after": "1h"},
        "monitors": [{"name": "m", "threshold": {"max_mismatch_percent": 8, "window": 500}}],
    }
    log = open_log(parse(settings).log)
    log.create(TopicInfo(f"{group}-raw", PARTITIONS))
    records = islice(make(f"{group}-raw"), count)
    while piece := list(islice(records, PIECE)):
        log.append(piece)
    path = directory / f"{group}.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    command = [sys.executable, "-m", "streamguard.cli", "rekey", str(path), "--until-end"]
    before = getrusage(RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = getrusage(RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    written = sum(span.end - span.start for span in log.spans(f"streamguard-{group}-predictions").values())
    log.close()
    events = {
        each["event"]: each for line in done.stderr.splitlines() if line[:1] == "{" for each in [orjson.loads(line)]
    }
    began, ended = (
        datetime.fromisoformat(events[event]["timestamp"]) for event in ("partitions_assigned", "rekey_stopped")
    )
    seconds = (ended - began).total_seconds()
    rate = f"{seconds:.1f} s, {count / seconds:,.0f} records/s, {cpu_s:.1f} CPU s"
    return f"{name}: {count:,} records, {rate}; {written:,} offsets written"


def main() -> None:
    """Measure each form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--bootstrap")
    parser.add_argument("--form", choices=list(FORMS), nargs="*", default=list(FORMS))
    asked = parser.parse_args()
    with TemporaryDirectory() as made, kafka(Path(made), asked.bootstrap) as address:
        for name in asked.form:
            sys.stdout.write(measured(address, name, asked.records, Path(made)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
