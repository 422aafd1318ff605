"""Retrainings: at most one an episode and in so long, told on the alerts topic, whatever is killed."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.config import parse
from streamguard.config.handlers import RetrainHandler
from streamguard.core.alerts import Alert as Told
from streamguard.core.fields import parse_time_ms
from streamguard.errors import ConfigError, UnusableError
from streamguard.handlers.alert import Alert, read_alert
from streamguard.handlers.retraining import Retrainings
from streamguard.handlers.sinks.retrain import RetrainSink
from streamguard.handlers.subscriber import Handlers
from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.interface import TopicInfo
from tests.handlers.helpers import RETRY, Place, made, running
from tests.handlers.samples import Server, reply

HOUR_MS = 3_600_000
RUNS = map(str, count())
START_MS = 1_767_571_200_000


def handler(*command: str, **settings: Any) -> RetrainHandler:
    """Named `again`; by default with a program that does nothing."""
    given = {"name": "again", "type": "retrain", "start": "earliest", "retry": RETRY, **settings}
    if "url" not in given:
        given["command"] = command or ("true",)
    return RetrainHandler(**given)


def draw() -> str:
    """Names runs."""
    return next(RUNS)


def alert(number: int, **fields: Any) -> Alert:
    """As read from the topic."""
    return read_alert(orjson.dumps(made(number, **fields)))


def states(told: list[Told]) -> list[str]:
    """Of what is to be told."""
    return [(each.retraining or {})["state"] for each in told]


# What is decided.


def test_only_drift_for_the_worse_starts_a_run() -> None:
    """Unless other kinds are named; never what a run itself has told."""
    runs = Retrainings(handler(), draw)
    assert runs.wants(alert(1))
    assert runs.wants(alert(1, status="updated", kind="loss_drift"))
    for fields in ({"status": "resolved"}, {"direction": "better"}, {"kind": "no_data"}, {"kind": "retraining"}):
        assert not runs.wants(alert(1, **fields)), fields
    named = Retrainings(handler(match={"kind": ["label_starvation", "retraining"]}), draw)
    assert named.wants(alert(1, kind="label_starvation"))
    assert not named.wants(alert(1))
    assert not named.wants(alert(1, kind="retraining"))


def test_an_episode_that_came_too_soon_has_its_run_at_a_later_update() -> None:
    """What is skipped is told, with the reason."""
    runs = Retrainings(handler(min_interval="2h"), draw)
    told, may_begin = runs.begin(alert(1), START_MS)
    assert (states(told), may_begin) == (["started"], True)
    runs.published(told)
    runs.end("e1", START_MS + 1000, None)
    runs.published(runs.unpublished())
    told, may_begin = runs.begin(alert(2), START_MS + HOUR_MS)
    assert (states(told), may_begin) == (["skipped"], False)
    assert told[0].look_first == [
        "retraining by handler 'again' is skipped: the last one began 2026-01-05T00:00:00.000Z, and min_interval is 2h"
    ]
    assert runs.begin(alert(3, episode="e1", status="updated"), START_MS + 5 * HOUR_MS) == ([], False)
    told, may_begin = runs.begin(alert(4, episode="e2", status="updated"), START_MS + 2 * HOUR_MS)
    assert (states(told), may_begin) == (["started"], True)


EVENTS = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(["lost", "doubted", "kept", "crash", "crash running"])), max_size=30
)


@given(EVENTS)
def test_whatever_is_lost_no_episode_has_two_runs_and_two_are_apart(events: list[tuple[int, str]]) -> None:
    """Processes end before and after a commit, and in the midst of a run; alerts come again and again."""
    topic: list[bytes] = []
    begun: list[tuple[str, int]] = []
    runs = Retrainings(handler(min_interval="3h"), draw)

    def commit(told: list[Told]) -> None:
        topic.extend(each.data() for each in told)
        runs.published(told)

    for hour, (episode, fate) in enumerate(events):
        now_ms = START_MS + hour * HOUR_MS
        told, may_begin = runs.begin(alert(episode, status="updated" if hour else "raised"), now_ms)
        if may_begin and told and fate in {"lost", "doubted"}:
            # The commit failed, or nobody knows: the session begins anew, in the same process, with the same alert.
            topic += [each.data() for each in told if fate == "doubted"]
            runs.restore(topic, now_ms)
            told, may_begin = runs.begin(alert(episode, status="updated" if hour else "raised"), now_ms)
            assert (may_begin, states(told)) == (True, ["started"] if fate == "lost" else [])
        commit(told)
        if may_begin:
            runs.under_way(f"e{episode}")
            begun.append((f"e{episode}", _started_ms(topic)))
            if fate == "crash running":
                runs = Retrainings(handler(min_interval="3h"), draw)
                runs.restore(topic, now_ms)
                continue
            runs.end(f"e{episode}", now_ms + 1, None)
        if fate == "crash":
            runs = Retrainings(handler(min_interval="3h"), draw)
            runs.restore(topic, now_ms)
        else:
            commit(runs.unpublished())
    episodes = [episode for episode, _ in begun]
    assert len(set(episodes)) == len(episodes)
    times = [at for _, at in begun]
    assert all(later - sooner >= 3 * HOUR_MS for sooner, later in pairwise(times))
    for value in topic:
        told_alert = read_alert(value)
        assert (told_alert.kind, told_alert.status, told_alert.is_notice) == ("retraining", "updated", True)


def test_a_start_of_another_process_is_not_ones_own() -> None:
    """The commit of the own one failed, and another member of the group began the run meanwhile."""
    mine, other = Retrainings(handler(), draw), Retrainings(handler(), draw)
    mine.begin(alert(1), START_MS)
    told, _ = other.begin(alert(1), START_MS)
    mine.restore([told[0].data()], START_MS + 1)
    told, may_begin = mine.begin(alert(1), START_MS + 2)
    assert (states(told), may_begin) == (["lost"], False)


@pytest.mark.parametrize(
    "about",
    [
        {"state": "done"},
        {"state": None},
        {"state": ["started"]},
        {"started": "x"},
        {"started": 5},
        {"run": None},
        {"handler": "other"},
        {"state": ...},
    ],
)
def test_what_strangers_have_written_is_passed_over(about: dict[str, Any]) -> None:
    """Only what is whole and of this handler counts; a clock that was years ahead keeps nothing back for years."""
    told, _ = Retrainings(handler(), draw).begin(alert(1), START_MS)
    record = orjson.loads(told[0].data())
    record["retraining"] = {name: value for name, value in (record["retraining"] | about).items() if value is not ...}
    runs = Retrainings(handler(), draw)
    runs.restore([b"no JSON", b"[]", None, orjson.dumps(record)], START_MS + 1)
    assert states(runs.begin(alert(1), START_MS + 2)[0]) == ["started"]


def test_a_clock_that_was_ahead_keeps_runs_back_for_the_interval_alone() -> None:
    """And one that was set back ends no run before it began."""
    told, _ = Retrainings(handler(), draw).begin(alert(1), START_MS + 10_000 * HOUR_MS)
    runs = Retrainings(handler(min_interval="2h"), draw)
    runs.restore([told[0].data()], START_MS)
    assert states(runs.begin(alert(2), START_MS + HOUR_MS)[0]) == ["skipped"]
    assert states(runs.begin(alert(2, id="b" * 32), START_MS + HOUR_MS)[0]) == []
    assert states(runs.begin(alert(2), START_MS + 2 * HOUR_MS)[0]) == ["started"]
    runs.under_way("e2")
    runs.end("e2", START_MS, None)
    (ended,) = runs.unpublished()
    assert (ended.retraining or {})["ended"] == (ended.retraining or {})["started"]


def test_an_end_that_another_has_told_is_no_news() -> None:
    """It was cut off, and the one who was asked has answered somebody else meanwhile."""
    section = handler(url="http://localhost")
    one, other = Retrainings(section, draw), Retrainings(section, draw)
    begun, _ = one.begin(alert(1), START_MS)
    one.published(begun)
    one.under_way("e1")
    other.restore([begun[0].data()], START_MS)
    assert other.begin(alert(1), START_MS) == ([], True)
    other.end("e1", START_MS + 1, None)
    one.restore([each.data() for each in (*begun, *other.unpublished())], START_MS + 2)
    one.end("e1", START_MS + 2, "too late")
    one.published(other.unpublished())
    assert one.unpublished() == []


def _started_ms(topic: list[bytes]) -> int:
    """Of the latest run, as it was told."""
    started = [
        each["started"] for each in (orjson.loads(value)["retraining"] for value in topic) if each["state"] == "started"
    ]
    return parse_time_ms(started[-1])


# On a log.


@contextmanager
def retraining(place: Place, section: RetrainHandler) -> Iterator[Callable[[Callable[[], bool]], None]]:
    """While the handler runs; yields what waits for a condition."""
    with running(Handlers(place.config, [(section, RetrainSink(section, "streamguard/g"))], None)) as wait:
        yield wait


def told(place: Place) -> list[dict[str, Any]]:
    """What stands on the alerts topic of retrainings."""
    values = [orjson.loads(value or b"{}") for batch in place.log.read("alerts") for value in batch.values]
    return [each for each in values if each["kind"] == "retraining"]


def runs_of(place: Place) -> list[tuple[str, str]]:
    """Of each the episode and the state."""
    return [(each["episode"], each["retraining"]["state"]) for each in told(place)]


def script(text: str, *arguments: str) -> tuple[str, ...]:
    """Of the shell."""
    return ("/bin/sh", "-c", text, "script", *arguments)


def test_a_program_is_run_once_for_an_episode(place: Place, tmp_path: Path) -> None:
    """It gets the range of its data; what it says last is the result; a restart runs nothing again."""
    program = script(
        'cat >> "$1/in"; echo "$STREAMGUARD_FROM" >> "$1/env"; echo; echo \'{"version": "8"}\'', str(tmp_path)
    )
    section = handler(*program)
    place.publish(made(1), made(2, episode="e1", status="updated"), made(3, episode="e1", status="resolved"))
    with retraining(place, section) as wait:
        wait(lambda: len(told(place)) == 2)
    with retraining(place, section):
        time.sleep(0.3)
    assert runs_of(place) == [("e1", "started"), ("e1", "succeeded")]
    (request,) = (tmp_path / "in").read_bytes().splitlines()
    given = orjson.loads(request)
    assert given["data"] == {"from": made(1)["onset"], "to": made(1)["event_time"], "source": {}}
    assert given["alert"]["id"] == made(1)["id"]
    assert {given["run"]} == {each["retraining"]["run"] for each in told(place)}
    assert (tmp_path / "env").read_text().split() == [made(1)["onset"]]
    ended = told(place)[1]
    assert ended["retraining"]["result"] == {"version": "8"}
    assert ended["status"] == "updated"
    assert ended["severity"] == "info"
    assert ended["look_first"][0].startswith("retraining by handler 'again' succeeded after ")


def test_a_result_of_any_shape_is_told(place: Place, tmp_path: Path) -> None:
    """What is nested too deeply is left out, and costs no other alert anything."""
    (tmp_path / "result").write_bytes(b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}")
    section = handler(*script('cat "$1/result"', str(tmp_path)))
    place.publish(made(1))
    with retraining(place, section) as wait:
        wait(lambda: len(told(place)) == 2)
    assert runs_of(place) == [("e1", "started"), ("e1", "succeeded")]


def test_a_failure_is_told_and_not_tried_again(place: Place, tmp_path: Path) -> None:
    """Nor is it a dead letter: it was delivered."""
    section = handler(*script('echo x >> "$1/runs"; echo no disk >&2; exit 1', str(tmp_path)))
    place.publish(made(1))
    with retraining(place, section) as wait:
        wait(lambda: len(told(place)) == 2)
    assert runs_of(place) == [("e1", "started"), ("e1", "failed")]
    failed = told(place)[1]
    assert (failed["severity"], failed["retraining"]["reason"]) == ("warning", "/bin/sh ended with 1: no disk")
    assert (tmp_path / "runs").read_text() == "x\n"
    assert place.dead() == []


def test_a_second_episode_waits_for_its_time(place: Place) -> None:
    """Skipped by the minimum between two, and run at once without one."""
    place.publish(made(1), made(2))
    with retraining(place, handler()) as wait:
        wait(lambda: len(told(place)) == 3)
    assert runs_of(place) == [("e1", "started"), ("e1", "succeeded"), ("e2", "skipped")]
    place.publish(made(3, episode="e2", status="updated"))
    with retraining(place, handler(min_interval="0s")) as wait:
        wait(lambda: len(told(place)) == 5)
    assert runs_of(place)[3:] == [("e2", "started"), ("e2", "succeeded")]


def test_a_handler_that_is_stopped_ends_its_run_and_says_so(place: Place, tmp_path: Path) -> None:
    """Its program is not left behind."""
    section = handler(*script('echo x > "$1/begun"; sleep 60', str(tmp_path)))
    place.publish(made(1))
    with retraining(place, section) as wait:
        wait((tmp_path / "begun").exists)
    assert runs_of(place) == [("e1", "started"), ("e1", "failed")]
    assert "was ended since its handler was stopped" in told(place)[1]["retraining"]["reason"]


def test_a_run_whose_process_was_killed_is_lost(place: Place) -> None:
    """It may have come to its end: it is told, and not begun again."""
    section = handler()
    first = Retrainings(section, draw)
    begun, _ = first.begin(alert(1), START_MS)
    place.publish(made(1), orjson.loads(begun[0].data()))
    with retraining(place, section) as wait:
        wait(lambda: len(told(place)) == 2)
    assert runs_of(place) == [("e1", "started"), ("e1", "lost")]
    assert "nobody knows what becomes of it" in told(place)[1]["look_first"][0]


def test_a_url_is_asked_again_with_the_same_key(place: Place) -> None:
    """After a refusal for now, and after a restart: whoever is asked knows that it is one run."""
    with Server(reply(503), reply(202)) as server:
        section = handler(url=server.url, retry={"first": "10ms", "most": "50ms", "deadline": "10s"})
        begun, _ = Retrainings(section, draw).begin(alert(1), START_MS)
        place.publish(made(1), orjson.loads(begun[0].data()))
        with retraining(place, section) as wait:
            wait(lambda: len(told(place)) == 2)
    assert runs_of(place) == [("e1", "started"), ("e1", "succeeded")]
    keys = {request.headers["idempotency-key"] for request in server.requests}
    assert (len(server.requests), len(keys)) == (2, 1)
    event = orjson.loads(server.requests[0].body)
    assert (event["type"], event["subject"]) == ("streamguard.retraining.requested", "e1")
    assert event["data"]["data"]["from"] == made(1)["onset"]


def test_several_partitions_are_refused(tmp_path: Path) -> None:
    """Two of them could begin at the same moment."""
    place = Place(tmp_path)
    place.log.close()
    other = EmbeddedLog(tmp_path / "other.db")
    other.create(TopicInfo("alerts", 2))
    other.close()
    place.settings["log"]["path"] = str(tmp_path / "other.db")
    with pytest.raises(UnusableError, match="has 2 partitions"), retraining(place, handler()) as wait:
        wait(lambda: False)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "is missing: set it, or url or url_file"),
        ({"command": ["true"], "url": "http://localhost"}, "are two ways to start a retraining"),
        ({"command": ["true"], "group": {"wait": "1s"}}, "a retraining is of one episode"),
        ({"command": ["true"], "rate": {"most": 1}}, "min_interval says how often"),
        ({"command": ["true"], "secret": "s"}, "is for url, and command is set"),
        ({"command": ["true"], "match": {"status": ["resolved"]}}, "never starts a run"),
        ({"command": ["true"], "min_interval": "soon"}, "min_interval"),
    ],
)
def test_settings_that_cannot_be_say_why(given: dict[str, Any], words: str) -> None:
    """When the configuration is read."""
    section = {"name": "again", "type": "retrain", **given}
    with pytest.raises(ConfigError, match=words):
        parse(
            {
                "join": {"after": "1h"},
                "monitors": [{"name": "m", "threshold": {"max_mismatch_percent": 5}}],
                "handlers": [section],
            }
        )
