"""Whole record batches from kafka-python's fetcher, instead of one object for each record."""

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from inspect import signature
from itertools import groupby
from typing import Any

import kafka
import numpy as np
import structlog
from kafka import KafkaConsumer
from kafka import errors as kafka_errors
from kafka.consumer.fetcher import Fetcher
from kafka.protocol.consumer import IsolationLevel
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import calc_crc32c

from streamguard.core.records import Batch, Blobs, TopicPartition
from streamguard.logs.kafka import wire
from streamguard.logs.kafka.columns import Block

_log = structlog.get_logger("streamguard.logs.kafka")

_MS_MIN, _MS_MAX = -(1 << 63), (1 << 63) - 1
_Step = tuple[wire.Header, wire.Payload | None]

# What stands in for kafka-python's own is called as that is, and looks at it from inside.
_OPTIONS = [
    *("fetch_offset", "tp", "records", "key_deserializer", "value_deserializer", "check_crcs", "isolation_level"),
    *("aborted_transactions", "metric_aggregator", "on_drain"),
]
_TAKE, _APPEND = ["self", "n"], ["self", "drained", "part", "max_records", "update_offsets"]
_ATTRIBUTES = (
    *("fetch_offset", "next_fetch_offset", "leader_epoch", "bytes_read", "records_read", "check_crcs", "drain"),
    *("isolation_level", "aborted_transactions", "on_drain"),
)


class Taken:
    """A block, as the fetcher takes it for a list of records: it counts them, and hands on what it iterates."""

    def __init__(self, block: Block) -> None:
        self._block = block

    def __len__(self) -> int:
        return len(self._block)

    def __iter__(self) -> Iterator[Block]:
        yield self._block


class BatchRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """What was fetched of a partition, handed out in blocks.

    From the first batch on that is not as `wire` knows them, kafka-python's own code takes over: it reads from
    the start again, leaves out what was handed out already, and raises what there is to raise.
    """

    fetch_offset: int
    next_fetch_offset: int
    bytes_read: int
    records_read: int

    def __init__(self, fetch_offset: int, tp: Any, records: Any, **options: Any) -> None:
        super().__init__(fetch_offset, tp, records, **options)
        self._fetched = memoryview(records._buffer)  # noqa: SLF001
        headers = wire.headers_of(self._fetched)
        has_deserializer = options.get("key_deserializer") or options.get("value_deserializer")
        self._is_usual = headers is not None and not has_deserializer
        self._rest = deque(headers or ())
        self._is_trimmed = False
        # Not kafka-python's, which may have to begin again.
        self._aborts = deque(self.aborted_transactions)
        self._aborted_ids: set[int] = set()

    def take(self, n: int | None = None) -> Any:
        """Whole batches, until these are at least `n` records; the last may go beyond."""
        while self and self._is_usual:
            block = self._next(sys.maxsize if n is None else n)
            if len(block):
                return Taken(block)
        try:
            return super().take(n) if self else []
        except Exception:
            # What has failed has no end for kafka-python 3.0.12: it would look for more of it for ever.
            self.drain()
            raise

    def _next(self, limit: int) -> Block:
        """The records of the next batches, with the position moved as kafka-python moves it."""
        steps: list[_Step] = []
        count = 0
        while self._rest and count < limit and self._is_usual:
            header = self._rest.popleft()
            try:
                payload = self._payload(header)
            except Exception:  # noqa: BLE001 - whatever it is, kafka-python raises it again
                self._is_usual = False
            else:
                steps.append((header, payload))
                count += 0 if payload is None else payload.record_count
        block, sound_count = _decode(steps)
        if sound_count < len(steps):
            self._is_usual = False
        self._move(steps[:sound_count], block)
        found = self._trimmed(block)
        if not self._is_usual:
            self._give_over()
        elif not self._rest:
            self.drain()
        return found

    def _payload(self, header: wire.Header) -> wire.Payload | None:
        """A batch's records; None where nobody is to see them."""
        if self.check_crcs and calc_crc32c(wire.checked_by_crc(self._fetched, header)) != header.crc:
            raise kafka_errors.CorruptRecordError
        return None if self._is_skipped(header) else wire.payload_of(self._fetched, header)

    def _is_skipped(self, header: wire.Header) -> bool:
        if self.isolation_level == IsolationLevel.READ_COMMITTED and header.producer_id >= 0:
            while self._aborts and self._aborts[0].first_offset < header.next_offset:
                self._aborted_ids.add(self._aborts.popleft().producer_id)
            if header.is_control:
                if next(DefaultRecordBatch(self._fetched[header.begin : header.end])).abort:
                    self._aborted_ids.discard(header.producer_id)
            elif header.is_transactional and header.producer_id in self._aborted_ids:
                return True
        return header.is_control

    def _move(self, steps: Sequence[_Step], block: Block) -> None:
        for header, payload in reversed(steps):
            if payload is None or payload.record_count:
                self.next_fetch_offset = header.next_offset if payload is None else int(block.offsets[-1]) + 1
                break
        if steps:
            self.leader_epoch = steps[-1][0].leader_epoch
            if self._is_usual and not self._rest:
                self.next_fetch_offset = steps[-1][0].next_offset
        self.bytes_read += block.size
        self.records_read += len(block)

    def _give_over(self) -> None:
        """Let kafka-python go on where this ends."""
        self.fetch_offset = max(self.fetch_offset, self.next_fetch_offset)
        self.bytes_read = self.records_read = 0

    def _trimmed(self, block: Block) -> Block:
        """Without the records before the one that was asked for: a batch comes whole."""
        if self._is_trimmed or not len(block):
            return block
        is_asked_for = block.offsets >= self.fetch_offset
        self._is_trimmed = bool(is_asked_for.any())
        first = int(is_asked_for.argmax()) if self._is_trimmed else len(block)
        return block.after(first) if first else block


