"""`streamguard doctor`: look, judge, tell."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from streamguard.config import Config
from streamguard.doctor.gathering.seen import Now, see
from streamguard.doctor.judging import findings
from streamguard.doctor.severity import Severity
from streamguard.doctor.showing import as_json, show

Echo = Callable[[str], None]

UNREACHABLE = 3


def _clock_ms() -> float:
    return time.time() * 1000


def run_doctor(config: Config, name: Path, echo: Echo, *, is_json: bool, now_ms: Now = _clock_ms) -> int:
    """The exit code: 0 nothing but notes, 1 findings, 3 the log cannot be reached at all."""
    began_s = time.monotonic()
    with _quiet():
        seen = see(config, now_ms)
        found = findings(config, seen)
    is_wrong = any(each.severity is not Severity.NOTE for each in found)
    exit_code = UNREACHABLE if seen.is_unreachable else int(is_wrong)
    seconds = time.monotonic() - began_s
    if is_json:
        echo(as_json(found, str(name), seconds, exit_code))
    else:
        show(found, echo, seconds)
    return exit_code


@contextmanager
def _quiet() -> Iterator[None]:
    """What Kafka's client says of its tries is no news here: findings say it."""
    logger = logging.getLogger("kafka")
    handler, former = logging.NullHandler(), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = former
        logger.removeHandler(handler)
