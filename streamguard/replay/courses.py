"""One column of what predictions carried, for a report: how it is described, and how it went over time."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamguard.core.features.reference import CHANGED, DECLARED, FIRST, MISSING, ODD, SAME, Column, Kind

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Found = list[float | None]

# A bin that is empty on one side would be infinitely far (core/features/distances.py).
_LEAST = 0.5
_WHOLE = {Kind.NUMBER, Kind.CATEGORY, Kind.TEXT}
"""Of these what is missing or odd is a part of the column, and not of another one."""
_MILLION = 1_000_000


def described(column: Column) -> dict[str, Any]:
    """What its bins are, and their shares in training: null where these are not known."""
    return {
        "feature": column.feature,
        "trait": column.trait,
        "kind": column.kind.value,
        "training": [round(each, 6) for each in column.shares] or None,
        "rows": column.rows,
        "edges": [each if math.isfinite(each) else None for each in column.edges],
        "values": list(column.values),
    }


def followed(column: Column, counts: Ints, split: int | None) -> dict[str, Any]:
    """A column's counts, of shape (bins of time, bins), and how far from training they are.

    `split`: the bin of time from which on they are counted once more, for themselves. A series is null where nothing of
    it ever came.
    """
    total = counts.sum(axis=0)
    since = None if split is None else counts[split:].sum(axis=0)
    found: dict[str, Any] = {
        "counts": total.tolist(),
        "since": None if since is None else since.tolist(),
        "distance": _distance(column, total),
        "distance_since": None if since is None else _distance(column, since),
        "distances": _distances(column, counts) if column.shares else None,
    }
    rows = counts.sum(axis=1)
    if column.kind in _WHOLE:
        found["missing"] = _shares(counts[:, MISSING], rows)
    if column.kind in _WHOLE or column.kind is Kind.STEP:
        found["odd"] = _shares(counts[:, ODD], rows)
    if column.kind in DECLARED:
        found["changed"] = _shares(counts[:, CHANGED], counts[:, SAME] + counts[:, CHANGED])
    return found


def expectations(sums: Ints) -> Found:
    """The error rate that scores let expect, 0 to 1; `sums`: predictions, scored ones, and millionths of errors."""
    return [round(errors / scored / _MILLION, 6) if scored else None for _, scored, errors in sums.tolist()]


def divergences(trained: Floats, live: Floats) -> Floats:
    """What `psi` of core/features/distances.py says of each row of `live`, shape (rows, bins); NaN of an empty one."""
    is_some = (trained > 0) | (live > 0)
    p, q = (np.where(is_some, np.maximum(each, _LEAST), 0.0) for each in (np.broadcast_to(trained, live.shape), live))
    is_known = live.any(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        p, q = p / p.sum(axis=1, keepdims=True), q / q.sum(axis=1, keepdims=True)
        terms = np.where(is_some, (q - p) * np.log(np.where(is_some, q / p, 1.0)), 0.0)
    found: Floats = np.where(is_known, terms.sum(axis=1), np.nan)
    return found


def _distances(column: Column, counts: Ints) -> Found | None:
    start = 0 if column.kind in _WHOLE else FIRST
    trained = np.array(column.shares[start:]) * column.rows
    if not trained.any():
        return None
    return _known(divergences(trained, counts[:, start:].astype(np.float64)), 4)


def _distance(column: Column, counts: Ints) -> float | None:
    found = _distances(column, counts[np.newaxis])
    return None if found is None else found[0]


def _shares(part: Ints, of: Ints) -> Found | None:
    if not part.any():
        return None
    return _known(np.divide(part, of, out=np.full(len(of), np.nan), where=of > 0), 6)


def _known(values: Floats, digits: int) -> Found:
    return [None if math.isnan(each) else round(each, digits) for each in values.tolist()]
