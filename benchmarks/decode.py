"""What it costs to turn fetched bytes into columns: kafka-python's records one by one, and whole batches.

    python -m benchmarks.decode

Prints nanoseconds of CPU time a record, CRC check included: the best of several runs over one fetch of a partition.
"""

import time
from random import Random
from typing import Any

import kafka
from kafka import codec
from kafka.consumer.fetcher import Fetcher
from kafka.record import MemoryRecords, MemoryRecordsBuilder

from streamguard.core.records import Batch, TopicPartition
from streamguard.logs.kafka.records import BatchRecords, to_batch

SOURCE = TopicPartition("t", 0)
FETCH_BYTES = 4 << 20
POLL_RECORDS = 50_000
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
HAS = {"none": True, "gzip": True, "snappy": codec.has_snappy(), "lz4": codec.has_lz4(), "zstd": codec.has_zstd()}
HEADERS = [("ce_id", b"0123456789abcdef"), ("content-type", b"application/json")]


def fetch(value_bytes: int, batch_bytes: int, headers: list[tuple[str, bytes]], kind: int) -> tuple[bytes, int]:
    """As many batches as fit into a fetch, each as full as a producer fills it; and how many records these are."""
    random = Random(1)
    parts: list[bytes] = []
    size = number = 0
    while size < FETCH_BYTES:
        builder = MemoryRecordsBuilder(2, kind, batch_bytes, offset=number)
        while not builder.is_full():
            value = b'{"request_id":"%012d","value":"%0*x"}' % (number, value_bytes - 41, random.getrandbits(64))
            if builder.append(1_700_000_000_000 + number, b"%012d" % number, value, headers) is None:
                break
            number += 1
        builder.close()
        parts.append(bytes(builder.buffer()))
        size += len(parts[-1])
        # Compressed, these would otherwise be ten times as many records.
        if number > 2 * POLL_RECORDS:
            break
    return b"".join(parts), number


def read(kind: Any, data: bytes) -> int:
    """Everything, poll by poll."""
    part = kind(0, kafka.TopicPartition(*SOURCE), MemoryRecords(data))
    count = 0
    while part:
        found: list[Any] = []
        found.extend(part.take(POLL_RECORDS))
        batch: Batch = to_batch(SOURCE, found, part.next_fetch_offset)
        count += len(batch)
    return count


def best_ns(kind: Any, data: bytes, count: int, runs: int) -> float:
    """The shortest of several runs, for one record."""
    best = float("inf")
    for _ in range(runs):
        began = time.process_time_ns()
        found = read(kind, data)
        best = min(best, time.process_time_ns() - began)
        if found != count:
            raise SystemExit(f"{found} records of {count}")
    return best / count


def main() -> None:
    """Print a line for each size of values and batches, with and without headers, and each codec that is there."""
    print(" value    batch headers  codec  records  stock ns  batch ns  times")
    shapes = [(size, 16 << 10, [], "none") for size in (130, 300, 1000)]
    shapes += [(130, size, [], "none") for size in (1 << 10, 256 << 10)]
    shapes += [(130, 16 << 10, HEADERS, "none")]
    shapes += [(130, 16 << 10, [], name) for name in CODECS if name != "none" and HAS[name]]
    for value_bytes, batch_bytes, headers, name in shapes:
        data, count = fetch(value_bytes, batch_bytes, headers, CODECS[name])
        stock = best_ns(Fetcher.PartitionRecords, data, count, 2)
        ours = best_ns(BatchRecords, data, count, 7)
        print(
            f"{value_bytes:>6} {batch_bytes:>8} {len(headers):>7} {name:>6} {count:>8}"
            f" {stock:>9.0f} {ours:>9.0f} {stock / ours:>6.1f}"
        )


if __name__ == "__main__":
    main()
