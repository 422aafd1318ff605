"""Episodes: when people hear of trouble, and when not again."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from streamguard.core.alerts import Alert, Episode, Status, rate_of, rfc3339, signal
from streamguard.core.detectors import Direction
from streamguard.core.history import Mean
from streamguard.core.records import Stream

BETTER, WORSE = Direction.BETTER, Direction.WORSE
COOLDOWN_MS = 100


def heard(*signals: tuple[int, bool, Direction]) -> list[Status | None]:
    """What people hear of a check's signals: (time, alarm or not, direction)."""
    return [status for status, _ in story(*signals)]


def story(*signals: tuple[int, bool, Direction]) -> list[tuple[Status | None, Episode]]:
    """What is heard, and the episode after it."""
    episode, found = Episode(), []
    for at, is_alarm, direction in signals:
        status = signal(episode, is_alarm=is_alarm, direction=direction, time_ms=at, cooldown_ms=COOLDOWN_MS)
        is_notice = status is Status.RAISED and direction is BETTER
        if status is Status.RAISED:
            episode.id = None if is_notice else f"raised at {at}"
        elif status is Status.RESOLVED:
            episode.id = None
        found.append((status, replace(episode)))
    return found


def test_an_episode_is_raised_and_resolved() -> None:
    """One shift of the level is one episode."""
    assert heard((0, True, WORSE), (50, False, BETTER)) == [Status.RAISED, Status.RESOLVED]


def test_the_same_trouble_again_is_absorbed_until_the_cooldown_is_over() -> None:
    """Signals while it is open are counted; after the cooldown, and again after that, there is an update."""
    signals = [(at, True, WORSE) for at in (0, 50, 99, 100, 199, 200)]
    assert heard(*signals) == [Status.RAISED, None, None, Status.UPDATED, None, Status.UPDATED]
    assert [episode.absorbed for _, episode in story(*signals[:3])] == [0, 1, 2]


def test_new_trouble_soon_after_the_old_is_muted() -> None:
    """A level that flaps is told once; when the cooldown since the end is over it is new trouble."""
    found = story((0, True, WORSE), (50, False, BETTER), (149, True, WORSE))
    assert (found[-1][0], found[-1][1].muted) == (None, True)
    assert heard((0, True, WORSE), (50, False, BETTER), (150, True, WORSE))[-1] is Status.RAISED


def test_muted_trouble_that_ends_is_never_heard_of() -> None:
    """It was over before the cooldown was, so there is nothing to resolve."""
    found = story((0, True, WORSE), (50, False, BETTER), (60, True, WORSE), (70, False, BETTER))
    assert found[-1][0] is None
    assert not found[-1][1].muted
    assert found[-1][1].closed_ms == 50


def test_muted_trouble_is_raised_when_it_lasts() -> None:
    """A signal after the cooldown, with the trouble still there."""
    found = story((0, True, WORSE), (50, False, BETTER), (60, True, WORSE), (150, True, WORSE))
    assert found[-1][0] is Status.RAISED
    assert (found[-1][1].muted, found[-1][1].raised_ms) == (False, 150)


def test_a_detector_that_sees_an_improvement_ends_the_episode() -> None:
    """The level fell back."""
    assert heard((0, True, WORSE), (50, True, BETTER)) == [Status.RAISED, Status.RESOLVED]


def test_an_improvement_without_an_episode_is_a_notice() -> None:
    """It is told, opens nothing, and mutes nothing; the next change is looked for after it."""
    found = story((10, True, BETTER), (11, True, WORSE))
    assert [status for status, _ in found] == [Status.RAISED, Status.RAISED]
    assert (found[0][1].id, found[0][1].since_ms) == (None, 10)


def test_an_improvement_ends_muted_trouble() -> None:
    """Nothing was said, so nothing is."""
    found = story((0, True, WORSE), (50, False, BETTER), (60, True, WORSE), (70, True, BETTER))
    assert (found[-1][0], found[-1][1].muted) == (None, False)


def test_an_unknown_direction_is_an_alarm() -> None:
    """A change that may be for the worse is told."""
    assert heard((0, True, Direction.UNKNOWN)) == [Status.RAISED]


def alert(**changes: Any) -> Alert:
    """An alert with little in it."""
    given: dict[str, Any] = {
        "status": Status.RAISED,
        "kind": "mismatch_drift",
        "severity": "critical",
        "monitor": "fraud",
        "segment": {"version": "7", "country": "DE"},
        "model": "fraud",
        "version": "7",
        "check": {"type": "threshold", "window": 4},
        "event_time_ms": 5,
        "trigger": (5, 0, 1, 2),
        "direction": WORSE,
        "episode": "e",
        **changes,
    }
    return Alert(**given)


def test_an_id_is_a_function_of_the_content() -> None:
    """Equal for the same trouble, whatever the evidence or the order of names; different for any other."""
    assert alert().id == alert(examples=["r1"], severity="info", segment={"country": "DE", "version": "7"}).id
    others: list[dict[str, Any]] = [
        {"status": Status.RESOLVED},
        {"kind": "loss_drift"},
        {"monitor": "spam"},
        {"segment": {"version": "8", "country": "DE"}},
        {"check": {"type": "threshold", "window": 5}},
        {"trigger": (5, 0, 1, 3)},
    ]
    assert len({alert().id, *(alert(**changes).id for changes in others)}) == 7
    assert len(alert().id) == 32


def test_an_id_never_changes_from_one_release_to_the_next() -> None:
    """Handlers that have seen an alert know it again after an upgrade."""
    assert alert().id == "75b4f43d70ff8215289afcb3b8063942"


def test_an_alert_is_a_cloud_event_keyed_by_its_episode() -> None:
    """Binary mode: the attributes are headers, the data is the value; an episode stays on one partition."""
    output = alert(status=Status.RESOLVED, duration_ms=1500).output("streamguard/g")
    assert (output.stream, output.key, output.partition) == (Stream.ALERTS, b"e", None)
    data = orjson.loads(output.value or b"")
    assert dict(output.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": data["id"].encode(),
        "ce_source": b"streamguard/g",
        "ce_type": b"streamguard.alert.resolved",
        "ce_time": b"1970-01-01T00:00:00.005Z",
        "content-type": b"application/json",
    }
    assert data["duration_s"] == 1.5


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_769_903_999_999, "2026-01-31T23:59:59.999Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_rfc_3339_with_milliseconds(time_ms: int, text: str) -> None:
    """In UTC, of one length, so that they sort as text."""
    assert rfc3339(time_ms) == text


def test_a_level_is_a_rate_with_its_uncertainty() -> None:
    """Of no losses there is none; a loss that is no share has no interval."""
    assert rate_of(Mean(), None) is None
    assert rate_of(Mean(3, 1.0), (0.1234567, 1.0)) == {"rate": 0.333333, "interval": [0.123457, 1.0], "count": 3}
    assert rate_of(Mean(2, 1.0), None) == {"rate": 0.5, "interval": None, "count": 2}
