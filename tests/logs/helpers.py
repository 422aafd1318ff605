"""What tests of any log build and wait for."""

import time
from collections.abc import Iterable
from uuid import uuid4

import pytest

from streamguard.core.records import Batch
from streamguard.logs.interface import Log, Record, Session, TopicInfo

# A real broker needs seconds for a group's first assignment, an embedded log needs none.
PATIENCE_S = 30
METADATA = "é" + "m" * 3_998


def make_topic(log: Log, partitions: int = 1, *, compacted: bool = False) -> str:
    """A new topic's name."""
    name = f"topic-{uuid4().hex[:12]}"
    log.create(TopicInfo(name, partitions, compacted=compacted))
    return name


def join(log: Log, group: str, *topics: str) -> Session:
    """A session that has its assignment."""
    session = log.session(group, [topics], "worker-0")
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        poll = session.poll(200)
        assert not poll.batches
        if poll.assigned is not None:
            return session
    pytest.fail(f"no assignment within {PATIENCE_S} s")


def take(session: Session, count: int) -> list[Batch]:
    """Batches of `count` records in all."""
    batches: list[Batch] = []
    deadline = time.monotonic() + PATIENCE_S
    while sum(map(len, batches)) < count and time.monotonic() < deadline:
        batches += session.poll(200).batches
    assert sum(map(len, batches)) == count
    return batches


def values(batches: Iterable[Batch]) -> list[bytes | None]:
    """The values of all batches, in the order they came."""
    return [value for batch in batches for value in batch.values]


def numbered(topic: str, count: int, first: int = 0) -> list[Record]:
    """Records of partition 0 that say their own number."""
    return [Record(topic, b"k", b"%d" % number, 0) for number in range(first, first + count)]
