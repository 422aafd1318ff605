from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from river.drift import ADWIN

from streamguard.core.detectors import Direction, make
from streamguard.core.detectors.adwin_state import AdwinState, decode, encode
from streamguard.core.detectors.settings import AdwinSettings


def window(settings: AdwinSettings) -> Any:
    """Return river's Rust object."""
    return ADWIN(**settings.model_dump(exclude={"type"}))._helper


@hypothesis_settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    length=st.integers(0, 3_000),
    scale=st.sampled_from([1.0, 1e-9, 1e9]),
    max_buckets=st.integers(2, 9),
    clock=st.integers(1, 40),
)
def test_decoding_and_encoding_gives_the_same_bytes(
    seed: int, length: int, scale: float, max_buckets: int, clock: int
) -> None:
    """The contract with river's binary layout: nothing is lost or moved, and the copy goes on alike."""
    settings = AdwinSettings(max_buckets=max_buckets, clock=clock)
    rng, original = np.random.default_rng(seed), window(settings)
    for loss in (rng.random(length) * scale).tolist():
        original.update(loss)
    data = bytes(original.__getstate__())
    state = AdwinState.model_validate(orjson.loads(orjson.dumps(decode(data, settings).model_dump())))
    assert encode(state, settings) == data
    copy = window(settings)
    copy.__setstate__(encode(state, settings))
    later = (rng.random(200) * scale * 3).tolist()
    assert [copy.update(x) for x in later] == [original.update(x) for x in later]
    assert bytes(copy.__getstate__()) == bytes(original.__getstate__())


def test_the_named_numbers_are_the_windows() -> None:
    """A reader of the state topic sees what river itself reports."""
    settings, losses = AdwinSettings(), np.random.default_rng(1).random(1_000)
    original = window(settings)
    for loss in losses.tolist():
        original.update(loss)
    state = decode(bytes(original.__getstate__()), settings)
    assert state.width == original.get_width() == 1_000
    assert state.total == original.get_total()
    assert state.variance == original.get_variance()
    assert state.tick == 1_000
    assert sum(sum(row.totals) for row in state.rows) == pytest.approx(losses.sum())


def test_the_counters_wrap_around_as_in_river() -> None:
    """After 2^31 losses without a drift the state must still be read and written."""
    settings = AdwinSettings()
    state = {**make("adwin").snapshot(), "tick": 2**31 - 1, "n_buckets": 2**31 - 1}
    detector = make("adwin", {}, state)
    detector.update(np.zeros(100))
    assert detector.snapshot()["tick"] == -(2**31) + 99
    later = make("adwin", settings.model_dump(exclude={"type"}), detector.snapshot())
    assert later.update(np.ones(100)) == detector.update(np.ones(100)) != []


@pytest.mark.parametrize("change", [b"", b"\x00" * 8, b"\x00" * 300])
def test_bytes_of_another_length_are_refused(change: bytes) -> None:
    """A river with another layout must fail a test, not decode to nonsense."""
    settings = AdwinSettings()
    data = bytes(window(settings).__getstate__())
    for wrong in (data + b"\x00" + change, data[:-1]):
        with pytest.raises(ValueError, match="expected 248"):
            decode(wrong, settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 9.0}, "rows hold"),
        ({"rows": []}, "at least 1 item"),
        ({"rows": [{"totals": [], "variances": []}] * 2, "width": 0.0}, "holds no bucket"),
        ({"rows": [{"totals": [1.0], "variances": []}]}, "1 totals for 0 variances"),
        ({"rows": [{"totals": [0.0] * 6, "variances": [0.0] * 6}], "width": 6.0}, "max_buckets is 5"),
        ({"total": float("inf")}, "finite"),
        ({"tick": 2**31}, "less than"),
        ({"rows": [{"totals": [1.0], "variances": [0.0]}] * 64}, "at most 63"),
    ],
)
def test_a_state_that_would_make_river_panic_is_refused(changes: dict[str, Any], message: str) -> None:
    """A Rust panic passes every `except Exception`, so nothing inconsistent may reach it."""
    with pytest.raises(ValueError, match=message):
        make("adwin", {}, {**make("adwin").snapshot(), **changes})


def test_a_state_of_more_buckets_than_set_is_refused() -> None:
    """A smaller `max_buckets` is another window, and needs a fresh start."""
    detector = make("adwin", {"max_buckets": 9})
    detector.update(np.zeros(9))
    with pytest.raises(ValueError, match="a row holds 9 buckets, but max_buckets is 5"):
        make("adwin", {}, detector.snapshot())


def test_the_direction_is_of_the_cut_part_against_the_kept() -> None:
    """Each of several drifts in one array has its own sums: up, down, up."""
    losses = np.concatenate([np.full(500, level) for level in (0.2, 0.9, 0.1, 0.8)])
    found = make("adwin").update(losses)
    first = [next(d for d in found if start <= d.index < end) for start, end in pairwise((500, 1000, 1500, 2000))]
    assert [d.direction for d in first] == [Direction.WORSE, Direction.BETTER, Direction.WORSE]


def test_after_a_drift_the_past_is_forgotten() -> None:
    """Where river drops the window at the next loss, the state here is empty at once."""
    detector = make("adwin")
    losses = np.concatenate([np.zeros(500), np.ones(500)])
    drift = detector.update(losses)[0]
    again = make("adwin")
    again.update(losses[: drift.index + 1])
    assert again.snapshot() == make("adwin").snapshot()
