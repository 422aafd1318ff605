"""The demo's story: the same every time, silent before its fault, loud after it."""

from collections import deque
from collections.abc import Iterator
from functools import cache
from statistics import median
from typing import Any

import orjson
import pytest
from river import drift

from streamguard.demo import Story, story
from streamguard.demo.stream import FAULT_SITE
from streamguard.errors import ConfigError
from streamguard.logs.interface import Record

MINUTE_MS = 60_000
ROWS_SERVED = 40_097
SEEDS = (7, 1)


@pytest.fixture(scope="module")
def told() -> Story:
    """The story that `streamguard demo` tells."""
    return cached(7)


@cache
def cached(seed: int, *, fault: bool = True) -> Story:
    """A full story, built once for all tests of it."""
    return story(seed=seed, fault=fault)


def bodies(told: Story, topic: str) -> list[dict[str, Any]]:
    """The JSON values of a topic, in order."""
    return [body(record) for record in told.records if record.topic == topic]


def body(record: Record) -> dict[str, Any]:
    """A record's value, which is a JSON object."""
    assert record.value is not None
    value = orjson.loads(record.value)
    assert isinstance(value, dict)
    return value


def losses(told: Story) -> Iterator[tuple[int, int]]:
    """Label time and mismatch, in the order in which the labels come."""
    predicted: dict[str, int] = {}
    for record in told.records:
        value = body(record)
        if record.topic == "predictions":
            predicted[value["request_id"]] = value["prediction"]
        else:
            yield value["timestamp"], int(predicted[value["request_id"]] != value["label"])


def adwin_alarms(told: Story) -> list[int]:
    """Label times at which plain ADWIN sees a change."""
    detector = drift.ADWIN(delta=0.002)
    alarms = []
    for at_ms, loss in losses(told):
        detector.update(loss)
        if detector.drift_detected:
            alarms.append(at_ms)
    return alarms


def threshold_alarms(told: Story, rate_max: float, size: int) -> list[int]:
    """Label times at which more than `rate_max` of the last `size` labels tell of a mismatch."""
    window: deque[int] = deque(maxlen=size)
    alarms = []
    for at_ms, loss in losses(told):
        window.append(loss)
        if len(window) == size and sum(window) > rate_max * size:
            alarms.append(at_ms)
    return alarms


def test_it_is_told_the_same_way_twice() -> None:
    """A number in the README or in a golden file holds for whoever runs the demo next."""
    assert story(predictions=2_000) == story(predictions=2_000)


def test_another_seed_tells_other_records() -> None:
    """Detection is checked over several seeds, which would show nothing if they were one stream."""
    assert story(predictions=500, seed=1).records != story(predictions=500, seed=2).records


def test_predictions_follow_the_contract(told: Story) -> None:
    """The default configuration maps these names, so the demo must speak them."""
    types = {
        "request_id": str,
        "prediction": int,
        "timestamp": int,
        "model": str,
        "version": str,
        "score": float,
        "site": str,
        "features": dict,
        "readings": dict,
    }
    for one in bodies(told, "predictions"):
        assert {name: type(value) for name, value in one.items()} == types
        assert one["prediction"] in {0, 1}
        assert 0 <= one["score"] <= 1


def test_labels_follow_the_contract(told: Story) -> None:
    """A label has the prediction's type, or every pair would be a mismatch."""
    for one in bodies(told, "labels"):
        assert {name: type(value) for name, value in one.items()} == {
            "request_id": str,
            "label": int,
            "timestamp": int,
        }


def test_records_carry_their_own_time_and_key(told: Story) -> None:
    """Key and Kafka timestamp say what the payload says, so either may be configured."""
    for record in told.records:
        value = body(record)
        assert record.key == value["request_id"].encode()
        assert record.timestamp_ms == value["timestamp"]


def test_records_come_in_the_order_of_their_event_times(told: Story) -> None:
    """A producer sends a record when its time has come; nothing here is late."""
    times = [record.timestamp_ms or 0 for record in told.records]

    assert times == sorted(times)


def test_request_ids_are_unique_and_known(told: Story) -> None:
    """Nothing is a duplicate, and each label has its prediction."""
    predicted = [one["request_id"] for one in bodies(told, "predictions")]
    labelled = [one["request_id"] for one in bodies(told, "labels")]

    assert len(predicted) == 30_000
    assert len(set(predicted)) == len(predicted)
    assert len(set(labelled)) == len(labelled)
    assert set(labelled) <= set(predicted)


