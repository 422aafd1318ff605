"""Retraining: a program, or a URL that is posted to, once for an episode."""

import threading
from collections.abc import Sequence
from typing import Any

import orjson

from streamguard.config.handlers import RetrainHandler
from streamguard.handlers.alert import Alert
from streamguard.handlers.sink import DeliveryError, PermanentError
from streamguard.handlers.sinks import clipped, key_of, plain
from streamguard.handlers.sinks.command import find_program, run_program
from streamguard.handlers.sinks.webhook import WebhookSink

_ANSWER_MAX_MS = 60_000
_RESULT_CHARS, _RESULT_ITEMS = 500, 50
_VALUE_CHARS = 1000
_TYPE = "streamguard.retraining.requested"


class RetrainSink:
    """Starts retrainings. What a run is given is one JSON object: on standard input, or as the data of a CloudEvent.

    `run` is its ID, the same whenever the same run is asked for; `data` has `from` (the estimated onset, or where none
    is known the alert's event time), `to` (the alert's event time), and `source`, the offsets behind the alert by topic
    and partition; `alert` is the whole alert. A program also finds STREAMGUARD_RUN, _FROM, _TO, _EPISODE, _MONITOR,
    _MODEL and _VERSION in its environment. It has failed with any exit code but 0, and is not tried again, since it
    may have begun; where the last line of its standard output is a JSON object, that is the result.

    A URL gets a POST of type streamguard.retraining.requested, whose Idempotency-Key is the run's ID, and must answer
    within a minute; it is tried again as a webhook is, until it has taken the request or refused it.
    """

    def __init__(self, section: RetrainHandler, source: str) -> None:
        self._name = section.name
        self._source = source
        self._command = section.command
        self._timeout_s = section.timeout_ms / 1000
        self._webhook: WebhookSink | None = None
        if section.command:
            find_program(section.name, section.command)
        else:
            answer_ms = min(section.timeout_ms, _ANSWER_MAX_MS)
            self._webhook = WebhookSink(section.model_copy(update={"timeout_ms": answer_ms}), source)
        self._cancelled = threading.Event()
        self.run = ""
        """The ID of the run that is asked for next."""
        self.result: Any = None
        """What the last run has said."""

    def deliver(self, alerts: Sequence[Alert]) -> None:
        (alert,) = alerts
        self.result = None
        run = self.run or alert.id
        request = _request(run, alert)
        if self._webhook is not None:
            event = {
                "specversion": "1.0",
                "id": run,
                "source": self._source,
                "type": _TYPE,
                "time": alert.data["event_time"],
                "datacontenttype": "application/json",
                "subject": alert.episode,
                "data": request,
            }
            self._webhook.send(orjson.dumps(event), "cloudevents+json", key_of(run))
            return
        try:
            output = run_program(
                self._command,
                orjson.dumps(request) + b"\n",
                _about(run, alert, request["data"]),
                self._timeout_s,
                cancelled=self._cancelled,
            )
        except DeliveryError as error:
            # What has begun once is not begun again, whatever became of it.
            raise PermanentError(str(error)) from None
        self.result = _result(output)

    def cancel(self) -> None:
        """End the run that is under way."""
        self._cancelled.set()

    def close(self) -> None:
        """Nothing is held."""


def _request(run: str, alert: Alert) -> dict[str, Any]:
    data = alert.data
    return {
        "run": run,
        "data": {"from": data["onset"] or data["event_time"], "to": data["event_time"], "source": data["source"]},
        "alert": dict(data),
    }


def _about(run: str, alert: Alert, data: dict[str, Any]) -> dict[str, str]:
    found = {
        "RUN": run,
        "FROM": data["from"],
        "TO": data["to"],
        "EPISODE": alert.episode,
        "MONITOR": alert.monitor,
        "MODEL": alert.model or "",
        "VERSION": alert.version or "",
    }
    return {name: plain(text, _VALUE_CHARS) for name, text in found.items()}


def _result(output: bytes) -> Any:
    """The last line, where it is a JSON object; of it as much as an alert may hold."""
    lines = output.rstrip().rsplit(b"\n", 1)
    try:
        found = orjson.loads(lines[-1])
    except orjson.JSONDecodeError:
        return None
    return clipped(found, chars=_RESULT_CHARS, items=_RESULT_ITEMS) if isinstance(found, dict) else None
