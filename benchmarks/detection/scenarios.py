"""Which streams there are, by group and name."""

from collections.abc import Callable
from functools import partial

from benchmarks.detection import modelled, streams
from benchmarks.detection.streams import Stream

Make = Callable[[int], Stream]
"""The stream of a seed."""

_RATES = [(0.05, 0.10), (0.05, 0.20), (0.20, 0.25), (0.20, 0.30), (0.20, 0.50)]


def _changing(width: int = 1) -> dict[str, Make]:
    ending = f" in {width:,}" if width > 1 else ""
    names = {f".{100 * before:02.0f}→.{100 * after:02.0f}{ending}": (before, after) for before, after in _RATES}
    return {
        name: partial(streams.changing, name, before=before, after=after, width=width)
        for name, (before, after) in names.items()
    }


def _stable(rate: float) -> dict[str, Make]:
    name = f".{100 * rate:02.0f}"
    return {name: partial(streams.stable, name, rate=rate)}


def _autocorrelated(lag1: float) -> dict[str, Make]:
    name = f".10, lag-1 .{10 * lag1:.0f}"
    return {name: partial(streams.autocorrelated, name, rate=0.1, lag1=lag1)}


def _drifting(concept: str, width: int) -> dict[str, Make]:
    name = f"{concept} in {2 * width:,}" if width else concept
    return {name: partial(modelled.drifting, name, concept=concept, width=width)}


def _broken(data_set: str, share: float) -> dict[str, Make]:
    name = data_set if share == 1 else f"{data_set}, {share:.0%}"
    return {name: partial(modelled.broken, name, data_set=data_set, share=share)}


def _united(parts: list[dict[str, Make]]) -> dict[str, Make]:
    return {name: make for part in parts for name, make in part.items()}


GROUPS: dict[str, dict[str, Make]] = {
    "delay": _changing(),
    "gradual": _united([_changing(1_000), _changing(5_000)]),
    "stable": _united([_stable(rate) for rate in (0.01, 0.05, 0.10, 0.20, 0.30)]),
    "autocorrelated": _united([_autocorrelated(lag1) for lag1 in (0.2, 0.5)]),
    "seasonal": {"a season": partial(streams.seasonal, "a season")},
    "improving": {".20→.10": partial(streams.changing, ".20→.10", before=0.20, after=0.10)},
    "synth": _united([_drifting(concept, width) for concept in modelled.CONCEPTS for width in (0, 1_000)]),
    "real": _united([_broken(data_set, share) for data_set in modelled.DATA_SETS for share in (1.0, 0.25)]),
}
