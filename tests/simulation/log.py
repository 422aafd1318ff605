"""The simulated log: the real `KafkaSession` over simulated clients."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from streamguard.core.records import Batch, TopicPartition
from streamguard.logs.interface import Committed, Record, Span, TopicInfo, Wanted
from streamguard.logs.kafka.assignor import TaskAssignor
from streamguard.logs.kafka.errors import as_log_errors
from streamguard.logs.kafka.session import KafkaSession
from tests.simulation.clients import Consumer, Producer
from tests.simulation.cluster import Cluster, Entry
from tests.simulation.faults import Network
from tests.simulation.group import Group


class Aside:
    """Something done beside the worker's own work: early, or late."""

    def __init__(self, do: Callable[[], None], network: Network, *, is_late: bool) -> None:
        self._do, self._network = do, network
        self._is_done = False
        self._error: Exception | None = None
        if not is_late:
            self.exception()

    def exception(self) -> Exception | None:
        """Do it, if that was not done yet; what it has raised, if anything."""
        # A process that was killed tidies up here, and does nothing there.
        if not self._is_done and not self._network.is_dead:
            self._is_done = True
            try:
                self._do()
            except Exception as error:  # noqa: BLE001 - as a future's
                self._error = error
        return self._error


@dataclass(slots=True)
class Clients:
    """Makes the clients of one worker."""

    cluster: Cluster
    members: Group
    network: Network
    topic_groups: Sequence[Sequence[str]]
    worker: str
    instance: str | None
    transaction_timeout_s: float
    group: str = "g"

    def now_s(self) -> float:
        """Virtual time."""
        return self.cluster.world.now_s

    def aside(self, do: Callable[[], None]) -> "Aside":
        """Something to be done at once, or only when somebody waits for it."""
        return Aside(do, self.network, is_late=self.cluster.world.random.random() < 0.5)

    def consumer(self) -> Consumer:
        """A member of the group, not subscribed yet."""
        return Consumer(self.cluster, self.members, self.network, TaskAssignor(self.topic_groups), self.instance)

    def producer(self) -> Producer:
        """A producer whose transactions are not initialised yet."""
        return Producer(self.cluster, self.members, self.network, f"streamguard-g/{self.worker}")

    def high_watermarks(self, partitions: Iterable[Any]) -> dict[Any, int]:
        """Where partitions end, with what is not committed yet."""
        known = self.cluster.partitions
        return self.network.ask(lambda: {each: known[TopicPartition(*each)].end for each in partitions})

    def close(self) -> None:
        """Nothing is held."""


class SimulatedLog:
    """One process's view of the cluster."""

    def __init__(self, cluster: Cluster, members: Group, network: Network, instance: str | None) -> None:
        self.cluster, self.members, self.network, self.instance = cluster, members, network, instance

    def topics(self, names: Collection[str]) -> dict[str, TopicInfo]:
        return {name: self.cluster.topics[name] for name in names if name in self.cluster.topics}

    def create(self, topic: TopicInfo) -> None:
        self.cluster.create(topic)

    def session(
        self, group: str, topic_groups: Sequence[Sequence[str]], worker: str, *, whole: bool = False
    ) -> KafkaSession:
        assert group == "g"
        assert not whole
        timeout_s = self.cluster.timeout_s
        made = Clients(self.cluster, self.members, self.network, topic_groups, worker, self.instance, timeout_s)
        return KafkaSession(made)  # type: ignore[arg-type]

    def committed(self, group: str, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Committed]:
        raise NotImplementedError  # a worker asks as a member

    def spans(self, topic: str, from_ms: int | None = None, to_ms: int | None = None) -> dict[int, Span]:
        raise NotImplementedError  # a worker reads no ranges

    def read(
        self,
        topic: str,
        partitions: Collection[int] | None = None,
        *,
        follow: bool = False,
        spans: Mapping[int, Span] | None = None,
        wanted: Wanted | None = None,
    ) -> Iterator[Batch]:
        assert not follow
        assert spans is None
        assert wanted is None
        for place, partition in self.cluster.partitions.items():
            if place.topic != topic or (partitions is not None and place.partition not in partitions):
                continue
            with as_log_errors(f"cannot read topic {topic!r}"):
                ask = partial(partition.read, partition.start, 1 << 60, is_committed=True)
                entries, position = self.network.ask(ask)
            yield batch(place, entries, position)

    def append(self, records: Sequence[Record]) -> None:
        self.cluster.append(records)

    def close(self) -> None:
        """Nothing is held."""


def batch(place: TopicPartition, entries: Sequence[Entry], position: int) -> Batch:
    """Entries of a partition as columns."""
    if not entries:
        return Batch(place, (), (), (), (), (), position)
    offsets, timestamps, keys, values, headers, _ = zip(*entries, strict=True)
    return Batch(place, offsets, timestamps, keys, values, headers, position)
