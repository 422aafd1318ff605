"""The built-in steps of preparation, by name, and several of them in a row."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from streamguard.core.features.fates import CHANGED, FAILED, NOT_MINE, SAME, Fates, Step, StepFailedError
from streamguard.core.features.number_steps import Clip, Impute, Map, Round, Scale, Standardize
from streamguard.core.features.text_steps import (
    CollapseWhitespace,
    LowerCase,
    NormalForm,
    StripAccents,
    StripDigits,
    StripMarkup,
    StripPunctuation,
)

__all__ = [
    "BUILT_IN",
    "CHANGED",
    "FAILED",
    "NOT_MINE",
    "SAME",
    "Clip",
    "CollapseWhitespace",
    "Fates",
    "Impute",
    "LowerCase",
    "Map",
    "NormalForm",
    "Round",
    "Scale",
    "Standardize",
    "Step",
    "StepFailedError",
    "StripAccents",
    "StripDigits",
    "StripMarkup",
    "StripPunctuation",
    "compared",
    "expected",
]

BUILT_IN: Mapping[str, Callable[..., Step]] = {
    each.name: each
    for each in (
        LowerCase,
        StripDigits,
        StripPunctuation,
        CollapseWhitespace,
        NormalForm,
        StripAccents,
        StripMarkup,
        Clip,
        Round,
        Scale,
        Standardize,
        Impute,
        Map,
    )
}
"""The class of each, by its name in the configuration."""

# Of numbers that were computed twice, one of them perhaps with 32 bits.
_RELATIVE = 1e-6
_ABSOLUTE = 1e-9


def expected(steps: Iterable[Step], raw: Any) -> Any:
    """What all steps, in their order, make of a raw value. Raises `StepFailedError`.

    >>> expected([LowerCase(), StripDigits(), CollapseWhitespace()], "Room 101,  Floor 2")
    'room , floor'
    """
    for step in steps:
        raw = step.applied(raw)
    return raw


def compared(steps: Iterable[Step], raw: Any, value: Any) -> int:
    """The fate of a value that a model was given, where the raw one is known: SAME if the steps make it of that.

    NOT_MINE where there is no value, or nothing to make one of; FAILED where a step cannot tell. Never raises.
    """
    try:
        made = expected(steps, raw)
    except StepFailedError:
        return FAILED
    if value is None or made is None:
        return NOT_MINE
    kinds = {type(made), type(value)}
    if kinds <= {int, float}:
        try:
            is_same = math.isclose(made, value, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
        except OverflowError:
            is_same = made == value
    else:
        try:
            is_same = len(kinds) == 1 and made == value
        except RecursionError:
            # What can be read may be nested deeper than Python compares.
            return FAILED
    return SAME if is_same else CHANGED
