"""Log lines: one JSON object each where programs read, one readable line each where people do."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog

from streamguard.worker.telemetry import configure_logging


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Logging belongs to the process, so that each test puts it back."""
    kafka = logging.getLogger("kafka")
    before = list(kafka.handlers), kafka.level, kafka.propagate
    yield
    kafka.handlers, kafka.level, kafka.propagate = before
    structlog.reset_defaults()


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """What was logged, as a program reads it."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_program_gets_one_json_object_a_line() -> None:
    """Log collectors split at line ends, so that not even a traceback may spread over lines."""
    stream = io.StringIO()
    configure_logging("info", stream=stream)
    structlog.get_logger().info("alert_raised", monitor="fraud", rate=0.5)
    try:
        _ = dict[str, int]()["missing"]
    except KeyError:
        structlog.get_logger().exception("task_failed", text="two\nlines")
    first, second = lines(stream)

    assert list(first)[:3] == ["timestamp", "level", "event"]
    assert first | {"timestamp": ""} == {
        "timestamp": "",
        "level": "info",
        "event": "alert_raised",
        "monitor": "fraud",
        "rate": 0.5,
    }
    assert "KeyError: 'missing'" in second["exception"]


def test_times_are_iso_and_utc() -> None:
    """Workers in two time zones must sort into one log."""
    stream = io.StringIO()
    configure_logging("info", stream=stream)
    structlog.get_logger().info("worker_started")
    text = lines(stream)[0]["timestamp"]

    assert text.endswith("Z")
    assert datetime.fromisoformat(text).utcoffset() == timedelta(0)


def test_a_person_gets_text() -> None:
    """JSON is no way to read a terminal."""
    stream = Terminal()
    configure_logging("info", stream=stream)
    structlog.get_logger().info("alert_raised", monitor="fraud")

    assert "alert_raised" in stream.getvalue()
    with pytest.raises(json.JSONDecodeError):
        lines(stream)


def test_the_form_can_be_chosen() -> None:
    """A container with a terminal attached may still want JSON."""
    stream = Terminal()
    configure_logging("info", stream=stream, terminal=False)
    structlog.get_logger().info("alert_raised")

    assert lines(stream)[0]["event"] == "alert_raised"


@pytest.mark.parametrize("terminal", [False, True])
def test_a_traceback_shows_no_local_variables(terminal: bool) -> None:  # noqa: FBT001
    """A frame that connects holds the password."""
    stream = io.StringIO()
    configure_logging("info", stream=stream, terminal=terminal)
    password = "hunter" + str(2)
    try:
        int("x" if password else "y")
    except ValueError:
        structlog.get_logger().exception("connection_lost")

    assert "ValueError" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_lesser_levels_are_silent(level: str, heard: list[str]) -> None:
    """The level is the user's choice of how much to read."""
    stream = io.StringIO()
    configure_logging(level, stream=stream)
    log = structlog.get_logger()
    log.debug("record_read")
    log.info("partition_assigned")
    log.warning("record_rejected")
    log.error("commit_lost")

    assert [line["level"] for line in lines(stream)] == heard


def test_kafka_python_is_heard_from_warnings_on() -> None:
    """Its warnings explain failures; its information, one line a fetch, would bury them."""
    stream = io.StringIO()
    configure_logging("debug", stream=stream)
    logging.getLogger("kafka.client").info("fetched %d", 3)
    logging.getLogger("kafka.client").warning("lost %s", "broker-1")

    assert [line | {"timestamp": ""} for line in lines(stream)] == [
        {
            "timestamp": "",
            "level": "warning",
            "event": "kafka_client_logged",
            "message": "lost broker-1",
            "logger": "kafka.client",
        }
    ]


def test_kafka_python_says_the_same_once_in_a_while() -> None:
    """In an outage it repeats itself many times a second; what it says at another place is heard."""
    stream = io.StringIO()
    configure_logging("info", stream=stream)
    logger = logging.getLogger("kafka.net")
    for number in range(100):
        logger.warning("attempt %d", number)
    logger.warning("another thing")
    assert [line["message"] for line in lines(stream)] == ["attempt 0", "another thing"]


def test_librdkafka_says_each_kind_once_in_a_while() -> None:
    """All of it comes from one place: where we read."""
    stream = io.StringIO()
    configure_logging("info", stream=stream)
    logger = logging.getLogger("kafka.librdkafka")
    for kind in ("FAIL", "FAIL", "REQTMOUT"):
        logger.warning("%s [%s] %s", kind, "client", "broker-1")
    assert [line["message"] for line in lines(stream)] == ["FAIL [client] broker-1", "REQTMOUT [client] broker-1"]


def test_a_second_call_replaces_the_first() -> None:
    """Each line is written once, to where was said last."""
    first, second = io.StringIO(), io.StringIO()
    configure_logging("info", stream=first)
    log = structlog.get_logger()
    configure_logging("info", stream=second)
    log.info("worker_started")
    logging.getLogger("kafka").warning("lost")

    assert first.getvalue() == ""
    assert [line["event"] for line in lines(second)] == ["worker_started", "kafka_client_logged"]


@pytest.mark.parametrize("value", [object(), {1: 2}, 2**80, "\ud800", float("nan"), b"\xff", {1, 2}])
def test_no_field_can_break_a_line(value: object) -> None:
    """A log call stands where something went wrong already."""
    stream = io.StringIO()
    configure_logging("info", stream=stream)
    structlog.get_logger().warning("record_rejected", value=value)

    assert lines(stream)[0]["event"] == "record_rejected"
