"""The alerts over fixed histories are those that were looked at; `make golden` writes them anew."""

from pathlib import Path

import pytest

from tests.replay.golden import HISTORIES, found


@pytest.mark.parametrize("history", HISTORIES, ids=lambda path: path.name)
def test_alerts_are_as_expected(history: Path) -> None:
    """Line by line, so that a difference is easy to see."""
    expected = (history / "expected.jsonl").read_bytes()
    assert found(history).decode().splitlines() == expected.decode().splitlines()
    assert b'"status":"raised"' in expected


def test_there_are_histories() -> None:
    """None that is forgotten, and none without what it needs."""
    assert [path.name for path in HISTORIES] == ["fault", "numbers", "silence"]
