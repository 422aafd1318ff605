"""What a report draws adds up to what was released, whatever the length of history."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.config import Monitor
from streamguard.core.intake import Group
from streamguard.replay.ledger import SEGMENTS_MAX, Ledger
from streamguard.replay.series import BINS_MAX
from tests.core.helpers import monitor, outcomes

TIMES = st.lists(st.tuples(st.integers(0, 10**9), st.booleans()), min_size=1, max_size=60).map(sorted)


def ledger_of(
    rows: list[tuple[int, bool]],
    *,
    cuts: int = 1,
    watched: Monitor | None = None,
    normal: tuple[int, int] | None = None,
) -> Ledger:
    """Outcomes of one segment at these times, right or wrong, given in so many pieces."""
    ledger = Ledger((watched or monitor(),), normal)
    for piece in np.array_split(np.arange(len(rows)), cuts):
        if len(piece):
            part = outcomes([rows[place][0] for place in piece], [rows[place][1] for place in piece], delay_ms=4000)
            ledger.add(part, [Group(("m", ()), np.arange(len(part)), part)])
    return ledger


@given(TIMES, st.integers(1, 5))
def test_nothing_is_lost_between_bins(rows: list[tuple[int, bool]], cuts: int) -> None:
    """Whatever the span and the pieces: the bins hold all, in their place, and are as many as may be."""
    ledger = ledger_of(rows, cuts=cuts)
    (series,) = ledger.drawn("m")
    document = series.document(ledger.end)
    assert sum(document["outcomes"]) == len(rows)
    wrong = sum(is_wrong for _, is_wrong in rows)
    assert series.totals == (len(rows), len(rows), len(rows), wrong)
    start, width = document["start_ms"], document["width_ms"]
    assert ledger.end <= BINS_MAX
    assert start <= rows[0][0] < start + width
    # As fine as the span allows.
    half = width // 2
    assert width == 1000 or rows[-1][0] // half - rows[0][0] // half >= BINS_MAX
    expected = np.bincount([(at - start) // width for at, _ in rows], minlength=ledger.end)
    assert document["outcomes"] == expected.tolist()
    sums = np.bincount([(at - start) // width for at, _ in rows], [float(w) for _, w in rows], minlength=ledger.end)
    for place, (count, total) in enumerate(zip(expected, sums, strict=True)):
        rate = document["rate"][place]
        assert rate is None if count == 0 else rate == pytest.approx(total / count, abs=1e-6)
        if count:
            assert document["low"][place] <= total / count + 1e-6
            assert document["high"][place] >= total / count - 1e-6


@given(TIMES, st.integers(2, 5))
def test_the_order_of_pieces_changes_nothing(rows: list[tuple[int, bool]], cuts: int) -> None:
    """Partitions of the outcomes topic are not in step with each other."""
    pieces = [rows[place::cuts] for place in range(cuts) if rows[place::cuts]]
    documents = []
    for ordered in (pieces, pieces[::-1]):
        ledger = Ledger((monitor(),))
        for piece in ordered:
            part = outcomes([at for at, _ in piece], [is_wrong for _, is_wrong in piece])
            ledger.add(part, [Group(("m", ()), np.arange(len(part)), part)])
        (series,) = ledger.drawn("m")
        document = series.document(ledger.end)
        # The window is of one stream in order.
        del document["window"]
        documents.append((ledger.first_ms, ledger.last_ms, document))
    assert documents[0] == documents[1]


def test_the_window_is_as_of_the_last_outcome_of_a_bin() -> None:
    """And is not told before it holds enough."""
    rows = [(1000 * place, place >= 10) for place in range(20)]
    ledger = ledger_of(rows, cuts=3)
    (series,) = ledger.drawn("m")
    # A window of four, at least two.
    assert series.document(ledger.end)["window"] == [None, *[0.0] * 9, 0.25, 0.5, 0.75, *[1.0] * 7]


def test_the_peak_is_of_the_normal_period_alone() -> None:
    """Its end is not part of it."""
    rows = [(1000 * place, place in {3, 4, 5} or place >= 10) for place in range(20)]
    (series,) = ledger_of(rows, cuts=4, normal=(0, 10_000)).drawn("m")
    assert series.peak is not None
    assert (series.peak.rate, series.peak.outcomes, series.peak.window_outcomes) == (0.75, 10, 4)
    (series,) = ledger_of(rows).drawn("m")
    assert series.peak is None


def test_delays_are_told_to_within_a_tenth() -> None:
    """Of those that have a label."""
    (series,) = ledger_of([(1000 * place, False) for place in range(5)]).drawn("m")
    document = series.document(5)
    for name in ("delay_median_s", "delay_p90_s"):
        assert all(each == pytest.approx(4.0, rel=0.1) for each in document[name])


def test_unlabelled_outcomes_count_as_such() -> None:
    """They have no loss and no delay."""
    ledger = Ledger((monitor(),))
    rows = outcomes([0, 0, 0], [1, 0, 0], unlabelled=[1])
    ledger.add(rows, [Group(("m", ()), np.arange(3), rows)])
    (series,) = ledger.drawn("m")
    assert series.totals == (3, 2, 2, 1.0)
    assert series.document(1)["labelled"] == [2]
    assert series.confusion() == [
        {"predicted": "yes", "label": "no", "count": 1, "share": 0.5},
        {"predicted": "yes", "label": "yes", "count": 1, "share": 0.5},
    ]


def test_of_many_segments_the_first_are_drawn_and_all_are_counted() -> None:
    """What lies in one that is not drawn is scored, and raises the threshold that is suggested."""
    count = SEGMENTS_MAX + 7
    watched = monitor(split_by=["id"], threshold={"max_mismatch_percent": 5, "window": 2, "min_samples": 1})
    ledger = Ledger((watched,), (0, count))
    rows = outcomes(range(count), [number == count - 1 for number in range(count)])
    ledger.add(rows, [Group(("m", (f"{n}",)), np.array([n]), rows.take([n])) for n in range(count)])
    assert len(ledger.drawn("m")) == SEGMENTS_MAX
    tallies = ledger.all("m")
    assert len(tallies) == count
    assert sum(int(each.outcomes.sum()) for each in tallies) == count
    assert sum(each.between(0, 1000) for each in tallies) == count
    peaks = [each.peak for each in tallies if each.peak is not None]
    assert (len(peaks), max(each.rate for each in peaks)) == (count, 1.0)


def test_what_a_monitor_does_not_watch_is_not_counted() -> None:
    """It is full, and says so."""
    ledger = Ledger((monitor(split_by=["id"], max_segments=2),))
    rows = outcomes(range(3), [0] * 3)
    ledger.add(rows, [Group(("m", (f"{n}",)), np.array([n]), rows.take([n])) for n in range(3)])
    assert (len(ledger.all("m")), ledger.full) == (2, {"m"})


def test_a_wrong_time_far_from_all_others_is_seen() -> None:
    """One outcome in 1970 makes each bin as wide as all the others together."""
    start = 1_767_571_200_000
    usual = [(start + 60_000 * place, False) for place in range(2000)]
    assert ledger_of(usual).crowded() is None
    first_ms, last_ms = ledger_of([(0, False), *usual]).crowded() or (0, 0)
    assert 0 < first_ms <= start
    assert usual[-1][0] <= last_ms


def test_the_band_of_losses_without_a_bound_is_by_their_spread() -> None:
    """1.96 standard errors on either side."""
    watched = monitor(loss="absolute", detectors=[{"type": "page_hinkley"}])
    ledger = Ledger((watched,))
    rows = outcomes([0] * 4, [0] * 4)
    rows.prediction[:], rows.label[:] = [1.0, 2.0, 3.0, 4.0], [0.0] * 4
    ledger.add(rows, [Group(("m", ()), np.arange(4), rows)])
    document = ledger.drawn("m")[0].document(1)
    spread = 1.959964 * np.std([1, 2, 3, 4]) / 2
    assert (document["low"][0], document["high"][0]) == pytest.approx((2.5 - spread, 2.5 + spread), abs=1e-5)


def test_outcomes_between_two_times_are_spread_over_their_bins() -> None:
    """Half of a bin is half of its outcomes."""
    ledger = ledger_of([(500, False)] * 10 + [(1500, False)] * 4)
    (series,) = ledger.drawn("m")
    assert series.between(0, 500) == 5
    assert series.between(0, 1500) == 12
    assert series.between(-5000, 10**9) == 14
