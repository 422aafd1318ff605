"""What every payload format is to the re-key stage: raw records in; whole predictions, or halves of them, out."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, runtime_checkable

from streamguard.core.records import Headers


class Side(IntEnum):
    """Which half of a prediction a record is. Of one time, the request is the earlier."""

    REQUEST = 0
    RESPONSE = 1


@dataclass(frozen=True, slots=True)
class Raw:
    """A record of a raw topic, as much of it as a format may look at."""

    value: bytes | None
    headers: Headers
    timestamp_ms: int
    """Kafka's; below 0 where there is none."""


@dataclass(frozen=True, slots=True)
class Half:
    """A request, or the response to it."""

    side: Side
    request_id: str
    time_ms: int
    """When it was, by its own word or else by Kafka's."""
    body: bytes
    """As JSON, not looked at yet."""
    about: tuple[tuple[str, str], ...] = ()
    """What the envelope says of the model: fields of the record that will be written."""


@dataclass(frozen=True, slots=True)
class Row:
    """One prediction, or one label, as it will be written."""

    request_id: str
    time_ms: int
    value: bytes


class Whole(Protocol):
    """A format whose records hold whole predictions. What cannot be used raises `Unreadable`, and nothing else."""

    def rows(self, raw: Raw) -> Sequence[Row]:
        """What a record holds: at least one row."""
        ...


@runtime_checkable
class Paired(Protocol):
    """A format that has requests and responses apart. What cannot be used raises `Unreadable`, and nothing else."""

    @property
    def pair_within_ms(self) -> int:
        """How far apart in event time the two may be."""
        ...

    def half(self, raw: Raw) -> Half:
        """What a record is."""
        ...

    def pair(self, request: Half | None, response: Half) -> Sequence[Row]:
        """The predictions of a response, at the response's time; without their request they have no features."""
        ...


Adapter = Whole | Paired
"""One format, with its settings."""
