"""All that was seen, as far as it was: each part is there by itself, also where others could not be looked at."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamguard.config import Config, EmbeddedLog, KafkaLog
from streamguard.doctor.facts import (
    Cluster,
    Creation,
    Disk,
    Environment,
    Group,
    HandlerReach,
    Machine,
    Packages,
    Partition,
    ProfileFile,
    Reach,
    Sample,
    Topic,
    Transactions,
)
from streamguard.doctor.gathering import files, handlers, machine, network, records
from streamguard.doctor.gathering.parallel import Asked
from streamguard.errors import LogError, StreamguardError
from streamguard.logs.interface import Log, TopicInfo
from streamguard.worker.topology import ours_of, retained_ms, target_count

if TYPE_CHECKING:
    from streamguard.doctor.gathering.cluster import Asker

ALL_S = 27.0
"""How long all of it may take."""

_KAFKAS_OWN = "__consumer_offsets", "__transaction_state"

Now = Callable[[], float]


@dataclass(slots=True)
class Seen:
    """Facts by part; None where a part was not looked at, or not in time."""

    packages: Packages | None = None
    environment: Environment | None = None
    machine: Machine | None = None
    disks: list[Disk] | None = None
    profiles: list[ProfileFile] | None = None
    handlers: list[HandlerReach] | None = None
    ways: list[Reach] | None = None
    advertised: list[Reach] | None = None
    cluster: Cluster | None = None
    topics: dict[str, Topic] = field(default_factory=dict)
    creations: list[Creation] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    transactions: list[Transactions] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    refusal: tuple[str, tuple[str, ...]] | None = None
    """No broker let us in: in which words, and for which of Kafka's errors."""
    log_problem: str | None = None
    """Why an embedded log cannot be used."""
    is_unreachable: bool = False
    """Whether the log could not be reached at all."""
    unseen: dict[str, str] = field(default_factory=dict)
    """Parts that could not be looked at, and why."""
    now_ms: int = 0


def see(config: Config, now_ms: Now) -> Seen:
    """Look at everything at once, for 27 s at most."""
    until_s = time.monotonic() + ALL_S
    seen = Seen(now_ms=int(now_ms()))
    questions: dict[str, Callable[[], Any]] = {
        "packages": partial(machine.packages, config),
        "environment": partial(machine.environment, config),
        "machine": machine.machine,
        "disks": partial(files.disks, config),
        "profiles": partial(files.profiles, config, seen.now_ms),
        "handlers": partial(handlers.handlers, config),
        "log": partial(_log, config, seen, now_ms, until_s),
    }
    found = Asked(questions).answers(until_s)
    for name in questions:
        answer = found.get(name, TimeoutError(f"not within {ALL_S:g} s"))
        if isinstance(answer, BaseException):
            seen.unseen[name] = _words(answer)
        elif name != "log":
            setattr(seen, name, answer)
    return seen


def _log(config: Config, seen: Seen, now_ms: Now, until_s: float) -> bool:
    if isinstance(config.log, EmbeddedLog):
        _embedded(config, config.log, seen, now_ms)
    else:
        _kafka(config, config.log, seen, now_ms, until_s)
    return True


def _embedded(config: Config, settings: EmbeddedLog, seen: Seen, now_ms: Now) -> None:
    from streamguard.logs.embedded import EmbeddedLog as File  # noqa: PLC0415

    names = config.topics.values()
    path = Path(settings.path)
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        # Looking must not make it.
        seen.topics = {name: Topic(name, exists=False) for name in names}
        return
    try:
        log = File(path)
    except LogError as error:
        seen.log_problem, seen.is_unreachable = str(error), True
        return
    try:
        found = log.topics(names)
        seen.topics = {name: _of_embedded(name, found.get(name)) for name in names}
        seen.samples = [_sample(log, config, name, now_ms) for name in list(names)[:2] if name in found]
    finally:
        log.close()


def _of_embedded(name: str, info: TopicInfo | None) -> Topic:
    if info is None:
        return Topic(name, exists=False)
    settings = {"cleanup.policy": "compact" if info.compacted else "delete"}
    if info.retention_ms is not None and not info.compacted:
        settings["retention.ms"] = str(info.retention_ms)
    if info.max_record_bytes is not None:
        settings["max.message.bytes"] = str(info.max_record_bytes)
    partitions = tuple(Partition(each, 0, 1, 1) for each in range(info.partitions))
    return Topic(name, exists=True, partitions=partitions, settings=settings)


