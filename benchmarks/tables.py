"""The measured tables of a page: they stand between comments, and what is around them is written by hand."""

import re
from collections.abc import Mapping
from typing import Any

Results = dict[str, dict[str, Any]]
"""By scenario: `date`, `command`, `machine` and `rows`."""

_COLUMNS = {
    "data": "records",
    "run": "run",
    "seconds": "seconds",
    "records_per_second": "records/s",
    "of_bare_loop": "of the bare loop",
    "cpu_seconds_per_million": "CPU s per million",
    "peak_mb": "peak MB",
    "alerts": "alerts",
    "median_s": "median s",
    "p99_s": "99% within s",
    "disorder_s": "of them `join.disorder` s",
}
_DIGITS = {"seconds": 1, "of_bare_loop": 2, "cpu_seconds_per_million": 1, "median_s": 2, "p99_s": 2}


def sections(document: dict[str, Any]) -> Results:
    """What `streamguard bench` found, by scenario."""
    about = {name: document[name] for name in ("date", "command", "machine")}
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in document["rows"]:
        rows.setdefault(row["scenario"], []).append(row)
    if document["delay"] is not None:
        rows["delay"] = [document["delay"]]
    return {name: about | {"rows": each} for name, each in rows.items()}


def table(section: Mapping[str, Any]) -> str:
    """A scenario in Markdown: a line for each row, and when, where and by what it was measured."""
    rows, machine = section["rows"], section["machine"]
    names = [name for name in _COLUMNS if any(row.get(name) is not None for row in rows)]
    lines = [[_COLUMNS[name] for name in names], ["---"] * len(names)]
    lines += [[_cell(name, row.get(name)) for name in names] for row in rows]
    where = f"{machine['cores']} cores, {machine['memory_gib']:.0f} GiB, Python {machine['python']}"
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{body}\n\n`{section['command']}`, {section['date']}, {where}."


def rewritten(page: str, results: Results) -> str:
    """The page with these scenarios' tables between their marks; raises `ValueError` where one has none."""
    for name, section in results.items():
        marks = re.compile(rf"(<!-- bench:{name} -->\n).*?(<!-- /bench -->)", re.DOTALL)
        text = table(section)
        page, count = marks.subn(lambda found, text=text: f"{found[1]}{text}\n{found[2]}", page)
        if count != 1:
            raise ValueError(f"the page has {count} places for the table {name!r}, not one: <!-- bench:{name} -->")
    return page


def _cell(name: str, value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:,.{_DIGITS.get(name, 0)}f}"
