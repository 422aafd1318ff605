"""kafka-python's consumer and producer over the simulated cluster, with the traps of version 3.0.12.

Only what `streamguard.logs.kafka` calls. The traps (docs/reliability.md) are kept: `group_metadata` forgets an
evicted member, a batch that is dropped does not fail its transaction, a transaction that was lost under a
commit reports success, and offsets of an aborted transaction are sent again with the next.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import kafka
from kafka import errors
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata

from streamguard.core.records import TopicPartition
from streamguard.logs.interface import Committed, Record
from tests.simulation.cluster import Cluster
from tests.simulation.faults import Network
from tests.simulation.group import Group, partitions_of


class ConsumerRecord(NamedTuple):
    """A record as kafka-python gives it, as far as it is looked at."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class Consumer:
    """A member of a group."""

    reads_committed = True
    waits_for_commits = True
    """`require_stable`, which kafka-python sends with `read_committed`."""

    def __init__(self, cluster: Cluster, group: Group, network: Network, assignor: Any, instance: str | None) -> None:
        self.instance = instance
        self.assignor = assignor
        self._cluster, self._group, self._network = cluster, group, network
        self._listener: Any = None
        self._topics: list[str] = []
        self._member_id, self._generation = "", -1
        self._needs_join, self._is_lost, self._is_closed = True, False, False
        self._fenced: Exception | None = None
        self._positions: dict[TopicPartition, int | None] = {}
        self._paused: set[TopicPartition] = set()

    # The group.

    @property
    def is_beating(self) -> bool:
        """Heartbeats come from a thread of its own: only a process that stands still misses them."""
        return not (self._network.is_dead or self._network.is_frozen or self._network.is_cut or self._is_closed)

    def heard(self, error: Exception | None) -> None:
        """What the answer to a heartbeat says."""
        if isinstance(error, errors.FencedInstanceIdError):
            self._fenced = error
        self._needs_join = True

    def _notice(self) -> None:
        """The heartbeat thread has learned by now whether the member was put out."""
        if self._member_id and self._member_id not in self._group.members and self._fenced is None:
            self._member_id, self._generation = "", -1
            self._needs_join = self._is_lost = True

    def group_metadata(self) -> Any:
        self._notice()
        return ConsumerGroupMetadata(self._group_name, self._generation, self._member_id, self.instance)

    _group_name = "g"

    def subscribe(self, topics: Sequence[str], listener: Any) -> None:
        self._topics, self._listener = list(topics), listener

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return self._group.partitions_for_topic(topic)

    def assignment(self) -> set[Any]:
        return {kafka.TopicPartition(*place) for place in self._positions}

    def _join(self, timeout_s: float) -> bool:
        world = self._network.world
        if self._positions:
            places = self.assignment()
            self._positions = {}
            (self._listener.on_partitions_lost if self._is_lost else self._listener.on_partitions_revoked)(places)
        subscription = self.assignor.metadata(self._topics)
        if self._network.is_cut:
            world.sleep(timeout_s)
            return False
        member = self._group.members.get(self._member_id)
        if member is None or not member.has_joined or self._group.is_stable:
            self._member_id = self._group.join(self, self._member_id, subscription)
        until_s = world.now_s + timeout_s
        while not self._group.is_stable or self._group.assignments.get(self._member_id) is None:
            if world.now_s >= until_s or self._member_id not in self._group.members:
                return False
            world.sleep(0.02)
        self._take()
        return True

    def _take(self) -> None:
        """The assignment of the generation that is now."""
        assignment = self._group.assignments[self._member_id]
        self._generation, self._needs_join, self._is_lost = self._group.generation, False, False
        self.assignor.on_assignment(assignment, self._generation)
        self._positions = dict.fromkeys(sorted(partitions_of(assignment)))
        self._paused.clear()
        self._listener.on_partitions_assigned(self.assignment())

    # Reading.

    def poll(self, timeout_ms: int, max_records: int) -> dict[Any, list[Any]]:
        world = self._network.world
        self._network.pass_time()
        self._notice()
        if self._fenced is not None:
            raise self._fenced
        if self._needs_join and not self._join(timeout_ms / 1000):
            return {}
        for place in self._positions:
            if self._positions[place] is None:
                found = self.offsets([kafka.TopicPartition(*place)])
                if not found:
                    raise errors.NoOffsetForPartitionError(place)
                self._positions[place] = next(iter(found.values())).offset
        found_records = self._fetch(max_records)
        if not found_records:
            world.sleep(timeout_ms / 1000)
            found_records = {} if self._needs_join else self._fetch(max_records)
        # What is done with them may take long.
        self._network.pass_time()
        return found_records

    def _fetch(self, max_records: int) -> dict[Any, list[Any]]:
        chance = self._network.world.random
        result: dict[Any, list[Any]] = {}
        places = [place for place in self._positions if place not in self._paused]
        chance.shuffle(places)
        for place in places:
            position = self._positions[place]
            if position is None or self._network.is_cut or chance.random() < 0.2 + self._network.rates.unsent:
                continue
            count = min(max_records, chance.choice([1, 3, 10, 1000]))
            partition = self._cluster.partitions[place]
            entries, self._positions[place] = partition.read(position, count, is_committed=self.reads_committed)
            if entries:
                records = [ConsumerRecord(e.offset, e.timestamp, e.key, e.value, e.headers) for e in entries]
                result[kafka.TopicPartition(*place)] = records
        return result

    def position(self, partition: Any) -> int | None:
        return self._positions[TopicPartition(*partition)]

    def seek(self, partition: Any, offset: int) -> None:
        place = TopicPartition(*partition)
        if place not in self._positions:
            raise AssertionError("Unassigned partition")
        self._positions[place] = offset

    def pause(self, *partitions: Any) -> None:
        self._paused.update(TopicPartition(*each) for each in partitions)

    def resume(self, *partitions: Any) -> None:
        self._paused.difference_update(TopicPartition(*each) for each in partitions)

    def offsets(self, partitions: Sequence[Any], timeout_ms: int = 0) -> dict[Any, Any]:  # noqa: ARG002 - as the client's
        while partitions:
            with suppress(errors.UnstableOffsetCommitError):
                return self._network.ask(lambda: self._committed(partitions))
            self._network.world.sleep(0.02)
        return {}

    def _committed(self, partitions: Sequence[Any]) -> dict[Any, Any]:
        places = {each: TopicPartition(*each) for each in partitions}
        found = {
            each: self._cluster.committed(self._group_name, place, is_stable=self.waits_for_commits)
            for each, place in places.items()
        }
        return {each: OffsetAndMetadata(x.offset, x.metadata, -1) for each, x in found.items() if x is not None}

    def end_offsets(self, partitions: Collection[Any]) -> dict[Any, int]:
        parts = self._cluster.partitions
        return self._network.ask(lambda: {each: parts[TopicPartition(*each)].stable_end for each in partitions})

    def beginning_offsets(self, partitions: Collection[Any]) -> dict[Any, int]:
        parts = self._cluster.partitions
        return self._network.ask(lambda: {each: parts[TopicPartition(*each)].start for each in partitions})

    def close(self, autocommit: bool, timeout_ms: int) -> None:  # noqa: ARG002, FBT001 - kafka-python's own
        self._is_closed = True
        if not self._network.is_dead and self.instance is None:
            self._group.remove(self._member_id)


