"""From a configuration to what the stage reads and writes, and the topics for that."""

from collections.abc import Sequence
from dataclasses import dataclass

from streamguard.config import Config, EmbeddedLog, Labels, Predictions
from streamguard.core.codec import Mapping
from streamguard.core.fields import Path
from streamguard.core.payloads import adapter
from streamguard.core.rekey import Settings
from streamguard.errors import ConfigError, LogError
from streamguard.logs.interface import Log, TopicInfo

_WEEK_MS = 7 * 86_400_000
# A broker limits what a producer compressed; what came of it may be larger, and must fit uncompressed.
_REJECTED_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Side:
    """Predictions or labels."""

    name: str
    raw: str
    """The topic that is read."""
    written: str
    """The topic that is written, and that the join reads."""
    settings: Settings


def group_of(config: Config) -> str:
    """The consumer group of the stage."""
    return f"{config.log.group}-rekey"


def sides_of(config: Config) -> list[Side]:
    """What is written anew; raises `ConfigError` where nothing is."""
    found = [
        Side(name, section.topic, config.topics[name], settings_of(config, section))
        for name, section in config.sides.items()
        if section.is_rekeyed
    ]
    if not found:
        raise ConfigError(
            "nothing to write anew: predictions and labels are read as they come. Set predictions.format, or"
            " predictions.rekey where records are plain and lack the request ID as key"
        )
    return found


def settings_of(config: Config, section: Predictions | Labels, time: Path | None = None) -> Settings:
    """How one side is read; `time` is where a plain record's time is, unless its fields say so."""
    fields, limits = section.fields, config.limits
    mapping = Mapping(
        fields.request_id.parts,
        fields.value.parts,
        time=time if fields.time is None else fields.time.parts,
        record_bytes=limits.record_bytes,
    )
    return Settings(adapter(section.format, mapping), config.join.disorder_ms, config.join.max_ahead_ms)


def prepare(config: Config, log: Log) -> tuple[list[Side], int | None]:
    """The sides, when their topics are there; and the largest record that the rejected topic takes, None: any.

    Creates the topics that the stage writes. Raises `LogError` where a raw topic is missing, or partitions do not fit.
    """
    sides = sides_of(config)
    names = {*config.topics.values(), *(side.raw for side in sides)}
    found = log.topics(names)
    if isinstance(config.log, EmbeddedLog):
        for side in sides:
            if side.raw not in found:
                log.create(TopicInfo(side.raw, config.log.partitions))
        found = log.topics(names)
    missing = [repr(side.raw) for side in sides if side.raw not in found]
    if missing:
        raise LogError(
            f"no topic {' and no topic '.join(missing)}: create it, or mend predictions.topic or labels.topic"
        )
    ours = [_written(config, side, found[side.raw], _count(config, sides, side, found)) for side in sides]
    largest = max(_REJECTED_BYTES, *(2 * (found[side.raw].max_record_bytes or 0) for side in sides))
    ours.append(TopicInfo(config.rejected_topic, ours[0].partitions, 2 * _WEEK_MS, max_record_bytes=largest))
    absent = [topic for topic in ours if topic.name not in found]
    if absent and not getattr(config.log, "create_topics", True):
        told = ", ".join(f"{topic.name} ({topic.partitions} partitions)" for topic in absent)
        raise LogError(f"topics are missing, and log.create_topics is off; create: {told}")
    for topic in absent:
        log.create(topic)
    _check(config, sides, ours, found)
    rejected = found.get(config.rejected_topic)
    return sides, largest if rejected is None else rejected.max_record_bytes


def _count(config: Config, sides: Sequence[Side], side: Side, found: dict[str, TopicInfo]) -> int:
    """How many partitions a topic gets where it does not exist yet: predictions and labels need the same number."""
    own = config.sides[side.name].partitions
    if own is not None:
        return own
    other = "labels" if side.name == "predictions" else "predictions"
    topic = found.get(config.topics[other])
    if topic is not None:
        return topic.partitions
    return config.sides[other].partitions or found[sides[0].raw].partitions


def _written(config: Config, side: Side, raw: TopicInfo, count: int) -> TopicInfo:
    """As long kept as the raw topic, and no shorter than the join needs."""
    needed_ms = max(_WEEK_MS, 2 * config.horizon_ms + config.join.disorder_ms)
    kept_ms = None if raw.retention_ms is None else max(raw.retention_ms, needed_ms)
    return TopicInfo(side.written, count, kept_ms, max_record_bytes=raw.max_record_bytes)


def _check(config: Config, sides: Sequence[Side], ours: Sequence[TopicInfo], found: dict[str, TopicInfo]) -> None:
    counts = {topic.name: found.get(topic.name, topic).partitions for topic in ours[: len(sides)]}
    for side in sides:
        wanted = config.sides[side.name].partitions
        if wanted not in (None, counts[side.written]):
            raise LogError(
                f"topic {side.written!r} has {counts[side.written]} partitions, and {side.name}.partitions is {wanted}:"
                " set that to what it has, or begin anew under another log.group"
            )
        if found[side.raw].compacted:
            raise LogError(f"topic {side.raw!r} is compacted: records that are still needed would vanish")
