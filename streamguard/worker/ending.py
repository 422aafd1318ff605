"""The end of a bounded run, and the account of it."""

from collections.abc import Iterable

from streamguard.core.records import Output, TopicPartition
from streamguard.logs.interface import Session
from streamguard.worker.assigned import note_of
from streamguard.worker.tasks import Tasks
from streamguard.worker.topology import Topology


class Ending:
    """Where the inputs ended when the run began, and whether the whole group has come there.

    The group, not this worker alone: one that left early would leave outcomes behind that another still
    writes.
    """

    def __init__(self, topology: Topology, session: Session) -> None:
        self._topology = topology
        watched = [TopicPartition(topology.config.environment_topic, 0)] if topology.environment is not None else []
        self._until = session.ends([*_partitions(topology.inputs, topology.source_count), *watched])

    def silent(self, tasks: Tasks) -> list[Output]:
        """Announce the sources that have never had a record: in a bounded run they never will."""
        return [
            output
            for join in tasks.joins.values()
            if not any(self._until[partition] for partition in join.partitions)
            for output in join.task.silent()
        ]

    def is_read(self, tasks: Tasks) -> bool:
        """Whether this worker's inputs are read to their ends."""
        positions = [
            (partition, position)
            for join in tasks.joins.values()
            for partition, position in zip(join.partitions, join.positions, strict=True)
        ]
        if tasks.environment is not None:
            positions.append((tasks.environment.partition, tasks.environment.position))
        return not tasks.restoring_count and all(
            position >= self._until[partition] for partition, position in positions
        )

    def is_reached(self, session: Session) -> bool:
        """Whether the inputs are committed to their ends, and so is every outcome that came of them."""
        if any(found < self._until[each] for each, found in _committed(session, self._until).items()):
            return False
        # After the inputs: no outcome can come any more, so these ends are the last. The inputs' offsets can be
        # seen before the outcomes that were committed with them: not what is stable counts, but what is there.
        outcomes = _partitions([self._topology.outcomes], self._topology.target_count)
        ends = session.high_watermarks(outcomes)
        return all(found >= ends[each] for each, found in _committed(session, outcomes).items())


def totals(session: Session, topology: Topology) -> dict[str, dict[str, int]]:
    """How the group's input records have ended so far, by input, from what is committed."""
    result: dict[str, dict[str, int]] = {}
    for topic in topology.inputs:
        counts: dict[str, int] = {}
        for partition, committed in session.committed(_partitions([topic], topology.source_count)).items():
            for name, count in note_of(partition, committed).counts.items():
                counts[name] = counts.get(name, 0) + count
        result[topic] = counts
    return result


def _committed(session: Session, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    wanted = list(partitions)
    found = session.committed(wanted)
    return {partition: found[partition].offset if partition in found else 0 for partition in wanted}


def _partitions(topics: Iterable[str], count: int) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for topic in topics for number in range(count)]
