"""What alarms are worth, counted by hand, and what holds whatever they are."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.alerts import Alert, Status
from streamguard.core.detectors import Direction
from streamguard.replay.scoring import Alarm, Score, outside, per_month, references, score
from streamguard.replay.truth import Incident

DAY_MS = 86_400_000
MONTH_MS = 30 * DAY_MS
SPAN = (0, MONTH_MS)


def alarm(day: float, monitor: str = "fraud", kind: str = "mismatch_drift", **segment: str | None) -> Alarm:
    """Raised so many days after the first outcome."""
    return Alarm(int(day * DAY_MS), monitor, segment, kind)


def incident(start: float, end: float | None = None, monitor: str | None = None, **segment: str | None) -> Incident:
    """From one day to another."""
    return Incident("x", int(start * DAY_MS), None if end is None else int(end * DAY_MS), monitor, segment or None)


def alert(status: Status = Status.RAISED, direction: Direction = Direction.WORSE) -> dict[str, Any]:
    """An alert's data, as a monitor task writes them."""
    written = Alert(
        status=status,
        kind="mismatch_drift",
        severity="critical",
        monitor="fraud",
        segment={"version": "7", "site": None},
        model=None,
        version="7",
        check={"type": "threshold"},
        event_time_ms=1_767_715_426_250,
        trigger=(1_767_715_426_250, 0, 1, 1),
        direction=direction,
    ).output("streamguard/x")
    data: dict[str, Any] = orjson.loads(written.value or b"")
    return data


def test_an_alarm_is_read_from_the_alert_that_is_published() -> None:
    """Time, monitor, segment and kind are those of the alert."""
    expected = Alarm(1_767_715_426_250, "fraud", {"version": "7", "site": None}, "mismatch_drift")
    assert Alarm.of(alert()) == expected
    assert Alarm.of(alert(direction=Direction.UNKNOWN)) == expected


@pytest.mark.parametrize(
    "data",
    [
        alert(status=Status.UPDATED),
        alert(status=Status.RESOLVED),
        alert(direction=Direction.BETTER),
    ],
)
def test_what_calls_nobody_is_no_alarm(data: dict[str, Any]) -> None:
    """An update, an end, and a notice that something got better."""
    assert Alarm.of(data) is None


def test_delays_and_false_alarms_are_counted() -> None:
    """Incidents of days 10 to 12, 20 to 21 and 25 to 27; alarms two days, a half and none after; two are false."""
    incidents = [incident(25, 27), incident(10, 12), incident(20, 21)]
    alarms = [alarm(22), alarm(12), alarm(11.9), alarm(20.5), alarm(20.75), alarm(3)]

    found = score(alarms, incidents, SPAN)

    assert found == Score(
        found=2,
        missed=1,
        delay_median_s=(1.9 + 0.5) / 2 * 86_400,
        delay_worst_s=1.9 * 86_400,
        outcomes_median=None,
        false_alarms=2,
        # 30 days without 2, 1 and 2.
        false_per_month=2 * 30 / 25,
        delays_s=(None, 1.9 * 86_400, 0.5 * 86_400),
    )


def test_both_ends_of_an_incident_belong_to_it() -> None:
    """To the millisecond, and so does the end of the grace."""
    event = Incident("x", 1000, 2000)
    at = [replace(alarm(0), time_ms=time_ms) for time_ms in (999, 1000, 2000, 2001)]
    assert [score([each], [event], SPAN).found for each in at] == [0, 1, 1, 0]
    assert [score([each], [event], SPAN, grace_ms=1).found for each in at] == [0, 1, 1, 1]
    assert [score([each], [event], SPAN, grace_ms=1).false_alarms for each in at] == [1, 0, 0, 0]


def test_what_stays_has_no_end() -> None:
    """An alarm belongs to it even after the last outcome, as one of silence may be."""
    found = score([alarm(31)], [incident(10)], SPAN)
    assert (found.found, found.false_alarms, found.delay_worst_s) == (1, 0, 21 * 86_400)


