"""Findings for people and for programs."""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamguard.core.printing import printable
from streamguard.doctor.finding import Finding
from streamguard.doctor.severity import Severity

Echo = Callable[[str], None]

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}
_VERSION = 1


def show(found: Sequence[Finding], echo: Echo, seconds: float) -> None:
    """A table on a terminal, lines elsewhere; what strangers have written is made harmless."""
    if found and sys.stdout.isatty():
        Console().print(_table(found))
    else:
        for each in found:
            echo(f"{each.severity}: {each.code}: {printable(each.what)}")
            echo(f"  why:  {printable(each.why)}")
            echo(f"  mend: {printable(each.mend)}")
    echo(f"{_sum(found)}, in {seconds:.1f} s")


def as_json(found: Sequence[Finding], config: str, seconds: float, exit_code: int) -> str:
    """All of it as one JSON object; its form is in docs/doctor.md."""
    document: dict[str, Any] = {
        "v": _VERSION,
        "streamguard": _own_version(),
        "config": config,
        "exit_code": exit_code,
        "seconds": round(seconds, 3),
        "findings": [
            {
                "code": each.code,
                "severity": each.severity.value,
                "what": printable(each.what),
                "why": each.why,
                "mend": printable(each.mend),
            }
            for each in found
        ],
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()


def _own_version() -> str | None:
    try:
        return version("streamguard")
    except PackageNotFoundError:
        return None


def _table(found: Sequence[Finding]) -> Table:
    table = Table(show_lines=True)
    for name in ("", "what", "how to mend it"):
        table.add_column(name, overflow="fold")
    for each in found:
        head = Text(f"{each.severity}\n{each.code}", style=_STYLES[each.severity])
        what = Text(printable(each.what))
        what.append(f"\n{each.why}", style="dim")
        table.add_row(head, what, Text(printable(each.mend)))
    return table


def _sum(found: Sequence[Finding]) -> str:
    counts = Counter(each.severity for each in found)
    told = [f"{counts[each]} {each}{'s' if counts[each] != 1 else ''}" for each in Severity if counts[each]]
    return ", ".join(told) if told else "ok: nothing found"