@dataclass(eq=False, slots=True)
class Future:
    """What becomes of a record that was sent."""

    is_done: bool = False
    exception: Exception | None = None

    def succeeded(self) -> bool:
        return self.is_done and self.exception is None


class Producer:
    """A transactional producer."""

    def __init__(self, cluster: Cluster, group: Group, network: Network, name: str) -> None:
        self._cluster, self._group, self._network, self._name = cluster, group, network, name
        self._epoch = -1
        self._error: Exception | None = None
        self._is_lost = False
        self._held: list[tuple[Record, Future]] = []
        self._offsets: dict[TopicPartition, Committed] = {}
        self._places: set[TopicPartition] = set()
        self.has_resent = False

    def init_transactions(self) -> None:
        self._epoch = self._network.tell(lambda: self._cluster.init(self._name))

    def begin_transaction(self) -> None:
        if isinstance(self._error, errors.ProducerFencedError):
            raise self._error
        self._error, self._is_lost = None, False
        self._places = set()

    def send(self, topic: str, **fields: Any) -> Future:
        future = Future()
        record = Record(
            topic, fields["key"], fields["value"], fields["partition"], fields["headers"], fields["timestamp_ms"]
        )
        self._held.append((record, future))
        return future

    def send_offsets_to_transaction(self, offsets: Mapping[Any, Any], metadata: Any) -> None:
        self._check()
        # Kept until they are taken: what an aborted transaction did not get rid of goes with the next (T3).
        self._offsets |= {TopicPartition(*key): Committed(each.offset, each.metadata) for key, each in offsets.items()}
        epoch, sent = self._epoch, dict(self._offsets)
        self._watched(lambda: self._cluster.commit_offsets(self._name, epoch, self._group_name, metadata, sent))
        self._offsets.clear()

    _group_name = "g"

    def flush(self, timeout: float) -> None:  # noqa: ARG002 - kafka-python's own
        held, self._held = self._held, []
        batches: dict[TopicPartition, list[tuple[Record, Future]]] = {}
        for record, future in held:
            batches.setdefault(self._cluster.place(record), []).append((record, future))
        for place, batch in batches.items():
            error = self._error
            if error is None:
                try:
                    self._produce(place, [record for record, _ in batch])
                except errors.KafkaError as raised:
                    error = raised
            for _, future in batch:
                future.is_done, future.exception = True, error

    def _produce(self, place: TopicPartition, records: list[Record]) -> None:
        if self._network.world.random.random() < self._network.rates.expired:
            # The transaction goes on without it (T2).
            raise errors.KafkaTimeoutError("simulated: batch expired")
        epoch, number = self._epoch, self._network.world.random.getrandbits(60)
        if place not in self._places:
            self._guarded(lambda: self._cluster.add_partitions(self._name, epoch, [place]))
            self._places.add(place)
        try:
            self._network.tell(lambda: self._cluster.produce(self._name, epoch, number, place, records))
        except errors.InvalidProducerEpochError:
            # The client takes a new epoch and forgets that there was a transaction (T1).
            self._is_lost = True
            raise
        except errors.KafkaTimeoutError:
            raise
        except errors.KafkaError as error:
            self._error = error
            raise

    def commit_transaction(self) -> None:
        self._check()
        self.flush(0)
        if self._is_lost:
            return
        self._check()
        self._end(is_committed=True)

    def _end(self, *, is_committed: bool) -> None:
        epoch = self._epoch
        self._watched(lambda: self._cluster.end(self._name, epoch, is_committed=is_committed))

    def _watched(self, request: Callable[[], None]) -> None:
        def resent() -> None:
            self.has_resent = True

        self._guarded(request, resent)

    def _guarded(self, request: Callable[[], None], resent: Callable[[], None] = lambda: None) -> None:
        try:
            self._network.tell(request, resent)
        except errors.KafkaError as error:
            self._error = error
            raise

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def close(self, timeout: float) -> None:
        """Drop what is held."""
