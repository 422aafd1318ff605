"""Payload logs in files and tables: what the re-key stage would write of them, as the one partition of a side."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import orjson

from streamguard.core.records import Batch, Blobs, Output, TopicPartition
from streamguard.core.rejected import reason
from streamguard.core.rekey import Rekey, Settings, Written
from streamguard.core.waiting import NEVER
from streamguard.replay.sources import ROWS_MAX, DamagedFileError, OnRead, Source, batch_of, ignored

_READ_AT_ONCE = 4096
_REFUSED = "streamguard.refused"


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The predictions or labels that raw records hold, in the order of event time; offsets count them.

    What cannot be used stays a record, so that it is rejected, counted and shown: an array that says why.
    """

    topic: str
    sources: Sequence[Source]
    """Partitions of raw records."""
    settings: Settings
    partition: int = 0

    @property
    def size(self) -> int:
        """Of all raw records; 0 where nobody knows."""
        sizes = [source.size for source in self.sources]
        return sum(sizes) if all(sizes) else 0

    def batches(self, on_read: OnRead = ignored) -> Iterator[Batch]:
        """All records from the first on; raises what the sources raise, a `DamagedFileError` after all records."""
        stage = Rekey(self.settings)
        for number, source in enumerate(self.sources):
            stage.open(TopicPartition(source.topic, number), 0, None, None)
        damage: list[DamagedFileError] = []
        values: list[bytes] = []
        offset = 0
        for found in self._steps(stage, on_read, damage):
            values += _values(*found)
            while len(values) >= ROWS_MAX:
                yield self._batch(offset, values[:ROWS_MAX])
                offset, values = offset + ROWS_MAX, values[ROWS_MAX:]
        if values:
            yield self._batch(offset, values)
        if damage:
            raise damage[0]

    def _steps(
        self, stage: Rekey, on_read: OnRead, damage: list[DamagedFileError]
    ) -> Iterator[tuple[list[Written], list[Output]]]:
        """What each step of the stage brings. The partition that is furthest behind is read next."""
        read = dict.fromkeys(range(len(self.sources)), 0)

        def tell(number: int, done: int) -> None:
            read[number] = done
            on_read(sum(read.values()))

        left = {
            number: source.batches(lambda done, number=number: tell(number, done))  # type: ignore[misc]
            for number, source in enumerate(self.sources)
        }
        places = {number: TopicPartition(source.topic, number) for number, source in enumerate(self.sources)}
        while left:
            bounds = stage.bounds_ms()
            number = min(left, key=lambda each: bounds[places[each]])
            try:
                batch = next(left[number], None)
            except DamagedFileError as error:
                damage.append(error)
                batch = None
            if batch is None:
                del left[number]
                others = [bounds[places[each]] for each in left]
                if others and min(others) > NEVER:
                    done = [place for each, place in places.items() if each not in left]
                    yield stage.advance(dict.fromkeys(done, min(others)))
                continue
            # Nobody has stamped these: a time must be the payload's own.
            batch = replace(batch, source=places[number], timestamps=np.full(len(batch), -1))
            for start in range(0, len(batch), _READ_AT_ONCE):
                yield stage.step([batch.part(start, min(len(batch), start + _READ_AT_ONCE))])
        yield stage.finish()

    def _batch(self, offset: int, values: list[bytes]) -> Batch:
        offsets = np.arange(offset, offset + len(values), dtype=np.int64)
        return batch_of(TopicPartition(self.topic, self.partition), offsets, Blobs.of(values))


def unpacked(topic: str, sources: Mapping[int, Source], settings: Settings) -> dict[int, Source]:
    """The one partition that raw records of a side become."""
    return {0: Unpacked(topic, [source for _, source in sorted(sources.items())], settings)}


def refused_as(output: Output) -> tuple[str, str]:
    """As `core.rejected.reason`; of what was refused when it was unpacked, why it was, and where it came from."""
    where, why = reason(output)
    try:
        found = orjson.loads(output.value or b"")
    except orjson.JSONDecodeError:
        return where, why
    if type(found) is list and len(found) == 3 and found[0] == _REFUSED:
        return str(found[1]), str(found[2])
    return where, why


def _values(written: list[Written], refused: list[Output]) -> list[bytes]:
    return [each.value for each in written] + [orjson.dumps([_REFUSED, *reason(output)]) for output in refused]
