"""The records of a model in production whose preprocessing is skipped from a known prediction on.

The readings and their classes are real: the Statlog Shuttle data set that river's wheel ships (49,097
sensor readings, 7% of them anomalies). A logistic regression behind a standard scaler learns the first
9,000 rows and is frozen; the other 40,097 rows, shuffled by the seed, are what production sends it.
Up to 40,097 predictions no row is served twice. More than that take further passes over the same rows,
each shuffled anew, so that they say nothing new about the model.

Invented, and drawn by the seed: arrival times, sites, label delays, and which labels never come.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import orjson
from river import datasets, linear_model, optim, preprocessing

from streamguard.errors import ConfigError
from streamguard.logs.interface import Record

PREDICTIONS_TOPIC = "predictions"
LABELS_TOPIC = "labels"
MODEL = "shuttle"
VERSION = "3"

START_MS = int(datetime(2026, 1, 5, tzinfo=UTC).timestamp()) * 1000
GAP_MEAN_MS = 8_000
FAULT_SHARE = 0.6  # of the predictions come before the fault, so a detector has a past to compare with

SITE_SHARES = {"houston": 0.45, "canberra": 0.25, "madrid": 0.30}
# One site of three, as when a faulty release has reached one data centre: an alert can say where to look.
FAULT_SITE = "madrid"

LABEL_DELAY_MEDIAN_MS = 12 * 60_000
LABEL_DELAY_SIGMA = 0.7
LABEL_DELAY_MIN_MS, LABEL_DELAY_MAX_MS = 60_000, 60 * 60_000
LABELS_MISSING_SHARE = 0.03

TRAINING_ROWS = 9_000
LEARNING_RATE = 0.05
PREDICTIONS_MIN = 100  # fewer leave no rate worth the name on either side of the fault

Features = dict[str, float]
Row = tuple[Features, int]


@dataclass(frozen=True, slots=True)
class Story:
    """Records in the order of their event times, and what a watcher of them should find.

    Without the fault the `fault_*` fields name the same prediction, served correctly: a control.
    """

    records: tuple[Record, ...]
    fault_request_id: str
    fault_at_ms: int
    """Event time of the first faulty prediction."""
    fault_index: int
    """Predictions before the first faulty one."""
    accuracy_before: float
    accuracy_after: float
    """Over all sites, and over predictions whose label never comes too."""
    what: str


class _Served(NamedTuple):
    """One prediction, with the truth that its label will tell."""

    at_ms: int
    request_id: str
    prediction: int
    truth: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Model:
    """A scaler and a classifier that learn no more."""

    scaler: preprocessing.StandardScaler
    classifier: linear_model.LogisticRegression

    def inputs(self, reading: Features, *, scaled: bool) -> Features:
        """What reaches the classifier."""
        return dict(self.scaler.transform_one(reading)) if scaled else reading

    def score(self, inputs: Features) -> float:
        """Probability of an anomaly."""
        return float(self.classifier.predict_proba_one(inputs)[True])


def training() -> list[Features]:
    """What the model was trained on: the inputs of its classifier, a row each."""
    model, _ = _trained()
    rows = list(datasets.Shuttle())[:TRAINING_ROWS]
    return [_shown(model.inputs(reading, scaled=True)) for reading, _ in rows]


def scaling() -> dict[str, tuple[float, float]]:
    """Of each feature the mean and the deviation that the scaler has learnt."""
    scaler = _trained()[0].scaler
    return {name: (float(scaler.means[name]), float(scaler.vars[name]) ** 0.5) for name in scaler.means}


def story(*, predictions: int = 30_000, seed: int = 7, fault: bool = True) -> Story:
    """Tell it; the same arguments give the same records. Takes a second or two.

    Raises ConfigError for fewer than 100 predictions.
    """
    if predictions < PREDICTIONS_MIN:
        raise ConfigError(f"the demo needs at least {PREDICTIONS_MIN} predictions, got {predictions}")
    rng = np.random.default_rng(seed)
    fault_index = int(predictions * FAULT_SHARE)
    served = _served(predictions, fault_index, rng, fault=fault)
    first = served[fault_index]
    # A stable sort: where the times are equal, the prediction comes before the label.
    records = sorted([_prediction(one) for one in served] + _labels(served, rng), key=_event_time_ms)
    return Story(
        records=tuple(records),
        fault_request_id=first.request_id,
        fault_at_ms=first.at_ms,
        fault_index=fault_index,
        accuracy_before=_accuracy(served[:fault_index]),
        accuracy_after=_accuracy(served[fault_index:]),
        what=_what(fault_index, fault=fault),
    )


@cache
def _trained() -> tuple[_Model, tuple[Row, ...]]:
    """Give the frozen model and the rows it has not seen. No seed: every story is about one model."""
    rows = list(datasets.Shuttle())
    model = _Model(preprocessing.StandardScaler(), linear_model.LogisticRegression(optim.SGD(LEARNING_RATE)))
    for reading, truth in rows[:TRAINING_ROWS]:
        model.scaler.learn_one(reading)
        model.classifier.learn_one(model.inputs(reading, scaled=True), bool(truth))
    return model, tuple(rows[TRAINING_ROWS:])


def _served(count: int, fault_index: int, rng: np.random.Generator, *, fault: bool) -> list[_Served]:
    model, rows = _trained()
    passes = -(-count // len(rows))
    order = np.concatenate([rng.permutation(len(rows)) for _ in range(passes)])[:count].tolist()
    times = (START_MS + rng.exponential(GAP_MEAN_MS, count).cumsum()).astype(int).tolist()
    sites = rng.choice(list(SITE_SHARES), size=count, p=list(SITE_SHARES.values())).tolist()
    sites[fault_index] = FAULT_SITE  # the fault begins just here, whatever the seed
    served = []
    for index, (row, at_ms, site) in enumerate(zip(order, times, sites, strict=True)):
        reading, truth = rows[row]
        faulty = fault and index >= fault_index and site == FAULT_SITE
        inputs = model.inputs(reading, scaled=not faulty)
        served.append(_serve(index, at_ms, site, reading, inputs, model.score(inputs), truth))
    return served


def _shown(inputs: Features) -> Features:
    """Four decimals: more of them may differ between one machine's floating point and another's."""
    return {name: round(value, 4) for name, value in inputs.items()}


def _serve(index: int, at_ms: int, site: str, reading: Features, inputs: Features, score: float, truth: int) -> _Served:
    request_id = f"req-{index:06d}"
    prediction = int(score > 0.5)
    body = {
        "request_id": request_id,
        "prediction": prediction,
        "timestamp": at_ms,
        "model": MODEL,
        "version": VERSION,
        # Four decimals: more of them may differ between one machine's floating point and another's.
        "score": round(score, 4),
        "site": site,
        # The classifier's inputs, not the readings: only these show that a step before it was skipped.
        "features": _shown(inputs),
        "readings": reading,
    }
    return _Served(at_ms, request_id, prediction, truth, body)


def _prediction(one: _Served) -> Record:
    return _record(PREDICTIONS_TOPIC, one.request_id, one.body, one.at_ms)


def _labels(served: Sequence[_Served], rng: np.random.Generator) -> list[Record]:
    """Each label carries the time at which the truth became known."""
    delays = rng.lognormal(np.log(LABEL_DELAY_MEDIAN_MS), LABEL_DELAY_SIGMA, len(served))
    delays_ms = delays.clip(LABEL_DELAY_MIN_MS, LABEL_DELAY_MAX_MS).astype(int).tolist()
    comes = (rng.random(len(served)) >= LABELS_MISSING_SHARE).tolist()
    records = []
    for one, delay_ms, come in zip(served, delays_ms, comes, strict=True):
        if come:
            at_ms = one.at_ms + delay_ms
            body = {"request_id": one.request_id, "label": one.truth, "timestamp": at_ms}
            records.append(_record(LABELS_TOPIC, one.request_id, body, at_ms))
    return records


def _record(topic: str, request_id: str, body: dict[str, Any], at_ms: int) -> Record:
    return Record(topic, key=request_id.encode(), value=orjson.dumps(body), timestamp_ms=at_ms)


def _event_time_ms(record: Record) -> int:
    return record.timestamp_ms or 0


def _accuracy(served: Sequence[_Served]) -> float:
    return sum(one.prediction == one.truth for one in served) / len(served)


def _what(fault_index: int, *, fault: bool) -> str:
    model = "Space shuttle sensor readings (UCI Statlog), classified by a logistic regression behind a scaler"
    if not fault:
        return f"{model}; nothing is wrong."
    share = f"{SITE_SHARES[FAULT_SITE]:.0%} of the traffic"
    return f"{model}; after {fault_index:,} predictions the site {FAULT_SITE} ({share}) skips the scaler."