def test_most_labels_come_within_an_hour_and_some_never(told: Story) -> None:
    """The demo is about late labels: they are spread out, bounded by the join, and not complete."""
    predicted_at = {one["request_id"]: one["timestamp"] for one in bodies(told, "predictions")}
    labels = bodies(told, "labels")
    delays = [one["timestamp"] - predicted_at[one["request_id"]] for one in labels]

    assert MINUTE_MS <= min(delays) < 2 * MINUTE_MS
    assert max(delays) == 60 * MINUTE_MS
    assert median(delays) == pytest.approx(12 * MINUTE_MS, rel=0.03)
    assert len(labels) / len(predicted_at) == pytest.approx(0.97, abs=0.005)


def test_labels_overtake_one_another(told: Story) -> None:
    """A join that assumed labels in the order of predictions would pass an easier demo."""
    labelled = [one["request_id"] for one in bodies(told, "labels")]

    assert labelled != sorted(labelled)


def test_the_fault_is_where_the_story_says(told: Story) -> None:
    """A detection is judged against this position, so it is exact: unlike the control from there on."""
    control = bodies(cached(7, fault=False), "predictions")
    predictions = bodies(told, "predictions")
    first = predictions[told.fault_index]

    assert first["request_id"] == told.fault_request_id
    assert first["timestamp"] == told.fault_at_ms
    assert predictions[: told.fault_index] == control[: told.fault_index]
    changed = [one for one, other in zip(predictions, control, strict=True) if one["features"] != other["features"]]
    assert changed[0] == first
    assert changed == [one for one in predictions[told.fault_index :] if one["site"] == FAULT_SITE]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_error_rate_is_low_then_high(seed: int) -> None:
    """The rates leave no doubt about which alarm is false and which is missing."""
    told = cached(seed)
    seen = list(losses(told))
    # A label after the last faultless prediction's delay has run out can only tell of the fault's time.
    after = [loss for at_ms, loss in seen if at_ms > told.fault_at_ms + 60 * MINUTE_MS]
    before = [loss for at_ms, loss in seen if at_ms < told.fault_at_ms]

    rate_before, rate_after = sum(before) / len(before), sum(after) / len(after)

    assert rate_before < 0.01
    assert rate_after > 0.25
    assert rate_before == pytest.approx(1 - told.accuracy_before, abs=0.002)
    assert rate_after == pytest.approx(1 - told.accuracy_after, abs=0.01)


@pytest.mark.parametrize("seed", SEEDS)
def test_detectors_are_silent_until_the_fault_and_then_quick(seed: int) -> None:
    """What the demo promises its reader holds for plain detectors, without our own code between."""
    told = cached(seed)

    for alarms in (adwin_alarms(told), threshold_alarms(told, 0.05, 1_000)):
        assert told.fault_at_ms < alarms[0] < told.fault_at_ms + 60 * MINUTE_MS


@pytest.mark.parametrize("seed", SEEDS)
def test_the_control_raises_no_alarm(seed: int) -> None:
    """The same stream without the fault is quiet to its end, so the fault alone explains the alarm."""
    told = cached(seed, fault=False)

    assert adwin_alarms(told) == []
    assert threshold_alarms(told, 0.05, 500) == []
    assert told.accuracy_after == pytest.approx(told.accuracy_before, abs=0.003)
    assert "nothing is wrong" in told.what


def test_a_story_longer_than_the_data_starts_over() -> None:
    """Rows repeat only when all of them were served, and then in another order."""
    told = story(predictions=ROWS_SERVED + 3_000, fault=False)
    features = [tuple(one["features"].items()) for one in bodies(told, "predictions")]

    assert len(features) == ROWS_SERVED + 3_000
    assert set(features[ROWS_SERVED:]) <= set(features[:ROWS_SERVED])
    assert features[ROWS_SERVED:] != features[:3_000]


def test_what_names_the_data_the_model_and_the_fault(told: Story) -> None:
    """The demo prints it: the reader should know what an alert ought to say."""
    assert "Statlog" in told.what
    assert "logistic regression" in told.what
    assert f"{told.fault_index:,}" in told.what
    assert FAULT_SITE in told.what


@pytest.mark.parametrize("count", [-1, 0, 99])
def test_too_few_predictions_are_refused(count: int) -> None:
    """A rate over a handful of predictions would tell nothing; the message says how many it takes."""
    with pytest.raises(ConfigError, match=f"at least 100 predictions, got {count}"):
        story(predictions=count)
