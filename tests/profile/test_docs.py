"""What docs/profiles.md shows is what happens."""

import re
from pathlib import Path

import pytest

from streamguard.reference.document import Profile

PAGE = (Path(__file__).parents[2] / "docs" / "profiles.md").read_text(encoding="utf-8")


def test_the_example_prints_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A reader copies it first."""
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    (printed,) = re.findall(r"^prints\n\n```\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    exec(code, {})  # noqa: S102 - it is ours

    assert capsys.readouterr().out == printed
    assert Profile.load("profile.json").rows == 3000
