"""What is told of changed messages: each change once, and its end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.contract.__main__ import alerts_of, config_for
from benchmarks.contract.streams import CHANGES, Record, records

SINCE = 6_000


def changed(name: str, until: int | None = None, count: int = 12_000) -> Iterator[Record]:
    """Records that are changed from `SINCE` on, and not any more from `until` on."""
    clean = records(count, 2)
    for number, (one, other) in enumerate(zip(clean, records(count, 2, CHANGES[name][0], SINCE), strict=True)):
        yield one if until is not None and number >= until else other


def told(tmp_path: Path, rows: Iterator[Record]) -> list[tuple[int, dict[str, Any]]]:
    """After how many records, and what."""
    return alerts_of(config_for(tmp_path), rows)


def test_nothing_is_told_of_what_is_as_it_was(tmp_path: Path) -> None:
    """Other records of the same kind."""
    assert told(tmp_path, records(12_000, 3)) == []


@pytest.mark.parametrize("name", list(CHANGES))
def test_each_change_is_named_once(tmp_path: Path, name: str) -> None:
    """Soon, with the field, whose version it is, since which offset, and a record that shows it."""
    _, field, kind = CHANGES[name]
    found = told(tmp_path, changed(name))
    named = [change for _, alert in found for change in alert["contract"]["changes"]]
    mine = [each for each in named if (each["field"], each["change"]) == (field, kind)]
    assert len(mine) == 1
    taken, alert = found[0]
    assert alert["status"] == "raised"
    assert 0 < taken - SINCE <= 2_000
    assert mine[0]["breaking"]
    assert mine[0]["since"].keys() <= {"0", "1", "2", "3"}
    assert min(mine[0]["since"].values()) >= SINCE // 4 - 500
    assert mine[0]["example"]["request_id"]
    assert mine[0]["example"]["offset"] >= SINCE // 4 or mine[0]["usual"] > 0


def test_what_is_over_is_resolved(tmp_path: Path) -> None:
    """Once, as recovered."""
    found = [alert for _, alert in told(tmp_path, changed("type", until=9_000))]
    assert [each["status"] for each in found] == ["raised", "resolved"]
    assert found[1]["resolution"] == "recovered"