@pytest.mark.parametrize(
    ("raised", "event", "fits"),
    [
        (alarm(1), incident(0), True),
        (alarm(1, version="7"), incident(0), True),
        (alarm(1, "churn"), incident(0, monitor="fraud"), False),
        (alarm(1), incident(0, monitor="fraud"), True),
        (alarm(1, version="7"), incident(0, version="7"), True),
        (alarm(1, version="8"), incident(0, version="7"), False),
        (alarm(1, version=None), incident(0, version="7"), False),
        (alarm(1, version="7"), incident(0, version=None), False),
        (alarm(1, version="7", country="DE"), incident(0, version="7"), True),
        (alarm(1, version="7", country="DE"), incident(0, version="7", country="FR"), False),
        # Of the whole, and of all versions of a country.
        (alarm(1), incident(0, version="7"), True),
        (alarm(1, country="DE"), incident(0, version="7"), True),
        (alarm(1, country="DE"), incident(0, version="7", country="FR"), False),
        (alarm(1, "churn", version="7"), incident(0, monitor="fraud", version="7"), False),
    ],
)
def test_an_alarm_fits_what_it_may_be_about(raised: Alarm, event: Incident, fits: bool) -> None:  # noqa: FBT001
    """Monitor and segment must agree where the incident names them; what does not fit is false."""
    found = score([raised], [event], SPAN)
    assert (found.found, found.false_alarms) == ((1, 0) if fits else (0, 1))


def test_one_alarm_may_find_several_incidents() -> None:
    """Those that overlap, each with its own delay."""
    found = score([alarm(12)], [incident(10, 14), incident(11, 13), incident(13, 15)], SPAN)
    assert (found.found, found.missed, found.false_alarms) == (2, 1, 0)
    assert (found.delay_median_s, found.delay_worst_s) == (1.5 * 86_400, 2 * 86_400)


def test_time_is_exposed_where_an_alarm_could_be_false() -> None:
    """During an incident of one segment others can be wrong; the time of what is anywhere counts once."""
    alarms = [alarm(2, version="8")]
    assert score(alarms, [incident(0, 30, version="7")], SPAN).false_per_month == 1.0
    assert score(alarms, [incident(0, 30, monitor="churn")], SPAN).false_per_month == 1.0
    overlapping = [incident(10, 20), incident(15, 25), incident(20, 22)]
    assert score(alarms, overlapping, SPAN).false_per_month == 2.0
    assert score(alarms, [incident(10)], SPAN).false_per_month == 3.0
    assert score(alarms, [incident(10, 15)], SPAN, grace_ms=5 * DAY_MS).false_per_month == 1.5


def test_incidents_outside_the_range_are_not_scored() -> None:
    """Their alarms are not false, nor is their time exposed; those at the first and the last outcome are scored."""
    early, late = incident(-5, 15), incident(31)
    ends = [incident(0, 0), incident(30)]

    assert outside([early, *ends, late], SPAN) == [early, late]
    found = score([alarm(3), alarm(20)], [early, late], SPAN)
    assert (found.found, found.missed, found.false_alarms, found.false_per_month) == (0, 0, 1, 2.0)
    assert score([], ends, SPAN).missed == 2


@pytest.mark.parametrize("kind", ["segments_full", "type_disagreement"])
def test_what_is_said_of_settings_is_neither_found_nor_false(kind: str) -> None:
    """It tells of the configuration, not of the stream."""
    found = score([alarm(2, kind=kind), alarm(20, kind=kind)], [incident(1, 3)], SPAN)
    assert (found.found, found.missed, found.false_alarms) == (0, 1, 0)


