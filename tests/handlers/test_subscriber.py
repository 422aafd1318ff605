"""Functions that are told of alerts: which, how often, in which order, and what becomes of those that fail."""

import threading
import time
from pathlib import Path

import pytest

from streamguard.errors import ConfigError, LogError
from streamguard.handlers.alert import Alert
from streamguard.handlers.functions import AlertHandler, on_alert, registered
from streamguard.handlers.sink import PermanentError
from streamguard.handlers.subscriber import Subscriber
from streamguard.logs.embedded import EmbeddedLog
from tests.handlers.helpers import RETRY, Place, made, subscribed


def listing(told: list[str], **settings: object) -> AlertHandler:
    """A handler that notes the IDs' last letters."""

    @on_alert(name="listing", start="earliest", retry=RETRY, **settings)  # type: ignore[arg-type]
    def listing(alert: Alert) -> None:
        told.append(alert.id[-1])

    return listing


def test_what_matches_is_told_once(place: Place) -> None:
    """Of each field any of the values; and after a restart nothing again."""
    told: list[str] = []
    handler = listing(told, severity="critical", status=["raised", "resolved"])
    place.publish(
        made(1),
        made(2, severity="info"),
        made(3, status="updated"),
        made(4, status="resolved"),
        made(5, kind="no_data"),
    )
    with subscribed(place, [handler]) as wait:
        wait(lambda: len(told) >= 3)
    assert sorted(told) == ["1", "4", "5"]
    place.publish(made(6))
    with subscribed(place, [handler]) as wait:
        wait(lambda: len(told) >= 4)
    assert sorted(told) == ["1", "4", "5", "6"]


def test_a_new_handler_begins_with_what_is_to_come(place: Place) -> None:
    """Unless it asks for all; and what comes while it is away it is told of, too."""
    told: list[str] = []

    @on_alert(retry=RETRY)
    def newcomer(alert: Alert) -> None:
        told.append(alert.id[-1])

    place.publish(made(1))
    with subscribed(place, [newcomer]) as wait:
        log = EmbeddedLog(place.path)
        wait(lambda: _has_begun(place))
        log.close()
    place.publish(made(2))
    with subscribed(place, [newcomer]) as wait:
        wait(lambda: bool(told))
    assert told == ["2"]


def _has_begun(place: Place) -> bool:
    import sqlite3  # noqa: PLC0415 - for this alone

    with sqlite3.connect(place.path) as connection:
        found = connection.execute("SELECT count(*) FROM group_offsets WHERE group_name LIKE '%newcomer'").fetchone()
    return bool(found[0])


def test_an_async_function_is_awaited(place: Place) -> None:
    """And tried again when it raises."""
    told: list[str] = []
    tries: list[str] = []

    @on_alert(start="earliest", retry=RETRY)
    async def later(alert: Alert) -> None:
        tries.append(alert.id)
        if len(tries) < 3:
            raise ValueError("not yet")
        told.append(alert.title)

    place.publish(made(1))
    with subscribed(place, [later]) as wait:
        wait(lambda: bool(told))
    assert told == ["mismatch_drift raised: fraud (version=7), 0.006 -> 0.051"]
    assert len(tries) == 3


def test_what_cannot_be_delivered_is_a_dead_letter(place: Place) -> None:
    """With the reason, after the last try, or at once where it says that trying is of no use."""
    refused: list[str] = []

    @on_alert(name="raises", start="earliest", retry=RETRY, kind="mismatch_drift")
    def raises(_: Alert) -> None:
        raise ValueError("no")

    @on_alert(name="refuses", start="earliest", retry=RETRY, kind="no_data")
    def refuses(alert: Alert) -> None:
        refused.append(alert.id)
        raise PermanentError("never")

    place.publish(made(1), made(2, kind="no_data"))
    with subscribed(place, [raises, refuses]) as wait:
        wait(lambda: len(place.dead()) == 2)
    assert len(refused) == 1
    (first, why), (second, never) = sorted(place.dead())
    assert (first[-1], second[-1]) == ("1", "2")
    assert why.startswith("after ")
    assert why.endswith("tries: raised ValueError: no")
    assert never == "after 1 tries: never"


