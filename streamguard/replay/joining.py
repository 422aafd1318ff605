"""Predictions and labels of some partitions through their join tasks, in the order of event time.

Theory of operation. Live, an input that says nothing holds everything back until it is proven idle. Here what comes
next is known: until the event time of an input's next record nothing older follows that would not be late. So each
input's event time is advanced to that of its next record, which decides nothing, and the input whose next record is
the oldest is read next. Outcomes then come as soon as they can, and no more is held than the join's window and a
batch, however uneven the inputs are and however long the history is.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from streamguard.core.codec import Reader
from streamguard.core.join import HeldFullError, Input, JoinSettings, JoinTask, readers
from streamguard.core.records import Batch, Fate, Output, Stream
from streamguard.core.waiting import NEVER
from streamguard.errors import UnusableError
from streamguard.replay.payloads import refused_as
from streamguard.replay.sources import DamagedFileError, Source

_SAMPLE_MAX = 20_000
_PARTICULAR = re.compile(r"'[^']*'|[0-9]+(?:\.[0-9]+)?")
# Of a batch that begins with garbage so many records are looked at first, then twice as many.
_LOOK = 4
_BATCH_RECORDS = 50_000


@dataclass(slots=True)
class Step:
    """What one step brought."""

    outcomes: list[tuple[int, bytes]] = field(default_factory=list)
    """Records for the outcomes topic, each with its partition there."""
    reached_ms: float = -math.inf
    """No outcome before this follows from any of these partitions; infinite where they are at their end."""
    read: int = 0
    """How much of the sources was read since the last step, in their own unit."""
    records: int = 0


@dataclass(slots=True)
class Seen:
    """What one side's input was like; of several partitions it is summed up."""

    counts: Counter[str] = field(default_factory=Counter)
    """How its records ended, by `Fate`, and `consumed`."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Why records were rejected."""
    first_rejected: str | None = None
    """Where the first of these is."""
    sample: dict[str, int] = field(default_factory=dict)
    """The first request IDs, each with its event time."""
    unmonitored: Counter[str] = field(default_factory=Counter)
    """Predictions that no monitor takes, by model."""
    disorder_ms: int = 0
    """How far behind the largest before it an event time was, in the sample."""
    first_ms: int = -NEVER
    last_ms: int = NEVER
    """The least event time of the sample, and the largest of all; the other way round where there is none."""
    damage: list[str] = field(default_factory=list)
    """Where an input broke off before its end."""

    def add(self, other: "Seen") -> None:
        """Of another partition."""
        self.counts += other.counts
        self.reasons += other.reasons
        self.first_rejected = self.first_rejected or other.first_rejected
        self.unmonitored += other.unmonitored
        self.sample = dict([*self.sample.items(), *other.sample.items()][:_SAMPLE_MAX])
        self.disorder_ms = max(self.disorder_ms, other.disorder_ms)
        self.damage += other.damage
        self.first_ms = min(self.first_ms, other.first_ms)
        self.last_ms = max(self.last_ms, other.last_ms)


@dataclass(frozen=True, slots=True)
class Pair:
    """Both inputs of one partition number."""

    number: int
    predictions: Source
    labels: Source


class _Feed:
    """One input, a batch ahead."""

    def __init__(self, source: Source, reader: Reader, batch_records: int) -> None:
        self._reader = reader
        self._batch_records = batch_records
        self._units = 0
        self._told = 0
        self._looked = 0
        self._largest_ms = NEVER
        self._batches = source.batches(self._note)
        self.seen = Seen()
        self.next: Batch | None = None
        self.next_ms = math.inf
        """The event time of the next record; infinite at the end, -infinity where it cannot be read."""
        self._fetch()

    def take(self) -> Batch:
        """The next batch, of which there must be one."""
        batch = self.next
        if batch is None:
            raise ValueError("nothing follows")
        if len(batch) > self._batch_records:
            self._hold(batch.part(self._batch_records, len(batch)))
            return batch.part(0, self._batch_records)
        self._fetch()
        return batch

    def pop_read(self) -> int:
        """How much was read since the last call."""
        read, self._told = self._units - self._told, self._units
        return read

    def _note(self, units: int) -> None:
        self._units = units

    def _fetch(self) -> None:
        try:
            batch = next((each for each in self._batches if len(each)), None)
        except DamagedFileError as error:
            self.seen.damage.append(str(error))
            batch = None
        if batch is None:
            self.next, self.next_ms = None, math.inf
            return
        if self._looked < _SAMPLE_MAX:
            part = batch.part(0, _SAMPLE_MAX - self._looked)
            self._looked += len(part)
            self._look(part)
        self._hold(batch)

    def _hold(self, batch: Batch) -> None:
        self.next, self.next_ms = batch, -math.inf
        start, size = 0, _LOOK
        while start < len(batch):
            columns, _ = self._reader.read(batch.part(start, start + size))
            if len(columns):
                self.next_ms = int(columns.times[0])
                return
            start, size = start + size, 2 * size

    def _look(self, batch: Batch) -> None:
        """Take the first records for a sample: are they sorted, and what are their IDs."""
        columns, _ = self._reader.read(batch)
        if len(columns):
            times, seen = columns.times, self.seen
            if seen.last_ms == NEVER:
                seen.last_ms = int(times[0])
            largest = np.maximum.accumulate(np.maximum(times, self._largest_ms))
            seen.disorder_ms = max(seen.disorder_ms, int((largest - times).max()))
            seen.first_ms, self._largest_ms = min(seen.first_ms, int(times.min())), int(largest[-1])
            seen.sample |= dict(zip(columns.ids.tolist(), times.tolist(), strict=True))


