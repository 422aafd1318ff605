"""Pathway: the pairs that differ, by an interval join, or by a join whose pairs are filtered by time."""

import sys

import pathway as pw

AFTER_MS = 2 * 3_600_000


class Prediction(pw.Schema):
    """What is read of a prediction."""

    request_id: str
    prediction: str
    timestamp: int


class Label(pw.Schema):
    """What is read of a label."""

    request_id: str
    label: str
    timestamp: int


def main() -> None:
    """Run until killed."""
    bootstrap, predictions_topic, labels_topic, out, variant, unique, _ = sys.argv[1:]
    read = {"bootstrap.servers": bootstrap, "group.id": unique, "auto.offset.reset": "earliest"}
    predictions = pw.io.kafka.read(read, predictions_topic, schema=Prediction, format="json")
    labels = pw.io.kafka.read(read, labels_topic, schema=Label, format="json")
    same_id = predictions.request_id == labels.request_id
    columns = {
        "request_id": predictions.request_id,
        "prediction": predictions.prediction,
        "label": labels.label,
    }
    if variant == "interval_join":
        # No behavior: a cutoff drops pairs where one topic is read ahead of the other, as in a backlog.
        pairs = predictions.interval_join(
            labels, predictions.timestamp, labels.timestamp, pw.temporal.interval(0, AFTER_MS), same_id
        ).select(**columns)
    else:
        pairs = predictions.join(labels, same_id).select(**columns, delay_ms=labels.timestamp - predictions.timestamp)
        pairs = pairs.filter((pw.this.delay_ms >= 0) & (pw.this.delay_ms <= AFTER_MS)).without(pw.this.delay_ms)
    mismatches = pairs.filter(pw.this.prediction != pw.this.label)
    write = {"bootstrap.servers": bootstrap, "linger.ms": "100"}
    pw.io.kafka.write(mismatches, write, out, format="json", key=mismatches.request_id)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)


if __name__ == "__main__":
    main()
