"""Set-ups with one thing wrong, for the doctor."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
from confluent_kafka import Producer
from kafka import KafkaAdminClient, KafkaProducer

from streamguard.config import parse
from streamguard.doctor.running import run_doctor
from streamguard.doctor.severity import Severity

COUNT = 400
PARTITIONS = 4

ALLOWED = {"memory-caps", "cpu-limit"}
"""Notes that say something of the machine that tests run on."""


@dataclass(frozen=True, slots=True)
class Report:
    """What the doctor said."""

    exit_code: int
    findings: list[dict[str, str]]

    @property
    def codes(self) -> set[str]:
        return {each["code"] for each in self.findings} - ALLOWED

    def wrong(self) -> set[str]:
        """Codes of errors and warnings."""
        return {each["code"] for each in self.findings if each["severity"] != Severity.NOTE}

    def of(self, code: str) -> dict[str, str]:
        """The only finding of this code."""
        (found,) = [each for each in self.findings if each["code"] == code]
        return found


def doctor(data: Mapping[str, Any], now_ms: Callable[[], float] | None = None) -> Report:
    """Run it on a configuration."""
    printed: list[str] = []
    more = {} if now_ms is None else {"now_ms": now_ms}
    exit_code = run_doctor(parse(data), Path("my.yaml"), printed.append, is_json=True, **more)
    document = orjson.loads("\n".join(printed))
    assert document["exit_code"] == exit_code
    return Report(exit_code, document["findings"])


@dataclass(frozen=True, slots=True)
class Setup:
    """Topics of a test's own, and the configuration that names them."""

    bootstrap: str
    name: str = field(default_factory=lambda: f"doctor-{uuid4().hex[:10]}")

    @property
    def predictions(self) -> str:
        return f"{self.name}-predictions"

    @property
    def labels(self) -> str:
        return f"{self.name}-labels"

    def config(self, **sections: Any) -> dict[str, Any]:
        """As the file would have it; a section's settings are added to what is there."""
        data: dict[str, Any] = {
            "log": {"kind": "kafka", "bootstrap_servers": self.bootstrap, "group": self.name},
            "predictions": {"topic": self.predictions},
            "labels": {"topic": self.labels},
            "join": {"after": "2h", "max_waiting_bytes": 64 << 20},
            "monitors": [{"name": "fraud", "match": {"model": "fraud"}, "threshold": {"max_mismatch_percent": 8}}],
            "alerts": {"topic": f"{self.name}-alerts"},
        }
        for name, settings in sections.items():
            data[name] = data.get(name, {}) | settings if isinstance(settings, dict) else settings
        return data

    def create(self, topic: str, partitions: int = PARTITIONS, **settings: str) -> None:
        """A topic; settings with underscores for dots."""
        configs = {name.replace("_", "."): value for name, value in settings.items()}
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap)) as admin:
            wanted = {"num_partitions": partitions, "replication_factor": 1, "configs": configs}
            admin.create_topics({topic: wanted}, wait_for_metadata=True)

    def inputs(self) -> None:
        """Both inputs, with as many partitions and no records."""
        self.create(self.predictions)
        self.create(self.labels)

    def filled(self) -> "Setup":
        """Both inputs, with records as they should be."""
        self.inputs()
        self.write(self.predictions, predictions(range(COUNT)))
        self.write(self.labels, labels(range(COUNT)))
        return self

    def write(
        self, topic: str, records: Sequence[tuple[bytes | None, bytes]], *, timestamp_ms: int | None = None
    ) -> None:
        """As kafka-python partitions them: by murmur2, without a key by chance."""
        with closing(KafkaProducer(bootstrap_servers=self.bootstrap)) as producer:
            for key, value in records:
                producer.send(topic, value, key, timestamp_ms=timestamp_ms)
            producer.flush()

    def write_by_librdkafka(self, topic: str, records: Sequence[tuple[bytes | None, bytes]], **options: str) -> None:
        """As librdkafka partitions them where nobody tells it how: by CRC-32."""
        producer = Producer({"bootstrap.servers": self.bootstrap} | options)
        for key, value in records:
            producer.produce(topic, value, key)
        producer.flush(30)


def predictions(numbers: Sequence[int], model: str = "fraud") -> list[tuple[bytes | None, bytes]]:
    """Keys and values."""
    return [
        (b"r%d" % number, orjson.dumps({"request_id": f"r{number}", "prediction": "a", "model": model}))
        for number in numbers
    ]


def labels(numbers: Sequence[int]) -> list[tuple[bytes | None, bytes]]:
    """Keys and values."""
    return [(b"r%d" % number, orjson.dumps({"request_id": f"r{number}", "label": "a"})) for number in numbers]


def seconds_ago_ms(seconds: float) -> int:
    """A time of records."""
    return int((time.time() - seconds) * 1000)
