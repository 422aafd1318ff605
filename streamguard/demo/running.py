"""The demo as a command: a story is written to a log, a worker reads it, and the end is compared."""

import os
import sys
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from streamguard import config as configuration
from streamguard.config import Config
from streamguard.core.alerts import alert_data, rfc3339
from streamguard.core.fields import parse_time_ms
from streamguard.demo.stream import MODEL, VERSION, Story, scaling, story, training
from streamguard.errors import ConfigError, LogError
from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.interface import Log, Record, TopicInfo
from streamguard.logs.opening import open_log
from streamguard.profile import build
from streamguard.worker.running import account
from streamguard.worker.telemetry import configure_logging
from streamguard.worker.worker import Clock, Worker

_SLICES = 60
_SLICE_S = 0.5

Echo = Callable[[str], None]


def run_demo(data: Path, *, once: bool, echo: Echo) -> None:
    """Write the story to a fresh embedded log, slice by slice, and let a worker read each; sum up."""
    configure_logging("error")
    echo("training a model on real data, and letting it serve ...")
    config = _config(data)
    told = story()
    echo(told.what)
    echo(f"the fault begins at prediction {told.fault_index + 1:,}, event time {rfc3339(told.fault_at_ms)}")
    log = EmbeddedLog(_fresh(data))
    try:
        _play(config, log, told, once=once, echo=echo)
    finally:
        log.close()


def _play(config: Config, log: Log, told: Story, *, once: bool, echo: Echo) -> None:
    for topic in (config.predictions.topic, config.labels.topic):
        log.create(TopicInfo(topic, 4))
    seen = 0
    worker = None
    size = -(-len(told.records) // _SLICES)
    echo(f"reading {len(told.records):,} records from {config.predictions.topic!r} and {config.labels.topic!r} ...")
    for start in range(0, len(told.records), size):
        part = told.records[start : start + size]
        log.append(part)
        worker = Worker(config, log, f"demo-{os.getpid()}", Clock(time.monotonic, time.sleep))
        worker.run(until_end=True)
        found = _alerts(config, log)
        _show_slice(start + len(part), part[-1], echo, is_terminal=sys.stdout.isatty())
        for alert in found[seen:]:
            echo(_sentence(alert))
        seen = len(found)
        if not once:
            time.sleep(_SLICE_S)
    if worker is not None:
        _sum_up(told, _alerts(config, log), worker, echo)


def _show_slice(count: int, last: Record, echo: Echo, *, is_terminal: bool) -> None:
    if is_terminal or count % 10_000 < 1000:
        echo(f"  {count:>7,} records, event time {rfc3339(last.timestamp_ms or 0)}")


def _alerts(config: Config, log: Log) -> list[dict[str, object]]:
    return [alert_data(value) for batch in log.read(config.alerts.topic) for value in batch.values]


def _sentence(alert: dict[str, object]) -> str:
    if "features" in alert:
        told: list[str] = alert["look_first"]  # type: ignore[assignment]
        more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
        return f"ALERT {alert['status']} at {alert['event_time']}: {alert['kind']}, {next(iter(told), 'over')}{more}"
    check: dict[str, object] = alert["check"]  # type: ignore[assignment]
    before: dict[str, float] = alert["before"] or {}  # type: ignore[assignment]
    after: dict[str, float] = alert["after"] or {}  # type: ignore[assignment]
    rates = f"{100 * before['rate']:.1f}% -> " if before else ""
    return (
        f"ALERT {alert['status']} at {alert['event_time']}: {alert['kind']} by {check['type']}, "
        f"mismatches {rates}{100 * after.get('rate', 0):.1f}%, onset about {alert['onset']}"
    )


def _sum_up(told: Story, found: list[dict[str, object]], worker: Worker, echo: Echo) -> None:
    raised = [alert for alert in found if alert["status"] == "raised"]
    early = [alert for alert in raised if parse_time_ms(alert["event_time"]) < told.fault_at_ms]
    by_labels = [alert for alert in raised if "features" not in alert and alert not in early]
    without = [alert for alert in raised if "features" in alert and alert not in early]
    echo("")
    echo(f"fault injected at   {rfc3339(told.fault_at_ms)}, prediction {told.fault_index + 1:,}")
    echo(f"without labels      {_when(told, without)}")
    echo(f"by labels           {_when(told, by_labels)}")
    echo(f"false alarms before {len(early)}")
    for line in account(worker)[: len(worker.totals)]:
        echo(line)
    echo("")
    echo("the same on your own Kafka: copy configs/minimal.yaml, name your topics in it, and")
    echo("  streamguard run my.yaml")
    if not by_labels or not without or early:
        raise LogError("the demo did not find its fault as it should")


def _when(told: Story, alerts: list[dict[str, object]]) -> str:
    """When the first of these was raised."""
    times = sorted(parse_time_ms(alert["event_time"]) for alert in alerts)
    if not times:
        return "never: the fault was missed"
    between = sum(1 for each in told.records if told.fault_at_ms <= (each.timestamp_ms or 0) <= times[0])
    minutes = (times[0] - told.fault_at_ms) / 60_000
    return f"{rfc3339(times[0])}: {minutes:.0f} minutes and {between:,} records later"


def send_story(config: Config, *, echo: Echo) -> None:
    """Write the story's records to the topics of a configuration, which must exist."""
    log = open_log(config.log)
    names = {"predictions": config.predictions.topic, "labels": config.labels.topic}
    try:
        missing = names.values() - log.topics(names.values()).keys()
        if missing:
            raise LogError(f"no topic {sorted(missing)}: create it first, both with the same partition count")
        records = story().records
        for start in range(0, len(records), 5000):
            log.append([_renamed(each, names) for each in records[start : start + 5000]])
    finally:
        log.close()
    echo(f"sent {len(records):,} records to {names['predictions']!r} and {names['labels']!r}")


def _renamed(record: Record, names: dict[str, str]) -> Record:
    return Record(names[record.topic], record.key, record.value, timestamp_ms=record.timestamp_ms)


def _config(data: Path) -> Config:
    text = files("streamguard.demo").joinpath("demo.yaml").read_text(encoding="utf-8")
    import yaml  # noqa: PLC0415 - only the demo reads a file of its own

    settings = yaml.safe_load(text)
    settings["log"]["path"] = str(data / "demo.db")
    settings["monitors"][0]["data"] = _carried(data)
    config = configuration.parse(settings)
    # For whoever wants to look at it, and to ask the log more.
    (data / "demo.yaml").write_text(config.as_yaml(), encoding="utf-8")
    return config


def _carried(data: Path) -> dict[str, object]:
    """What predictions must carry: what the model was trained on, scaled as its scaler does."""
    profile = data / "profile.json"
    try:
        data.mkdir(parents=True, exist_ok=True)
        profile.write_bytes(build(training(), name="shuttle", model=MODEL, version=VERSION).dump())
    except OSError as error:
        raise ConfigError(f"--data {data}: cannot be written: {error}") from None
    scaler = scaling().items()
    return {
        "profile": str(profile),
        "steps": {name: [{"standardize": {"mean": mean, "sd": sd}}, {"round": 4}] for name, (mean, sd) in scaler},
        "raw": {name: f"readings.{name}" for name, _ in scaler},
        # Nobody should watch a demo learn for two weeks what is usual.
        "baseline": "0s",
    }


def _fresh(data: Path) -> Path:
    """The demo's file, without what the last demo left."""
    path = data / "demo.db"
    try:
        for old in data.glob("demo.db*"):
            old.unlink()
    except OSError as error:
        raise ConfigError(f"--data {data}: cannot replace the last demo's log: {error}") from None
    return path
