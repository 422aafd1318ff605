"""`streamguard.profile.build`: from data that are at hand to their profile."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import version as version_of
from typing import Any

from streamguard.config import Config
from streamguard.core.fields import Path
from streamguard.core.records import Scalar
from streamguard.errors import ConfigError
from streamguard.profile.feature import Limits
from streamguard.profile.population import Plan, Population
from streamguard.profile.reading import Data, opened
from streamguard.profile.remarks import remarks
from streamguard.profile.writing import described, features, judged
from streamguard.reference.document import Profile

CATEGORIES = 256
MIN_COUNT = 10
"""Category values and patterns in fewer rows are not named."""
_NAMES_MAX = 20

Look = Callable[[int, int], None]
"""Told how much of the size was read, and how many rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What of a row is what, and how the profile is called. Names of fields are dotted paths."""

    text: Sequence[str] = ()
    label: str | None = None
    prediction: str | None = None
    score: str | None = None
    positive: Scalar | None = None
    leave_out: Sequence[str] = ()
    config: Config | None = None
    name: str | None = None
    model: str | None = None
    version: str | None = None
    min_count: int = MIN_COUNT


def build(  # noqa: PLR0913 - each says what one column is, by its name
    data: Any,
    *,
    text: Sequence[str] = (),
    label: str | None = None,
    prediction: str | None = None,
    score: str | None = None,
    positive: Scalar | None = None,
    leave_out: Sequence[str] = (),
    config: Config | None = None,
    name: str | None = None,
    model: str | None = None,
    version: str | None = None,
    min_count: int = MIN_COUNT,
) -> Profile:
    """Profile training data: what each feature looks like, and what predictions were worth.

    `data`: a pandas, polars or pyarrow table, a mapping of columns, any iterable of rows (mappings, or JSON as text or
    bytes), or the paths of one or more files (JSON Lines, Parquet, CSV). Columns are named by dotted paths. `text`:
    columns of running text. `label`, `prediction`, `score`: the truth, the model's answer and its probability of the
    class `positive` (default: 1 and true); a `config` (`streamguard.config.load`) names the last two and says what is
    no feature. `leave_out`: what else is none. Values and patterns in fewer than `min_count` rows are not named.

    Raises `ConfigError`, which says what is wrong with the data or the names, and how to mend it.

    >>> profile = build({"plan": ["free"] * 30 + ["paid"] * 10, "age": [20 + n % 50 for n in range(40)]})
    >>> [(each.value, each.count) for each in profile.features["plan"].categories.values]
    [('free', 30), ('paid', 10)]
    """
    asked = Asked(
        text=text,
        label=label,
        prediction=prediction,
        score=score,
        positive=positive,
        leave_out=leave_out,
        config=config,
        name=name,
        model=model,
        version=version,
        min_count=min_count,
    )
    return profiled(opened(data), asked)


def profiled(data: Data, asked: Asked, look: Look = lambda _read, _rows: None) -> Profile:
    """Read all and say what was found; raises `ConfigError`."""
    if asked.min_count < 1:
        raise ConfigError(f"min_count: must be at least 1, got {asked.min_count}")
    plan = _plan(asked)
    found = Population(plan)
    for values, read in data.batches():
        found.add(values)
        look(read, found.rows)
    if not found.rows:
        unreadable = f": {found.unreadable:,} rows are no JSON objects" if found.unreadable else ""
        raise ConfigError(f"{data.described}: holds no rows{unreadable}. A profile needs at least one")
    _check_names(found, asked)
    _reveal(found, data)
    return _document(found, data, asked)


def _reveal(found: Population, data: Data) -> None:
    """Tell what was NaN or infinite from what was null."""
    for file in data.parquet:
        data.non_finite.of_parquet(file)
    answers = {path: found.answers[name] for name, path in found.plan.answers.items()}
    for path, (nan, infinite) in data.non_finite.counts.items():
        feature = found.features.get(path) or answers.get(path)
        if feature is not None:
            feature.reveal(nan, infinite)


def _plan(asked: Asked) -> Plan:
    left_out = {_path(name): "left out" for name in asked.leave_out}
    prediction, score = asked.prediction, asked.score
    if asked.config is not None:
        fields = asked.config.predictions.fields
        for path, why in (
            (fields.request_id, "request ID"),
            (fields.time, "event time"),
            (fields.model, "the model's name"),
            (fields.version, "the model's version"),
        ):
            if path is not None:
                left_out[path.parts] = why
        prediction = prediction or ".".join(fields.value.parts)
        score = score or (".".join(fields.score.parts) if fields.score is not None else None)
    if asked.label is not None and prediction is None:
        raise ConfigError(
            "label: is held against predictions: name their column by --prediction, or a configuration by --config"
        )
    return Plan(
        texts=frozenset(map(_path, asked.text)),
        left_out=left_out,
        prediction=_path(prediction) if prediction else None,
        score=_path(score) if score else None,
        label=_path(asked.label) if asked.label else None,
        positive=asked.positive,
        limits=Limits(categories=CATEGORIES, has_filter=True),
    )


def _path(name: str) -> Path:
    return tuple(name.split("."))


def _check_names(found: Population, asked: Asked) -> None:
    """That what the user named is there."""
    named = [("--text", name) for name in asked.text]
    single = (("--label", asked.label), ("--prediction", asked.prediction), ("--score", asked.score))
    named += [(option, name) for option, name in single if name is not None]
    answers = {path: found.answers[name] for name, path in found.plan.answers.items()}
    there = [".".join(path) for path in [*found.features, *(path for path in answers if answers[path].kinds.count)]]
    for option, name in named:
        if name not in there:
            near = get_close_matches(name, there, 1)
            guess = f"; did you mean {near[0]}?" if near else ""
            listed = ", ".join(there[:_NAMES_MAX]) or "none"
            more = f" and {len(there) - _NAMES_MAX:,} more" if len(there) > _NAMES_MAX else ""
            raise ConfigError(f"{option}: no field {name!r} in {found.rows:,} rows, there is {listed}{more}{guess}")


def _document(found: Population, data: Data, asked: Asked) -> Profile:
    least = asked.min_count
    answers = {name: described(each, found.rows, least) for name, each in found.answers.items() if each.kinds.count}
    parts = features(found.features, found.rows, least)
    return Profile(
        v=1,
        streamguard=version_of("streamguard"),
        name=asked.name or data.name,
        model=asked.model,
        version=asked.version,
        holds=_holds(least),
        made_from=data.described,
        rows=found.rows,
        unreadable=found.unreadable,
        rejected_live=found.loose,
        min_count=least,
        left_out={".".join(path): why for path, why in found.plan.left_out.items()},
        features=parts,
        prediction=answers.get("prediction"),
        score=answers.get("score"),
        label=answers.get("label"),
        outcome=judged(found.outcome, least) if found.outcome is not None else None,
        notes=remarks(found, parts),
    )


def _holds(min_count: int) -> str:
    return (
        "No rows. Of the data: names of fields; of numbers the smallest and the largest, and how many lie in each bin,"
        f" be it one; values of categories, and shapes of texts, that occur in at least {min_count} rows; of fields of"
        " running text lengths, rates of characters, and hashes of words, rare ones too: who guesses a word can ask"
        " whether it occurs."
    )
