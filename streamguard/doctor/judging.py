"""From all that was seen to all that is wrong with it: which check looks at which facts."""

from collections.abc import Iterator

from streamguard.config import Config, KafkaLog
from streamguard.doctor.checks import environment, keys, machine, network, packages, records, rights, topics
from streamguard.doctor.finding import Finding
from streamguard.doctor.gathering.seen import Seen
from streamguard.doctor.severity import Severity

_ORDER = list(Severity)


def findings(config: Config, seen: Seen) -> list[Finding]:
    """Each once, the worst first, and otherwise from the machine over the network to the records."""
    found = dict.fromkeys([*_machine(config, seen), *_log(config, seen), *machine.unfinished(seen.unseen)])
    return sorted(found, key=lambda each: _ORDER.index(each.severity))


def _machine(config: Config, seen: Seen) -> Iterator[Finding]:
    if seen.packages is not None:
        yield from packages.packages(config, seen.packages)
        yield from packages.codecs(seen.topics, seen.packages)
    if seen.environment is not None:
        yield from environment.environment(config, seen.environment)
    if seen.machine is not None:
        predictions = seen.topics.get(config.predictions_topic)
        partitions = len(predictions.partitions) if predictions is not None and predictions.exists else None
        yield from machine.limits(config, seen.machine, partitions, len(seen.advertised or ()))
        yield from machine.window(config, seen.machine, seen.samples)
    yield from machine.disks(config, seen.disks or ())
    yield from machine.profiles(config, seen.profiles or ())
    yield from network.handlers(seen.handlers or (), seen.now_ms)


def _log(config: Config, seen: Seen) -> Iterator[Finding]:
    if isinstance(config.log, KafkaLog):
        yield from _kafka(config, config.log, seen)
    if seen.log_problem is not None:
        yield Finding("embedded-unreadable", seen.log_problem, "name another file in log.path, or mend this one")
    if seen.topics:
        yield from topics.topics(config, seen.topics, seen.creations)
        yield from topics.retained(config, seen.topics, seen.samples)
    yield from _records(config, seen)


def _kafka(config: Config, settings: KafkaLog, seen: Seen) -> Iterator[Finding]:
    yield from network.ways(settings, seen.ways or (), seen.now_ms)
    if seen.refusal is not None:
        yield from network.begun(settings, *seen.refusal)
    yield from network.advertised(settings, seen.advertised or (), seen.now_ms)
    if seen.cluster is not None:
        yield from network.round_trips(seen.cluster)
        yield from network.clock(config, seen.cluster)
        yield from rights.timeouts(settings, seen.cluster)
    yield from topics.copies(config, seen.topics)
    yield from rights.rights(config, seen.topics)
    join = config.join
    yield from rights.groups(config, seen.groups, (join.before_ms, join.after_ms, join.disorder_ms))
    yield from rights.transactions(seen.transactions)


def _records(config: Config, seen: Seen) -> Iterator[Finding]:
    looked = records.looked(config, seen.samples)
    yield from records.records(config, looked)
    by_side = {each.side: each for each in looked if each.count}
    if len(by_side) == 2:
        sides = [by_side[side] for side in ("predictions", "labels")]
        counts = [len(seen.topics[each.sample.topic].partitions) for each in sides]
        yield from keys.keys(config, *(keys.keyed(*each) for each in zip(sides, counts, strict=True)))
