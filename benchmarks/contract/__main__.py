"""`python -m benchmarks.contract`: each change within how many records, and false alarms where nothing changes."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from benchmarks.contract.streams import CHANGES, Record, records
from streamguard.config import Config
from streamguard.core.alerts import alert_data
from streamguard.core.contract.learning import Learner
from streamguard.core.join import JoinTask
from streamguard.core.monitor import MonitorTask
from streamguard.core.records import Batch, Stream, TopicPartition
from streamguard.worker.topology import derive

LEARNT = 20_000
PARTITIONS = 4
_POLL = 20
"""Records of each partition that a step takes."""
_SOON = 1_000


def config_for(directory: Path) -> Config:
    """With a contract that was learnt from records of another day."""
    learner = Learner(open_fields=["version"])
    learner.take(list(records(LEARNT, seed=1)))
    schema = directory / "predictions.schema.json"
    schema.write_bytes(orjson.dumps(learner.schema("predictions")))
    return Config.model_validate(
        {
            "log": {"kind": "embedded", "path": str(directory / "unused.db"), "group": "bench"},
            "predictions": {"fields": {"time": "timestamp"}, "contract": {"schema": str(schema)}},
            "labels": {"fields": {"time": "timestamp"}},
            "join": {"after": 60_000},
            "monitors": [{"name": "payments", "threshold": {"max_mismatch_percent": 90, "window": 1000}}],
        }
    )


def alerts_of(config: Config, rows: Iterator[Record]) -> list[tuple[int, dict[str, Any]]]:
    """What both stages say of these predictions, dealt out to four partitions: after how many, and what."""
    topology = derive(config, PARTITIONS, 1)
    joins = [JoinTask(number, topology.join) for number in range(PARTITIONS)]
    monitor = MonitorTask(0, topology.monitor)
    found: list[tuple[int, dict[str, Any]]] = []
    taken = outcomes = 0
    while part := list(islice(rows, PARTITIONS * _POLL)):
        for number, join in enumerate(joins):
            mine = part[number::PARTITIONS]
            outputs = join.step(_batch("predictions", number, taken // PARTITIONS, mine))
            written = [output.value for output in outputs if output.stream is Stream.OUTCOMES]
            alerts = monitor.step(_of_values("outcomes", 0, outcomes, written))
            outcomes += len(written)
            found += [(taken + len(part), alert_data(each.value)) for each in alerts if each.stream is Stream.ALERTS]
        taken += len(part)
    return found


def _batch(topic: str, partition: int, first: int, rows: Sequence[Record]) -> Batch:
    batch = _of_values(topic, partition, first, [orjson.dumps(row) for row in rows])
    batch.timestamps = [row["timestamp"] for row in rows]
    return batch


def _of_values(topic: str, partition: int, first: int, values: Sequence[bytes | None]) -> Batch:
    count = len(values)
    offsets = range(first, first + count)
    return Batch(
        TopicPartition(topic, partition), offsets, [0] * count, [None] * count, values, [()] * count, first + count
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was found; returns 1 where a change was told late, or not, or something else was."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contract", description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=2)
    asked = parser.parse_args(arguments)
    since = asked.records // 2
    is_bad = False
    with TemporaryDirectory() as name:
        directory = Path(name)
        config = config_for(directory)
        none = alerts_of(config, records(asked.records, asked.seed))
        print(f"nothing changes: {len(none)} alerts in {asked.records:,} records")
        is_bad |= bool(none)
        for title, (change, field, kind) in CHANGES.items():
            found = alerts_of(config, records(asked.records, asked.seed, change, since))
            taken, first = next(iter(found), (0, None))
            named = [] if first is None else first["contract"]["changes"]
            is_named = any((each["field"], each["change"]) == (field, kind) for each in named)
            print(f"{title}: {len(found)} alerts, the first {taken - since:,} records after the change")
            for each in named:
                print(f"    {each['told']}")
            is_bad |= not is_named or not 0 <= taken - since <= _SOON
    return int(is_bad)


if __name__ == "__main__":
    sys.exit(main())
