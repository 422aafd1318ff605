"""The measured tables of docs/performance.md."""

from typing import Any

import pytest

from benchmarks.jobs import TOPICS
from benchmarks.tables import Results, rewritten, sections
from streamguard.bench.jobs import settings
from streamguard.bench.running import ALL
from streamguard.config import parse
from tests.test_readme import ROOT

ROW = {"scenario": "main", "data": "d", "run": "1 worker", "seconds": 2.04, "records_per_second": 12345, "alerts": None}
DELAY = {"records_per_second": 500, "alerts": 7, "median_s": 1.106, "p99_s": 1.5, "disorder_s": 1}
DOCUMENT: dict[str, Any] = {
    "date": "2026-01-31",
    "command": "streamguard bench",
    "machine": {"cores": 2, "memory_gib": 23.6, "python": "3.11.7"},
    "rows": [ROW],
    "delay": DELAY,
}
PAGE = """\
# Speed

<!-- bench:main -->
old
<!-- /bench -->

by hand

<!-- bench:delay -->
<!-- /bench -->
"""


def found() -> Results:
    """By scenario."""
    return sections(DOCUMENT)


def test_a_table_stands_between_its_marks() -> None:
    """What is around stays; columns that no row has are left out; a second time changes nothing."""
    page = rewritten(PAGE, found())

    assert "old" not in page
    assert "by hand" in page
    assert "| records | run | seconds | records/s |\n| --- | --- | --- | --- |\n| d | 1 worker | 2.0 | 12,345 |" in page
    assert "| 500 | 7 | 1.11 | 1.50 | 1 |" in page
    assert "`streamguard bench`, 2026-01-31, 2 cores, 24 GiB, Python 3.11.7." in page
    assert rewritten(page, found()) == page


def test_what_was_not_measured_stays() -> None:
    """A run of one scenario leaves the others' tables as they were."""
    page = rewritten(PAGE, {"delay": found()["delay"]})

    assert page.splitlines()[:5] == PAGE.splitlines()[:5]


def test_a_table_without_a_place_is_an_error() -> None:
    """Figures that nobody sees were measured for nothing."""
    with pytest.raises(ValueError, match="0 places for the table 'main'"):
        rewritten("# Speed", {"main": found()["main"]})


def test_the_page_has_a_place_for_every_scenario() -> None:
    """And one for the peers."""
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")

    for name in (*ALL, "peers"):
        assert page.count(f"<!-- bench:{name} -->") == 1


def test_the_configuration_of_the_benchmarks_is_legal() -> None:
    """With more segments than a monitor watches by default, too."""
    config = parse(settings({"kind": "embedded", "group": "g"}, TOPICS, segments=5000))

    assert config.monitors[0].max_segments > 5000
