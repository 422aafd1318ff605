"""Configurations and findings, for checks that are tried with made-up facts."""

from collections.abc import Iterable, Mapping
from typing import Any

from streamguard.config import Config, parse
from streamguard.doctor.facts import Partition, Topic
from streamguard.doctor.finding import Finding

BASE: dict[str, Any] = {
    "log": {"kind": "kafka", "group": "g"},
    "join": {"after": "2h"},
    "monitors": [{"name": "fraud", "threshold": {"max_mismatch_percent": 8}}],
}
ALL = frozenset({"READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS", "CREATE"})


def config(**sections: Any) -> Config:
    """A legal one; a section's settings are added to what is there."""
    data = dict(BASE)
    for name, settings in sections.items():
        data[name] = data.get(name, {}) | settings if isinstance(settings, dict) else settings
    return parse(data)


def codes(found: Iterable[Finding]) -> list[str]:
    """In their order."""
    return [each.code for each in found]


def topic(
    name: str,
    partitions: int = 4,
    settings: Mapping[str, str] | None = None,
    *,
    replicas: int = 3,
    in_sync: int = 3,
    leader: int = 1,
) -> Topic:
    """One that exists, and as it should be."""
    usual = {"cleanup.policy": "delete", "retention.ms": "604800000", "max.message.bytes": "1048588"}
    return Topic(
        name,
        exists=True,
        partitions=tuple(Partition(number, leader, replicas, in_sync) for number in range(partitions)),
        settings=usual | dict(settings or {}),
        operations=ALL,
    )


def topics(**settings: Mapping[str, str]) -> dict[str, Topic]:
    """All topics of `config()`, by role with other settings."""
    wanted = config()
    state = {"cleanup.policy": "compact", "max.message.bytes": "9000000"}
    counts = {"outcomes": 1, "state": 1, "alerts": 1}
    return {
        name: topic(name, counts.get(role, 4), (state if role == "state" else {}) | dict(settings.get(role, {})))
        for role, name in wanted.topics.items()
    }
