"""Record batches of Kafka's message format 2, read many at once into columns.

One loop in Python notes where each record begins; every other field is read with numpy over all records of
a fetch, since a producer's batch of 16 kB holds too few records for that to pay batch by batch. Whatever is
not as the format has it is left to kafka-python, which knows the error for it.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from kafka import codec
from numpy.typing import NDArray

from streamguard.core.records import Blobs
from streamguard.logs.kafka.columns import SIZE_BYTES, Block, HeaderLists, Ints, varint

_HEADER = struct.Struct(">qiibIhiqqqhii")
_LENGTH = struct.Struct(">i")
_LENGTH_AT = 8
_OVERHEAD = 12
_MAGIC_AT = 16
_CRC_FROM = 21
_MAGIC = 2
_CODEC, _APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20
_DECODERS = {1: codec.gzip_decode, 2: codec.snappy_decode, 3: codec.lz4_decode, 4: codec.zstd_decode}

# A varint is read up to here beyond the record that it is said to be in.
_PADDING = bytes(16)
# Within these, a base and a delta add up to 64 bits.
_BASE_MAX = 1 << 62
_DELTA_BYTES = 9
# Each costs a round over the records that have it.
_HEADERS_MAX = 64


class MalformedError(Exception):
    """A batch is not as the format has it, or not as it is usual: it is for kafka-python to read."""

    def __init__(self, index: int) -> None:
        super().__init__(f"batch {index}")
        self.index = index


class Header(NamedTuple):
    """What a record batch says of itself; `begin` and `end` are its place in what was fetched."""

    begin: int
    end: int
    base_offset: int
    leader_epoch: int
    crc: int
    attributes: int
    last_offset_delta: int
    first_ms: int
    max_ms: int
    producer_id: int
    record_count: int

    @property
    def next_offset(self) -> int:
        """The offset after the batch, though compaction may have taken its last record."""
        return self.base_offset + self.last_offset_delta + 1

    @property
    def is_transactional(self) -> bool:
        return bool(self.attributes & _TRANSACTIONAL)

    @property
    def is_control(self) -> bool:
        """Whether this is a transaction's marker."""
        return bool(self.attributes & _CONTROL)


def headers_of(fetched: memoryview) -> list[Header] | None:
    """The complete batches; the last may be cut off. None where one is of another format, or damaged."""
    result = []
    begin, size = 0, len(fetched)
    while begin + _OVERHEAD <= size:
        end = begin + _OVERHEAD + _LENGTH.unpack_from(fetched, begin + _LENGTH_AT)[0]
        if end > size:
            break
        if end < begin + _HEADER.size or fetched[begin + _MAGIC_AT] != _MAGIC:
            return None
        fields = _HEADER.unpack_from(fetched, begin)
        base_offset, _, epoch, _, crc, attributes, delta, first_ms, max_ms, producer_id, _, _, count = fields
        result.append(
            Header(begin, end, base_offset, epoch, crc, attributes, delta, first_ms, max_ms, producer_id, count)
        )
        begin = end
    return result


def checked_by_crc(fetched: memoryview, header: Header) -> memoryview:
    """The bytes that the checksum is of."""
    return fetched[header.begin + _CRC_FROM : header.end]


class Payload(NamedTuple):
    """The records of one batch, uncompressed, and what their offsets and times are relative to."""

    data: bytes | memoryview
    record_count: int
    base_offset: int
    base_ms: int
    is_append_time: bool


def payload_of(fetched: memoryview, header: Header) -> Payload:
    """A batch's records. Raises whatever the codec does where the bytes are damaged or the codec is not there."""
    data: bytes | memoryview = fetched[header.begin + _HEADER.size : header.end]
    if compression := header.attributes & _CODEC:
        data = _DECODERS[compression](bytes(data))
    is_append_time = bool(header.attributes & _APPEND_TIME)
    base_ms = header.max_ms if is_append_time else header.first_ms
    return Payload(data, header.record_count, header.base_offset, base_ms, is_append_time)


