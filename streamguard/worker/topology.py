"""From a config to tasks and topics, and whether the log can carry them."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from zlib import crc32

from streamguard.config import Config, EmbeddedLog, Field, Monitor
from streamguard.core.codec import Mapping, Watch
from streamguard.core.environment.task import EnvironmentSettings
from streamguard.core.features.reference import Reference
from streamguard.core.fields import Path, canonical
from streamguard.core.intake import MonitorSettings
from streamguard.core.join import JoinSettings
from streamguard.core.losses import Loss
from streamguard.core.records import Stream
from streamguard.errors import LogError
from streamguard.logs.interface import Log, TopicInfo
from streamguard.preparing.opening import built
from streamguard.reference.comparing import Wanted, reference_of
from streamguard.reference.document import Profile
from streamguard.worker.arriving import arrivals, shared

_SCORED = (Loss.LOG_LOSS, Loss.BRIER)
# A broker limits what a producer compressed; what came of it may be larger, and must fit uncompressed.
_REJECTED_BYTES = 64 << 20
STATE_BYTES = 8 << 20
"""The largest record of the state topic."""
_DAY_MS = 86_400_000
_ENVIRONMENT_DAYS = 30


@dataclass(frozen=True, slots=True)
class Topology:
    """Everything fixed at start: the settings of the tasks, and the topics they read and write."""

    config: Config
    source_count: int
    target_count: int
    join: JoinSettings
    monitor: MonitorSettings
    environment: EnvironmentSettings | None = None
    rejected_partitions: int = 0
    rejected_bytes: int | None = None
    """The largest record that the rejected topic takes; None: any."""

    @property
    def inputs(self) -> tuple[str, str]:
        """The predictions and the labels topic."""
        return self.config.predictions_topic, self.config.labels_topic

    @property
    def outcomes(self) -> str:
        return self.config.outcomes_topic

    @property
    def topic_groups(self) -> list[tuple[str, ...]]:
        """Topics by the kind of task that reads them."""
        watched = [] if self.environment is None else [(self.config.environment_topic,)]
        return [self.inputs, (self.outcomes,), *watched]

    def topic(self, stream: Stream) -> str:
        """The topic behind a task's output."""
        names = {
            Stream.OUTCOMES: self.config.outcomes_topic,
            Stream.REJECTED: self.config.rejected_topic,
            Stream.ALERTS: self.config.alerts.topic,
            Stream.STATE: self.config.state_topic,
        }
        return names[stream]


def prepare(config: Config, log: Log) -> Topology:
    """Check the topics, create those of ours that are missing, and derive the tasks' settings.

    Raises `LogError` where a topic is missing, or is not such that the results would be right.
    """
    found = log.topics(config.topics.values())
    if isinstance(config.log, EmbeddedLog):
        for role, section in config.sides.items():
            name = config.topics[role]
            if name not in found and not section.is_rekeyed:
                log.create(TopicInfo(name, config.log.partitions))
        found = log.topics(config.topics.values())
    predictions, labels = checked_inputs(config, found)
    for topic in (predictions, labels):
        _check_retention(config, topic)
    existing = found.get(config.outcomes_topic)
    targets = target_count(config, predictions.partitions) if existing is None else existing.partitions
    if config.outcomes.partitions not in (None, targets):
        raise LogError(
            f"topic {config.outcomes_topic!r} has {targets} partitions, and outcomes.partitions is"
            f" {config.outcomes.partitions}: set that to {targets}, or name a new outcomes and state topic"
        )
    ours = _create_ours(config, log, found, targets)
    if config.environment is not None:
        prepare_environment(config, log)
    rejected = ours[config.rejected_topic]
    topology = derive(config, predictions.partitions, targets)
    return replace(topology, rejected_partitions=rejected.partitions, rejected_bytes=rejected.max_record_bytes)


def prepare_environment(config: Config, log: Log) -> None:
    """Make the environment topic where it is missing; raises `LogError` where it has more partitions than one."""
    name = config.environment_topic
    found = log.topics([name]).get(name)
    if found is not None and found.partitions != 1:
        raise LogError(
            f"topic {name!r} has {found.partitions} partitions, and must have one, so that all instances are compared"
            " with each other: name another as environment.topic"
        )
    if found is None and not getattr(config.log, "create_topics", True):
        raise LogError(f"topic {name!r} is missing, and log.create_topics is off; create it with 1 partition")
    if found is None:
        log.create(TopicInfo(name, 1, retention_ms=_ENVIRONMENT_DAYS * _DAY_MS))


