"""How streamguard does on the tables and texts of this package, by backtests as anyone can run them.

    python -m benchmarks.data                              # all of it: hours on 2 cores
    python -m benchmarks.data --what texts
    python -m benchmarks.data --what stable shifted --seeds 1

- `texts`: 50,000 texts; from one in the middle on steps of preparation are skipped, each alone and in pairs.
- `stable`: quarters in which nothing changes: every alarm is false.
- `shifted`: three features of twenty move by 0.2 or 0.5 standard deviations. The table begins 16 days before that, so
  that the baseline of 14 days is learnt, and ends three days after.

Settings are those of a `data` section with a profile and nothing else, and once more without a baseline. `peers.py` has
others' figures on the same tables.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

import streamguard
from benchmarks.data import streams, texts
from benchmarks.data.streams import MOVED, Shift, Table, Traffic
from benchmarks.data.texts import SKIPPED, Step
from benchmarks.detection.streams import DAY_MS
from streamguard.profile import build

BY_SD = (0.2, 0.5)
BEFORE_DAYS, AFTER_DAYS = 16, 3
SETTINGS: dict[str, dict[str, Any]] = {"as by default": {}, "baseline: 0s": {"baseline": "0s"}}
STEPS = {Step.LOWER: "lower_case", Step.DIGITS: "strip_digits", Step.PUNCTUATION: "strip_punctuation"}
TEXT_GAP_MS = 500
CHANGED_TEXT = 25_000
MONTH_DAYS = 30

Row = dict[str, Any]


def main() -> None:
    """Run what is asked, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--what", nargs="+", choices=("texts", "stable", "shifted"), default=["texts", "stable", "shifted"]
    )
    parser.add_argument("--seeds", type=int, default=3, help="tables of each kind (default 3)")
    parser.add_argument("--traffic", nargs="+", choices=list(Traffic), default=list(Traffic))
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, help="a JSON file of the results")
    asked = parser.parse_args()
    jobs: list[tuple[Callable[..., Row], tuple[Any, ...]]] = []
    if "texts" in asked.what:
        jobs += [(of_texts, (skipped,)) for skipped in (frozenset(), *SKIPPED)]
    tables = list(product(map(Traffic, asked.traffic), range(asked.seeds), asked.settings))
    if "stable" in asked.what:
        jobs += [(of_stable, each) for each in tables]
    if "shifted" in asked.what:
        jobs += [(of_shifted, (*each, by_sd)) for each in tables for by_sd in BY_SD]
    rows = []
    with get_context("fork").Pool(asked.processes) as pool:
        for found in [pool.apply_async(job, given) for job, given in jobs]:
            rows.append(found.get())
            sys.stdout.write(json.dumps(rows[-1]) + "\n")
            sys.stdout.flush()
    if asked.out:
        asked.out.write_text(json.dumps(_document(rows), indent=1) + "\n", encoding="utf-8")


def of_texts(skipped: frozenset[Step]) -> Row:
    """Which steps the first alert names, and how many texts after the change."""
    fed = texts.stream(seed=3, skipped=skipped, at_row=CHANGED_TEXT)
    data = {"fields": {"text": "text"}, "steps": {"text": list(STEPS.values())}}
    times_ms = streams.START_MS + np.arange(len(fed)) * TEXT_GAP_MS
    rows = ({"text": text} for text in fed)
    alerts = _backtest([{"text": each} for each in texts.training(seed=3)], rows, times_ms, data, text=["text"])
    first = next((alert for alert in alerts if alert["status"] == "raised"), None)
    named = [] if first is None else sorted(each["trait"] for each in first["features"]["moved"])
    wanted = sorted(STEPS[each] for each in skipped)
    delay = None if first is None else first["source"]["predictions"]["0"][1] - CHANGED_TEXT
    is_exact = named == wanted and len([each for each in alerts if each["status"] == "raised"]) == (1 if skipped else 0)
    return {"what": "texts", "skipped": wanted, "named": named, "is_exact": is_exact, "texts": delay}