def _kafka(config: Config, settings: KafkaLog, seen: Seen, now_ms: Now, until_s: float) -> None:
    # Its imports take a while, and an embedded log needs none of them.
    from streamguard.doctor.gathering import cluster  # noqa: PLC0415

    seen.ways = network.brokers(settings, [network.split(each) for each in settings.bootstrap_servers])
    mechanism = None if settings.security.sasl is None else settings.security.sasl.mechanism
    answering = tuple(each.place for each in seen.ways if each.kafka is not None and each.kafka.admits(mechanism))
    if not answering:
        seen.is_unreachable = True
        return
    # The others would only be tried again and again.
    settings = settings.model_copy(update={"bootstrap_servers": answering})
    try:
        with cluster.opened(settings) as asker:
            seen.advertised = network.brokers(settings, asker.places())
            if not any(each.is_open for each in seen.advertised):
                seen.is_unreachable = True
                return
            _asked(config, settings, seen, now_ms, asker, until_s)
    except cluster.CannotBootstrapError as error:
        causes = tuple(f"{type(each).__name__}: {each}" for each in error.causes)
        seen.refusal, seen.is_unreachable = (str(error), causes), True
    except StreamguardError as error:
        seen.refusal, seen.is_unreachable = (str(error), ()), True


def _asked(config: Config, settings: KafkaLog, seen: Seen, now_ms: Now, asker: "Asker", until_s: float) -> None:
    from streamguard.doctor.gathering import cluster  # noqa: PLC0415

    def step(name: str, ask: Callable[[], None]) -> None:
        try:
            ask()
        except cluster.Errors as error:
            seen.unseen[name] = _words(error)

    def topics() -> None:
        names = {*config.topics.values(), *_KAFKAS_OWN}
        names |= {config.dead_letters_topic} if config.handlers else set()
        seen.topics = asker.topics(names)

    step("topics", topics)
    sampled = Asked(
        {
            name: partial(_kafka_sample, settings, config, name, now_ms)
            for name in (config.predictions_topic, config.labels_topic)
            if _is_readable(seen.topics.get(name))
        }
    )
    step("cluster", lambda: setattr(seen, "cluster", asker.cluster(now_ms)))
    step("creations", lambda: setattr(seen, "creations", asker.creations(_to_create(config, seen.topics))))
    groups = [config.log.group, *(f"{config.log.group}-handler-{each.name}" for each in config.handlers)]
    for name in groups:
        step(f"group {name!r}", partial(_group, seen, asker, name, with_offsets=name == config.log.group))
        step(f"transactions of group {name!r}", partial(_transactions, seen, asker, name, settings.worker))
    for name, answer in sampled.answers(until_s - 0.5).items():
        seen.samples.append(Sample(name, problem=_words(answer)) if isinstance(answer, BaseException) else answer)


def _group(seen: Seen, asker: "Asker", name: str, *, with_offsets: bool) -> None:
    seen.groups.append(asker.group(name, with_offsets=with_offsets))


def _transactions(seen: Seen, asker: "Asker", name: str, worker: str | None) -> None:
    seen.transactions.append(asker.transactions(name, worker))


def _is_readable(topic: Topic | None) -> bool:
    if topic is None or not topic.exists or any(each.leader < 0 for each in topic.partitions):
        return False
    return topic.operations is None or "READ" in topic.operations


def _kafka_sample(settings: KafkaLog, config: Config, topic: str, now_ms: Now) -> Sample:
    from streamguard.logs.kafka import KafkaLog as Cluster  # noqa: PLC0415

    log = Cluster(settings)
    try:
        return _sample(log, config, topic, now_ms)
    finally:
        log.close()


def _sample(log: Log, config: Config, topic: str, now_ms: Now) -> Sample:
    return records.sample(log, topic, retained_ms(config), now_ms)


def _to_create(config: Config, topics: Mapping[str, Topic]) -> list[TopicInfo]:
    """Ours that are not there, as a worker or `streamguard handle` would make them."""
    inputs = [topics.get(each) for each in (config.predictions_topic, config.labels_topic)]
    known = [
        TopicInfo(each.name, len(each.partitions), max_record_bytes=each.number("max.message.bytes"))
        for each in inputs
        if each is not None and each.exists
    ] or [TopicInfo("", 1)]
    outcomes = topics.get(config.outcomes_topic)
    has_outcomes = outcomes is not None and outcomes.exists
    targets = len(outcomes.partitions) if has_outcomes and outcomes else target_count(config, known[0].partitions)
    ours = ours_of(config, known, targets)
    if config.handlers:
        ours.append(TopicInfo(config.dead_letters_topic, 1))
    # One that we may not see could be there: a right that is missing is another matter.
    unmade = {name for name, topic in topics.items() if not topic.exists and not topic.is_hidden}
    return [each for each in ours if each.name in unmade]


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
