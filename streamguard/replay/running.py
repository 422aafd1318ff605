"""`streamguard backtest`: progress while it runs, a summary at its end, and the report."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from types import FrameType
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from streamguard.config import Config, Mode
from streamguard.core.alerts import Status, rfc3339
from streamguard.core.printing import printable
from streamguard.core.waiting import NEVER
from streamguard.errors import ConfigError
from streamguard.replay.backtesting import Question, backtest, checked_period
from streamguard.replay.engine import Look, Progress
from streamguard.replay.history import History, of_files, of_topics
from streamguard.replay.moments import span_of, time_of
from streamguard.replay.result import Backtest
from streamguard.replay.scoring import Score
from streamguard.replay.topics import Range, opened
from streamguard.replay.truth import load_truth
from streamguard.worker.signals import ended_by
from streamguard.worker.telemetry import configure_logging

_LINE_S = 10.0
_ALERTS_SHOWN = 20
_MOVED_SHOWN = 3
_INTERRUPTED = 130

Echo = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of the command, as they were typed."""

    since: str | None = None
    until: str | None = None
    predictions: Sequence[Path] = ()
    labels: Sequence[Path] = ()
    mode: Mode = Mode.IDEAL
    truth: Path | None = None
    normal: str | None = None
    out: Path | None = None
    processes: int | None = None


def run_backtest(config: Config, title: str, asked: Asked, echo: Echo) -> int:
    """Replay, say what came of it, and write the report; returns the exit code."""
    configure_logging("error")
    wanted = Range(*span_of(asked.since, asked.until))
    question = Question(
        title=title,
        truth=() if asked.truth is None else load_truth(asked.truth),
        normal_ms=None
        if asked.normal is None
        else checked_period(asked.normal, "--normal", lambda text: time_of(text, "--normal")),
        from_ms=wanted.from_ms,
        to_ms=wanted.to_ms,
        processes=asked.processes,
    )
    with _interruptible() as is_interrupted:
        if asked.out is not None:
            _check_writable(asked.out)
        history = _history(config, asked, wanted)
        with _shown(history.size, is_interrupted) as look:
            found = backtest(config, history, question, look)
    # First, since nothing that a terminal does may lose it.
    page = None if asked.out is None else found.write(asked.out)
    _sum_up(found, lambda line: echo(printable(line)))
    if page is not None:
        echo(f"report: {page}")
    if is_interrupted():
        return _INTERRUPTED
    return 1 if found.partial or not found.outcomes["released"] else 0


def _history(config: Config, asked: Asked, wanted: Range) -> History:
    if not asked.predictions and not asked.labels:
        log = opened(config)
        try:
            return of_topics(config, log, asked.mode, wanted)
        finally:
            log.close()
    if not asked.predictions or not asked.labels:
        raise ConfigError("--predictions and --labels: give both, or neither to replay the topics")
    if asked.mode is Mode.FAITHFUL:
        raise ConfigError("--mode faithful: replays the outcomes topic, and files are inputs: leave one of them out")
    if wanted != Range():
        raise ConfigError("--from and --to: choose a range of topics; of files, give those of the range")
    return of_files(config, asked.predictions, asked.labels)


