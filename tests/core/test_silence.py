"""No data: when a stream has had none for too long."""

from itertools import pairwise

import numpy as np
import orjson

from streamguard.core.silence import Change, Silence


def regular(count: int = 30, distance: int = 100) -> Silence:
    """A stream with an outcome every so many ms, silent after a second."""
    silence = Silence(1000)
    assert silence.take(np.arange(count) * distance) == []
    return silence


def test_a_silence_is_told_when_event_time_is_past_its_limit_and_once() -> None:
    """The limit is twenty usual distances after the last outcome, at 2,900."""
    silence = regular()
    assert silence.wait(4900) == []
    assert silence.wait(4901) == [Change(4900, is_silent=True, since_ms=2900, distance_ms=100)]
    assert silence.wait(9000) == []
    assert silence.take(np.array([9500])) == [Change(9500, is_silent=False)]
    assert silence.take(np.array([9600])) == []


def test_the_time_that_is_set_is_the_least() -> None:
    """Of much traffic twenty distances are nothing."""
    silence = regular(distance=1)
    assert silence.wait(1030) == [Change(1029, is_silent=True, since_ms=29, distance_ms=1)]


def test_a_silence_between_two_outcomes_is_told_with_its_end() -> None:
    """It is over when it is noticed: both are told."""
    silence = regular()
    begun = Change(5000, is_silent=True, since_ms=3000, distance_ms=100)
    assert silence.take(np.array([3000, 9000])) == [begun, Change(9000, is_silent=False)]


def test_little_traffic_is_no_silence() -> None:
    """Of 19 outcomes nobody knows how regular they are, and of one an hour a few hours are nothing."""
    few = Silence(1000)
    few.take(np.arange(19))
    assert few.wait(1 << 40) == []
    hourly = regular(distance=3_600_000)
    assert hourly.wait(29 * 3_600_000 + 19 * 3_600_000) == []


def test_cuts_and_restarts_change_nothing() -> None:
    """The same silences at the same times, wherever the stream is cut and whoever notices first."""
    rng = np.random.default_rng(2)
    times = np.cumsum(rng.choice([50, 100, 3000, 6000], 600, p=[0.48, 0.48, 0.02, 0.02]))
    whole = Silence(1000).take(times)
    assert len(whole) > 10
    for seed in range(5):
        cuts = np.unique(np.random.default_rng(seed).integers(1, 600, 80)).tolist()
        silence, found = Silence(1000), list[Change]()
        for start, end in pairwise([0, *cuts, 600]):
            found += silence.take(times[start:end])
            if end < 600:
                found += silence.wait(int(times[end]))
            silence = Silence.restored(1000, orjson.loads(orjson.dumps(silence.snapshot())))
        assert found == whole
