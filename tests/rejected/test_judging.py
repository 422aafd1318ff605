"""What becomes of a record in a run, and as what it is sent."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from streamguard.core.codec import Mapping, Reader
from streamguard.core.records import TopicPartition
from streamguard.errors import ConfigError
from streamguard.logs.interface import TopicInfo
from streamguard.rejected.filters import Asked, Filters
from streamguard.rejected.judging import Fate, Judged, Rules, Side, judge
from tests.rejected.helpers import NOW_MS, letter

PREDICTIONS = Mapping(("request_id",), ("prediction",), time=("at",))
LABELS = Mapping(("request_id",), ("label",))
LATER_MS = NOW_MS + 10_000_000
GOOD = orjson.dumps({"request_id": "r", "prediction": 1, "at": NOW_MS})
TRUTH = orjson.dumps({"request_id": "r", "label": 1})
FROM_LABELS = TopicPartition("labels", 3)

RULES = Rules(
    {
        "predictions": Side(Reader(PREDICTIONS), is_stamped_anew=False),
        "labels": Side(Reader(LABELS), is_stamped_anew=True),
    },
    {
        "predictions": TopicInfo("predictions", 4, max_record_bytes=2000),
        "labels": TopicInfo("labels", 4),
        "small": TopicInfo("small", 1),
    },
)


def one(value: bytes | None, rules: Rules = RULES, **about: Any) -> Judged:
    """The judgement of one record."""
    (found,) = judge([letter(value, **about)], rules, LATER_MS)
    return found


def test_a_record_goes_back_as_it_came() -> None:
    """To its topic and partition, with key, value, headers and timestamp; a header says what it was."""
    record = one(GOOD, headers=[("h", b"1")], key=None).record
    assert record is not None
    assert (record.topic, record.partition, record.key, record.value) == ("predictions", 1, None, GOOD)
    assert record.headers == (("h", b"1"), ("streamguard.replayed", b"letters-2@0"))
    assert record.timestamp_ms == NOW_MS


def test_a_label_without_a_time_field_is_known_from_now_on() -> None:
    """Its event time would else be long past; with a time field it keeps the stamp that is held against that."""
    found = one(TRUTH, source=FROM_LABELS)
    assert found.record is not None
    assert (found.record.timestamp_ms, found.time_ms) == (None, LATER_MS)
    timed = replace(RULES, sides={**RULES.sides, "labels": Side(Reader(PREDICTIONS), is_stamped_anew=False)})
    kept = one(GOOD, timed, source=FROM_LABELS)
    assert kept.record is not None
    assert (kept.record.timestamp_ms, kept.time_ms) == (NOW_MS, NOW_MS)


def test_a_record_of_no_time_gets_one() -> None:
    """No broker keeps a time before 1970."""
    found = one(GOOD, at_ms=-1)
    assert found.record is not None
    assert found.record.timestamp_ms is None


@pytest.mark.parametrize(
    ("fate", "value", "about"),
    [
        (Fate.REFUSED, b'{"request_id": "r"}', {}),
        (Fate.REFUSED, None, {}),
        (Fate.REFUSED, orjson.dumps({"request_id": "r", "prediction": 1, "at": NOW_MS + 3_600_001}), {}),
        (Fate.ELSEWHERE, GOOD, {"source": TopicPartition("outcomes", 0)}),
        (Fate.ELSEWHERE, GOOD, {"source": TopicPartition("predictions", 4)}),
        (Fate.AGAIN, GOOD, {"headers": [("streamguard.replayed", b"letters-0@7")]}),
        (Fate.TOO_LARGE, GOOD + b" " * 2000, {}),
    ],
)
def test_what_is_of_no_use_stays(fate: Fate, value: bytes | None, about: dict[str, Any]) -> None:
    """Each for its own reason; outcomes above all, whose order is their sense."""
    found = one(value, **about)
    assert (found.fate, found.record) == (fate, None)
    assert (found.refusal is not None) == (fate is Fate.REFUSED)


def test_what_would_be_rejected_again_can_be_forced() -> None:
    """And is still known as such."""
    found = one(b"{}", replace(RULES, is_forced=True))
    assert found.fate is Fate.SENT
    assert found.record is not None
    assert found.refusal == "field 'request_id' is missing or null"


def test_what_was_sent_before_can_be_sent_again() -> None:
    """Its mark says the latest place that it was at."""
    found = one(GOOD, replace(RULES, is_again=True), headers=[("streamguard.replayed", b"letters-0@7")])
    assert found.record is not None
    assert found.record.headers == (("streamguard.replayed", b"letters-2@0"),)


def test_a_value_that_is_not_here_is_not_sent() -> None:
    """Its place in the input is where it can be had."""
    short = replace(letter(None), left_out_bytes=70_000_000)
    (found,) = judge([short], RULES, LATER_MS)
    assert found.fate is Fate.LEFT_OUT


@pytest.mark.parametrize(("partition", "expected"), [(0, 0), (3, None)])
def test_another_topic_takes_any_record(partition: int, expected: int | None) -> None:
    """On its own partition number, where there is such a one, else by its key; nobody reads it first."""
    found = one(b"\xff", replace(RULES, to="small"), source=TopicPartition("outcomes", partition))
    assert found.record is not None
    assert (found.record.topic, found.record.partition, found.record.timestamp_ms) == ("small", expected, NOW_MS)


def test_an_input_as_target_is_read_as_that_input() -> None:
    """A label that was on the wrong topic."""
    found = one(TRUTH, replace(RULES, to="labels"))
    assert (found.fate, found.time_ms) == (Fate.SENT, LATER_MS)


def test_a_function_mends_before_it_is_read() -> None:
    """None leaves the record; a tombstone is not its business."""
    rules = replace(RULES, mend=lambda value: GOOD if value == b"bad" else None)
    assert [one(value, rules).fate for value in (b"bad", b"worse", None)] == [Fate.SENT, Fate.NOT_MENDED, Fate.REFUSED]


def _fails(_: bytes) -> bytes:
    raise ValueError("no\x1b[2J such")


@pytest.mark.parametrize(
    ("mend", "error"),
    [
        (_fails, r"the function failed at letters-2@0: ValueError: no\\x1b\[2J such; let it return None"),
        (lambda _: "text", r"the function returned str at letters-2@0: it must return bytes, or None"),
    ],
)
def test_a_function_that_fails_says_where(mend: Callable[[bytes], Any], error: str) -> None:
    """In one line that does nothing to a terminal."""
    with pytest.raises(ConfigError, match=error):
        one(b"bad", replace(RULES, mend=mend))


def test_many_are_judged_as_each_alone() -> None:
    """Inputs are read by whole batches; what comes of a record depends on no other."""
    letters = [
        letter(value, source=TopicPartition(topic, number % 5))
        for number, value in enumerate([GOOD, TRUTH, b"x", None] * 5)
        for topic in ("predictions", "labels", "other")
    ]
    together = judge(letters, RULES, LATER_MS)
    assert together == [judge([each], RULES, LATER_MS)[0] for each in letters]
    assert {each.fate for each in together} == {Fate.SENT, Fate.REFUSED, Fate.ELSEWHERE}


@pytest.mark.parametrize(
    ("asked", "is_taken"),
    [
        (Asked(), True),
        (Asked(since="2026-02-02T02:40:00Z"), True),
        (Asked(until="2026-02-02T02:40:00Z"), False),
        (Asked(since=str(NOW_MS), until=str(NOW_MS + 1)), True),
        (Asked(reason="NOT json"), True),
        (Asked(reason="at N"), True),
        (Asked(reason="missing"), False),
        (Asked(topic="predictions"), True),
        (Asked(topic="prediction"), False),
    ],
)
def test_filters_take_what_they_name(asked: Asked, *, is_taken: bool) -> None:
    """Times are those of the rejection, from and to before; a reason is any part of what the record or `list` says."""
    assert Filters.of(asked).take(letter(GOOD)) is is_taken


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (Asked(since="noon"), r"^--from: time 'noon' is not RFC 3339, such as 2026-01-31T12:00:00Z$"),
        (Asked(until="2026-01-31T12:00:00"), r"^--to: time '2026-01-31T12:00:00' has no UTC offset, such as "),
        (Asked(since="5", until="5"), r"^--to: must be later than --from$"),
        (Asked(since="9" * 5000), r"^--from: "),
    ],
)
def test_times_that_cannot_be_are_said(asked: Asked, error: str) -> None:
    """With an example of one that can."""
    with pytest.raises(ConfigError, match=error):
        Filters.of(asked)
