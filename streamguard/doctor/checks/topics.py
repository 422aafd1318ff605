"""Topics: whether they are there, fit each other and the join, and keep what is needed."""

from collections.abc import Iterator, Mapping, Sequence

from streamguard.config import Config, EmbeddedLog
from streamguard.config.handlers import RetrainHandler
from streamguard.core.records import Batch
from streamguard.doctor.facts import Creation, Sample, Topic
from streamguard.doctor.finding import Finding
from streamguard.doctor.words import duration, size, some
from streamguard.worker.topology import STATE_BYTES, retained_ms, target_count

# A record of the outcomes topic is cut at 900 kB, and a producer's batch has a header.
_RECORD_BYTES = 1_000_000
_KAFKAS_OWN = "__consumer_offsets", "__transaction_state"


def alter(topic: str, setting: str) -> str:
    """The command that changes a setting of a topic."""
    return (
        "kafka-configs.sh --bootstrap-server HOST:PORT --alter --entity-type topics"
        f" --entity-name {topic} --add-config {setting}"
    )


def topics(config: Config, facts: Mapping[str, Topic], creations: Sequence[Creation] = ()) -> Iterator[Finding]:
    """All topics of the configuration, whichever of them exist."""
    inputs = [facts.get(each) for each in (config.predictions_topic, config.labels_topic)]
    predictions, labels = (each if each is not None and each.exists else None for each in inputs)
    yield from _missing(config, facts, creations)
    if predictions is not None and labels is not None:
        yield from _equal(predictions, labels)
    for topic in (predictions, labels):
        if topic is not None:
            yield from _input(config, topic)
    if predictions is not None and config.predictions.fields.time is None:
        yield from _appended(predictions)
    yield from _ours(config, facts, None if predictions is None else len(predictions.partitions))


def _appended(predictions: Topic) -> Iterator[Finding]:
    if predictions.settings.get("message.timestamp.type") == "LogAppendTime":
        yield Finding(
            "timestamps-appended",
            f"topic {predictions.name!r} has message.timestamp.type=LogAppendTime, and predictions.fields.time is not"
            " set",
            "set predictions.fields.time, or " + alter(predictions.name, "message.timestamp.type=CreateTime"),
        )


def _missing(config: Config, facts: Mapping[str, Topic], creations: Sequence[Creation]) -> Iterator[Finding]:
    is_embedded = isinstance(config.log, EmbeddedLog)
    for role in ("predictions", "labels"):
        name = config.topics[role]
        topic = facts.get(name)
        if topic is not None and not topic.exists and not topic.is_hidden and not is_embedded:
            yield Finding(
                "topic-missing",
                f"there is no topic {name!r} ({role}.topic)",
                f"kafka-topics.sh --bootstrap-server HOST:PORT --create --topic {name} --partitions N, or mend"
                f" {role}.topic",
            )
    may_create = getattr(config.log, "create_topics", True)
    for each in creations:
        if not may_create:
            yield Finding(
                "topic-not-created",
                f"there is no topic {each.name!r}, and log.create_topics is off",
                f"kafka-topics.sh --bootstrap-server HOST:PORT --create --topic {each.name} --partitions"
                f" {each.partitions}",
            )
        elif each.is_forbidden:
            yield Finding(
                "topic-not-created",
                f"there is no topic {each.name!r}, and we may not create it",
                f"kafka-acls.sh --add --allow-principal User:... --operation Create --topic {each.name}, or create it"
                f" with {each.partitions} partitions",
            )
        elif each.problem is not None:
            yield Finding(
                "topic-not-created",
                f"the broker would not create topic {each.name!r}: {each.problem}",
                "set log.replication_factor to what the brokers can do, or create the topic by hand",
            )
        else:
            yield from _insync(each.name, each.min_insync, each.replicas)
    made = [f"{each.name} ({each.partitions})" for each in creations if may_create and each.problem is None]
    if made:
        yield Finding(
            "topic-to-create",
            f"these topics do not exist yet (in brackets their partitions): {', '.join(made)}",
            "nothing: a worker, or streamguard handle, creates them",
        )


