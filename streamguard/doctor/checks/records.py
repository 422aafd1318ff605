"""What the newest records of the inputs look like."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from streamguard.config import Config
from streamguard.core.codec import Columns, Reader, Rejection
from streamguard.core.records import Batch
from streamguard.doctor.facts import Sample
from streamguard.doctor.finding import Finding
from streamguard.doctor.words import duration
from streamguard.worker.topology import derive

_FEW = 0.01
_MOST = 0.5
_LATE_LEAST = 5
# Milliseconds in 1970 that seconds of our days look like.
_SECONDS_MAX = 10_000_000_000
_AHEAD_MS = 60_000


@dataclass(frozen=True, slots=True)
class Read:
    """A batch of a sample, as a join task would read it."""

    batch: Batch
    columns: Columns
    rejections: list[Rejection]


@dataclass(frozen=True, slots=True)
class Looked:
    """A sample that was read."""

    sample: Sample
    side: str
    """predictions or labels."""
    reads: tuple[Read, ...]
    unmonitored: int = 0

    @property
    def count(self) -> int:
        return sum(len(each.batch) for each in self.reads)


def looked(config: Config, samples: Sequence[Sample]) -> list[Looked]:
    """The samples of predictions and labels, read by the fields that the configuration names."""
    # Profiles decide nothing here, and each would be read.
    bare = tuple(each.model_copy(update={"data": None}) for each in config.monitors)
    settings = derive(config.model_copy(update={"monitors": bare}), 1, 1).join
    found = []
    for sample in samples:
        is_labels = sample.topic == config.labels_topic
        reader = Reader(settings.labels) if is_labels else Reader(settings.predictions, settings.watches)
        reads = tuple(Read(batch, *reader.read(batch)) for batch in sample.batches)
        unmonitored = 0 if is_labels else sum(reader.pop_unmonitored().values())
        found.append(Looked(sample, "labels" if is_labels else "predictions", reads, unmonitored))
    return found


def records(config: Config, facts: Sequence[Looked]) -> Iterator[Finding]:
    """Whether they can be used, and their times."""
    for each in facts:
        if each.sample.problem is not None:
            yield Finding(
                "sample-unread",
                f"records of topic {each.sample.topic!r} could not be read: {each.sample.problem}",
                "mend what it says, and run again",
            )
        elif not each.count:
            yield Finding(
                "sample-empty",
                f"topic {each.sample.topic!r} has no records: its keys and fields were not looked at",
                "run again when there are some",
            )
        else:
            yield from _rejected(each)
            yield from _unwatched(config, each)
            yield from _times(config, each)


def _rejected(each: Looked) -> Iterator[Finding]:
    found = [(read, rejection) for read in each.reads for rejection in read.rejections]
    if not found:
        return
    read, first = found[0]
    offset, source = int(read.batch.offsets[first.index]), read.batch.source
    share = len(found) / each.count
    yield Finding(
        "records-rejected" if share > _MOST else "some-records-rejected",
        f"{len(found):,} of the newest {each.count:,} records of topic {each.sample.topic!r} cannot be used"
        f" ({share:.1%}); the first, {source.topic}-{source.partition}@{offset}: {first.reason}",
        f"mend {each.side}.fields, or the producer",
    )


def _unwatched(config: Config, each: Looked) -> Iterator[Finding]:
    readable = sum(len(read.columns) for read in each.reads)
    if each.unmonitored and each.unmonitored > _FEW * readable:
        names = ", ".join(repr(monitor.name) for monitor in config.monitors[:5])
        yield Finding(
            "records-unmonitored",
            f"{each.unmonitored:,} of the newest {readable:,} predictions are taken by no monitor (there is {names})",
            "mend match of a monitor, or add one that takes them",
        )


def _times(config: Config, each: Looked) -> Iterator[Finding]:
    late, readable, newest_ms = 0, 0, -1
    for read in each.reads:
        times = read.columns.times
        if not len(times):
            continue
        readable += len(times)
        late += int((times < np.maximum.accumulate(times) - config.join.disorder_ms).sum())
        newest_ms = max(newest_ms, int(np.asarray(read.batch.timestamps, np.int64).max()))
        if 0 <= int(times.max()) < _SECONDS_MAX:
            yield Finding(
                "times-in-1970",
                f"event times of topic {each.sample.topic!r} lie in 1970",
                f"write {each.side}.fields.time as epoch milliseconds, not seconds, or as RFC 3339",
            )
            return
    if late >= _LATE_LEAST and late > _FEW * readable:
        has_field = (config.labels if each.side == "labels" else config.predictions).fields.time is not None
        yield Finding(
            "records-late",
            f"{late:,} of the newest {readable:,} records of topic {each.sample.topic!r} are more than join.disorder"
            f" ({duration(config.join.disorder_ms)}) behind their partition",
            (f"leave {each.side}.fields.time out where it is not when the record became known, or " * has_field)
            + "raise join.disorder",
        )
    if newest_ms - each.sample.now_ms > _AHEAD_MS:
        yield Finding(
            "records-ahead",
            f"Kafka timestamps of topic {each.sample.topic!r} are up to {duration(newest_ms - each.sample.now_ms)} in"
            f" the future (join.max_ahead is {duration(config.join.max_ahead_ms)}, counted from them)",
            "mend the clocks of its producers (NTP), or of this machine",
        )
