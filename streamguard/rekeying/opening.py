"""A stage from what its group has committed, or the reason why it cannot go on from there."""

from collections.abc import Mapping, Sequence

from streamguard.core.records import TopicPartition
from streamguard.core.rekey import Rekey
from streamguard.errors import UnusableError
from streamguard.logs.interface import Committed
from streamguard.rekeying.sides import Side
from streamguard.worker.assigned import note_of

# What one transaction writes, at most: it must end within log.transaction_timeout, also on a slow day.
_LEAVE_MAX = 20_000


def opened(
    side: Side,
    partitions: Sequence[TopicPartition],
    committed: Mapping[TopicPartition, Committed],
    starts: Mapping[TopicPartition, int],
) -> tuple[Rekey, dict[TopicPartition, tuple[int, int]]]:
    """The stage of all partitions of a raw topic; and of those to be read again, from where and to where.

    Raises `UnusableError` where a note is not ours or follows other rules, or retention has removed what is needed.
    """
    stage, again = Rekey(side.settings, _LEAVE_MAX), {}
    for partition in partitions:
        found = committed.get(partition)
        note = None if found is None else note_of(partition, found)
        if found is None or note is None:
            stage.open(partition, starts[partition], None, None)
            continue
        if note.rules != side.settings.rules:
            raise UnusableError(
                f"{partition.topic}-{partition.partition}: the group has worked with join.disorder and pair_within of"
                f" {', '.join(map(str, note.rules))} ms, and they are {', '.join(map(str, side.settings.rules))} ms"
                " now: set them back, or begin anew under another log.group"
            )
        if starts[partition] > note.low and starts[partition] > 0:
            raise UnusableError(
                f"{partition.topic}-{partition.partition}: records from offset {note.low} on are still needed, and"
                f" retention has removed those before {starts[partition]}: raise retention.ms of the topic; to go on"
                " without them, begin anew under another log.group"
            )
        low = stage.open(partition, starts[partition], found.offset, note)
        if low < found.offset:
            again[partition] = (low, found.offset)
    stage.opened()
    return stage, again
