"""What becomes of each rejected record in a run of `replay`: pure, so that what is said before is what is done.

Which Kafka timestamp a record is sent with decides what the join makes of it, and none is right for all:

- A prediction keeps the one it came with. Where no time field is configured it is the time at which the prediction was
  made; where one is, `join.max_ahead` holds the two against each other.
- A label whose event time is a field keeps it, for the same check.
- A label without a time field gets a new one: its event time is when the truth became known, and to the join that is
  now. With the old one it would be late wherever its partition has gone on by more than `join.disorder`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from streamguard.core.codec import Reader
from streamguard.core.printing import printable
from streamguard.core.records import Batch, Headers, TopicPartition
from streamguard.errors import ConfigError
from streamguard.logs.interface import Record, TopicInfo
from streamguard.rejected.filters import Filters
from streamguard.rejected.letter import REPLAYED, Letter

# Of a record beside key, value and headers, in its batch.
_RECORD_BYTES = 512

Mend = Callable[[bytes], bytes | None]
"""Makes a value that can be used of one that could not; None: leave it."""


class Fate(StrEnum):
    """How a record ends in one run. All but the first are still there for the next."""

    SENT = "sent"
    OTHER = "other"
    """The filters are of others."""
    AGAIN = "again"
    """It was sent back before, and was rejected again."""
    ELSEWHERE = "elsewhere"
    """It came from no input of this configuration, or from a partition that is not there."""
    LEFT_OUT = "left out"
    """Its value is not on the rejected topic."""
    NOT_MENDED = "not mended"
    """The user's function would not have it."""
    REFUSED = "refused"
    """It would be rejected again."""
    TOO_LARGE = "too large"
    """The topic that it is for does not take it."""
    NO_ROOM = "no room"
    """The note beside the offset could not tell that it was sent."""


@dataclass(frozen=True, slots=True)
class Side:
    """An input: how its records are read, and whether their event time is the Kafka timestamp."""

    reader: Reader
    is_stamped_anew: bool


@dataclass(frozen=True, slots=True)
class Rules:
    """What a run does."""

    sides: Mapping[str, Side]
    """By topic, those of the configuration."""
    topics: Mapping[str, TopicInfo]
    """All that may be written to."""
    filters: Filters = field(default_factory=Filters)
    to: str | None = None
    """Instead of the topic that each came from."""
    mend: Mend | None = None
    is_forced: bool = False
    """Those that would be rejected again are sent as well."""
    is_again: bool = False
    """Those that were sent back before, as well."""


@dataclass(slots=True)
class Judged:
    """One record, what becomes of it, and what is known of that."""

    letter: Letter
    fate: Fate
    record: Record | None = None
    """What is to be written; its partition is None where the key is to choose it."""
    refusal: str | None = None
    """Why it would be rejected again, whether or not it is sent."""
    time_ms: int | None = None
    """The event time that it will have, where it can be read."""


def judge(letters: Sequence[Letter], rules: Rules, now_ms: int) -> list[Judged]:
    """What becomes of each; raises `ConfigError` where the user's function fails."""
    found = [_begun(letter, rules) for letter in letters]
    for topic, side in rules.sides.items():
        mine = [each for each in found if each.record is not None and each.record.topic == topic]
        _read(mine, side, now_ms)
    for each in found:
        if each.refusal is not None and not rules.is_forced:
            each.fate, each.record = Fate.REFUSED, None
    return found


def _begun(letter: Letter, rules: Rules) -> Judged:
    """All but whether the input's reader takes it."""
    fate = _excluded(letter, rules)
    if fate is not None:
        return Judged(letter, fate)
    value = letter.value
    if rules.mend is not None and value is not None:
        value = _mended(rules.mend, value, letter)
        if value is None:
            return Judged(letter, Fate.NOT_MENDED)
    record = _record(letter, value, rules)
    if record is None:
        return Judged(letter, Fate.ELSEWHERE)
    limit = rules.topics[record.topic].max_record_bytes
    if limit is not None and _size(record) > limit:
        return Judged(letter, Fate.TOO_LARGE)
    return Judged(letter, Fate.SENT, record)


def _excluded(letter: Letter, rules: Rules) -> Fate | None:
    if not rules.filters.take(letter):
        return Fate.OTHER
    if letter.replayed is not None and not rules.is_again:
        return Fate.AGAIN
    return None if letter.left_out_bytes is None else Fate.LEFT_OUT


def _record(letter: Letter, value: bytes | None, rules: Rules) -> Record | None:
    """The record as it came, with a mark; None where it has no place to go."""
    if letter.origin is None:
        return None
    topic, partition = letter.origin.topic, letter.origin.partition
    if rules.to is not None:
        topic = rules.to
    elif topic not in rules.sides:
        return None
    info = rules.topics[topic]
    if partition >= info.partitions and rules.to is None:
        return None
    side = rules.sides.get(topic)
    # Before 1970 is none.
    is_kept = letter.original_ms >= 0 and not (side is not None and side.is_stamped_anew)
    return Record(
        topic,
        letter.key,
        value,
        partition if partition < info.partitions else None,
        # A producer cannot write a header without a value; an empty one is the nearest.
        (*((name, content or b"") for name, content in letter.headers), (REPLAYED, letter.place.encode())),
        letter.original_ms if is_kept else None,
    )


def _mended(mend: Mend, value: bytes, letter: Letter) -> bytes | None:
    try:
        found = mend(value)
    except Exception as error:  # noqa: BLE001 - of a user's function anything may come
        raise ConfigError(
            f"--mend: the function failed at {letter.place}: {type(error).__name__}: {printable(str(error))[:500]};"
            " let it return None for what it cannot mend"
        ) from None
    if found is not None and type(found) is not bytes:
        raise ConfigError(
            f"--mend: the function returned {type(found).__name__} at {letter.place}: it must return bytes, or None"
        )
    return found


def _read(judged: Sequence[Judged], side: Side, now_ms: int) -> None:
    """Read records as the join will."""
    if not judged:
        return
    records = [each.record for each in judged if each.record is not None]
    none: list[Headers] = [()] * len(records)
    columns, rejections = side.reader.read(
        Batch(
            TopicPartition(records[0].topic, 0),
            range(len(records)),
            [now_ms if record.timestamp_ms is None else record.timestamp_ms for record in records],
            [record.key for record in records],
            [record.value for record in records],
            none,
            len(records),
        )
    )
    for place, time_ms in zip(np.asarray(columns.offsets).tolist(), columns.times.tolist(), strict=True):
        judged[place].time_ms = time_ms
    for rejection in rejections:
        judged[rejection.index].refusal = rejection.reason


def _size(record: Record) -> int:
    headers = sum(len(name.encode()) + len(content or b"") for name, content in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers + _RECORD_BYTES