def _decode(steps: Sequence[_Step]) -> tuple[Block, int]:
    """The records of these steps up to the first that is not sound, and how many are."""
    found = [(place, payload) for place, (_, payload) in enumerate(steps) if payload is not None]
    sound_count = len(steps)
    while True:
        try:
            return wire.decode([payload for _, payload in found]), sound_count
        except wire.MalformedError as error:
            sound_count = found[error.index][0]
            found = found[: error.index]


def read_batches(consumer: KafkaConsumer) -> None:
    """Let a consumer's `poll` give blocks; `del consumer._fetcher.PartitionRecords` undoes it.

    Where kafka-python is not the one that this is made for, records come one by one, as it gives them.
    """
    if _is_as_expected(consumer._fetcher):  # noqa: SLF001
        consumer._fetcher.PartitionRecords = BatchRecords  # noqa: SLF001
    else:
        _log.warning("kafka_records_one_by_one", reason="not the kafka-python that streamguard is made for")


def _is_as_expected(fetcher: Any) -> bool:
    try:
        stock = fetcher.PartitionRecords
        wanted = {stock: _OPTIONS, stock.take: _TAKE, type(fetcher)._append: _APPEND}  # noqa: SLF001
        if any(list(signature(function).parameters) != names for function, names in wanted.items()):
            return False
        records = MemoryRecords(b"")
        sample = stock(0, kafka.TopicPartition("t", 0), records)
        return all(hasattr(sample, name) for name in _ATTRIBUTES) and hasattr(records, "_buffer")
    except (AttributeError, TypeError, ValueError):
        return False


def to_batch(source: TopicPartition, found: Sequence[Any], next_offset: int) -> Batch:
    """What `poll` has found in a partition: blocks, or kafka-python's records, or one after the other."""
    blocks = [
        block for kind, group in groupby(found, type) for block in (group if kind is Block else [_block(list(group))])
    ]
    if not blocks:
        return Batch(source, (), (), (), (), (), next_offset)
    block = blocks[0] if len(blocks) == 1 else _joined(blocks)
    return Batch(source, block.offsets, block.timestamps, block.keys, block.values, block.headers, next_offset)


def _block(records: list[Any]) -> Block:
    # The records are tuples, so that all of their fields are turned to columns at the speed of C.
    columns = dict(zip(records[0]._fields, zip(*records, strict=True), strict=True))
    return Block(
        offsets=np.array(columns["offset"], np.int64),
        timestamps=np.array([_time_ms(each) for each in columns["timestamp"]], np.int64),
        values=list(columns["value"]),
        keys=columns["key"],
        headers=columns["headers"],
    )


def _time_ms(found: int | None) -> int:
    """As everywhere: -1 where there is none. One that a producer has put beyond 64 bits is as wrong at their end."""
    return -1 if found is None else max(_MS_MIN, min(found, _MS_MAX))


def _joined(blocks: Sequence[Block]) -> Block:
    return Block(
        offsets=np.concatenate([each.offsets for each in blocks]),
        timestamps=np.concatenate([each.timestamps for each in blocks]),
        values=Blobs.concatenate([Blobs.of(each.values) for each in blocks]),
        keys=[key for each in blocks for key in each.keys],
        headers=[headers for each in blocks for headers in each.headers],
    )
