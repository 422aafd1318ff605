"""What has moved, and how far, for people: from the counts since the onset and those of training."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamguard.core.alerts import rfc3339
from streamguard.core.features.distances import distances
from streamguard.core.features.folding import Example
from streamguard.core.features.looks import Look, What
from streamguard.core.features.reference import FIRST, RATE_BINS, Column, Ints, Kind

Floats = NDArray[np.float64]

_TRAITS = {
    "upper": "capitals",
    "digits": "digits",
    "punctuation": "punctuation",
    "non_ascii": "characters beyond ASCII",
    "whitespace_runs": "runs of white space",
    "words": "words that training did not have",
}
_NOT = {Kind.NUMBER: "not a number", Kind.TEXT: "not a text"}
_ALL = 0.995
_ORDERED = {Kind.NUMBER, Kind.LENGTH, Kind.RATE, Kind.WORDS}


@dataclass(frozen=True, slots=True)
class Moved:
    """A column that is not as it was."""

    place: int
    """Of the look among all."""
    look: Look
    column: Column
    live: Ints
    """Counts of its bins since the onset."""
    is_up: bool
    deviations: float
    """By how many standard deviations of training the mean has moved beyond what is usual."""
    example: tuple[int, Example] | None = None
    """With the source that it came from."""

    def fields(self, since_ms: int) -> dict[str, Any]:
        """As an alert has it."""
        column = self.column
        found: dict[str, Any] = {
            "feature": column.feature,
            "trait": column.trait,
            "change": self.look.what.value,
            "told": self.told(since_ms),
            "moved": round(self.deviations, 4),
            "share": self._share(self.live.astype(np.float64)),
            "share_in_training": self._share(np.array(column.shares)) if column.shares else None,
            "count": int(self.live.sum()),
        }
        if self.example is not None:
            source, example = self.example
            found["example"] = {
                "request_id": example.request_id,
                "partition": source,
                "offset": example.offset,
                "shown": list(example.shown),
            }
        if column.shares and column.kind not in {Kind.STEP, Kind.NAMES, Kind.TEXT} and self.live[FIRST:].any():
            found["distances"] = self._distances()
        return found

    def told(self, since_ms: int) -> str:  # noqa: PLR0911 - one for each kind of look
        """In a sentence."""
        column, what = self.column, self.look.what
        name = f"`{column.feature}`"
        share, before = self._share(self.live.astype(np.float64)), self._share(np.array(column.shares or ()))
        percent, trained = _percent(share), "" if before is None else f", {_percent(before)} in training"
        if what is What.CHANGED:
            if column.raw is not None:
                return f"{percent} of {name} is not what {_steps(column)} raw value, since {rfc3339(since_ms)}"
            since = f"this step is missing in production since {rfc3339(since_ms)}"
            return f"{percent} of {name} would change under {column.trait}: {since}"
        if what is What.FAILED and column.raw is not None:
            return f"the raw value of {name} is missing, or cannot be prepared, in {percent} of predictions"
        if what is What.FAILED:
            return f"the step {column.trait} failed for {percent} of {name}: what it would make of them is not known"
        if what is What.UNKNOWN:
            shown = "".join(f", such as `{each}`" for each in (self.example[1].shown[:1] if self.example else ()))
            return f"{percent} of predictions carry fields that training did not have{shown}"
        if what is What.MISSING:
            return (
                f"{name} never comes"
                if (share or 0) >= _ALL
                else f"{name} is missing in {percent} of predictions{trained}"
            )
        if what is What.ODD:
            return f"{name} is {_NOT.get(column.kind, 'of another type')} in {percent} of predictions{trained}"
        if what is What.VALUE:
            value = column.values[self.look.place - FIRST]
            return f"{name} is {value!r} in {percent} of predictions{trained}"
        if what is What.OTHERS:
            return f"{name} is none of training's frequent values in {percent} of predictions{trained}"
        return self._ordered()

    def _ordered(self) -> str:
        column, name = self.column, f"`{self.column.feature}`"
        live, trained = self._middle(self.live.astype(np.float64)), self._middle(np.array(column.shares or ()))
        beyond = self._beyond()
        if column.kind in {Kind.RATE, Kind.WORDS}:
            before = "" if trained is None else f" ({_percent(trained)} in training)"
            more = "more" if self.is_up else "fewer"
            return f"{name} has {more} {_TRAITS[str(column.trait)]}: {_percent(live)}{before}"
        values = f"median {beyond}{_number(live)}" + ("" if trained is None else f", {_number(trained)} in training")
        if self.look.what is What.SPREAD:
            return f"{name} is {'farther from' if self.is_up else 'nearer to'} its middle than in training ({values})"
        sizes = ("longer", "shorter") if column.kind is Kind.LENGTH else ("larger", "smaller")
        return f"{name} is {sizes[0] if self.is_up else sizes[1]} than in training: {values}"

    def _beyond(self) -> str:
        """Where the median is beyond all that training had, of which only the bound is known."""
        own = self.live[FIRST:]
        if self.column.kind not in {Kind.NUMBER, Kind.LENGTH} or not own.any():
            return ""
        place = int(np.searchsorted(np.cumsum(own), own.sum() / 2))
        return "below " if place == 0 else "above " if place == len(own) - 1 else ""

    def _share(self, counts: Floats) -> float | None:
        """Of the bins that the look is at, among those that it asks of; None of looks at a distribution."""
        what = self.look.what
        if what in {What.LOCATION, What.SPREAD} or not len(counts):
            return None
        scores = np.array(self.look.scores)
        total = counts[scores >= 0].sum()
        return round(float(counts[scores > 0].sum() / total), 6) if total else None

    def _middle(self, counts: Floats) -> float | None:
        """The median of numbers, roughly; of rates the mean."""
        own = counts[FIRST:]
        if not len(own) or not own.sum():
            return None
        places = places_of(self.column)
        if self.column.kind in {Kind.RATE, Kind.WORDS}:
            return float((own * places).sum() / own.sum())
        return float(places[int(np.searchsorted(np.cumsum(own), own.sum() / 2))])

    def _distances(self) -> dict[str, Any]:
        column = self.column
        trained = np.array(column.shares[FIRST:]) * column.rows
        ordered = places_of(column).tolist() if column.kind in _ORDERED else None
        return distances(trained, self.live[FIRST:].astype(np.float64), ordered) if trained.sum() else {}


def _steps(column: Column) -> str:
    names = [step.name for step in column.steps]
    return f"the {'step' if len(names) == 1 else 'steps'} {', '.join(names)} would make of the"


def places_of(column: Column) -> Floats:
    """Where the bins of numbers are: their middles, and the edges of the two outer ones; of rates as parts."""
    if column.kind in {Kind.RATE, Kind.WORDS}:
        between = (np.arange(RATE_BINS - 2) + 0.5) / (RATE_BINS - 2)
        return np.concatenate(([0.0], between, [1.0]))
    edges = np.array(column.edges)
    if not len(edges):
        return np.zeros(1)
    # The last edge is just above the largest number of training.
    return np.concatenate((edges[:1], edges[:-1] / 2 + edges[1:] / 2, np.nextafter(edges[-1:], -np.inf)))


def _percent(share: float | None) -> str:
    if share is None:
        return "part"
    return f"{share:.1%}" if share >= 0.001 or share == 0 else f"{share:.2g}"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"
