"""The alerts topic, printed."""

from collections.abc import Callable

import orjson

from streamguard.config import Config
from streamguard.core.alerts import alert_data
from streamguard.core.fields import Unreadable, parse_time_ms
from streamguard.errors import ConfigError, LogError
from streamguard.logs.opening import open_log


def list_alerts(config: Config, *, since: str | None, follow: bool, echo: Callable[[str], None]) -> None:
    """Print each alert's data as one line of JSON, from the event time `since` on."""
    try:
        since_ms = 0 if since is None else parse_time_ms(since)
    except Unreadable as reason:
        raise ConfigError(f"--from: {reason}, such as 2026-01-31T12:00:00Z") from None
    log = open_log(config.log)
    try:
        if not log.topics([config.alerts.topic]):
            raise LogError(f"no topic {config.alerts.topic!r} yet: a worker creates it when it first runs")
        for batch in log.read(config.alerts.topic, follow=follow):
            for value in batch.values:
                alert = alert_data(value)
                if "event_time" in alert and parse_time_ms(alert["event_time"]) >= since_ms:
                    echo(orjson.dumps(alert).decode())
    finally:
        log.close()
