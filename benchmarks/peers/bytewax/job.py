"""Bytewax: the pairs that differ, by a join whose pairs are filtered by time."""

import sys

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.operators import KeyedStream
from bytewax.testing import run_main

AFTER_MS = 2 * 3_600_000

Side = tuple[int, str]
"""Event time, and the value to compare."""


def flow(bootstrap: str, predictions_topic: str, labels_topic: str, out: str) -> Dataflow:
    """From both topics to the third."""
    dataflow = Dataflow("mismatches")

    def side(topic: str, field: str) -> KeyedStream[Side]:
        def read(record: KafkaSourceMessage) -> tuple[str, Side]:
            body = orjson.loads(record.value)
            return body["request_id"], (body["timestamp"], body[field])

        source = KafkaSource([bootstrap], [topic], tail=False, batch_size=10_000)
        return op.map(f"read-{field}", op.input(f"input-{field}", dataflow, source), read)

    pairs = op.join("join", side(predictions_topic, "prediction"), side(labels_topic, "label"))
    op.output("output", op.filter_map("differs", pairs, mismatch), KafkaSink([bootstrap], out))
    return dataflow


def mismatch(pair: tuple[str, tuple[Side, Side]]) -> KafkaSinkMessage | None:
    """What to write, where they differ and the label came in time."""
    key, ((predicted_ms, prediction), (labelled_ms, label)) = pair
    if prediction == label or not 0 <= labelled_ms - predicted_ms <= AFTER_MS:
        return None
    value = {"request_id": key, "prediction": prediction, "label": label}
    return KafkaSinkMessage(key.encode(), orjson.dumps(value))


if __name__ == "__main__":
    run_main(flow(*sys.argv[1:5]))
