"""From a configuration and what was asked for to the sources that a replay reads."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from streamguard.config import Config, EmbeddedLog, Mode
from streamguard.config import Field as FieldSetting
from streamguard.core import fields
from streamguard.core.codec import Mapping as FieldMapping
from streamguard.core.join import JoinSettings
from streamguard.errors import ConfigError, LogError
from streamguard.logs.interface import Log
from streamguard.rekeying.sides import settings_of
from streamguard.replay.files import FileSource, find_files
from streamguard.replay.joining import Pair
from streamguard.replay.payloads import Unpacked, unpacked
from streamguard.replay.sources import Source, shown
from streamguard.replay.stamping import Stamped
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
    files: dict[str, list[dict[str, Any]]] | None = None
    """By side, in the order in which they were read: path, partition and bytes; None where records are in no files."""

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
    found = [find_files(given, f"--{side}") for side, given in zip(SIDES, named, strict=True)]
    described = [", ".join(map(shown, given)) for given in named]
    return of_found_files(config, found, (described[0], described[1]))


def of_found_files(
    config: Config, found: Sequence[Mapping[int, tuple[Path, ...]]], described: tuple[str, str]
) -> History:
    """Files by partition: of predictions, and of labels."""
    predictions, labels = (
        side_sources(config, side, partial(_file_sources, files)) for files, side in zip(found, SIDES, strict=True)
    )
    return of_records(config, predictions, labels, "files", described)


def _file_sources(
    files: Mapping[int, tuple[Path, ...]], topic: str, needed: tuple[fields.Path, ...]
) -> dict[int, Source]:
    return {number: FileSource(topic, number, paths, needed) for number, paths in files.items()}


def side_sources(
    config: Config, side: str, make: Callable[[str, tuple[fields.Path, ...]], dict[int, Source]]
) -> dict[int, Source]:
    """The sources of one side, by partition: `make` makes them of a topic's name and the fields that they must have.

    Where records are such as the re-key stage reads, those of all partitions become one.
    """
    needed = needed_fields(config)[SIDES.index(side)]
    section, topic = config.sides[side], config.topics[side]
    if not section.is_rekeyed:
        return make(topic, needed)
    # Outside of Kafka records have no timestamp: the time is what backtest.*_time says, where no field does.
    settings = settings_of(config, section, time=needed[-1])
    return unpacked(topic, make(section.topic, ()), settings)


def of_records(
    config: Config,
    predictions: Mapping[int, Source],
    labels: Mapping[int, Source],
    kind: str,
    described: tuple[str, str],
) -> History:
    """Records that are in no log, by partition number.

    Raises `ConfigError` where one side lacks a partition, or numbers are left out.
    """
    _check_numbers(predictions, labels)
    count = len(predictions)
    topology = derive(config, count, target_count(config, count))
    join = replace(
        topology.join,
        predictions=_timed(topology.join.predictions, config.backtest.predictions_time),
        labels=_timed(topology.join.labels, config.backtest.labels_time),
    )
    pairs = [
        Pair(
            number,
            Stamped(predictions[number], join.predictions, join.disorder_ms),
            Stamped(labels[number], join.labels, join.disorder_ms),
        )
        for number in range(count)
    ]
    history = History(kind, Mode.IDEAL, topology, join, described, pairs)
    if kind == "files":
        history.files = {side: _listed(found) for side, found in zip(SIDES, (predictions, labels), strict=True)}
        history.notes += _unwritable([*predictions.values(), *labels.values()])
    return history


def _listed(sources: Mapping[int, Source]) -> list[dict[str, Any]]:
    return [
        {"path": shown(path.resolve()), "partition": number, "bytes": path.stat().st_size}
        for number, source in _raw(sources.values())
        if isinstance(source, FileSource)
        for path in source.paths
    ]


def _raw(sources: Iterable[Source]) -> list[tuple[int, Source]]:
    """The sources that read records, each with its partition, also of those that unpack them."""
    inner = (each.sources if isinstance(each, Unpacked) else [each] for each in sources)
    return [(each.partition, each) for found in inner for each in found]


def _unwritable(sources: Sequence[Source]) -> Iterator[str]:
    paths = (path.resolve() for _, source in _raw(sources) if isinstance(source, FileSource) for path in source.paths)
    for path in islice((path for path in paths if shown(path) != str(path)), 1):
        yield (
            f"the name {shown(path)} is not UTF-8, and no report can hold it: for streamguard explain to find the file,"
            " rename it, and run the backtest again"
        )


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


def _check_numbers(predictions: Collection[int], labels: Collection[int]) -> None:
    for name, sources, others in (("predictions", predictions, labels), ("labels", labels, predictions)):
        if missing := sorted(set(others) - set(sources)):
            raise ConfigError(
                f"there are no {name} of partition {', '.join(map(str, missing))}: a prediction and its label must be"
                " of the same partition"
            )
    largest = max(predictions)
    if largest >= len(predictions):
        gap = next(number for number in range(largest) if number not in predictions)
        raise ConfigError(
            f"there is a partition {largest}, and none {gap}: N in the name of a directory partition=N is the number of"
            " a Kafka partition, and these are counted from 0. If it means a day or the like, rename the directories,"
            f" such as to day={largest}; if partition {gap} holds no records, put empty files in its place, such as"
            f" partition={gap}/none.jsonl"
        )


def _timed(mapping: FieldMapping, time: FieldSetting | None) -> FieldMapping:
    return mapping if mapping.time is not None or time is None else replace(mapping, time=time.parts)
