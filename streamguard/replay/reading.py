"""Several partitions of a topic through one client, each handed out by itself."""

from collections import deque
from collections.abc import Collection, Iterator, Mapping

import numpy as np

from streamguard.config import EmbeddedLog, KafkaLog
from streamguard.core.records import Batch, Blobs
from streamguard.logs.interface import Log, Span
from streamguard.logs.opening import open_log

# Held of all partitions together beside what the client holds, in bytes of values, until somebody wants it.
_AHEAD_BYTES = 32 << 20


class TopicReader:
    """Reads spans of a topic's partitions, each once and as far as it is wanted.

    What comes of one while another is waited for is held, a fair share of `_AHEAD_BYTES` and a batch at most. The log
    is opened with the first batch that is asked for, and closed when nobody wants more.
    """

    def __init__(self, settings: EmbeddedLog | KafkaLog, topic: str, spans: Mapping[int, Span]) -> None:
        self._settings = settings
        self._topic = topic
        self._spans = {number: span for number, span in spans.items() if span.start < span.end}
        self._left = set(self._spans)
        self._held: dict[int, deque[Batch]] = {number: deque() for number in spans}
        self._bytes = dict.fromkeys(spans, 0)
        self._full: set[int] = set()
        self._share = _AHEAD_BYTES // max(1, len(self._spans))
        self._log: Log | None = None
        self._batches: Iterator[Batch] = iter(())

    def next(self, partition: int) -> Batch | None:
        """What follows in a partition, maybe without records; None at its end."""
        held = self._held[partition]
        while not held and partition in self._left:
            self._full.discard(partition)
            self._take()
        if not held:
            return None
        batch = held.popleft()
        self._bytes[partition] -= _size(batch)
        if self._bytes[partition] < self._share // 2:
            self._full.discard(partition)
        return batch

    def leave(self, partition: int) -> None:
        """Nothing more of a partition is wanted."""
        self._left.discard(partition)
        self._held[partition].clear()
        if not self._left and self._log is not None:
            # To end a read closes its client.
            self._batches = iter(())
            self._log.close()
            self._log = None

    def _take(self) -> None:
        if self._log is None:
            self._log = open_log(self._settings)
            self._batches = self._log.read(self._topic, spans=self._spans, wanted=self._wanted)
        batch = next(self._batches)
        number = batch.source.partition
        if number not in self._left:
            return
        if batch.next_offset >= self._spans[number].end:
            self._left.discard(number)
        self._held[number].append(batch)
        self._bytes[number] += _size(batch)
        if self._bytes[number] >= self._share:
            self._full.add(number)

    def _wanted(self) -> Collection[int]:
        return self._left - self._full


def _size(batch: Batch) -> int:
    """Of its values, in bytes."""
    if isinstance(batch.values, Blobs):
        return int(np.maximum(batch.values.sizes, 0).sum())
    return sum(len(value or b"") for value in batch.values)
