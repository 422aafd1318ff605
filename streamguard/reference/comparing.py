"""From a profile, and what a monitor says of it, to what live predictions are held against."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from streamguard.core.features.fates import Step
from streamguard.core.features.reference import RATE_BINS, Column, Kind, Reference
from streamguard.core.features.steps import Standardize
from streamguard.core.fields import Path
from streamguard.core.records import Scalar
from streamguard.errors import ConfigError
from streamguard.reference.bins import log_edge
from streamguard.reference.document import Profile
from streamguard.reference.known import KnownWords
from streamguard.reference.parts import Feature, Numbers, Text, counts_of

_CATEGORIES: dict[str, type] = {"text": str, "boolean": bool, "integer": int}
_ANSWERS = ("prediction", "score")
_BINS = 32
_VALUES_MAX = 32
# A profile of fewer rows knows too little of its own.
ROWS_MIN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a monitor says of its predictions."""

    where: str
    """Names the setting in errors."""
    profile: Profile | None
    features: Path
    paths: Mapping[str, Path]
    """Of features that are elsewhere."""
    leave_out: Sequence[str]
    steps: Mapping[str, Sequence[Step]]
    """By feature."""
    raws: Mapping[str, Path]
    prediction: Path
    score: Path | None
    window_ms: int
    positive: Scalar | None
    model: str | None = None
    version: str | None = None
    notes: list[str] = field(default_factory=list)
    """Takes what cannot be compared, and why."""


def reference_of(wanted: Wanted) -> Reference:
    """Raises `ConfigError` where the profile does not fit what is asked."""
    profile = wanted.profile
    if profile is not None:
        _check(profile, wanted)
    features = {} if profile is None else dict(profile.features)
    left_out = set(wanted.leave_out)
    columns = [
        column for name, each in features.items() if name not in left_out for column in _columns(name, each, wanted)
    ]
    if profile is not None:
        columns += _answers(profile, wanted)
    if features and wanted.features:
        columns.append(Column("features", Kind.NAMES, wanted.features, "names"))
    columns += _steps(wanted)
    if not columns:
        raise ConfigError(
            f"{wanted.where}: compares nothing: no feature of the profile has values that can be compared, and there"
            " are no steps"
        )
    words = {
        name: KnownWords(each.text)
        for name, each in features.items()
        if each.text is not None and each.text.words.filter
    }
    outcome = None if profile is None else profile.outcome
    calibration = None if outcome is None else outcome.calibration
    return Reference(
        columns=tuple(columns),
        window_ms=wanted.window_ms,
        profile=None if profile is None else profile.name,
        known=frozenset(_below(wanted, features)),
        calibration=() if calibration is None else tuple((each.above, each.positive_rate) for each in calibration.bins),
        positive=(1, True) if wanted.positive is None else (wanted.positive,),
        words=words,
    )


def _check(profile: Profile, wanted: Wanted) -> None:
    where = wanted.where
    if profile.rows < ROWS_MIN:
        raise ConfigError(
            f"{where}.profile: is of {profile.rows} rows, and nothing can be said from fewer than {ROWS_MIN}"
        )
    for name, own, asked in (("model", profile.model, wanted.model), ("version", profile.version, wanted.version)):
        if own is not None and asked is not None and own != asked:
            raise ConfigError(
                f"{where}.profile: is of {name} {own!r}, and the monitor watches {name} {asked!r}: name the profile of"
                f" that one, or build it: streamguard profile build --model {wanted.model or '...'}"
            )
    elsewhere = {"leave_out": _ANSWERS, "fields": wanted.steps, "steps": wanted.paths}
    for setting, names in (("leave_out", wanted.leave_out), ("fields", wanted.paths), ("steps", wanted.steps)):
        for name in names:
            if name not in profile.features and name not in elsewhere[setting]:
                near = get_close_matches(name, profile.features, 1)
                meant = f"; did you mean {near[0]}?" if near else f"; it has {', '.join(list(profile.features)[:20])}"
                way_out = "; if it was left out of that, say where it is under fields" if setting == "steps" else ""
                raise ConfigError(f"{where}.{setting}: the profile has no feature {name!r}{meant}{way_out}")


def _path(name: str, wanted: Wanted) -> Path:
    """Where a record has a feature; a profile that was built of records like them names it in full."""
    if name in wanted.paths:
        return wanted.paths[name]
    parts = tuple(name.split("."))
    return parts if wanted.features and parts[: len(wanted.features)] == wanted.features else (*wanted.features, *parts)


def _below(wanted: Wanted, features: Mapping[str, Feature]) -> Iterator[str]:
    depth = len(wanted.features)
    left_out = () if wanted.profile is None else wanted.profile.left_out
    for name in [*features, *left_out, *wanted.steps]:
        path = _path(name, wanted)
        if path[:depth] == wanted.features and len(path) > depth:
            yield path[depth]
    for path in wanted.raws.values():
        if path[:depth] == wanted.features and len(path) > depth:
            yield path[depth]


def _columns(name: str, feature: Feature, wanted: Wanted, path: Path | None = None) -> Iterator[Column]:
    path = _path(name, wanted) if path is None else path
    rows = _rows(feature)
    if not rows:
        wanted.notes.append(f"{name}: is of no profile that can be compared: it has no value in training")
        return
    numbers = 0 if feature.numbers is None else feature.numbers.count
    others = rows - feature.missing - numbers
    if feature.text is not None:
        yield from _text(name, feature, feature.text, path, rows)
    elif feature.numbers is not None and numbers >= others:
        odd = rows - feature.missing - numbers
        edges, shares = _binned(feature.numbers)
        yield Column(name, Kind.NUMBER, path, edges=edges, shares=_all(feature.missing, odd, shares, rows), rows=rows)
    else:
        column = _category(name, feature, path, rows)
        if column is None:
            wanted.notes.append(f"{name}: is a list or an object in training: only what is in it can be compared")
        else:
            yield column


