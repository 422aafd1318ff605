"""The budget of false alarms, shared out over segments as they appear."""

import numpy as np
import orjson
import pytest

from streamguard.core.budget import MONTH_MS, Flow

DAY_MS = MONTH_MS // 30


def given(flow: Flow, *days: float) -> list[float]:
    """What each segment has been given by these days."""
    return [round(float(each), 9) for each in flow.at(np.array([int(day * DAY_MS) for day in days]))]


def test_each_segment_gets_an_equal_share_from_when_it_appears() -> None:
    """Three a month are 0.1 a day: all to one for ten days, then half to each."""
    flow = Flow(3.0)
    flow.appear(0)
    flow.appear(10 * DAY_MS)
    assert given(flow, 0, 5, 10, 20) == [0.0, 0.5, 1.0, 1.5]


def test_all_together_never_get_more_than_the_budget() -> None:
    """However many appear, and whenever: the sum of what they were given is at most what has flowed."""
    rng = np.random.default_rng(3)
    births = np.sort(rng.integers(0, MONTH_MS, 50))
    births[0] = 0
    flow = Flow(1.0)
    for birth in births.tolist():
        flow.appear(birth)
    end = float(flow.at(np.array([MONTH_MS]))[0])
    total = sum(end - float(flow.at(np.array([birth]))[0]) for birth in births)
    assert total == pytest.approx(1.0)


def test_where_it_is_cut_changes_no_bit() -> None:
    """A batch may end anywhere, and a restart come there."""
    times = np.sort(np.random.default_rng(1).integers(0, MONTH_MS, 200))
    births = times[::40].tolist()
    whole = Flow(7.0)
    for birth in births:
        whole.appear(birth)
    expected = whole.at(times).tolist()

    cut, found = Flow(7.0), list[float]()
    for start in range(0, 200, 13):
        piece = times[start : start + 13]
        for birth in births:
            if piece[0] <= birth <= piece[-1]:
                cut.appear(birth)
        found += cut.at(piece).tolist()
        cut.settle(int(piece[-1]))
        state, count = orjson.loads(orjson.dumps(cut.snapshot())), cut.segments
        cut = Flow(7.0)
        cut.restore(state, count)
    assert found == expected


def test_another_budget_counts_from_where_the_stream_had_come() -> None:
    """Days that have passed are not paid again at the new rate: that would be an alarm at once."""
    flow = Flow(3.0)
    flow.appear(0)
    flow.settle(10 * DAY_MS)
    richer = Flow(30.0)
    richer.restore(flow.snapshot(), 1)
    assert given(richer, 10, 11) == [1.0, 2.0]


def test_a_budget_that_is_new_begins_with_the_next_row() -> None:
    """The segments are known already, from a snapshot of before there was a budget."""
    flow = Flow(3.0)
    flow.restore(None, 2)
    flow.begin(100 * DAY_MS)
    flow.begin(105 * DAY_MS)
    assert given(flow, 100, 110) == [0.0, 0.5]


def test_segments_that_are_gone_keep_no_share() -> None:
    """A monitor that means something else now has forgotten them."""
    flow = Flow(3.0)
    for day in range(3):
        flow.appear(day * DAY_MS)
    flow.settle(10 * DAY_MS)
    left = Flow(3.0)
    left.restore(flow.snapshot(), 1)
    (first, second) = given(left, 10, 11)
    assert second - first == pytest.approx(0.1)
    none = Flow(3.0)
    none.restore(flow.snapshot(), 0)
    none.appear(20 * DAY_MS)
    assert given(none, 20, 30) == [0.0, 1.0]


def test_many_segments_cost_no_more_than_each() -> None:
    """Ten thousand appear in one step, and each asks for its share: not each time of all of them."""
    flow = Flow(1.0)
    for number in range(10_000):
        flow.appear(number)
    for number in range(10_000):
        flow.at(np.array([10_000 + number]))
    assert flow.segments == 10_000
