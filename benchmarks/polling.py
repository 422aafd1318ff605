"""Whether the next records are on their way while a worker works on the last: `python -m benchmarks.polling`.

Reads one topic of a broker of its own with and without a pause after each poll, one record at a time and by batches.
`ready` are the polls whose records were here when they began; the first, which sends the first fetch, is left out.
"""

import argparse
import statistics
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from streamguard.config import KafkaLog as Settings
from streamguard.core.records import TopicPartition
from streamguard.logs.kafka import options
from streamguard.logs.kafka.clients import POLL_RECORDS
from streamguard.logs.kafka.records import read_batches, to_batch
from tests.integration.broker import running

TOPIC = "polling"
VALUE = b'{"request_id":"%012d","value":"' + b"x" * 88 + b'"}'


def fill(bootstrap: str, records: int, partitions: int) -> None:
    """Write the topic, in batches of kafka-python's default size."""
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        admin.create_topics({TOPIC: {"num_partitions": partitions, "replication_factor": 1}}, wait_for_metadata=True)
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=50, metrics_enabled=False)
    with closing(producer):
        for number in range(records):
            producer.send(TOPIC, key=b"%012d" % number, value=VALUE % number, partition=number // 500 % partitions)


def read(bootstrap: str, partitions: int, pause_s: float, *, is_batched: bool) -> tuple[float, list[float], int]:
    """The seconds it took, those of each poll that found something but the first, and how many were ready."""
    settings = Settings(kind="kafka", bootstrap_servers=(bootstrap,), group="polling")
    with closing(KafkaConsumer(group_id=None, **options.consumer(settings))) as consumer:
        if is_batched:
            read_batches(consumer)
        places = [kafka.TopicPartition(TOPIC, number) for number in range(partitions)]
        consumer.assign(places)
        for place in places:
            consumer.seek(place, 0)
        ends = consumer.end_offsets(places)
        count = ready_count = 0
        polls: list[float] = []
        fetcher = consumer._fetcher  # noqa: SLF001
        began_s = time.perf_counter()
        while count < sum(ends.values()):
            is_ready = bool(fetcher._completed_fetches or fetcher._next_partition_records)  # noqa: SLF001
            poll_s = time.perf_counter()
            found = consumer.poll(500, max_records=POLL_RECORDS)
            batches = [to_batch(TopicPartition(*each), found[each], consumer.position(each)) for each in found]
            polls += [time.perf_counter() - poll_s] if batches else []
            ready_count += bool(batches) and is_ready
            count += sum(map(len, batches))
            if batches:
                time.sleep(pause_s)
        return time.perf_counter() - began_s, polls[1:], ready_count


def main() -> None:
    """Print a line for each way of reading."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.polling", description=__doc__)
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--pause-ms", type=int, default=100)
    given = parser.parse_args()
    with TemporaryDirectory(prefix="streamguard-kafka-") as data, running(Path(data)) as (bootstrap, _):
        fill(bootstrap, given.records, given.partitions)
        print("read by  pause ms  polls  ready  ms a poll (median)  total s")
        for is_batched in (False, True):
            for pause_ms in (0, given.pause_ms):
                total_s, polls, ready_count = read(bootstrap, given.partitions, pause_ms / 1000, is_batched=is_batched)
                median_ms = 1000 * statistics.median(polls)
                name = "batch" if is_batched else "record"
                print(f"{name:7}  {pause_ms:8}  {len(polls):5}  {ready_count:5}  {median_ms:18.0f}  {total_s:7.2f}")


if __name__ == "__main__":
    main()
