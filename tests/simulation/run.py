"""One run: workers of one group, everything that goes wrong, and then the checks."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial

import orjson
import structlog

from streamguard.core.join import Input
from streamguard.core.note import Note
from streamguard.core.records import Output, TopicPartition
from streamguard.errors import LogError, UnusableError
from streamguard.logs.interface import Committed, Session, TopicInfo
from streamguard.worker.assigned import AssignedJoin
from streamguard.worker.worker import Clock, Worker
from tests.simulation.cluster import Cluster, Entry, Transaction
from tests.simulation.faults import Network, Rates
from tests.simulation.group import Group
from tests.simulation.log import SimulatedLog
from tests.simulation.scenario import BUSY_S, Scenario
from tests.simulation.world import Process, World

_log = structlog.get_logger("tests.simulation")

PATIENCE_S = 120.0
"""Once everything is healed, the group must have caught up within so long."""


class ViolationError(AssertionError):
    """Something that streamguard promises did not hold."""


@dataclass(slots=True)
class Place:
    """Where a worker runs; it is started again when it has ended."""

    number: int
    network: Network
    worker: Worker | None = None
    process: Process | None = None
    lives: int = 0


@dataclass(slots=True)
class Run:
    """A seed, played."""

    scenario: Scenario
    world: World = field(init=False)
    cluster: Cluster = field(init=False)
    group: Group = field(init=False)
    places: list[Place] = field(default_factory=list)
    floors: dict[TopicPartition, set[tuple[int, int]]] = field(default_factory=dict)
    """Every idle advance that was ever committed."""
    removed: dict[TopicPartition, list[Entry]] = field(default_factory=dict)
    deaths: int = 0
    displaced: int = 0
    """Workers that took themselves for replaced: nobody has their name, requests of their own came late."""
    commits: int = 0
    held: int = 0
    """The most that a join task has held."""
    is_healed: bool = False
    is_ending: bool = False

    def __post_init__(self) -> None:
        scenario = self.scenario
        self.world = World(scenario.seed)
        self.cluster = Cluster(self.world, scenario.transaction_timeout_s)
        self.group = Group(self.world, scenario.session_timeout_s, self._numbers)
        self.cluster.may_commit = lambda _, member: self.group.check(member)
        self.cluster.on_commit = self._committed
        for topic in ("predictions", "labels"):
            self.cluster.create(TopicInfo(topic, scenario.partitions))
        self.group.beat()

    def _numbers(self, topic: str) -> set[int] | None:
        found = self.cluster.topics.get(topic)
        return None if found is None else set(range(found.partitions))

    def _committed(self, _group: str, place: TopicPartition, before: Committed | None, after: Committed) -> None:
        """I5: what the group has committed never moves back."""
        self.commits += 1
        self._check_caps()
        if before is not None and after.offset < before.offset:
            raise ViolationError(f"{place}: the committed offset went back from {before.offset} to {after.offset}")
        if after.metadata:
            self.floors.setdefault(place, set()).update(Note.decode(after.metadata).floors)

    def _check_caps(self) -> None:
        """I7: no task holds more than it may."""
        limit = self.scenario.config.join.max_waiting
        for place in self.places:
            tasks = place.worker._tasks if place.worker is not None and place.process is not None else None
            if tasks is not None and not tasks.restoring_count:
                held = max((join.task.held_count for join in tasks.joins.values()), default=0)
                self.held = max(self.held, held)
                if held > limit:
                    raise ViolationError(f"a join task holds {held} records, {limit} are allowed")

    # The course of a run.

    def play(self) -> None:
        """Let records flow and things go wrong; heal; demand that all is consumed."""
        self._feed()
        for number in range(self.scenario.workers):
            rates = self.scenario.rates
            self.places.append(Place(number, Network(self.world, rates, 2 * self.scenario.session_timeout_s)))
            self._start(self.places[-1])
        start_s = self.world.now_s
        self._trouble(start_s)
        end_s = start_s + max(BUSY_S, max((row[0] for row in self.scenario.feed), default=0)) + 1
        self.world.run_until(lambda: self.world.now_s >= end_s, end_s + 1)
        self._heal()
        self._require(self._is_caught_up, "the group has not caught up")
        self.is_ending = True
        for place in self.places:
            if place.worker is not None:
                place.worker.stop()
        self._require(lambda: all(each.process is None for each in self.places), "a worker does not stop")
        self._require(self._is_decided, "a transaction is open")
        finisher = Place(99, Network(self.world, Rates(), 0.0))
        self._start(finisher, until_end=True)
        self._require(lambda: finisher.process is None, "a bounded run does not come to its end")
        self._require(self._is_decided, "a transaction is open")
        self.places.append(finisher)

    def _require(self, condition: Callable[[], bool], what: str) -> None:
        limit_s = self.world.now_s + PATIENCE_S
        if not self.world.run_until(condition, limit_s):
            raise ViolationError(f"{what} within {PATIENCE_S:.0f} s after everything was healed")

    def _feed(self) -> None:
        """Some records come in transactions, of which some are aborted and written again."""
        chance = self.world.random
        for at_s, place, record in self.scenario.feed:
            kind = chance.random()

            def write(place: TopicPartition = place, record: object = record, kind: float = kind) -> None:
                partition = self.cluster.partitions[place]
                if kind > 0.1:
                    self.cluster.write(place, [record], None)  # type: ignore[list-item]
                    return
                transaction = Transaction()
                self.cluster.write(place, [record], transaction)  # type: ignore[list-item]
                transaction.is_committed = kind > 0.05

                def decide() -> None:
                    partition.mark(transaction)
                    if not transaction.is_committed:
                        self.cluster.write(place, [record], None)  # type: ignore[list-item]

                self.world.after(chance.random() * 0.5, decide)

            self.world.after(at_s, write)

    def _start(self, place: Place, *, until_end: bool = False) -> None:
        if (self.is_ending and not until_end) or (place.process is not None and not place.process.is_dead):
            return
        scenario = self.scenario
        name = f"w{place.number}" if scenario.is_static else f"w{place.number}-{place.lives}"
        place.lives += 1
        instance = name if scenario.is_static else None
        log = SimulatedLog(self.cluster, self.group, place.network, instance)

        def serve() -> None:
            if self.is_ending and not until_end:
                return
            place.worker = Worker(scenario.config, log, name, Clock(lambda: self.world.now_s, self.world.sleep))
            self._demand_proof(place.worker)
            place.worker.run(until_end=until_end)

        process = self.world.start(name, serve)
        place.process = place.network.process = process
        self._watch(place, process)

    def _demand_proof(self, worker: Worker) -> None:
        """An input's time advances without a record only where the worker stands at its end."""
        advance = worker._idle.advance

        def proven(joins: Collection[AssignedJoin], session: Session, now_s: float) -> list[Output]:
            before = [(join, side, join.task.clock_ms(side)) for join in joins for side in Input]
            outputs = advance(joins, session, now_s)
            for join, side, clock_ms in before:
                end = self.cluster.partitions[join.partitions[side]].end
                if join.task.clock_ms(side) > clock_ms and join.positions[side] < end:
                    raise ViolationError(
                        f"{join.partitions[side]} was taken for idle at {join.positions[side]} of {end}"
                    )
            return outputs

        worker._idle.advance = proven  # type: ignore[method-assign]

    def _watch(self, place: Place, process: Process) -> None:
        """The supervisor: start again what has failed."""
        if place.process is not process:
            return
        if not process.is_dead:
            self.world.after(0.1, lambda: self._watch(place, process))
            return
        place.process = None
        error = process.error
        if error is not None:
            if not isinstance(error, LogError) or (isinstance(error, UnusableError) and "same name" not in str(error)):
                raise ViolationError(f"a worker failed: {type(error).__name__}: {error}") from error
            self.deaths += 1
            self.displaced += isinstance(error, UnusableError)
            self.world.after(self.world.random.random() * 3, lambda: self._start(place))

    def written(self, place: TopicPartition) -> list[Entry]:
        """All that was ever written to a partition, but for what compaction has removed."""
        return self.removed.get(place, []) + self.cluster.partitions[place].entries

    # What goes wrong.

    def _trouble(self, start_s: float) -> None:
        chance = self.world.random
        kinds: list[Callable[[], None]] = [self._kill, self._stop, self._cut, self._outage, self._retain, self._compact]
        chosen = [kind for kind in kinds if chance.random() < 0.5]
        for kind in chosen:
            for _ in range(chance.randrange(6)):
                self.world.at(start_s + chance.random() * BUSY_S, partial(self._do, kind))

    def _do(self, kind: Callable[[], None]) -> None:
        _log.info(f"{kind.__name__.removeprefix('_')}_done")
        kind()

    def _some_place(self) -> Place:
        return self.world.random.choice(self.places)

    def _kill(self) -> None:
        place = self._some_place()
        if place.process is not None and not self.is_healed:
            self.deaths += 1
            process, place.process = place.process, None
            self.world.kill(process)
            self.world.after(self.world.random.random() * 6, lambda: self._start(place))

    def _stop(self) -> None:
        place = self._some_place()
        if place.process is None or place.worker is None:
            return
        place.worker.stop()
        process = place.process

        def again() -> None:
            if not process.is_dead:
                self.world.after(0.2, again)
            elif place.process in (None, process):
                self._start(place)

        self.world.after(self.world.random.random() * 6, again)

    def _cut(self) -> None:
        network = self._some_place().network
        network.is_cut = True
        self.world.after(self.world.random.random() * 8, lambda: setattr(network, "is_cut", False))

    def _outage(self) -> None:
        for place in self.places:
            place.network.is_cut = True
        self.world.after(self.world.random.random() * 4, self._restore_networks)

    def _restore_networks(self) -> None:
        for place in self.places:
            place.network.is_cut = False

    def _retain(self) -> None:
        """Retention goes as far as notes and snapshots allow: a restart must not need what is before."""
        for (_, place), committed in self.cluster.offsets.items():
            if committed.metadata and not self.cluster.pending.get(("g", place)):
                self._truncate(place, Note.decode(committed.metadata).low)
        config = self.scenario.config
        for place in self.cluster.partitions:
            if place.topic == config.state_topic:
                visible, _ = self.cluster.partitions[place].read(0, 1 << 60, is_committed=True)
                heads = [found for each in visible if (found := orjson.loads(each.value or b"{}")).get("stream") == {}]
                if heads:
                    self._truncate(TopicPartition(config.outcomes_topic, place.partition), heads[-1]["state"]["low"])

    def _truncate(self, place: TopicPartition, offset: int) -> None:
        partition = self.cluster.partitions[place]
        before = list(partition.entries)
        partition.truncate(offset)
        self.removed.setdefault(place, []).extend(each for each in before if each.offset < partition.start)

    def _compact(self) -> None:
        for place, partition in self.cluster.partitions.items():
            if self.cluster.topics[place.topic].compacted:
                partition.compact()

    def _heal(self) -> None:
        self.is_healed = True
        self._restore_networks()
        for place in self.places:
            place.network.rates = Rates()

    def _is_decided(self) -> bool:
        return not any(partition.undecided for partition in self.cluster.partitions.values())

    def _is_caught_up(self) -> bool:
        topics = {*self.scenario.config.topics.values()} & {"predictions", "labels"}
        return all(
            (found := self.cluster.offsets.get(("g", place))) is not None and found.offset >= partition.stable_end
            for place, partition in self.cluster.partitions.items()
            if place.topic in topics and partition.end
        ) and all(each.process is not None for each in self.places)
