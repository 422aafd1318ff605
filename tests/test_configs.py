"""Every configuration that the repository ships can be used."""

import re
from pathlib import Path

import pytest

from streamguard.config import load

ROOT = Path(__file__).parent.parent
SHIPPED = [*sorted((ROOT / "configs").glob("*.yaml")), ROOT / "docker" / "config.yaml"]
SECRETS = ("/etc/streamguard/tls", "/etc/streamguard/secrets")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_shipped_config_loads(path: Path, tmp_path: Path) -> None:
    """Files that it names on a cluster are put where it may find them here."""
    text = path.read_text(encoding="utf-8")
    for place in SECRETS:
        text = text.replace(place, str(tmp_path))
    for file in re.findall(r"^ +\w+_file: (\S+)", text, flags=re.MULTILINE):
        Path(file).write_text("secret\n", encoding="utf-8")
    copy = tmp_path / "config.yaml"
    copy.write_text(text, encoding="utf-8")

    assert load(copy).monitors


def test_all_kinds_are_there() -> None:
    """A minimal one to begin with, a production one to end with, and the demo's."""
    assert {path.name for path in SHIPPED} >= {"minimal.yaml", "production.yaml", "demo.yaml", "config.yaml"}
