"""What a cluster is asked and told outside any group."""

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any, TypeVar

import confluent_kafka
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, admin

from streamguard.config import KafkaLog as Settings
from streamguard.core.records import TopicPartition
from streamguard.errors import LogError
from streamguard.logs.confluent import options
from streamguard.logs.confluent.errors import Told, as_log_errors
from streamguard.logs.interface import Committed, Span, TopicInfo

_REACH_S = 10.0
_ANSWER_S = 15.0


# An answer that has not come by then will not come.
_TRY_S = 5.0
# What is asked here changes nothing the second time.
_AGAIN = {
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
}
_AGAIN_S = 0.2

_T = TypeVar("_T")


class Admin:
    """One connection for all that is not reading or writing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._told = Told()
        self._client: admin.AdminClient | None = None
        # Whoever names a broker wants to know at once that it does not answer.
        what = f"cannot reach Kafka at {', '.join(settings.bootstrap_servers)}"
        self._ask(what, admin.AdminClient.describe_cluster, Future.result, _REACH_S)

    def _ask(
        self, what: str, ask: Callable[..., Any], take: Callable[[Any], _T], seconds: float = _ANSWER_S, **how: Any
    ) -> _T:
        """What is taken from the answer.

        Where none came, another client asks: the connection of this one may be dead without its knowing.
        """
        until_s = monotonic() + seconds
        with as_log_errors(what, self._told):
            while True:
                if self._client is None:
                    self._client = admin.AdminClient(options.connection(self._settings, self._told))
                client = self._client
                try:
                    return take(ask(client, request_timeout=min(_TRY_S, max(1.0, until_s - monotonic())), **how))
                except KafkaException as error:
                    # Why, it has told by itself: that is waiting to be heard.
                    client.poll(0)
                    self._client = None
                    if error.args[0].code() not in _AGAIN or monotonic() > until_s - 1:
                        raise
                sleep(_AGAIN_S)

    def counts(self, names: Collection[str]) -> dict[str, int]:
        """How many partitions those of `names` have that exist."""

        def take(answer: dict[str, Future[admin.TopicDescription]]) -> dict[str, int]:
            found = {}
            for name, future in answer.items():
                with _without(KafkaError.UNKNOWN_TOPIC_OR_PART):
                    found[name] = len(future.result().partitions)
            return found

        wanted = TopicCollection(sorted(names))
        return self._ask("cannot look up topics", admin.AdminClient.describe_topics, take, topics=wanted)

    def check_exist(self, names: Collection[str]) -> dict[str, int]:
        """How many partitions each of `names` has; raises `LogError` where one is missing."""
        counts = self.counts(names)
        missing = sorted(set(names) - counts.keys())
        if missing:
            raise LogError(f"no topic {', '.join(map(repr, missing))}: create it, or mend its name")
        return counts

    def topics(self, names: Collection[str]) -> dict[str, TopicInfo]:
        """Those of `names` that exist."""
        counts = self.counts(names)
        if not counts:
            return {}
        wanted = [admin.ConfigResource(admin.ResourceType.TOPIC, name) for name in counts]
        configs = self._ask(
            "cannot look up topics",
            admin.AdminClient.describe_configs,
            lambda answer: {each.name: future.result() for each, future in answer.items()},
            resources=wanted,
        )
        return {name: _info(name, count, configs[name]) for name, count in counts.items()}

    def create(self, topic: TopicInfo) -> None:
        """Make a topic; one that exists already is left as it is."""
        config = {"cleanup.policy": "compact" if topic.compacted else "delete"}
        if not topic.compacted:
            config["retention.ms"] = str(-1 if topic.retention_ms is None else topic.retention_ms)
        if topic.max_record_bytes is not None:
            config["max.message.bytes"] = str(topic.max_record_bytes)

        def take(answer: dict[str, Future[None]]) -> None:
            # Where it exists already, another worker was first.
            with _without(KafkaError.TOPIC_ALREADY_EXISTS):
                answer[topic.name].result()

        wanted = [admin.NewTopic(topic.name, topic.partitions, self._settings.replication_factor, config=config)]
        self._ask(f"cannot create topic {topic.name!r}", admin.AdminClient.create_topics, take, new_topics=wanted)
        # The broker that is asked next may not have heard of it yet.
        until_s = monotonic() + _ANSWER_S
        while not self.counts([topic.name]):
            if monotonic() > until_s:
                raise LogError(f"topic {topic.name!r} was created, and is not there")
            sleep(0.01)

    def committed(self, group: str, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Committed]:
        """What a group has committed; partitions without a commit are left out."""
        if not partitions:
            return {}
        places = [confluent_kafka.TopicPartition(*each) for each in sorted(partitions)]
        found = self._ask(
            f"cannot look up what group {group!r} has committed",
            admin.AdminClient.list_consumer_group_offsets,
            lambda answer: answer[group].result().topic_partitions,
            list_consumer_group_offsets_request=[confluent_kafka.ConsumerGroupTopicPartitions(group, places)],
        )
        return {
            TopicPartition(each.topic, each.partition): Committed(each.offset, each.metadata or "")
            for each in found
            if each.offset >= 0
        }

    def starts(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The first offset that retention has left in each partition."""
        return self._offsets("cannot find where topics start", partitions, admin.OffsetSpec.earliest())

    def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last committed record of each partition."""
        return self._offsets("cannot find where topics end", partitions, admin.OffsetSpec.latest())

    def high_watermarks(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last record of each partition, committed or not."""
        at = admin.OffsetSpec.latest()
        return self._offsets("cannot find where topics end", partitions, at, IsolationLevel.READ_UNCOMMITTED)

    def spans(
        self, partitions: Collection[TopicPartition], from_ms: int | None = None, to_ms: int | None = None
    ) -> dict[TopicPartition, Span]:
        """Of each partition, the offsets of the committed records between two times."""
        # What lies before the ends is there when the times are looked up.
        ends, held = self.ends(partitions), self.starts(partitions)
        first = held if from_ms is None else self._since(partitions, from_ms)
        last = ends if to_ms is None else self._since(partitions, to_ms)
        return {each: Span.within(held[each], ends[each], first.get(each), last.get(each)) for each in partitions}

    def _since(self, partitions: Collection[TopicPartition], time_ms: int) -> dict[TopicPartition, int]:
        """The first offset of that time or later, of the partitions that have one."""
        # Below zero are places such as the end.
        at = admin.OffsetSpec.for_timestamp(max(0, time_ms))
        found = self._offsets("cannot find where a time is in a topic", partitions, at)
        return {each: offset for each, offset in found.items() if offset >= 0}

    def _offsets(
        self,
        what: str,
        partitions: Collection[TopicPartition],
        at: admin.OffsetSpec,
        isolation: IsolationLevel = IsolationLevel.READ_COMMITTED,
    ) -> dict[TopicPartition, int]:
        if not partitions:
            return {}
        return self._ask(
            what,
            admin.AdminClient.list_offsets,
            lambda answer: {
                TopicPartition(each.topic, each.partition): future.result().offset for each, future in answer.items()
            },
            topic_partition_offsets={confluent_kafka.TopicPartition(*each): at for each in partitions},
            isolation_level=isolation,
        )


@contextmanager
def _without(code: int) -> Iterator[None]:
    """As `contextlib.suppress`, by what the broker says."""
    try:
        yield
    except KafkaException as error:
        if error.args[0].code() != code:
            raise


def _info(name: str, partitions: int, config: dict[str, Any]) -> TopicInfo:
    values = {key: entry.value or "" for key, entry in config.items()}
    retention, limit = values.get("retention.ms", ""), values.get("max.message.bytes", "")
    policies = values.get("cleanup.policy", "").split(",")
    return TopicInfo(
        name=name,
        partitions=partitions,
        # -1, and records that are only compacted, are kept for ever.
        retention_ms=int(retention) if policies != ["compact"] and retention.isdigit() else None,
        compacted="compact" in policies,
        max_record_bytes=int(limit) if limit.isdigit() else None,
    )
