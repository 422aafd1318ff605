"""Alerts told together, and deliveries that wait for others, on a log: nothing is lost, repeated or out of order."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from streamguard.config.delivering import HandlerBase
from streamguard.handlers.alert import Alert
from streamguard.handlers.sink import PermanentError, TemporaryError
from streamguard.handlers.subscriber import Handlers
from tests.handlers.helpers import PATIENCE_S, RETRY, Place, made


class Noting:
    """A sink that notes what it is given, together and when; `failing` says how it fails, the first time first."""

    def __init__(self, *failing: Exception | None) -> None:
        self.told: list[list[str]] = []
        self.times_s: list[float] = []
        self.tries = 0
        self._failing = list(failing)

    def deliver(self, alerts: Sequence[Alert]) -> None:
        """Note them, or fail."""
        self.tries += 1
        failure = self._failing.pop(0) if self._failing else None
        if failure is not None:
            raise failure
        self.told.append([each.id for each in alerts])
        self.times_s.append(time.monotonic())

    def close(self) -> None:
        """Nothing is held."""

    @property
    def ids(self) -> list[str]:
        """All, in order."""
        return [each for group in self.told for each in group]


class Running:
    """A handler over a place, until it is ended."""

    def __init__(self, place: Place, sink: Noting, **settings: Any) -> None:
        own = HandlerBase.model_validate({"name": "it", "start": "earliest", "retry": RETRY, **settings})
        self._handlers = Handlers(place.config, [(own, sink)], None)
        self._thread = threading.Thread(target=self._handlers.run)
        self._thread.start()

    def end(self) -> None:
        """After the tries under way."""
        self._handlers.stop()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


def until(condition: Any) -> None:
    """Wait for it."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "nothing came of it"
        time.sleep(0.01)


def ids(numbers: range) -> list[str]:
    """Of alerts that are made."""
    return [made(number)["id"] for number in numbers]


def test_what_comes_together_is_told_together(place: Place) -> None:
    """As many as may be at once, at once; the rest when the wait is over, and nothing again after a restart."""
    sink = Noting()
    place.publish(*(made(number) for number in range(5)))
    begun_s = time.monotonic()
    running = Running(place, sink, group={"wait": 600, "most": 2})
    until(lambda: len(sink.ids) == 5)
    running.end()
    assert sink.ids == ids(range(5))
    assert [len(each) for each in sink.told] == [2, 2, 1]
    assert sink.times_s[2] - begun_s >= 0.6
    place.publish(made(5))
    running = Running(place, sink, group={"wait": 10, "most": 2})
    until(lambda: len(sink.ids) == 6)
    running.end()
    assert sink.ids == ids(range(6))


def test_a_group_keeps_an_episode_in_order(place: Place) -> None:
    """It may hold several alerts of one, as none of them is under way by itself."""
    alerts = [made(number, episode="ab"[number % 2]) for number in range(6)]
    sink = Noting()
    place.publish(*alerts)
    running = Running(place, sink, group={"wait": 50}, concurrency=4)
    until(lambda: len(sink.ids) == 6)
    running.end()
    assert sink.told == [ids(range(6))]


def test_a_group_that_fails_is_tried_again_as_a_whole(place: Place) -> None:
    """And what comes meanwhile waits for its turn."""
    sink = Noting(TemporaryError("busy", after_s=0.2), None)
    place.publish(made(0), made(1))
    running = Running(place, sink, group={"wait": 50})
    until(lambda: sink.tries == 1)
    place.publish(made(2))
    until(lambda: len(sink.ids) == 3)
    running.end()
    assert sink.told == [ids(range(2)), ids(range(2, 3))]


def test_all_of_a_group_that_is_refused_are_dead_letters(place: Place) -> None:
    """Each by itself, so that each can be looked at; the next group is told."""
    sink = Noting(PermanentError("no such hook"), None)
    place.publish(*(made(number) for number in range(3)))
    running = Running(place, sink, group={"wait": 50, "most": 3})
    until(lambda: len(place.dead()) == 3)
    place.publish(made(3))
    until(lambda: sink.ids)
    running.end()
    assert place.dead() == [(each, "after 1 tries: no such hook") for each in ids(range(3))]
    assert sink.told == [ids(range(3, 4))]


def test_a_group_that_waits_is_told_after_a_restart(place: Place) -> None:
    """Nothing of it was settled."""
    sink = Noting()
    place.publish(made(0), made(1))
    running = Running(place, sink, group={"wait": 60_000})
    time.sleep(0.3)
    running.end()
    assert sink.tries == 0
    running = Running(place, sink, group={"wait": 10})
    until(lambda: len(sink.ids) == 2)
    running.end()
    assert sink.told == [ids(range(2))]


def test_a_rate_is_of_groups_not_of_alerts(place: Place) -> None:
    """So grouping is how a rate is kept to; what waits for the rate is told in order, none twice."""
    sink = Noting()
    place.publish(*(made(number) for number in range(12)))
    running = Running(place, sink, group={"wait": 10, "most": 3}, rate={"most": 1, "per": 200})
    until(lambda: len(sink.ids) == 12)
    running.end()
    assert sink.ids == ids(range(12))
    assert len(sink.told) == 4
    gaps_s = [later - earlier for earlier, later in zip(sink.times_s, sink.times_s[1:], strict=False)]
    assert all(gap_s >= 0.19 for gap_s in gaps_s)


def test_tries_count_for_the_rate(place: Place) -> None:
    """Or a side that is busy would be asked more often than one that is not."""
    sink = Noting(TemporaryError("busy"), TemporaryError("busy"), None)
    place.publish(made(0))
    begun_s = time.monotonic()
    settings = {"rate": {"most": 1, "per": 200}, "retry": {"first": 10, "most": 20, "deadline": 60_000}}
    running = Running(place, sink, **settings)
    until(lambda: sink.ids)
    running.end()
    assert sink.tries == 3
    assert sink.times_s[0] - begun_s >= 0.39


def test_what_waits_for_a_rate_is_left_at_the_end(place: Place) -> None:
    """And told after a restart: a rate loses nothing, and holds up no end."""
    sink = Noting()
    place.publish(*(made(number) for number in range(4)))
    running = Running(place, sink, rate={"most": 1, "per": 3_600_000}, concurrency=4)
    until(lambda: sink.ids)
    begun_s = time.monotonic()
    running.end()
    assert time.monotonic() - begun_s < 5
    running = Running(place, sink)
    until(lambda: len(sink.ids) == 4)
    running.end()
    assert Counter(sink.ids) == Counter(ids(range(4)))
