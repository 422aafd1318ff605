"""A loop that reads two topics to their ends and parses each value, nothing else: `bare.py CLIENT HOST:PORT TOPIC ...`.

Run as a file, so that its start-up is that of the client alone. Prints how many records it saw.
"""

import sys
from contextlib import suppress

import orjson


def kafka_python(address: str, topics: list[str]) -> int:
    """By kafka-python."""
    from kafka import KafkaConsumer, TopicPartition  # noqa: PLC0415 (only the client that is asked for)

    consumer = KafkaConsumer(bootstrap_servers=address, group_id=None, enable_auto_commit=False)
    parts = [TopicPartition(topic, each) for topic in topics for each in consumer.partitions_for_topic(topic)]
    consumer.assign(parts)
    consumer.seek_to_beginning(*parts)
    ends = consumer.end_offsets(parts)
    seen = 0
    while any(consumer.position(each) < ends[each] for each in parts):
        for batch in consumer.poll(1000, max_records=5000).values():
            for record in batch:
                with suppress(orjson.JSONDecodeError):
                    orjson.loads(record.value)
            seen += len(batch)
    return seen


def confluent(address: str, topics: list[str]) -> int:
    """By confluent-kafka."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition  # noqa: PLC0415 (as above)

    consumer = Consumer({"bootstrap.servers": address, "group.id": "unused", "enable.partition.eof": True})
    found = consumer.list_topics().topics
    parts = [TopicPartition(topic, each, OFFSET_BEGINNING) for topic in topics for each in found[topic].partitions]
    consumer.assign(parts)
    seen = ended = 0
    while ended < len(parts):
        for message in consumer.consume(5000, 1.0):
            error = message.error()
            if error is None:
                with suppress(orjson.JSONDecodeError):
                    orjson.loads(message.value() or b"")
                seen += 1
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (its public name)
                ended += 1
            else:
                sys.exit(str(error))
    return seen


if __name__ == "__main__":
    loop = {"kafka-python": kafka_python, "confluent": confluent}[sys.argv[1]]
    sys.stdout.write(f"{loop(sys.argv[2], sys.argv[3:])}\n")
