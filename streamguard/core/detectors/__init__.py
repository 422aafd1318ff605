"""The drift detectors, by name: one family a file, one interface, river's algorithms inside.

`settings.py` is what a user may set, `interface.py` what the monitor sees, `adapter.py` what the families
share.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from pydantic import TypeAdapter

from streamguard.core.detectors.interface import Detector, Direction, Drift
from streamguard.core.detectors.settings import (
    AdwinSettings,
    BudgetedSettings,
    DdmSettings,
    DetectorSettings,
    EddmSettings,
    FhddmSettings,
    HddmASettings,
    HddmWSettings,
    KswinSettings,
    PageHinkleySettings,
    Settings,
)

__all__ = [
    "TYPES",
    "AdwinSettings",
    "BudgetedSettings",
    "DdmSettings",
    "Detector",
    "DetectorSettings",
    "Direction",
    "Drift",
    "EddmSettings",
    "FhddmSettings",
    "HddmASettings",
    "HddmWSettings",
    "KswinSettings",
    "PageHinkleySettings",
    "build",
    "make",
    "settings_of",
]

# The class of each type, in the module of that name. A module is imported when its first detector is built,
# since river and the parts of scipy under it take a second that a command like `config check` need not pay.
_CLASSES: dict[str, tuple[type[Settings], str]] = {
    "adwin": (AdwinSettings, "Adwin"),
    "kswin": (KswinSettings, "Kswin"),
    "page_hinkley": (PageHinkleySettings, "PageHinkley"),
    "ddm": (DdmSettings, "Ddm"),
    "eddm": (EddmSettings, "Eddm"),
    "hddm_a": (HddmASettings, "HddmA"),
    "hddm_w": (HddmWSettings, "HddmW"),
    "fhddm": (FhddmSettings, "Fhddm"),
}

TYPES = tuple(_CLASSES)
"""The names of all detectors."""

_SETTINGS: TypeAdapter[DetectorSettings] = TypeAdapter(DetectorSettings)


def settings_of(kind: str) -> type[Settings]:
    """Return the settings model of a type; ValueError names the known ones."""
    if kind not in _CLASSES:
        raise ValueError(f"unknown detector {kind!r}; known are {', '.join(TYPES)}")
    return _CLASSES[kind][0]


def build(settings: DetectorSettings, state: Mapping[str, Any] | None = None) -> Detector:
    """Return a detector that has seen nothing, or one that goes on from a snapshot.

    Raises ValueError for a state that is damaged, of another detector, or too large for the settings.
    """
    module = import_module(f"{__name__}.{settings.type}")
    detector: Detector = getattr(module, _CLASSES[settings.type][1])(settings, state)
    return detector


def make(kind: str, settings: Mapping[str, Any] | None = None, state: Mapping[str, Any] | None = None) -> Detector:
    """Return a detector by name, with its defaults where `settings` says nothing; ValueError as for `build`.

    >>> import numpy as np
    >>> make("adwin", {"delta": 0.01}).update(np.repeat([0.0, 1.0], 500))
    [Drift(index=511, direction=<Direction.WORSE: 'worse'>)]
    """
    settings_of(kind)
    return build(_SETTINGS.validate_python({**(settings or {}), "type": kind}), state)
