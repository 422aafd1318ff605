"""What a contract is learnt from, or held against: a topic of the configuration, or files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamguard.config import Config, LabelFields, PredictionFields
from streamguard.core.join import Input
from streamguard.core.records import Batch
from streamguard.errors import ConfigError
from streamguard.logs.opening import open_log
from streamguard.replay.files import FileSource, find_files

RECORDS_MAX = 1_000_000
"""That are read, unless more are asked for."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records."""

    side: Input
    files: Sequence[Path] = ()
    """Instead of the topic."""
    from_ms: int | None = None
    to_ms: int | None = None
    records: int = RECORDS_MAX

    @property
    def things(self) -> str:
        """What the records are called."""
        return self.side.name.lower()


def topic_of(config: Config, side: Input) -> str:
    """The topic of an input, as the join reads it."""
    return config.predictions_topic if side is Input.PREDICTIONS else config.labels_topic


def fields_of(config: Config, side: Input) -> PredictionFields | LabelFields:
    """Where its records keep what."""
    return config.predictions.fields if side is Input.PREDICTIONS else config.labels.fields


def batches(config: Config, wanted: Wanted) -> Iterator[Batch]:
    """Records in the order of each partition, as many as are wanted; raises `ConfigError` or `LogError`."""
    left = wanted.records
    for batch in _all(config, wanted):
        part = batch if len(batch) <= left else batch.part(0, left)
        if len(part):
            yield part
        left -= len(part)
        if left <= 0:
            return


def _all(config: Config, wanted: Wanted) -> Iterator[Batch]:
    if wanted.files:
        if wanted.from_ms is not None or wanted.to_ms is not None:
            raise ConfigError("--from, --to: are for topics; name the files of that time instead")
        for number, files in find_files(list(wanted.files), "--file").items():
            yield from FileSource(wanted.things, number, files, ()).batches(lambda _read: None)
        return
    topic = topic_of(config, wanted.side)
    log = open_log(config.log)
    try:
        if topic not in log.topics([topic]):
            raise ConfigError(f"{wanted.things}.topic: there is no topic {topic!r}; name files by --file instead")
        spans = log.spans(topic, wanted.from_ms, wanted.to_ms)
        yield from log.read(topic, spans={number: span for number, span in spans.items() if span.end > span.start})
    finally:
        log.close()
