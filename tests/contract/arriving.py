"""Records that change their format and are mended, and labels that stop and come back."""

import random
import tempfile
from pathlib import Path
from typing import Any

import orjson

import streamguard
from streamguard.core.contract.learning import Learner

START_MS = 1_767_571_200_000
_GAP_MS = 60_000
_COUNT = 6 * 1440
_AS_TEXT, _NEW_VALUE, _NEW_FIELD = range(1000, 4000), range(1500, 4000), 6000
_SILENT = range(5000, 5800)


def _record(place: int, rng: random.Random) -> dict[str, Any]:
    amount = round(rng.uniform(1, 100), 2)
    known = ("EUR", "USD")
    return {
        "request_id": f"req-{place}",
        "prediction": rng.choice(("fraud", "honest")),
        "at": START_MS + place * _GAP_MS,
        "version": "7" if place < _NEW_FIELD else "8",
        "amount": str(amount) if place in _AS_TEXT else amount,
        "currency": rng.choice((*known, "CHF")) if place in _NEW_VALUE else rng.choice(known),
        **({"channel": "web"} if place >= _NEW_FIELD else {}),
    }


def alerts() -> list[dict[str, Any]]:
    """Of a backtest in which predictions have a contract, and labels are counted."""
    rng = random.Random(3)  # noqa: S311 - a story
    rows = [_record(place, rng) for place in range(_COUNT)]
    learner = Learner(open_fields=["version"])
    learner.take(rows[:1000])
    labels = [
        {"request_id": row["request_id"], "label": row["prediction"], "at": row["at"] + _GAP_MS}
        for place, row in enumerate(rows)
        if place not in _SILENT
    ]
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "predictions.schema.json"
        file.write_bytes(orjson.dumps(learner.schema("predictions")))
        config = {
            "predictions": {"fields": {"time": "at"}, "contract": {"schema": str(file)}},
            "labels": {
                "fields": {"time": "at"},
                "volume": {"baseline": "2d", "season": "none", "silent_after": "12h"},
            },
            "join": {"after": "1h"},
            "alerts": {"cooldown": "30m"},
            "monitors": [{"name": "fraud", "threshold": {"max_mismatch_percent": 90, "window": 200}}],
        }
        return [dict(each) for each in streamguard.backtest(config, predictions=rows, labels=labels).alerts]