def target_count(config: Config, source_count: int) -> int:
    """How many partitions the outcomes topic gets where it does not exist yet."""
    return config.outcomes.partitions or min(len(config.monitors), source_count)


def checked_inputs(config: Config, found: dict[str, TopicInfo]) -> tuple[TopicInfo, TopicInfo]:
    """The predictions and the labels topic; raises `LogError` where one is missing, or they do not belong together."""
    predictions, labels = _inputs(config, found)
    if predictions.partitions != labels.partitions:
        raise LogError(
            f"topic {predictions.name!r} has {predictions.partitions} partitions and {labels.name!r} has"
            f" {labels.partitions}: a prediction and its label must be on the same partition number, so give"
            " both the same count, and the request ID as key"
        )
    return predictions, labels


def _inputs(config: Config, found: dict[str, TopicInfo]) -> tuple[TopicInfo, TopicInfo]:
    names = (config.predictions_topic, config.labels_topic)
    missing = [name for name in names if name not in found]
    for role, section in config.sides.items():
        if config.topics[role] in missing and section.is_rekeyed:
            raise LogError(
                f"no topic {config.topics[role]!r}: `streamguard rekey` makes it, and writes there what it reads from"
                f" {section.topic!r}; start that with this configuration, and leave it running beside the workers"
            )
    if missing:
        raise LogError(
            f"no topic {' and no topic '.join(map(repr, missing))}: create it, or mend predictions.topic"
            " or labels.topic"
        )
    return found[names[0]], found[names[1]]


def retained_ms(config: Config) -> int:
    """How long the inputs must keep records.

    A restart reads back the window, and once more as far to know what was a duplicate then.
    """
    return 2 * config.horizon_ms + config.join.disorder_ms


def _check_retention(config: Config, topic: TopicInfo) -> None:
    needed_ms = retained_ms(config)
    if topic.compacted:
        raise LogError(f"topic {topic.name!r} is compacted: records that are still needed would vanish")
    if topic.retention_ms is not None and topic.retention_ms < needed_ms:
        raise LogError(
            f"topic {topic.name!r} keeps records for {topic.retention_ms} ms, and a restart must read back"
            f" {needed_ms} ms (twice the join window, and join.disorder): raise its retention.ms, or shorten"
            " join.after"
        )


def ours_of(config: Config, inputs: Collection[TopicInfo], targets: int) -> list[TopicInfo]:
    """The topics that a worker makes where they are missing: outcomes, state, rejected, alerts."""
    largest = max(_REJECTED_BYTES, *(2 * (topic.max_record_bytes or 0) for topic in inputs))
    count = max(topic.partitions for topic in inputs)
    week_ms = 7 * _DAY_MS
    return [
        TopicInfo(config.outcomes_topic, targets, retention_ms=week_ms),
        TopicInfo(config.state_topic, targets, compacted=True, max_record_bytes=STATE_BYTES),
        TopicInfo(config.rejected_topic, count, retention_ms=2 * week_ms, max_record_bytes=largest),
        TopicInfo(config.alerts.topic, 1, retention_ms=None),
    ]


def _create_ours(config: Config, log: Log, found: dict[str, TopicInfo], targets: int) -> dict[str, TopicInfo]:
    """Those that are missing; returns all of them. What another worker makes at this moment is as we would make it."""
    inputs = [found[name] for name in (config.predictions_topic, config.labels_topic)]
    ours = ours_of(config, inputs, targets)
    missing = [topic for topic in ours if topic.name not in found]
    if missing and not getattr(config.log, "create_topics", True):
        names = ", ".join(f"{topic.name} ({topic.partitions} partitions)" for topic in missing)
        raise LogError(f"topics are missing, and log.create_topics is off; create: {names}")
    for topic in missing:
        log.create(topic)
    state = found.get(config.state_topic)
    if state is not None and (state.partitions != targets or not state.compacted):
        raise LogError(
            f"topic {state.name!r} must be compacted and have {targets} partitions, as many as"
            f" {config.outcomes_topic!r}"
        )
    return {topic.name: found.get(topic.name, topic) for topic in ours}


