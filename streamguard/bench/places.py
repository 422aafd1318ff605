"""Where the records to measure with lie: a Kafka cluster, or an embedded log."""

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import orjson
from kafka import KafkaAdminClient

from streamguard.bench.jobs import HAS_CONFLUENT
from streamguard.bench.records import Shape, chunks, records
from streamguard.config import parse
from streamguard.errors import LogError
from streamguard.logs.interface import Log, TopicInfo
from streamguard.logs.opening import open_log
from streamguard.logs.partitioner import partitions_of

_PIECE = 50_000
_FLUSH_S = 120

Topics = tuple[str, str]


class Place(Protocol):
    """A log that holds one data set at a time."""

    def settings(self, group: str, client: str = "kafka-python") -> dict[str, Any]:
        """The `log` section of a worker's configuration."""
        ...

    def load(self, topics: Topics, shape: Shape, partitions: int) -> int:
        """Write the records of this shape; returns how many."""
        ...

    def clear(self) -> None:
        """Remove every topic and group of this benchmark."""
        ...


def new_prefix() -> str:
    """Every topic and group is named so: nothing else's is touched."""
    return f"streamguard-bench-{secrets.token_hex(3)}"


class Embedded:
    """A file on this machine."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "embedded.db"

    def settings(self, group: str, client: str = "") -> dict[str, Any]:  # noqa: ARG002 (it has no client)
        return {"kind": "embedded", "path": str(self._path), "group": group}

    def load(self, topics: Topics, shape: Shape, partitions: int) -> int:
        with opened(self.settings("load")) as log:
            return _append(log, topics, shape, partitions)

    def clear(self) -> None:
        for path in self._path.parent.glob(f"{self._path.name}*"):
            path.unlink()


class Cluster:
    """A Kafka cluster, of which only what has the prefix is touched."""

    def __init__(self, address: str, prefix: str) -> None:
        self.address = address
        self._prefix = prefix

    def settings(self, group: str, client: str = "kafka-python") -> dict[str, Any]:
        return {"kind": "kafka", "client": client, "bootstrap_servers": self.address, "group": group}

    def load(self, topics: Topics, shape: Shape, partitions: int) -> int:
        with opened(self.settings(self._prefix)) as log:
            if not HAS_CONFLUENT:
                return _append(log, topics, shape, partitions)
            for topic in topics:
                log.create(TopicInfo(topic, partitions))
        return _produce(self.address, topics, shape, partitions)

    def clear(self) -> None:
        with closing(KafkaAdminClient(bootstrap_servers=self.address)) as admin:
            names = [name for name in admin.list_topics() if self._is_ours(name)]
            groups = [each["group_id"] for each in admin.list_groups() if self._is_ours(each["group_id"])]
            if names:
                admin.delete_topics(names)
            if groups:
                admin.delete_groups(groups)

    def _is_ours(self, name: str) -> bool:
        return name.startswith((self._prefix, f"streamguard-{self._prefix}"))


@contextmanager
def opened(log: dict[str, Any]) -> Iterator[Log]:
    """The log of a `log` section."""
    monitors = [{"name": "unused", "detectors": [{"type": "adwin"}]}]
    with closing(open_log(parse({"log": log, "join": {"after": "1s"}, "monitors": monitors}).log)) as found:
        yield found


def alerts(log: dict[str, Any]) -> list[dict[str, Any]]:
    """All alerts of the group of this `log` section, in an order of their own."""
    with opened(log) as found:
        values = [value for batch in found.read(f"{log['group']}-alerts") for value in batch.values]
    said = [orjson.loads(value or b"{}") for value in values]
    return sorted(said, key=lambda alert: (alert["event_time"], alert["id"]))


def _append(log: Log, topics: Topics, shape: Shape, partitions: int) -> int:
    names = dict(zip(("predictions", "labels"), topics, strict=True))
    for topic in topics:
        log.create(TopicInfo(topic, partitions))
    written, source = 0, records(shape)
    while piece := list(islice(source, _PIECE)):
        log.append([type(each)(names[each.topic], each.key, each.value, None, (), each.timestamp_ms) for each in piece])
        written += len(piece)
    return written


def _produce(address: str, topics: Topics, shape: Shape, partitions: int) -> int:
    from confluent_kafka import Producer  # noqa: PLC0415 (an extra)

    failures: list[str] = []
    producer = Producer(
        {
            "bootstrap.servers": address,
            "enable.idempotence": True,
            "linger.ms": 20,
            "delivery.report.only.error": True,
            "on_delivery": lambda error, _: failures.append(str(error)),
        }
    )
    written = 0
    for chunk in chunks(shape):
        numbers = partitions_of(chunk.keys, partitions)
        rows = zip(chunk.are_labels, chunk.keys, chunk.values, chunk.times_ms, numbers, strict=True)
        for is_label, key, value, at_ms, number in rows:
            while True:
                try:
                    producer.produce(topics[is_label], value, key, number, timestamp=at_ms)
                    break
                except BufferError:
                    producer.poll(0.05)
        producer.poll(0)
        written += len(chunk.keys)
    left = producer.flush(_FLUSH_S)
    if left or failures:
        raise LogError(f"cannot write: {left} records were not taken, {len(failures)} refused {failures[:1]}")
    return written
