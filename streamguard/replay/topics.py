"""Ranges of topics as sources: no group is joined, nothing is committed, nothing is written."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from streamguard.config import Config, EmbeddedLog, KafkaLog
from streamguard.core.alerts import rfc3339
from streamguard.core.records import Batch
from streamguard.errors import ConfigError, LogError
from streamguard.logs.interface import Log, Span
from streamguard.logs.opening import open_log
from streamguard.replay.sources import OnRead, ignored


def opened(config: Config) -> Log:
    """The configuration's log, to be read; raises `LogError` where there is none, and makes none."""
    if isinstance(config.log, EmbeddedLog) and not Path(config.log.path).is_file():
        raise LogError(f"log.path: there is no log at {Path(config.log.path).resolve()}")
    return open_log(config.log)


@dataclass(frozen=True, slots=True)
class TopicSource:
    """A span of one partition; opens the log itself, in whichever process it is read."""

    settings: EmbeddedLog | KafkaLog
    topic: str
    partition: int
    span: Span

    @property
    def size(self) -> int:
        """Offsets."""
        return self.span.end - self.span.start

    def batches(self, on_read: OnRead = ignored) -> Iterator[Batch]:
        """Committed records, in the order of their offsets."""
        if not self.size:
            return
        log = open_log(self.settings)
        try:
            for batch in log.read(self.topic, spans={self.partition: self.span}):
                on_read(batch.next_offset - self.span.start)
                yield batch
        finally:
            log.close()


@dataclass(frozen=True, slots=True)
class Range:
    """Of Kafka timestamps, in epoch milliseconds: from, and to before; None: as far as the topic reaches."""

    from_ms: int | None = None
    to_ms: int | None = None

    def __str__(self) -> str:
        begin = "the beginning" if self.from_ms is None else rfc3339(self.from_ms)
        return f"from {begin} to {'the end' if self.to_ms is None else rfc3339(self.to_ms)}"


def spans_of(log: Log, topic: str, wanted: Range, notes: list[str]) -> dict[int, Span]:
    """Where the range lies in each partition; `notes` get a sentence where retention has removed its start.

    Raises `ConfigError` where it holds nothing.
    """
    spans = log.spans(topic, wanted.from_ms, wanted.to_ms)
    if all(span.start == span.end for span in spans.values()):
        raise ConfigError(f"topic {topic!r} has no record {wanted}: {_held(log, topic)}")
    removed = [number for number, span in sorted(spans.items()) if 0 < span.held == span.start < span.end]
    if removed:
        first = _first_ms(log, topic, spans)
        notes.append(
            f"retention has removed the start of topic {topic!r} (partitions {', '.join(map(str, removed))}): what is"
            f" left begins {'' if first is None else f'at {rfc3339(first)}, '}at offsets above 0. A live worker saw"
            " what is gone, so its alerts may be others"
        )
    return spans


def _held(log: Log, topic: str) -> str:
    spans = log.spans(topic)
    first = _first_ms(log, topic, spans)
    if first is None:
        return "it is empty"
    last = max(
        int(batch.timestamps[-1])
        for number, span in spans.items()
        if span.start < span.end
        # The very last offset may be a marker.
        for batch in log.read(topic, spans={number: Span(max(span.start, span.end - 10), span.end, span.held)})
    )
    return f"its timestamps are from {rfc3339(first)} to {rfc3339(last)}"


def _first_ms(log: Log, topic: str, spans: dict[int, Span]) -> int | None:
    firsts = (
        next(iter(log.read(topic, spans={number: Span(span.start, min(span.end, span.start + 10), span.held)})), None)
        for number, span in spans.items()
        if span.start < span.end
    )
    return min((int(batch.timestamps[0]) for batch in firsts if batch is not None), default=None)
