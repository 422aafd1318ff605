"""Alertmanager: labels that an episode keeps, and times as it wants them."""

from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from streamguard.config.handlers import AlertmanagerHandler
from streamguard.handlers.alert import Alert
from streamguard.handlers.sink import PermanentError, TemporaryError
from streamguard.handlers.sinks.alertmanager import AlertmanagerSink
from tests.handlers.samples import (
    HOSTILE,
    LONG,
    RAISED_ID,
    Server,
    hostile,
    improved,
    raised,
    reply,
    resolved,
    silent,
    updated,
)


def sink_at(url: str, lasts_ms: int = 3_600_000) -> AlertmanagerSink:
    """A sink that posts there."""
    section = AlertmanagerHandler(name="am", type="alertmanager", url=SecretStr(url), lasts=lasts_ms)
    return AlertmanagerSink(section)


def posted(*alerts: Alert) -> list[dict[str, Any]]:
    """What is posted of them, at once."""
    with Server(reply(200)) as server:
        sink_at(server.url).deliver(alerts)
    (request,) = server.requests
    assert request.target == "/api/v2/alerts"
    found = orjson.loads(request.body)
    assert isinstance(found, list)
    return found


def test_all_that_is_posted_of_an_alert() -> None:
    """Labels without what is unknown; it ends when nothing more comes."""
    (found,) = posted(raised())
    description = found["annotations"].pop("description")
    assert found == {
        "labels": {
            "alertname": "mismatch_drift",
            "severity": "critical",
            "monitor": "by country",
            "model": "churn",
            "version": "7",
            "check": "adwin",
            "episode": RAISED_ID,
            "segment_country": "NO",
        },
        "annotations": {
            "summary": "CRITICAL raised: mismatch_drift, by country (country=NO, plan=(none)), 2.26% -> 34.38%",
            "id": RAISED_ID,
            "explain": f"streamguard explain {RAISED_ID} CONFIG",
        },
        "startsAt": "2026-01-05T15:21:22.075Z",
        "endsAt": "2026-01-05T17:16:31.042Z",
    }
    assert description.splitlines()[5:9] == [
        "Since: 2026-01-05 15:21:22 UTC",
        "Noticed: 2026-01-05 16:16:31 UTC",
        "Level: 2.26% (of 576, 95% interval 0.64% to 5.43%) -> 34.38% (of 32, 95% interval 13.34% to 60.88%)",
        "Look first: 54% of it: predicted 'yes', labelled 'no' (1.4% -> 20.0% of the outcomes)",
    ]


def test_an_episode_keeps_its_labels_to_its_end() -> None:
    """They are how Alertmanager knows it."""
    first, second, last = posted(raised(), updated(), resolved())
    assert first["labels"] == second["labels"] == last["labels"]
    assert (second["startsAt"], second["endsAt"]) == ("2026-01-05T15:21:22.075Z", "2026-01-05T18:31:00.500Z")
    assert (last["startsAt"], last["endsAt"]) == ("2026-01-05T18:00:00.000Z", "2026-01-05T18:38:31.042Z")


def test_without_an_onset_it_starts_with_its_event() -> None:
    """And never after its end, which would be refused."""
    starts = [each["startsAt"] for each in posted(silent(), resolved(onset="2026-01-05T23:00:00Z"))]
    assert starts == ["2026-01-05T16:16:31.042Z", "2026-01-05T18:38:31.042Z"]


@pytest.mark.parametrize("notice", [improved(), raised(kind="segments_full")])
@pytest.mark.parametrize(("lasts_ms", "ends"), [(86_400_000, "17:16:31.042"), (60_000, "16:17:31.042")])
def test_a_notice_ends_by_itself(notice: Alert, lasts_ms: int, ends: str) -> None:
    """Within the hour, since nothing will resolve it; what may be resolved lasts as long as it is set to."""
    with Server(reply(200)) as server:
        sink_at(server.url, lasts_ms).deliver([notice, silent()])
    told, other = orjson.loads(server.requests[0].body)
    assert told["endsAt"] == f"2026-01-05T{ends}Z"
    assert other["endsAt"] == ("2026-01-06T16:16:31.042Z" if lasts_ms == 86_400_000 else f"2026-01-05T{ends}Z")


def test_time_has_an_end() -> None:
    """Also for an alert of the last day that there is."""
    (found,) = posted(raised(event_time="9999-12-31T23:59:59.000Z"))
    assert found["endsAt"] == "9999-12-31T23:59:59.999Z"


@pytest.mark.parametrize("text", [HOSTILE, LONG])
def test_names_of_labels_are_legal(text: str) -> None:
    """Whatever fields are called; two that look the same then are still two."""
    segment = {text: text, "user.id": "1", "user-id": "2", "user_id": "3", "empty": ""}
    (found,) = posted(hostile(text, segment=segment))
    names = [each for each in found["labels"] if each.startswith("segment_")]
    assert len(names) == 4
    assert {found["labels"][each] for each in names if "user" in each} == {"1", "2", "3"}
    assert all(each.replace("_", "").isalnum() and each.isascii() for each in names)
    assert all(len(value) <= 500 and value.isprintable() for value in found["labels"].values())
    assert len(orjson.dumps(found)) < 50_000


@pytest.mark.parametrize("root", ["", "/", "/alertmanager", "/alertmanager/"])
def test_the_root_may_have_a_path(root: str) -> None:
    """With or without a slash at its end."""
    with Server(reply(200)) as server:
        sink_at(f"{server.url}{root}").deliver([improved()])
    assert server.requests[0].target == f"{root.rstrip('/')}/api/v2/alerts"


def test_refusals() -> None:
    """400 is for good, 500 for now."""
    with Server(reply(400, b'"start time must be before end time"'), reply(500)) as server:
        with pytest.raises(PermanentError, match="start time must be before end time"):
            sink_at(server.url).deliver([raised()])
        with pytest.raises(TemporaryError, match=r"answered 500$"):
            sink_at(server.url).deliver([raised()])
