"""Ranges of topics as sources: no group is joined, nothing is committed, nothing is written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from streamguard.config import Config, EmbeddedLog, KafkaLog
from streamguard.core.alerts import rfc3339
from streamguard.core.records import Batch
from streamguard.errors import ConfigError, LogError
from streamguard.logs.interface import Log, Span
from streamguard.logs.opening import open_log
from streamguard.replay.reading import TopicReader
from streamguard.replay.sources import OnRead, Source, Wrapped, ignored

# So many offsets are looked at first for a partition's last record.
_TAIL = 100


def opened(config: Config) -> Log:
    """The configuration's log, to be read; raises `LogError` where there is none, and makes none."""
    if isinstance(config.log, EmbeddedLog) and not Path(config.log.path).is_file():
        raise LogError(f"log.path: there is no log at {Path(config.log.path).resolve()}")
    return open_log(config.log)


@dataclass(frozen=True, slots=True)
class TopicSource:
    """A span of one partition; opens the log itself, in whichever process it is read.

    Each opens one for itself, unless they are read `together`.
    """

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
        (source,) = together([self])
        return source.batches(on_read)

    def within(self, start: int, end: int) -> "TopicSource":
        """Only what it has of these offsets."""
        first = min(max(start, self.span.start), self.span.end)
        return replace(self, span=replace(self.span, start=first, end=max(first, min(end, self.span.end))))


@dataclass(frozen=True, slots=True)
class _Shared(Wrapped):
    """A source whose reader others have, too; to be read once."""

    reader: TopicReader
    start: int

    def batches(self, on_read: OnRead = ignored) -> Iterator[Batch]:
        try:
            while (batch := self.reader.next(self.partition)) is not None:
                on_read(batch.next_offset - self.start)
                if len(batch):
                    yield batch
        finally:
            self.reader.leave(self.partition)


def together(sources: Sequence[Source]) -> list[Source]:
    """The same sources, to be read once, in this process; those of a topic through one client.

    A client for each would be hundreds of connections and threads where there are hundreds of partitions.
    """
    by_topic: dict[str, list[TopicSource]] = {}
    for each in sources:
        if isinstance(each, TopicSource):
            by_topic.setdefault(each.topic, []).append(each)
    readers = {
        topic: TopicReader(found[0].settings, topic, {each.partition: each.span for each in found})
        for topic, found in by_topic.items()
    }
    return [
        _Shared(each, readers[each.topic], each.span.start) if isinstance(each, TopicSource) else each
        for each in sources
    ]


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
    return f"its first record is of {rfc3339(first)}, its last of {rfc3339(_last_ms(log, topic, spans))}"


def _first_ms(log: Log, topic: str, spans: Mapping[int, Span]) -> int | None:
    """The earliest timestamp of the partitions' first records; None where there is no record."""
    left = {number for number, span in spans.items() if span.start < span.end}
    firsts = []
    for batch in log.read(topic, spans=spans, wanted=lambda: left):
        number = batch.source.partition
        if number in left and len(batch):
            firsts.append(int(batch.timestamps[0]))
        if len(batch) or batch.next_offset >= spans[number].end:
            left.discard(number)
        if not left:
            break
    return min(firsts, default=None)


def _last_ms(log: Log, topic: str, spans: Mapping[int, Span]) -> int:
    """The latest timestamp of the partitions' last records, of which there must be one."""
    lasts: dict[int, int] = {}
    left, width = dict(spans), _TAIL
    # What lies before the end may be markers, or compacted away: then more is looked at.
    while left:
        tails = {number: replace(span, start=max(span.start, span.end - width)) for number, span in left.items()}
        for batch in log.read(topic, spans=tails):
            lasts[batch.source.partition] = int(batch.timestamps[-1])
        left = {number: span for number, span in left.items() if number not in lasts and tails[number] != span}
        width *= 100
    return max(lasts.values())
