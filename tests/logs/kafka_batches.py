"""Record batches as a broker sends them, written without kafka-python's own builder, which writes sound ones only."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import kafka
from kafka import codec
from kafka.record import MemoryRecordsBuilder
from kafka.record.util import calc_crc32c, encode_varint

from streamguard.core.records import Batch

TP = kafka.TopicPartition("t", 0)
ENCODERS: dict[int, Callable[[bytes], bytes]] = {
    0: bytes,
    1: codec.gzip_encode,
    3: codec.lz4_encode,
    4: codec.zstd_encode,
}
APPEND_TIME, TRANSACTIONAL, CONTROL = 0x08, 0x10, 0x20
_AFTER_CRC = struct.Struct(">hiqqqhii")


@dataclass(frozen=True)
class Row:
    """A record; `gap` is how many offsets before it compaction has emptied."""

    value: bytes | None = b"{}"
    key: bytes | None = None
    headers: Sequence[tuple[bytes, bytes | None]] = ()
    delta_ms: int = 0
    gap: int = 0


@dataclass(frozen=True)
class Written:
    """A batch of format 2; `tail` is how many offsets after its last record compaction has emptied."""

    rows: Sequence[Row] = (Row(),)
    codec: int = 0
    flags: int = 0
    producer_id: int = -1
    first_ms: int = 1_700_000_000_000
    max_ms: int = 1_700_000_009_999
    tail: int = 0


def marker(producer_id: int, *, is_commit: bool) -> Written:
    """The end of a transaction."""
    row = Row(key=struct.pack(">hh", 0, is_commit), value=bytes(6))
    return Written([row], flags=TRANSACTIONAL | CONTROL, producer_id=producer_id)


def varint(value: int) -> bytes:
    """A number as the format has it."""
    result = bytearray()
    encode_varint(value, result.append)
    return bytes(result)


def nullable(data: bytes | None) -> bytes:
    """Bytes with their length before them."""
    return varint(-1) if data is None else varint(len(data)) + data


def record(row: Row, delta: int) -> bytes:
    """A record without its length."""
    fields = [b"\0", varint(row.delta_ms), varint(delta), nullable(row.key), nullable(row.value)]
    pairs = [nullable(name) + nullable(value) for name, value in row.headers]
    return b"".join([*fields, varint(len(row.headers)), *pairs])


def written(batch: Written, base_offset: int) -> tuple[bytes, int]:
    """The batch, and the offset after it."""
    parts, delta = [], 0
    for row in batch.rows:
        delta += row.gap
        parts.append(nullable(record(row, delta)))
        delta += 1
    data = ENCODERS.get(batch.codec, bytes)(b"".join(parts))
    last = max(0, delta - 1 + batch.tail)
    return raw_batch(data, batch, base_offset, (last, len(batch.rows))), base_offset + last + 1


def raw_batch(data: bytes, batch: Written, base_offset: int, ends: tuple[int, int]) -> bytes:
    """A batch around any bytes; `ends`: the last offset, from the base, and how many records it says it has."""
    last, count = ends
    attributes = batch.flags | batch.codec
    body = _AFTER_CRC.pack(attributes, last, batch.first_ms, batch.max_ms, batch.producer_id, 0, -1, count) + data
    return struct.pack(">qiibI", base_offset, len(body) + 9, 5, 2, calc_crc32c(body)) + body


def legacy(magic: int, base_offset: int, values: Sequence[bytes]) -> bytes:
    """Records of a format before 2."""
    builder = MemoryRecordsBuilder(magic, 0, 1 << 20, offset=base_offset)
    for value in values:
        builder.append(1_700_000_000_000, b"k", value)
    builder.close()
    return bytes(builder.buffer())


def rows_of(batch: Batch) -> list[Any]:
    """A batch, record by record."""
    headers = [list(map(tuple, each)) for each in batch.headers]
    return list(
        zip(map(int, batch.offsets), map(int, batch.timestamps), batch.keys, batch.values, headers, strict=True)
    )
