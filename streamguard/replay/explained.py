"""`streamguard explain`: the alert is found, in its topic or in a report, and what is behind it is said."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from streamguard.config import Config, Mode, load
from streamguard.config.secrets import HIDDEN
from streamguard.core.alerts import alert_data
from streamguard.core.printing import printable
from streamguard.errors import ConfigError
from streamguard.logs.interface import Log
from streamguard.replay.explain import explain
from streamguard.replay.history import SIDES, History, of_found_files, of_topics
from streamguard.replay.telling import told
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
        own = [orjson.loads(line) for line in (directory / "alerts.jsonl").read_bytes().splitlines()]
    except (OSError, orjson.JSONDecodeError) as error:
        raise ConfigError(f"{directory}: not the directory of a report: {error}") from None
    inputs = report["inputs"]
    # In the report are no more of each setting than a page can show.
    alerts = [*own, *(each for each in report["alerts"] if each["setting"])]
    if HIDDEN in report["config"]:
        raise ConfigError(f"{directory}: a report holds no secrets; name the configuration instead of the report")
    config = load(directory / "report.json", report["config"])
    if inputs["kind"] == "memory":
        raise ConfigError(f"{directory}: its records were in memory, and are gone")
    if inputs["kind"] == "files":
        notes: list[str] = []
        found = [_found_again(inputs["files"][side], side, notes) for side in SIDES]
        history = of_found_files(config, found, (inputs["predictions"], inputs["labels"]))
        history.notes += notes
        return config, history, alerts
    log = opened(config)
    try:
        return config, of_topics(config, log, Mode.IDEAL, Range()), alerts
    finally:
        log.close()


def _found_again(files: Sequence[Mapping[str, Any]], side: str, notes: list[str]) -> dict[int, tuple[Path, ...]]:
    """The files of one side as far as they are still there, by partition, as they were read."""
    found: dict[int, tuple[Path, ...]] = {}
    broken = set()
    for each in files:
        number, path, size = each["partition"], Path(each["path"]), each["bytes"]
        found.setdefault(number, ())
        if number in broken:
            continue
        try:
            size_now = path.stat().st_size
        except OSError as error:
            # Offsets are counted over all files of the partition.
            broken.add(number)
            after = f"neither it nor what follows it in partition {number} of the {side}"
            notes.append(f"{path} cannot be read any more ({error.strerror}): {after} is shown")
            continue
        if size_now != size:
            notes.append(f"{path} had {size:,} bytes, and has {size_now:,}: what is shown may be other records")
        found[number] += (path,)
    return found


def _not_one(
    alert_id: str, where: Path, alerts: Sequence[Mapping[str, Any]], matching: Sequence[Mapping[str, Any]]
) -> str:
    if matching:
        return f"{alert_id!r} begins the IDs of {len(matching)} alerts: give more of it"
    latest = ", ".join(printable(str(each["id"])) for each in alerts[-3:])
    return (
        f"no alert {alert_id!r} in {where}, which has {len(alerts):,}{f'; the latest are {latest}' if latest else ''}"
    )