def _equal(predictions: Topic, labels: Topic) -> Iterator[Finding]:
    counts = len(predictions.partitions), len(labels.partitions)
    if counts[0] != counts[1]:
        fewer, more = (labels, predictions) if counts[0] > counts[1] else (predictions, labels)
        yield Finding(
            "partitions-unequal",
            f"topic {predictions.name!r} has {counts[0]} partitions, and {labels.name!r} has {counts[1]}",
            f"create {fewer.name!r} anew with {len(more.partitions)} partitions, and write its records again, so that"
            " each key is where it belongs",
        )


def _input(config: Config, topic: Topic) -> Iterator[Finding]:
    policy, needed_ms = topic.settings.get("cleanup.policy", ""), retained_ms(config)
    if "compact" in policy:
        yield Finding(
            "input-compacted",
            f"topic {topic.name!r} has cleanup.policy={policy}: records that are still needed would vanish",
            alter(topic.name, "cleanup.policy=delete"),
        )
    kept_ms = topic.number("retention.ms")
    if kept_ms is not None and kept_ms < needed_ms and "delete" in (policy or "delete"):
        yield Finding(
            "retention-short",
            f"topic {topic.name!r} keeps records for {duration(kept_ms)}, and a restart must read back"
            f" {duration(needed_ms)} (twice the join window, and join.disorder)",
            f"{alter(topic.name, f'retention.ms={needed_ms}')}; or shorten join.after",
        )
    limit = topic.number("max.message.bytes")
    if limit is not None and limit > 2 * config.limits.record_bytes:
        yield Finding(
            "record-limit",
            f"topic {topic.name!r} takes records of up to {size(limit)} (max.message.bytes), and limits.record_bytes is"
            f" {size(config.limits.record_bytes)}",
            f"set limits.record_bytes: {limit}, or " + alter(topic.name, f"max.message.bytes={_RECORD_BYTES}"),
        )


def _ours(config: Config, facts: Mapping[str, Topic], inputs: int | None) -> Iterator[Finding]:
    there = {role: facts[name] for role, name in config.topics.items() if name in facts and facts[name].exists}
    outcomes, state = there.get("outcomes"), there.get("state")
    targets = None if inputs is None else target_count(config, inputs)
    if outcomes is not None:
        targets = len(outcomes.partitions)
        if config.outcomes.partitions not in (None, targets):
            yield Finding(
                "outcomes-partitions",
                f"topic {outcomes.name!r} has {targets} partitions, and outcomes.partitions is"
                f" {config.outcomes.partitions}",
                f"set outcomes.partitions: {targets}, or name a new outcomes and state topic",
            )
    if state is not None:
        yield from _state(state, targets)
    alerts = there.get("alerts")
    has_retraining = any(isinstance(each, RetrainHandler) for each in config.handlers)
    if alerts is not None and len(alerts.partitions) > 1 and has_retraining:
        yield Finding(
            "alerts-partitions",
            f"topic {alerts.name!r} has {len(alerts.partitions)} partitions, and a handler starts retraining",
            "name a new alerts.topic: the worker makes it with one partition",
        )
    yield from _limits(config, there)


def _state(state: Topic, targets: int | None) -> Iterator[Finding]:
    if targets is not None and len(state.partitions) != targets:
        yield Finding(
            "state-partitions",
            f"topic {state.name!r} has {len(state.partitions)} partitions, and there are {targets} of the outcomes",
            "name a new state.topic: the worker makes it; or delete this one while no worker runs",
        )
    policy = state.settings.get("cleanup.policy")
    if policy is not None and "compact" not in policy:
        yield Finding(
            "state-not-compacted",
            f"topic {state.name!r} has cleanup.policy={policy}",
            alter(state.name, "cleanup.policy=compact"),
        )


