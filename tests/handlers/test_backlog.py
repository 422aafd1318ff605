"""More alerts than can be held or noted at once: nothing is lost, repeated, out of order or waited for in vain."""

import threading
import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from streamguard.handlers.alert import Alert
from streamguard.handlers.delivery import Deliveries
from streamguard.handlers.functions import AlertHandler, on_alert
from tests.handlers.helpers import Place, made, subscribed

HELD_MAX = 20


class Receiver:
    """It takes no alert of the episode `stuck` while it is away, and notes what it has taken."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.away = threading.Event()
        self.tries = 0

    def handler(self, deadline: str, **settings: Any) -> AlertHandler:
        """It is told of what is critical."""
        retry = {"first": "10ms", "most": "20ms", "deadline": deadline}
        wrap = on_alert(name="it", start="earliest", severity="critical", retry=retry, **settings)
        return wrap(self._take)

    def _take(self, alert: Alert) -> None:
        if alert.episode == "stuck":
            self.tries += 1
            if self.away.is_set():
                raise OSError("away")
        self.told.append(alert.id)


def ids(alerts: list[dict[str, Any]]) -> list[str]:
    """Of those that are wanted."""
    return [each["id"] for each in alerts if each["severity"] == "critical"]


def woven(count: int) -> list[dict[str, Any]]:
    """One episode's alerts, and another after each of them that is not wanted."""
    return [made(each, **({"severity": "info"} if each % 2 else {"episode": "stuck"})) for each in range(2 * count)]


def test_one_that_is_stuck_does_not_make_the_commit_outgrow_its_room(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes behind it waits on the topic, is told in order once it may be, and not again after a restart."""
    # Of about 25 gaps.
    monkeypatch.setattr("streamguard.handlers.delivery._BEYOND_BYTES_MAX", 100)
    receiver = Receiver()
    receiver.away.set()
    alerts = woven(80)
    place.publish(*alerts)
    handler = receiver.handler("1h")
    with capture_logs() as lines:
        with subscribed(place, [handler]) as wait:
            wait(lambda: receiver.tries > 20)
        with subscribed(place, [handler]) as wait:
            receiver.away.clear()
            wait(lambda: len(receiver.told) > 40)
        with subscribed(place, [handler]) as wait:
            wait(lambda: len(receiver.told) >= 80)
            time.sleep(0.2)
    assert receiver.told == ids(alerts)
    assert [each for each in lines if each["event"] == "session_lost"] == []


def test_a_deadline_is_kept_though_nothing_more_can_be_noted(place: Place) -> None:
    """The first alert ends as a dead letter, and the others go on."""
    receiver = Receiver()
    receiver.away.set()
    alerts = [made(0, episode="stuck"), *woven(500)[1:], made(5000)]
    alerts[2:-1] = [each | {"episode": f"e{number // 3}"} for number, each in enumerate(alerts[2:-1])]
    place.publish(*alerts)
    with subscribed(place, [receiver.handler("500ms", concurrency=8)]) as wait:
        wait(lambda: len(receiver.told) == 500)
        wait(lambda: bool(place.dead()))
    assert [dead for dead, _ in place.dead()] == [alerts[0]["id"]]
    assert sorted(receiver.told) == sorted(ids(alerts[1:]))


def test_those_behind_one_that_is_stuck_are_told(place: Place) -> None:
    """However many there are: what is settled without a gap needs no room."""
    receiver = Receiver()
    receiver.away.set()
    alerts = [made(0, episode="stuck"), *(made(each) for each in range(1, 600))]
    place.publish(*alerts)
    handler = receiver.handler("1h", concurrency=8)
    with subscribed(place, [handler]) as wait:
        wait(lambda: len(receiver.told) == 599)
    receiver.away.clear()
    with subscribed(place, [handler]) as wait:
        wait(lambda: len(receiver.told) == 600)
    assert sorted(receiver.told) == ids(alerts)


def test_no_more_is_held_than_may_be(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of a batch is read again, and told in order."""
    held: list[int] = []
    add = Deliveries.add

    def noted(self: Deliveries, *args: Any, **options: Any) -> bool:
        held.append(len(self.waiting))
        return add(self, *args, **options)

    monkeypatch.setattr(Deliveries, "add", noted)
    monkeypatch.setattr("streamguard.handlers.delivery._WAITING_MAX", HELD_MAX)
    receiver = Receiver()
    alerts = [made(each, episode="stuck") for each in range(60)]
    place.publish(*alerts)
    with subscribed(place, [receiver.handler("1h")]) as wait:
        wait(lambda: len(receiver.told) == 60)
    assert receiver.told == ids(alerts)
    assert max(held) == HELD_MAX - 1
