"""`python -m benchmarks.volume`: labels that stop for a day, from noon, at night, at a weekend; and normal weeks."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.volume.streams import DAY, MINUTE_MS, START_MS, WEEK, Stream, windows
from streamguard.core.alerts import Alert
from streamguard.core.arrivals.volume import Volume, VolumeSettings
from streamguard.core.features.gathering import Window

KINDS = ("steady", "seasonal", "bursty", "nightly batch")
SETTINGS = VolumeSettings(
    "input:labels",
    "labels",
    "labels",
    "critical",
    baseline_ms=2 * WEEK * MINUTE_MS,
    is_seasonal=True,
    falls_to=0.5,
    silent_after_ms=None,
    accept_after_ms=None,
)
STOPS = {"Tuesday noon": DAY + DAY // 2, "Wednesday 02:00": 2 * DAY + 120, "Saturday 20:00": 5 * DAY + 1200}
_LEARNT_WEEKS = 3


def alerts_of(counts: NDArray[np.int64], settings: VolumeSettings = SETTINGS) -> list[Alert]:
    """What is told of counts by the minute."""
    volume = Volume(settings)
    found: list[Alert] = []
    for start_ms, count in windows(counts):
        found += volume.wait(start_ms)
        volume.take(Window(("input:labels", (None,)), start_ms, start_ms + MINUTE_MS, np.zeros(1, np.int64), count))
    return found + volume.wait(START_MS + len(counts) * MINUTE_MS)


def stopped(stream: Stream, weeks: int, minute: int, part: float = 0.0) -> NDArray[np.int64]:
    """Counts of which only a part comes for a day, from that minute of the fourth week on."""
    counts = stream.counts(weeks)
    begin = _LEARNT_WEEKS * WEEK + minute
    rng = np.random.default_rng(7)
    counts[begin : begin + DAY] = rng.binomial(counts[begin : begin + DAY], part)
    return counts


def expected_until(stream: Stream, minute: int, hours: float) -> float:
    """What was to be expected in so many hours after that minute."""
    begin = _LEARNT_WEEKS * WEEK + minute
    return float(stream.rates(_LEARNT_WEEKS + 2)[begin : begin + round(hours * 60)].sum())


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was found; returns 1 where a stop was not told of just once, or a normal week was."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.volume", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--weeks", type=int, default=26)
    parser.add_argument("--a-day", type=float, nargs="*", default=[200.0, 5_000.0, 200_000.0])
    asked = parser.parse_args(arguments)
    is_bad = False
    for kind in KINDS:
        for a_day in asked.a_day:
            is_bad |= _normal(kind, a_day, asked)
            is_bad |= _stops(kind, a_day, asked)
    return int(is_bad)


def _normal(kind: str, a_day: float, asked: Any) -> bool:
    found = [len(alerts_of(Stream(kind, a_day, seed).counts(asked.weeks))) for seed in range(asked.seeds)]
    months = asked.seeds * (asked.weeks - 2) * 7 / 30
    alarms = sum(found) / 2
    print(f"{kind}, {a_day:,.0f} a day: {alarms:g} false alarms in {months:.0f} months")
    return alarms > months / 10


def _stops(kind: str, a_day: float, asked: Any) -> bool:
    is_bad = False
    for name, minute in STOPS.items():
        delays = []
        for seed in range(asked.seeds):
            stream = Stream(kind, a_day, seed + 100)
            found = alerts_of(stopped(stream, _LEARNT_WEEKS + 2, minute))
            begin_ms = START_MS + (_LEARNT_WEEKS * WEEK + minute) * MINUTE_MS
            told = [(alert.status.value, (alert.event_time_ms - begin_ms) / 3_600_000) for alert in found]
            is_bad |= [status for status, _ in told] != ["raised", "resolved"]
            delays += [hours for status, hours in told if status == "raised"]
        missed = asked.seeds - len(delays)
        middle = float(np.median(delays)) if delays else float("nan")
        print(
            f"    stopped {name}: {missed} missed, told after {middle:.2g} h, when"
            f" {expected_until(Stream(kind, a_day), minute, middle if delays else 0):,.0f} were expected"
        )
    return is_bad


if __name__ == "__main__":
    sys.exit(main())
