"""Streams of losses of a model that was trained before a change and learns no more.

The data are river's: its generators, and data sets that are inside its wheel, so that nothing is downloaded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from river import datasets, tree
from river.datasets import synth

from benchmarks.detection.streams import EVENTS_PER_DAY, STABLE_EVENTS, Change, Kind, Stream, generator, poisson

CHANGED_EVENTS = 10_000
"""Events from the change on."""
TRAINING_EVENTS = 2_000
"""Events that the model has learnt from, where they are generated."""

Row = tuple[dict[Any, Any], Any]
"""Features by name, and the label."""


@dataclass(frozen=True, slots=True)
class Concepts:
    """A generator of river's, with the classification function before and after the change."""

    make: Callable[..., Any]
    before: int
    after: int


CONCEPTS = {
    "SEA": Concepts(lambda function, seed: synth.SEA(variant=function, noise=0.05, seed=seed), 2, 3),
    "Agrawal": Concepts(
        lambda function, seed: synth.Agrawal(classification_function=function, perturbation=0.05, seed=seed), 0, 1
    ),
    "STAGGER": Concepts(lambda function, seed: synth.STAGGER(classification_function=function, seed=seed), 0, 1),
    "Sine": Concepts(lambda function, seed: synth.Sine(classification_function=function, seed=seed), 0, 2),
}


@dataclass(frozen=True, slots=True)
class Faulty:
    """A data set inside river's wheel, and the feature that breaks."""

    make: Callable[[], Any]
    feature: str


DATA_SETS = {
    "Bananas": Faulty(datasets.Bananas, "1"),
    "Phishing": Faulty(datasets.Phishing, "empty_server_form_handler"),
    "ImageSegments": Faulty(datasets.ImageSegments, "region-centroid-row"),
}


def drifting(name: str, seed: int, *, concept: str, width: int) -> Stream:
    """A generated concept becomes another, at once (`width` 0) or along river's sigmoid of that width.

    The change is where the new concept has begun to come: of a sigmoid, `width` events before its middle, where
    1.8% of the events are of it.
    """
    rng = generator(name, seed)
    given = CONCEPTS[concept]
    seeds = [int(each) for each in rng.integers(0, 2**31, 5)]
    model = _trained(given.make(given.before, seeds[0]).take(TRAINING_EVENTS))
    old, new = given.make(given.before, seeds[1]), given.make(given.after, seeds[2])
    # It begins with the change: from a position that is far off, river's formula overflows where the width is small.
    changed = synth.ConceptDriftStream(old, new, position=width, width=max(width, 1), seed=seeds[3])
    losses = [*_losses(model, given.make(given.before, seeds[4]), STABLE_EVENTS)]
    losses += _losses(model, changed, CHANGED_EVENTS)
    return _stream(name, np.array(losses), rng)


def broken(name: str, seed: int, *, data_set: str, share: float) -> Stream:
    """From the change on, `share` of the rows have one feature's value from another row.

    The model is trained on half of the rows; the events are drawn from the other half, with replacement, so that
    they are alike and independent until the change.
    """
    rng = generator(name, seed)
    given = DATA_SETS[data_set]
    rows: list[Row] = list(given.make())
    order = rng.permutation(len(rows))
    model = _trained(rows[index] for index in order[: len(rows) // 2])
    rest = [rows[index] for index in order[len(rows) // 2 :]]
    others = rng.permutation(len(rest))
    faulty = [
        ({**features, given.feature: rest[other][0][given.feature]}, label)
        for (features, label), other in zip(rest, others, strict=True)
    ]
    before, after = (np.array(list(_losses(model, each, len(rest)))) for each in (rest, faulty))
    drawn = rng.integers(0, len(rest), STABLE_EVENTS + CHANGED_EVENTS)
    is_faulty = (np.arange(len(drawn)) >= STABLE_EVENTS) & (rng.random(len(drawn)) < share)
    return _stream(name, np.where(is_faulty, after[drawn], before[drawn]), rng)


def _trained(rows: Any) -> Any:
    """A small tree, with settings that let it split within some hundred rows."""
    model = tree.HoeffdingTreeClassifier(grace_period=50, delta=0.05, tau=0.1)
    for features, label in rows:
        model.learn_one(features, label)
    return model


def _losses(model: Any, rows: Any, count: int) -> Any:
    """1.0 for each row that the model, which stays as it is, gets wrong; else 0.0."""
    return (float(model.predict_one(features) != label) for features, label in islice(rows, count))


def _stream(name: str, losses: Any, rng: np.random.Generator) -> Stream:
    times_ms = poisson(len(losses), EVENTS_PER_DAY, rng)
    return Stream(name, times_ms, losses, (Change(STABLE_EVENTS, Kind.WORSE),))
