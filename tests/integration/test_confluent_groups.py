"""Groups of workers on confluent-kafka: which ones cannot be, and that a worker may change its client."""

import time

import pytest

from streamguard.core.records import TopicPartition
from streamguard.errors import CommitLostError, FencedError, LogError, UnusableError
from streamguard.logs.interface import Committed, Record, Session, TopicInfo
from tests.integration.transactions import MARKS, Place, place, proxied, wait_until
from tests.logs.helpers import PATIENCE_S, numbered, take, values

__all__ = ["client", "place", "proxied"]

pytestmark = MARKS


@pytest.fixture
def client() -> str:
    """Of all that does not say otherwise."""
    return "confluent"


def poll_until_refused(session: Session) -> LogError:
    """What it raises in the end."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            session.poll(100)
        except LogError as error:
            return error
    pytest.fail(f"not refused within {PATIENCE_S} s")


def test_two_clients_cannot_be_in_one_group(place: Place) -> None:
    """They share out partitions in different ways; whoever comes second is told what to change."""
    first = place.open("first", client="kafka-python").session(place.name, [[place.name]], "first")
    place.stack.callback(first.close)
    wait_until(lambda: first.poll(50).assigned is not None)
    second = place.open("second").session(place.name, [[place.name]], "second")
    place.stack.callback(second.close)
    refused = poll_until_refused(second)
    assert "all workers of a group must use one log.client" in str(refused)
    # The other may be about to end: somebody else's stop is waited for.
    assert not isinstance(refused, UnusableError)


def test_a_worker_that_changes_its_client_fences_its_former_self(place: Place) -> None:
    """It has the same transactional ID; what the former has not committed is lost, and the group goes on."""
    source = TopicPartition(place.name, 0)
    place.log.append(numbered(place.name, 5))
    former = place.open("worker", client="kafka-python").session(place.name, [[place.name]], "worker")
    place.stack.callback(former.close)
    wait_until(lambda: former.poll(50).assigned is not None)
    take(former, 5)
    former.commit([], {source: Committed(2)})
    successor = place.open("worker").session(place.name, [[place.name]], "worker")
    place.stack.callback(successor.close)
    with pytest.raises(CommitLostError) as caught:
        former.commit([Record(place.name, None, b"too late", partition=1)], {source: Committed(5)})
    assert isinstance(caught.value, FencedError)
    former.close()
    successor.close()

    def joined() -> bool:
        nonlocal successor
        try:
            return successor.poll(100).assigned is not None
        except LogError:
            # Until the former's session has timed out, its place in the group is kept.
            successor.close()
            successor = place.open("worker").session(place.name, [[place.name]], "worker")
            place.stack.callback(successor.close)
            return False

    successor = place.open("worker").session(place.name, [[place.name]], "worker")
    wait_until(joined, PATIENCE_S)
    assert values(take(successor, 3)) == [b"2", b"3", b"4"]


def test_topics_that_are_read_together_need_one_count(place: Place) -> None:
    """Else partitions of one number would be at two workers: nothing is read of either."""
    wider = f"{place.name}-wider"
    place.log.create(TopicInfo(wider, partitions=3))
    session = place.open("worker").session(place.name, [[place.name, wider]], "worker")
    place.stack.callback(session.close)
    refused = poll_until_refused(session)
    assert isinstance(refused, UnusableError)
    assert f"{place.name!r} 2, {wider!r} 3" in str(refused)


def test_partitions_of_one_number_go_to_one_member(place: Place) -> None:
    """Of both topics, whoever comes and goes."""
    other = f"{place.name}-other"
    place.log.create(TopicInfo(other, partitions=2))
    sessions: list[Session] = []
    numbers: dict[int, set[int]] = {}
    for name in ("a", "b"):
        session = place.open(name).session(place.name, [[place.name, other]], name)
        place.stack.callback(session.close)
        sessions.append(session)
        numbers.clear()

        def is_shared_out() -> bool:
            for index, each in enumerate(sessions):
                given = each.poll(20).assigned
                if given is not None:
                    assert {part.partition for part in given if part.topic == other} == {
                        part.partition for part in given if part.topic == place.name
                    }
                    numbers[index] = {part.partition for part in given}
            return len(numbers) == len(sessions) and sum(map(len, numbers.values())) == 2

        wait_until(is_shared_out, PATIENCE_S)
    assert sorted(map(sorted, numbers.values())) == [[0], [1]]


def test_what_retention_has_deleted_is_an_error(place: Place) -> None:
    """Not a gap: where records were removed before they were read, somebody must decide."""
    session = place.open("worker").session(place.name, [[place.name]], "worker")
    place.stack.callback(session.close)
    wait_until(lambda: session.poll(50).assigned is not None)
    session.seek(TopicPartition(place.name, 0), 1_000)
    refused = poll_until_refused(session)
    assert isinstance(refused, UnusableError)
    assert "raise retention.ms of the topic" in str(refused)