def derive(config: Config, source_count: int, target_count: int) -> Topology:
    """The tasks' settings for so many input and outcomes partitions."""
    names = [monitor.name for monitor in config.monitors]
    predictions, labels, join = config.predictions.fields, config.labels.fields, config.join
    by_name = references(config)
    arriving = arrivals(config, target_count)
    settings = JoinSettings(
        before_ms=join.before_ms,
        after_ms=join.after_ms,
        disorder_ms=join.disorder_ms,
        predictions=Mapping(
            predictions.request_id.parts,
            predictions.value.parts,
            predictions.value.type,
            _parts(predictions.time),
            _parts(predictions.score),
            _parts(predictions.model),
            max_ahead_ms=join.max_ahead_ms,
            record_bytes=config.limits.record_bytes,
            request_id_chars=config.limits.request_id_chars,
        ),
        labels=Mapping(
            labels.request_id.parts,
            labels.value.parts,
            labels.value.type,
            _parts(labels.time),
            max_ahead_ms=join.max_ahead_ms,
            record_bytes=config.limits.record_bytes,
            request_id_chars=config.limits.request_id_chars,
        ),
        watches=[_watch(config, monitor) for monitor in config.monitors],
        # By name, so that a monitor keeps its partition when others come and go.
        targets=[crc32(name.encode()) % target_count for name in names],
        target_count=target_count,
        source_count=source_count,
        held_max=join.max_waiting,
        held_bytes_max=join.max_waiting_bytes,
        monitor_names=names,
        memory_records=join.store.memory_records,
        with_scores=any(monitor.loss in _SCORED for monitor in config.monitors),
        references={number: by_name[name] for number, name in enumerate(names) if name in by_name},
        arrivals=arriving.counted,
    )
    monitoring = MonitorSettings(
        monitors=config.monitors,
        source_count=source_count,
        predictions_topic=config.predictions_topic,
        labels_topic=config.labels_topic,
        cooldown_ms=config.alerts.cooldown_ms,
        budget_per_month=config.budget.false_alarms_per_month,
        reach_ms=(join.before_ms + join.after_ms, join.after_ms),
        alert_source=f"streamguard/{config.log.group}",
        has_structured_alerts=config.alerts.mode == "structured",
        references=by_name,
        arrivals=arriving.told,
    )
    monitoring = replace(monitoring, arrivals=shared(arriving.told, monitoring.share))
    environment = None
    if config.environment is not None:
        environment = EnvironmentSettings(
            config.environment,
            config.alerts.cooldown_ms,
            monitoring.alert_source,
            monitoring.has_structured_alerts,
            config.limits.record_bytes,
            probe_checks=config.probe_checks,
        )
    return Topology(config, source_count, target_count, settings, monitoring, environment)


def references(config: Config) -> dict[str, Reference]:
    """By name of the monitor: what its predictions are held against. Raises `ConfigError`."""
    fields = config.predictions.fields
    found = {}
    for index, monitor in enumerate(config.monitors):
        data = monitor.data
        if data is None:
            continue
        wanted = Wanted(
            where=f"monitors.{index}.data",
            profile=None if data.profile is None else Profile.load(data.profile),
            features=tuple(data.features.split(".")) if data.features else (),
            paths={name: tuple(path.split(".")) for name, path in data.fields.items()},
            leave_out=data.leave_out,
            steps={name: [built(step) for step in steps] for name, steps in data.steps.items()},
            raws={name: tuple(path.split(".")) for name, path in data.raw.items()},
            prediction=fields.value.parts,
            score=_parts(fields.score),
            window_ms=data.window_ms,
            positive=monitor.positive,
            model=canonical(monitor.match.get("model")),
            version=canonical(monitor.match.get("version")),
        )
        found[monitor.name] = reference_of(wanted)
    return found


def _parts(field: Field | None) -> Path | None:
    return None if field is None else field.parts


def _watch(config: Config, monitor: Monitor) -> Watch:
    fields = config.predictions.fields
    known = {"model": fields.model, "version": fields.version}

    def path(name: str) -> Path:
        field = known.get(name)
        return tuple(name.split(".")) if field is None else field.parts

    match = tuple((path(name), canonical(value) or "") for name, value in monitor.match.items())
    return Watch(match, tuple(path(name) for name in monitor.split_by))
