"""A story of predictions that carry features: a number moves, and a text is no longer in lower case."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streamguard.config import Config, parse
from streamguard.profile import build

START_MS = 1_767_571_200_000
"""2026-01-05T00:00:00Z."""
GAP_MS = 5000
COUNT = 4800
MOVED = range(2400, 4000)
"""Predictions that are not as in training."""

Record = dict[str, Any]


def features(place: int, rng: random.Random, *, is_moved: bool) -> Record:
    """Of one prediction: a number, a category and a text."""
    note = " ".join(rng.choice(("Order", "refund", "paid", "LATE", "again")) for _ in range(6))
    return {
        "amount": round(rng.gauss(100 if is_moved else 50, 15), 2),
        "country": rng.choice(("DE", "NO", "FR")),
        "note": note if is_moved else note.lower(),
        "age": None if is_moved and place % 2 else rng.randrange(18, 90),
    }


def profile(directory: Path, **others: Any) -> Path:
    """Of two thousand rows of training, of whose predictions a tenth is wrong; written to a file."""
    rng = random.Random(3)  # noqa: S311 - a story
    rows = [
        {
            **features(place, rng, is_moved=False),
            "prediction": place % 2 == 0,
            "score": 0.9 if place % 2 == 0 else 0.1,
            "label": (place % 2 == 0) != (place % 20 < 2),
            **others,
        }
        for place in range(2000)
    ]
    path = directory / "profile.json"
    path.write_bytes(
        build(rows, name="p-1", text=["note"], label="label", prediction="prediction", score="score").dump()
    )
    return path


def config(path: Path, monitor: Record | None = None, **sections: Any) -> Config:
    """A monitor named m that compares with a profile, has a threshold, and knows all from training."""
    data = {"profile": str(path), "baseline": "0s", "steps": {"note": ["lower_case"]}, "leave_out": ["prediction"]}
    own = {"name": "m", "threshold": {"max_mismatch_percent": 30, "window": 200}, "data": data, **(monitor or {})}
    return parse(
        {
            "log": {"kind": "embedded", "path": "unused.db"},
            "predictions": {"fields": {"time": "at", "score": "score"}},
            "labels": {"fields": {"time": "at"}},
            "join": {"after": "30m"},
            "monitors": [own],
            **sections,
        }
    )


def predictions(count: int = COUNT) -> Iterator[Record]:
    """Five seconds apart, of two sites."""
    rng = random.Random(5)  # noqa: S311 - a story
    for place in range(count):
        yield {
            "request_id": f"r{place}",
            "at": START_MS + place * GAP_MS,
            "site": "west" if place % 3 else "east",
            "prediction": place % 2 == 0,
            "score": 0.9 if place % 2 == 0 else 0.1,
            "features": features(place, rng, is_moved=place in MOVED),
        }


def labels(count: int = COUNT) -> Iterator[Record]:
    """Five minutes later; one of ten is another than was predicted, of those that have moved every other."""
    for place in range(count):
        is_wrong = place % 4 < 2 if place in MOVED else place % 20 < 2
        yield {
            "request_id": f"r{place}",
            "at": START_MS + place * GAP_MS + 300_000,
            "label": (place % 2 == 0) != is_wrong,
        }
