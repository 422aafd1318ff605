"""Latency: what is stationary is left alone for months, and a doubling is found within minutes."""

import json
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamguard.core.environment.latency import Latency, Rise

MINUTE_MS = 60_000
DAY_MS = 86_400_000
MONTH = 30 * 24 * 60

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]


def heavy(spread: float, tail: float, shape: float) -> Draw:
    """Log-normal around 40 ms, of which a share is a Pareto variable longer."""

    def draw(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        found = 40 * np.exp(rng.normal(0, spread, count))
        is_slow = rng.random(count) < tail
        found[is_slow] *= 1 + rng.pareto(shape, int(is_slow.sum()))
        return found

    return draw


def two_ways(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Three in ten from a cache."""
    return np.where(rng.random(count) < 0.3, 8, 90) * np.exp(rng.normal(0, 0.2, count))


def alike(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Slow ones follow slow ones: each takes over seven tenths of the one before."""
    noise, level, found = rng.normal(0, 1, count), 0.0, []
    for each in noise.tolist():
        level = 0.7 * level + 0.51**0.5 * each
        found.append(40 * np.exp(0.3 * level))
    return np.array(found)


STATIONARY: dict[str, Draw] = {
    "narrow": heavy(0.15, 0.02, 1.1),
    "usual": heavy(0.3, 0.02, 1.1),
    "wide": heavy(0.5, 0.03, 1.1),
    "mostly tail": heavy(0.1, 0.5, 1.5),
    "constant": heavy(0.0, 0.0, 1.0),
    "two ways": two_ways,
    "alike": alike,
}


def run(values: Iterable[float], latency: Latency | None = None, start: int = 0) -> list[tuple[int, Rise]]:
    """What is found, and at which answer, one a minute."""
    latency = latency or Latency(DAY_MS)
    found = []
    for place, value in enumerate(values, start):
        rise = latency.take(place * MINUTE_MS, float(value))
        if rise is not None:
            found.append((place, rise))
    return found


@pytest.mark.parametrize("name", STATIONARY)
def test_a_month_of_stationary_latencies_is_silent(name: str) -> None:
    """However heavy the tail: at most one false alarm in a month of one-minute probes, and here none."""
    assert run(STATIONARY[name](np.random.default_rng(1), MONTH)) == []


@pytest.mark.parametrize(
    ("name", "usually", "most"),
    [("narrow", 8, 15), ("usual", 15, 40), ("mostly tail", 15, 20), ("constant", 6, 6), ("two ways", 30, 60)],
)
def test_a_doubling_is_found_soon(name: str, usually: int, most: int) -> None:
    """Within minutes where answers differ little, and dated to about when it began."""
    delays = []
    for seed in range(11):
        values = STATIONARY[name](np.random.default_rng(seed), 1500)
        values[500:] *= 2
        (place, rise), *_ = run(values)
        assert rise.is_wrong
        assert 480 <= rise.since_ms / MINUTE_MS <= place
        assert rise.now_ms > 1.4 * rise.usual_ms
        delays.append(place - 499)
    assert min(delays) > 0
    assert sorted(delays)[5] <= usually
    assert max(delays) <= most


def test_a_large_rise_is_found_as_soon() -> None:
    """Beyond all that was ever seen."""
    for factor in (3, 10, 1000):
        values = STATIONARY["usual"](np.random.default_rng(3), 600)
        values[500:] *= factor
        (place, rise), *_ = run(values)
        assert rise.is_wrong
        assert place <= 510


def test_a_few_slow_answers_are_no_rise() -> None:
    """Five in a row, a thousand times as slow."""
    values = STATIONARY["usual"](np.random.default_rng(3), 5000)
    for start in range(500, 5000, 100):
        values[start : start + 5] *= 1000
    assert run(values) == []


def test_it_ends_when_answers_are_quick_again() -> None:
    """Dated to then."""
    values = STATIONARY["usual"](np.random.default_rng(5), 900)
    values[500:700] *= 2
    begun, ended = run(values)
    assert (begun[1].is_wrong, ended[1].is_wrong, ended[1].is_accepted) == (True, False, False)
    assert 700 <= ended[0] < 720


def test_a_level_that_stays_is_taken_for_usual() -> None:
    """After the time that is set; a further doubling is found against it."""
    values = STATIONARY["usual"](np.random.default_rng(6), 3000)
    values[500:] *= 2
    values[2700:] *= 2
    _, (place, accepted), (_, again) = run(values)
    assert accepted.is_accepted
    assert accepted.now_ms > 1.4 * accepted.usual_ms
    assert place * MINUTE_MS - 500 * MINUTE_MS <= DAY_MS + 10 * MINUTE_MS
    assert again.is_wrong
    assert 65 < again.usual_ms < 110
    assert again.since_ms >= 2690 * MINUTE_MS


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 899), max_size=4))
def test_to_stop_and_go_on_changes_nothing(seed: int, cuts: list[int]) -> None:
    """From a snapshot as JSON."""
    values = STATIONARY["alike" if seed % 2 else "usual"](np.random.default_rng(seed), 900)
    values[400:700] *= 3
    whole, latency, parts = Latency(DAY_MS), Latency(DAY_MS), []
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), 900], strict=True):
        latency = Latency(DAY_MS, json.loads(json.dumps(latency.snapshot())))
        parts += run(values[start:end], latency, start)
    assert parts == run(values, whole)
    assert latency.snapshot() == whole.snapshot()


@given(st.lists(st.floats(min_value=5e-324, max_value=1e9), max_size=300))
def test_any_latency_is_taken(values: list[float]) -> None:
    """And the state stays small."""
    latency = Latency(DAY_MS)
    run(values * 3, latency)
    assert len(json.dumps(latency.snapshot())) < 20_000
