"""What every detector in the registry must do; a new one is tested here by being registered."""

from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamguard.core.detectors import TYPES, Direction, Drift, make, settings_of
from streamguard.core.losses import Needs
from tests.core.detectors.rivers import drifts_of_river

Losses = NDArray[np.float64]

every = pytest.mark.parametrize("kind", TYPES)

# Of each kind, beyond its defaults: what else the state must carry.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((kind, {}) for kind in TYPES),
    ("adwin", {"delta": 0.3, "clock": 1, "max_buckets": 2}),
    ("page_hinkley", {"threshold": 5.0, "mode": "down"}),
    ("page_hinkley", {"threshold": 5.0, "mode": "up"}),
    ("page_hinkley", {"threshold": 3.0}),
    ("hddm_a", {"drift_confidence": 0.2, "two_sided_test": True}),
    ("hddm_w", {"drift_confidence": 0.2, "two_sided_test": True}),
    ("fhddm", {"sliding_window_size": 30, "short_window_size": 10, "confidence_level": 0.1}),
    ("kswin", {"window_size": 20, "stat_size": 8, "alpha": 0.1}),
    ("ddm", {"warm_start": 5, "drift_threshold": 1.0}),
    ("eddm", {"warm_start": 5}),
]
varied = pytest.mark.parametrize(("kind", "settings"), VARIANTS)


def bernoulli(rates: list[float], each: int, seed: int = 1) -> Losses:
    """Return stretches of 0/1 losses with these rates, `each` long."""
    rng = np.random.default_rng(seed)
    return np.concatenate([(rng.random(each) < rate).astype(np.float64) for rate in rates])


def stream(kind: str, seed: int = 1) -> Losses:
    """Return a stream with rises and falls; short where a loss costs a third of a millisecond."""
    return bernoulli([0.1, 0.6, 0.05, 0.3], 150 if kind == "kswin" else 700, seed)


def in_pieces(kind: str, settings: dict[str, Any], losses: Losses, cuts: list[int], *, restart: bool) -> list[Drift]:
    """Feed the losses cut into arrays; with `restart`, through a snapshot as JSON at each cut."""
    detector, found = make(kind, settings), []
    edges = [0, *sorted(min(cut, len(losses)) for cut in cuts), len(losses)]
    for start, end in pairwise(edges):
        found += [Drift(start + d.index, d.direction) for d in detector.update(losses[start:end])]
        if restart:
            state = orjson.loads(orjson.dumps(detector.snapshot()))
            detector = make(kind, settings, state)
            assert detector.snapshot() == state
    return found


@every
@pytest.mark.parametrize("loss", [0.0, 1.0])
def test_constant_losses_are_no_drift(kind: str, loss: float) -> None:
    """A model that is always right, or always wrong, has not changed."""
    assert make(kind).update(np.full(400 if kind == "kswin" else 20_000, loss)) == []


@every
def test_a_big_jump_is_found_soon_and_is_worse(kind: str) -> None:
    """From 2 % to 60 % wrong is what the tool is for."""
    before = 300 if kind == "kswin" else 2_000
    losses = np.concatenate([bernoulli([0.02], before), bernoulli([0.6], 300)])
    found = [d for d in make(kind).update(losses) if d.index >= before]
    assert found, "the jump was missed"
    assert found[0].index - before <= 200
    assert found[0].direction is Direction.WORSE


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("adwin", {}),
        ("kswin", {}),
        ("page_hinkley", {}),
        ("page_hinkley", {"mode": "down"}),
        ("hddm_a", {"two_sided_test": True}),
        ("hddm_w", {"two_sided_test": True}),
    ],
)
def test_a_fall_is_better(kind: str, settings: dict[str, Any]) -> None:
    """An alarm on a model that got better wakes somebody for nothing, so the two-sided ones say which."""
    losses = bernoulli([0.7, 0.05], 300, seed=3)
    assert [d.direction for d in make(kind, settings).update(losses) if d.index >= 300][:1] == [Direction.BETTER]


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("page_hinkley", {"mode": "up"}),
        ("ddm", {"warm_start": 100}),
        ("hddm_a", {}),
        ("hddm_w", {}),
        ("fhddm", {}),
    ],
)
def test_the_one_sided_ones_do_not_see_a_fall(kind: str, settings: dict[str, Any]) -> None:
    """What they are documented not to see, they do not report as something else."""
    losses = bernoulli([0.6, 0.3], 400, seed=3)
    assert make(kind, settings).update(losses) == []