def decode(payloads: Sequence[Payload]) -> Block:
    """The records of batches that follow one another; raises `MalformedError` with the index of an unsound one."""
    data = b"".join([*(each.data for each in payloads), _PADDING])
    octets = np.frombuffer(data, np.uint8)
    begins = np.array(_begins(data, payloads), np.int64)
    until = np.append(begins[1:], len(data) - len(_PADDING))[: len(begins)]
    batch_of = np.repeat(np.arange(len(payloads)), np.array([each.record_count for each in payloads], np.int64))

    sound = np.ones(len(begins), bool)
    sizes, at = _varints(octets, begins, SIZE_BYTES, sound)
    sound &= at + sizes == until
    _, at = _varints(octets, at, SIZE_BYTES, sound)
    delta_ms, at = _varints(octets, at, _DELTA_BYTES, sound)
    delta, at = _varints(octets, at, _DELTA_BYTES, sound)
    key_sizes, keys_at = _varints(octets, at, SIZE_BYTES, sound)
    value_sizes, values_at = _varints(octets, keys_at + np.maximum(key_sizes, 0), SIZE_BYTES, sound)
    header_counts, headers_at = _varints(octets, values_at + np.maximum(value_sizes, 0), SIZE_BYTES, sound)
    sound &= (header_counts == 0) & (headers_at == until) | (header_counts > 0) & (header_counts <= _HEADERS_MAX)
    if header_counts.any():
        _check_headers(data, (headers_at, header_counts, until), sound)
    if not sound.all():
        raise MalformedError(int(batch_of[np.argmin(sound)]))

    return Block(
        offsets=_bases([each.base_offset for each in payloads])[batch_of] + delta,
        timestamps=_bases([each.base_ms for each in payloads])[batch_of]
        + delta_ms * ~np.array([each.is_append_time for each in payloads], bool)[batch_of],
        values=Blobs(octets, values_at, np.maximum(value_sizes, -1)),
        keys=Blobs(octets, keys_at, np.maximum(key_sizes, -1)),
        headers=HeaderLists(data, headers_at, header_counts),
        size=int(sizes.sum()),
    )


def _begins(data: bytes, payloads: Sequence[Payload]) -> list[int]:
    """Where the length of each record stands; only here is there work in Python for every record."""
    result: list[int] = []
    note = result.append
    at = end = expected = 0
    for index, payload in enumerate(payloads):
        end += len(payload.data)
        while at < end:
            note(at)
            # A length is never negative: the lowest bit, its sign, is looked at later.
            low = data[at]
            if low < 0x80:
                at += 1 + (low >> 1)
                continue
            high = data[at + 1]
            if high < 0x80:
                # Two bytes, and what they say without the mark in the first.
                at += 2 - 0x40 + (low >> 1) + (high << 6)
            else:
                size, at = varint(data, at)
                at += max(size, 0)
        expected += payload.record_count
        if at != end or len(result) != expected:
            raise MalformedError(index)
    return result


def _varints(octets: NDArray[np.uint8], at: Ints, bytes_max: int, sound: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """The numbers that stand at these places, and the places after them; clears `sound` where they are longer.

    A place may be anywhere where the record is not sound.
    """
    low = octets.take(at, mode="clip")
    value = (low & 0x7F).astype(np.int64)
    at = at + 1
    rows = np.flatnonzero(low & 0x80)
    for shift in range(7, 7 * bytes_max, 7):
        if not rows.size:
            break
        places = at[rows]
        high = octets.take(places, mode="clip")
        value[rows] |= (high & 0x7F).astype(np.int64) << shift
        at[rows] = places + 1
        rows = rows[high >= 0x80]
    sound[rows] = False
    return (value >> 1) ^ -(value & 1), at


def _check_headers(data: bytes, columns: tuple[Ints, Ints, Ints], sound: NDArray[np.bool_]) -> None:
    """Clear `sound` where headers are not as long as their record, or their names are no text."""
    octets = np.frombuffer(data, np.uint8)
    rows = np.flatnonzero(sound & (columns[1] > 0))
    at, left, until = (column[rows] for column in columns)
    while rows.size:
        is_fit = np.ones(len(rows), bool)
        sizes, at = _varints(octets, at, SIZE_BYTES, is_fit)
        is_fit &= (sizes >= 0) & (at + sizes <= until)
        begins, ends = np.where(is_fit, at, 0), np.where(is_fit, at + sizes, 0)
        names = [data[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
        # Names are few, and records many.
        if wrong := {name for name in set(names) if not _is_text(name)}:
            is_fit &= [name not in wrong for name in names]
        value_sizes, at = _varints(octets, ends, SIZE_BYTES, is_fit)
        at = at + np.maximum(value_sizes, 0)
        left = left - 1
        sound[rows] &= is_fit & ((left > 0) | (at == until))
        goes_on = is_fit & (left > 0)
        rows, at, left, until = rows[goes_on], at[goes_on], left[goes_on], until[goes_on]


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _bases(values: list[int]) -> Ints:
    for index, value in enumerate(values):
        if not -_BASE_MAX < value < _BASE_MAX:
            raise MalformedError(index)
    return np.array(values, np.int64)
