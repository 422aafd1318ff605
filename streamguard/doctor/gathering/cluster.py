"""What the brokers say of themselves, of topics, of groups and of what we may do; nothing is changed by asking.

Rights are asked for in four ways: operations that a description brings with it; a topic that is to be made but only
validated; a heartbeat of nobody, and a transaction that would have to end after 0 ms, both of which a broker refuses
after it has looked whether we may, and before anything else (`KafkaApis.handleHeartbeatRequest` and
`handleInitProducerIdRequest` of Kafka 4).
"""

import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import kafka
from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.protocol.consumer import HeartbeatRequest
from kafka.protocol.metadata import CoordinatorType
from kafka.protocol.producer import InitProducerIdRequest

from streamguard.config import KafkaLog
from streamguard.doctor.facts import Cluster, Committed, Creation, Group, Partition, Topic, Transactions
from streamguard.logs.interface import TopicInfo
from streamguard.logs.kafka import options
from streamguard.logs.kafka.log import creation

_BOOTSTRAP_MS, _REQUEST_MS = 7_000, 6_000
_COORDINATOR_S = 4.0
_ROUND_TRIPS = 7
_SETTINGS = ("group.min.session.timeout.ms", "group.max.session.timeout.ms", "transaction.max.timeout.ms")
_CREATE_FAILURE_TOPIC_EXISTS = 36

Errors = kafka_errors.KafkaError, OSError, RuntimeError, AssertionError, ValueError
"""All that kafka-python raises."""


class CannotBootstrapError(Exception):
    """No broker has let us in; `causes` is what kafka-python saw and kept to its log."""

    def __init__(self, words: str, causes: Sequence[Exception]) -> None:
        super().__init__(words)
        self.causes = tuple(causes)