def of_stable(traffic: Traffic, seed: int, name: str) -> Row:
    """How many episodes there were, and in how many months."""
    table = streams.stable(seed=seed, traffic=traffic)
    alerts = _of_table(table, traffic, seed, name)
    raised = [alert for alert in alerts if alert["status"] == "raised"]
    about = {"what": "stable", "traffic": traffic, "seed": seed, "settings": name, "rows": len(table)}
    return {**about, "raised": len(raised), "a_month": round(len(raised) / (streams.DAYS / MONTH_DAYS), 3)}


def of_shifted(traffic: Traffic, seed: int, name: str, by_sd: float) -> Row:
    """How many rows after the change the first alert came, and which features it ranks first."""
    at_row = streams.change_row(seed)
    whole = streams.shifted(Shift(at_row, by_sd), seed=seed, traffic=traffic)
    day = int(whole.times_ms[at_row] - streams.START_MS) // DAY_MS
    first, end = np.searchsorted(
        whole.times_ms, streams.START_MS + (day + np.array((-BEFORE_DAYS, AFTER_DAYS))) * DAY_MS
    )
    alerts = _of_table(whole.part(int(first), int(end)), traffic, seed, name)
    changed = at_row - int(first)
    raised = [alert for alert in alerts if alert["status"] == "raised"]
    found = [alert for alert in raised if alert["source"]["predictions"]["0"][1] > changed]
    about = {"what": "shifted", "traffic": traffic, "seed": seed, "settings": name, "by_sd": by_sd}
    if not found:
        return {**about, "delay_rows": None, "false_before": len(raised) - len(found)}
    ranking = [each["feature"] for each in found[0]["features"]["ranking"][: len(MOVED)]]
    named: dict[str, int] = {}
    for alert in alerts:
        for each in alert["features"]["moved"]:
            named.setdefault(each["feature"], alert["source"]["predictions"]["0"][1] - changed)
    return {
        **about,
        "delay_rows": found[0]["source"]["predictions"]["0"][1] - changed,
        "all_named_rows": max(named[each] for each in MOVED) if set(MOVED) <= named.keys() else None,
        "ranked_first": sorted(ranking) == sorted(MOVED),
        "others_named": sorted(named.keys() - set(MOVED)),
        "false_before": len(raised) - len(found),
    }


def _of_table(table: Table, traffic: Traffic, seed: int, name: str) -> list[Row]:
    trained = streams.training(seed=seed, traffic=traffic)
    return _backtest(trained.rows(), table.rows(), table.times_ms, SETTINGS[name])


def _backtest(trained: Any, rows: Iterator[Row] | Any, times_ms: Any, data: Row, text: Sequence[str] = ()) -> list[Row]:
    with tempfile.TemporaryDirectory() as directory:
        profile = Path(directory) / "profile.json"
        profile.write_bytes(build(trained, text=text).dump())
        at = {"fields": {"time": "at"}}
        monitor = {"name": "m", "data": {"profile": str(profile), **data}}
        config = {"predictions": at, "labels": at, "join": {"after": "1h"}, "monitors": [monitor]}
        label = {"request_id": "none", "at": int(times_ms[-1]), "label": "x"}
        alerts = streamguard.backtest(config, _predictions(rows, times_ms, is_text=bool(text)), [label]).alerts
    return [dict(alert) for alert in alerts]


def _predictions(rows: Iterator[Row], times_ms: Any, *, is_text: bool) -> Iterator[Row]:
    for number, (row, at_ms) in enumerate(zip(rows, times_ms.tolist(), strict=True)):
        about = {"request_id": f"r{number}", "at": at_ms, "prediction": "x"}
        yield {**about, **row} if is_text else {**about, "features": row}


def _document(rows: Sequence[Row]) -> Row:
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "system": platform.platform()}
    return {"date": datetime.now(UTC).date().isoformat(), "machine": machine, "rows": list(rows)}


if __name__ == "__main__":
    main()
