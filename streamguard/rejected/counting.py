"""Rejected records counted: by reason, and by where they were."""

from dataclasses import dataclass, field
from typing import Any, TypeVar

from streamguard.core.alerts import rfc3339
from streamguard.core.fields import TIME_MAX_MS
from streamguard.rejected.letter import Letter
from streamguard.rejected.reasons import kind_of

# Of a handler's failures a stranger may choose the words.
_KINDS_MAX = 1000
_OTHERS = "other reasons"
_UNKNOWN = ("", -1)
_EXAMPLE_BYTES = 300

_K = TypeVar("_K")


@dataclass(slots=True)
class Count:
    """How many of one kind, the first and the last of them by time, and one of them."""

    count: int
    first: Letter
    last: Letter
    is_one_reason: bool = True
    """Whether all of them have the very same reason."""

    def add(self, letter: Letter) -> None:
        """One more."""
        self.count += 1
        self.is_one_reason = self.is_one_reason and letter.reason == self.first.reason
        if _order(letter) < _order(self.first):
            self.first = letter
        if _order(letter) > _order(self.last):
            self.last = letter


@dataclass(slots=True)
class Tally:
    """Counts of all records that were added, in whatever order."""

    total: int = 0
    sent_back: int = 0
    """Of those: sent back by `replay`."""
    by_reason: dict[str, Count] = field(default_factory=dict)
    by_origin: dict[tuple[str, int], Count] = field(default_factory=dict)

    def add(self, letter: Letter, *, is_sent_back: bool) -> None:
        """One record."""
        self.total += 1
        self.sent_back += is_sent_back
        kind = kind_of(letter.reason) or "no reason in its headers"
        if kind not in self.by_reason and len(self.by_reason) >= _KINDS_MAX:
            kind = _OTHERS
        place = _UNKNOWN if letter.origin is None else (letter.origin.topic, letter.origin.partition)
        _add(self.by_reason, kind, letter)
        _add(self.by_origin, place, letter)

    def reasons(self) -> list[tuple[str, Count]]:
        """The most frequent first; in the words of the records, where those of a kind are all the same."""
        found = [
            (each.first.reason or kind if each.is_one_reason else kind, each) for kind, each in self.by_reason.items()
        ]
        return sorted(found, key=lambda pair: (-pair[1].count, pair[0]))

    def origins(self) -> list[tuple[tuple[str, int], Count]]:
        """By topic and partition, in that order."""
        return sorted(self.by_origin.items())

    def as_json(self, topic: str) -> dict[str, Any]:
        """All of it as a document."""
        return {
            "topic": topic,
            "records": self.total,
            "sent_back": self.sent_back,
            "reasons": [{"reason": reason, **_document(each)} for reason, each in self.reasons()],
            "origins": [{**_named(place), **_document(each)} for place, each in self.origins()],
        }


def time_of(time_ms: int) -> str:
    """RFC 3339, where a record has a time that can be written so."""
    return rfc3339(time_ms) if 0 <= time_ms <= TIME_MAX_MS else f"{time_ms} ms"


def excerpt(value: bytes | None) -> str:
    """The beginning of a value as text, whatever bytes it is."""
    if value is None:
        return ""
    text = value[:_EXAMPLE_BYTES].decode(errors="backslashreplace")
    return text if len(value) <= _EXAMPLE_BYTES else f"{text}…"


def _add(counts: dict[_K, Count], key: _K, letter: Letter) -> None:
    if key in counts:
        counts[key].add(letter)
    else:
        counts[key] = Count(1, letter, letter)


def _order(letter: Letter) -> tuple[int, int, int]:
    return letter.time_ms, letter.partition, letter.offset


def _named(place: tuple[str, int]) -> dict[str, Any]:
    topic, partition = (None, None) if place == _UNKNOWN else place
    return {"topic": topic, "partition": partition}


def place_of(place: tuple[str, int]) -> str:
    """A partition's name; of records whose headers do not say it, that."""
    return "a place that is not named" if place == _UNKNOWN else f"{place[0]}-{place[1]}"


def _document(each: Count) -> dict[str, Any]:
    return {
        "count": each.count,
        "first": _place(each.first),
        "last": _place(each.last),
        "example": {
            "reason": each.first.reason,
            "from": None if each.first.origin is None else str(each.first.origin),
            "value": excerpt(each.first.value),
        },
    }


def _place(letter: Letter) -> dict[str, Any]:
    return {"time": time_of(letter.time_ms), "partition": letter.partition, "offset": letter.offset}