class _Heard(logging.Handler):
    """The errors in kafka-python's log: why it could not begin it tells there alone."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.errors: list[Exception] = []

    def emit(self, record: logging.LogRecord) -> None:
        given = record.args if isinstance(record.args, tuple) else ()
        found = [each for each in given if isinstance(each, Exception)]
        self.errors += found
        for each in found:
            if isinstance(each, kafka_errors.SaslAuthenticationFailedError):
                # It would be tried again and again, and some directories lock the account: this ends the tries.
                raise each


@contextmanager
def opened(settings: KafkaLog) -> Iterator["Asker"]:
    """The cluster, to ask; raises `CannotBootstrapError` within 7 s."""
    heard, logger = _Heard(), logging.getLogger("kafka.net.manager")
    logger.addHandler(heard)
    try:
        admin = KafkaAdminClient(
            **options.connection(settings) | {"reconnect_backoff_ms": 500},
            bootstrap_timeout_ms=_BOOTSTRAP_MS,
            request_timeout_ms=_REQUEST_MS,
        )
    except Errors as error:
        raise CannotBootstrapError(str(error) or type(error).__name__, heard.errors) from None
    finally:
        logger.removeHandler(heard)
    try:
        yield Asker(admin, settings)
    finally:
        admin.close()


class Asker:
    """Asks the brokers; raises kafka-python's errors where one does not answer."""

    def __init__(self, admin: KafkaAdminClient, settings: KafkaLog) -> None:
        self._admin = admin
        self._settings = settings

    def places(self) -> list[tuple[str, int]]:
        """Host and port that each broker advertises, as the first one to answer told."""
        return [(each.host, each.port) for each in self._admin._manager.cluster.brokers()]  # noqa: SLF001

    def cluster(self, now_ms: Callable[[], float]) -> Cluster:
        """How long answers take, the time of the brokers' clock, and how they are set."""
        times_ms, described = [], {}
        for _ in range(_ROUND_TRIPS + 1):
            since_s = time.monotonic()
            described = self._admin.describe_cluster()
            times_ms.append((time.monotonic() - since_s) * 1000)
        skew_ms, give_or_take_ms = self._skew(now_ms)
        node = next((each["broker_id"] for each in described["brokers"]), None)
        settings = {} if node is None else self._broker_settings(node)
        return Cluster(tuple(times_ms[1:]), skew_ms, give_or_take_ms, settings)

    def _skew(self, now_ms: Callable[[], float]) -> tuple[float | None, float]:
        """How far the leader of Kafka's metadata is ahead of us, by the time at which it says to have written last."""
        best: tuple[float | None, float] = None, 0.0
        for _ in range(3):
            before_ms = now_ms()
            try:
                quorum = self._admin.describe_metadata_quorum()
            except Errors:
                break
            after_ms = now_ms()
            half_ms = (after_ms - before_ms) / 2
            (partition,) = quorum["topics"][0]["partitions"]
            for voter in partition["current_voters"]:
                at_ms = voter.get("last_caught_up_timestamp", -1)
                is_better = best[0] is None or half_ms < best[1]
                if voter["replica_id"] == partition["leader_id"] and at_ms > 0 and is_better:
                    best = at_ms - (before_ms + half_ms), half_ms
        return best

    def _broker_settings(self, node: int) -> dict[str, str]:
        wanted = ConfigResource(ConfigResourceType.BROKER, str(node), list(_SETTINGS))
        try:
            found = self._admin.describe_configs([wanted], config_filter="all")
        except Errors:
            return {}
        return _values(found.get("broker", {}).get(str(node), {}))

    def topics(self, names: Collection[str]) -> dict[str, Topic]:
        """Each of these topics, whether it exists or not."""
        described = {each["name"]: each for each in self._admin.describe_topics(sorted(names))}
        there = [name for name, each in described.items() if not each["error_code"]]
        wanted = [ConfigResource(ConfigResourceType.TOPIC, name) for name in there]
        settings = self._admin.describe_configs(wanted, config_filter="all").get("topic", {}) if there else {}
        return {name: _topic(name, described.get(name), settings.get(name, {})) for name in names}

    def creations(self, topics: Sequence[TopicInfo]) -> list[Creation]:
        """What the broker says to topics that are only validated, and not made."""
        if not topics:
            return []
        wanted = {each.name: creation(each, self._settings.replication_factor) for each in topics}
        answer = self._admin.create_topics(wanted, timeout_ms=_REQUEST_MS, validate_only=True, raise_errors=False)
        told = {each["name"]: each for each in answer["topics"]}
        return [_creation(each, told[each.name]) for each in topics if each.name in told]

    def group(self, name: str, *, with_offsets: bool) -> Group:
        """A group's state, members, and what we may do with it."""
        try:
            described = self._patiently(lambda: self._admin.describe_groups([name]))[name]
        except kafka_errors.AuthorizationError:
            return Group(name, is_forbidden=True)
        except Errors as error:
            return Group(name, problem=_words(error))
        told = described["error"] or ""
        if "GroupAuthorizationFailed" in told or not self._may_join(name):
            return Group(name, is_forbidden=True)
        members = tuple(str(each["client_id"]) for each in described.get("members", ()))
        committed: tuple[Committed, ...] = ()
        if with_offsets and "GroupIdNotFound" not in told:
            committed = self._committed(name)
        return Group(
            name,
            problem=None if not told or "GroupIdNotFound" in told else told,
            state=described.get("group_state", ""),
            protocol=described.get("protocol_data", ""),
            members=members,
            committed=committed,
        )

    def _may_join(self, name: str) -> bool:
        """Whether we have Read on a group: a heartbeat of nobody is refused for that first."""

        async def ask() -> int:
            coordinator = await self._admin._find_coordinator_id(name)  # noqa: SLF001
            request = HeartbeatRequest(group_id=name, generation_id=0, member_id="streamguard-doctor")
            answer = await self._admin._manager.send(request, node_id=coordinator)  # noqa: SLF001
            return int(answer.error_code)

        try:
            kind = kafka_errors.for_code(self._patiently(lambda: self._admin._manager.run(ask)))  # noqa: SLF001
        except kafka_errors.AuthorizationError:
            return False
        except Errors:
            return True
        return not issubclass(kind, kafka_errors.AuthorizationError)

    def _committed(self, name: str) -> tuple[Committed, ...]:
        try:
            found = self._admin.list_group_offsets([name])[name]
        except Errors:
            return ()
        partitions = [each for each, at in found.items() if at.offset >= 0]
        starts, ends = (self._at(partitions, place) for place in (OffsetSpec.EARLIEST, OffsetSpec.LATEST))
        return tuple(
            Committed(
                each.topic,
                each.partition,
                found[each].offset,
                found[each].metadata or "",
                starts.get(each),
                ends.get(each),
            )
            for each in sorted(partitions)
        )

    def _at(self, partitions: Sequence[kafka.TopicPartition], place: int) -> dict[kafka.TopicPartition, int]:
        try:
            found = self._admin.list_partition_offsets(dict.fromkeys(partitions, place))
        except Errors:
            return {}
        return {each: at.offset for each, at in found.items()}

    def transactions(self, group: str, worker: str | None) -> Transactions:
        """Whether a worker of a group may have transactions."""
        prefix = f"streamguard-{quote(group, safe='')}/"
        name = f"{prefix}{quote(worker or 'doctor', safe='')}"

        async def ask() -> int:
            coordinator = await self._admin._find_coordinator_id(name, CoordinatorType.TRANSACTION)  # noqa: SLF001
            request = InitProducerIdRequest(transactional_id=name, transaction_timeout_ms=0)
            answer = await self._admin._manager.send(request, node_id=coordinator)  # noqa: SLF001
            return int(answer.error_code)

        try:
            code = self._patiently(lambda: self._admin._manager.run(ask))  # noqa: SLF001
        except kafka_errors.AuthorizationError:
            return Transactions(prefix, is_forbidden=True)
        except Errors as error:
            return Transactions(prefix, problem=_words(error))
        kind = kafka_errors.for_code(code)
        if issubclass(kind, kafka_errors.AuthorizationError):
            return Transactions(prefix, is_forbidden=True)
        expected = kafka_errors.InvalidTransactionTimeoutError, kafka_errors.NoError
        return Transactions(prefix, problem=None if issubclass(kind, expected) else kind.__name__)

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        """The first question after a coordinator makes Kafka create the coordinators' topic, which takes a moment."""
        until_s = time.monotonic() + _COORDINATOR_S
        while True:
            try:
                return ask()
            except (kafka_errors.CoordinatorNotAvailableError, kafka_errors.CoordinatorLoadInProgressError):
                if time.monotonic() > until_s:
                    raise
            except kafka_errors.NotCoordinatorError:
                if time.monotonic() > until_s:
                    raise
                self._admin._manager.cluster._coordinators.clear()  # noqa: SLF001
            time.sleep(0.2)


