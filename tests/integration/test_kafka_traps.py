"""What kafka-python's transactions get wrong with a real broker, and our guards are for.

Each test holds as long as the client has the fault. One that fails tells that a release has mended it: the guard
named in it may go then.
"""

import signal
import time
from typing import Any

import pytest
from kafka import errors

from tests.integration.proxy import (
    ADD_OFFSETS,
    ADD_PARTITIONS,
    END_TXN,
    INIT_PRODUCER_ID,
    JOIN_GROUP,
    PRODUCE,
    TXN_OFFSET_COMMIT,
)
from tests.integration.transactions import (
    MARKS,
    REQUEST_S,
    TIMEOUT_S,
    Call,
    Place,
    end_waits,
    place,
    proxied,
    wait_until,
)
from tests.stopping import stop

__all__ = ["place", "proxied"]

pytestmark = MARKS

EXPIRED_S = TIMEOUT_S + 1.5
"""After so long the coordinator has aborted a transaction that is still open."""


class TestFailuresThatLookLikeSuccess:
    """`commit_transaction` returns, and records are missing. Guard: look at every future, before and after."""

    def test_a_transaction_that_timed_out_is_committed(self, place: Place) -> None:
        """T1: a batch that is refused while the commit waits for it ends the wait: neither record is there."""
        producer = place.producer()
        producer.begin_transaction()
        first = producer.send(place.name, b"first", partition=0)
        producer.flush()
        time.sleep(EXPIRED_S)
        second = producer.send(place.name, b"second", partition=0)
        producer.commit_transaction()
        assert first.succeeded()
        assert isinstance(second.exception, errors.InvalidProducerEpochError)
        assert place.visible() == []

    @pytest.mark.parametrize("request_s", [1.4, 0.6], ids=["sent once", "sent again"])
    def test_a_record_that_expired_is_left_out(self, place: Place, request_s: float) -> None:
        """T2: what was not delivered in time is missing in a transaction that is committed all the same."""
        producer = place.producer(request_timeout_ms=int(request_s * 1000), transaction_timeout_ms=10_000)
        producer.begin_transaction()
        producer.send(place.name, b"delivered", partition=0)
        producer.flush()
        place.proxy.drop(1.0, PRODUCE, only="request")
        lost = producer.send(place.name, b"lost", partition=1)
        producer.commit_transaction()
        place.proxy.heal()
        assert isinstance(lost.exception, errors.KafkaTimeoutError)
        assert place.visible() == [b"delivered"]


class TestOffsetsThatMoveBack:
    """The group's offset ends below one that was committed: records are read twice."""

    def test_offsets_that_were_refused_are_committed_with_the_next(self, place: Place) -> None:
        """T3: under the next generation, although the partition is another's. Guard: a new producer after failure."""
        producer = place.producer()
        member = place.member(max_poll_interval_ms=1000)
        former = member.group_metadata()
        wait_until(lambda: member.group_metadata().generation_id < 0)
        wait_until(lambda: member.poll(50) is not None and member.group_metadata().generation_id > 0)
        other = place.producer(transactional_id=f"{place.name}-other")
        other.begin_transaction()
        other.send_offsets_to_transaction(place.offsets({0: 200}), place.outsider())
        other.commit_transaction()

        producer.begin_transaction()
        with pytest.raises(errors.CommitFailedError):
            producer.send_offsets_to_transaction(place.offsets({0: 100}), former)
        producer.abort_transaction()
        producer.begin_transaction()
        producer.send_offsets_to_transaction(place.offsets({1: 7}), member.group_metadata())
        producer.commit_transaction()
        assert (place.committed(0), place.committed(1)) == (100, 7)

    def test_a_member_that_was_put_out_is_not_fenced(self, place: Place) -> None:
        """T4: its metadata forget that it ever was one, and what no member commits the broker takes."""
        member = place.member(max_poll_interval_ms=1000)
        held = member.group_metadata()
        wait_until(lambda: member.group_metadata().generation_id < 0)
        producer = place.producer()
        producer.begin_transaction()
        with pytest.raises(errors.CommitFailedError):
            producer.send_offsets_to_transaction(place.offsets({0: 100}), held)
        producer.abort_transaction()

        again = place.producer()
        again.begin_transaction()
        again.send_offsets_to_transaction(place.offsets({0: 100}), member.group_metadata())
        again.commit_transaction()
        assert place.committed(0) == 100

    def test_a_static_member_that_was_put_out_is_fenced(self, place: Place) -> None:
        """Not so with an instance ID: then the broker does look."""
        member = place.member(max_poll_interval_ms=1000, group_instance_id="worker")
        wait_until(lambda: member.group_metadata().generation_id < 0)
        producer = place.producer()
        producer.begin_transaction()
        with pytest.raises(errors.FencedInstanceIdError):
            producer.send_offsets_to_transaction(place.offsets({0: 100}), member.group_metadata())

    def test_a_late_copy_is_taken_for_the_next_transactions(self, place: Place) -> None:
        """The client sends offsets again after a reset; the first copy comes late, and overwrites newer ones."""
        producer = place.producer(transaction_timeout_ms=10_000)
        place.proxy.duplicate_after_reset(TXN_OFFSET_COMMIT, 0.4)
        producer.begin_transaction()
        producer.send_offsets_to_transaction(place.offsets({0: 100}), place.outsider())
        producer.commit_transaction()
        producer.begin_transaction()
        producer.send_offsets_to_transaction(place.offsets({0: 200}), place.outsider())
        place.wait_for_duplicate()
        producer.commit_transaction()
        assert place.committed(0) == 100


