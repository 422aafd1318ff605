"""What is taken for a stall or a hang, and what is not; no test here waits for a clock but the one with a thread."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import structlog
from structlog.testing import capture_logs

from streamguard.config import parse
from streamguard.core.records import TopicPartition
from streamguard.errors import LogError
from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.embedded.session import EmbeddedSession
from streamguard.logs.interface import Record, TopicInfo
from streamguard.worker.status import Phase, Pulse
from streamguard.worker.watchdog import Hangs, Limits, Place, StalledError, Stalls
from tests.worker.helpers import config

PARTITION = TopicPartition("predictions", 0)
OTHER = TopicPartition("labels", 0)


def looks(stalls: Stalls, *places: tuple[int, int], every_s: float = 5.0) -> list[float]:
    """How long the one partition has stood, where that is too long, at looks five seconds apart."""
    found = [
        stalls.suspects({PARTITION: Place(*place)}, 1000.0 + number * every_s) for number, place in enumerate(places)
    ]
    return [each[PARTITION] for each in found if each]


def test_a_partition_that_stands_behind_its_end_is_found_in_time() -> None:
    """Not a look before the limit, and at each look after it."""
    assert looks(Stalls(60_000), *[(7, 9)] * 12) == []
    assert looks(Stalls(60_000), *[(7, 9)] * 14) == [60, 65]


@pytest.mark.parametrize(
    "places",
    [
        [(9, 9)] * 30,  # at its end
        [(at, 1000) for at in range(30)],  # slow, but it moves
        [(7, 9)] * 12 + [(8, 9)] * 12,  # moved just in time
        [(9, 9)] * 20 + [(9, 10)] * 11,  # at its end for long, and behind for a moment
    ],
)
def test_a_partition_that_moves_or_has_nothing_left_is_well(places: list[tuple[int, int]]) -> None:
    """A worker must not be ended for a quiet night, or for being slow."""
    assert looks(Stalls(60_000), *places) == []


def test_what_was_paused_in_between_begins_anew() -> None:
    """A partition that is held back is not read, so that it cannot stall."""
    stalls = Stalls(60_000)
    place = {PARTITION: Place(7, 9)}
    for number in range(12):
        assert stalls.suspects(place, number * 5.0) == {}
    stalls.suspects({OTHER: Place(0, 0)}, 60.0)
    found = [bool(stalls.suspects(place, 65.0 + 5 * number)) for number in range(13)]

    assert found == [False] * 12 + [True]


def test_a_new_assignment_begins_anew() -> None:
    """What stood still while the group was busy with itself is no stall."""
    stalls = Stalls(60_000)
    for number in range(12):
        stalls.suspects({PARTITION: Place(7, 9)}, number * 5.0)
    stalls.reset()

    assert stalls.suspects({PARTITION: Place(7, 9)}, 60.0) == {}


def test_a_worker_that_was_stopped_itself_finds_no_stall() -> None:
    """After SIGSTOP and SIGCONT nothing has moved, since nobody read."""
    stalls = Stalls(60_000)
    stalls.suspects({PARTITION: Place(7, 9)}, 0.0)

    assert stalls.suspects({PARTITION: Place(7, 9)}, 1000.0) == {}


def test_never_is_never() -> None:
    """Whoever sets `watchdog.stalled_after: null` has decided so."""
    assert looks(Stalls(None), *[(7, 9)] * 1000) == []


@pytest.fixture
def session(tmp_path: Path) -> Iterator[EmbeddedSession]:
    """A member of a group whose partition has three records."""
    structlog.reset_defaults()
    log = EmbeddedLog(tmp_path / "log.db")
    log.create(TopicInfo(PARTITION.topic, 1))
    log.append([Record(PARTITION.topic, b"k", b"v", 0)] * 3)
    opened = log.session("g", [[PARTITION.topic]], "w")
    opened.poll(0)
    yield opened
    opened.close()
    log.close()


def check(stalls: Stalls, session: EmbeddedSession, place: Place, from_s: float) -> None:
    """Look for a minute."""
    for number in range(13):
        stalls.check(session, {PARTITION: place}, from_s + 5 * number)


def test_a_stall_loses_the_session_and_a_second_one_the_worker(session: EmbeddedSession) -> None:
    """A new client mends most stalls; where it does not, somebody must look."""
    stalls = Stalls(60_000)
    with capture_logs() as said:
        with pytest.raises(LogError, match=r"predictions-0: nothing was read at offset 0 for 60 s.* up to 3") as first:
            check(stalls, session, Place(0, 3), 0)
        stalls.reset()
        with pytest.raises(StalledError, match="again after joining anew"):
            check(stalls, session, Place(0, 3), 100)

    assert not isinstance(first.value, StalledError)
    assert stalls.count == 2
    assert [(each["event"], each["partition"], each["position"], each["end"]) for each in said] == [
        ("consumer_stalled", "predictions-0", 0, 3)
    ] * 2


def test_a_stall_elsewhere_is_a_first_one(session: EmbeddedSession) -> None:
    """The worker went on from the last one, so that joining anew did help."""
    stalls = Stalls(60_000)
    with pytest.raises(LogError):
        check(stalls, session, Place(0, 3), 0)
    stalls.reset()
    session.seek(PARTITION, 2)
    with pytest.raises(LogError) as second:
        check(stalls, session, Place(2, 3), 100)

    assert not isinstance(second.value, StalledError)


def test_an_open_transaction_is_no_stall(session: EmbeddedSession) -> None:
    """The partition goes on, but there is nothing to read yet; nor is a gap at its end."""
    session.seek(PARTITION, 3)
    stalls = Stalls(60_000)
    check(stalls, session, Place(3, 4), 0)
    check(stalls, session, Place(2, 4), 100)

    assert stalls.count == 0


LIMITS = Limits(commit_s=60, hung_s=300)


def first_overdue_s(phase: Phase, seconds: range, limits: Limits = LIMITS) -> float | None:
    """When a phase is found to last too long, looked at at these seconds."""
    hangs = Hangs(limits)
    found = (hangs.overdue_s(Pulse(phase, 0.0), float(each)) for each in seconds)
    return next((each for each in found if each is not None), None)


@pytest.mark.parametrize(
    ("phase", "limit_s"), [(Phase.COMMITTING, 61), *((each, 301) for each in Phase if each != "committing")]
)
def test_each_phase_has_its_limit(phase: Phase, limit_s: int) -> None:
    """A commit is over when the broker has aborted it; anything else may take a while."""
    assert first_overdue_s(phase, range(limit_s)) is None
    assert first_overdue_s(phase, range(limit_s + 1)) == limit_s


def test_a_loop_that_turns_is_never_overdue() -> None:
    """The same phase again, entered anew, is a sign of life."""
    hangs = Hangs(LIMITS)

    assert not any(hangs.overdue_s(Pulse(Phase.COMMITTING, at_s // 50 * 50), at_s) for at_s in range(1000))


def test_a_process_that_was_stopped_gets_its_time_back() -> None:
    """After SIGCONT the commit may still succeed, and the loop has not had its chance."""
    assert first_overdue_s(Phase.COMMITTING, range(0, 10_000, 1000)) is None


def test_a_hang_may_be_ignored_but_a_commit_is_not() -> None:
    """`watchdog.hung_after: null` is for debuggers."""
    limits = Limits(commit_s=60, hung_s=None)

    assert first_overdue_s(Phase.WORKING, range(10_000), limits) is None
    assert first_overdue_s(Phase.COMMITTING, range(10_000), limits) == 61


def test_limits_follow_from_the_settings(tmp_path: Path) -> None:
    """A broker aborts a transaction at its timeout, and the client has given up before."""
    kafka = config(tmp_path, watchdog={"hung_after": "2m"}).model_dump(mode="json", by_alias=True)
    kafka["log"] = {"kind": "kafka", "group": "g", "transaction_timeout": "30s"}

    assert Limits.of(parse(kafka)) == Limits(80, 120)
    assert Limits.of(config(tmp_path)) == Limits(60, 300)


@pytest.mark.parametrize(
    ("phase", "limit_s"), [(Phase.POLLING, 60), (Phase.COMMITTING, 60), (Phase.JOINING, 300), (Phase.ASSIGNING, 300)]
)
def test_the_loop_is_alive_while_it_ticks(phase: Phase, limit_s: int) -> None:
    """Opening a session and its tasks may wait for a broker that is away; that is no reason for a restart."""
    assert LIMITS.is_alive(Pulse(phase, 0.0), limit_s)
    assert not LIMITS.is_alive(Pulse(phase, 0.0), limit_s + 1)


HANGING = """
import os, time
from streamguard.worker.status import Board, Phase
from streamguard.worker.telemetry import configure_logging
from streamguard.worker.watchdog import Limits, watched

configure_logging("info")
board = Board(time.monotonic)
with watched(board, Limits(commit_s=0.2, hung_s=None), os._exit, check_s=0.05):
    time.sleep(0.5)
    board.enter(Phase.COMMITTING)
    time.sleep(60)
"""


def test_a_process_whose_commit_hangs_ends_itself() -> None:
    """With exit code 3, a line that names the event, and where the loop stood."""
    done = subprocess.run(
        [sys.executable, "-c", HANGING], capture_output=True, text=True, check=False, timeout=50, env=os.environ
    )
    (line,) = done.stderr.splitlines()
    said = orjson.loads(line)

    assert done.returncode == 3
    assert (said["event"], said["phase"], said["level"]) == ("commit_overdue", "committing", "error")
    assert said["stack"][-1].startswith("<string>:")
