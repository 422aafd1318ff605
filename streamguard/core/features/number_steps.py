"""Steps that prepare numbers, fill in what is missing, and rename categories.

Numbers are int and float, and never bool; NaN is none. They are compared as 64-bit floats. A system that computes with
32 bits writes 0.1 as 0.10000000149011612; where such a number is meant it is taken for what it stands for.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from streamguard.core.features.fates import CHANGED, NOT_MINE, SAME, Fates, StepFailedError, by_rows
from streamguard.core.features.traits import Traits
from streamguard.core.records import Scalar

Number = int | float
Floats = NDArray[np.float64]

_NUMBERS = {int, float}
_READ_AS_THEY_ARE = {int, float, type(None)}
_SCALARS = {str, int, float, bool}
# Below this a product with a power of ten is near enough to tell which whole number is meant.
_EXACT = float(1 << 50)
# Of 32 bits, with a few operations before.
_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Clip:
    """Numbers below `low` become it, and those above `high` that; None is no limit."""

    low: Number | None
    high: Number | None

    name: ClassVar[str] = "clip"

    def fates(self, values: Sequence[Any], _: Traits | None = None) -> Fates:
        numbers = floats(values)
        is_changed = np.zeros(len(numbers), np.bool_)
        if self.low is not None:
            is_changed |= (numbers < self.low) & (numbers != np.float32(self.low))
        if self.high is not None:
            is_changed |= (numbers > self.high) & (numbers != np.float32(self.high))
        return _told(numbers, is_changed)

    def applied(self, value: Any) -> Any:
        if not _is_number(value):
            return value
        limit = self.low if self.low is not None and value < self.low else None
        limit = self.high if self.high is not None and value > self.high else limit
        if limit is None:
            return value
        return float(limit) if type(value) is float else limit


@dataclass(frozen=True, slots=True)
class Round:
    """Rounds to so many decimals, as `round` does; a negative number is of places before the point."""

    digits: int

    name: ClassVar[str] = "round"

    def fates(self, values: Sequence[Any], _: Traits | None = None) -> Fates:
        numbers = floats(values)
        factor = 10.0 ** abs(self.digits)
        with np.errstate(over="ignore", invalid="ignore"):
            whole = np.rint(numbers * factor if self.digits >= 0 else numbers / factor)
            rounded = whole / factor if self.digits >= 0 else whole * factor
            single = numbers.astype(np.float32)
            is_changed = (rounded != numbers) & ~((single == numbers) & (rounded.astype(np.float32) == single))
        for place in np.flatnonzero(np.maximum(np.abs(whole), np.abs(numbers)) >= _EXACT).tolist():
            is_changed[place] = self.applied(values[place]) != values[place]
        return _told(numbers, is_changed)

    def applied(self, value: Any) -> Any:
        return round(value, self.digits) if _is_number(value) else value


@dataclass(frozen=True, slots=True)
class Scale:
    """Brings numbers into the range `to`: what is `source[0]` becomes `to[0]`, and so on; what is beyond is cut.

    Without `source`, what comes of a number is not known, but only where it must lie.
    """

    to: tuple[Number, Number]
    source: tuple[Number, Number] | None = None

    name: ClassVar[str] = "scale"

    def fates(self, values: Sequence[Any], _: Traits | None = None) -> Fates:
        low, high = self.to
        margin = _TOLERANCE * max(abs(low), abs(high))
        numbers = floats(values)
        return _told(numbers, (numbers < low - margin) | (numbers > high + margin))

    def applied(self, value: Any) -> Any:
        if not _is_number(value):
            return value
        if self.source is None:
            raise StepFailedError("scale: what comes of a number is not known without the range that it is from")
        (low, high), (start, end) = self.to, self.source
        scaled = low + (as_float(value) - start) / (float(end) - start) * (float(high) - low)
        return min(max(scaled, float(low)), float(high))


@dataclass(frozen=True, slots=True)
class Standardize:
    """Takes away a mean and divides by a deviation. A number does not show whether that was done: no fate is told."""

    mean: Number
    sd: Number

    name: ClassVar[str] = "standardize"

    def fates(self, values: Sequence[Any], _: Traits | None = None) -> Fates:
        return np.zeros(len(values), np.int8)

    def applied(self, value: Any) -> Any:
        return (as_float(value) - self.mean) / self.sd if _is_number(value) else value


@dataclass(frozen=True, slots=True)
class Impute:
    """Puts a value where there is none."""

    value: Scalar

    name: ClassVar[str] = "impute"

    def fates(self, values: Sequence[Any], _: Traits | None = None) -> Fates:
        return np.fromiter((CHANGED if each is None else SAME for each in values), np.int8, len(values))

    def applied(self, value: Any) -> Any:
        return self.value if value is None else value


@dataclass(frozen=True, slots=True)
class Map:
    """Renames categories. Names are text, as in JSON: `1` and `true` stand for the number and the truth value, too."""

    mapping: Mapping[str, Scalar]
    _targets: dict[tuple[bool, Any], Scalar] = field(init=False, repr=False, compare=False)
    _changed: set[tuple[bool, Any]] = field(init=False, repr=False, compare=False)

    name: ClassVar[str] = "map"

    def __post_init__(self) -> None:
        targets = {key: target for name, target in self.mapping.items() for key in _meant(name)}
        results = {_key(target) for target in self.mapping.values()}
        object.__setattr__(self, "_targets", targets)
        object.__setattr__(self, "_changed", targets.keys() - results)

    def fates(self, values: Sequence[Any], _: Traits | None = None) -> Fates:
        changed = self._changed
        found = (
            NOT_MINE if type(each) not in _SCALARS else CHANGED if (type(each) is bool, each) in changed else SAME
            for each in values
        )
        return np.fromiter(found, np.int8, len(values))

    def applied(self, value: Any) -> Any:
        return self._targets.get(_key(value), value) if type(value) in _SCALARS else value


def _key(value: Scalar) -> tuple[bool, Scalar]:
    """Python's `True` equals 1."""
    return type(value) is bool, value


def _meant(name: str) -> list[tuple[bool, Scalar]]:
    """The values that a name in a mapping stands for."""
    found: list[Scalar] = [name]
    if name in {"true", "false"}:
        found.append(name == "true")
    for kind in (int, float):
        try:
            number = kind(name)
        except ValueError:
            continue
        if str(number) == name:
            found.append(number)
    return [_key(each) for each in found]


def _is_number(value: Any) -> bool:
    return type(value) in _NUMBERS and value == value  # noqa: PLR0124 - NaN is not


def as_float(number: Number) -> float:
    """The nearest float; infinite where a whole number is larger than any."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def floats(values: Sequence[Any]) -> Floats:
    """Numbers as they are, NaN for everything else."""
    if set(map(type, values)) <= _READ_AS_THEY_ARE:
        try:
            return np.array(values, np.float64)
        except OverflowError:
            pass  # a whole number that no float is as large as
    return np.array([as_float(each) if type(each) in _NUMBERS else math.nan for each in values], np.float64)


def _told(numbers: Floats, is_changed: NDArray[np.bool_]) -> Fates:
    rows = ~np.isnan(numbers)
    return by_rows(rows, is_changed=is_changed[rows])
