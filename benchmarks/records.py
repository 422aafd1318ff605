"""Predictions and labels for the benchmarks: a day of event time, late labels, duplicates and garbage."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import orjson

from streamguard.logs.interface import Record

DAY_MS = 86_400_000
START_MS = 1_767_571_200_000  # 2026-01-05T00:00:00Z
DELAY_MAX_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Shape:
    """How many, and how unruly. Shares are of the predictions."""

    predictions: int = 1_000_000
    never: float = 0.02
    duplicates: float = 0.01
    garbage: float = 0.001
    seed: int = 1


def records(shape: Shape) -> Iterator[Record]:
    """In the order in which producers would send them, each with its event time as Kafka timestamp.

    The error rate doubles from 5% to 10% for the last third of the day.
    """
    random = Random(shape.seed)
    events = []
    for number in range(shape.predictions):
        at_ms = START_MS + number * DAY_MS // shape.predictions
        events.append((at_ms, number, "prediction"))
        if random.random() < shape.duplicates:
            events.append((at_ms + random.randrange(20_000), number, "prediction"))
        if random.random() >= shape.never:
            known_ms = at_ms + random.randrange(DELAY_MAX_MS)
            events.append((known_ms, number, "label"))
            if random.random() < shape.duplicates:
                events.append((known_ms + random.randrange(20_000), number, "label"))
        if random.random() < shape.garbage:
            events.append((at_ms, number, "garbage"))
    events.sort(key=lambda event: event[0])
    for at_ms, number, kind in events:
        yield _record(number, kind, at_ms, shape)


def _record(number: int, kind: str, at_ms: int, shape: Shape) -> Record:
    key = b"req-%08d" % number
    draw = (number * 2_654_435_761) % 1_000_003 / 1_000_003
    is_fraud = draw < 0.3
    if kind == "garbage":
        value = (b"{not json", b'{"request_id": 7}', b"", b'{"request_id": "x", "prediction": NaN}')[number % 4]
        return Record(("predictions", "labels")[number % 2], key, value, timestamp_ms=at_ms)
    if kind == "label":
        body = {"request_id": key.decode(), "label": "fraud" if is_fraud else "legit", "timestamp": at_ms}
        return Record("labels", key, orjson.dumps(body), timestamp_ms=at_ms)
    wrong = 0.1 if number > shape.predictions * 2 // 3 else 0.05
    is_wrong = (number * 40_503 + 7919) % 100_003 / 100_003 < wrong
    body = {
        "request_id": key.decode(),
        "prediction": "fraud" if is_fraud is not is_wrong else "legit",
        # A repeat is the same record again, so it carries the same time as the first where it can.
        "timestamp": at_ms,
        "model": "fraud",
        "version": "7",
        "country": ("DE", "FR", "PT")[number % 3],
    }
    return Record("predictions", key, orjson.dumps(body), timestamp_ms=at_ms)
