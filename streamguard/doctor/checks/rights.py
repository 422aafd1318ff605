"""What we may do, and the group."""

from collections.abc import Iterator, Mapping, Sequence

import orjson

from streamguard.config import Config, KafkaLog
from streamguard.core.note import Note
from streamguard.doctor.facts import Cluster, Committed, Group, Topic, Transactions
from streamguard.doctor.finding import Finding
from streamguard.doctor.words import duration, some

_ACL = "kafka-acls.sh --bootstrap-server HOST:PORT --add --allow-principal User:..."
_READ, _WRITE, _DESCRIBE = "READ", "WRITE", "DESCRIBE"


def rights(config: Config, facts: Mapping[str, Topic]) -> Iterator[Finding]:
    """Whether a worker, and handlers, may do with each topic what they must."""
    roles = set(config.topics.values())
    for role, name in config.topics.items():
        topic = facts.get(name)
        if topic is not None:
            yield from _topic(role, topic)
    hidden = [each.name for each in facts.values() if each.exists and not each.settings and each.name in roles]
    if hidden:
        yield Finding(
            "settings-hidden",
            f"the settings of these topics may not be seen: {some(sorted(hidden))}",
            f"{_ACL} --operation DescribeConfigs --topic NAME",
        )
    if config.handlers and (topic := facts.get(config.dead_letters_topic)) is not None:
        yield from _topic("dead_letters", topic)


def _topic(role: str, topic: Topic) -> Iterator[Finding]:
    is_input = role in {"predictions", "labels"}
    needed = [_READ, _DESCRIBE] if is_input else [_WRITE, _DESCRIBE]
    # Outcomes and state are read back; alerts by handlers, and by `streamguard alerts`.
    needed += [_READ] if role in {"outcomes", "state", "alerts"} else []
    # Whether the state topic is compacted is looked at by a worker before it starts.
    needed += ["DESCRIBE_CONFIGS"] if role == "state" and topic.exists else []
    if topic.is_hidden:
        missing = needed
    elif topic.operations is None or not topic.exists:
        # Of one that is to be made, the broker is asked to validate the making.
        return
    else:
        missing = [each for each in needed if each not in topic.operations]
    if missing:
        words = [each.replace("_", " ").title().replace(" ", "") for each in missing]
        yield Finding(
            "topic-right",
            f"we may not {' or '.join(words)} topic {topic.name!r} ({role}.topic)"
            + (", nor see whether it exists" if topic.is_hidden else ""),
            f"{_ACL} {' '.join(f'--operation {each}' for each in words)} --topic {topic.name}",
        )


def groups(config: Config, facts: Sequence[Group], rules: tuple[int, ...]) -> Iterator[Finding]:
    """The worker's group, and those of handlers. `rules` are what the join goes by, as a note has it."""
    for group in facts:
        if group.is_forbidden:
            yield Finding(
                "group-right",
                f"we may not join the group {group.name!r}",
                f"{_ACL} --operation Read --operation Describe --group {group.name}",
            )
        elif group.problem is not None:
            yield Finding(
                "coordinator-unavailable",
                f"the group {group.name!r} cannot be asked for: {group.problem}",
                "see whether __consumer_offsets has leaders, and replicas enough: kafka-topics.sh --describe",
            )
        elif group.name == config.log.group:
            yield from _own(config, group, rules)


def _own(config: Config, group: Group, rules: tuple[int, ...]) -> Iterator[Finding]:
    if group.members:
        yield Finding(
            "group-active",
            f"{len(group.members)} members work in the group {group.name!r} now ({group.state})",
            "nothing, if they are yours: a new worker shares with them",
        )
    client = getattr(config.log, "client", None)
    theirs = {"streamguard": "kafka-python", "range": "confluent"}.get(group.protocol)
    if group.members and theirs is not None and theirs != client:
        yield Finding(
            "group-client",
            f"the members of the group {group.name!r} have log.client: {theirs}, and this configuration has {client}",
            f"set log.client: {theirs}, or stop all of them first",
        )
    inputs = {config.predictions_topic, config.labels_topic}
    yield from _noted([each for each in group.committed if each.topic in inputs], group, rules)
    lag = sum(max(0, each.end - each.offset) for each in group.committed if each.end is not None)
    if lag:
        yield Finding(
            "group-lag",
            f"the group {group.name!r} has {lag:,} records left to read",
            "nothing, if workers are running or about to; more of them catch up faster",
        )


def _noted(committed: Sequence[Committed], group: Group, rules: tuple[int, ...]) -> Iterator[Finding]:
    unread, other, gone = [], [], []
    for each in committed:
        place = f"{each.topic}-{each.partition}"
        try:
            note = Note.decode(each.note)
        except (ValueError, KeyError, TypeError, orjson.JSONDecodeError):
            unread.append(place)
            continue
        if note.rules != rules:
            other.append((place, note.rules))
        if each.start is not None and each.start > note.low and each.start > 0:
            gone.append(place)
    if unread:
        yield Finding(
            "group-note",
            f"the group {group.name!r} has offsets that streamguard did not commit: {some(unread)}",
            "set log.group to a name of its own, such as the model's",
        )
    if other:
        was, now = (" and ".join(map(duration, each)) for each in (other[0][1], rules))
        yield Finding(
            "group-window",
            f"the group {group.name!r} has worked with join.before, .after and .disorder of {was}, and they are {now}"
            f" now: {some([place for place, _ in other])}",
            "set them back, or begin anew under another log.group",
        )
    if gone:
        yield Finding(
            "group-retention",
            f"records that the group {group.name!r} must read back have been removed: {some(gone)}",
            "raise retention.ms of the topics, and begin anew under another log.group",
        )


def transactions(facts: Sequence[Transactions]) -> Iterator[Finding]:
    """Whether workers may commit."""
    for each in facts:
        if each.is_forbidden:
            yield Finding(
                "transaction-right",
                f"we may not use transactional IDs that begin with {each.prefix!r}",
                f"{_ACL} --operation Write --operation Describe --transactional-id {each.prefix}"
                " --resource-pattern-type prefixed",
            )
        elif each.problem is not None:
            yield Finding(
                "coordinator-unavailable",
                f"transactions of {each.prefix!r} cannot be asked for: {each.problem}",
                "see whether __transaction_state has leaders, and replicas enough: kafka-topics.sh --describe",
            )


def timeouts(settings: KafkaLog, facts: Cluster) -> Iterator[Finding]:
    """What a broker allows of session and transaction timeouts."""

    def told(name: str) -> int | None:
        text = facts.settings.get(name, "")
        return int(text) if text.isdigit() else None

    least, most = told("group.min.session.timeout.ms"), told("group.max.session.timeout.ms")
    if (least is not None and settings.session_timeout_ms < least) or (
        most is not None and settings.session_timeout_ms > most
    ):
        yield Finding(
            "session-timeout",
            f"log.session_timeout is {duration(settings.session_timeout_ms)}, and the broker allows"
            f" {duration(least or 0)} to {duration(most or 0)}",
            "set log.session_timeout within that, or group.min.session.timeout.ms and .max on the brokers",
        )
    longest = told("transaction.max.timeout.ms")
    if longest is not None and settings.transaction_timeout_ms > longest:
        yield Finding(
            "transaction-timeout",
            f"log.transaction_timeout is {duration(settings.transaction_timeout_ms)}, and the broker allows"
            f" {duration(longest)}",
            "lower log.transaction_timeout, or raise transaction.max.timeout.ms on the brokers",
        )


def handler_group(config: Config, name: str) -> str:
    """The consumer group of a handler."""
    return f"{config.log.group}-handler-{name}"