def _check_writable(directory: Path) -> None:
    """Before an hour of work, and not after it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise ConfigError(f"--out {directory}: cannot write: {error}") from None


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C ends the replay where it is, and what was found is reported; the second ends all at once."""
    count = 0

    def note(number: int, _frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count > 1:
            sys.stderr.write("ended at once: nothing was reported\n")
            raise KeyboardInterrupt(number)

    with ended_by(note):
        yield lambda: count > 0


@contextmanager
def _shown(size: int, is_interrupted: Callable[[], bool]) -> Iterator[Look]:
    """Progress: a bar on a terminal, a line now and then elsewhere."""
    started_s = time.monotonic()
    if sys.stderr.isatty():
        columns = BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeRemainingColumn()
        with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("starting", total=size or None)

            def draw(progress: Progress) -> bool:
                bar.update(task, completed=progress.read, description=_line(progress, time.monotonic() - started_s))
                return is_interrupted()

            yield draw
        return
    last_s = started_s

    def write(progress: Progress) -> bool:
        nonlocal last_s
        now_s = time.monotonic()
        if now_s - last_s >= _LINE_S:
            last_s = now_s
            part, rate = progress.read / size if size else 0.0, _line(progress, now_s - started_s)
            left = f", {(now_s - started_s) * (1 - part) / part:,.0f} s left" if part else ""
            sys.stderr.write(f"{part:4.0%} {rate}{left}\n")
        return is_interrupted()

    yield write


def _line(progress: Progress, seconds: float) -> str:
    at = f", at {rfc3339(int(progress.reached_ms))}" if progress.reached_ms > NEVER / 2 else ""
    rate = progress.records / seconds if seconds else 0.0
    return f"{progress.records:,} records, {rate:,.0f} a second{at}, {progress.alerts:,} alerts"


def _sum_up(found: Backtest, echo: Echo) -> None:
    if found.partial:
        echo(f"PARTIAL: {found.partial}")
    for note in found.notes:
        echo(f"note: {note}")
    echo(f"mode {found.mode}: {found.agreement}")
    sides = dict.fromkeys((found.inputs["predictions"], found.inputs["labels"]))
    first, last = found.inputs["first"], found.inputs["last"]
    echo(f"{' + '.join(sides)}, {'no event time' if first is None else f'event time {first} to {last}'}")
    for name, counts in (found.counts or {}).items():
        parts = ", ".join(f"{count:,} {fate}" for fate, count in counts.items() if fate != "consumed")
        echo(f"{name}: {counts.get('consumed', 0):,} consumed = {parts}")
    outcomes = found.outcomes
    echo(f"outcomes: {outcomes['released']:,} judged, {outcomes['late']:,} late, {outcomes['held']:,} held to the end")
    echo("")
    lines = found.settings[0].lines
    for line in lines[:_ALERTS_SHOWN]:
        echo(_sentence(orjson.loads(line)))
    if len(lines) > _ALERTS_SHOWN:
        echo(f"... and {len(lines) - _ALERTS_SHOWN:,} more")
    if not lines:
        echo("no alerts")
    if len(found.settings) > 1 or found.references:
        echo("")
        for row in _table(found).splitlines():
            echo(row)
    for sentence in found.suggestions:
        echo(f"suggestion: {sentence}")


def _sentence(alert: dict[str, Any]) -> str:
    before, after = alert["before"] or {}, alert["after"] or {}
    levels = " -> ".join(f"{100 * each['rate']:.3g}%" for each in (before, after) if "rate" in each)
    segment = ", ".join(f"{name}={value}" for name, value in alert["segment"].items())
    where = f"{alert['monitor']} ({segment})" if segment else alert["monitor"]
    what = f"{alert['event_time']} {alert['status']:8} {alert['kind']} of {where} by {alert['check']['type']}"
    moved = [each["told"] for each in alert.get("features", {}).get("moved", ()) if alert["status"] != Status.RESOLVED]
    told = levels or "; ".join(moved[:_MOVED_SHOWN]) + ("; ..." if len(moved) > _MOVED_SHOWN else "")
    return f"{what}{f': {told}' if told else ''}  {alert['id']}"


def _table(found: Backtest) -> str:
    is_scored, is_usual = bool(found.references), found.normal_ms is not None
    table = Table(box=None, header_style="", pad_edge=False)
    table.add_column("setting")
    scored = ("found", "missed", "delay (median)", "outcomes", "false", "false a month") if is_scored else ()
    for name in ("alarms", "a month", *(("in normal, a month",) if is_usual else ()), *scored):
        table.add_column(name, justify="right")
    for each in found.settings:
        usual = [f"{each.per_month_normal:.2f}" if each.per_month_normal is not None else "-"] if is_usual else []
        table.add_row(
            printable(each.name), f"{each.raised:,}", f"{each.per_month:.2f}", *usual, *_cells(each.score, is_scored)
        )
    for name, score in found.references:
        table.add_row(name, "", "", *([""] if is_usual else []), *_cells(score, is_scored))
    # A setting's name is text, whatever brackets it has.
    console = Console(width=200, color_system=None, markup=False, emoji=False, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _cells(score: Score | None, is_scored: bool) -> list[str]:  # noqa: FBT001 - of a table
    if score is None or not is_scored:
        return []
    delay = "-" if score.delay_median_s is None else f"{score.delay_median_s:,.0f} s"
    outcomes = "-" if score.outcomes_median is None else f"{score.outcomes_median:,}"
    counts = [str(score.found), str(score.missed), delay, outcomes, f"{score.false_alarms:,}"]
    return [*counts, f"{score.false_per_month:.2f}"]
