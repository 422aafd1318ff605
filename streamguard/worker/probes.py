"""`streamguard probe`: endpoints are called, and what they answer goes to the environment topic."""

import json
import threading
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import Any

import orjson
import structlog

from streamguard.config import Config
from streamguard.core.printing import printable
from streamguard.errors import ConfigError, LogError
from streamguard.logs.interface import Log, Record
from streamguard.logs.opening import open_log
from streamguard.probing import Prober, Target
from streamguard.worker.signals import ended_by
from streamguard.worker.telemetry import configure_logging
from streamguard.worker.topology import prepare_environment

_WAITING_MAX = 10_000
_AGAIN_S = 1.0
_UNREACHED = {"dns", "refused", "timeout", "tls", "network", "reset", "protocol"}

_log = structlog.get_logger("streamguard.probing")

Echo = Callable[[str], None]


def targets_of(config: Config) -> list[Target]:
    """What the configuration says to call; raises `ConfigError` where that is nothing."""
    if not config.probes:
        raise ConfigError("there are no probes in the configuration: see docs/probes.md")
    return [Target(each) for each in config.probes]


def run_once(config: Config, echo: Echo, *, is_json: bool) -> int:
    """Call each once and print the results, without a log.

    Returns 0 where all is well, 3 where an endpoint could not be reached, else 1.
    """
    configure_logging("error")
    results = Prober(targets_of(config)).once()
    for each in results:
        echo(as_json(each) if is_json else as_text(each))
    kinds = {each["error"]["kind"] for each in results if each["error"] is not None}
    return 3 if kinds & _UNREACHED else int(bool(kinds))


def run_probes(config: Config, echo: Echo, *, is_json: bool) -> None:
    """Call them on their schedule until SIGTERM or SIGINT, and write the results to the environment topic."""
    configure_logging(config.logging.level)
    prober = Prober(targets_of(config))
    topic = config.environment_topic
    log = open_log(config.log)
    try:
        prepare_environment(config, log)
        results = Results(log, topic, prober.stop)

        def tell(result: dict[str, Any]) -> None:
            if is_json:
                echo(as_json(result))
            results.add(result)

        def stop(_number: int, _frame: FrameType | None) -> None:
            prober.stop()

        try:
            with ended_by(stop):
                _log.info("probes_started", targets=len(config.probes), topic=topic)
                prober.run(tell)
        finally:
            results.close()
    finally:
        log.close()


class Results:
    """Writes results to a topic, on a thread of its own, so that calls do not wait for the log.

    What cannot be written is tried again, the latest 10,000 of it; what was written when that seemed to fail may be
    there twice. `failed` is called where something else has gone wrong than the log; then `close` raises it.
    """

    def __init__(self, log: Log, topic: str, failed: Callable[[], None]) -> None:
        self._log = log
        self._topic = topic
        self._failed = failed
        self._records: deque[Record] = deque(maxlen=_WAITING_MAX)
        self._changed = threading.Condition()
        self._is_closing = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="results")
        self._thread.start()

    def add(self, result: dict[str, Any]) -> None:
        """Have it written; returns at once."""
        with self._changed:
            self._records.append(record_of(result, self._topic))
            self._changed.notify()

    def close(self) -> None:
        """Write what waits, with one try; raises `LogError` where that fails."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()
        if self._error is not None:
            raise self._error
        if self._records:
            raise LogError(f"{len(self._records)} results could not be written to the topic {self._topic!r}")

    def _run(self) -> None:
        try:
            while self._write():
                pass
        except BaseException as error:  # noqa: BLE001 - a bug, which `close` raises
            self._error = error
            self._failed()

    def _write(self) -> bool:
        """Write what waits, or wait for it; returns whether there is more to come."""
        with self._changed:
            self._changed.wait_for(lambda: self._records or self._is_closing)
            records, is_last = list(self._records), self._is_closing
            self._records.clear()
        try:
            if records:
                self._log.append(records)
        except LogError as error:
            with self._changed:
                self._records = deque([*records, *self._records], maxlen=_WAITING_MAX)
                _log.warning("results_not_written", waiting=len(self._records), reason=str(error))
                self._changed.wait_for(lambda: self._is_closing, 0 if is_last else _AGAIN_S)
        return not is_last


def record_of(result: dict[str, Any], topic: str) -> Record:
    """As it is on the topic."""
    return Record(topic, result["target"].encode(), orjson.dumps(result), timestamp_ms=result["time"])


def as_json(result: dict[str, Any]) -> str:
    """A line; in ASCII, since names of fields are another's."""
    return json.dumps(result)


def as_text(result: dict[str, Any]) -> str:
    """A line for people: `scoring: ok, 200 in 35 ms`."""
    if result["error"] is not None:
        return printable(f"{result['target']}: FAILED ({result['error']['kind']}): {result['error']['message']}")
    return printable(f"{result['target']}: ok, {result['status']} in {result['latency_ms']:.0f} ms")
