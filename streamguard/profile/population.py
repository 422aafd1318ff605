"""All features of a set of rows, and what its predictions were worth."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from streamguard.core.fields import Path, pick
from streamguard.core.records import Scalar
from streamguard.errors import ConfigError
from streamguard.profile.feature import Feature, Limits
from streamguard.profile.outcome import Outcome

FEATURES_MAX = 1000
"""More are no table: such rows have values for names."""
_DEPTH_MAX = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What of a row is what. A path leads to a field, or stands for all that is below it."""

    texts: frozenset[Path] = frozenset()
    """Fields of running text."""
    left_out: Mapping[Path, str] = field(default_factory=dict)
    """Fields that are not looked at, and why."""
    prediction: Path | None = None
    score: Path | None = None
    label: Path | None = None
    positive: Scalar | None = None
    """The label whose probability a score is; None: 1 and true."""
    limits: Limits = field(default_factory=Limits)

    @property
    def answers(self) -> dict[str, Path]:
        """What is no feature, but profiled as one is."""
        named = {"prediction": self.prediction, "score": self.score, "label": self.label}
        return {name: path for name, path in named.items() if path is not None}


class Population:
    """The profile of rows as far as they were read. Merges are exact as those of `Feature` and `Outcome` are.

    Raises `ConfigError` for more than a thousand features.

    >>> rows = Population(Plan())
    >>> rows.add([b'{"age": 31, "address": {"country": "DE"}}', b'{"age": null}', b"?"])
    >>> rows.rows, rows.unreadable, sorted(rows.features)
    (2, 1, [('address', 'country'), ('age',)])
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rows = 0
        """Rows that are JSON objects."""
        self.unreadable = 0
        """Rows that are none."""
        self.loose = 0
        """Of `rows`, those that a worker would reject: NaN, infinities and lone surrogates are no JSON."""
        self.features: dict[Path, Feature] = {}
        self.answers = {name: Feature(plan.limits) for name in plan.answers}
        self.outcome = Outcome(plan.positive) if plan.prediction and plan.label else None

    def add(self, rows: Iterable[bytes | None]) -> None:
        """Take rows of JSON."""
        documents = []
        for row in rows:
            document = self._document(row or b"")
            if document is None:
                self.unreadable += 1
            else:
                documents.append(document)
        self.add_documents(documents)

    def add_documents(self, documents: Sequence[dict[str, Any]]) -> None:
        """Take rows of JSON, parsed."""
        self.rows += len(documents)
        found: dict[Path, list[Any]] = {}
        _gather(documents, (), found)
        answers = self.plan.answers
        for name, path in answers.items():
            if path in found:
                self.answers[name].add(found[path])
        ignored = {*self.plan.left_out, *answers.values()}
        for path, values in found.items():
            if not any(path[: len(each)] == each for each in ignored):
                self._feature(path).add(values)
        if self.outcome is not None and documents:
            columns = {name: [pick(document, path) for document in documents] for name, path in answers.items()}
            self.outcome.add(columns["prediction"], columns["label"], columns.get("score"))

    def merge(self, other: "Population") -> None:
        """Take all that another has taken, which is left as it is; both are of one plan."""
        self.rows += other.rows
        self.unreadable += other.unreadable
        self.loose += other.loose
        for path, feature in other.features.items():
            self._feature(path).merge(feature)
        for name, feature in other.answers.items():
            self.answers[name].merge(feature)
        if self.outcome is not None and other.outcome is not None:
            self.outcome.merge(other.outcome)

    def _feature(self, path: Path) -> Feature:
        found = self.features.get(path)
        if found is None:
            if len(self.features) == FEATURES_MAX:
                some = ", ".join(".".join(each) for each in list(self.features)[:3])
                raise ConfigError(
                    f"more than {FEATURES_MAX:,} features, such as {some} and {'.'.join(path)}: leave out what has"
                    " values for names (a name stands for all that is below it)"
                )
            found = self.features[path] = Feature(self.plan.limits, is_text=path in self.plan.texts)
        return found

    def _document(self, row: bytes) -> dict[str, Any] | None:
        try:
            found = orjson.loads(row)
        except orjson.JSONDecodeError:
            found = _loosely(row)
            self.loose += type(found) is dict
        return found if type(found) is dict else None


def _loosely(row: bytes) -> Any:
    """What Python's own reader makes of a row that is no JSON; None where that, too, has no use for it."""
    try:
        return json.loads(row)
    except (ValueError, RecursionError):
        return None


def _gather(documents: Iterable[dict[str, Any]], parents: Path, found: dict[Path, list[Any]]) -> None:
    """The values of all fields by path: objects that have fields are looked into, and a dot in a name is as a step."""
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for document in documents:
        alike.setdefault(tuple(document), []).append(document)
    for names, members in alike.items():
        for name, values in zip(names, zip(*map(dict.values, members), strict=True), strict=True):
            path = (*parents, *name.split("."))
            own: Sequence[Any] = values
            if len(path) < _DEPTH_MAX and dict in set(map(type, values)):
                _gather([value for value in values if type(value) is dict and value], path, found)
                own = [value for value in values if type(value) is not dict or not value]
            if own:
                found.setdefault(path, []).extend(own)
