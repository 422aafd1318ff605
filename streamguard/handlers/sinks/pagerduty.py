"""PagerDuty: an episode is an incident."""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from streamguard.config.handlers import PagerDutyHandler
from streamguard.handlers.alert import Alert
from streamguard.handlers.sink import PermanentError, TemporaryError
from streamguard.handlers.sinks import clipped, explain_command, headline, key_of, plain, rfc3339, secret_of
from streamguard.handlers.sinks.http import Post, Poster

_ACTIONS = {"resolved": "resolve"}
_SEVERITIES = {"critical", "warning", "info"}
# An event may have 512 kB.
_TEXT_CHARS, _ITEMS = 500, 50
_TAKEN_MAX = 1000


class PagerDutySink:
    """Triggers an incident for each episode, updates it, and resolves it: the episode is the deduplication key.

    There is no batch: of several alerts each is an event, in order, all in the time of one try. One that is refused
    does not keep the others back, and is told when all were tried; those taken in a try that failed for now are left
    out of the next one. `source` is the events' source, `streamguard/<group>`. A notice, which nothing would resolve,
    is a change event: PagerDuty shows it with the service, and calls nobody.
    """

    def __init__(self, section: PagerDutyHandler, source: str) -> None:
        self._routing_key = secret_of(section.routing_key, section.name, "routing_key")
        self._poster = Poster(
            section.name, section.url, section.timeout_ms, secrets=[self._routing_key], ca_file=section.ca_file
        )
        self._source = source
        self._taken: dict[str, None] = {}

    def deliver(self, alerts: Sequence[Alert]) -> None:
        left = [each for each in alerts if each.id not in self._taken]
        found = self._poster.post_all(list(map(self._post, left)), {"Content-Type": "application/json"})
        if found and isinstance(found[-1], TemporaryError):
            self._note(alert for alert, failure in zip(left, found, strict=False) if failure is None)
            raise found[-1]
        for each in alerts:
            # Whoever delivers it once more wants that.
            self._taken.pop(each.id, None)
        refused = [failure for failure in found if failure is not None]
        if refused:
            told = f" ({len(refused)} of {len(alerts)} events refused)" if len(alerts) > 1 else ""
            raise PermanentError(f"{refused[0]}{told}")

    def close(self) -> None:
        """Nothing is held."""

    def _note(self, alerts: Iterable[Alert]) -> None:
        self._taken.update((each.id, None) for each in alerts)
        for each in list(self._taken)[:-_TAKEN_MAX]:
            self._taken.pop(each, None)

    def _post(self, alert: Alert) -> Post:
        if alert.is_notice:
            return Post(orjson.dumps(self._change(alert)), below="change")
        return Post(orjson.dumps(self._event(alert)))

    def _change(self, alert: Alert) -> dict[str, Any]:
        return {"routing_key": self._routing_key, "payload": self._told(alert)}

    def _event(self, alert: Alert) -> dict[str, Any]:
        payload = {
            **self._told(alert),
            "severity": alert.severity if alert.severity in _SEVERITIES else "warning",
            "component": None if alert.model is None else plain(alert.model, _TEXT_CHARS),
            "group": plain(alert.monitor, _TEXT_CHARS),
            "class": plain(alert.kind, _TEXT_CHARS),
        }
        return {
            "routing_key": self._routing_key,
            "event_action": _ACTIONS.get(alert.status, "trigger"),
            "dedup_key": key_of(alert.episode),
            "payload": {name: value for name, value in payload.items() if value is not None},
        }

    def _told(self, alert: Alert) -> dict[str, Any]:
        """What events of both kinds say."""
        about = {name: value for name, value in alert.data.items() if name != "source"}
        details = {**clipped(about, chars=_TEXT_CHARS, items=_ITEMS), "explain": explain_command(alert)}
        return {
            "summary": headline(alert),
            "source": self._source,
            "timestamp": rfc3339(alert.event_time),
            "custom_details": details,
        }
