"""`streamguard rejected replay` on an embedded log: a worker rejects, the configuration is mended, records go back."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from streamguard.core.records import TopicPartition
from streamguard.errors import ConfigError, LogError, StreamguardError
from streamguard.logs.interface import Committed, Record, TopicInfo
from streamguard.rejected.filters import Asked
from streamguard.rejected.replaying import Wanted, run_replay
from tests.rejected.helpers import NOW_MS, Place, label, prediction

WRONG = {"fields": {"time": "at", "value": "answer"}}
RIGHT = {"fields": {"time": "at"}}
REJECTED = "streamguard-g-rejected"
GROUP = "g-rejected-replay"


def replay(place: Place, **wanted: Any) -> list[str]:
    """Run the command; what it prints, after its exit code."""
    lines: list[str] = []
    code = run_replay(place.config, Wanted(**wanted), lines.append)
    return [str(code), *lines]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Ten predictions and their labels, five on each partition, of which a wrong field has rejected the predictions."""
    place = Place(tmp_path, predictions=WRONG)
    names = [(f"r{number}", number % 2) for number in range(10)]
    place.append(*(prediction(name, partition) for name, partition in names))
    place.append(*(label(name, partition, at_ms=NOW_MS + 5) for name, partition in names))
    assert place.work()[0].startswith(
        "predictions: 10 consumed = 0 matched, 0 expired, 0 late, 0 duplicate, 10 rejected"
    )
    place.settings["predictions"] = RIGHT
    return place


def test_what_was_rejected_is_joined_after_all(place: Place) -> None:
    """Unchanged, to its own partition; and a second run has nothing to send."""
    before = place.read("predictions")
    assert replay(place) == [
        "0",
        f"{REJECTED}: 10 records not sent back yet; to be sent: 10 to predictions",
        "sent 10 records",
    ]
    assert replay(place)[2] == "there is nothing to send"

    after = place.read("predictions")
    assert len(after) == 20
    for partition in (0, 1):
        old, new = ([each for each in part if each.partition == partition] for part in (before, after))
        for former, latter in zip(old, new[5:], strict=True):
            *own, (mark, where) = latter.headers
            assert (latter.key, latter.value, latter.timestamp_ms) == (former.key, former.value, former.timestamp_ms)
            assert (own, mark) == (list(former.headers), "streamguard.replayed")
            assert re.fullmatch(rf"{REJECTED}-[01]@\d+".encode(), where or b"")
    assert place.work()[0].startswith(
        "predictions: 20 consumed = 10 matched, 0 expired, 0 late, 0 duplicate, 10 rejected"
    )


def test_a_dry_run_says_the_same_and_does_nothing(place: Place) -> None:
    """Neither a record nor an offset."""
    lines = replay(place, is_dry=True)
    assert lines[2:] == ["nothing was sent (--dry-run)"]
    assert replay(place)[1] == lines[1]


def test_what_a_filter_leaves_is_there_for_later(place: Place) -> None:
    """By topic, by reason: what was not selected is not lost, and nothing goes twice."""
    place.append(Record("labels", b"x", b"no JSON", 1), Record("labels", b"y", b"{}", 0))
    place.work()
    assert replay(place, asked=Asked(topic="labels"), is_forced=True)[-1] == "sent 2 records"
    assert replay(place, asked=Asked(reason="no such reason"))[-1] == "there is nothing to send"
    assert replay(place)[1:] == [
        f"{REJECTED}: 10 records not sent back yet; to be sent: 10 to predictions",
        "sent 10 records",
    ]
    assert [each.key for each in place.read("labels") if each.value in (b"no JSON", b"{}")] == [b"y", b"y", b"x", b"x"]


