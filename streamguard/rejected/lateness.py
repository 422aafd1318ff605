"""How many records would be late, were they sent back now."""

from dataclasses import dataclass

from streamguard.core.join import Input
from streamguard.core.note import Note
from streamguard.core.records import TopicPartition
from streamguard.core.waiting import NEVER
from streamguard.logs.interface import Log, Span
from streamguard.rejected.judging import Judged, Side
from streamguard.worker.topology import Topology

# The largest event time is nearly always among a partition's newest records.
_TAIL = 1000


@dataclass(slots=True)
class Clocks:
    """The largest event time of each input partition, as far as it is known: each is at least so large."""

    times_ms: dict[TopicPartition, int]
    disorder_ms: int

    def take(self, each: Judged) -> bool:
        """Whether a record is late that is sent next; one that is not carries its partition's clock on."""
        record = each.record
        if record is None or record.partition is None or each.time_ms is None:
            return False
        place = TopicPartition(record.topic, record.partition)
        clock_ms = self.times_ms.get(place)
        if clock_ms is None:
            return False
        self.times_ms[place] = max(clock_ms, each.time_ms)
        return each.time_ms < clock_ms - self.disorder_ms


def clocks(log: Log, topology: Topology, sides: dict[str, Side]) -> Clocks:
    """From what the group has committed, and the newest records of the inputs."""
    config = topology.config
    numbers = range(topology.source_count)
    places = [TopicPartition(topic, number) for topic in topology.inputs for number in numbers]
    notes = log.committed(config.log.group, places)
    found = {place: _noted(notes[place].metadata) if place in notes else NEVER for place in places}
    for topic, side in sides.items():
        spans = {
            number: Span(max(span.start, span.end - _TAIL), span.end, span.held)
            for number, span in log.spans(topic).items()
            if number in numbers
        }
        for batch in log.read(topic, spans=spans):
            columns, _ = side.reader.read(batch)
            if len(columns):
                found[batch.source] = max(found[batch.source], int(columns.times.max()))
    return Clocks(found, config.join.disorder_ms)


def _noted(metadata: str) -> int:
    """The event time that an input had reached at a commit, at least."""
    try:
        note = Note.decode(metadata)
        disorder_ms = note.rules[len(Input)]
        # No input is behind the watermark, one that is idle included.
        return max(note.clock_ms, note.watermark_ms + disorder_ms, *(clock_ms for _, clock_ms in note.floors))
    except (ValueError, KeyError, TypeError, IndexError):
        return NEVER
