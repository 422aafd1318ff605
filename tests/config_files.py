"""Configurations that tests start from, and what is said about a wrong one."""

from pathlib import Path

import pytest

from streamguard.config import load
from streamguard.errors import ConfigError

SMALL = """\
log: {kind: kafka, group: fraud-monitor}
join: {after: 2h}
monitors:
  - name: fraud
    threshold: {max_mismatch_percent: 8}
"""

FULL = """\
log:
  kind: kafka
  bootstrap_servers: a:9092, b:9093
  group: fraud-monitor
  worker: fraud-0
  create_topics: false
  replication_factor: 3
  session_timeout: 20s
  transaction_timeout: 5s
  security: {protocol: SASL_SSL, sasl: {mechanism: SCRAM-SHA-512, username: us, password: hunter2}}
predictions:
  topic: answers
  fields: {request_id: meta.id, value: {path: out.class, type: int}, time: at, score: out.p, version: null}
labels: {topic: truth, fields: {request_id: id, value: {path: class, type: int}}}
join: {before: 1m, after: 7d, disorder: 1h30m, max_ahead: 5m, idle_after: null, max_waiting: 10}
monitors:
  - name: by country
    match: {country: NO, channel: 3, live: true}
    split_by: [version, meta.region]
    loss: brier
    positive: "1"
    severity: warning
    detectors: [{type: adwin, delta: 1e-3}]
  - {name: all, threshold: {max_mismatch_percent: 8, window: 6h, cooldown: 30m}}
outcomes: {topic: joined, partitions: 12}
alerts: {topic: alarms, cooldown: 10m}
rejected: {topic: letters}
state: {topic: snapshots, every: 10s}
limits: {record_bytes: 1000, request_id_chars: 36}
logging: {level: debug}
http: {host: "::1", port: 8080}
watchdog: {stalled_after: 90s, hung_after: null}
"""


def write(directory: Path, text: str) -> Path:
    """Write a file and return its path."""
    path = directory / "streamguard.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(path: Path) -> list[str]:
    """What is said about the file, a line for each problem, without the directory."""
    with pytest.raises(ConfigError) as caught:
        load(path)
    return str(caught.value).replace(f"{path.parent}/", "").splitlines()


def only_problem(path: Path) -> str:
    """What is said about a file in which one thing is wrong."""
    (problem,) = problems(path)
    return problem


def secured(sasl: str) -> str:
    """A configuration with the given SASL section."""
    security = f"security: {{protocol: SASL_SSL, sasl: {{mechanism: PLAIN, username: us, {sasl}}}}}"
    return SMALL.replace("kind: kafka", f"kind: kafka, {security}")
