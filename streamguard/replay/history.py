"""From a configuration and what was asked for to the sources that a replay reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from streamguard.config import Config, EmbeddedLog, Mode
from streamguard.config import Field as FieldSetting
from streamguard.core import fields
from streamguard.core.codec import Mapping as FieldMapping
from streamguard.core.join import JoinSettings
from streamguard.errors import ConfigError, LogError
from streamguard.logs.interface import Log
from streamguard.replay.files import FileSource, find_files
from streamguard.replay.joining import Pair
from streamguard.replay.sources import Source
from streamguard.replay.topics import Range, TopicSource, spans_of
from streamguard.worker.topology import Topology, checked_inputs, derive, target_count

SIDES = ("predictions", "labels")


@dataclass(slots=True)
class History:
    """What is read, and what it says of itself."""

    kind: str
    """files, kafka, embedded or memory."""
    mode: Mode
    topology: Topology
    join: JoinSettings
    described: tuple[str, str]
    """The predictions, and the labels; in mode faithful both are the outcomes topic."""
    pairs: Sequence[Pair] = ()
    outcomes: Sequence[Source] = ()
    """By partition of the outcomes topic; in mode faithful."""
    notes: list[str] = field(default_factory=list)
    begins_cold: bool = False
    """Whether live may have seen what came before."""
    files: dict[str, list[str]] | None = None
    """Where files are, by side; None where records are not in files."""

    @property
    def topics(self) -> tuple[str, str]:
        """Of predictions, and of labels, as alerts name them."""
        return self.topology.inputs

    @property
    def size(self) -> int:
        """Of all sources, in their own unit; 0 where nobody knows."""
        sources = [each for pair in self.pairs for each in (pair.predictions, pair.labels)]
        sizes = [each.size for each in (*sources, *self.outcomes)]
        return sum(sizes) if all(sizes) else 0


@dataclass(frozen=True, slots=True)
class _Nothing:
    """An input that has no record in this partition."""

    topic: str
    partition: int
    size: int = 0

    def batches(self, *_: Any) -> Any:
        return iter(())


def needed_fields(config: Config) -> tuple[tuple[fields.Path, ...], tuple[fields.Path, ...]]:
    """The fields that every prediction, and every label, outside of Kafka must have.

    Raises `ConfigError` where no field says when it was: only Kafka stamps records.
    """
    sides = (
        ("predictions", config.predictions.fields, config.backtest.predictions_time),
        ("labels", config.labels.fields, config.backtest.labels_time),
    )
    found = []
    for side, of_side, time in sides:
        when = of_side.time or time
        if when is None:
            raise ConfigError(
                f"{side}.fields.time is not set, and outside of Kafka records have no timestamp: name the field that"
                f" says when {'a prediction was made' if side == 'predictions' else 'the truth became known'} in"
                f" backtest.{side}_time"
            )
        found.append((of_side.request_id.parts, of_side.value.parts, when.parts))
    return found[0], found[1]


def of_files(config: Config, *named: Sequence[Path]) -> History:
    """Files, directories or patterns: of predictions, and of labels."""
    topics = config.predictions.topic, config.labels.topic
    predictions, labels = (
        {number: FileSource(topic, number, paths, fields) for number, paths in find_files(given, f"--{side}").items()}
        for side, given, topic, fields in zip(SIDES, named, topics, needed_fields(config), strict=True)
    )
    described = [", ".join(map(str, given)) for given in named]
    history = of_records(config, predictions, labels, "files", (described[0], described[1]))
    history.files = {side: [str(path.resolve()) for path in given] for side, given in zip(SIDES, named, strict=True)}
    return history


def of_records(
    config: Config,
    predictions: Mapping[int, Source],
    labels: Mapping[int, Source],
    kind: str,
    described: tuple[str, str],
) -> History:
    """Records that are in no log, by partition number."""
    numbers = range(max(*predictions, *labels) + 1)
    for name, sources, others in (("predictions", predictions, labels), ("labels", labels, predictions)):
        if missing := sorted(set(others) - set(sources)):
            raise ConfigError(
                f"there are no {name} of partition {', '.join(map(str, missing))}: a prediction and its label must be"
                " of the same partition"
            )
    pairs = [
        Pair(
            number,
            predictions.get(number, _Nothing(config.predictions.topic, number)),
            labels.get(number, _Nothing(config.labels.topic, number)),
        )
        for number in numbers
    ]
    topology = derive(config, len(numbers), target_count(config, len(numbers)))
    join = replace(
        topology.join,
        predictions=_timed(topology.join.predictions, config.backtest.predictions_time),
        labels=_timed(topology.join.labels, config.backtest.labels_time),
    )
    return History(kind, Mode.IDEAL, topology, join, described, pairs)


def of_topics(config: Config, log: Log, mode: Mode, wanted: Range) -> History:
    """A range of the configuration's own topics. Nothing is joined, committed, created or written."""
    found = log.topics(config.topics.values())
    predictions, labels = checked_inputs(config, found)
    outcomes = found.get(config.outcomes_topic)
    targets = target_count(config, predictions.partitions) if outcomes is None else outcomes.partitions
    topology = derive(config, predictions.partitions, targets)
    kind = "embedded" if isinstance(config.log, EmbeddedLog) else "kafka"
    notes: list[str] = []
    if mode is Mode.FAITHFUL:
        name = config.outcomes_topic
        if outcomes is None:
            raise LogError(
                f"no topic {name!r}: mode faithful replays what workers of group {config.log.group!r} have joined;"
                " mode ideal needs only the inputs"
            )
        spans = spans_of(log, name, wanted, notes)
        sources = [TopicSource(config.log, name, number, spans[number]) for number in range(targets)]
        is_cold = any(span.start > 0 for span in spans.values())
        return History(
            kind, mode, topology, topology.join, (name, name), outcomes=sources, notes=notes, begins_cold=is_cold
        )
    both = [spans_of(log, topic.name, wanted, notes) for topic in (predictions, labels)]
    pairs = [
        Pair(
            number,
            TopicSource(config.log, predictions.name, number, both[0][number]),
            TopicSource(config.log, labels.name, number, both[1][number]),
        )
        for number in range(predictions.partitions)
    ]
    is_cold = any(span.start > 0 for spans in both for span in spans.values())
    described = (predictions.name, labels.name)
    return History(kind, mode, topology, topology.join, described, pairs, notes=notes, begins_cold=is_cold)


def _timed(mapping: FieldMapping, time: FieldSetting | None) -> FieldMapping:
    return mapping if mapping.time is not None or time is None else replace(mapping, time=time.parts)
