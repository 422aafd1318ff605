"""How soon an alert comes: records are written as they happen, and the log itself says when what arrived.

Theory of operation. Labels and alerts lie in topics where the broker stamps each record as it is appended. An alert
that a threshold raises names the mismatch that set it off, last of its examples, so its delay is from the append of
that label to its own append. Of that, the join's disorder is waited for in any case.
"""

import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import orjson
from kafka import KafkaAdminClient, KafkaProducer

from streamguard.bench import jobs
from streamguard.bench.places import Cluster, Topics, new_prefix, opened
from streamguard.bench.scenarios import PARTITIONS, Bench
from streamguard.errors import StreamguardError
from streamguard.logs.partitioner import partitions_of

_WARM_S, _MEASURED_S, _AFTER_S = 6.0, 30.0, 5.0
_TICK_S = 0.02
_SEGMENTS = 100
_LABEL_AFTER_MS = 500
_FLIP_S = 4
_CALM, _WRONG = 0.02, 0.30
_DISORDER_S = 1
_STOP_S = 60


class NoAlertsError(StreamguardError):
    """Nothing was raised, so there is nothing to tell."""


@dataclass(frozen=True, slots=True)
class Delays:
    """From the append of the label that completed an alert to the append of the alert, in seconds, sorted."""

    per_second: float
    """Records written."""
    seconds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def p99(self) -> float:
        """The 99th of a hundred."""
        return self.seconds[min(len(self.seconds) - 1, len(self.seconds) * 99 // 100)]

    def summary(self) -> str:
        """In a line."""
        return (
            f"delay: {len(self.seconds)} alerts at {self.per_second:,.0f} records/s, from the append of the label to"
            f" that of the alert: median {self.median:.2f} s, 99% within {self.p99:.2f} s, of them {_DISORDER_S} s"
            " join.disorder"
        )

    def as_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "records_per_second": round(self.per_second),
            "alerts": len(self.seconds),
            "median_s": round(self.median, 3),
            "p99_s": round(self.p99, 3),
            "disorder_s": _DISORDER_S,
        }


def measure(bench: Bench, per_second: float) -> Delays:
    """Write so many records a second while a worker reads them, and look when alerts came."""
    prefix = new_prefix()
    address = bench.address or ""
    place = Cluster(address, prefix)
    topics = f"{prefix}-predictions", f"{prefix}-labels"
    log = place.settings(prefix)
    settings = _settings(log, topics)
    bench.echo(f"delay: {per_second:,.0f} records/s for {_WARM_S + _MEASURED_S:.0f} s")
    try:
        _create(address, topics, settings["alerts"]["topic"])
        command = jobs.worker_command(jobs.written(bench.directory, settings), until_end=False)
        worker = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            began_ms = time.time() * 1000
            written = _produce(address, topics, per_second / 2)
            time.sleep(_AFTER_S)
            worker.terminate()
            worker.wait(_STOP_S)
        finally:
            worker.kill()
            worker.wait()
        return _delays(log, topics[1], began_ms + _WARM_S * 1000, 2 * written / (_WARM_S + _MEASURED_S))
    finally:
        place.clear()


def delays(labels: Mapping[str, int], alerts: Iterable[tuple[int, dict[str, Any]]], since_ms: float) -> list[float]:
    """Sorted, of the alerts raised by labels that came later than `since_ms`; both with when they were appended."""
    found = []
    for at_ms, alert in alerts:
        label_ms = labels[alert["examples"][-1]] if alert["status"] == "raised" and alert["examples"] else 0
        if label_ms > since_ms:
            found.append((at_ms - label_ms) / 1000)
    return sorted(found)


def _settings(log: dict[str, Any], topics: Topics) -> dict[str, Any]:
    settings = jobs.settings(log, topics)
    settings["join"] = {"after": "10m", "disorder": f"{_DISORDER_S}s"}
    limits = {"max_mismatch_percent": 15, "resolve_below_percent": 10, "window": 100, "min_samples": 50}
    settings["monitors"] = [
        {"name": "live", "match": jobs.MATCH, "split_by": ["country"], "threshold": limits | {"cooldown": "0s"}}
    ]
    return settings


def _create(address: str, topics: Topics, alerts: str) -> None:
    stamped = {"message.timestamp.type": "LogAppendTime"}
    with closing(KafkaAdminClient(bootstrap_servers=address)) as admin:
        wanted: dict[str, dict[str, Any]] = {
            topics[0]: {"num_partitions": PARTITIONS, "replication_factor": -1},
            topics[1]: {"num_partitions": PARTITIONS, "replication_factor": -1, "configs": stamped},
            alerts: {"num_partitions": 1, "replication_factor": -1, "configs": stamped},
        }
        admin.create_topics(wanted, wait_for_metadata=True)


def _produce(address: str, topics: Topics, per_second: float) -> int:
    """So many predictions a second, and for each its label a little later; returns how many."""
    send, close = _sender(address)
    known = number = 0
    lag = round(per_second * _LABEL_AFTER_MS / 1000)
    began = time.monotonic()
    while (passed := time.monotonic() - began) < _WARM_S + _MEASURED_S:
        now_ms = time.time_ns() // 1_000_000
        due = int(passed * per_second)
        for is_label, numbers in ((False, range(number, due)), (True, range(known, due - lag))):
            keys = [b"live-%09d" % each for each in numbers]
            places = partitions_of(keys, PARTITIONS)
            for each, key, place in zip(numbers, keys, places, strict=True):
                value = _label(key, now_ms) if is_label else _prediction(each, key, now_ms, per_second)
                send(topics[is_label], value, key, place, now_ms)
        number, known = max(number, due), max(known, due - lag)
        time.sleep(_TICK_S)
    close()
    return number


def _sender(address: str) -> tuple[Callable[[str, bytes, bytes, int, int], object], Callable[[], object]]:
    """How to send a record, and how to end: by the client that takes less of the worker's CPU, where it is there."""
    if not jobs.HAS_CONFLUENT:
        plain = KafkaProducer(bootstrap_servers=address, linger_ms=5, metrics_enabled=False)
        return lambda *each: plain.send(each[0], each[1], each[2], (), *each[3:]), plain.close
    from confluent_kafka import Producer  # noqa: PLC0415 (an extra)

    producer = Producer({"bootstrap.servers": address, "linger.ms": 5, "delivery.report.only.error": True})

    def send(topic: str, value: bytes, key: bytes, partition: int, at_ms: int) -> None:
        producer.poll(0)
        producer.produce(topic, value, key, partition, timestamp=at_ms)

    return send, producer.flush


def _prediction(number: int, key: bytes, now_ms: int, per_second: float) -> bytes:
    segment = number % _SEGMENTS
    # Each segment turns at another time.
    is_bad = int(number / per_second / _FLIP_S + segment / _SEGMENTS) % 2
    is_wrong = number * 2_654_435_761 % 2**32 / 2**32 < (_WRONG if is_bad else _CALM)
    return b'{"request_id":"%b","prediction":"%b","timestamp":%d,"model":"fraud","version":"7","country":"c%d"}' % (
        key,
        b"fraud" if is_wrong else b"legit",
        now_ms,
        segment,
    )


def _label(key: bytes, now_ms: int) -> bytes:
    return b'{"request_id":"%b","label":"legit","timestamp":%d}' % (key, now_ms)


def _delays(log: dict[str, Any], labels: str, since_ms: float, per_second: float) -> Delays:
    with opened(log) as found:
        appended = {
            (key or b"").decode(): at_ms
            for batch in found.read(labels)
            for key, at_ms in zip(batch.keys, batch.timestamps, strict=True)
        }
        raised = [
            (at_ms, orjson.loads(value or b"{}"))
            for batch in found.read(f"{log['group']}-alerts")
            for at_ms, value in zip(batch.timestamps, batch.values, strict=True)
        ]
    seconds = delays(appended, raised, since_ms)
    if not seconds:
        raise NoAlertsError(
            f"none of {len(raised)} alerts was raised after the start: the machine is too slow for this"
        )
    return Delays(per_second, seconds)
