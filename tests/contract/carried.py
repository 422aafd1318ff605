"""Predictions that do not carry what training did: a number moves, steps are skipped, all are mended."""

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import streamguard
from streamguard.profile import build

START_MS = 1_767_571_200_000
_GAP_MS = 2000
_COUNT = 12_000
_MOVED, _MOVED_BACK = range(2000, 5000), range(2000, 9000)


def _features(place: int, rng: random.Random, *, is_live: bool) -> dict[str, Any]:
    is_skipped, is_moved = is_live and place in _MOVED, is_live and place in _MOVED_BACK
    words = [rng.choice(("Order", "refund", "paid", "LATE", "again")) for _ in range(6)]
    note = " ".join(words)
    return {
        "amount": round(rng.gauss(100 if is_moved else 50, 15), 2),
        "country": rng.choice(("DE", "NO", "FR")),
        "note": (note if is_skipped and place >= _COUNT // 4 else note.lower())
        + (" 7" if is_skipped and place > 4000 else ""),
    }


def alerts() -> list[dict[str, Any]]:
    """Those of both stories: of a monitor with a profile, and of one that has steps alone."""
    return [
        *_told({"profile": True}),
        *_told({"steps": {"note": ["lower_case", "strip_digits"]}, "features": "features"}),
    ]


def _told(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    rng = random.Random(7)  # noqa: S311 - a story
    with tempfile.TemporaryDirectory() as directory:
        if "profile" in data:
            file = Path(directory) / "profile.json"
            rows = [_trained(place, rng) for place in range(3000)]
            built = build(
                rows, name="fraud-2026-01", text=["note"], label="label", prediction="prediction", score="score"
            )
            file.write_bytes(built.dump())
            data = {**data, "profile": str(file), "leave_out": ["prediction", "score"]}
        config = {
            "predictions": {"fields": {"time": "at", "score": "score"}},
            "labels": {"fields": {"time": "at"}},
            "join": {"after": "1h"},
            "alerts": {"cooldown": "30m"},
            "monitors": [
                {
                    "name": "fraud",
                    "match": {"model": "fraud", "version": "7"},
                    "threshold": {"max_mismatch_percent": 30, "window": 200},
                    "data": {**data, "baseline": "0s"},
                }
            ],
        }
        yield from streamguard.backtest(config, list(_predictions(rng)), list(_labels())).alerts


def _trained(place: int, rng: random.Random) -> dict[str, Any]:
    answer = {"prediction": place % 10 == 0, "score": 0.1 + 0.8 * (place % 10 == 0), "label": place % 9 == 0}
    return {**_features(place, rng, is_live=False), **answer}


def _predictions(rng: random.Random) -> Iterator[dict[str, Any]]:
    for place in range(_COUNT):
        yield {
            "request_id": f"r{place}",
            "at": START_MS + place * _GAP_MS,
            "model": "fraud",
            "version": "7",
            "prediction": place % 10 == 0,
            "score": 0.1 + 0.8 * (place % 10 == 0),
            "features": _features(place, rng, is_live=True),
        }


def _labels() -> Iterator[dict[str, Any]]:
    for place in range(_COUNT):
        is_wrong = place in _MOVED and place % 2
        yield {
            "request_id": f"r{place}",
            "at": START_MS + (place + 900) * _GAP_MS,
            "label": (place % 10 == 0) != is_wrong,
        }
