"""What is told of predictions that are not as in training, and what is not."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from random import Random
from typing import Any

import pytest

from streamguard.core.alerts import Alert, Status
from streamguard.core.detectors import Direction
from streamguard.profile import build
from streamguard.reference.document import Profile
from tests.core.features.helpers import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    START_MS,
    Live,
    Row,
    live,
    minutes,
    profile_of,
    row,
)

PROFILE = profile_of()
CLEAN = 150
"""Windows before a change."""
CHANGE_MS = START_MS + CLEAN * MINUTE_MS
STEPS = {"note": ["lower_case", "collapse_whitespace"]}


def changed(*others: Row, seed: int = 1, clean: int = CLEAN, bad: int = 30, **settings: Any) -> Live:
    """A stream that is as in training, and then has these instead, one stretch of windows after the other."""
    found = live(PROFILE, **settings)
    found.go(START_MS, chain(minutes(seed, clean), *(minutes(seed + 7, bad, **other) for other in others)))
    return found


def told(alerts: Iterable[Alert]) -> list[tuple[str, str, str]]:
    """Of each alert what has moved: feature, trait, and how."""
    return [(each["feature"], each["trait"] or "", each["change"]) for alert in alerts for each in _moved(alert)]


def _moved(alert: Alert) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (alert.features or {})["moved"]
    return found


@pytest.mark.parametrize(
    ("other", "wanted", "words"),
    [
        ({"age": 50.5}, ("age", "", "location"), "`age` is larger than in training: median"),
        ({"age": 30}, ("age", "", "location"), "`age` is smaller than in training: median"),
        ({"age": 95.5}, ("age", "", "location"), "`age` is larger than in training: median above "),
        ({"age": 40.5}, ("age", "", "spread"), "`age` is nearer to its middle than in training (median"),
        ({"plan": "enterprise"}, ("plan", "", "others"), "`plan` is none of training's frequent values in"),
        ({"plan": "trial"}, ("plan", "", "value"), "`plan` is 'trial' in"),
        ({"age": None}, ("age", "", "missing"), "`age` "),
        ({"plan": None}, ("plan", "", "missing"), "`plan` "),
        ({"note": None}, ("note", "", "missing"), "`note` "),
        ({"age": "41"}, ("age", "", "odd"), "`age` is not a number in"),
        ({"plan": 3}, ("plan", "", "odd"), "`plan` is of another type in"),
        ({"note": 3}, ("note", "", "odd"), "`note` is not a text in"),
        ({"note": "thanks " * 30}, ("note", "length", "location"), "`note` is longer than in training: median above "),
        ({"note": "please send the bi"}, ("note", "length", "location"), "`note` is longer than in training: median"),
        ({"note": "12345 67890"}, ("note", "digits", "location"), "`note` has more digits: "),
        (
            {"extra": 1},
            ("features", "names", "unknown"),
            "of predictions carry fields that training did not have, such",
        ),
    ],
)
def test_a_change_is_told(other: Row, wanted: tuple[str, str, str], words: str) -> None:
    """Within minutes, by the feature that has changed, in words; of what has changed in other ways no word."""
    found = changed(other)
    (alert,) = found.alerts
    assert (alert.status, alert.monitor, alert.segment, alert.direction) == (Status.RAISED, "m", {}, Direction.UNKNOWN)
    assert alert.kind == "data_drift"
    assert CHANGE_MS < alert.event_time_ms <= CHANGE_MS + 3 * MINUTE_MS
    assert alert.onset_ms is not None
    assert abs(alert.onset_ms - CHANGE_MS) <= 20 * MINUTE_MS
    assert wanted in told([alert])
    assert {feature for feature, _, _ in told([alert])} == {wanted[0]}
    assert words in " ".join(alert.look_first)
    assert alert.episode == alert.id
    assert alert.data()


def test_a_feature_that_never_comes_is_told_as_one() -> None:
    """Once nothing else is looked at any more."""
    found = live(PROFILE)
    rest = [[{name: each[name] for name in ("plan", "note")} for each in window] for window in minutes(3, 20, 300)]
    (alert,) = found.go(START_MS, rest)
    assert alert.look_first == ["`age` never comes"]


def test_a_skipped_step_is_told() -> None:
    """With the step, the share of values that it would change, since when, and a request to look at."""
    found = changed({"note": "Please  SEND"}, steps=STEPS)
    (alert,) = found.alerts
    assert alert.kind == "preprocessing"
    steps = [each for each in _moved(alert) if each["change"] == "changed"]
    assert {each["trait"] for each in steps} == {"lower_case", "collapse_whitespace"}
    assert _moved(alert)[:2] == steps
    assert "of `note` would change under lower_case: this step is missing in production since" in alert.look_first[0]
    assert all(each["example"]["request_id"] == f"r{CLEAN * 30}" for each in steps)
    assert alert.examples[0] == f"r{CLEAN * 30}"
    bounds = alert.source["predictions"]["0"]
    assert bounds[0] <= CLEAN * 30 < bounds[1]


def test_a_few_values_that_a_step_would_change_are_tolerated() -> None:
    """One in a hundred, where nothing else is said; and it can be more."""
    for every, tolerated, is_told in ((200, 1.0, False), (10, 1.0, True), (10, 20.0, False)):
        found = live(None, steps={"note": ["lower_case"]}, tolerated_percent=tolerated)
        found.go(START_MS, ([{"note": "A" if n % every == 0 else "a"} for n in range(200)] for _ in range(60)))
        assert bool(found.alerts) == is_told


def test_what_training_made_of_the_raw_value_is_compared() -> None:
    """Where the record keeps it: any difference is a step that is missing, or another one."""
    found = live(None, steps={"note": ["lower_case"]}, raw={"note": "raw.note"})
    found.go(START_MS, minutes(1, 30, note="abc"), raw={"note": "ABC"})
    assert found.alerts == []
    (alert,) = found.go(START_MS + HOUR_MS, minutes(1, 30, note="abc"), raw={"note": "ABD"})
    assert told([alert]) == [("note", "raw", "changed")]
    assert _moved(alert)[0]["example"]["shown"] == ["abd", "abc"]


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_told_of_predictions_as_in_training(seed: int) -> None:
    """A day of them."""
    found = live(PROFILE, steps=STEPS)
    found.go(START_MS, minutes(100 + seed, 600, 20))
    assert found.alerts == []


def test_nothing_is_told_of_what_is_within_tolerance() -> None:
    """A tenth of a standard deviation moves the mean rank by less than three hundredths."""
    for tolerance, is_told in ((0.1, False), (0.0, True)):
        found = live(PROFILE, tolerance=tolerance)
        random = Random(5)  # noqa: S311 - it is to be the same each time
        found.go(START_MS, ([row(random, age=random.gauss(42.5, 10)) for _ in range(40)] for _ in range(200)))
        assert bool(found.alerts) == is_told


def test_recovery_resolves() -> None:
    """The episode ends once all that has moved is back; the next trouble is another episode."""
    found = changed({"age": 75.5, "plan": "enterprise"}, {"age": 75.5}, {}, {"age": 75.5})
    assert [each.status for each in found.alerts] == [Status.RAISED, Status.RESOLVED, Status.RAISED]
    raised, resolved, again = found.alerts
    assert resolved.episode == raised.episode != again.episode
    assert resolved.resolution == "recovered"
    assert CHANGE_MS + 60 * MINUTE_MS < resolved.event_time_ms < CHANGE_MS + 75 * MINUTE_MS
    assert resolved.duration_ms == resolved.event_time_ms - raised.event_time_ms
    assert resolved.look_first == []
    assert {feature for feature, _, _ in told([resolved])} == {"age", "plan"}


def test_what_moves_together_is_one_episode() -> None:
    """However many features it is; each is named once, the farthest first but for steps."""
    found = changed({"age": None, "plan": "enterprise", "note": "LOUD 123", "extra": 1}, steps=STEPS)
    raised, *updates = found.alerts
    assert raised.status is Status.RAISED
    assert all(each.status is Status.UPDATED and each.episode == raised.episode for each in updates)
    assert {feature for feature, _, _ in told([raised])} == {"age", "plan", "note", "features"}
    assert len(told([raised])) == len({(feature, trait) for feature, trait, _ in told([raised])})
    declared = [each["change"] in {"changed", "unknown"} for each in _moved(raised)]
    assert declared == sorted(declared, reverse=True)
    moved = [each["moved"] for each, is_declared in zip(_moved(raised), declared, strict=True) if not is_declared]
    assert moved == sorted(moved, reverse=True)


def test_what_moves_later_is_told_in_the_same_episode() -> None:
    """At once where it is new; the same again only after the cooldown, which gets longer."""
    found = changed({"age": 75.5}, {"age": 75.5, "plan": "enterprise"}, bad=40)
    raised, *updates = found.alerts
    assert updates
    assert {each.status for each in updates} == {Status.UPDATED}
    assert {each.episode for each in updates} == {raised.id}
    first = next(each for each in updates if ("plan", "", "others") in told([each]))
    since_ms = CHANGE_MS + 40 * MINUTE_MS
    assert since_ms < first.event_time_ms <= since_ms + 5 * MINUTE_MS


def test_a_lasting_change_is_taken_for_usual() -> None:
    """After a while, where it can be learnt anew; a step that is skipped never is."""
    cases = (({"age": 60.5}, "1h", True), ({"age": 60.5}, "0s", False), ({"note": "LOUD"}, "1h", False))
    for other, baseline, is_accepted in cases:
        settings: dict[str, Any] = {"accept_after": "1h", "baseline": baseline, "season": "none"}
        found = changed(other, clean=80, bad=200, steps={"note": ["lower_case"]}, **settings)
        _, *resolved = found.alerts
        assert [each.resolution for each in resolved] == (["accepted"] if is_accepted else [])
        assert all(each.duration_ms is not None and each.duration_ms >= HOUR_MS for each in resolved)


@pytest.mark.parametrize("least", [1, 200, 2000])
def test_nothing_is_told_of_fewer_predictions(least: int) -> None:
    """However far they are from training."""
    found = live(PROFILE, min_samples=least)
    found.go(START_MS, minutes(1, 200, 30, age=None, plan=7))
    assert found.alerts[0].event_time_ms >= START_MS + math.ceil(least / 30) * MINUTE_MS
    assert (found.alerts[0].features or {})["rows"] >= least


# What is learnt.


def season(seed: int, hours: int, shift: float = 0.0, each: int = 40) -> Iterator[list[dict[str, Any]]]:
    """Windows of an hour; ages and plans go up and down with the hour of the day."""
    random = Random(seed)  # noqa: S311 - it is to be the same each time
    for hour in range(hours):
        wave = math.sin(hour % 24 / 24 * 2 * math.pi)
        plans = ("free", "paid") if random.random() < 0.5 + 0.3 * wave else ("free", "trial")
        yield [
            row(random, age=random.gauss(40 + 8 * wave + shift, 8), plan=plans[random.random() < 0.4])
            for _ in range(each)
        ]


def seasonal() -> Profile:
    """Of all hours."""
    return profile_of([each for window in season(0, 24 * 4) for each in window])


SEASONAL = seasonal()
LEARNT: dict[str, Any] = {"baseline": "14d", "window": "1h"}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_daily_season_is_learnt(seed: int) -> None:
    """Neither while it is learnt nor in the week after it is anything told."""
    found = live(SEASONAL, **LEARNT)
    found.go(START_MS, season(seed, 24 * 21))
    assert found.alerts == []


def test_without_a_baseline_a_season_is_told() -> None:
    """Or the test before this one would show nothing."""
    found = live(SEASONAL, window="1h")
    found.go(START_MS, season(1, 24 * 3))
    assert found.alerts


def test_a_change_after_the_baseline_is_told() -> None:
    """By the hour of the day, a shift of what is usual then."""
    found = live(SEASONAL, **LEARNT)
    found.go(START_MS, chain(season(1, 24 * 15), season(2, 24 * 2, shift=12)))
    raised = found.alerts[0]
    assert ("age", "", "location") in told([raised])
    since_ms = START_MS + 15 * DAY_MS
    assert since_ms < raised.event_time_ms <= since_ms + 12 * HOUR_MS
    assert raised.guarantee is not None
    assert "no more than in the baseline" in raised.guarantee


def test_a_gross_difference_is_told_after_a_week() -> None:
    """While what is usual is still learnt: what is off by so much on each day of a week follows no weekday."""
    found = live(SEASONAL, **LEARNT)
    found.go(START_MS, season(1, 24 * 8, shift=30))
    raised = found.alerts[0]
    assert raised.status is Status.RAISED
    assert raised.event_time_ms == START_MS + (24 * 7 + 1) * HOUR_MS
    assert {feature for feature, _, _ in told([raised])} == {"age"}
    assert raised.guarantee is not None
    assert raised.guarantee.startswith("none")


def test_what_is_missing_follows_no_calendar() -> None:
    """So that a day of it is enough."""
    found = live(SEASONAL, **LEARNT)
    found.go(START_MS, ([{**each, "age": None} for each in window] for window in season(1, 30)))
    assert found.alerts[0].event_time_ms == START_MS + 25 * HOUR_MS
    assert set(told(found.alerts[:1])) == {("age", "", "missing")}


def test_skipped_steps_are_told_while_the_rest_is_learnt() -> None:
    """What is declared need not be learnt."""
    found = live(SEASONAL, steps={"note": ["lower_case"]}, **LEARNT)
    found.go(START_MS, ([{**each, "note": "LOUD"} for each in window] for window in season(1, 12)))
    assert found.alerts[0].event_time_ms == START_MS + 5 * HOUR_MS
    assert set(told(found.alerts)) == {("note", "lower_case", "changed")}


# What keeps it the same.


def streams() -> dict[str, tuple[Profile, Mapping[str, Any], list[list[dict[str, Any]]]]]:
    """By name: a profile, settings, and windows."""
    quick = chain(minutes(1, 30), minutes(2, 20, age=75.5), minutes(3, 20, age=75.5, note="A  B"), minutes(4, 40))
    days = chain(season(1, 24 * 15), season(2, 30, shift=15), season(3, 30))
    gross = chain(season(1, 24 * 8, shift=30), season(2, 24 * 2))
    return {
        "quick": (PROFILE, {"steps": STEPS}, [*quick]),
        "learnt": (SEASONAL, LEARNT, [*days]),
        "gross": (SEASONAL, LEARNT, [*gross]),
        "accepted": (
            PROFILE,
            {"accept_after": "10m", "min_samples": 100, "baseline": "10m", "season": "none"},
            [*chain(minutes(1, 20), minutes(2, 40, age=1))],
        ),
    }


@pytest.mark.parametrize("name", ["quick", "learnt", "gross", "accepted"])
def test_restarts_change_no_byte(name: str) -> None:
    """A task that comes back from its snapshot tells the same, after every window, and after some of them."""
    profile, settings, windows = streams()[name]
    steady = live(profile, **settings)
    window_ms = steady.reference.window_ms
    steady.go(START_MS, windows)
    wanted = [each.data() for each in steady.alerts]
    assert len(wanted) > 1
    for every in (1, 7) if len(windows) < 300 else (24, 31):
        found = live(profile, **settings)
        for number, window in enumerate(windows):
            found.go(START_MS + number * window_ms, [window])
            if number % every == 0:
                found.restart()
        assert [each.data() for each in found.alerts] == wanted
        assert found.watching.snapshot() == steady.watching.snapshot()
        assert [each.snapshot() for each in found.watching.segments.values()] == [
            each.snapshot() for each in steady.watching.segments.values()
        ]


def test_how_windows_are_cut_into_calls_changes_nothing() -> None:
    """One by one, or all at once; of two segments and the whole."""
    split = {"split_by": ["country"], "whole": True}
    found = [live(PROFILE, monitor=split) for _ in range(2)]
    windows = []
    for number, each in enumerate(chain(minutes(1, 30), minutes(2, 30, age=75.5), minutes(3, 30))):
        start_ms = START_MS + number * MINUTE_MS
        windows += [found[0].window(start_ms, each[:10], ("DE",)), found[0].window(start_ms, each[10:], (None,))]
    found[0].take(windows)
    for place in range(0, len(windows), 2):
        found[1].take(windows[place : place + 2])
    one, two = ([each.data() for each in stream.alerts] for stream in found)
    assert one == two
    assert {tuple(each.segment.items()) for each in found[0].alerts} == {(("country", "DE"),), (("country", None),), ()}


def test_a_segment_is_watched_by_itself() -> None:
    """What has changed in one of them is told of that one, and of those beyond `max_segments` nothing is."""
    found = live(PROFILE, monitor={"split_by": ["country"], "max_segments": 2})
    for number, each in enumerate(minutes(1, 60, 90)):
        start_ms = START_MS + number * MINUTE_MS
        bad = [{**one, "age": None} for one in each[:30]] if number >= 30 else each[:30]
        parts = {"DE": each[30:60], "NO": bad, "FR": [{**one, "age": None} for one in each[60:]]}
        found.take([found.window(start_ms, part, (name,)) for name, part in parts.items()])
    assert [each.segment for each in found.alerts] == [{"country": "NO"}]
    assert found.watching.unwatched_count == 60 * 30


# What pairs with it.


def mismatch(time_ms: int, *, onset_ms: int | None = None, **others: Any) -> Alert:
    """An alert of a check that looks at labels."""
    usual: dict[str, Any] = {
        "status": Status.RAISED,
        "kind": "mismatch_drift",
        "severity": "critical",
        "monitor": "m",
        "segment": {},
        "model": None,
        "version": None,
        "check": {},
        "event_time_ms": time_ms,
        "trigger": (time_ms, 0, 0, 0),
        "direction": Direction.WORSE,
    }
    found = Alert(**{**usual, **others})
    found.onset_ms = onset_ms
    found.look_first = ["labels"]
    return found


def related(stream: Live, *alerts: Alert) -> list[bytes]:
    """The same, as they are told."""
    for each in alerts:
        stream.watching.relate(each)
    return [each.data() for each in alerts]


def test_a_mismatch_names_what_its_predictions_were_like() -> None:
    """The episode that was open at its own event time, whatever windows have come since."""
    bad = {"age": 75.5}
    found = changed(bad, {})
    raised, resolved = found.alerts
    open_ms = range(raised.event_time_ms, resolved.event_time_ms, 7 * MINUTE_MS)
    for time_ms in open_ms:
        alert = mismatch(time_ms)
        found.watching.relate(alert)
        assert alert.related == [raised.id]
        assert alert.look_first[0].endswith(f"episode {raised.id}: {raised.look_first[0]}")
        assert alert.look_first[1:] == ["labels"]
    for time_ms in (START_MS, raised.event_time_ms - 1, resolved.event_time_ms, resolved.event_time_ms + HOUR_MS):
        alert = mismatch(time_ms)
        found.watching.relate(alert)
        assert (alert.related, alert.look_first) == ([], ["labels"])


def test_other_segments_and_other_kinds_are_not_named() -> None:
    """Nor does an alert of recovery need a cause."""
    found = live(PROFILE, monitor={"split_by": ["country"]})
    (raised,) = found.go(START_MS, minutes(1, 20, age=None), ("DE",))
    time_ms = START_MS + 10 * MINUTE_MS
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"segment": {"country": "DE"}}, [raised.id]),
        ({"segment": {"country": "DE"}, "status": Status.UPDATED}, [raised.id]),
        ({"segment": {"country": "DE"}, "kind": "loss_drift"}, [raised.id]),
        ({"segment": {"country": "DE"}, "kind": "no_data"}, []),
        ({"segment": {"country": "DE"}, "status": Status.RESOLVED}, []),
        ({"segment": {"country": "NO"}}, []),
        ({"segment": {"country": None}}, []),
        ({"segment": {"country": "DE"}, "monitor": "n"}, []),
    ]
    for others, episodes in cases:
        alert = mismatch(time_ms, **others)
        found.watching.relate(alert)
        assert alert.related == episodes


def scored() -> Profile:
    """Scores that mean what they say, of two classes."""
    random = Random(4)  # noqa: S311 - it is to be the same each time
    made = [row(random, score=(n % 20 + 0.5) / 20, said=int(n % 20 >= 10)) for n in range(4000)]
    data = [{**each, "truth": int(random.random() < each["score"])} for each in made]
    return build(data, text=["note"], label="truth", prediction="said", score="score", name="training")


def test_later_windows_do_not_matter() -> None:
    """Byte for byte: what is said of a mismatch is a function of what came until its event time."""
    stretches: Sequence[Row] = ({}, {"age": 75.5}, {"age": 75.5, "plan": "new"}, {}, {"note": None})
    windows = [*chain.from_iterable(minutes(n, 50, **each) for n, each in enumerate(stretches))]
    profile = scored()
    settings: dict[str, Any] = {"monitor": {"positive": 1}, "leave_out": ["prediction"]}
    sections = {"predictions": {"fields": {"score": "score"}}}
    whole = live(profile, sections=sections, **settings)
    whole.go(START_MS, windows, score=0.8)
    assert len(whole.alerts) >= 3
    growing = live(profile, sections=sections, **settings)
    for number, window in enumerate(windows):
        growing.go(START_MS + number * MINUTE_MS, [window], score=0.8)
        if number % 9 == 0:
            end_ms = START_MS + (number + 1) * MINUTE_MS
            kinds = Status.RAISED, Status.RESOLVED
            pair = [[mismatch(end_ms, onset_ms=START_MS, status=each) for each in kinds] for _ in range(2)]
            assert related(whole, *pair[0]) == related(growing, *pair[1])


def test_an_estimate_is_of_whole_hours_since_the_onset() -> None:
    """From scores alone; None where there are none, or no hour is over."""
    found = live(scored(), sections={"predictions": {"fields": {"score": "score"}}}, leave_out=["score", "prediction"])
    for hour, score in enumerate((0.975, 0.975, 0.725, 0.725)):
        found.go(START_MS + hour * HOUR_MS, minutes(hour, 60, 10), score=score)
    early, late, recent = (
        mismatch(START_MS + 59 * MINUTE_MS, onset_ms=START_MS),
        mismatch(START_MS + 4 * HOUR_MS, onset_ms=START_MS),
        mismatch(START_MS + 4 * HOUR_MS - 1, onset_ms=START_MS + 2 * HOUR_MS + 1),
    )
    related(found, early, late, recent)
    assert early.estimate is None
    assert late.estimate is not None
    assert late.estimate["count"] == 2400
    assert recent.estimate is not None
    assert recent.estimate["count"] == 600
    # A prediction "x" is none of the positive class, so it is wrong as often as that is right.
    assert recent.estimate["rate"] == pytest.approx(0.725, abs=0.08)
    assert late.estimate["rate"] == pytest.approx(0.85, abs=0.08)
    related(silent := live(PROFILE), alone := mismatch(START_MS + DAY_MS))
    assert (alone.estimate, silent.alerts) == (None, [])
