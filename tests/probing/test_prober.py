"""When targets are called, and that no more is called at the same time than may be."""

import threading
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.probing import Prober, Schedule
from tests.handlers.helpers import running
from tests.handlers.samples import Peer, Server, reply
from tests.probing.helpers import target

EVERY = st.dictionaries(st.text(max_size=5), st.integers(1, 10_000), max_size=5)


@given(EVERY, st.integers(-(10**12), 10**12), st.lists(st.integers(0, 50_000), max_size=30))
def test_a_target_is_due_once_in_an_interval(every_ms: dict[str, int], start_ms: int, waits: list[int]) -> None:
    """Whenever it is asked: never twice for one moment, and never for one that is long past."""
    schedule, now_ms = Schedule(every_ms, start_ms), start_ms
    told: dict[str, list[int]] = {name: [] for name in every_ms}
    for wait in waits:
        now_ms += wait
        due = schedule.due(now_ms)
        assert len(due) == len(set(due))
        for name in due:
            told[name].append(now_ms)
        next_ms = schedule.next_ms
        assert next_ms is None or now_ms < next_ms <= now_ms + max(every_ms.values())
    for name, times in told.items():
        every = every_ms[name]
        late = [(at - moment(name, every)) % every for at in times]
        assert all(each <= min(every // 2, 5000) for each in late)
        moments = [at - each for at, each in zip(times, late, strict=True)]
        assert all(after - before >= every for before, after in pairwise(moments))


def moment(name: str, every_ms: int) -> int:
    """The first that there ever is."""
    return next(iter([Schedule({name: every_ms}, 0).next_ms])) or 0


def test_whoever_asks_when_it_is_due_misses_nothing() -> None:
    """Asked at `next_ms` each time, every moment is told, and all runs of a schedule have the same."""
    every_ms = {"a": 1000, "b": 1500, "c": 60_000}
    runs = []
    for start_ms in (0, 7):
        schedule, told = Schedule(every_ms, start_ms), []
        while (now_ms := schedule.next_ms or 0) < 180_000:
            told += [(now_ms, name) for name in schedule.due(now_ms)]
        runs.append(told)
    assert runs[0] == runs[1]
    assert {name: sum(1 for _, each in runs[0] if each == name) for name in every_ms} == {"a": 180, "b": 120, "c": 3}


def test_nothing_is_made_up_for_after_a_pause() -> None:
    """Hundreds of targets are as spread as before."""
    every_ms = {f"t{number}": 60_000 for number in range(600)}
    schedule = Schedule(every_ms, 0)
    schedule.due(0)
    assert len(schedule.due(10_000_000)) < 80
    assert len(schedule.due(10_000_500)) < 20


def test_no_target_is_nothing_to_do() -> None:
    """And nothing is due."""
    assert Schedule({}, 0).next_ms is None


class Together:
    """Answers late, and counts who waits at the same time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = 0

    def __call__(self, peer: Peer) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        peer.stopping.wait(0.05)
        with self.lock:
            self.now -= 1
        peer.send(reply(200))


def test_calls_go_on_until_stopped() -> None:
    """Results come one after the other, on one thread; no more calls are under way than may be."""
    together, found, threads = Together(), list[dict[str, Any]](), set[int]()

    def tell(result: dict[str, Any]) -> None:
        found.append(result)
        threads.add(threading.get_ident())

    with Server(together) as server:
        targets = [target(server.url, name=f"t{number}", every="1s", timeout="1s") for number in range(12)]
        prober = Prober(targets, concurrency=3)

        class Runs:
            def run(self) -> None:
                prober.run(tell)

            def stop(self) -> None:
                prober.stop()

        with running(Runs()) as wait:
            wait(lambda: len(found) >= 30)
    names = [each["target"] for each in found]
    assert {names.count(f"t{number}") for number in range(12)} <= {2, 3, 4}
    assert len(threads) == 1
    assert 1 <= together.most <= 3


def test_a_slow_target_holds_up_no_other() -> None:
    """And is not called again while it is called."""
    found: list[dict[str, Any]] = []

    def silent(peer: Peer) -> None:
        peer.stopping.wait(10)

    with Server(silent) as slow, Server(reply(200)) as quick:
        targets = [
            target(slow.url, name="slow", every="3s", timeout="3s"),
            target(quick.url, name="quick", every="1s", timeout="1s"),
        ]
        prober = Prober(targets, concurrency=2)
        thread = threading.Thread(target=prober.run, args=(found.append,))
        thread.start()
        deadline_s = time.monotonic() + 20
        while len([each for each in found if each["target"] == "quick"]) < 4 and time.monotonic() < deadline_s:
            time.sleep(0.02)
        prober.stop()
        thread.join(10)
        assert not thread.is_alive()
        assert slow.connections <= 2
    assert len([each for each in found if each["target"] == "quick"]) >= 4


def test_what_cannot_be_told_ends_it() -> None:
    """Whoever takes results decides what may fail."""

    def tell(_: dict[str, Any]) -> None:
        raise RuntimeError("no more")

    with Server(reply(200)) as server:
        prober = Prober([target(server.url, every="1s", timeout="1s")])
        with pytest.raises(RuntimeError, match="no more"):
            prober.run(tell)


def test_all_are_called_once() -> None:
    """In the order of the configuration."""
    with Server(reply(200)) as server:
        results = Prober([target(server.url, name=f"t{number}") for number in range(20)]).once()
    assert [each["target"] for each in results] == [f"t{number}" for number in range(20)]
