"""What is particular to one detector, and the traps of river that its adapter documents."""

import sys
from subprocess import run
from typing import Any

import numpy as np
import pytest

from streamguard.core.detectors import Direction, Drift, make


def test_kswin_does_not_depend_on_what_else_draws() -> None:
    """Global randomness, and another detector beside it, leave the draws alone."""
    losses = np.random.default_rng(2).random(300)
    alone = make("kswin", {"alpha": 0.1}).update(losses)
    first, second = make("kswin", {"alpha": 0.1}), make("kswin", {"alpha": 0.1})
    together: list[Drift] = []
    for index, loss in enumerate(losses):
        together += [Drift(index, d.direction) for d in first.update(np.array([loss]))]
        second.update(np.array([1 - loss]))
    assert together == alone
    assert alone


def test_kswins_seed_matters() -> None:
    """The draws are of the seed, so another one tests other samples."""
    losses = np.random.default_rng(2).random(400)
    found = {tuple(make("kswin", {"alpha": 0.2, "seed": seed}).update(losses)) for seed in range(4)}
    assert len(found) > 1


def test_a_kswin_window_that_is_too_long_is_refused() -> None:
    """A smaller `window_size` needs a fresh start."""
    detector = make("kswin")
    detector.update(np.zeros(90))
    with pytest.raises(ValueError, match="state holds 90 losses, but window_size is 60"):
        make("kswin", {"window_size": 60}, detector.snapshot())


def test_a_change_of_shape_alone_has_no_direction() -> None:
    """KSWIN sees that losses of 0.5 became 0 and 1 in turn, which is neither worse nor better."""
    losses = np.concatenate([np.full(70, 0.5), np.tile([0.0, 1.0], 15)])
    assert make("kswin").update(losses) == [Drift(99, Direction.UNKNOWN)]


def test_page_hinkley_says_which_side_fired() -> None:
    """Two-sided by default, it must not call an improvement a drift for the worse."""
    losses = np.repeat([0.5, 1.0, 0.0], 300)
    directions = [d.direction for d in make("page_hinkley").update(losses)]
    assert directions == [Direction.WORSE, Direction.BETTER]


def test_page_hinkley_that_watches_for_a_fall_says_better() -> None:
    """A rise before the fall leaves the other sum high, which must not turn the direction around."""
    losses = np.repeat([0.2, 0.9, 0.0], 300)
    directions = [d.direction for d in make("page_hinkley", {"mode": "down"}).update(losses)]
    assert directions == [Direction.BETTER]


def test_ddm_alarms_on_the_first_error_after_a_clean_warm_start() -> None:
    """The documented trap: lowest rate 0, deviation 0; and its mend, a longer warm start."""
    losses = np.zeros(200)
    losses[[40, 150]] = 1.0
    assert [d.index for d in make("ddm").update(losses)] == [40, 150]
    assert make("ddm", {"warm_start": 60}).update(losses[:150]) == []


@pytest.mark.parametrize("missing", ["rate_min", "deviation_min"])
def test_a_ddm_state_without_its_lowest_rate_is_refused(missing: str) -> None:
    """Otherwise river compares with None, and crashes in the middle of a stream."""
    detector = make("ddm")
    detector.update(np.zeros(100))
    state = detector.snapshot()
    with pytest.raises(ValueError, match="lacks rate_min or deviation_min"):
        make("ddm", {}, {**state, missing: None})
    with pytest.raises(ValueError, match="lacks rate_min or deviation_min"):
        make("ddm", {}, {**state, "rate_min": None, "deviation_min": None})


def test_fhddm_is_fed_what_is_right() -> None:
    """The one of river takes 1 for correct: fed the losses as they are, it would alarm on improvement."""
    losses = np.concatenate([np.zeros(200), np.ones(100)])
    assert [d.direction for d in make("fhddm").update(losses)] == [Direction.WORSE]
    assert make("fhddm").update(losses[::-1].copy()) == []


@pytest.mark.parametrize(
    ("settings", "changes", "message"),
    [
        ({}, {"window": "1" * 100}, "state holds 100 losses"),
        ({}, {"window": "2"}, "pattern"),
        ({}, {"best": 1.5}, "less than or equal to 1"),
        ({"short_window_size": 10}, {}, "short window"),
        ({}, {"best_short": 0.5}, "short window"),
    ],
)
def test_a_fhddm_state_that_does_not_fit_is_refused(
    settings: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    """A window of another length would never test again."""
    with pytest.raises(ValueError, match=message):
        make("fhddm", settings, {**make("fhddm").snapshot(), **changes})


def test_reading_settings_does_not_import_river() -> None:
    """Importing river takes a second, which `streamguard config check` need not cost."""
    code = (
        "import sys; from streamguard.core.detectors import settings_of; settings_of('kswin')(); "
        "sys.exit('river' in sys.modules)"
    )
    assert run([sys.executable, "-c", code], check=False).returncode == 0