class TestLateCopies:
    """A connection breaks, the client sends again, and the first copy arrives in a later transaction.

    Guard: a new producer, whose epoch fences the copy, after a commit in which a request was lost.
    """

    def test_a_late_commit_ends_the_next_transaction(self, place: Place) -> None:
        """T7: what was sent of it so far is visible at once, and an abort comes too late."""
        producer = place.producer(transaction_timeout_ms=10_000)
        place.proxy.duplicate_after_reset(END_TXN, 0.4)
        self._commit(place, producer, b"first")
        producer.begin_transaction()
        producer.send(place.name, b"half", partition=0)
        producer.flush()
        assert place.visible() == [b"first"]
        place.wait_for_duplicate()
        assert place.visible() == [b"first", b"half"]
        with pytest.raises(errors.InvalidTxnStateError):
            producer.abort_transaction()

    def test_the_epoch_of_a_new_producer_fences_it(self, place: Place) -> None:
        """The guard: what is late was sent under the former epoch."""
        place.proxy.duplicate_after_reset(END_TXN, 0.4)
        self._commit(place, place.producer(transaction_timeout_ms=10_000), b"first")
        producer = place.producer(transaction_timeout_ms=10_000)
        producer.begin_transaction()
        producer.send(place.name, b"second", partition=0)
        producer.flush()
        place.wait_for_duplicate()
        assert place.visible() == [b"first"]
        producer.commit_transaction()
        assert place.visible() == [b"first", b"second"]

    @pytest.mark.parametrize("api", [ADD_PARTITIONS, ADD_OFFSETS], ids=["partitions", "offsets"])
    def test_a_late_addition_opens_a_transaction_that_times_out(self, place: Place, api: int) -> None:
        """The producer knows nothing of it, and is fenced as if another had taken its name."""
        producer = place.producer()
        place.proxy.duplicate_after_reset(api, 0.3)
        self._commit(place, producer, b"first")
        place.wait_for_duplicate()
        time.sleep(EXPIRED_S)
        producer.begin_transaction()
        refused = producer.send(place.name, b"second", partition=0)
        producer.flush()
        assert isinstance(refused.exception, errors.ProducerFencedError)

    def test_a_late_beginning_fences_its_own_producer(self, place: Place) -> None:
        """Nobody took its name. Guard: being fenced once is no proof that somebody did."""
        place.proxy.duplicate_after_reset(INIT_PRODUCER_ID, 0.3)
        producer = place.producer(transaction_timeout_ms=10_000)
        place.wait_for_duplicate()
        producer.begin_transaction()
        refused = producer.send(place.name, b"first", partition=0)
        producer.flush()
        assert isinstance(refused.exception, errors.ProducerFencedError)

    def test_a_late_batch_does_no_harm(self, place: Place) -> None:
        """Its sequence number tells."""
        producer = place.producer(transaction_timeout_ms=10_000)
        place.proxy.duplicate_after_reset(PRODUCE, 0.4)
        self._commit(place, producer, b"first")
        producer.begin_transaction()
        producer.send(place.name, b"second", partition=0)
        producer.flush()
        place.wait_for_duplicate()
        producer.commit_transaction()
        assert place.visible() == [b"first", b"second"]

    @staticmethod
    def _commit(place: Place, producer: Any, value: bytes) -> None:
        producer.begin_transaction()
        producer.send(place.name, value, partition=0)
        producer.send_offsets_to_transaction(place.offsets({0: 1}), place.outsider())
        producer.commit_transaction()