@every
@pytest.mark.parametrize("loss", [np.nan, np.inf, -np.inf, 1e300])
def test_what_is_not_finite_is_refused_and_leaves_no_trace(kind: str, loss: float) -> None:
    """One NaN would blind ADWIN and Page-Hinkley for good."""
    detector = make(kind)
    detector.update(np.array([0.0, 1.0, 0.0]))
    before = detector.snapshot()
    with pytest.raises(ValueError, match="at index 2"):
        detector.update(np.array([0.0, 1.0, loss, 1.0]))
    assert detector.snapshot() == before


@every
def test_losses_it_is_not_defined_for_are_refused(kind: str) -> None:
    """A detector of errors takes 0 and 1, one with a bound takes [0, 1]."""
    needs = settings_of(kind).needs
    for loss, fits in ((0.5, needs is not Needs.BINARY), (2.0, needs is Needs.ANY)):
        if fits:
            make(kind).update(np.array([loss]))
        else:
            with pytest.raises(ValueError, match="at index 0 is not"):
                make(kind).update(np.array([loss]))


@every
@pytest.mark.parametrize("seed", [1, 2])
def test_drifts_are_rivers_own(kind: str, seed: int) -> None:
    """The adapter changes how a detector is asked, and nothing of what it finds."""
    losses = stream(kind, seed)
    found = [d.index for d in make(kind).update(losses)]
    assert found == drifts_of_river(kind, losses)
    assert found, "a stream without a drift compares nothing"


@varied
def test_a_restart_at_any_point_changes_nothing(kind: str, settings: dict[str, Any]) -> None:
    """Through JSON and back, around each drift and on an even grid, the drifts are the same."""
    losses = stream(kind)
    whole = make(kind, settings).update(losses)
    near = [d.index + step for d in whole[:20] for step in (0, 1, 2)]
    cuts = [*near, *range(0, len(losses), 31 if kind == "kswin" else 13)]
    assert in_pieces(kind, settings, losses, cuts, restart=True) == whole


@varied
def test_variants_do_drift(kind: str, settings: dict[str, Any]) -> None:
    """The laws about drifts say something only where there are some."""
    assert make(kind, settings).update(stream(kind))


@varied
@hypothesis_settings(max_examples=10)
@given(cuts=st.lists(st.integers(0, 600), max_size=12), seed=st.integers(0, 50), restart=st.booleans())
def test_cuts_and_restarts_change_nothing(
    kind: str, settings: dict[str, Any], cuts: list[int], seed: int, *, restart: bool
) -> None:
    """However a poll happens to cut the stream, and wherever a worker restarts, the drifts are the same."""
    losses = bernoulli([0.1, 0.7], 100 if kind == "kswin" else 300, seed)
    assert in_pieces(kind, settings, losses, cuts, restart=restart) == make(kind, settings).update(losses)


@pytest.mark.parametrize("kind", [k for k in TYPES if settings_of(k).needs is not Needs.BINARY])
def test_real_valued_losses_restart_exactly_too(kind: str) -> None:
    """A Brier score has all 53 bits of a float, and JSON must carry each."""
    rng = np.random.default_rng(5)
    losses = np.concatenate([rng.beta(2, 8, 300), rng.beta(8, 2, 150)])
    whole = make(kind).update(losses)
    assert whole
    assert in_pieces(kind, {}, losses, list(range(0, 450, 7)), restart=True) == whole


@every
def test_the_state_is_small_plain_json(kind: str) -> None:
    """There is one per segment on a topic, and whoever reads it has no pickle and no river."""
    detector = make(kind)
    detector.update(bernoulli([0.05], 500 if kind == "kswin" else 50_000))
    state = detector.snapshot()
    data = orjson.dumps(state)
    assert len(data) < 2_500
    assert orjson.loads(data) == state
    assert (state["type"], state["version"]) == (kind, 1)


@every
def test_a_state_of_something_else_is_refused(kind: str) -> None:
    """A damaged or foreign state is an error with a name, never a detector that is silently wrong."""
    state = make(kind).snapshot()
    other = make("ddm" if kind != "ddm" else "eddm").snapshot()
    entry = next(name for name in state if name not in ("type", "version"))
    damaged = [
        other,
        {},
        {**state, "version": 2},
        {**state, "unknown": 1},
        {name: value for name, value in state.items() if name != entry},
        {**state, entry: "nonsense"},
    ]
    for bad in damaged:
        with pytest.raises(ValueError, match="validation error"):
            make(kind, {}, bad)
