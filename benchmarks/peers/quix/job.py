"""Quix Streams: the pairs that differ, by an interval join."""

import sys
from datetime import timedelta

from quixstreams import Application


def main() -> None:
    """Run until killed."""
    bootstrap, predictions_topic, labels_topic, out, _, unique, state = sys.argv[1:]
    application = Application(
        bootstrap,
        consumer_group=unique,
        auto_offset_reset="earliest",
        state_dir=state,
        loglevel="WARNING",
        consumer_extra_config={"fetch.min.bytes": 100_000, "fetch.wait.max.ms": 100},
        producer_extra_config={"linger.ms": 100, "batch.num.messages": 100_000, "batch.size": 1_000_000},
    )
    # The stores, and their changelogs, hold the compared values alone.
    predictions = application.dataframe(application.topic(predictions_topic, value_deserializer="json"))
    labels = application.dataframe(application.topic(labels_topic, value_deserializer="json"))
    pairs = predictions.apply(lambda body: body["prediction"]).join_interval(
        labels.apply(lambda body: body["label"]),
        on_merge=lambda prediction, label: (prediction, label),
        grace_ms=timedelta(hours=2, seconds=30),
        forward_ms=timedelta(hours=2),
    )
    mismatches = pairs.filter(lambda pair: pair[0] != pair[1]).apply(
        lambda pair, key, _timestamp, _headers: {"request_id": key.decode(), "prediction": pair[0], "label": pair[1]},
        metadata=True,
    )
    mismatches.to_topic(application.topic(out, value_serializer="json"))
    application.run()


if __name__ == "__main__":
    main()