def test_outcomes_are_counted_from_the_begin_to_the_alarm() -> None:
    """By whoever knows them, for each incident that is found."""
    asked = []

    def count(event: Incident, since_ms: int, until_ms: int) -> int:
        asked.append((event, since_ms // DAY_MS, until_ms // DAY_MS))
        return (until_ms - since_ms) // DAY_MS * 100

    incidents = [incident(1, 5, version="7"), incident(10, 20), incident(22, 23)]
    found = score([alarm(2), alarm(17)], incidents, SPAN, count)

    assert asked == [(incidents[0], 1, 2), (incidents[1], 10, 17)]
    assert found.outcomes_median == 400
    assert score([], incidents, SPAN, count).outcomes_median is None


def test_of_nothing_there_is_nothing() -> None:
    """No division by a range without length."""
    assert score([], [], (5, 5)) == Score(0, 0, None, None, None, 0, 0.0)
    assert score([alarm(0)], [], (0, 0)).false_per_month == 0.0


def test_a_month_has_thirty_days() -> None:
    """Three in ten days are nine a month; of no time at all there is none."""
    assert per_month(3, 10 * DAY_MS) == 9.0
    assert per_month(3, 0) == 0.0


def test_always_and_never_alarming_are_told() -> None:
    """Ten days, an alarm at 0, 1, ... 10; those at 4, 5 and 6 are in an incident that begins at 3.25."""
    incidents = [incident(3.25, 6, "fraud", version="7"), incident(8.5, 8.75)]

    always, never = references(incidents, (0, 10 * DAY_MS), DAY_MS, lambda _, since, until: until - since)

    assert always == Score(
        found=1,
        missed=1,
        delay_median_s=0.75 * 86_400,
        delay_worst_s=0.75 * 86_400,
        outcomes_median=3 * DAY_MS // 4,
        false_alarms=8,
        false_per_month=8 * 30 / 7,
        delays_s=(0.75 * 86_400, None),
    )
    assert never == Score(0, 2, None, None, None, 0, 0.0, (None, None))


def test_always_ends_with_the_range() -> None:
    """What begins after its last alarm is missed, and no cooldown at all is one of a millisecond."""
    always, _ = references([incident(9.5)], (0, 10 * DAY_MS), 3 * DAY_MS)
    assert (always.found, always.false_alarms) == (0, 4)
    always, _ = references([Incident("x", 3, 5)], (0, 9), 0)
    assert (always.found, always.delay_worst_s, always.false_alarms) == (1, 0.0, 7)


def test_the_grace_is_part_of_an_incident_for_the_references_too() -> None:
    """The alarm of day 4 finds what was over on day 3.5."""
    always, _ = references([incident(3.25, 3.5)], (0, 10 * DAY_MS), DAY_MS, grace_ms=DAY_MS)
    assert (always.found, always.false_alarms) == (1, 10)


def test_an_alarm_between_two_incidents_that_meet_is_in_both() -> None:
    """Of the alarms of days 0 to 10 those of 2 to 6 are not false, that of day 4 once."""
    always, _ = references([incident(2, 4), incident(4, 6)], (0, 10 * DAY_MS), DAY_MS)
    assert (always.found, always.false_alarms) == (2, 6)


NAMES = st.none() | st.sampled_from(["fraud", "churn"])
SEGMENTS = st.dictionaries(st.sampled_from(["version", "country"]), st.none() | st.sampled_from("78"), max_size=2)
TIMES = st.integers(-100, 1100)
ALARMS = st.lists(
    st.builds(Alarm, TIMES, st.sampled_from(["fraud", "churn"]), SEGMENTS, st.sampled_from(["a", "segments_full"])),
    max_size=12,
)
INCIDENTS = st.lists(
    st.builds(
        lambda start, length, monitor, segment: Incident(
            "x", start, None if length is None else start + length, monitor, segment or None
        ),
        TIMES,
        st.none() | st.integers(0, 300),
        NAMES,
        SEGMENTS,
    ),
    max_size=6,
)
GRACES = st.integers(0, 50)
RANGE = (0, 1000)


def plainly(alarms: Sequence[Alarm], incidents: Sequence[Incident], grace_ms: int) -> tuple[int, int, int, list[float]]:
    """Found, missed, false and delays, as the definitions say it, one alarm and one incident at a time."""

    def belongs(raised: Alarm, event: Incident) -> bool:
        agrees = all(raised.segment[key] == (event.segment or {})[key] for key in raised.segment if key in named(event))
        return (
            raised.time_ms >= event.from_ms
            and (event.to_ms is None or raised.time_ms <= event.to_ms + grace_ms)
            and event.monitor in {None, raised.monitor}
            and agrees
        )

    def named(event: Incident) -> set[str]:
        return set(event.segment or {})

    counted = [each for each in alarms if each.kind == "a"]
    scored = [each for each in incidents if 0 <= each.from_ms <= 1000]
    firsts = [[each.time_ms - event.from_ms for each in counted if belongs(each, event)] for event in scored]
    false = sum(not any(belongs(each, event) for event in incidents) for each in counted)
    delays = [min(each) / 1000 for each in firsts if each]
    return len(delays), len(scored) - len(delays), false, delays


@given(ALARMS, INCIDENTS, GRACES)
def test_the_score_is_what_the_definitions_say(alarms: list[Alarm], incidents: list[Incident], grace_ms: int) -> None:
    """And the exposed time is that at which an alarm of no known monitor and segment would be false."""
    found = score(alarms, incidents, RANGE, grace_ms=grace_ms)

    good, missed, false, delays = plainly(alarms, incidents, grace_ms)
    assert (found.found, found.missed, found.false_alarms) == (good, missed, false)
    assert found.delay_worst_s == max(delays, default=None)
    assert good + missed + len(outside(incidents, RANGE)) == len(incidents)
    strange = {"version": "?", "country": "?"}
    halves = [Alarm(2 * time_ms + 1, "?", strange, "a") for time_ms in range(1000)]
    doubled = [
        replace(each, from_ms=2 * each.from_ms, to_ms=None if each.to_ms is None else 2 * each.to_ms)
        for each in incidents
    ]
    exposed_ms = score(halves, doubled, (0, 2000), grace_ms=2 * grace_ms).false_alarms
    assert found.false_per_month == per_month(false, exposed_ms)


@given(ALARMS, INCIDENTS, GRACES, st.permutations(range(12)), st.integers(-(10**6), 10**12))
def test_neither_order_nor_origin_counts(
    alarms: list[Alarm], incidents: list[Incident], grace_ms: int, order: list[int], shift: int
) -> None:
    """Alarms in another order, and all times moved by the same."""
    moved = [replace(alarms[place], time_ms=alarms[place].time_ms + shift) for place in order if place < len(alarms)]
    later = [
        replace(each, from_ms=each.from_ms + shift, to_ms=None if each.to_ms is None else each.to_ms + shift)
        for each in incidents
    ]
    span = (RANGE[0] + shift, RANGE[1] + shift)
    assert score(moved, later, span, grace_ms=grace_ms) == score(alarms, incidents, RANGE, grace_ms=grace_ms)
    assert references(later, span, 70, grace_ms=grace_ms) == references(incidents, RANGE, 70, grace_ms=grace_ms)


@given(ALARMS, INCIDENTS, GRACES, st.builds(Alarm, TIMES, st.just("fraud"), SEGMENTS, st.just("a")))
def test_one_more_alarm_is_found_or_false(
    alarms: list[Alarm], incidents: list[Incident], grace_ms: int, more: Alarm
) -> None:
    """Outside all incidents it changes only how many are false; inside it finds no less, and no later."""
    before = score(alarms, incidents, RANGE, grace_ms=grace_ms)
    after = score([*alarms, more], incidents, RANGE, grace_ms=grace_ms)
    if score([more], incidents, RANGE, grace_ms=grace_ms).false_alarms:
        assert after.false_alarms == before.false_alarms + 1
        assert replace(after, false_alarms=0, false_per_month=0.0) == replace(
            before, false_alarms=0, false_per_month=0.0
        )
    else:
        assert (after.false_alarms, after.false_per_month) == (before.false_alarms, before.false_per_month)
        assert after.found >= before.found
        if after.found == before.found > 0:
            assert (after.delay_worst_s or 0) <= (before.delay_worst_s or 0)


@given(INCIDENTS, GRACES, st.integers(0, 300))
def test_the_references_are_what_their_alarms_would_score(
    incidents: list[Incident], grace_ms: int, cooldown_ms: int
) -> None:
    """Always: an alarm at each cooldown that fits anything; whatever lasts a cooldown is found. Never: nothing is."""
    anyones = [replace(each, monitor=None) for each in incidents]
    anywhere = [replace(each, segment=None) for each in anyones]
    ticks = range(0, 1001, max(1, cooldown_ms))
    alarms = [Alarm(time_ms, "any", {}, "a") for time_ms in ticks]

    always, never = references(incidents, RANGE, cooldown_ms, grace_ms=grace_ms)

    assert always == score(alarms, anywhere, RANGE, grace_ms=grace_ms)
    assert never == score([], anywhere, RANGE, grace_ms=grace_ms)
    assert (never.found, never.false_alarms) == (0, 0)
    inside: Callable[[Incident], bool] = lambda each: 0 <= each.from_ms <= 1000 - cooldown_ms  # noqa: E731
    lasting = [each for each in incidents if inside(each) and (each.to_ms or 9999) - each.from_ms >= cooldown_ms]
    assert always.found >= len(lasting)
