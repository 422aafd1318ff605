"""Reading partitions in batches, each from where it is told to.

Positions are kept here: the client forgets its own on a seek, and at a partition's end they move past markers.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, overload

import confluent_kafka
import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, Message

from streamguard.core.records import Batch, Headers, TopicPartition
from streamguard.errors import FencedError
from streamguard.logs.confluent.options import POLL_RECORDS

_GONE = {KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET}
# How late a rebalance is noticed that comes while nothing is to be read.
_STEP_S = 0.05
# A partition that was just assigned takes milliseconds until it can be sent anywhere.
_START_S = 5.0


class GoneError(KafkaException):
    """The broker does not have an offset that was to be read."""

    def __init__(self, error: KafkaError, partition: TopicPartition, offset: int) -> None:
        super().__init__(error)
        self.partition, self.offset = partition, offset


class Reader:
    """The partitions that a consumer is assigned. What is asked of them takes effect with the next `read`."""

    def __init__(self, consumer: Consumer) -> None:
        self.positions: dict[TopicPartition, int] = {}
        """The next offset of each partition."""
        self._consumer = consumer
        self._held: set[TopicPartition] = set()
        # As the client knows it, who needs up to a second to go on where nothing was left to be read.
        self._paused: set[TopicPartition] = set()
        # Those that the client reads elsewhere.
        self._astray: set[TopicPartition] = set()
        # Those that were sought and not read to their end since: whoever reads again up to there waits for it.
        self._sought: set[TopicPartition] = set()

    def begin(self, positions: Mapping[TopicPartition, int]) -> None:
        """The client reads these, from there."""
        self.positions = dict(positions)
        for each in (self._held, self._paused, self._astray, self._sought):
            each.clear()

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on from there."""
        self.positions[partition] = offset
        self._astray.add(partition)
        self._sought.add(partition)

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        """Bring nothing of these until `resume`."""
        self._held.update(partitions)

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        """Go on with these."""
        self._held.difference_update(partitions)

    def read(self, timeout_s: float, is_over: Callable[[], bool]) -> list[Batch]:
        """What there is, at most one batch a partition.

        Returns with nothing when it is over, and sooner than asked when one that was sought is at its end.
        """
        self._set_out()
        until_s = time.monotonic() + timeout_s
        while True:
            left_s = until_s - time.monotonic()
            found = self._consumer.consume(1, max(0.0, min(left_s, _STEP_S)))
            if found and not is_over():
                found += self._consumer.consume(POLL_RECORDS - 1, 0)
            if is_over():
                # Some of it may be of partitions that were assigned just now.
                self._astray |= self.positions.keys() & {_place(each)[0] for each in found}
                return []
            sought = len(self._sought)
            batches = self._batches(found)
            if batches or left_s <= 0 or len(self._sought) < sought:
                return batches

    def _set_out(self) -> None:
        pausing, resuming = self._held - self._paused, self._paused - self._held
        if pausing:
            self._consumer.pause(theirs(pausing))
        if resuming:
            self._consumer.resume(theirs(resuming))
        self._paused = set(self._held)
        # What it had fetched of a paused partition the client has thrown away, and where it goes on is ours to say.
        self._astray |= resuming
        for partition in self._astray - self._paused:
            self._seek(partition)
            self._astray.discard(partition)

    def _seek(self, partition: TopicPartition) -> None:
        target = confluent_kafka.TopicPartition(*partition, self.positions[partition])
        until_s = time.monotonic() + _START_S
        while True:
            try:
                self._consumer.seek(target)
            except KafkaException as error:
                if error.args[0].code() != KafkaError._STATE or time.monotonic() > until_s:
                    raise
                time.sleep(0.002)
            else:
                return

    def _batches(self, found: Sequence[Message]) -> list[Batch]:
        records: dict[TopicPartition, list[Message]] = {}
        for (partition, is_record), run in groupby(found, _place):
            if is_record:
                records.setdefault(partition, []).extend(run)
                continue
            for each in run:
                error: Any = each.error()
                if error.code() == KafkaError._FATAL:
                    # The one fatal error of a consumer: another member has its group.instance.id.
                    raise FencedError(error.str())
                if error.code() in _GONE:
                    raise GoneError(error, partition, self.positions[partition])
                if error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                self._advance(partition, each)
                self._sought.discard(partition)
        for partition, messages in records.items():
            self._advance(partition, messages[-1], 1)
        return [to_batch(each, messages, self.positions[each]) for each, messages in records.items()]

    def _advance(self, partition: TopicPartition, message: Any, past: int = 0) -> None:
        self.positions[partition] = max(self.positions[partition], message.offset() + past)


def _place(message: Any) -> tuple[TopicPartition, bool]:
    return TopicPartition(message.topic(), message.partition()), message.error() is None


def theirs(partitions: Collection[TopicPartition]) -> list[confluent_kafka.TopicPartition]:
    """Partitions as the client wants them."""
    return [confluent_kafka.TopicPartition(*each) for each in partitions]


class _Lazy(Sequence[Any]):
    """A column that is made where it is looked at: of most records nobody asks for key or headers."""

    def __init__(self, messages: Sequence[Message], get: Callable[[Message], Any]) -> None:
        self._messages, self._get = messages, get

    def __len__(self) -> int:
        return len(self._messages)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return _Lazy(self._messages[index], self._get)
        return self._get(self._messages[index])

    def __iter__(self) -> Iterator[Any]:
        return map(self._get, self._messages)


def to_batch(source: TopicPartition, messages: Sequence[Any], next_offset: int) -> Batch:
    """confluent-kafka's records as columns."""
    return Batch(
        source,
        np.array([message.offset() for message in messages], np.int64),
        np.array([message.timestamp()[1] for message in messages], np.int64),
        _Lazy(messages, Message.key),
        [message.value() for message in messages],
        _Lazy(messages, _headers),
        next_offset,
    )


def _headers(message: Any) -> Headers:
    return tuple(message.headers() or ())
