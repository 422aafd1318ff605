"""Tasks that are opened on what a group has left behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamguard.core.records import TopicPartition
from streamguard.errors import UnusableError
from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.interface import Committed, Record, Session
from streamguard.worker.tasks import Tasks
from streamguard.worker.topology import Topology, derive, prepare
from tests.worker.helpers import config


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    """One with two input partitions."""
    log = EmbeddedLog(tmp_path / "log.db")
    yield log
    log.close()


@contextmanager
def opened(log: EmbeddedLog, topology: Topology) -> Iterator[tuple[Tasks, Session, frozenset[TopicPartition]]]:
    """A session with its assignment, and tasks that do not know of it yet."""
    session = log.session("g", [topology.inputs, [topology.outcomes]], "w")
    try:
        assigned = session.poll(0).assigned
        assert assigned is not None
        yield Tasks(topology, log), session, assigned
    finally:
        session.close()


def test_partitions_that_were_added_stop_the_worker(log: EmbeddedLog, tmp_path: Path) -> None:
    """They would be joined and not be checked: the number of partitions is part of the results."""
    settings = config(tmp_path)
    prepare(settings, log)
    smaller = derive(settings, source_count=1, target_count=1)
    found = pytest.raises(UnusableError, match=r"more partitions than the 1 that it had at the start")
    with opened(log, smaller) as (tasks, session, assigned), found:
        tasks.assign(session, assigned, {})


def test_outcomes_that_are_gone_before_a_snapshot_are_an_error(log: EmbeddedLog, tmp_path: Path) -> None:
    """Without state, all of them are needed: a state of what is left would be another, without a word."""
    topology = prepare(config(tmp_path), log)
    with opened(log, topology) as (tasks, session, assigned):
        log.append([Record(topology.outcomes, None, b"{}", 0, timestamp_ms=1)] * 3)
        assert session.starts([TopicPartition(topology.outcomes, 0)]) == {TopicPartition(topology.outcomes, 0): 3}
        session.commit([], {TopicPartition(topology.outcomes, 0): Committed(3)})
        with pytest.raises(UnusableError, match=r"offset 0 on are still needed, and retention has removed"):
            tasks.assign(session, assigned, session.committed(assigned))


def test_what_is_read_again_is_written_into_a_snapshot(log: EmbeddedLog, tmp_path: Path) -> None:
    """Else a quiet monitor's state would rest on outcomes that retention removes some day."""
    topology = prepare(config(tmp_path), log)
    with opened(log, topology) as (tasks, session, assigned):
        log.append([Record(topology.outcomes, None, b"not an outcome", 0)])
        tasks.assign(session, assigned, {TopicPartition(topology.outcomes, 0): Committed(1)})
        assert tasks.monitors[0].is_changed


def test_a_group_that_begins_says_where(log: EmbeddedLog, tmp_path: Path) -> None:
    """A first snapshot, before anything has come, tells a beginning from a loss."""
    topology = prepare(config(tmp_path), log)
    with opened(log, topology) as (tasks, session, assigned):
        tasks.assign(session, assigned, {})
        assert tasks.monitors[0].is_changed
