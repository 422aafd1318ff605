"""`streamguard rekey`: the stage as a process, its progress and the closing account."""

import time
from collections.abc import Callable

import structlog

from streamguard.config import Config, KafkaLog
from streamguard.errors import StreamguardError
from streamguard.logs.interface import Log
from streamguard.logs.opening import open_log
from streamguard.rekeying.sides import group_of, sides_of
from streamguard.rekeying.stage import Progress, Stage
from streamguard.worker.running import worker_name
from streamguard.worker.signals import stopped_by_signals
from streamguard.worker.telemetry import configure_logging
from streamguard.worker.worker import Clock

_log = structlog.get_logger("streamguard.rekey")

_LINE_S = 10.0


def run_rekey(config: Config, *, until_end: bool, echo: Callable[[str], None]) -> None:
    """Run until stopped, or to the end; then say how every raw record ended."""
    configure_logging(config.logging.level)
    sides_of(config)
    try:
        stage = _work(config, until_end=until_end)
    except StreamguardError as error:
        # Said again in plain words by whoever called; where logs are gathered, this line is what they have.
        _log.error("rekey_failed", reason=str(error), exit_code=error.exit_code)
        raise
    for line in account(stage):
        echo(line)


def opened_log(config: Config) -> Log:
    """The log, by kafka-python whatever client workers use: only its groups can give a topic to one member."""
    settings = config.log
    if isinstance(settings, KafkaLog) and settings.client != "kafka-python":
        settings = settings.model_copy(update={"client": "kafka-python"})
    return open_log(settings)


def account(stage: Stage) -> list[str]:
    """How the records of each raw topic have ended: lines that add up."""
    lines = []
    for side in stage.sides:
        counts = stage.totals.get(side.raw)
        if counts is None:
            lines.append(f"{side.raw}: another process has it")
            continue
        consumed, used, refused = (counts.get(name, 0) for name in ("consumed", "used", "rejected"))
        lines.append(
            f"{side.raw}: {consumed:,} consumed = {used:,} used, {refused:,} rejected, {consumed - used - refused:,}"
            f" waiting; {counts.get('written', 0):,} {side.name} written to {side.written}"
        )
    progress = stage.progress
    done = f"{progress.records:,} records, {progress.written:,} written, {progress.commits:,} commits"
    lines.append(f"this process: {done}")
    return lines


def _work(config: Config, *, until_end: bool) -> Stage:
    log = opened_log(config)
    try:
        name = worker_name(config)
        stage = Stage(config, log, name, Clock(time.monotonic, time.sleep))
        _log.info("rekey_started", worker=name, group=group_of(config), until_end=until_end)
        with stopped_by_signals(stage.stop):
            stage.run(until_end=until_end, on_progress=_shown())
    finally:
        log.close()
    _log.info("rekey_stopped", records=stage.progress.records, written=stage.progress.written)
    return stage


def _shown() -> Callable[[Progress], None]:
    """Progress as a log line now and then."""
    last_s, last = time.monotonic(), 0

    def show(progress: Progress) -> None:
        nonlocal last_s, last
        now_s = time.monotonic()
        if now_s - last_s < _LINE_S or progress.records == last:
            return
        rate = (progress.records - last) / (now_s - last_s)
        last_s, last = now_s, progress.records
        _log.info(
            "progress_made",
            records=progress.records,
            written=progress.written,
            rejected=progress.rejected,
            records_per_second=round(rate),
        )

    return show
