"""Records that stop, or fall off: told once, soon, and only then."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from benchmarks.volume.__main__ import SETTINGS, alerts_of
from benchmarks.volume.streams import DAY, MINUTE_MS, START_MS, WEEK, Stream, windows
from streamguard.core.alerts import Alert
from streamguard.core.arrivals.usual import SLOT_MS
from streamguard.core.arrivals.volume import Volume, VolumeSettings
from streamguard.core.features.gathering import Window

Minutes = NDArray[np.int64]
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
BEGIN = 3 * WEEK
"""The minute from which on something happens."""
SOON = replace(SETTINGS, baseline_ms=2 * DAY_MS, is_seasonal=False)
"""Learnt within four days."""


def fallen(stream: Stream, minute: int, part: float, length: int = DAY, weeks: int = 5) -> Minutes:
    """Of which only a part comes for some minutes."""
    counts = stream.counts(weeks)
    begin = BEGIN + minute
    counts[begin : begin + length] = np.random.default_rng(1).binomial(counts[begin : begin + length], part)
    return counts


def statuses(alerts: list[Alert]) -> list[str]:
    """What was told."""
    return [each.resolution or each.status.value for each in alerts]


def hours_after(alert: Alert, minute: int) -> float:
    """How late it was told."""
    return (alert.event_time_ms - START_MS - (BEGIN + minute) * MINUTE_MS) / HOUR_MS


@pytest.mark.parametrize(
    ("minute", "hours"),
    [(DAY + 720, 1.0), (2 * DAY + 120, 7.0), (5 * DAY + 1200, 15.0)],
    ids=["day", "night", "weekend"],
)
def test_a_stop_is_told_once_and_so_is_its_end(minute: int, hours: float) -> None:
    """By day soon; at night and at a weekend as soon as something was to be expected."""
    alerts = alerts_of(fallen(Stream("seasonal", 5000), minute, 0.0))
    assert statuses(alerts) == ["raised", "recovered"]
    raised, resolved = alerts
    assert 0 < hours_after(raised, minute) <= hours
    assert raised.volume is not None
    assert raised.volume["count"] <= 0.1 * raised.volume["expected"]
    assert "look at what writes topic labels" in raised.look_first[0]
    assert raised.onset_ms is not None
    assert abs(raised.onset_ms - START_MS - (BEGIN + minute) * MINUTE_MS) <= 2 * HOUR_MS
    assert 24 <= hours_after(resolved, minute) <= 24 + 12
    assert resolved.episode == raised.episode == raised.id
    assert resolved.duration_ms == resolved.event_time_ms - raised.event_time_ms


def test_a_fall_to_a_part_is_told() -> None:
    """What still comes is said, against what is usual."""
    alerts = alerts_of(fallen(Stream("seasonal", 5000), DAY, 0.3))
    assert statuses(alerts) == ["raised", "recovered"]
    assert " of what is usual, over " in alerts[0].look_first[0]
    found = alerts[0].volume
    assert found is not None
    assert 0 < found["count"] < 0.5 * found["expected"]


def test_a_fall_that_is_not_as_far_is_not_told() -> None:
    """To 70% is above the half that is set."""
    assert alerts_of(fallen(Stream("seasonal", 5000), DAY, 0.7)) == []


@pytest.mark.parametrize("kind", ["steady", "seasonal", "bursty", "nightly batch"])
def test_normal_weeks_are_silent(kind: str) -> None:
    """Nights, weekends, bursts and batches are no news."""
    assert alerts_of(Stream(kind, 2000).counts(7)) == []


def test_a_nightly_batch_that_does_not_come_is_told() -> None:
    """The same night; nothing was to be expected by day."""
    begin = DAY
    alerts = alerts_of(fallen(Stream("nightly batch", 5000), begin, 0.0))
    assert statuses(alerts) == ["raised", "recovered"]
    assert hours_after(alerts[0], begin) < 12


def test_silence_is_told_while_nothing_is_learnt_yet() -> None:
    """Where it is set how long is too long."""
    counts = np.zeros(2 * DAY, np.int64)
    counts[[0, 1, 300, 1500]] = 1
    settings = replace(SETTINGS, silent_after_ms=6 * HOUR_MS)
    assert alerts_of(counts) == []
    alerts = alerts_of(counts, settings)
    assert statuses(alerts) == ["raised", "recovered", "raised"]
    assert alerts[0].event_time_ms - START_MS == (301 + 360 + 4) // 5 * 5 * MINUTE_MS
    assert alerts[0].look_first[0].startswith("no labels since ")
    assert alerts[0].volume == {"topic": "labels", "count": 0, "expected": None, "over_s": 6 * 3600}


def test_what_goes_on_is_accepted_and_learnt_anew() -> None:
    """Then it is usual, and told of no more."""
    settings = replace(SOON, accept_after_ms=3 * DAY_MS)
    counts = Stream("steady", 20_000).counts(4)
    counts[WEEK:] = np.random.default_rng(1).binomial(counts[WEEK:], 0.3)
    alerts = alerts_of(counts, settings)
    assert statuses(alerts) == ["raised", "accepted"]
    assert alerts[1].event_time_ms - alerts[0].event_time_ms == 3 * DAY_MS
    # And less than that is news again.
    counts[3 * WEEK + DAY :] = 0
    assert statuses(alerts_of(counts, settings))[:3] == ["raised", "accepted", "raised"]


def test_nothing_is_told_of_an_input_that_never_had_a_record() -> None:
    """Its volume is not known."""
    volume = Volume(replace(SETTINGS, silent_after_ms=1))
    assert volume.wait(START_MS) == []


@pytest.mark.parametrize("accept_after_ms", [None, 7 * DAY_MS])
@pytest.mark.parametrize("silent_after_ms", [None, DAY_MS])
def test_time_that_jumps_is_no_work(accept_after_ms: int | None, silent_after_ms: int | None) -> None:
    """A record of 1970 among those of today must not make a worker walk through all slots between, nor tell of each."""
    settings = replace(SETTINGS, accept_after_ms=accept_after_ms, silent_after_ms=silent_after_ms)
    volume = Volume(settings)
    alerts = volume.wait(0)
    volume.take(window(0, 1))
    alerts += volume.wait(253_402_300_799_999)
    assert len(alerts) <= 20


@pytest.mark.parametrize("settings", [SOON, replace(SOON, accept_after_ms=DAY_MS)])
def test_how_far_time_goes_at_once_changes_nothing(settings: VolumeSettings) -> None:
    """Polls decide how often is waited; a silence of months, and one record after it, are told the same."""
    counts = Stream("steady", 500).counts(40)
    counts[2 * WEEK : 38 * WEEK] = 0
    assert told(counts, settings, lambda volume, at_ms: volume.wait(at_ms)) == told(counts, settings, _by_days)


def _by_days(volume: Volume, until_ms: int) -> list[Alert]:
    first_ms = max(START_MS, (volume._last_ms or START_MS) // DAY_MS * DAY_MS)
    return [alert for at_ms in [*range(first_ms, until_ms, DAY_MS), until_ms] for alert in volume.wait(at_ms)]


def told(counts: Minutes, settings: VolumeSettings, wait: Callable[[Volume, int], list[Alert]]) -> list[bytes]:
    """Byte for byte."""
    volume = Volume(settings)
    alerts: list[Alert] = []
    for start_ms, count in windows(counts):
        alerts += wait(volume, start_ms)
        volume.take(window(start_ms, count))
    alerts += wait(volume, START_MS + len(counts) * MINUTE_MS)
    return [each.data() for each in alerts]


def window(start_ms: int, count: int) -> Window:
    """Of so many records."""
    return Window(("input:labels", (None,)), start_ms, start_ms + MINUTE_MS, np.zeros(1, np.int64), count)


@pytest.mark.parametrize("settings", [SOON, replace(SOON, accept_after_ms=6 * HOUR_MS, silent_after_ms=2 * HOUR_MS)])
def test_one_from_a_snapshot_tells_the_same(settings: VolumeSettings) -> None:
    """Taken anywhere: while learning, within an hour, and while an episode is open."""
    counts = Stream("steady", 3000, seed=4).counts(1)
    counts[5 * DAY + 333 : 5 * DAY + 900] = 0
    counts = counts[: 6 * DAY]
    steady, restored = Volume(settings), Volume(settings)
    alerts: list[list[bytes]] = [[], []]
    for number, start in enumerate(range(0, len(counts), SLOT_MS // MINUTE_MS)):
        if number % 7 == 0 or start >= 5 * DAY + 300:
            restored = Volume(settings, orjson.loads(orjson.dumps(restored.snapshot())))
        for each, own in zip((steady, restored), alerts, strict=True):
            for minute in range(start, start + 5):
                if counts[minute]:
                    at_ms = START_MS + minute * MINUTE_MS
                    own += [alert.data() for alert in each.wait(at_ms)]
                    each.take(window(at_ms, int(counts[minute])))
        assert restored.snapshot() == steady.snapshot()
    assert alerts[0] == alerts[1]
    assert len(alerts[0]) >= 2
