"""A record of the rejected topic, or of that of dead letters, as what it says of itself."""

from collections.abc import Iterator
from dataclasses import dataclass

from streamguard.core.records import Batch, Headers
from streamguard.core.rejected import ERRORS, LEFT_OUT, TIMESTAMP

REPLAYED = "streamguard.replayed"
"""Header of a record that was sent back: topic-partition@offset of the rejected record that it was."""
# What each of ours begins with; all that follows is ours, since it was added at the end.
_FIRST = f"{ERRORS}topic"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record was that could not be used."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}@{self.offset}"


@dataclass(frozen=True, slots=True)
class Letter:
    """A rejected record. `headers` are its own: those that tell of the rejection are taken off."""

    topic: str
    partition: int
    offset: int
    time_ms: int
    """Its Kafka timestamp on this topic: when it was rejected."""
    key: bytes | None
    value: bytes | None
    headers: Headers
    origin: Origin | None
    """None: its headers do not say."""
    reason: str
    original_ms: int
    """The Kafka timestamp that it came with; where its headers do not say, `time_ms`."""
    left_out_bytes: int | None = None
    """Length of the value, where that was too large for this topic and is not here."""
    replayed: str | None = None
    """What it was before it was sent back, and rejected again."""

    @property
    def place(self) -> str:
        """Where it is now."""
        return f"{self.topic}-{self.partition}@{self.offset}"


def letters(batch: Batch) -> Iterator[Letter]:
    """Each record of a batch; no bytes make this raise."""
    columns = zip(batch.offsets, batch.timestamps, batch.keys, batch.values, batch.headers, strict=True)
    for offset, time_ms, key, value, headers in columns:
        own, about = _parted(headers)
        # Which a producer may have written as well: the last is ours.
        texts = {name: (content or b"").decode(errors="replace") for name, content in about}
        marks = [(content or b"").decode(errors="replace") for name, content in own if name == REPLAYED]
        original_ms, left_out = _number(texts.get(TIMESTAMP)), _number(texts.get(LEFT_OUT))
        yield Letter(
            batch.source.topic,
            batch.source.partition,
            int(offset),
            int(time_ms),
            key,
            value,
            tuple((name, content) for name, content in own if name != REPLAYED),
            _origin(texts),
            texts.get(f"{ERRORS}exception.message", ""),
            int(time_ms) if original_ms is None else original_ms,
            left_out,
            marks[-1] if marks else None,
        )


def _parted(headers: Headers) -> tuple[Headers, Headers]:
    """A record's own headers, and those that tell of its rejection."""
    places = [place for place, (name, _) in enumerate(headers) if name == _FIRST]
    return (headers[: places[-1]], headers[places[-1] :]) if places else (headers, ())


def _origin(texts: dict[str, str]) -> Origin | None:
    topic = texts.get(_FIRST)
    partition, offset = _number(texts.get(f"{ERRORS}partition")), _number(texts.get(f"{ERRORS}offset"))
    if not topic or partition is None or offset is None or min(partition, offset) < 0:
        return None
    return Origin(topic, partition, offset)


def _number(text: str | None) -> int | None:
    digits = (text or "").removeprefix("-")
    # Of 64 bits, whatever a stranger has written.
    return int(text or "") if digits.isascii() and digits.isdigit() and len(digits) < 19 else None
