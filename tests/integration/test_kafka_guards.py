"""A session under what trips kafka-python's transactions: nothing is lost, doubled, or put down to another worker.

Most of it trips librdkafka's as well, so that both clients are tried.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from streamguard.core.records import TopicPartition
from streamguard.errors import CommitLostError, FencedError, LogError
from streamguard.logs.interface import Committed, Record, Session, TopicInfo
from streamguard.logs.kafka import KafkaSession, options
from tests.integration.conftest import CLIENTS
from tests.integration.proxy import (
    ADD_OFFSETS,
    ADD_PARTITIONS,
    END_TXN,
    HEARTBEAT,
    INIT_PRODUCER_ID,
    JOIN_GROUP,
    PRODUCE,
    TXN_OFFSET_COMMIT,
)
from tests.integration.transactions import MARKS, TIMEOUT_S, Call, Place, place, proxied, wait_until

__all__ = ["place", "proxied"]

pytestmark = MARKS

BOTH = pytest.mark.parametrize("client", CLIENTS)

EXPIRED_S = TIMEOUT_S + 1.5
"""After so long the coordinator has aborted a transaction that is still open."""


class Stalling(list[Record]):
    """Records, after the first of which the process hangs."""

    def __iter__(self) -> Iterator[Record]:
        yield self[0]
        time.sleep(EXPIRED_S)
        yield from self[1:]


class Worker:
    """One that writes a record for each offset it has read, and begins anew where a commit was lost."""

    def __init__(self, place: Place, name: str = "worker", *, direct: bool = False) -> None:
        self._place, self._name = place, name
        self._log = place.open(name, bootstrap=place.direct if direct else None)
        self._source = TopicPartition(f"{place.name}-in", 0)
        if not self._log.topics([self._source.topic]):
            self._log.create(TopicInfo(self._source.topic, partitions=1))
            self._log.append([Record(self._source.topic, None, b"") for _ in range(10)])
        self.begin()

    def begin(self) -> None:
        """Join, and take the position from what is committed."""
        self.session: Session = self._log.session(self._place.name, [(self._source.topic,)], self._name)
        self._place.stack.callback(self.session.close)
        wait_until(lambda: self.session.poll(50).assigned is not None)

    @property
    def position(self) -> int:
        """What the group has committed."""
        found = self.session.committed([self._source])
        return found[self._source].offset if found else 0

    def commit(self, kind: Callable[[Sequence[Record]], Sequence[Record]] = list, count: int = 1) -> None:
        """So many offsets more, in one transaction."""
        at = self.position
        records = [Record(self._place.name, None, b"%d" % (at + each), partition=0) for each in range(count)]
        self.session.commit(kind(records), {self._source: Committed(at + count)})

    def go_on(self) -> None:
        """After a lost commit, as often as one is lost."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                self.session.close()
                self.begin()
                self.commit()
            except CommitLostError:
                continue
            return
        pytest.fail("no commit came through")

    def check(self) -> None:
        """Each offset that is committed has its record, once."""
        assert self._place.visible() == [b"%d" % each for each in range(self.position)]
        assert self.position > 0


@pytest.fixture
def worker(place: Place) -> Worker:
    """One that has committed once."""
    worker = Worker(place)
    worker.commit()
    return worker


@BOTH
def test_hangs_in_the_middle_of_a_commit(worker: Worker) -> None:
    """The coordinator has given the transaction up: nobody took the worker's name, and nothing was committed."""
    with pytest.raises(CommitLostError):
        worker.commit(Stalling, count=2)
    assert worker.position == 1
    worker.go_on()
    worker.check()


@BOTH
def test_asks_too_late_for_the_commit(worker: Worker, place: Place) -> None:
    """The transaction timed out while the request was on its way."""
    place.proxy.delay(EXPIRED_S, END_TXN)
    with pytest.raises(CommitLostError):
        worker.commit()
    place.proxy.heal()
    worker.go_on()
    worker.check()


def test_a_record_is_not_delivered_in_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of its transaction is not committed either; and no thread of the producer's stays behind."""
    ours = options.producer
    soon = {"request_timeout_ms": 600, "delivery_timeout_ms": 1000}
    monkeypatch.setattr(options, "producer", lambda settings: ours(settings) | soon)
    worker = Worker(place)
    worker.commit()
    before = senders()
    place.proxy.drop(1.0, PRODUCE, only="request")
    with pytest.raises(CommitLostError):
        worker.commit()
    worker.session.close()
    wait_until(lambda: len(senders()) < len(before))
    place.proxy.heal()
    worker.go_on()
    worker.check()


