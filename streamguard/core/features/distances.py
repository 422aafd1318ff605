"""How far what came is from training, in the measures that people know, from counts of bins."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# A bin that is empty on one side would be infinitely far.
_LEAST = 0.5


def psi(trained: Floats, live: Floats) -> float:
    """Population stability index, in nats. Half a row stands in an empty bin.

    Source: Siddiqi, "Credit Risk Scorecards", 2006.
    """
    is_some = (trained > 0) | (live > 0)
    p, q = (np.maximum(each[is_some], _LEAST) for each in (trained, live))
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


def distances(trained: Floats, live: Floats, places: Sequence[float] | None) -> dict[str, Any]:
    """By name. `trained`, `live`: counts, shape (bins,), both with one row at least.

    `places`: where the bins of numbers are; without them bins have no order, and `ks` and `wasserstein` are not there.
    `js`: the Jensen-Shannon distance, 0 to 1. `ks`: between the distributions at the edges of bins. `chi2_p`: the
    chance of such counts if nothing had changed. `wasserstein`: in the feature's own unit.
    """
    # They take a second to import, and most processes never need them.
    from scipy.spatial.distance import jensenshannon  # noqa: PLC0415
    from scipy.stats import chi2_contingency, wasserstein_distance  # noqa: PLC0415

    is_some = (trained > 0) | (live > 0)
    p, q = trained / trained.sum(), live / live.sum()
    found = {"psi": psi(trained, live), "js": float(jensenshannon(p, q, 2.0))}
    if np.count_nonzero(is_some) > 1:
        found["chi2_p"] = float(chi2_contingency(np.stack((trained, live))[:, is_some], correction=False).pvalue)
    if places is not None:
        found["ks"] = float(np.abs(np.cumsum(p - q)).max())
        found["wasserstein"] = float(wasserstein_distance(places, places, p, q))
    return {name: round(value, 6) for name, value in found.items()}
