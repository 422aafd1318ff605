"""What a worker tells of itself through a whole life: in the process, on an embedded log with a hand clock."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import pytest

from streamguard.config import Config
from streamguard.core.records import TopicPartition
from streamguard.errors import CommitLostError, LogError
from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.embedded.session import EmbeddedSession
from streamguard.logs.interface import Committed, Poll, Record
from streamguard.worker.status import Board, Phase, State, Status
from streamguard.worker.watchdog import Limits, StalledError
from streamguard.worker.worker import Clock, Worker
from tests.worker.helpers import HandClock, config, traffic, work, write

STUCK = TopicPartition("predictions", 1)
FEW = 100
"""Records that a poll brings, so that nothing is over in one turn."""


class History(Board):
    """Remembers all that it has shown."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self.shown: list[Status] = []
        super().__init__(now_s)

    @property
    def status(self) -> Status:
        return self.shown[-1]

    @status.setter
    def status(self, status: Status) -> None:
        self.shown.append(status)

    @property
    def states(self) -> list[State]:
        """Without repeats."""
        states = [each.state for each in self.shown]
        return [state for state, before in zip(states, [None, *states], strict=False) if state is not before]


class QuickSession(EmbeddedSession):
    """Does not wait, since the clock is the test's; the group takes a few polls to give an answer, as Kafka's do."""

    early = 3

    def poll(self, timeout_ms: int) -> Poll:  # noqa: ARG002 - the protocol's
        self.early -= 1
        return Poll() if self.early > 0 else super().poll(0)


class StuckSession(QuickSession):
    """Brings nothing of one partition, and does not say so."""

    def poll(self, timeout_ms: int) -> Poll:
        poll = super().poll(timeout_ms)
        if poll.assigned is not None:
            self.pause([STUCK])
        return poll

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        super().resume([each for each in partitions if each != STUCK])


class BreakingSession(QuickSession):
    """Its two hundredth poll fails: the connection broke, once."""

    left = 200

    def poll(self, timeout_ms: int) -> Poll:
        self.left -= 1
        if not self.left:
            raise LogError("the connection broke")
        return super().poll(timeout_ms)


class LeavingSession(QuickSession):
    """After each commit that has begun, its next poll fails: nobody has looked yet how the commit ended."""

    begun = 0
    failed = 0

    def begin(self, records: Sequence[Record], offsets: Mapping[TopicPartition, Committed]) -> None:
        super().begin(records, offsets)
        LeavingSession.begun += 1

    def poll(self, timeout_ms: int) -> Poll:
        if LeavingSession.begun > LeavingSession.failed:
            LeavingSession.failed = LeavingSession.begun
            raise LogError("the connection broke")
        return super().poll(timeout_ms)


class SilentSession(QuickSession):
    """The group never assigns anything."""

    def poll(self, timeout_ms: int) -> Poll:
        super().poll(timeout_ms)
        return Poll()


class FailingSession(QuickSession):
    """Its third commit is lost."""

    left = 3

    def settle(self) -> float:
        self.left -= 1
        if not self.left:
            raise CommitLostError("lost on the way")
        return super().settle()


class Log(EmbeddedLog):
    """One whose sessions are of a kind."""

    def __init__(self, path: Path, kind: type[EmbeddedSession]) -> None:
        super().__init__(path, poll_records_max=FEW)
        self._kind = kind

    def session(
        self, group: str, topic_groups: Sequence[Collection[str]], worker: str, *, whole: bool = False
    ) -> EmbeddedSession:
        assert not whole
        topics = [topic for topics in topic_groups for topic in topics]
        return self._kind(self._path, group, topics, worker, self._limits)


def watch(
    settings: Config,
    kind: type[EmbeddedSession] = QuickSession,
    clock: HandClock | None = None,
    until_s: float | None = None,
) -> History:
    """A worker with this kind of session, until it has read all that is there, or to a time; what it has shown."""
    clock = clock or HandClock(2.0)
    board = History(clock.now_s)
    log = Log(Path(settings.log.path), kind)  # type: ignore[union-attr]
    try:
        worker = Worker(settings, log, "w", Clock(clock.now_s, clock.sleep_s), board)

        def look(_: object) -> None:
            has_read = board.status.state is State.READY and not any(board.status.behind.values())
            if has_read if until_s is None else clock.time_s > until_s:
                worker.stop()
            assert clock.time_s < 10_000, board.status

        worker.run(on_progress=look)
    except BaseException as error:
        error.add_note(" ".join(board.states))
        raise
    finally:
        log.close()
    return board


def counts(status: Status) -> dict[tuple[int, str, str], int]:
    """How records have ended, by partition, input and fate; what waits is not an end."""
    return {
        (join.partition, each.name, fate): count
        for join in status.joins
        for each in join.inputs
        for fate, count in each.counts.items()
        if fate != "waiting"
    }


