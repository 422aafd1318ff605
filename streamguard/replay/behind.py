"""The parts of a history that an alert names, and as much before them."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from streamguard.core.records import Batch
from streamguard.replay.history import History
from streamguard.replay.joining import Pair
from streamguard.replay.sources import OnRead, Source, ignored
from streamguard.replay.topics import TopicSource, together

# What came before the range of an alert is needed to compare with; that of one is read, at most so much.
_RECORDS_MAX = 200_000
_BEFORE = 1000
# An alert of labels names no more than what came last, and what it is about began before that.
_BEFORE_UNLABELLED = 10_000
# Labels are not in the order of their predictions.
_DISORDER = 1000
_ALL = 1 << 62

Range = Sequence[int]
"""Offsets: the first, and that after the last."""


class Part:
    """A part of a source: from an offset to before another."""

    def __init__(self, source: Source, start: int, end: int) -> None:
        self._source = source
        self._start, self._end = start, end
        self.topic, self.partition, self.size = source.topic, source.partition, 0

    def batches(self, on_read: OnRead = ignored) -> Iterator[Batch]:
        """Only records of the range."""
        for batch in self._source.batches(on_read):
            first, last = np.searchsorted(np.asarray(batch.offsets), [self._start, self._end])
            if first < last:
                yield batch.part(int(first), int(last))
            if batch.next_offset >= self._end:
                return


class Kept(Part):
    """One whose values are kept as they came."""

    def __init__(self, source: Source, start: int, end: int) -> None:
        super().__init__(source, start, end)
        self._batches: list[Batch] = []
        self._starts: list[int] = []

    def batches(self, on_read: OnRead = ignored) -> Iterator[Batch]:
        """Only records of the range."""
        for batch in super().batches(on_read):
            self._batches.append(batch)
            self._starts.append(int(batch.offsets[0]))
            yield batch

    def value(self, offset: int) -> bytes:
        """Of the record at an offset, which was read."""
        batch = self._batches[bisect_right(self._starts, offset) - 1]
        return batch.values[int(np.searchsorted(np.asarray(batch.offsets), offset))] or b""


def parts_behind(
    history: History, source: Mapping[str, Mapping[str, Range]], notes: list[str], *, with_unlabelled: bool
) -> tuple[list[Pair], dict[int, Kept]]:
    """What to join, each topic to be read once, and the predictions' parts by partition.

    `source`: as an alert has it. `with_unlabelled`: partitions of which it names no label are wanted, too.
    """
    predictions, labels = (source.get(name, {}) for name in history.topics)
    found = []
    for pair in history.pairs:
        span, label_span = predictions.get(str(pair.number)), labels.get(str(pair.number))
        if span is None or (label_span is None and not with_unlabelled):
            continue
        start, end = span
        if end - start > _RECORDS_MAX:
            notes.append(
                f"partition {pair.number}: of {end - start:,} predictions the first {_RECORDS_MAX:,} were read"
            )
            end = start + _RECORDS_MAX
        before = min(end - start + (_BEFORE_UNLABELLED if with_unlabelled else _BEFORE), _RECORDS_MAX)
        # Of predictions that never get a label nobody knows where it would be.
        label_range = (0, _ALL) if label_span is None else _of_labels(label_span, before + end - start)
        found.append((pair, (start - before, end), label_range))
    sides = (
        together([_narrowed(pair.predictions, *each) for pair, each, _ in found]),
        together([_narrowed(pair.labels, *each) for pair, _, each in found]),
    )
    pairs, kept = [], {}
    for (pair, span, label_span), prediction_source, label_source in zip(found, *sides, strict=True):
        kept[pair.number] = Kept(prediction_source, *span)
        pairs.append(Pair(pair.number, kept[pair.number], Part(label_source, *label_span)))
    return pairs, kept


def written_at(history: History, wanted: Mapping[int, Sequence[int]]) -> dict[tuple[int, int], bytes]:
    """Predictions as they were written, by partition and offset, of so many offsets of each; only those still there."""
    mine = [pair for pair in history.pairs if wanted.get(pair.number)]
    spans = [(min(wanted[pair.number]), max(wanted[pair.number]) + 1) for pair in mine]
    sources = together([_narrowed(pair.predictions, *span) for pair, span in zip(mine, spans, strict=True)])
    found = {}
    for pair, source, span in zip(mine, sources, spans, strict=True):
        for batch in Part(source, *span).batches():
            offsets = np.asarray(batch.offsets)
            for place in np.flatnonzero(np.isin(offsets, wanted[pair.number])).tolist():
                found[pair.number, int(offsets[place])] = batch.values[place] or b""
    return found


def _of_labels(span: Range, before: int) -> tuple[int, int]:
    """Labels come later than what they belong to: those of the predictions before lie before these."""
    start, end = span
    return start - min(before + end - start, 2 * _RECORDS_MAX), end + _DISORDER


def _narrowed(source: Source, start: int, end: int) -> Source:
    """What need not be read of a topic is not."""
    return source.within(start, end) if isinstance(source, TopicSource) else source
