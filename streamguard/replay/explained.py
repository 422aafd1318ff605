"""`streamguard explain`: the alert is found, in its topic or in a report, and what is behind it is said."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from streamguard.config import Config, Mode, load
from streamguard.config.secrets import HIDDEN
from streamguard.core.alerts import alert_data
from streamguard.errors import ConfigError
from streamguard.logs.interface import Log
from streamguard.replay.explain import explain, told
from streamguard.replay.history import SIDES, History, of_files, of_topics
from streamguard.replay.topics import Range, opened
from streamguard.worker.telemetry import configure_logging


def run_explain(alert_id: str, where: Path, echo: Callable[[str], None]) -> None:
    """Find an alert, in the alerts topic of a configuration or in a report's directory, and say what is behind it."""
    configure_logging("error")
    if where.is_dir():
        config, history, alerts = _reported(where)
    else:
        config = load(where)
        log = opened(config)
        try:
            alerts = _published(config, log)
            history = of_topics(config, log, Mode.IDEAL, Range())
        finally:
            log.close()
    matching = [each for each in alerts if str(each["id"]).startswith(alert_id)]
    if len({each["id"] for each in matching}) != 1:
        raise ConfigError(_not_one(alert_id, where, alerts, matching))
    for line in told(explain(config, history, matching[0])):
        echo(line)


def _published(config: Config, log: Log) -> list[dict[str, Any]]:
    if not log.topics([config.alerts.topic]):
        raise ConfigError(f"no topic {config.alerts.topic!r} yet: no worker has run")
    values = (value for batch in log.read(config.alerts.topic) for value in batch.values)
    return [alert for alert in map(alert_data, values) if alert]


def _reported(directory: Path) -> tuple[Config, History, list[dict[str, Any]]]:
    try:
        report = orjson.loads((directory / "report.json").read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ConfigError(f"{directory}: not the directory of a report: {error}") from None
    inputs = report["inputs"]
    if HIDDEN in report["config"]:
        raise ConfigError(f"{directory}: a report holds no secrets; name the configuration instead of the report")
    config = load(directory / "report.json", report["config"])
    if inputs["kind"] == "memory":
        raise ConfigError(f"{directory}: its records were in memory, and are gone")
    if inputs["kind"] == "files":
        history = of_files(config, *([Path(each) for each in inputs["files"][side]] for side in SIDES))
        if history.size != inputs["size"]:
            history.notes.append("the files are not of the size that they had: what is shown may be other records")
        return config, history, report["alerts"]
    log = opened(config)
    try:
        return config, of_topics(config, log, Mode.IDEAL, Range()), report["alerts"]
    finally:
        log.close()


def _not_one(
    alert_id: str, where: Path, alerts: Sequence[Mapping[str, Any]], matching: Sequence[Mapping[str, Any]]
) -> str:
    if matching:
        return f"{alert_id!r} begins the IDs of {len(matching)} alerts: give more of it"
    latest = ", ".join(str(each["id"]) for each in alerts[-3:])
    return (
        f"no alert {alert_id!r} in {where}, which has {len(alerts):,}{f'; the latest are {latest}' if latest else ''}"
    )
