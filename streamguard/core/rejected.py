"""The rejected topic: records that cannot be used, as they came, with the reason in their headers."""

from streamguard.core.records import Batch, Output, Stream


def rejected(batch: Batch, index: int, reason: str) -> Output:
    """The record unchanged; Kafka Connect's header names say where it came from and why it is here."""
    about = {
        "topic": batch.source.topic,
        "partition": str(batch.source.partition),
        "offset": str(batch.offsets[index]),
        "connector.name": "streamguard",
        "stage": "VALUE_CONVERTER",
        "exception.message": reason,
    }
    # A producer cannot write a header without a value; an empty one is the nearest.
    headers = [(name, value or b"") for name, value in batch.headers[index]]
    headers += [(f"__connect.errors.{name}", text.encode()) for name, text in about.items()]
    return Output(Stream.REJECTED, batch.keys[index], batch.values[index], headers=tuple(headers))
