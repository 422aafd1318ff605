"""Prometheus' Alertmanager, by its API v2.

Alertmanager knows an alert by its labels, and has its own clock. Times are event times here, as in alerts; it takes an
alert whose end is not after its own time as resolved: one whose episode ended, and one of a replay or of a backlog that
is older than `lasts`. It tells nobody of those, unless it knew the alert as firing before. An alert that is neither
updated nor resolved is firing until `lasts` after its event time. A notice, which never will be, is firing for an hour
of that at most: long enough to be told, and over before Alertmanager repeats it by its defaults.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from streamguard.config.handlers import AlertmanagerHandler
from streamguard.handlers.alert import Alert
from streamguard.handlers.sinks import as_text, explain_command, headline, plain, rfc3339, secret_of
from streamguard.handlers.sinks.http import Poster

_LABEL_CHARS = 500
_NOTICE_LASTS = timedelta(hours=1)
_LATEST = datetime.max.replace(tzinfo=UTC)


class AlertmanagerSink:
    """Posts alerts, all at once. Alertmanager takes those that it understands even where it refuses another."""

    def __init__(self, section: AlertmanagerHandler) -> None:
        url = secret_of(section.url, section.name, "url")
        self._poster = Poster(section.name, url, section.timeout_ms, path="/api/v2/alerts", ca_file=section.ca_file)
        self._lasts = timedelta(milliseconds=section.lasts_ms)

    def deliver(self, alerts: Sequence[Alert]) -> None:
        posted = [self._posted(each) for each in alerts]
        self._poster.post(orjson.dumps(posted), {"Content-Type": "application/json"})

    def close(self) -> None:
        """Nothing is held."""

    def _posted(self, alert: Alert) -> dict[str, Any]:
        starts = min(alert.onset or alert.event_time, alert.event_time)
        ends = alert.event_time if alert.status == "resolved" else self._end(alert)
        return {
            "labels": _labels(alert),
            "annotations": {
                "summary": headline(alert),
                "description": as_text(alert),
                "id": plain(alert.id, 100),
                "explain": explain_command(alert),
            },
            "startsAt": rfc3339(starts),
            "endsAt": rfc3339(ends),
        }

    def _end(self, alert: Alert) -> datetime:
        """Until when it is firing if nothing more comes."""
        lasts = min(self._lasts, _NOTICE_LASTS) if alert.is_notice else self._lasts
        return alert.event_time + min(lasts, _LATEST - alert.event_time)


def _labels(alert: Alert) -> dict[str, str]:
    """What all alerts of an episode have in common, or its end would be that of another; empty ones are left out."""
    check = alert.data.get("check") or {}
    found = {
        "alertname": alert.kind,
        "severity": alert.severity,
        "monitor": alert.monitor,
        "model": alert.model,
        "version": alert.version,
        "check": check.get("type"),
        "episode": alert.episode,
    }
    for name, value in sorted(alert.segment.items()):
        label = f"segment_{re.sub('[^a-zA-Z0-9_]', '_', plain(name, 100))}"
        while label in found:
            label += "_"
        found[label] = value
    labels = {name: plain(value, _LABEL_CHARS) for name, value in found.items() if value is not None}
    return {name: value for name, value in labels.items() if value}