def _limits(config: Config, there: Mapping[str, Topic]) -> Iterator[Finding]:
    least = {
        "outcomes": _RECORD_BYTES,
        "alerts": _RECORD_BYTES,
        "state": STATE_BYTES,
        "rejected": min(config.limits.record_bytes, _RECORD_BYTES),
    }
    for role, needed in least.items():
        topic = there.get(role)
        limit = None if topic is None else topic.number("max.message.bytes")
        if topic is not None and limit is not None and limit < needed:
            yield Finding(
                "message-limit",
                f"topic {topic.name!r} takes records of up to {size(limit)} (max.message.bytes), and ours may have"
                f" {size(needed)}",
                alter(topic.name, f"max.message.bytes={needed}"),
            )


def copies(config: Config, facts: Mapping[str, Topic]) -> Iterator[Finding]:
    """Replicas, those in sync, and leaders, of every topic that exists."""
    written = {name for role, name in config.topics.items() if role not in {"predictions", "labels"}}
    for topic in facts.values():
        if not topic.exists:
            continue
        # A broker starts without a leader of a topic that is being made; one that lasts is an error.
        lost = [str(each.number) for each in topic.partitions if each.leader < 0]
        behind = [str(each.number) for each in topic.partitions if each.leader >= 0 and each.in_sync < each.replicas]
        if lost:
            yield Finding(
                "partition-offline",
                f"topic {topic.name!r} has no leader for partition {some(lost)}",
                "start the brokers that hold it: kafka-topics.sh --describe --unavailable-partitions",
            )
        if behind:
            yield Finding(
                "under-replicated",
                f"topic {topic.name!r} lacks replicas that are in sync, in partition {some(behind)}",
                "look at the brokers: kafka-topics.sh --describe --under-replicated-partitions",
            )
        if topic.name in written or topic.name in _KAFKAS_OWN:
            least = topic.number("min.insync.replicas")
            yield from _insync(topic.name, least, min((each.in_sync for each in topic.partitions), default=None))


def _insync(topic: str, least: int | None, replicas: int | None) -> Iterator[Finding]:
    if least is not None and replicas is not None and least > replicas:
        yield Finding(
            "min-insync",
            f"topic {topic!r} has min.insync.replicas={least}, and {replicas} replicas in sync: no write is confirmed",
            f"{alter(topic, f'min.insync.replicas={replicas}')}, or add replicas (log.replication_factor for new"
            " topics)",
        )


def retained(config: Config, facts: Mapping[str, Topic], samples: Sequence[Sample]) -> Iterator[Finding]:
    """Whether `retention.bytes` keeps what must be read back, at the rate of now."""
    for sample in samples:
        topic = facts.get(sample.topic)
        limit = None if topic is None else topic.number("retention.bytes")
        counts = [len(batch) for batch in sample.batches]
        if topic is None or limit is None or not sum(counts):
            continue
        total = sum(len(key or b"") + len(value or b"") for batch in sample.batches for key, value in _pairs(batch))
        each = total / sum(counts) + _OVERHEAD_BYTES
        number, most = max(sample.windows.items(), key=lambda item: item[1])
        if most * each > limit:
            yield Finding(
                "retention-bytes-short",
                f"topic {topic.name!r} keeps {size(limit)} of each partition (retention.bytes), and partition {number}"
                f" has about {most:,} records of {each:.0f} bytes in the {duration(retained_ms(config))} that a restart"
                f" reads back, {size(most * each)} before compression",
                alter(topic.name, f"retention.bytes={int(2 * most * each)}"),
            )


# A record's own fields in a batch: lengths, offset, time, no headers.
_OVERHEAD_BYTES = 10


def _pairs(batch: Batch) -> Iterator[tuple[bytes | None, bytes | None]]:
    yield from zip(batch.keys, batch.values, strict=True)
