"""Reports of backtests that never were, as `streamguard.replay.page` takes them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamguard.core.alerts import rfc3339

Json = dict[str, Any]
Floats = NDArray[np.float64]

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
START_MS = 1_767_225_600_000
"""2026-01-01."""
WIDTH_MS = 6 * HOUR_MS
DAYS = 90
FAULT_MS = START_MS + 50 * DAY_MS + 9 * HOUR_MS
MENDED_MS = FAULT_MS + 4 * DAY_MS
THRESHOLD = {"max": 0.08, "resolve": 0.06, "window": 2000}

HOSTILE = (
    "</script><script>window.hit = 1</script><img src=x onerror='window.hit = 2'><!--<script>"
    '<b>"bold"</b> \' & &lt; {{report}} ${hit} `\u2028\u2029\u0000\ud83d '
    "\u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd "
) + "long" * 60


BUDGETED = {
    "check": {"type": "budgeted", "baseline": "14d", "season": "hour_of_week"},
    "guarantee": "at most 1 false alarm in 1 month on average, over all monitors, if but for the hours of the week "
    "nothing moves the rate when nothing is wrong",
    "before": {"rate": 0.0479, "interval": [0.0452, 0.0507], "count": 22_480, "limit": 0.0561},
}
LOWER = {"type": "threshold", "max_mismatch_percent": 6.0, "window": 2000}
MENDED = {
    "status": "resolved",
    "resolution": "recovered",
    "after": {"rate": 0.0598, "interval": [0.0498, 0.0712], "count": 2000},
    "look_first": [],
    "examples": [],
    "classes": [],
}
BETTER = {
    "monitor": "amount",
    "kind": "loss_drift",
    "segment": {},
    "direction": "better",
    "severity": "info",
    "check": {"type": "adwin", "delta": 0.002},
    "before": {"rate": 1384.2, "interval": None, "count": 96_000},
    "after": {"rate": 1262.9, "interval": None, "count": 9_216},
    "look_first": [],
    "classes": [],
}

INPUTS = {
    "kind": "files",
    "predictions": "history/predictions-*.jsonl.gz (90 files)",
    "labels": "history/labels-*.jsonl.gz (90 files)",
    "from": None,
    "to": None,
}

CONFIG = """\
log: {kind: embedded, path: ./data/streamguard.db}
predictions: {topic: predictions, fields: {request_id: request_id, value: prediction, time: timestamp}}
labels: {topic: labels, fields: {request_id: request_id, value: label}}
join: {before: 0s, after: 2h, disorder: 30s}
monitors:
  - name: fraud
    match: {model: fraud}
    split_by: [site]
    loss: mismatch
    detectors: [{type: budgeted}]
    threshold: {max_mismatch_percent: 8, resolve_below_percent: 6, window: 2000, min_samples: 500}
