"""The section `preflight`: what is refused, and how that is said."""

from typing import Any

import pytest

from streamguard.config import parse
from streamguard.errors import ConfigError
from tests.doctor.helpers import BASE


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"packages": {"a": "1.4"}}, "must be versions such as '>=1.4,<1.5'"),
        ({"packages": {"a b": ""}}, "must be the name of a package"),
        ({"packages": {"a[b]": ""}}, "must be the name of a package"),
        ({"packages": {"a-b": "", "A_b": ""}}, "is there twice, written differently"),
        ({"python": "3.11"}, "must be versions such as"),
        ({"variables": {"A": "("}}, "must be a regular expression"),
        ({"variables": {"A-B": {}}}, "must be the name of a variable"),
        ({"gpu": {"free_memory": "8GB"}}, 'must be a size such as "8GiB"'),
        ({"gpu": {"free_memory": True}}, 'must be a size such as "8GiB"'),
        ({"gpu": {"free_memory": "0GiB"}}, "must be > 0"),
        ({"max_clock_skew": "0s"}, "must be > 0"),
        ({"pakages": {}}, "did you mean preflight.packages?"),
    ],
)
def test_a_wrong_setting_is_refused_in_words(settings: dict[str, Any], words: str) -> None:
    """As everywhere in the configuration."""
    with pytest.raises(ConfigError, match="preflight") as caught:
        parse(BASE | {"preflight": settings})

    assert words in str(caught.value)


def test_what_is_in_effect_can_be_loaded_again() -> None:
    """Sizes and short forms included."""
    import yaml  # noqa: PLC0415

    given = {"packages": {"a": ">=1"}, "variables": {"A": "x.*", "B": {}}, "gpu": {"free_memory": "1.5 GiB"}}
    config = parse(BASE | {"preflight": given})
    again = parse(yaml.safe_load(config.as_yaml()))

    assert config.preflight.gpu is not None
    assert config.preflight.gpu.free_memory_bytes == 3 << 29
    assert again.preflight == config.preflight
