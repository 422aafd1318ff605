"""When did the losses change, from what, to what."""

import orjson
import pytest

from streamguard.core.history import Change, History, Mean


def history(*levels: tuple[int, float]) -> History:
    """So many losses at each level, a millisecond apart."""
    losses = [loss for count, loss in levels for _ in range(count)]
    found = History()
    found.add(range(len(losses)), losses)
    return found


def test_without_losses_there_is_no_change() -> None:
    """Nothing has happened since."""
    assert History().change(0) is None
    assert history((32, 0.0)).change(99) is None


def test_the_change_is_found_where_the_level_moved() -> None:
    """To the pane of 32 losses that the new level begins with."""
    assert history((320, 0.0), (96, 1.0)).change(0) == Change(320, Mean(320, 0.0), Mean(96, 96.0))


def test_losses_that_fill_no_pane_count_too() -> None:
    """A change may be too young for a whole pane."""
    assert history((64, 0.0), (5, 1.0)).change(0) == Change(64, Mean(64, 0.0), Mean(5, 5.0))


def test_one_level_alone_has_no_level_before() -> None:
    """What is before the first pane is unknown."""
    assert history((20, 1.0)).change(0) == Change(0, Mean(0, 0.0), Mean(20, 20.0))


def test_only_what_came_since_is_looked_at() -> None:
    """The next change is looked for after the last: an older and larger one is not found again."""
    found = history((64, 1.0), (64, 0.0), (64, 0.5)).change(64)
    assert found == Change(128, Mean(64, 0.0), Mean(64, 32.0))


def test_an_old_change_is_found_in_coarse_panes() -> None:
    """A hundred thousand losses later the onset is known to within its pane."""
    change = history((50_000, 0.25), (50_000, 0.75)).change(0)
    assert change is not None
    assert change.onset_ms == pytest.approx(50_000, abs=10_000)
    assert change.before.rate == pytest.approx(0.25, abs=0.05)
    assert change.after.rate == pytest.approx(0.75, abs=0.05)


def test_cuts_and_restarts_change_nothing() -> None:
    """Not even the last digit: sums are made pane by pane."""
    losses = [(number * 37 % 101) / 7 for number in range(1000)]
    whole, pieces = History(), History()
    whole.add(range(1000), losses)
    for start in range(0, 1000, 7):
        pieces.add(range(start, min(start + 7, 1000)), losses[start : start + 7])
        pieces = History(orjson.loads(orjson.dumps(pieces.snapshot())))
    assert pieces.snapshot() == whole.snapshot()
    assert pieces.change(0) == whole.change(0)


def test_the_largest_losses_have_a_change() -> None:
    """Squares of 1e100 are still numbers."""
    change = history((64, 0.0), (64, 1e100)).change(0)
    assert change == Change(64, Mean(64, 0.0), Mean(64, 64e100))