def _rows(feature: Feature) -> int:
    """Rows that the profile is of: those in which the feature was, and those in which it was not there at all."""
    there = sum(feature.kinds.values())
    absent = feature.missing - feature.kinds.get("null", 0) - feature.kinds.get("nan", 0)
    return there + absent


def _all(missing: int, odd: int, own: Sequence[float], rows: int) -> tuple[float, ...]:
    return tuple(each / rows for each in (missing, max(0, odd), *own))


def _category(name: str, feature: Feature, path: Path, rows: int) -> Column | None:
    counted: list[tuple[Scalar, int]] = []
    if feature.booleans is not None:
        counted += [(True, feature.booleans.true), (False, feature.booleans.false)]
    if feature.categories is not None:
        counted += [(each.value, each.count) for each in feature.categories.values]
    kinds = tuple(kind for name, kind in _CATEGORIES.items() if feature.kinds.get(name, 0))
    texts = sum(feature.kinds.get(name, 0) for name in _CATEGORIES)
    if not texts:
        return None
    kept = sorted(counted, key=lambda each: -each[1])[:_VALUES_MAX]
    other = max(0, texts - sum(count for _, count in kept))
    odd = rows - feature.missing - texts
    shares = _all(feature.missing, odd, [*(count for _, count in kept), other], rows)
    values = tuple(value for value, _ in kept)
    return Column(name, Kind.CATEGORY, path, values=values, kinds=kinds, shares=shares, rows=rows)


def _text(name: str, feature: Feature, text: Text, path: Path, rows: int) -> Iterator[Column]:
    texts = feature.kinds.get("text", 0)
    odd = rows - feature.missing - texts
    yield Column(name, Kind.TEXT, path, shares=_all(feature.missing, odd, [texts], rows), rows=rows)
    edges, shares = _binned(text.length)
    yield Column(name, Kind.LENGTH, path, "length", edges=edges, shares=_all(0, 0, shares, texts), rows=texts)
    filled = texts - text.empty
    for trait, rate in text.rates.items():
        counts = counts_of(rate.bins)
        own = [float(counts.get(place, 0)) for place in range(RATE_BINS)]
        if filled:
            yield Column(name, Kind.RATE, path, trait, shares=_all(0, 0, own, filled), rows=filled)
    if text.words.filter is not None:
        yield Column(name, Kind.WORDS, path, "words")


def _answers(profile: Profile, wanted: Wanted) -> Iterator[Column]:
    for name, feature, path in (
        ("prediction", profile.prediction, wanted.prediction),
        ("score", profile.score, wanted.score),
    ):
        if feature is not None and path is not None and name not in wanted.leave_out:
            yield from _columns(name, feature, wanted, path)


def _steps(wanted: Wanted) -> Iterator[Column]:
    for name, steps in wanted.steps.items():
        path = _path(name, wanted)
        for step in steps:
            # What has been standardized does not show it.
            if not isinstance(step, Standardize):
                yield Column(name, Kind.STEP, path, step.name, steps=(step,))
        if name in wanted.raws:
            yield Column(name, Kind.STEP, path, "raw", steps=tuple(steps), raw=wanted.raws[name])


def _binned(numbers: Numbers) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Edges of bins that hold about as many numbers each, and how many they hold; outside of training none."""
    choices = [_log_bins(numbers), _equal_bins(numbers)]
    # The finer of the two: that in which two numbers are least often in one bin.
    bins = min(choices, key=lambda each: sum(count * count for _, count in each))
    edges: list[float] = []
    counts, held = [0.0], 0
    for upper, count in bins:
        if not edges and numbers.min is not None:
            edges.append(numbers.min)
        held += count
        if held * _BINS >= numbers.count and upper > edges[-1]:
            edges.append(upper)
            counts.append(float(held))
            held = 0
    last = math.nextafter(numbers.max, math.inf) if numbers.max is not None and numbers.max < 1e308 else None
    if last is not None and edges and last > edges[-1]:
        edges.append(last)
        counts.append(float(held))
        held = 0
    elif last is not None and edges and len(edges) > 1:
        edges[-1] = last
    return tuple(edges), (*counts, float(held))


def _log_bins(numbers: Numbers) -> list[tuple[float, int]]:
    """The upper edge of each bin and how many it holds, ascending; zero and what is near it are one bin."""
    counts = counts_of(numbers.log_bins)
    found = [(math.nextafter(-log_edge(-1 - key), math.inf), count) for key, count in sorted(counts.items()) if key < 0]
    positive = sorted((key, count) for key, count in counts.items() if key >= 0)
    near = numbers.zeros + numbers.near_zero
    if near:
        found.append(
            (log_edge(positive[0][0]) if positive else math.nextafter(max(numbers.max or 0.0, 0.0), math.inf), near)
        )
    return found + [(log_edge(key + 1), count) for key, count in positive]


def _equal_bins(numbers: Numbers) -> list[tuple[float, int]]:
    counts = sorted(counts_of(numbers.equal_bins).items())
    try:
        return [(math.ldexp(number + 1, numbers.equal_width_log2), count) for number, count in counts]
    except OverflowError:
        return [(math.inf, numbers.count)]
