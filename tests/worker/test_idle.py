"""An input is idle when it has been read to its end for long enough, and then it holds nobody back."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest

from streamguard.core.join import Input, JoinTask
from streamguard.core.records import Output, TopicPartition
from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.embedded.session import EmbeddedSession
from streamguard.logs.interface import Record
from streamguard.worker.assigned import AssignedJoin
from streamguard.worker.idle import IdleClock
from streamguard.worker.topology import Topology, prepare
from tests.worker.helpers import config

PAIR = TopicPartition("predictions", 0), TopicPartition("labels", 0)
START_MS = 1_767_571_200_000
AFTER_S = 5


@dataclass
class Setup:
    """A join task with its partitions on an embedded log, and a clock that the test moves."""

    topology: Topology
    log: EmbeddedLog
    session: EmbeddedSession
    idle: IdleClock = field(default_factory=lambda: IdleClock(AFTER_S * 1000))
    now_s: float = 100.0

    def __post_init__(self) -> None:
        self.session.poll(0)
        self.join = AssignedJoin.open(JoinTask(0, self.topology.join), PAIR, {}, dict.fromkeys(PAIR, 0))

    def append(self, topic: str, at_ms: int) -> None:
        """One record more, of this event time."""
        name = {"predictions": "prediction", "labels": "label"}[topic]
        body = {"request_id": f"{topic}-{at_ms}", name: "a", "timestamp": at_ms}
        self.log.append([Record(topic, None, orjson.dumps(body), 0, timestamp_ms=at_ms)])

    def read(self) -> None:
        """Take all that is there."""
        while batches := [each for each in self.session.poll(0).batches if each.source in PAIR]:
            self.join.step(batches)

    def after(self, seconds: float) -> list[Output]:
        """What idleness lets through at that later time."""
        self.now_s += seconds
        return self.idle.advance([self.join], self.session, self.now_s)

    @property
    def clocks(self) -> list[int]:
        """Event time of both inputs, since the start of the story."""
        return [self.join.task.clock_ms(side) - START_MS for side in Input]


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    """Nothing on the inputs yet."""
    settings = config(tmp_path)
    log = EmbeddedLog(tmp_path / "log.db")
    topology = prepare(settings, log)
    session = log.session("g", [topology.inputs], "w")
    yield Setup(topology, log, session)
    session.close()
    log.close()


def test_an_input_that_was_read_to_its_end_follows_the_other(setup: Setup) -> None:
    """Labels that pause for the night must not keep predictions waiting, whose time goes on."""
    setup.append("labels", START_MS)
    setup.append("predictions", START_MS + 10_000)
    setup.read()
    assert setup.after(0) == []
    setup.append("predictions", START_MS + 90_000)
    setup.read()
    assert setup.after(AFTER_S - 1) == []
    assert setup.clocks == [90_000, 0]

    assert setup.after(1) != []
    assert setup.clocks == [90_000, 90_000]


def test_an_input_with_records_left_is_not_idle(setup: Setup) -> None:
    """However long the worker takes to come to them: what lies on the topic is on time."""
    setup.append("labels", START_MS)
    setup.append("predictions", START_MS + 10_000)
    setup.read()
    setup.after(0)
    setup.append("labels", START_MS + 1)
    setup.append("predictions", START_MS + 90_000)

    assert [setup.after(1000), setup.after(1000)] == [[], []]
    assert setup.clocks == [10_000, 0]


def test_a_record_in_between_starts_the_wait_anew(setup: Setup) -> None:
    """Idle is an unbroken silence, not the sum of several."""
    setup.append("labels", START_MS)
    setup.append("predictions", START_MS)
    setup.read()
    setup.after(0)
    for number in range(1, 4):
        setup.append("labels", START_MS + number)
        setup.append("predictions", START_MS + number)
        setup.read()
        assert setup.after(AFTER_S - 1) == []


def test_where_both_are_idle_time_runs_at_the_pace_of_the_clock(setup: Setup) -> None:
    """The last outcomes of the day must come out, and a record that comes a minute later must not be late."""
    setup.append("labels", START_MS + 7000)
    setup.append("predictions", START_MS)
    setup.read()
    setup.after(0)
    assert setup.after(AFTER_S) != []
    assert setup.clocks == [7000, 7000]
    setup.after(60)
    assert setup.clocks == [67_000, 67_000]


def test_a_source_that_never_had_a_record_says_so_once(setup: Setup) -> None:
    """A partition that no producer uses is not waited for, and does not fill the outcomes topic."""
    assert setup.after(0) == []
    (said,) = setup.after(AFTER_S)
    assert orjson.loads(said.value or b"")["idle"] is True
    assert [setup.after(AFTER_S), setup.after(1000)] == [[], []]


def test_a_new_assignment_proves_nothing(setup: Setup) -> None:
    """What was silent for another worker, or before a pause, begins to be silent now."""
    setup.append("labels", START_MS)
    setup.append("predictions", START_MS + 10_000)
    setup.read()
    setup.after(0)
    setup.idle.reset()

    assert setup.after(AFTER_S) == []
    assert setup.after(AFTER_S) != []


def test_never_means_never(setup: Setup) -> None:
    """Whoever sets `join.idle_after: null` gets results in which no clock has a part."""
    setup.idle = IdleClock(None)
    setup.append("labels", START_MS)
    setup.append("predictions", START_MS + 10_000)
    setup.read()

    assert [setup.after(0), setup.after(1_000_000)] == [[], []]