def _topic(name: str, described: dict[str, Any] | None, settings: dict[str, Any]) -> Topic:
    if described is None:
        return Topic(name, exists=False)
    operations = described.get("authorized_operations")
    kind = kafka_errors.for_code(described["error_code"])
    return Topic(
        name,
        exists=not described["error_code"],
        is_hidden=issubclass(kind, kafka_errors.AuthorizationError),
        partitions=tuple(
            Partition(each["partition_index"], each["leader_id"], len(each["replica_nodes"]), len(each["isr_nodes"]))
            for each in sorted(described["partitions"], key=lambda each: each["partition_index"])
        ),
        settings=_values(settings),
        operations=None if operations is None else frozenset(operations),
    )


def _creation(topic: TopicInfo, told: dict[str, Any]) -> Creation:
    code = told["error_code"]
    if code in {0, _CREATE_FAILURE_TOPIC_EXISTS}:
        least = _values(told.get("configs", {})).get("min.insync.replicas", "")
        replicas = told.get("replication_factor", -1)
        return Creation(
            topic.name,
            topic.partitions,
            replicas=replicas if replicas > 0 else None,
            min_insync=int(least) if least.isdigit() else None,
        )
    kind = kafka_errors.for_code(code)
    words = told.get("error_message") or kind.__name__
    return Creation(topic.name, topic.partitions, words, issubclass(kind, kafka_errors.AuthorizationError))


def _values(settings: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: str(each["value"]) for name, each in settings.items() if each.get("value") is not None}


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
