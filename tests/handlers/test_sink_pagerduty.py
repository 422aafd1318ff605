"""Incidents: triggered, updated and resolved by episode."""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from streamguard.config.handlers import PagerDutyHandler
from streamguard.handlers.alert import Alert
from streamguard.handlers.sink import PermanentError, TemporaryError
from streamguard.handlers.sinks import headline
from streamguard.handlers.sinks.pagerduty import PagerDutySink
from tests.handlers.samples import (
    HOSTILE,
    LONG,
    RAISED_ID,
    Peer,
    Server,
    hostile,
    improved,
    many,
    raised,
    reply,
    resolved,
    silent,
    updated,
)

KEY = "R0UT1NGKEY"


def sink_at(server: Server, timeout_ms: int = 5_000) -> PagerDutySink:
    """A sink that posts there."""
    section = PagerDutyHandler(
        name="duty",
        type="pagerduty",
        url=f"{server.url}/v2/enqueue",
        routing_key=SecretStr(KEY),
        timeout=timeout_ms,
    )
    return PagerDutySink(section, "streamguard/fraud")


def events(server: Server) -> list[dict[str, Any]]:
    """What it got."""
    return [orjson.loads(each.body) for each in server.requests]


def event(alert: Alert) -> dict[str, Any]:
    """What is posted of an alert."""
    with Server(reply(202)) as server:
        sink_at(server).deliver([alert])
    assert server.requests[0].target == "/v2/enqueue"
    (found,) = events(server)
    return found


def test_an_episode_triggers_an_incident() -> None:
    """Every field of the event; of the alert all but its offsets."""
    found = event(raised())
    details = found["payload"].pop("custom_details")
    assert found == {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": RAISED_ID,
        "payload": {
            "summary": "CRITICAL raised: mismatch_drift, by country (country=NO, plan=(none)), 2.26% -> 34.38%",
            "source": "streamguard/fraud",
            "severity": "critical",
            "timestamp": "2026-01-05T16:16:31.042Z",
            "component": "churn",
            "group": "by country",
            "class": "mismatch_drift",
        },
    }
    assert details.pop("explain") == f"streamguard explain {RAISED_ID} CONFIG"
    assert details == {name: value for name, value in raised().data.items() if name != "source"}


def test_an_update_and_the_end_are_of_the_same_incident() -> None:
    """By the deduplication key."""
    actions = [(each["event_action"], each["dedup_key"]) for each in (event(updated()), event(resolved()))]
    assert actions == [("trigger", RAISED_ID), ("resolve", RAISED_ID)]


@pytest.mark.parametrize(
    ("sample", "severity"),
    [
        (raised(severity="info"), "info"),
        (raised(severity="warning"), "warning"),
        (raised(severity="fatal"), "warning"),
    ],
)
def test_severities_are_pagerdutys(sample: Alert, severity: str) -> None:
    """It refuses others."""
    assert event(sample)["payload"]["severity"] == severity


@pytest.mark.parametrize("notice", [improved(), raised(kind="segments_full", severity="warning", segment={})])
def test_a_notice_opens_no_incident(notice: Alert) -> None:
    """Nothing would ever resolve it: it is a change event, which calls nobody."""
    with Server(reply(202)) as server:
        sink_at(server).deliver([notice])
    assert server.requests[0].target == "/v2/change/enqueue"
    (found,) = events(server)
    details = found["payload"].pop("custom_details")
    assert found == {
        "routing_key": KEY,
        "payload": {
            "summary": headline(notice),
            "source": "streamguard/fraud",
            "timestamp": "2026-01-05T16:16:31.042Z",
        },
    }
    assert details["id"] == notice.id


def test_notices_and_incidents_come_in_order() -> None:
    """Each to its place, and a second try goes on where the first one stopped."""
    alerts = [raised(), improved(), resolved()]
    with Server(reply(202), reply(503), reply(202)) as server:
        deliver_again(sink_at(server), alerts)
    event, change = "/v2/enqueue", "/v2/change/enqueue"
    assert [each.target for each in server.requests] == [event, change, change, event]


def test_what_is_unknown_is_left_out() -> None:
    """It refuses null."""
    assert "component" not in event(silent())["payload"]


@pytest.mark.parametrize("text", [HOSTILE, LONG])
def test_limits_are_kept(text: str) -> None:
    """Whatever strangers write."""
    found = event(hostile(text, episode=text))
    assert len(found["payload"]["summary"]) <= 1024
    assert "\n" not in found["payload"]["summary"]
    assert len(found["dedup_key"]) <= 255
    assert len(orjson.dumps(found)) < 512_000


def test_refusals_are_told_without_the_key() -> None:
    """400 is for good, 429 for now."""
    with (
        Server(reply(400, f"invalid routing key {KEY}".encode())) as server,
        pytest.raises(PermanentError, match=r"^127\.0\.0\.1:\d+ answered 400: invalid routing key \*\*\*$"),
    ):
        sink_at(server).deliver([raised()])
    with Server(reply(429, retry_after="9")) as server, pytest.raises(TemporaryError) as caught:
        sink_at(server).deliver([raised()])
    assert caught.value.after_s == 9.0


def deliver_again(sink: PagerDutySink, alerts: Sequence[Alert]) -> None:
    """A try that fails for now, and one that does not."""
    with pytest.raises(TemporaryError):
        sink.deliver(alerts)
    sink.deliver(alerts)


def test_several_are_events_in_order_and_a_second_try_goes_on() -> None:
    """Where the first one stopped; what is delivered anew later is posted anew."""
    alerts = [raised(), updated(), resolved()]
    with Server(reply(202), reply(503), reply(202)) as server:
        sink = sink_at(server)
        deliver_again(sink, alerts)
        sink.deliver(alerts)
    expected = ["raised", "updated", "updated", "resolved", "raised", "updated", "resolved"]
    assert [each["payload"]["custom_details"]["status"] for each in events(server)] == expected


def test_a_second_try_goes_on_where_the_time_was_over() -> None:
    """A slow side gets all of many, a few at a time."""

    def hangs(peer: Peer) -> None:
        peer.stopping.wait(5)

    with Server(reply(202), hangs, reply(202)) as server:
        deliver_again(sink_at(server, 600), many(3))
    keys = [int(each["dedup_key"], 16) for each in events(server)]
    assert keys == [0, 1, 1, 2]


def test_one_that_is_refused_keeps_no_other_back() -> None:
    """It is told when all were tried."""
    with (
        Server(reply(202), reply(400, b"bad"), reply(202)) as server,
        pytest.raises(PermanentError, match=r"answered 400: bad \(1 of 3 events refused\)$"),
    ):
        sink_at(server).deliver(many(3))
    assert len(server.requests) == 3
