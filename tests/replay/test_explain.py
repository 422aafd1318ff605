"""From an alert back to its records: what is shown is what the check saw."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamguard.config import Config, Mode
from streamguard.core.fields import parse_time_ms
from streamguard.core.records import Batch, TopicPartition
from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.interface import Record, Span, TopicInfo
from streamguard.replay import topics
from streamguard.replay.backtesting import Question, backtest
from streamguard.replay.behind import Kept
from streamguard.replay.explain import Explanation, explain
from streamguard.replay.frames import as_source
from streamguard.replay.history import History, needed_fields, of_records, of_topics
from streamguard.replay.reading import TopicReader
from streamguard.replay.sources import Source
from streamguard.replay.telling import told
from streamguard.replay.topics import Range
from tests.replay.helpers import START_MS, Listed, history_of, settings, story

HOUR_MS = 3_600_000


def first_explained(config: Config, history: History) -> Explanation:
    """Of the first alert that a backtest raises."""
    return explain(config, history, backtest(config, history, Question(processes=1)).alerts[0])


def rates(found: Explanation) -> tuple[float, float]:
    """Before the onset, and since."""
    sides = [[each for each in found.steps if (each.from_ms >= found.onset_ms) is since] for since in (False, True)]
    before, after = (sum(each.rate * each.count for each in side) / sum(each.count for each in side) for side in sides)
    return before, after


def in_two(config: Config, rows: Sequence[Sequence[dict[str, Any]]]) -> History:
    """A history of two partitions, by the country."""
    countries = {row["request_id"]: row["country"] for row in rows[0]}
    sides: list[dict[int, Source]] = [
        {
            number: as_source([row for row in of_side if countries[row["request_id"]] == country], name, needed)
            for number, country in enumerate(("DE", "FR"))
        }
        for name, of_side, needed in zip(("predictions", "labels"), rows, needed_fields(config), strict=True)
    ]
    return of_records(config, sides[0], sides[1], "memory", ("predictions", "labels"))


@pytest.mark.parametrize("is_in_cohorts", [False, True])
def test_before_and_since_are_those_of_the_check(*, is_in_cohorts: bool) -> None:
    """A monitor of cohorts takes each outcome when its label can come no more: an hour later, as the onset is."""
    threshold = {"max_mismatch_percent": 10, "window": 100, "min_samples": 50}
    config = settings(monitors=[{"name": "m", "threshold": threshold, "cohorts": is_in_cohorts}])
    found = first_explained(config, history_of(config, *story()))
    before, after = rates(found)
    assert before < 0.02
    assert after == pytest.approx(1 / 3, abs=0.1)
    until_ms = parse_time_ms(found.alert["event_time"])
    assert found.steps[-1].to_ms == until_ms
    late_ms = HOUR_MS if is_in_cohorts else 5 * 60_000
    assert until_ms - (START_MS + 1500 * 60_000) > late_ms


@pytest.fixture(scope="module")
def starved() -> Explanation:
    """The labels of one country stop, and with it those of a whole partition."""
    config = settings(monitors=[{"name": "m", "unlabelled": {"baseline": 1000, "season": "none"}}])
    predictions, labels = story(4000, fault=0)
    labels = [row for number, row in enumerate(labels) if number % 2 or number < 2500]
    history = in_two(config, (predictions, labels))
    *_, alert = backtest(config, history, Question(processes=1)).alerts
    assert alert["kind"] == "label_starvation"
    assert sorted(alert["source"]["predictions"]) == ["0", "1"]
    assert sorted(alert["source"]["labels"]) == ["0"]
    return explain(config, history, alert)


def test_of_missing_labels_the_share_is_shown(starved: Explanation) -> None:
    """Before and since, of both partitions, though one has no label in the range any more."""
    before, after = rates(starved)
    assert before < 0.01
    assert after == pytest.approx(0.5, abs=0.05)
    assert starved.onset_ms == pytest.approx(START_MS + 2500 * 60_000 + HOUR_MS, abs=HOUR_MS)


def test_of_missing_labels_examples_are_shown(starved: Explanation) -> None:
    """Predictions whose label never came, and what they share; however wrong those are that have one."""
    assert starved.wrong
    assert not any(each.has_label for each in starved.wrong)
    assert {orjson.loads(each.record)["country"] for each in starved.wrong} == {"FR"}
    assert [(each.field, each.value) for each in starved.leads] == [("country", "FR")]
    said = "\n".join(told(starved))
    assert "what the check saw, the share without a label:" in said
    assert "what those that got no label have in common:\n  country=FR: 1.26% -> 100.00%" in said
    assert "without a label since the onset:\n" in said
    assert ": 'no', no label (predictions-1@" in said


def test_what_strangers_wrote_does_nothing_to_a_terminal() -> None:
    """In a segment, an ID, a label and a record: control characters are there to be seen."""
    config = settings(
        monitors=[
            {
                "name": "m",
                "split_by": ["country"],
                "threshold": {"max_mismatch_percent": 10, "window": 100, "min_samples": 50},
            }
        ]
    )
    predictions, labels = story()
    for row in predictions:
        row["country"] = "\x1b[2J\u202e"
    for row in (*predictions, *labels):
        row["request_id"] += "\n\x9b1m"
    lines = list(told(first_explained(config, history_of(config, predictions, labels))))
    assert all(line.isprintable() for line in lines)
    assert "(country=\\x1b[2J\\u202e)" in lines[0]
    assert any("\\n\\x9b1m: 'no', label 'yes'" in line for line in lines)


def part(offsets: Sequence[int]) -> Batch:
    """Records that hold their offsets."""
    values = [b"%d" % offset for offset in offsets]
    source = TopicPartition("predictions", 0)
    return Batch(source, offsets, offsets, values, values, [()] * len(offsets), offsets[-1] + 1)


def test_records_are_found_again_across_batches_and_gaps() -> None:
    """By their offsets, in whichever batch of the range they came."""
    offsets = range(0, 300, 3)
    kept = Kept(Listed([part(offsets[start : start + 7]) for start in range(0, 100, 7)]), 30, 270)
    assert [offset for each in kept.batches() for offset in each.offsets] == list(range(30, 270, 3))
    assert [kept.value(offset) for offset in range(30, 270, 3)] == [b"%d" % offset for offset in range(30, 270, 3)]


def test_of_topics_no_more_is_read_than_the_alert_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And as much before it: not what lies far before or behind."""
    log = {"kind": "embedded", "path": str(tmp_path / "log.db")}
    config = settings(log=log)
    with closing(EmbeddedLog(tmp_path / "log.db")) as written:
        for topic, rows in zip(("predictions", "labels"), story(20_000, fault=10_000), strict=True):
            written.create(TopicInfo(topic, 1))
            written.append([Record(topic, None, orjson.dumps(row), timestamp_ms=row["at"]) for row in rows])
        history = of_topics(config, written, Mode.IDEAL, Range())
    alert = backtest(config, history, Question(processes=1)).alerts[0]
    read: list[Span] = []

    class Noting(TopicReader):
        def __init__(self, settings: Any, topic: str, spans: Mapping[int, Span]) -> None:
            super().__init__(settings, topic, spans)
            read.extend(spans.values())

    monkeypatch.setattr(topics, "TopicReader", Noting)
    assert rates(explain(config, history, alert))[0] < 0.02
    (predictions,), (labels,) = (list(alert["source"][name].values()) for name in ("predictions", "labels"))
    for span, (first, end) in zip(read, (predictions, labels), strict=True):
        assert first - 2048 < span.start <= first
        assert end <= span.end < end + 2048
