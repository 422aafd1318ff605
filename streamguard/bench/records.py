"""Predictions and labels to measure with: a day of event time, late labels, duplicates and garbage.

Theory of operation. What happens to a prediction is a function of its number and the seed: numpy hashes all numbers
at once, sorts the events of the day, and only the text of the records is made one by one. So the same shape is the
same records everywhere, and writing them is not held up by making them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from streamguard.logs.interface import Record

DAY_MS = 86_400_000
START_MS = 1_767_571_200_000  # 2026-01-05T00:00:00Z
DELAY_MAX_MS = 3_600_000
_REPEAT_MAX_MS = 20_000
_CHUNK = 100_000
_PREDICTION, _LABEL, _GARBAGE = range(3)
_BROKEN = (b"{not json", b'{"request_id": 7}', b"", b'{"request_id": "x", "prediction": NaN}')
# So many different tails of a record: enough that none is a constant, few enough to be made beforehand.
_TAILS = 64

Size = Literal["small", "large", "features"]


@dataclass(frozen=True, slots=True)
class Shape:
    """How many, how unruly, and of which kind. Shares are of the predictions."""

    predictions: int = 1_000_000
    never: float = 0.02
    duplicates: float = 0.01
    garbage: float = 0.001
    seed: int = 1
    segments: int = 3
    size: Size = "small"
    """Of a prediction: about 130 bytes, about 1 kB, or with twenty fields more, numbers and texts."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records in columns."""

    are_labels: list[bool]
    keys: list[bytes]
    values: list[bytes]
    times_ms: list[int]


def chunks(shape: Shape) -> Iterator[Chunk]:
    """In the order in which producers would send them, each with its event time as Kafka timestamp.

    The error rate doubles from 5% to 10% for the last third of the day.
    """
    times, numbers, kinds = _events(shape)
    for start in range(0, len(times), _CHUNK):
        here = slice(start, start + _CHUNK)
        yield _chunk(shape, times[here], numbers[here], kinds[here])


def records(shape: Shape) -> Iterator[Record]:
    """One by one, for the topics `predictions` and `labels`."""
    for chunk in chunks(shape):
        columns = zip(chunk.are_labels, chunk.keys, chunk.values, chunk.times_ms, strict=True)
        for is_label, key, value, at_ms in columns:
            yield Record("labels" if is_label else "predictions", key, value, timestamp_ms=at_ms)


def _events(shape: Shape) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int8]]:
    """The time, the prediction's number and the kind of every record, in time order."""
    numbers = np.arange(shape.predictions, dtype=np.int64)
    at = START_MS + numbers * DAY_MS // max(1, shape.predictions)
    known = at + _below(numbers, shape.seed, 1, DELAY_MAX_MS)
    is_labelled = _share(numbers, shape.seed, 2) >= shape.never
    again = _share(numbers, shape.seed, 3) < shape.duplicates
    label_again = is_labelled & (_share(numbers, shape.seed, 4) < shape.duplicates)
    broken = _share(numbers, shape.seed, 5) < shape.garbage
    later = _below(numbers, shape.seed, 6, _REPEAT_MAX_MS)
    parts = [
        (at, _PREDICTION, np.ones(len(at), bool)),
        (at + later, _PREDICTION, again),
        (known, _LABEL, is_labelled),
        (known + later, _LABEL, label_again),
        (at, _GARBAGE, broken),
    ]
    times = np.concatenate([times[chosen] for times, _, chosen in parts])
    whose = np.concatenate([numbers[chosen] for _, _, chosen in parts])
    kinds = np.concatenate([np.full(int(chosen.sum()), kind, np.int8) for _, kind, chosen in parts])
    order = np.argsort(times, kind="stable")
    return times[order], whose[order], kinds[order]


def _chunk(shape: Shape, times: NDArray[np.int64], numbers: NDArray[np.int64], kinds: NDArray[np.int8]) -> Chunk:
    is_fraud = _share(numbers, shape.seed, 7) < 0.3
    wrong = np.where(numbers > shape.predictions * 2 // 3, 0.1, 0.05)
    said = is_fraud ^ (_share(numbers, shape.seed, 8) < wrong)
    tails, segments = _tails(shape.size), shape.segments
    names = (b"legit", b"fraud")
    keys = [b"req-%08d" % number for number in numbers.tolist()]
    rows = zip(kinds.tolist(), keys, times.tolist(), numbers.tolist(), is_fraud.tolist(), said.tolist(), strict=True)
    values = [
        b'{"request_id":"%b","prediction":"%b","timestamp":%d,"model":"fraud","version":"7","country":"c%d"%b}'
        % (key, names[answer], at, number % segments, tails[number % _TAILS])
        if kind == _PREDICTION
        else b'{"request_id":"%b","label":"%b","timestamp":%d}' % (key, names[truth], at)
        if kind == _LABEL
        else _BROKEN[number % len(_BROKEN)]
        for kind, key, at, number, truth, answer in rows
    ]
    are_labels = (kinds == _LABEL) | ((kinds == _GARBAGE) & (numbers % 2 == 1))
    return Chunk(are_labels.tolist(), keys, values, times.tolist())


@cache
def _tails(size: Size) -> list[bytes]:
    """What a prediction carries beside what every prediction has."""
    if size == "small":
        return [b""] * _TAILS
    texts = ["".join(_text(f"{tail}-{part}") for part in range(14)) for tail in range(_TAILS)]
    if size == "large":
        return [b',"note":"%b"' % text.encode() for text in texts]
    fields = (
        {f"number_{each}": round(int(text[each * 8 : each * 8 + 6], 16) / 7919, 3) for each in range(10)}
        | {f"text_{each}": text[each * 12 : each * 12 + 12] for each in range(10)}
        for text in texts
    )
    return [b"," + orjson.dumps(each)[1:-1] for each in fields]


def _text(of: str) -> str:
    return blake2b(of.encode(), digest_size=32).hexdigest()


def _share(numbers: NDArray[np.int64], seed: int, question: int) -> NDArray[np.float64]:
    """From 0 to 1, spread evenly, and the same for the same number, seed and question."""
    shares: NDArray[np.float64] = _hash(numbers, seed, question) / 2.0**64
    return shares


def _below(numbers: NDArray[np.int64], seed: int, question: int, limit: int) -> NDArray[np.int64]:
    return (_hash(numbers, seed, question) % np.uint64(limit)).astype(np.int64)


def _hash(numbers: NDArray[np.int64], seed: int, question: int) -> NDArray[np.uint64]:
    """Source: Steele, Lea & Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014, SplitMix64."""
    salt = (seed * 1_000_003 + question) * 0x9E3779B97F4A7C15 % 2**64
    mixed = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(salt)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    hashed: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return hashed
