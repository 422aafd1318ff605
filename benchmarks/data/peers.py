"""How Evidently and NannyML do at their defaults on the tables of `streams.py`, batch by batch.

    python3.11 -m venv peers-venv
    peers-venv/bin/pip install -r benchmarks/data/requirements.txt
    peers-venv/bin/python -m benchmarks.data.peers --evidently-seeds 3 --out benchmarks/data/peers.json

That is evidently 0.7.23, nannyml 0.13.1, pandas 2.3.3 (evidently 0.7.23 cannot be imported with pandas 3), numpy 2.4.6
and scipy 1.17.1. An environment of their own, since streamguard's has pandas 3; streamguard itself is not needed there.

Reference is the training table. Production is cut as the tools are used:

- `evidently`: `DataDriftPreset` on each day (UTC). It alarms where half of the columns drift ("dataset drift"), or,
  as a second reading of the same report, where any does. Its pictures are not drawn: no figure depends on them.
- `nannyml, ten chunks`: `UnivariateDriftCalculator` as it chunks by default, ten chunks of whatever it is given, here
  of the training table and of the quarter.
- `nannyml, days`: the same with `chunk_period="D"`; of the training table, which is a sample, a day has fewer rows.
- `nannyml, days as large`: with as many rows a day of training data as of production, so that the thresholds that it
  learns are for chunks of the size that it judges.

An alarm where nothing has moved is false; alarming batches in a row are one episode. In a table with a shift the delay
is from the shift to the end of the first alarming batch, in rows: it is known then and not before. Evidently is shown
the ten days from the shift on alone, since it takes a second or more for each.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import streams
from benchmarks.data.streams import Shift, Table, Traffic

PACKAGES = ("evidently", "nannyml", "pandas", "numpy", "scipy")
EVIDENTLY, NANNYML, NANNYML_DAYS, NANNYML_LARGE = TOOLS = (
    "evidently",
    "nannyml, ten chunks",
    "nannyml, days",
    "nannyml, days as large",
)
DATASET, ANY_COLUMN, MOVED_COLUMN = "dataset drift", "any column", "a moved column"
BY_SD = (0.2, 0.5)
SEEN_DAYS = 10
"""Days from the one with the shift on that Evidently is shown."""
MONTH_DAYS = 30


@dataclass(frozen=True, slots=True)
class Task:
    """One table for one tool; `by_sd` is 0 where nothing moves."""

    tool: str
    traffic: Traffic
    seed: int
    by_sd: float
    days: int
    rows_a_day: int
    training_rows: int

    @property
    def at_row(self) -> int:
        """Where the shift is."""
        return streams.change_row(self.seed, self.days, self.rows_a_day)

    def table(self) -> Table:
        """Production."""
        if not self.by_sd:
            return streams.stable(self.days, self.rows_a_day, self.seed, traffic=self.traffic)
        shift = Shift(self.at_row, self.by_sd)
        return streams.shifted(shift, self.days, self.rows_a_day, self.seed, traffic=self.traffic)

    def training(self) -> Table:
        """The reference."""
        rows = streams.TRAINING_DAYS * self.rows_a_day if self.tool == NANNYML_LARGE else self.training_rows
        return streams.training(rows, self.seed, traffic=self.traffic)


@dataclass(frozen=True, slots=True)
class Batch:
    """What a tool said of one batch of rows, which ends before row `end`. `is_drifted`: of the whole, if it says so."""

    end: int
    scores: dict[str, float]
    drifted: frozenset[str]
    is_drifted: bool | None = None

    def alarms(self, kind: str) -> bool:
        """Whether this kind of alarm is raised."""
        if kind == DATASET:
            return bool(self.is_drifted)
        return bool(self.drifted if kind == ANY_COLUMN else self.drifted & set(streams.MOVED))

    def ranks_moved_first(self) -> bool:
        """Whether the features that were moved have the largest scores."""
        ranked = sorted(self.scores, key=lambda name: -self.scores[name])
        return set(ranked[: len(streams.MOVED)]) == set(streams.MOVED)


@dataclass(frozen=True, slots=True)
class Quarter:
    """What one tool did on one table.

    Of a stable one: `alarming` batches and `episodes` by kind of alarm, alarming batches `by_column`, and
    `column_episodes`, those of each column by itself, added up. Of one with a shift: `delays` by kind of alarm in rows,
    None where it is missed; `first` says whether the moved features rank first in the first batch that alarms after the
    shift, `later` in which share of the batches that are all after it.
    """

    tool: str
    traffic: str
    seed: int
    by_sd: float
    batches: int
    seconds: float
    alarming: dict[str, int] = field(default_factory=dict)
    episodes: dict[str, int] = field(default_factory=dict)
    by_column: dict[str, int] = field(default_factory=dict)
    column_episodes: int | None = None
    delays: dict[str, int | None] = field(default_factory=dict)
    first: bool | None = None
    later: float | None = None


# The tools.


def frame(table: Table) -> Any:
    """A table as pandas reads one from a file: what is missing is NaN, or None among texts."""
    columns = dict(table.columns)
    for name, absent in table.missing.items():
        values = columns[name].astype(object if columns[name].dtype == object else float)
        values[absent] = None if values.dtype == object else np.nan
        columns[name] = values
    return import_module("pandas").DataFrame(columns)


def by_evidently(reference: Table, production: Iterator[tuple[int, Table]]) -> Iterator[Batch]:
    """One batch for each table, which comes with its end."""
    evidently, preset = import_module("evidently"), undrawn()
    dataset = evidently.Dataset.from_pandas(frame(reference))
    for end, table in production:
        # The columns are of the kinds that they have in the reference: a day may have too few values to tell.
        current = evidently.Dataset.from_pandas(frame(table), data_definition=dataset.data_definition)
        metrics = evidently.Report([preset()]).run(current, dataset).dict()["metrics"]
        share = next(each["value"]["share"] for each in metrics if "drift_share" in each["config"])
        columns = [each for each in metrics if "column" in each["config"]]
        scores = {each["config"]["column"]: float(each["value"]) for each in columns}
        limits = {each["config"]["column"]: each["config"]["threshold"] for each in columns}
        # Of the two methods that are the defaults here, a large score is drift.
        drifted = frozenset(name for name, score in scores.items() if score >= limits[name])
        if set(scores) != set(streams.FEATURES) or not np.isclose(share, len(drifted) / len(scores)):
            raise RuntimeError(f"evidently says that {share} of the columns drift, their scores that it is {drifted}")
        yield Batch(end, scores, drifted, bool(share >= 0.5))


@cache
def undrawn() -> Any:
    """The preset, without its pictures."""
    presets, statistics = import_module("evidently.presets"), import_module("evidently.metrics.column_statistics")
    statistics.ValueDriftCalculation._render = lambda *_: []  # noqa: SLF001 (there is no setting for it)
    presets.DataDriftPreset.render = lambda *_, **__: []
    return presets.DataDriftPreset


def by_nannyml(reference: Table, production: Table, period: str | None) -> Iterator[Batch]:
    """One batch for each chunk; without a period as it chunks by default."""
    nannyml, pandas = import_module("nannyml"), import_module("pandas")
    frames, names = [frame(reference), frame(production)], list(streams.FEATURES)
    settings = {}
    if period is not None:
        settings = {"chunk_period": period, "timestamp_column_name": "time"}
        for each, table in zip(frames, (reference, production), strict=True):
            each["time"] = pandas.to_datetime(table.times_ms, unit="ms")
    calculator = nannyml.UnivariateDriftCalculator(column_names=names, **settings).fit(frames[0])
    found = calculator.calculate(frames[1]).filter(period="analysis").to_df(multilevel=True)
    scores, alerts = (found.xs(which, axis=1, level=2).droplevel(1, axis=1) for which in ("value", "alert"))
    ends = found[("chunk", "chunk", "end_index")].tolist()
    for place, end in enumerate(ends):
        drifted = frozenset(name for name in names if alerts[name].iloc[place])
        yield Batch(end + 1, {name: float(scores[name].iloc[place]) for name in names}, drifted)


def batches(task: Task) -> list[Batch]:
    """What the tool says of this table."""
    table = task.table()
    if task.tool != EVIDENTLY:
        return list(by_nannyml(task.training(), table, None if task.tool == NANNYML else "D"))
    days = list(table.days())
    ends = np.cumsum([len(day) for day in days]).tolist()
    seen = list(zip(ends, days, strict=True))
    if task.by_sd:
        seen = [each for each in seen if each[0] > task.at_row][:SEEN_DAYS]
    return list(by_evidently(task.training(), iter(seen)))


# What it is worth.


def judged(task: Task) -> Quarter:
    """One table, given to the tool and judged."""
    began = time.perf_counter()
    found = batches(task)
    seconds = round(time.perf_counter() - began, 1)
    quarter = Quarter(task.tool, task.traffic.value, task.seed, task.by_sd, len(found), seconds)
    return _detected(quarter, found, task.at_row) if task.by_sd else _quiet(quarter, found)


def _quiet(quarter: Quarter, found: list[Batch]) -> Quarter:
    alarms = {kind: [each.alarms(kind) for each in found] for kind in _kinds(quarter.tool)}
    columns = {name: [name in each.drifted for each in found] for name in streams.FEATURES}
    return replace(
        quarter,
        alarming={kind: sum(each) for kind, each in alarms.items()},
        episodes={kind: _episodes(each) for kind, each in alarms.items()},
        by_column={name: sum(each) for name, each in columns.items() if any(each)},
        column_episodes=sum(_episodes(each) for each in columns.values()),
    )


def _detected(quarter: Quarter, found: list[Batch], at_row: int) -> Quarter:
    after = [each for each in found if each.end > at_row]
    kinds = (*_kinds(quarter.tool), MOVED_COLUMN)
    ranks = [each.ranks_moved_first() for each in after[1:]]
    first = next((each for each in after if each.alarms(ANY_COLUMN)), None)
    return replace(
        quarter,
        delays={kind: next((each.end - at_row for each in after if each.alarms(kind)), None) for kind in kinds},
        first=first.ranks_moved_first() if first else None,
        later=round(float(np.mean(ranks)), 4) if ranks else None,
    )


def _kinds(tool: str) -> tuple[str, ...]:
    return (DATASET, ANY_COLUMN) if tool == EVIDENTLY else (ANY_COLUMN,)


def _episodes(alarms: Sequence[bool]) -> int:
    return sum(now and not before for before, now in zip([False, *alarms], alarms, strict=False))


# The table.

_HEADER = [
    "tool",
    "traffic",
    "alarm",
    "stable quarters",
    "false alarms a month",
    "alarming batches a month",
    "false alarms a month, column by column",
    *(f"rows to the alarm, {size:g} sd" for size in BY_SD),
    *(f"moved features rank first, {size:g} sd" for size in BY_SD),
]


def lines(found: Sequence[Quarter], days: int) -> list[list[str]]:
    """One for each tool, traffic and kind of alarm."""
    texts = []
    for tool, traffic in product(TOOLS, Traffic):
        chosen = [each for each in found if (each.tool, each.traffic) == (tool, traffic.value)]
        for kind in (*_kinds(tool), MOVED_COLUMN) if chosen else ():
            texts += [[tool, traffic.value, kind, *_cells(chosen, kind, days)]]
    return texts


def _cells(chosen: list[Quarter], kind: str, days: int) -> list[str]:
    quiet = [each for each in chosen if not each.by_sd]
    sized = [[each for each in chosen if each.by_sd == size] for size in BY_SD]
    months = len(quiet) * days / MONTH_DAYS
    false = ["", "", "", ""]
    if quiet and kind != MOVED_COLUMN:
        counts = [sum(each.episodes[kind] for each in quiet), sum(each.alarming[kind] for each in quiet)]
        by_column = [sum(each.column_episodes or 0 for each in quiet)] if kind == ANY_COLUMN else []
        false = [str(len(quiet)), *(f"{count / months:.2f}" for count in counts + by_column)]
        false += [""] * (4 - len(false))
    ranked = [_ranked(each) if kind == ANY_COLUMN else "" for each in sized]
    return [*false, *(_delay([each.delays[kind] for each in of]) for of in sized), *ranked]


def _delay(delays: list[int | None]) -> str:
    seen = [delay for delay in delays if delay is not None]
    if not seen:
        return f"missed in all {len(delays)}" if delays else ""
    missed = len(delays) - len(seen)
    return f"{np.mean(seen):,.0f}" + (f" ({missed} of {len(delays)} missed)" if missed else "")


def _ranked(chosen: list[Quarter]) -> str:
    at_first = [each.first for each in chosen if each.first is not None]
    later = [each.later for each in chosen if each.later is not None]
    if not at_first or not later:
        return ""
    return f"{sum(at_first)} of {len(at_first)} at the alarm, {np.mean(later):.0%} of batches later"


def printed(texts: list[list[str]]) -> str:
    """As Markdown."""
    rows = [_HEADER, ["---"] * 3 + ["--:"] * (len(_HEADER) - 3), *texts]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Judge, print and write."""
    options = _parser().parse_args()
    absent = [name for name in PACKAGES if find_spec(name) is None]
    if absent:
        sys.exit(f"{', '.join(absent)}: not installed; see the top of {Path(__file__).name} for how to set it up")
    # Neither is to call home, and two processes share two cores.
    os.environ |= {"DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1", "OMP_NUM_THREADS": "1"}
    found = []
    tasks = _tasks(options)
    with get_context("spawn").Pool(options.processes) as pool:
        for one in pool.imap_unordered(judged, tasks):
            found.append(one)
            print(f"{len(found)} of {len(tasks)}: {one}", file=sys.stderr, flush=True)
    found.sort(key=_place)
    texts = lines(found, options.days)
    print(printed(texts))
    if options.out:
        options.out.write_text(written(_about(options), texts, found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.data.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="quarters of each kind; default: 5")
    parser.add_argument(
        "--evidently-seeds", type=int, metavar="N", help="for evidently, which is slow; default: --seeds"
    )
    parser.add_argument("--tools", nargs="+", default=list(TOOLS), choices=TOOLS, metavar="TOOL")
    parser.add_argument("--traffic", nargs="+", type=Traffic, default=list(Traffic), choices=list(Traffic))
    parser.add_argument("--days", type=int, default=streams.DAYS)
    parser.add_argument("--rows-a-day", type=int, default=streams.ROWS_A_DAY)
    parser.add_argument("--training-rows", type=int, default=streams.TRAINING_ROWS)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the results there, as JSON")
    return parser


def _tasks(options: argparse.Namespace) -> list[Task]:
    sizes = (options.days, options.rows_a_day, options.training_rows)
    chosen = product(range(options.seeds), options.tools, options.traffic, (0.0, *BY_SD))
    seeds = {EVIDENTLY: options.seeds if options.evidently_seeds is None else options.evidently_seeds}
    return [
        Task(tool, traffic, seed, by_sd, *sizes)
        for seed, tool, traffic, by_sd in chosen
        if seed < seeds.get(tool, options.seeds)
    ]


def _place(one: Quarter) -> tuple[int, int, float, int]:
    return TOOLS.index(one.tool), list(Traffic).index(Traffic(one.traffic)), one.by_sd, one.seed


def written(about: dict[str, Any], texts: list[list[str]], found: Sequence[Quarter]) -> str:
    """As JSON, a line for each line of the table and for each quarter."""
    table = [dict(zip(_HEADER, text, strict=True)) for text in texts]
    quarters = [{name: value for name, value in asdict(each).items() if value not in ({}, None)} for each in found]
    parts = [f'"{name}": {json.dumps(value)}' for name, value in about.items()]
    for name, each in (("table", table), ("quarters", quarters)):
        joined = ",\n  ".join(json.dumps(one, ensure_ascii=False) for one in each)
        parts.append(f'"{name}": [\n  {joined}\n ]')
    return "{\n " + ",\n ".join(parts) + "\n}\n"


def _about(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{os.cpu_count()} cores, {_system()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in PACKAGES},
        "days": options.days,
        "rows_a_day": options.rows_a_day,
        "training_rows": options.training_rows,
        "moved": list(streams.MOVED),
    }


def _system() -> str:
    about = platform.freedesktop_os_release()
    return f"{about.get('NAME', 'Linux').split()[0]} {about.get('VERSION_ID', '')}".strip()


if __name__ == "__main__":
    main()