class TestWhoHasTakenOver:
    """Whether another has this worker's name is hard to tell."""

    def test_a_timeout_looks_like_a_takeover(self, place: Place) -> None:
        """T8: the coordinator raises the epoch when it aborts. Guard: nothing else, sooner than the timeout, does."""
        producer = place.producer()
        producer.begin_transaction()
        producer.send(place.name, b"value", partition=0)
        producer.flush()
        time.sleep(EXPIRED_S)
        with pytest.raises(errors.ProducerFencedError):
            producer.commit_transaction()

        former = place.producer(transaction_timeout_ms=10_000)
        former.begin_transaction()
        former.send(place.name, b"value", partition=0)
        former.flush()
        place.producer()
        with pytest.raises(errors.ProducerFencedError):
            former.commit_transaction()
        assert place.visible() == []

    def test_a_zombie_does_not_take_its_name_back(self, place: Place) -> None:
        """It asks for a new epoch when its batch is refused, and that is refused too."""
        zombie = place.producer(transaction_timeout_ms=10_000)
        zombie.begin_transaction()
        zombie.send(place.name, b"value", partition=0)
        zombie.flush()
        successor = place.producer(transaction_timeout_ms=10_000)
        refused = zombie.send(place.name, b"more", partition=0)
        zombie.flush()
        assert isinstance(refused.exception, errors.InvalidProducerEpochError)
        wait_until(zombie._transaction_manager.has_fatal_error)
        successor.begin_transaction()
        successor.send(place.name, b"value", partition=0)
        successor.commit_transaction()
        assert place.visible() == [b"value"]

    def test_a_displaced_member_polls_on(self, place: Place) -> None:
        """Another of the same instance ID has joined: `poll` brings what it likes, for ever; only a commit tells."""
        former = place.member(group_instance_id="worker", heartbeat_interval_ms=200)
        successor = place.member(group_instance_id="worker")
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            successor.poll(50)
            former.poll(50)
        producer = place.producer()
        producer.begin_transaction()
        producer.send(place.name, b"news", partition=0)
        producer.commit_transaction()
        wait_until(lambda: bool(former.poll(100)))
        assert former.assignment() == successor.assignment()
        assert former.group_metadata().generation_id == successor.group_metadata().generation_id
        with pytest.raises(errors.FencedInstanceIdError):
            former.commit(place.offsets({0: 1}))

    def test_a_late_joining_displaces_its_own_member(self, place: Place) -> None:
        """Nobody took its instance ID; its own first request to join, late, got a new member ID."""
        place.proxy.duplicate_after_reset(JOIN_GROUP, 0.5)
        member = place.member(group_instance_id="worker")
        place.wait_for_duplicate()
        producer = place.producer()
        producer.begin_transaction()
        with pytest.raises(errors.FencedInstanceIdError):
            producer.send_offsets_to_transaction(place.offsets({0: 1}), member.group_metadata())


class TestCallsThatBlock:
    """`commit_transaction` has no timeout. Guard: wait no longer than the transaction may last."""

    def test_a_broker_that_hangs_is_given_up(self, place: Place) -> None:
        """Where a request gets no answer, its timeout ends the wait."""
        producer = self._begun(place)
        stop(place.process)
        try:
            began = time.monotonic()
            with pytest.raises(errors.KafkaError, match="Request timed out"):
                producer.commit_transaction()
            assert time.monotonic() - began < REQUEST_S + 1
        finally:
            place.process.send_signal(signal.SIGCONT)

    def test_a_broker_that_was_away_is_waited_for_for_ever(self, place: Place) -> None:
        """The request that finds no connection is forgotten: neither the broker's return nor `close` ends the wait."""
        producer = self._begun(place)
        target, place.proxy.target_port = place.proxy.target_port, 1
        place.proxy.reset_all()
        # The connection must be known to be broken when the commit begins.
        time.sleep(0.3)
        commit = Call(producer.commit_transaction)
        time.sleep(2 * REQUEST_S)
        place.proxy.target_port = target
        assert not commit.has_returned(within_s=4 * REQUEST_S)
        producer.close(timeout=0)
        assert not commit.has_returned(within_s=0.5)
        end_waits()
        assert commit.has_returned(within_s=5)

    def test_closing_leaves_a_thread_where_records_wait(self, place: Place) -> None:
        """`close` gives up before it stops the sender. Guard: stop it, whatever `close` says."""
        producer = self._begun(place)
        place.proxy.drop(1.0, PRODUCE, only="request")
        producer.send(place.name, b"undelivered", partition=1)
        with pytest.raises(errors.KafkaTimeoutError):
            producer.close(timeout=0)
        time.sleep(2 * REQUEST_S)
        assert producer._sender.is_alive()

    @staticmethod
    def _begun(place: Place) -> Any:
        producer = place.producer(transaction_timeout_ms=10_000)
        producer.begin_transaction()
        producer.send(place.name, b"value", partition=0)
        producer.flush()
        return producer
