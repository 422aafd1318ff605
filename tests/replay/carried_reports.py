"""A report whose predictions were compared with training, as `streamguard.replay.page` takes it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tests.replay.reports import DAY_MS, DAYS, FAULT_MS, HOUR_MS, START_MS, Json, alert, at, ordinary

WIDTH_MS = 32 * HOUR_MS
BINS = DAYS * DAY_MS // WIDTH_MS
SINCE = (FAULT_MS - START_MS) // WIDTH_MS
_EDGES = [float(edge) for edge in range(0, 110, 5)]
_FLAT = 1 / (len(_EDGES) - 1)


def carried(more: int = 0) -> Json:
    """The ordinary report, in which `amount` moves and a step is skipped at one site; and so many features more."""
    report = ordinary()
    fraud, other = report["monitors"]
    fraud["carried"] = {
        "profile": "fraud-2026-01",
        "window_ms": 60_000,
        "predictions": 3 * BINS * 900,
        "left_out": 1,
        "columns": _columns(more),
        "segments": [
            _segment({}, 0.3, more),
            _segment({"site": "west"}, 1.0, more),
            _segment({"site": "north"}, 0, more),
        ],
    }
    other["carried"] = None
    report["alerts"] += _alerts()
    report["settings"][0]["raised"] += 1
    return report


def column(feature: str, kind: str, trait: str | None = None, **others: Any) -> Json:
    """What the report says of a column of the reference."""
    found: Json = {
        "feature": feature,
        "trait": trait,
        "kind": kind,
        "training": None,
        "rows": 0,
        "edges": [],
        "values": [],
    }
    return {**found, **others}


def _columns(more: int) -> list[Json]:
    numbers: Json = {"edges": _EDGES, "training": [0, 0, 0, *[_FLAT] * (len(_EDGES) - 1), 0], "rows": 3000}
    values = ["DE", "NO", "", 7, True, *(f"country number {number}" for number in range(9))]
    shares = [0.1, 0, *[0.06] * len(values), 0.06]
    traits: Json = {"training": [0, 0, 0.9, *[0.1 / 33] * 33], "rows": 3000}
    return [
        column("country", "category", values=values, training=shares, rows=3000),
        column("amount", "number", **numbers),
        column("note", "text", training=[0, 0, 1], rows=3000),
        column("note", "rate", "upper", **traits),
        column("note", "words", "words"),
        column("features", "names", "names"),
        column("note", "step", "lower_case"),
        *(column(f"feature {number:03d}", "number", **numbers) for number in range(more)),
    ]


def _segment(segment: Mapping[str, str], moved: float, more: int) -> Json:
    rng = np.random.default_rng(5)
    share = np.where(np.arange(BINS) >= SINCE, moved, 0.0)
    quiet = (0.002 + 0.002 * rng.random(BINS)).round(4)
    far = (share * 6 + quiet).round(4).tolist()
    live = rng.multinomial(BINS * 900, [_FLAT] * (len(_EDGES) - 1)).tolist()
    late = rng.multinomial((BINS - SINCE) * 900, np.arange(1, len(_EDGES)) / np.arange(1, len(_EDGES)).sum()).tolist()
    rows = BINS * 900
    same = {"distance": 0.002, "distance_since": 0.003 if moved else None, "distances": quiet.tolist(), "odd": None}
    columns = [
        {**_counts([rows // 10, 0, *[rows * 6 // 100] * 15], moved), **same, "missing": [0.1] * BINS},
        {
            "counts": [0, 0, 0, *(one + other for one, other in zip(live, late, strict=True)), 0],
            "since": [0, 0, 0, *late, 0] if moved else None,
            "distance": 2.0 * moved,
            "distance_since": 6.1 * moved if moved else None,
            "distances": far,
            "missing": None,
            "odd": None,
        },
        {**_counts([0, 0, rows], moved), **same, "missing": None},
        {**_counts([0, 0, rows - 33, *[1] * 33], moved), **same, "distance_since": 0.8 if moved else None},
        {**_counts([7 * rows // 8, 0, rows // 8, *[0] * 33], moved), **same, "distances": None, "distance_since": None},
        {**_counts([0, 0, rows, 0], moved), "changed": None},
        {**_counts([0, 0, rows // 2, rows - rows // 2], moved), "changed": share.tolist(), "odd": None},
    ]
    for each in (columns[4], columns[5], columns[6]):
        each |= {"distance": None, "distance_since": None, "distances": None}
    for number in range(more):
        small = {**same, "distance": number / 1e4, "distance_since": number / 1e4 if moved else None}
        columns.append({**_counts([0, 0, 0, *live, 0], moved), **small, "missing": None})
    return {
        "segment": dict(segment),
        "start_ms": START_MS,
        "width_ms": WIDTH_MS,
        "since_ms": START_MS + SINCE * WIDTH_MS if moved else None,
        "predictions": [900] * BINS,
        "expected": [0.05] * (BINS // 2) + [None] + [0.06] * (BINS - BINS // 2 - 1),
        "columns": columns,
    }


def _counts(counts: Sequence[int], moved: float) -> Json:
    return {"counts": list(counts), "since": [each // 2 for each in counts] if moved else None}


def _moved(feature: str, trait: str | None, change: str, told: str, **others: Any) -> Json:
    known = {"share": None, "share_in_training": None, "count": 870, "moved": 1.5}
    return {"feature": feature, "trait": trait, "change": change, "told": told, **known, **others}


def _alerts() -> list[Json]:
    amount = _moved(
        "amount", None, "location", "`amount` is larger than in training: median 71, 50 in training",
        distances={"psi": 6.1, "js": 0.6, "ks": 0.4, "chi2_p": 0.0, "wasserstein": 21.0},
    )  # fmt: skip
    step = _moved(
        "note", "lower_case", "changed", "93.1% of `note` would change under lower_case: this step is missing",
        share=0.93, example={"request_id": "r17", "partition": 0, "offset": 17, "shown": ["made", "came"]},
    )  # fmt: skip
    features = {"profile": "fraud-2026-01", "rows": 870, "ranking": [{"feature": "amount", "moved": 1.5}]}
    about: Json = {
        "kind": "preprocessing",
        "direction": "unknown",
        "check": {"type": "data", "window": "1m", "tolerance": 0.02, "season": "none", "baseline": "0s"},
        "guarantee": "at most 1 false alarm a month on average, over all monitors",
        "onset": at(50.38),
        "before": None,
        "after": None,
        "classes": [],
        "estimate": {"rate": 0.061, "count": 4200},
        "source": {"predictions": {"0": [4000, 4870]}},
    }
    named = {**about, "features": {**features, "moved": [step, amount]}, "look_first": [step["told"], amount["told"]]}
    over = {**about, "features": {**features, "moved": [amount]}, "look_first": [], "resolution": "recovered"}
    return [
        alert(0, "21" * 16, at(50.4), **named),
        alert(0, "22" * 16, at(54.6), episode="21" * 16, status="resolved", duration_s=362_880.0, **over),
        alert(0, "23" * 16, at(50.9), onset=at(50.41), related=["21" * 16]),
    ]
