"""The section `environment` of a configuration."""

from typing import Any

import pytest

from streamguard.config import parse
from streamguard.errors import ConfigError

SMALL: dict[str, Any] = {
    "log": {"kind": "kafka", "group": "g"},
    "join": {"after": "1h"},
    "monitors": [{"name": "m", "threshold": {"max_mismatch_percent": 8}}],
}


def test_it_is_off_unless_it_is_there() -> None:
    """With it, an empty mapping, all is default; names of packages are normalized, as the publisher's are."""
    assert parse(SMALL).environment is None
    assert parse({**SMALL, "environment": None}).environment is None
    environment = parse({**SMALL, "environment": {}}).environment
    assert environment is not None
    assert (environment.topic, environment.grace_ms, environment.memory_percent) == ("environment", 1_800_000, 95)
    found = parse({**SMALL, "environment": {"baseline": {"packages": {"Scikit_Learn": "1.4.2"}}}}).environment
    assert found is not None
    assert found.baseline.packages == {"scikit-learn": "1.4.2"}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"topic": "alerts"}, "environment.topic must differ from alerts.topic"),
    ({"name": "m"}, "environment.name must differ from those of monitors"),
    ({"grace": 30}, "must say its unit"),
    ({"baseline": {"packages": {"numpy": 1.26}}}, "environment.baseline.packages.numpy must be text"),
    ({"memory_percent": 0}, "environment.memory_percent must be > 0"),
    ({"baselines": {}}, "did you mean environment.baseline?"),
]


@pytest.mark.parametrize(("section", "why"), WRONG)
def test_what_is_wrong_is_said(section: dict[str, Any], why: str) -> None:
    """Where, and how to mend it."""
    with pytest.raises(ConfigError) as error:
        parse({**SMALL, "environment": section})
    assert why in str(error.value)


def test_handlers_may_match_it() -> None:
    """By its name and its kind, as monitors."""
    handler = {"name": "h", "type": "file", "path": "a", "match": {"monitor": ["environment"], "kind": ["environment"]}}
    assert parse({**SMALL, "environment": {}, "handlers": [handler]}).handlers[0].match.monitor == ("environment",)
    with pytest.raises(ConfigError, match="names no monitor"):
        parse({**SMALL, "handlers": [handler]})