class Joining:
    """One partition number."""

    def __init__(self, pair: Pair, settings: JoinSettings) -> None:
        self._settings = settings
        self._task = JoinTask(pair.number, settings)
        # As a worker does, so that a batch fits under the cap.
        batch_records = max(1, min(_BATCH_RECORDS, settings.held_max // 4))
        # As the task reads them: what it rejects tells no time.
        sources = pair.predictions, pair.labels
        self._feeds = tuple(
            _Feed(source, reader, batch_records) for source, reader in zip(sources, readers(settings), strict=True)
        )
        self.number = pair.number
        self._is_retired = False

    @property
    def is_ended(self) -> bool:
        """Whether both inputs were read."""
        return all(feed.next is None for feed in self._feeds)

    @property
    def reached_ms(self) -> int:
        """No outcome before this follows."""
        return self._task.watermark_ms

    @property
    def last_ms(self) -> int:
        """The largest event time of a record so far."""
        return max(feed.seen.last_ms for feed in self._feeds)

    def step(self) -> Step:
        """Read on; not after the end."""
        side = min(Input, key=lambda each: self._feeds[each].next_ms)
        next_ms = self._feeds[side].next_ms
        outputs = []
        for each in Input:
            # Of an input that is at its end nothing follows, whatever the other's time.
            ahead_ms = next_ms if self._feeds[each].next is None else self._feeds[each].next_ms
            if ahead_ms > self._task.clock_ms(each):
                outputs += self._task.idle(each, int(ahead_ms))
        batch = self._feeds[side].take()
        outputs += self._taken(side, batch)
        self._task.forget_advances()
        seen = self._feeds[side].seen
        if seen.last_ms > NEVER:
            seen.last_ms = max(seen.last_ms, self._task.clock_ms(side))
        _note_rejected(seen, outputs)
        seen.unmonitored.update(self._task.unmonitored())
        read = sum(feed.pop_read() for feed in self._feeds)
        return Step(_outcomes(outputs), self.reached_ms, read, len(batch))

    def advance(self, until_ms: int, *, is_last: bool) -> list[tuple[int, bytes]]:
        """Both are at their end, and the others have come this far, or to their end, too."""
        if self._is_retired and not is_last:
            return []
        clock_ms = until_ms + self._settings.disorder_ms
        outputs = [output for side in Input for output in self._task.idle(side, clock_ms)]
        self._task.forget_advances()
        if not is_last and not self._task.counts(Input.PREDICTIONS)[Fate.WAITING]:
            # Of many partitions that are over none costs anything any more.
            self._is_retired = True
            outputs += self._task.retire()
        return _outcomes(outputs)

    def seen(self) -> tuple[Seen, Seen]:
        """What the predictions were like, and the labels."""
        for side in Input:
            self._feeds[side].seen.counts = Counter(self._task.counts(side))
        return self._feeds[0].seen, self._feeds[1].seen

    def _taken(self, side: Input, batch: Batch) -> list[Output]:
        settings, task = self._settings, self._task
        try:
            outputs = task.step(*((batch, None) if side is Input.PREDICTIONS else (None, batch)))
        except HeldFullError:
            raise UnusableError(
                f"partition {task.number} of the inputs: the join window holds more than join.max_waiting"
                f" ({settings.held_max:,} records): raise that, or shorten join.after"
            ) from None
        if task.held_bytes > 2 * settings.held_bytes_max:
            raise UnusableError(
                f"partition {task.number} of the inputs: {task.held_bytes:,} bytes wait, more than twice"
                f" join.max_waiting_bytes ({settings.held_bytes_max:,}): raise that, or shorten join.after"
            )
        return outputs


class Joinings:
    """Several partitions, the one that is furthest behind first."""

    def __init__(self, pairs: Sequence[Pair], settings: JoinSettings) -> None:
        self._all = [Joining(pair, settings) for pair in pairs]
        self._open = [each for each in self._all if not each.is_ended]
        self._advanced_ms: float = NEVER

    @property
    def last_ms(self) -> int:
        """The largest event time of a record so far."""
        return max((each.last_ms for each in self._all), default=NEVER)

    def steps(self) -> Iterator[Step]:
        """Until all are read."""
        while self._open:
            behind = min(self._open, key=lambda each: each.reached_ms)
            step = behind.step()
            if behind.is_ended:
                self._open.remove(behind)
            step.reached_ms = min((each.reached_ms for each in self._open), default=math.inf)
            if step.reached_ms < math.inf:
                step.outcomes += self.advance(step.reached_ms)
            yield step

    def advance(self, until_ms: float, *, is_last: bool = False) -> list[tuple[int, bytes]]:
        """Those at their end keep pace with the others, so that nobody waits for them and nothing of theirs is late."""
        if until_ms <= self._advanced_ms:
            return []
        self._advanced_ms = until_ms
        ended = (each for each in self._all if each.is_ended)
        return [outcome for each in ended for outcome in each.advance(int(until_ms), is_last=is_last)]

    def seen(self) -> list[tuple[int, Seen, Seen]]:
        """What the predictions and the labels of each partition were like."""
        return [(each.number, *each.seen()) for each in self._all]


def _outcomes(outputs: Sequence[Output]) -> list[tuple[int, bytes]]:
    return [(output.partition or 0, output.value or b"") for output in outputs if output.stream is Stream.OUTCOMES]


def _note_rejected(seen: Seen, outputs: Sequence[Output]) -> None:
    """Reasons that differ in a value alone are one."""
    for output in outputs:
        if output.stream is Stream.REJECTED:
            where, why = refused_as(output)
            if seen.first_rejected is None:
                seen.first_rejected = f"{where}: {why}"
            seen.reasons[_PARTICULAR.sub("...", why)] += 1
