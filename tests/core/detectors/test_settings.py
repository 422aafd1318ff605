from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from streamguard.core.detectors import TYPES, DetectorSettings, build, make, settings_of
from tests.core.detectors.rivers import RIVERS


@pytest.mark.parametrize("kind", TYPES)
def test_settings_carry_rivers_defaults(kind: str) -> None:
    """Who knows river's detector knows this one."""
    rivers = RIVERS[kind](**({"seed": 1} if kind == "kswin" else {}))
    ours = settings_of(kind)().model_dump(exclude={"type"})
    assert ours == {name: getattr(rivers, name) for name in ours}
    assert len(ours) >= 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"type": "adwin", "delta": 0}, "greater than 0"),
        ({"type": "adwin", "delta": 1}, "less than 1"),
        ({"type": "adwin", "clock": 0}, "greater than or equal to 1"),
        ({"type": "adwin", "max_buckets": 1}, "greater than or equal to 2"),
        ({"type": "adwin", "dleta": 0.1}, "Extra inputs"),
        ({"type": "kswin", "window_size": 50}, "at most half of window_size"),
        ({"type": "page_hinkley", "mode": "sideways"}, "'up', 'down' or 'both'"),
        ({"type": "page_hinkley", "threshold": np.inf}, "finite"),
        ({"type": "fhddm", "short_window_size": 101}, "must not exceed"),
        ({"type": "adwn"}, "does not match any of the expected tags"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given: dict[str, Any], message: str) -> None:
    """A wrong setting is named when it is loaded, not when a detector crashes on it."""
    with pytest.raises(ValidationError, match=message):
        TypeAdapter[Any](DetectorSettings).validate_python(given)


def test_a_config_entry_builds_its_detector() -> None:
    """`{type: ..., ...}` in a config is enough."""
    settings = TypeAdapter[DetectorSettings](DetectorSettings).validate_python({"type": "adwin", "delta": 0.01})
    losses = np.repeat([0.0, 1.0], 500)
    assert build(settings).update(losses) == make("adwin", {"delta": 0.01}).update(losses)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    """A typo is mended without opening the documentation."""
    with pytest.raises(ValueError, match=r"unknown detector 'adwn'; known are adwin, kswin"):
        make("adwn")
