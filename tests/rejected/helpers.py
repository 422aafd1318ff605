"""Rejected records as a join task writes them, and an embedded log with a worker that rejects."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import yaml

from streamguard.config import Config, parse
from streamguard.core.records import Batch, Headers, Output, TopicPartition
from streamguard.core.rejected import rejected
from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.interface import Record, TopicInfo
from streamguard.rejected.letter import Letter, letters
from streamguard.worker.running import account
from streamguard.worker.worker import Clock, Worker

NOW_MS = 1_770_000_000_000
LETTERS = TopicPartition("letters", 2)
PLACE = TopicPartition("predictions", 1)


def output(
    value: bytes | None,
    reason: str = "not JSON: at 7",
    *,
    source: TopicPartition = PLACE,
    at_ms: int = NOW_MS,
    key: bytes | None = b"k",
    headers: Headers = (),
) -> Output:
    """One record of an input, at offset 600, as it is rejected."""
    return rejected(Batch(source, [600], [at_ms], [key], [value], [headers], 601), 0, reason)


def batch_of(outputs: Sequence[Output], offsets: Sequence[int] | None = None, next_offset: int | None = None) -> Batch:
    """Those as records of the rejected topic, a second apart."""
    offsets = range(len(outputs)) if offsets is None else offsets
    return Batch(
        LETTERS,
        offsets,
        [NOW_MS + 1000 * number for number in range(len(outputs))],
        [each.key for each in outputs],
        [each.value for each in outputs],
        [each.headers for each in outputs],
        next_offset if next_offset is not None else (offsets[-1] + 1 if outputs else 0),
    )


def letter(value: bytes | None, reason: str = "not JSON: at 7", **about: Any) -> Letter:
    """One as it is read."""
    return next(letters(batch_of([output(value, reason, **about)])))


class Place:
    """An embedded log whose two inputs have two partitions, and a configuration of it."""

    def __init__(self, directory: Path, **sections: Any) -> None:
        self.directory = directory
        self.path = directory / "log.db"
        self.settings: dict[str, Any] = {
            "log": {"kind": "embedded", "path": str(self.path), "group": "g"},
            "predictions": {"fields": {"time": "at"}},
            "join": {"after": "1h", "disorder": "1s", "idle_after": None},
            "monitors": [{"name": "all", "threshold": {"max_mismatch_percent": 5}}],
            **sections,
        }
        with self.log() as log:
            for topic in ("predictions", "labels"):
                log.create(TopicInfo(topic, 2))

    @property
    def config(self) -> Config:
        """As it is set now."""
        return parse(self.settings)

    def file(self) -> Path:
        """The same, for a command."""
        path = self.directory / "streamguard.yaml"
        path.write_text(yaml.safe_dump(self.settings), encoding="utf-8")
        return path

    @contextmanager
    def log(self) -> Iterator[EmbeddedLog]:
        """The log, opened."""
        log = EmbeddedLog(self.path)
        try:
            yield log
        finally:
            log.close()

    def append(self, *records: Record) -> None:
        """Onto the inputs."""
        with self.log() as log:
            log.append(records)

    def work(self) -> list[str]:
        """A worker, to the end of the inputs; its account of how records have ended."""
        with self.log() as log:
            worker = Worker(self.config, log, "w", Clock(time.monotonic, time.sleep))
            worker.run(until_end=True)
            return account(worker)

    def read(self, topic: str) -> list[Record]:
        """All that is on a topic, by partition."""
        found = []
        with self.log() as log:
            for batch in log.read(topic):
                columns = zip(batch.keys, batch.values, batch.headers, batch.timestamps, strict=True)
                for key, value, headers, at_ms in columns:
                    found.append(Record(topic, key, value, batch.source.partition, tuple(headers), int(at_ms)))
        return sorted(found, key=lambda record: record.partition or 0)


def prediction(name: str, partition: int = 0, *, at_ms: int = NOW_MS, **fields: Any) -> Record:
    """A prediction that is of its Kafka timestamp."""
    value = {"request_id": name, "prediction": 1, "at": at_ms, **fields}
    return Record("predictions", name.encode(), orjson.dumps(value), partition, (("trace", b"\x00"),), at_ms)


def label(name: str, partition: int = 0, *, at_ms: int = NOW_MS, **fields: Any) -> Record:
    """A label whose time is its Kafka timestamp."""
    value = {"request_id": name, "label": 1, **fields}
    return Record("labels", name.encode(), orjson.dumps(value), partition, (), at_ms)
