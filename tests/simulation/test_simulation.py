"""The whole of streamguard over a simulated cluster: what goes wrong is a function of the seed.

`python -m tests.simulation --seeds 10000` plays many more, `--seed N` one of them again.
"""

import pytest

from tests.simulation.__main__ import caught, tried
from tests.simulation.variants import VARIANTS

SEEDS = 400
CHUNKS = 8
# The rarest needs about five hundred.
VARIANT_SEEDS = 2000


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_law_holds_whatever_goes_wrong(chunk: int) -> None:
    """Kills, stalls, rebalances, lost and late requests, retention: no result shows any of it, and all is consumed."""
    size = SEEDS // CHUNKS
    commits, deaths, failed = tried(range(chunk * size, (chunk + 1) * size))
    assert failed == []
    assert commits > 20 * size
    assert deaths > size // 4


@pytest.mark.parametrize("name", VARIANTS)
def test_each_broken_variant_is_caught(name: str) -> None:
    """A simulation that does not notice a guard that is gone proves nothing."""
    assert caught(name, VARIANT_SEEDS) is not None


def test_a_seed_is_the_same_each_time() -> None:
    """A failure can be replayed: the seed decides everything."""
    assert [tried(range(seed, seed + 1)) for seed in (3, 7)] == [tried(range(seed, seed + 1)) for seed in (3, 7)]
