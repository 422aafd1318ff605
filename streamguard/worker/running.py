"""A worker as a process: signals, progress and the closing account."""

import gc
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from streamguard.config import Config
from streamguard.core.records import Fate
from streamguard.errors import StreamguardError
from streamguard.logs.opening import open_log
from streamguard.worker.endpoints import serving
from streamguard.worker.signals import stopped_by_signals
from streamguard.worker.status import Board
from streamguard.worker.telemetry import configure_logging
from streamguard.worker.watchdog import Limits, watched
from streamguard.worker.worker import Clock, Progress, Worker

_log = structlog.get_logger("streamguard.worker")

_LINE_S = 10.0


def worker_name(config: Config) -> str:
    """The configured name, else one of this process alone."""
    name = getattr(config.log, "worker", None)
    # Containers may share both host name and process number.
    return name or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


def run_worker(config: Config, *, until_end: bool, echo: Callable[[str], None]) -> None:
    """Run until stopped, or to the end; then say how every record ended."""
    configure_logging(config.logging.level)
    started_s = time.monotonic()
    board, limits = Board(time.monotonic), Limits.of(config)
    with serving(config.http, board, limits), watched(board, limits, os._exit):
        try:
            worker = _work(config, board, until_end=until_end)
        except StreamguardError as error:
            # Said again in plain words by whoever called; where logs are gathered, this line is what they have.
            _log.error("worker_failed", reason=str(error), exit_code=error.exit_code)
            raise
    _log.info("worker_stopped", seconds=round(time.monotonic() - started_s, 3))
    for line in account(worker):
        echo(line)


def _work(config: Config, board: Board, *, until_end: bool) -> Worker:
    log = open_log(config.log)
    try:
        name = worker_name(config)
        worker = Worker(config, log, name, Clock(time.monotonic, time.sleep), board)
        _log.info("worker_started", worker=name, group=config.log.group, until_end=until_end)
        # Millions of strings and numbers are held and never form a cycle: look for cycles seldom.
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 50, 100)
        with stopped_by_signals(worker.stop), _shown(until_end=until_end) as show:
            worker.run(until_end=until_end, on_progress=show)
    finally:
        log.close()
    return worker


def account(worker: Worker) -> list[str]:
    """How the group's records have ended: a line for each input, that adds up."""
    lines = []
    for topic, counts in worker.totals.items():
        consumed = counts.get("consumed", 0)
        ended = {fate.value: counts.get(fate.value, 0) for fate in Fate if fate is not Fate.WAITING}
        waiting = consumed - sum(ended.values())
        parts = ", ".join(f"{count:,} {name}" for name, count in ended.items())
        lines.append(f"{topic}: {consumed:,} consumed = {parts}, {waiting:,} waiting")
    held, holders = worker.held
    if held:
        numbers = ", ".join(map(str, holders))
        lines.append(f"{held:,} outcomes wait for partition {numbers} of the inputs to come as far in event time")
    if worker.late_outcomes:
        lines.append(
            f"{worker.late_outcomes:,} outcomes came from a partition that had been silent, after their time was"
            " released: matched, and not checked"
        )
    progress = worker.progress
    lines.append(f"this worker: {progress.records:,} records, {progress.alerts:,} alerts, {progress.commits:,} commits")
    return lines


@contextmanager
def _shown(*, until_end: bool) -> Iterator[Callable[[Progress], None]]:
    """Progress: a live line on a terminal, a log line now and then elsewhere."""
    if until_end and sys.stderr.isatty():
        columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
        with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("starting")
            yield lambda progress: bar.update(
                task, description=f"{progress.records:,} records read, {progress.alerts:,} alerts"
            )
        return
    last_s, last_records = time.monotonic(), 0

    def show(progress: Progress) -> None:
        nonlocal last_s, last_records
        now_s = time.monotonic()
        if now_s - last_s < _LINE_S or progress.records == last_records:
            return
        rate = (progress.records - last_records) / (now_s - last_s)
        last_s, last_records = now_s, progress.records
        _log.info("progress_made", records=progress.records, alerts=progress.alerts, records_per_second=round(rate))

    yield show
