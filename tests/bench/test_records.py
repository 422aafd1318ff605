"""The records to measure with: the same everywhere, and as unruly as they are said to be."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import orjson
import pytest

from streamguard.bench.records import DAY_MS, DELAY_MAX_MS, START_MS, Shape, Size, records
from streamguard.logs.interface import Record

SHAPE = Shape(20_000)


def parsed(shape: Shape, topic: str) -> list[dict[str, object]]:
    """The records of a topic that are no garbage."""
    return [
        orjson.loads(each.value)
        for each in records(shape)
        if each.topic == topic and each.value and b'"timestamp"' in each.value
    ]


def test_the_same_shape_is_the_same_records() -> None:
    """Figures of two machines, or of two days, are of the same work; another seed is other work."""
    assert list(records(SHAPE)) == list(records(SHAPE))
    assert list(records(SHAPE)) != list(records(replace(SHAPE, seed=2)))


def test_records_come_in_time_order_over_a_day() -> None:
    """A producer's clock goes forwards, and a record's Kafka timestamp is its event time."""
    all_ = list(records(SHAPE))

    assert all((one.timestamp_ms or 0) <= (two.timestamp_ms or 0) for one, two in pairwise(all_))
    assert all_[0].timestamp_ms == START_MS
    times = [(record.timestamp_ms, record.value or b"") for record in all_ if b'"timestamp"' in (record.value or b"")]
    assert all(orjson.loads(value)["timestamp"] == at_ms for at_ms, value in times)


def test_the_shares_are_as_told() -> None:
    """A share that nothing has would not be measured."""
    predictions, labels = parsed(SHAPE, "predictions"), parsed(SHAPE, "labels")
    asked, answered = Counter(each["request_id"] for each in predictions), {each["request_id"] for each in labels}
    garbage = sum(b'"timestamp"' not in (record.value or b"") for record in records(SHAPE))

    assert len(asked) == 20_000
    assert len(predictions) - len(asked) == pytest.approx(200, rel=0.3)
    assert 20_000 - len(answered) == pytest.approx(400, rel=0.3)
    assert len(labels) - len(answered) == pytest.approx(200, rel=0.3)
    assert garbage == pytest.approx(20, rel=0.7)


def test_a_label_is_late_by_up_to_an_hour() -> None:
    """And never before its prediction."""
    shape = replace(SHAPE, duplicates=0)
    made = {each["request_id"]: each["timestamp"] for each in parsed(shape, "predictions")}
    delays = [each["timestamp"] - made[each["request_id"]] for each in parsed(shape, "labels")]  # type: ignore[operator]

    assert 0 <= min(delays) < 60_000
    assert DELAY_MAX_MS - 60_000 < max(delays) < DELAY_MAX_MS


def test_the_error_rate_doubles_for_the_last_third() -> None:
    """There is something to be found."""
    truth = {each["request_id"]: each["label"] for each in parsed(SHAPE, "labels")}
    wrong: dict[bool, list[bool]] = {False: [], True: []}
    for each in parsed(SHAPE, "predictions"):
        is_last = int(str(each["timestamp"])) > START_MS + DAY_MS * 2 // 3
        if each["request_id"] in truth:
            wrong[is_last].append(each["prediction"] != truth[each["request_id"]])

    assert sum(wrong[False]) / len(wrong[False]) == pytest.approx(0.05, abs=0.01)
    assert sum(wrong[True]) / len(wrong[True]) == pytest.approx(0.10, abs=0.01)


@pytest.mark.parametrize(("size", "low", "high"), [("small", 100, 140), ("large", 950, 1050), ("features", 450, 650)])
def test_a_size_is_what_it_says(size: Size, low: int, high: int) -> None:
    """Each is JSON, and of the size that the tables name."""
    shape = Shape(200, garbage=0, size=size)
    predictions = [each.value or b"" for each in records(shape) if each.topic == "predictions"]

    assert all(low <= len(value) <= high for value in predictions)
    assert all(len(orjson.loads(value)) == {"small": 6, "large": 7, "features": 26}[size] for value in predictions)


def test_there_are_as_many_segments_as_told() -> None:
    """Segments are countries."""
    assert {each["country"] for each in parsed(Shape(500, segments=100), "predictions")} == {
        f"c{number}" for number in range(100)
    }


def test_a_prediction_and_its_label_have_one_key() -> None:
    """So that they fall on the same partition."""
    keys: dict[object, set[bytes | None]] = {}
    good: list[Record] = [each for each in records(SHAPE) if b'"timestamp"' in (each.value or b"")]
    for record in good:
        keys.setdefault(orjson.loads(record.value or b"")["request_id"], set()).add(record.key)

    assert all(found == {str(name).encode()} for name, found in keys.items())
