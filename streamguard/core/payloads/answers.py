"""From what a model answered for an instance to a prediction and a score, and the records of a payload's instances."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from streamguard.core.fields import Unreadable, kind_of
from streamguard.core.payloads.adapter import Row

Answer = dict[str, Any]
"""An answer's outputs by name; a single one without a name is called ''."""
Features = Mapping[str, Any]

_SCALARS = {str, int, float, bool}


@dataclass(frozen=True, slots=True)
class Reading:
    """How answers are read. Fields as in `config.formats`."""

    row_id: str | None = None
    names: tuple[str, ...] = ()
    output: str | None = None
    score: str | None = None
    argmax: bool = False
    classes: tuple[str, ...] = ()
    positive: str | None = None

    def value(self, answer: Answer) -> tuple[Any, float | None]:
        """Prediction and score of one instance; raises `Unreadable`."""
        found = _named(answer, self.output, "output") if self.output is not None else _first(answer)
        score = _probability(_named(answer, self.score, "score")) if self.score is not None else None
        if self.argmax:
            return self._largest(found, score)
        while type(found) is list and len(found) == 1:
            found = found[0]
        if type(found) is list:
            raise Unreadable(
                f"the answer is an array of {len(found)}: set format.argmax where these are probabilities of classes,"
                " or format.output to name the one that is the prediction"
            )
        if type(found) not in _SCALARS:
            raise Unreadable(f"the answer is {kind_of(found)}: expected text, a number, true or false")
        return found, score

    def _largest(self, found: Any, score: float | None) -> tuple[Any, float | None]:
        while type(found) is list and len(found) == 1 and type(found[0]) is list:
            found = found[0]
        if type(found) is not list or not found or not all(type(each) in {int, float} for each in found):
            raise Unreadable("the answer is no array of numbers, and format.argmax takes the largest of one")
        if self.classes and len(self.classes) != len(found):
            raise Unreadable(f"the answer has {len(found)} probabilities, and format.classes names {len(self.classes)}")
        best = max(range(len(found)), key=found.__getitem__)
        if score is None:
            if self.positive is not None:
                score = _probability(found[self.classes.index(self.positive)])
            elif len(found) == 2:
                score = _probability(found[1])
        return (self.classes[best] if self.classes else best), score


def records(
    request_id: str | None,
    time_ms: int,
    answers: Sequence[Answer],
    features: Sequence[Features] | None,
    about: Mapping[str, Any],
    reading: Reading,
) -> list[Row]:
    """A record for each answer, in streamguard's own form; `about` are more fields of each. Raises `Unreadable`."""
    if not answers:
        raise Unreadable("the response holds no predictions")
    if features is not None and len(features) != len(answers):
        raise Unreadable(f"the request has {len(features)} instances, and the response {len(answers)} predictions")
    rows = []
    for number, answer in enumerate(answers):
        own = {} if features is None else features[number]
        prediction, score = reading.value(answer)
        row_id = _row_id(own, reading.row_id) if reading.row_id is not None else request_id
        if not row_id:
            raise Unreadable("the payload has no request ID")
        if reading.row_id is None and len(answers) > 1:
            row_id = f"{row_id}:{number}"
        document = {"request_id": row_id, "prediction": prediction, "timestamp": time_ms, **about}
        if score is not None:
            document["score"] = score
        if own:
            document["features"] = own
        rows.append(Row(row_id, time_ms, dumps(document)))
    return rows


def dumps(document: Mapping[str, Any]) -> bytes:
    """As JSON; raises `Unreadable` where that cannot hold it."""
    try:
        return orjson.dumps(document)
    except TypeError:
        raise Unreadable("the payload is nested too deeply, or holds a number of more than 64 bits") from None


def text_of(value: Any) -> str | None:
    """A scalar as the text of an ID; None where there is none."""
    if type(value) is str:
        return value or None
    if type(value) is int:
        return str(value)
    if type(value) is float and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return None


def _row_id(features: Features, name: str) -> str:
    found = features.get(name)
    if type(found) is list and len(found) == 1:
        found = found[0]
    text = text_of(found)
    if text is None:
        there = ", ".join(list(features)[:20]) or "none"
        raise Unreadable(f"feature {name!r}, which format.row_id names, holds no ID; there is {there[:200]}")
    return text


def _first(answer: Answer) -> Any:
    if not answer:
        raise Unreadable("the answer has no outputs")
    return next(iter(answer.values()))


def _named(answer: Answer, name: str, setting: str) -> Any:
    if name not in answer:
        there = ", ".join(each or "one without a name" for each in list(answer)[:20])
        raise Unreadable(f"no output {name!r}, which format.{setting} names; there is {there[:200]}")
    return answer[name]


def _probability(found: Any) -> float:
    while type(found) is list and len(found) == 1:
        found = found[0]
    if type(found) not in {int, float} or not math.isfinite(found) or not 0 <= found <= 1:
        raise Unreadable("the score is not a probability from 0 to 1")
    return float(found)
