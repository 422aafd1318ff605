"""What the threshold check remembers between calls: small, plain, and refused when damaged."""

from typing import Any

import numpy as np
import orjson
import pytest

from streamguard.core.threshold import Threshold, ThresholdSettings


def check_over(window: int | str, wrong: int = 0) -> Threshold:
    """Return a check that has seen this many mismatches, a second apart."""
    check = Threshold(ThresholdSettings(max_mismatch_percent=50, window=window))
    check.update(np.arange(wrong, dtype=np.int64) * 1_000, np.ones(wrong))
    return check


def restored(window: int | str, state: dict[str, Any]) -> Threshold:
    """Return a check that goes on from a snapshot."""
    return Threshold(ThresholdSettings(max_mismatch_percent=50, window=window), state)


@pytest.mark.parametrize(("window", "bytes_max"), [(2000, 700), ("1h", 2600)])
def test_the_snapshot_is_small_and_bounded(window: int | str, bytes_max: int) -> None:
    """There is one per segment, and thousands of segments, on a topic."""
    check = check_over(window)
    times = np.arange(100_000, dtype=np.int64) * 1_000 + 1_700_000_000_000
    check.update(times, (np.arange(100_000) % 3 == 0).astype(np.float64))
    assert len(orjson.dumps(check.snapshot())) < bytes_max


def spoilt(check: Threshold, **changes: Any) -> dict[str, Any]:
    """Return a snapshot with some entries of its window changed."""
    state = check.snapshot()
    return {**state, "window": {**state["window"], **changes}}


@pytest.mark.parametrize(
    "changes",
    [
        {"window": 9},
        {"count": 9},
        {"count": -1},
        {"bits": "ffff"},
        {"bits": "zz"},
        {"bits": None},
        {"version": 2},
        {"other": 1},
    ],
)
def test_a_damaged_count_window_is_refused(changes: dict[str, Any]) -> None:
    """A state that does not fit its settings is an error with a name, not a wrong share."""
    check = check_over(8, wrong=8)
    restored(8, spoilt(check))
    with pytest.raises(ValueError, match=r"state|valid|version|other|hexadecimal"):
        restored(8, spoilt(check, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"window_ms": 1},
        {"panes": [[2, 1, 0], [1, 1, 0]]},
        {"panes": [[i, 1, 0] for i in range(61)]},
        {"panes": [[1, 1, 2]]},
        {"panes": [[1, 1]]},
    ],
)
def test_a_damaged_time_window_is_refused(changes: dict[str, Any]) -> None:
    """A state that does not fit its settings is an error with a name, not a wrong share."""
    check = check_over("1h")
    restored("1h", spoilt(check, panes=[[1, 1, 0], [2, 1, 1]]))
    with pytest.raises(ValueError, match=r"state|panes"):
        restored("1h", spoilt(check, **changes))
