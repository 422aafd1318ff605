"""What was measured, for people and for programs."""

import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table

from streamguard.bench.live import Delays
from streamguard.bench.scenarios import Row

HEADINGS = ("records", "run", "seconds", "records/s", "of the bare loop", "CPU s per million", "peak MB")
_PACKAGES = ("streamguard", "kafka-python", "confluent-kafka", "numpy", "orjson", "river")


def document(rows: Sequence[Row], delays: Delays | None, command: str) -> dict[str, Any]:
    """Everything, as JSON."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "command": command,
        "machine": machine(),
        "rows": [_as_json(row, bare(rows, row)) for row in rows],
        "delay": None if delays is None else delays.as_json(),
    }


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": versions,
    }


def bare(rows: Sequence[Row], row: Row) -> float | None:
    """The rate of the bare kafka-python loop over the same records."""
    rates = [
        each.per_second
        for each in rows
        if (each.scenario, each.data) == (row.scenario, row.data) and each.run == "bare kafka-python loop"
    ]
    return rates[0] if rates else None


def cells(row: Row, rate: float | None) -> tuple[str, ...]:
    """A line of a table, under `HEADINGS`."""
    return (
        row.data,
        row.run,
        f"{row.usage.seconds:.1f}",
        f"{row.per_second:,.0f}",
        "" if rate is None else f"{row.per_second / rate:.2f}",
        f"{row.usage.cpu_seconds / row.records * 1e6:.1f}",
        f"{row.usage.peak_mb:.0f}",
    )


def show(rows: Sequence[Row], delays: Delays | None) -> None:
    """Tables on the terminal."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    for scenario, group in groupby(rows, key=lambda row: row.scenario):
        table = Table(title=scenario, title_justify="left")
        for place, heading in enumerate(HEADINGS):
            table.add_column(heading, justify="left" if place < 2 else "right")
        members = list(group)
        for row in members:
            table.add_row(*cells(row, bare(rows, row)))
        console.print(table)
        console.print(_agreement(members))
    if delays is not None:
        console.print(delays.summary())


def _agreement(rows: Sequence[Row]) -> str:
    workers = [row for row in rows if row.alert_count is not None]
    found = sorted({row.alert_count for row in workers if row.alert_count is not None})
    return (
        f"alerts: {', '.join(map(str, found))}; every worker over the same records gave the same, and the same counts"
    )


def _as_json(row: Row, rate: float | None) -> dict[str, Any]:
    return {
        "scenario": row.scenario,
        "data": row.data,
        "run": row.run,
        "records": row.records,
        "seconds": round(row.usage.seconds, 3),
        "rounds": [round(each, 3) for each in row.rounds],
        "records_per_second": round(row.per_second),
        "of_bare_loop": None if rate is None else round(row.per_second / rate, 3),
        "cpu_seconds_per_million": round(row.usage.cpu_seconds / row.records * 1e6, 2),
        "peak_mb": round(row.usage.peak_mb, 1),
        "alerts": row.alert_count,
        "counts": row.counts,
    }