budget: {false_alarms_per_month: 1}
"""


def at(day: float) -> str:
    """So many days after the start, RFC 3339."""
    return rfc3339(START_MS + round(day * DAY_MS))


def ordinary() -> Json:
    """90 days with a daily season, and a fault at one of three sites that is mended after four."""
    rng = np.random.default_rng(7)
    sites = [("north", 2900, 0.0), ("south", 1620, 0.0), ("west", 840, 0.11)]
    segments = [_segment(rng, {"site": site}, traffic, fault) for site, traffic, fault in sites]
    fraud = monitor("fraud", segments, checks="threshold 8% of 2000, budgeted")
    amount = monitor("amount", [_amounts(rng)], loss="absolute", is_rate=False, checks="adwin")
    return {
        **blank(),
        "notes": [
            "1,204 labels came more than 2h after their prediction and were not waited for: set join.after: 6h.",
            "Site south has 520 outcomes in 6 hours: at a window of 2,000 the threshold sees a day at once.",
        ],
        "normal": {"from": at(14), "to": at(45)},
        "truth": [_incident("scaler skipped", 50 + 9 / 24, 54 + 9 / 24, {"site": "west"})],
        "settings": _settings(),
        "references": [
            {"name": "always alarms", "score": _score(1, 0, delay=0.0, outcomes=1, alarms=2160)},
            {"name": "never alarms", "score": _score(0, 1, delay=None, outcomes=None, alarms=0)},
        ],
        "suggestions": [
            "threshold 6%: finds the incident 4 h sooner, with 1 false alarm in 90 days, as now.",
            "budget 1 a month: finds it as soon as that, without a false alarm.",
        ],
        "monitors": [fraud, amount],
        "alerts": _alerts(),
    }


def blank() -> Json:
    """What was read, and nothing found in it."""
    return {
        "v": 1,
        "streamguard": "0.1.0",
        "title": "shuttle.yaml",
        "mode": "ideal",
        "agreement": "Live and replay are bound to agree: records have event times, and there is no idle_after.",
        "partial": None,
        "inputs": INPUTS | {"first": at(0), "last": at(DAYS)},
        "counts": {
            "predictions": _ends(consumed=645_203, matched=632_118, expired=11_881, rejected=23, waiting=1_181),
            "labels": _ends(consumed=633_345, matched=632_118, late=1_204, rejected=23),
        },
        "outcomes": {"released": 643_999, "late": 0, "held": 0},
        "notes": [],
        "normal": None,
        "truth": [],
        "settings": [],
        "references": [],
        "suggestions": [],
        "monitors": [],
        "alerts": [],
        "alerts_left_out": 0,
        "config": CONFIG,
    }


def empty() -> Json:
    """Inputs without a record."""
    nothing = series([], [], [])
    segment = {"segment": {}, "outcomes": 0, "labelled": 0, "losses": 0, "rate": None, "series": nothing, "classes": []}
    return {
        **blank(),
        "inputs": INPUTS | {"first": None, "last": None},
        "counts": None,
        "outcomes": {"released": 0, "late": 0, "held": 0},
        "notes": ["No record was found: look at predictions.topic."],
        "settings": [setting("as configured", raised=0)],
        "monitors": [monitor("fraud", [segment]), monitor("silent", [])],
    }


def partial() -> Json:
    """A replay that was interrupted."""
    return {**ordinary(), "partial": f"interrupted at event time {at(61)}", "alerts_left_out": 3}


def many(segments: int = 200, settings: int = 20, bins: int = 60) -> Json:
    """Many of everything; the segment of the highest number is the one that moves."""
    rng = np.random.default_rng(11)
    names = [{"version": str(number % 10), "country": f"country-{number:03d}"} for number in range(segments)]
    found = [
        _segment(rng, name, 200, 0.2 if number == segments - 1 else 0.0, bins=bins, width_ms=DAYS * DAY_MS // bins)
        for number, name in enumerate(names)
    ]
    alerts = [
        alert(number % settings, f"{number:032x}", at(5 + number * 80 / 400), segment=names[number % 40])
        for number in range(400)
    ]
    return {
        **blank(),
        "settings": [setting(f"setting {number}", raised=20, changes={"budget": number}) for number in range(settings)],
        "monitors": [monitor("fraud", found) | {"left_out": 12}],
        "alerts": alerts,
        "alerts_left_out": 17,
    }


def hostile(report: Json | None = None) -> Json:
    """A report, by default the ordinary one, with each text but words of the format made hostile."""
    found: Json = _poisoned(ordinary() if report is None else report, "")
    return found


def monitor(
    name: str,
    segments: Sequence[Json],
    *,
    loss: str = "mismatch",
    is_rate: bool = True,
    checks: str = "budgeted",
) -> Json:
    """A monitor of the report."""
    return {
        "name": name,
        "loss": loss,
        "is_rate": is_rate,
        "checks": checks,
        "left_out": 0,
        "segments": list(segments),
    }


def setting(
    name: str, *, raised: int, changes: Json | None = None, score: Json | None = None, notices: int = 0
) -> Json:
    """A row of the comparison."""
    own = {"max": "max_mismatch_percent", "resolve": "resolve_below_percent"}
    changed = {
        name: changes[path] / 100
        for name, option in own.items()
        if changes and (path := f"monitors.fraud.threshold.{option}") in changes
    }
    return {
        "name": name,
        "changes": changes or {},
        "alerts": 2 * raised + notices,
        "raised": raised,
        "notices": notices,
        "thresholds": {"fraud": THRESHOLD | changed, "amount": None},
        "per_month": round(raised / 3, 2),
        "per_month_normal": None if score is None else round(score["false_alarms"] / 3, 2),
        "score": score,
    }


def series(outcomes: Sequence[int], labelled: Sequence[int], losses: Sequence[float], width_ms: int = WIDTH_MS) -> Json:
    """Bins from the start on."""
    rates = [loss / count if count else None for loss, count in zip(losses, labelled, strict=True)]
    bands = [
        0.0 if rate is None else 2.6 * (max(rate * (1 - rate), 0.002) / count) ** 0.5
        for rate, count in zip(rates, labelled, strict=True)
    ]
    return {
        "start_ms": START_MS,
        "width_ms": width_ms,
        "outcomes": list(outcomes),
        "labelled": list(labelled),
        "rate": rates,
        "low": [None if rate is None else max(0.0, rate - band) for rate, band in zip(rates, bands, strict=True)],
        "high": [None if rate is None else min(1.0, rate + band) for rate, band in zip(rates, bands, strict=True)],
        "window": _window(rates),
        "delay_median_s": [None if rate is None else 700.0 + 40 * (place % 5) for place, rate in enumerate(rates)],
        "delay_p90_s": [None if rate is None else 3900.0 + 300 * (place % 7) for place, rate in enumerate(rates)],
    }


def alert(setting: int, identity: str, event_time: str, **changes: Any) -> Json:
    """An alarm of the threshold; what `changes` names is otherwise."""
    return {
        "setting": setting,
        "id": identity,
        "episode": identity,
        "status": "raised",
        "kind": "mismatch_drift",
        "severity": "critical",
        "monitor": "fraud",
        "model": "fraud",
        "version": None,
        "segment": {"site": "west"},
        "check": {"type": "threshold", "max_mismatch_percent": 8.0, "window": 2000, "min_samples": 500},
        "guarantee": "none: nobody knows how often threshold alarms though nothing is wrong",
        "event_time": event_time,
        "onset": None,
        "direction": "worse",
        "before": {"rate": 0.048212, "interval": [0.046, 0.0505], "count": 68_214},
        "after": {"rate": 0.0805, "interval": [0.0689, 0.0931], "count": 2000},
        "labels": {"coverage": 0.981, "delay_median_s": 733.618},
        "examples": ["req-018057", "req-018096", "req-018065"],
        "classes": [{"predicted": "fraud", "labelled": "honest", "before": 0.0032, "after": 0.081, "share": 0.834}],
        "segments": [],
        "look_first": ["83% of it: predicted fraud, labelled honest (0.3% -> 8.1% of the outcomes)"],
        "absorbed": 0,
        "resolution": None,
        "duration_s": None,
        "source": {"predictions": {"0": [4389, 4493]}, "labels": {"0": [4307, 4327]}},
        **changes,
    }


def _segment(
    rng: np.random.Generator,
    name: Json,
    traffic: int,
    fault: float,
    *,
    bins: int = DAYS * DAY_MS // WIDTH_MS,
    width_ms: int = WIDTH_MS,
) -> Json:
    times = START_MS + (np.arange(bins) + 0.5) * width_ms
    day = np.sin(2 * np.pi * (times / DAY_MS - 0.35))
    outcomes = rng.poisson(traffic * (1 + 0.6 * day))
    coverage = np.where((times > START_MS + 70 * DAY_MS) & (times < START_MS + 71 * DAY_MS), 0.74, 0.982)
    labelled = rng.binomial(outcomes, coverage)
    rate = 0.048 + 0.014 * day + fault * ((times >= FAULT_MS) & (times < MENDED_MS))
    losses = rng.binomial(labelled, rate)
    wrong = int(losses.sum())
    return {
        "segment": name,
        "outcomes": int(outcomes.sum()),
        "labelled": int(labelled.sum()),
        "losses": wrong,
        "rate": wrong / int(labelled.sum()),
        "series": series(outcomes.tolist(), labelled.tolist(), losses.tolist(), width_ms),
        "classes": [
            {
                "predicted": predicted,
                "label": label,
                "count": round(share * wrong),
                "share": share * wrong / int(labelled.sum()),
            }
            for predicted, label, share in (
                ("fraud", "honest", 0.7),
                ("honest", "fraud", 0.22),
                ("review", "honest", 0.08),
            )
        ],
    }


def _amounts(rng: np.random.Generator) -> Json:
    bins = DAYS * DAY_MS // WIDTH_MS
    outcomes = rng.poisson(400, bins)
    means = rng.gamma(400, 1 / 400, bins) * np.linspace(1490, 1180, bins)
    found = series(outcomes.tolist(), outcomes.tolist(), (means * outcomes).tolist())
    spread = means / 15
    found |= {"low": (means - spread).tolist(), "high": (means + spread).tolist()}
    total = int(outcomes.sum())
    losses = float((means * outcomes).sum())
    return {
        "segment": {},
        "outcomes": total,
        "labelled": total,
        "losses": losses,
        "rate": losses / total,
        "series": found,
        "classes": [],
    }


def _window(rates: Sequence[float | None]) -> list[float | None]:
    """The mean of the last six, from the sixth on."""
    return [
        sum(rate or 0.0 for rate in rates[place - 5 : place + 1]) / 6 if place >= 5 else None
        for place in range(len(rates))
    ]


def _ends(**counts: int) -> dict[str, int]:
    names = ("consumed", "matched", "expired", "late", "duplicate", "rejected", "waiting")
    return dict.fromkeys(names, 0) | counts


def _incident(name: str, first: float, last: float, segment: Json) -> Json:
    when = {"from": at(first), "to": at(last)}
    return {"name": name, **when, "monitor": "fraud", "segment": segment, "is_scored": True}


def _score(found: int, missed: int, *, delay: float | None, outcomes: int | None, alarms: int) -> Json:
    return {
        "found": found,
        "missed": missed,
        "delay_median_s": delay,
        "delay_worst_s": delay,
        "outcomes_median": outcomes,
        "false_alarms": alarms,
        "false_per_month": round(alarms / 3, 2),
        "delays_s": [delay] * (found + missed),
    }


def _settings() -> list[Json]:
    path, season = "monitors.fraud.threshold.max_mismatch_percent", "monitors.fraud.detectors.0.season"
    rows: list[tuple[str, Json, int, float | None, int | None, int]] = [
        ("as configured", {}, 3, 34_020.0, 1_840, 1),
        ("threshold 6%", {path: 6, "monitors.fraud.threshold.resolve_below_percent": 5}, 2, 19_620.0, 1_020, 1),
        ("threshold 15%", {path: 15}, 0, None, None, 0),
        ("budget 1 a month", {"budget.false_alarms_per_month": 1}, 1, 19_980.0, 1_066, 0),
        ("budget 5 a month", {"budget.false_alarms_per_month": 5, season: "none"}, 9, 11_220.0, 514, 8),
    ]  # fmt: skip
    return [
        setting(
            name,
            raised=raised,
            changes=changes,
            notices=number == 0,
            score=_score(int(delay is not None), int(delay is None), delay=delay, outcomes=outcomes, alarms=alarms),
        )
        for number, (name, changes, raised, delay, outcomes, alarms) in enumerate(rows)
    ]


def _alerts() -> list[Json]:
    onset = at(50.41)
    return [
        alert(0, "01" * 16, at(27.3), segment={"site": "south"}, onset=at(26.9)),
        alert(0, "02" * 16, at(28.6), segment={"site": "south"}, episode="01" * 16, duration_s=112_320.0, **MENDED),
        alert(0, "03" * 16, at(50.637), onset=onset, **BUDGETED),
        alert(0, "04" * 16, at(50.769), onset=onset),
        alert(0, "05" * 16, at(52.4), onset=onset, episode="03" * 16, status="updated", absorbed=41, **BUDGETED),
        alert(0, "06" * 16, at(54.9), episode="04" * 16, duration_s=356_918.0, **MENDED),
        alert(0, "07" * 16, at(55.1), episode="03" * 16, duration_s=385_600.0, **BUDGETED | MENDED),
        alert(0, "08" * 16, at(66), onset=at(60.2), **BETTER),
        alert(1, "11" * 16, at(50.637), onset=onset, check=LOWER),
        alert(1, "12" * 16, at(55.0), episode="11" * 16, duration_s=377_000.0, **MENDED | {"check": LOWER}),
        alert(1, "13" * 16, at(78.2), segment={"site": "north"}, onset=at(78), check=LOWER),
        alert(3, "31" * 16, at(50.641), onset=onset, **BUDGETED),
    ]


# Words by which the page tells one thing from another; to it they are no text.
_WORDS = {"mode", "kind", "status", "direction", "from", "to", "first", "last", "event_time", "onset", "loss"}


def _poisoned(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        # The fields of a segment and the paths of changes are the user's, too.
        return {
            (f"{name}{HOSTILE}" if key in {"segment", "changes"} else name): _poisoned(inner, str(name))
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_poisoned(each, key) for each in value]
    if isinstance(value, str) and key not in _WORDS:
        return f"{value}{HOSTILE}"
    return value