def test_what_would_be_rejected_again_stays(place: Place) -> None:
    """With the reason of today, unless it is forced."""
    place.append(prediction("far", at_ms=NOW_MS, at=NOW_MS + 10**9), Record("labels", b"x", b"no JSON", 1))
    place.work()
    lines = replay(place)
    assert lines[1:3] == [
        f"{REJECTED}: 12 records not sent back yet; to be sent: 10 to predictions",
        "  2 stay: they would be rejected again by this configuration: --force sends them all the same",
    ]
    assert sorted(line.split(":")[0] for line in lines[3:-1]) == [
        "    1 x field 'at' is N ms ahead of the record's Kafka timestamp, above join.max_ahead N ms",
        "    1 x not JSON",
    ]
    lines = replay(place, is_forced=True)
    assert lines[2] == "  2 are sent although they would be rejected again (--force)"


def test_what_is_rejected_again_is_not_sent_in_circles(place: Place) -> None:
    """The worker still runs with the wrong field: each run sends nothing that a former one has sent."""
    replay(place)
    place.settings["predictions"] = WRONG
    place.work()
    place.settings["predictions"] = RIGHT
    assert replay(place)[1:] == [
        f"{REJECTED}: 10 records not sent back yet; to be sent: none",
        (
            "  10 stay: they were sent back before and were rejected again: do the workers run with this configuration?"
            " --again sends them too"
        ),
        "there is nothing to send",
    ]
    assert replay(place, is_again=True)[-1] == "sent 10 records"
    assert "20 matched" not in place.work()[0]
    assert len(place.read("predictions")) == 30
    marks = [each.headers[1:] for each in place.read("predictions")[-5:]]
    assert all(len(mark) == 1 for mark in marks)


def test_late_ones_are_told_before(place: Place) -> None:
    """Their partition has gone on by more than `join.disorder`; so the join will count them, and does."""
    place.append(prediction("new", 0, at_ms=NOW_MS + 60_000), label("new", 0, at_ms=NOW_MS + 60_001))
    place.work()
    lines = replay(place)
    assert lines[2] == (
        "  at least 5 of those to predictions would be late now: their event time is more than join.disorder behind"
        " their partition's, and the join counts them as late and leaves them out"
    )
    assert " 5 late, " in place.work()[0]


def test_late_by_an_idle_input_is_told_too(place: Place) -> None:
    """Its time has followed the other's, which no record of its own says: the group's commit does."""
    with place.log() as log:
        note = '{"v":1,"low":0,"clock":0,"floors":[[5,%d]],"counts":{},"seq":1,"watermark":%d,"rules":[0,3600000,1000]}'
        noted = Committed(5, note % (NOW_MS + 1500, NOW_MS + 500))
        session = log.session("g", [["predictions"]], "w")
        session.poll(0)
        session.commit([], {TopicPartition("predictions", 0): noted, TopicPartition("predictions", 1): noted})
        session.close()
    assert replay(place, is_dry=True)[2].startswith("  at least 10 of those to predictions would be late now")


def test_records_go_elsewhere_where_that_is_said(place: Place) -> None:
    """As they are, without a look at whether the join could read them; and so they are settled."""
    with place.log() as log:
        log.create(TopicInfo("parked", 1))
    assert replay(place, to_topic="parked")[-1] == "sent 10 records"
    assert len(place.read("parked")) == 10
    assert replay(place)[-1] == "there is nothing to send"