def test_one_that_hangs_or_fails_holds_up_no_other(place: Place) -> None:
    """Nor does it hold up the end."""
    told: list[str] = []
    done = threading.Event()

    @on_alert(start="earliest", timeout="100ms", retry=RETRY)
    def hangs(_: Alert) -> None:
        done.wait(60)

    place.publish(*(made(number) for number in range(5)))
    began_s = time.monotonic()
    with subscribed(place, [hangs, listing(told)]) as wait:
        wait(lambda: len(told) == 5)
        assert time.monotonic() - began_s < 5
        wait(lambda: len(place.dead()) == 5)
    done.set()
    assert {why.partition(": ")[2] for _, why in place.dead()} == {"did not come back within 0.1 s"}


def test_alerts_of_an_episode_are_told_in_order(place: Place) -> None:
    """Though the first is slow, and others overtake it."""
    told: list[str] = []

    @on_alert(start="earliest", concurrency=4)
    def slow(alert: Alert) -> None:
        if alert.id.endswith("1"):
            time.sleep(0.3)
        told.append(alert.id[-1])

    place.publish(made(1, episode="a"), made(2, episode="a"), made(3, episode="b"), made(4, episode="a"))
    with subscribed(place, [slow]) as wait:
        wait(lambda: len(told) == 4)
    assert told == ["3", "1", "2", "4"]


def test_a_silence_keeps_alerts_back(tmp_path: Path) -> None:
    """Those of its event time that it means, and no others."""
    silence = {
        "from": "2026-01-06T16:00:00Z",
        "to": "2026-01-06T17:00:00Z",
        "match": {"monitor": ["fraud"]},
        "reason": "maintenance",
    }
    place = Place(tmp_path, silences=[silence])
    told: list[str] = []
    later = "2026-01-06T17:00:00.000Z"
    place.publish(made(1), made(2, monitor="other"), made(3, event_time=later))
    with subscribed(place, [listing(told)]) as wait:
        wait(lambda: len(told) == 2)
    place.log.close()
    assert sorted(told) == ["2", "3"]


def test_a_rate_makes_deliveries_wait(place: Place) -> None:
    """And loses none."""
    times_s: list[float] = []

    @on_alert(start="earliest", rate={"most": 2, "per": "200ms"}, concurrency=8)
    def limited(_: Alert) -> None:
        times_s.append(time.monotonic())

    place.publish(*(made(number) for number in range(7)))
    with subscribed(place, [limited]) as wait:
        wait(lambda: len(times_s) == 7)
    times_s.sort()
    assert all(later - earlier >= 0.19 for earlier, later in zip(times_s, times_s[2:], strict=False))


def test_what_is_no_alert_is_passed_over(place: Place) -> None:
    """And says so; the next is told."""
    told: list[str] = []
    place.publish({"episode": "x", "id": "y"}, made(1))
    with subscribed(place, [listing(told)]) as wait:
        wait(lambda: bool(told))
    assert told == ["1"]


def test_a_topic_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """With who would make it."""
    place = Place(tmp_path, alerts={"topic": "others"})
    place.log.close()
    with pytest.raises(LogError, match="no topic 'others' yet: a worker creates it"):
        Subscriber(place.config, [listing([])]).run()


def test_handlers_need_names_of_their_own(tmp_path: Path) -> None:
    """Two of one name would share what they have been told; none at all is a mistake."""
    place = Place(tmp_path)
    place.log.close()
    with pytest.raises(ConfigError, match="two handlers are named 'listing'"):
        Subscriber(place.config, [listing([]), listing([])])
    with pytest.raises(ConfigError, match="there is no handler"):
        Subscriber(place.config, [])
    with pytest.raises(ConfigError, match="on_alert, handler 'listing'"):
        listing([], no_such_setting=1)


def test_decorated_functions_are_known(place: Place) -> None:
    """So that a module that is imported is enough; and they can be called as ever."""
    told: list[str] = []
    handler = listing(told)
    assert registered()[-1] is handler
    from streamguard.handlers.alert import read_alert  # noqa: PLC0415 - for this alone

    place.publish(made(1))
    (batch,) = place.log.read("alerts")
    handler(read_alert(batch.values[0]))
    assert told == ["1"]