def test_a_worker_joins_works_and_stops(tmp_path: Path) -> None:
    """It is ready from its assignment on, and what it tells at the end is what it has done."""
    settings = config(tmp_path)
    write(settings, traffic())
    board = watch(settings)
    last = next(status for status in reversed(board.shown) if status.state is State.READY)

    assert board.states == [State.STARTING, State.JOINING, State.READY, State.STOPPING]
    assert board.pulse.phase is Phase.LEAVING
    assert all(len(status.joins) == 2 for status in board.shown if status.state is State.READY)
    assert sum(count for (_, _, fate), count in counts(last).items() if fate == "matched") == 3000
    assert last.behind == {(name, each): 0 for name in ("predictions", "labels") for each in (0, 1)} | {
        ("outcomes", 0): 0
    }
    assert sum(last.progress.commit_buckets) == last.progress.commits == board.status.progress.commits - 1
    assert sum(last.progress.alert_kinds.values()) == last.progress.alerts >= 2
    assert [(each.monitors, each.released + each.held) for each in last.monitors] == [(("m",), 1500)]


def test_a_worker_that_restores_is_not_ready(tmp_path: Path) -> None:
    """What is left shrinks, and counts that are not restored yet are not told."""
    settings = config(tmp_path)
    write(settings, traffic())
    work(settings)
    write(settings, traffic(2000)[3000:])
    restoring = [each for each in watch(settings).shown if each.state is State.RESTORING]
    left = [each.restore_left for each in restoring]

    assert len(left) > 3
    assert left == sorted(left, reverse=True)
    assert left[0] > 500
    assert restoring[0].reason == f"{left[0]:,} offsets are still to be read again"
    assert counts(restoring[0]) == {}
    assert restoring[0].behind["predictions", 0] > 0


def test_a_count_that_was_told_is_never_taken_back(tmp_path: Path) -> None:
    """A scraper would take a smaller one for a new beginning, and count all of it again."""
    settings = config(tmp_path)
    write(settings, traffic())
    board = watch(settings, FailingSession)
    told: dict[tuple[int, str, str], int] = {}
    for status in board.shown:
        for key, count in counts(status).items():
            assert count >= told.get(key, 0)
            told[key] = count

    assert sum(count for (_, _, fate), count in told.items() if fate == "matched") == 3000
    assert board.states.count(State.OUTAGE) == board.status.progress.commit_failures > 1
    assert board.status.progress.sessions_lost == board.status.progress.commit_failures


def test_an_outage_has_its_reason_and_the_loop_ticks_on(tmp_path: Path) -> None:
    """Another worker has the group for a minute; then this one gets it."""
    settings = config(tmp_path)
    write(settings, traffic(100))
    other = EmbeddedLog(tmp_path / "log.db").session("g", [("predictions", "labels")], "other")
    clock, seen = HandClock(0.2), list[tuple[float, Phase]]()
    sleep_s = clock.sleep_s

    def sleep(seconds: float) -> None:
        sleep_s(seconds)
        seen.append((seconds, Phase.WAITING))
        if clock.time_s > 1060:
            other.close()

    clock.sleep_s = sleep  # type: ignore[method-assign]
    board = watch(settings, clock=clock)
    outages = [each for each in board.shown if each.state is State.OUTAGE]

    assert board.states == [State.STARTING, State.OUTAGE, State.JOINING, State.READY, State.STOPPING]
    assert len(outages) == len(seen) > 5
    assert all("'other'" in each.reason or "worker" in each.reason for each in outages)
    assert max(seconds for seconds, _ in seen) < Limits.of(settings).commit_s


def test_a_quiet_worker_loses_sessions_now_and_then(tmp_path: Path) -> None:
    """Without anything to commit, two losses with a long time of peace between them are not one outage."""
    settings = config(tmp_path)
    write(settings, [])
    board = watch(settings, BreakingSession, HandClock(0.5), until_s=5000.0)
    assert board.status.progress.sessions_lost > 4


def test_what_was_committed_is_told_though_the_session_broke(tmp_path: Path) -> None:
    """A commit that goes on while the next poll fails has written what it has written: it is counted once."""
    settings = config(tmp_path)
    write(settings, traffic())
    board = watch(settings, LeavingSession, HandClock(0.01))
    assert LeavingSession.failed > 3
    assert board.status.progress.commits == LeavingSession.begun
    assert board.status.progress.commit_failures == 0


def test_a_group_that_says_nothing_is_an_outage(tmp_path: Path) -> None:
    """A broker that went away after the session was opened is no more there than one that cannot be reached."""
    settings = config(tmp_path)
    write(settings, [])
    board = watch(settings, SilentSession, HandClock(2.0), until_s=3000.0)
    assert board.status.progress.sessions_lost > 4


def test_a_partition_that_stalls_ends_the_worker_at_the_second_time(tmp_path: Path) -> None:
    """The first time another session may mend it; then it must be seen, and started anew."""
    settings = config(tmp_path)
    write(settings, traffic())
    clock = HandClock(0.2)
    with pytest.raises(StalledError, match=r"predictions-1: nothing was read at offset 0 for .* again") as ended:
        watch(settings, StuckSession, clock, until_s=1500.0)

    assert ended.value.exit_code == 3
    assert ended.value.__notes__ == ["starting joining ready outage joining restoring ready"]


def test_a_partition_that_is_held_back_does_not_stall(tmp_path: Path) -> None:
    """It is paused by us, for labels that do not come; that may take longer than any limit."""
    settings = config(tmp_path, join={"after": "10m", "idle_after": None, "max_waiting": 800})
    write(settings, traffic(2000, labelled=False))
    board = watch(settings, clock=HandClock(0.2), until_s=1300.0)

    assert {status.held_back for status in board.shown[-30:-1]} == {("predictions-0", "predictions-1")}
    assert board.status.progress.stalls == 0