def test_a_function_mends_values(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's own, by its name; what it leaves stays, and where it fails nothing is sent."""
    (tmp_path / "mending.py").write_text(
        "def mend(value):\n    return None if b'r3' in value else value.replace(b'}', b',\"mended\":true}')\n"
        "def fail(value):\n    raise KeyError('x')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        ConfigError, match=r"^--mend: the function failed at streamguard-g-rejected-\d@\d+: KeyError: 'x'"
    ):
        replay(place, mend="mending:fail")
    lines = replay(place, mend="mending:mend")
    assert lines[1:] == [
        f"{REJECTED}: 10 records not sent back yet; to be sent: 9 to predictions",
        "  1 stay: they were left by the function of --mend",
        "sent 9 records",
    ]
    assert sum(b"mended" in (each.value or b"") for each in place.read("predictions")) == 9
    del sys.modules["mending"]


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        ({"mend": "no_such_module:f"}, r"^--mend: cannot load 'no_such_module:f': ModuleNotFoundError: .* PYTHONPATH$"),
        ({"mend": "json"}, r"^--mend: cannot load 'json': AttributeError"),
        ({"mend": "sys:path"}, r"^--mend: 'sys:path' is list: expected a function of bytes$"),
        ({"to_topic": "nowhere"}, r"^--to-topic: there is no topic 'nowhere': create it"),
        ({"to_topic": REJECTED}, r"^--to-topic: 'streamguard-g-rejected' is rejected\.topic, which is written by "),
        ({"to_topic": "streamguard-g-outcomes"}, r"^--to-topic: .* is outcomes\.topic, which is written by "),
        ({"to_topic": "streamguard-g-dead-letters"}, r"^--to-topic: .* is dead_letters\.topic, which is "),
    ],
)
def test_what_cannot_be_done_is_said(place: Place, wanted: dict[str, Any], error: str) -> None:
    """Before anything is sent, with the option's name."""
    with pytest.raises(StreamguardError, match=error):
        replay(place, **wanted)


def test_a_commit_of_another_is_not_taken_for_ours(place: Place) -> None:
    """Nothing is sent twice because of what somebody has committed under that name."""
    with place.log() as log:
        session = log.session(GROUP, [[REJECTED]], "w")
        session.poll(0)
        session.commit([], {TopicPartition(REJECTED, 0): Committed(0, "mine")})
        session.close()
    with pytest.raises(LogError, match=rf"^group '{GROUP}', {REJECTED}-0: what is committed is not of a replay \("):
        replay(place)


def test_a_topic_that_was_made_anew_is_told(place: Place) -> None:
    """Its first records would else be taken for those that were sent back of the former one."""
    with place.log() as log:
        session = log.session(GROUP, [[REJECTED]], "w")
        session.poll(0)
        session.commit([], {TopicPartition(REJECTED, 1): Committed(99)})
        session.close()
    with pytest.raises(
        LogError, match=rf"committed offset 99 of {REJECTED}-1, which ends at 5: was the topic made anew"
    ):
        replay(place)


def test_a_run_that_is_under_way_is_not_joined(place: Place) -> None:
    """Two at once would send records twice, or put each other out."""
    with place.log() as log:
        session = log.session(GROUP, [[REJECTED]], "w")
        with pytest.raises(LogError, match=GROUP):
            replay(place)
        session.close()
    assert replay(place)[-1] == "sent 10 records"


def test_order_is_kept_in_each_partition(place: Place) -> None:
    """Or what goes back would make what follows it late."""
    replay(place)
    for partition in (0, 1):
        keys = [each.key for each in place.read("predictions") if each.partition == partition]
        assert keys[:5] == keys[5:]


def test_a_rejected_topic_of_fewer_partitions_will_do(tmp_path: Path) -> None:
    """One that somebody made before the first worker ran: then the key chooses."""
    place = Place(tmp_path)
    with place.log() as log:
        log.create(TopicInfo(REJECTED, 1))
    place.append(Record("predictions", b"a", b"{}", 0), Record("predictions", b"b", b"{}", 1))
    place.work()
    assert replay(place, is_forced=True)[-1] == "sent 2 records"
    assert [each.partition for each in place.read("predictions")] == [0, 0, 1, 1]


def test_without_a_worker_there_is_nothing(tmp_path: Path) -> None:
    """The topic is a worker's to make; a log that is not there is not made."""
    place = Place(tmp_path)
    with pytest.raises(LogError, match=r"^no topic 'streamguard-g-rejected' yet: a worker creates it"):
        replay(place)
    place.settings["log"]["path"] = str(tmp_path / "other.db")
    with pytest.raises(LogError, match=r"^log\.path: there is no log at "):
        replay(place)
    assert not (tmp_path / "other.db").exists()
