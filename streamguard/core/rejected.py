"""The rejected topic: records that cannot be used, as they came, with the reason in their headers."""

from collections.abc import Mapping

from streamguard.core.records import Batch, Headers, Output, Stream

ERRORS = "__connect.errors."
TIMESTAMP = "streamguard.timestamp"
"""Header with the Kafka timestamp that the record came with, which Kafka Connect has no name for."""
LEFT_OUT = "streamguard.value.bytes"
"""Header with the length of a value that the rejected topic does not take."""


def rejected(batch: Batch, index: int, reason: str) -> Output:
    """The record unchanged; Kafka Connect's header names say where it came from and why it is here.

    It is for the partition number that it came from, so that records of one partition stay in their order.
    """
    about = {
        "topic": batch.source.topic,
        "partition": str(batch.source.partition),
        "offset": str(batch.offsets[index]),
        "connector.name": "streamguard",
        "stage": "VALUE_CONVERTER",
        "exception.message": reason,
    }
    at = str(int(batch.timestamps[index])).encode()
    headers = (*explained(batch.headers[index], about), (TIMESTAMP, at))
    return Output(Stream.REJECTED, batch.keys[index], batch.values[index], batch.source.partition, headers)


def explained(headers: Headers, about: Mapping[str, str]) -> Headers:
    """A record's headers, and what went wrong with it."""
    # A producer cannot write a header without a value; an empty one is the nearest.
    own = [(name, value or b"") for name, value in headers]
    return (*own, *((f"{ERRORS}{name}", text.encode()) for name, text in about.items()))


def reason(output: Output) -> tuple[str, str]:
    """Of a record that was rejected: where it came from, and why it is here."""
    about = {name.removeprefix(ERRORS): (text or b"").decode() for name, text in output.headers}
    return f"partition {about['partition']}, offset {about['offset']}", about["exception.message"]