@BOTH
def test_is_put_out_of_the_group(worker: Worker, place: Place) -> None:
    """Its commit is refused, and what it meant to commit does not come with its next."""
    place.proxy.drop(1.0, HEARTBEAT, only="request")
    successor = Worker(place, "successor", direct=True)
    successor.commit()
    with pytest.raises(CommitLostError):
        worker.commit()
    place.proxy.heal()
    assert successor.position == 2
    successor.check()


@BOTH
@pytest.mark.parametrize("api", [END_TXN, TXN_OFFSET_COMMIT], ids=["commit", "offsets"])
def test_a_copy_arrives_in_the_next_transaction(worker: Worker, place: Place, api: int) -> None:
    """It neither commits the half of it nor moves its offsets."""
    place.proxy.duplicate_after_reset(api, 0.7)
    worker.commit()
    # So that the next transaction is open, its offsets are sent, and its record is not, when the copy comes.
    place.proxy.delay(1.2, PRODUCE)
    worker.commit()
    assert place.proxy.counts["duplicate_after_reset"] == 1
    assert worker.position == 3
    worker.check()


@BOTH
@pytest.mark.parametrize("api", [ADD_PARTITIONS, ADD_OFFSETS], ids=["partitions", "offsets"])
def test_a_copy_opens_a_transaction(worker: Worker, place: Place, api: int) -> None:
    """It has no effect, so it cannot time out either."""
    place.proxy.duplicate_after_reset(api, 0.3)
    worker.commit()
    place.wait_for_duplicate()
    time.sleep(EXPIRED_S)
    worker.commit()
    assert worker.position == 3
    worker.check()


@BOTH
@pytest.mark.parametrize("api", [INIT_PRODUCER_ID, JOIN_GROUP], ids=["producer", "member"])
def test_displaces_itself(worker: Worker, place: Place, api: int) -> None:
    """A copy of its own beginning comes late, and nobody took its name: it begins anew."""
    worker.session.close()
    place.proxy.duplicate_after_reset(api, 1.5)
    worker.begin()
    place.wait_for_duplicate()
    with pytest.raises(CommitLostError):
        worker.commit()
    worker.go_on()
    worker.check()


@BOTH
def test_another_takes_its_name(worker: Worker, place: Place) -> None:
    """The former commits nothing any more, the latter goes on."""
    successor = Worker(place)
    with pytest.raises(LogError):
        worker.commit()
    successor.commit()
    assert successor.position == 2
    successor.check()


def test_a_group_comes_to_rest(place: Place) -> None:
    """T9: members that poll briefly, with other work between, need a generation for each that joins, and no more."""
    log = place.open("worker")
    log.create(TopicInfo(f"{place.name}-in", partitions=8))
    sessions: list[KafkaSession] = []
    for number in range(4):
        opened = place.open(f"worker-{number}").session(place.name, [(f"{place.name}-in",)], f"worker-{number}")
        assert isinstance(opened, KafkaSession)
        place.stack.callback(opened.close)
        sessions.append(opened)
        given = dict.fromkeys(range(len(sessions)), 0)

        def is_shared_out(given: dict[int, int] = given) -> bool:
            for index, session in enumerate(sessions):
                poll = session.poll(20)
                given[index] = given[index] if poll.assigned is None else len(poll.assigned)
            return sum(given.values()) == 8 and min(given.values()) > 0

        wait_until(is_shared_out, 30)
    assert sessions[-1]._metadata.generation_id <= len(sessions) + 1


@BOTH
def test_another_takes_its_name_while_nothing_comes(worker: Worker, place: Place) -> None:
    """The client knows by its heartbeat, and says nothing: an idle worker must not go on as if it were a member."""
    successor = Worker(place)

    def is_fenced() -> bool:
        try:
            worker.session.poll(50)
        except FencedError:
            return True
        return False

    wait_until(is_fenced)
    successor.commit()
    assert successor.position == 2


@BOTH
def test_the_broker_is_away_during_a_commit(worker: Worker, place: Place) -> None:
    """The session gives up not long after the transaction is lost, and a new one goes on."""
    target, place.proxy.target_port = place.proxy.target_port, 1
    place.proxy.reset_all()
    time.sleep(0.3)
    commit = Call(lambda: worker.session.commit([Record(place.name, None, b"lost", partition=0)], {}))
    time.sleep(1)
    place.proxy.target_port = target
    assert commit.has_returned(within_s=TIMEOUT_S + 5)
    if commit.error is None:
        # It came through after all.
        assert place.visible() == [b"0", b"lost"]
    else:
        assert isinstance(commit.error, CommitLostError)
        worker.go_on()
        worker.check()


def senders() -> list[threading.Thread]:
    """The threads of producers."""
    return [each for each in threading.enumerate() if each.name.endswith("network-thread")]
