"""Runs of a monitor task over drawn streams, in which every kind of alert comes up."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from hypothesis import strategies as st

from streamguard.core.detectors import TYPES, settings_of
from streamguard.core.losses import Loss, suits
from streamguard.core.monitor import MonitorTask
from streamguard.core.records import Output
from streamguard.worker.topology import Topology
from tests.core.helpers import batch, topology

MINUTE_MS = 60_000
COUNTRIES = ("DE", "NO", None)
BUDGETED: dict[str, Any] = {"type": "budgeted", "baseline": 100, "season": "none"}
QUICK: dict[str, dict[str, Any]] = {
    "adwin": {"clock": 1, "delta": 0.1},
    "kswin": {"window_size": 40, "stat_size": 10, "alpha": 0.01},
    "page_hinkley": {"min_instances": 10, "threshold": 3},
    "fhddm": {"sliding_window_size": 20, "confidence_level": 0.01, "short_window_size": 5},
    "hddm_a": {"two_sided_test": True},
}


@dataclass(frozen=True, slots=True)
class Phase:
    """So many outcomes, a minute apart, of which these shares are wrong, or have no label."""

    count: int
    wrong: float
    lost: float = 0.0
    is_text: bool = False
    """Labels are text, predictions are numbers."""
    silence_ms: int = 0
    """Before the first of them."""


PHASES = st.lists(
    st.builds(
        Phase,
        count=st.integers(1, 400),
        wrong=st.sampled_from([0.0, 0.02, 0.1, 0.5, 1.0]),
        lost=st.sampled_from([0.0, 0.0, 0.05, 0.5, 1.0]),
        is_text=st.sampled_from([False, False, False, True]),
        silence_ms=st.sampled_from([0, 0, 3 * MINUTE_MS, 300 * MINUTE_MS]),
    ),
    min_size=1,
    max_size=6,
)
STORY = (
    Phase(60, 0.0, is_text=True),
    Phase(400, 0.02, 0.02),
    Phase(300, 0.6, 0.02),
    Phase(600, 0.02, 0.02),
    Phase(300, 0.02, 0.7),
    Phase(400, 0.02, 0.02, silence_ms=600 * MINUTE_MS),
)
"""In which each kind of alert is raised and each episode resolved."""


def monitors() -> list[dict[str, Any]]:
    """One for each loss, with every check that suits it."""
    return [
        {
            "name": loss.value,
            "loss": loss.value,
            "split_by": ["country"],
            "max_segments": 2,
            "whole": True,
            "detectors": [
                *({"type": kind, **QUICK.get(kind, {})} for kind in TYPES if suits(loss, settings_of(kind).needs)),
                *_budgeted(loss),
            ],
            "unlabelled": {**BUDGETED, "accept_after": "5h"},
            "no_data_after": "1h",
            **(MISMATCHES if loss is Loss.MISMATCH else {}),
        }
        for loss in Loss
    ]


MISMATCHES: dict[str, Any] = {
    "match": {"model": "fraud", "version": "7"},
    "threshold": {
        "max_mismatch_percent": 30,
        "resolve_below_percent": 20,
        "window": 30,
        "min_samples": 10,
        "cooldown": "1h",
        "confirm": {"above": 2, "of": 3, "every": "5m"},
    },
}


def _budgeted(loss: Loss) -> list[dict[str, Any]]:
    scaled = {} if loss in (Loss.MISMATCH, Loss.BRIER) else {"loss_max": 5}
    return [
        {**BUDGETED, **scaled, "direction": "both", "accept_after": None},
        {**BUDGETED, **scaled, "tolerated_rate": 0.1, "accept_after": "4h"},
    ]


def settings(**sections: Any) -> Topology:
    """With short cooldowns and a large budget, so that there is much to tell."""
    return topology(
        *monitors(),
        predictions={"fields": {"score": "score"}},
        budget={"false_alarms_per_month": 1000},
        **{"alerts": {"cooldown": "30m"}, **sections},
    )


def run(phases: tuple[Phase, ...] | list[Phase], seed: int, given: Topology) -> list[Output]:
    """What a monitor task says over these phases."""
    task, at_ms, count = MonitorTask(0, given.monitor), 0, 0
    outputs: list[Output] = []
    rng = np.random.default_rng(seed)
    for sequence, phase in enumerate(phases):
        at_ms += phase.silence_ms
        columns = _columns(phase, rng, at_ms, count)
        blocks = [{"monitor": each.name, **columns} for each in given.monitor.monitors]
        at_ms, count = at_ms + phase.count * MINUTE_MS, count + phase.count
        outputs += task.step(batch([_record(sequence, at_ms, blocks)], topic="outcomes", start=sequence))
    last = _record(len(phases), at_ms + 10_000 * MINUTE_MS, [])
    return outputs + task.step(batch([last], topic="outcomes", start=len(phases)))


def _record(sequence: int, watermark: int, blocks: list[Any]) -> bytes:
    head = {"v": 1, "source": 0, "sources": 1, "sequence": sequence, "watermark": watermark, "idle": False}
    return orjson.dumps({**head, "blocks": blocks})


def _columns(phase: Phase, rng: np.random.Generator, at_ms: int, start: int) -> dict[str, Any]:
    """Predictions of 0, 1 and 2.5, scores that mostly lean to the right side, and labels."""
    count = phase.count
    truth = rng.choice([0, 1, 2.5], count)
    is_wrong, is_lost = rng.random(count) < phase.wrong, rng.random(count) < phase.lost
    said = np.where(is_wrong, rng.permutation(truth) + 1, truth)
    times = at_ms + np.arange(count) * MINUTE_MS
    late = np.where(is_lost, MINUTE_MS, rng.integers(0, 2000, count))
    labels = [str(each) if phase.is_text else each for each in truth.tolist()]
    offsets = np.arange(start, start + count)
    return {
        "segments": [[country] for country in COUNTRIES],
        "segment": rng.choice(len(COUNTRIES), count, p=[0.45, 0.45, 0.1]).tolist(),
        "id": [f"r{offset}" for offset in offsets.tolist()],
        "prediction": said.tolist(),
        "label": [None if lost else label for lost, label in zip(is_lost.tolist(), labels, strict=True)],
        "score": np.where((truth == 1) != is_wrong, 0.9, 0.1).tolist(),
        "prediction_time": times.tolist(),
        "label_time": (times + late).tolist(),
        "prediction_offset": offsets.tolist(),
        "label_offset": np.where(is_lost, -1, offsets).tolist(),
    }
