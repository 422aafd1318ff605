"""How fast a profile is built, and in what memory: `python -m benchmarks.profile --rows 1000000`.

Makes up rows of 20 features (12 measures, 4 whole numbers, 3 categories, one of them of 100,000 values, and one true
or false) and one column of running text of 30 words on average, writes them to a file of each kind, and times
`streamguard profile build` over each, as a process.
"""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from streamguard.bench.jobs import measured

COMMAND = [sys.executable, "-m", "streamguard.cli"]
ENDINGS = ("parquet", "jsonl", "csv")
CHUNK_ROWS = 50_000


def main() -> None:
    """One line for each kind of file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--kind", choices=ENDINGS, action="append", help="default: all")
    wanted = parser.parse_args()
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    print(f"{machine}, {datetime.now(UTC):%Y-%m-%d}")
    for ending in wanted.kind or ENDINGS:
        with tempfile.TemporaryDirectory() as directory:
            print(timed(Path(directory), ending, wanted.rows), flush=True)


def timed(directory: Path, ending: str, rows: int) -> str:
    """Make the files, build the profile, tell."""
    written(directory, ending, rows)
    out = directory / "profile.json"
    command = [*COMMAND, "profile", "build", "--from", str(directory / "data"), "--text", "note", "-o", str(out)]
    usage = measured(directory, [command])
    return (
        f"{ending}: {rows:,} rows in {usage.seconds:.1f} s, {rows / usage.seconds:,.0f} a second,"
        f" {usage.cpu_seconds:.1f} CPU s, peak {usage.peak_mb:.0f} MB, profile of {out.stat().st_size / 1000:.0f} kB"
    )


def written(directory: Path, ending: str, rows: int) -> None:
    """The rows in files below `data`, so that making them takes little memory, either."""
    (directory / "data").mkdir()
    for number, frame in enumerate(frames(rows)):
        path = directory / "data" / f"part-{number:05}.{ending}"
        if ending == "parquet":
            frame.write_parquet(path)
        elif ending == "jsonl":
            frame.write_ndjson(path)
        else:
            frame.write_csv(path)


def frames(rows: int) -> Iterator[pl.DataFrame]:
    """Made up, the same each time."""
    random = np.random.default_rng(1)
    words = np.array([f"word{number}" for number in range(20_000)])
    for first in range(0, rows, CHUNK_ROWS):
        count = min(CHUNK_ROWS, rows - first)
        columns: dict[str, Any] = {f"measure_{n}": random.lognormal(n / 4, 1 + n / 8, count) for n in range(12)}
        columns |= {f"whole_{n}": random.integers(0, 10 ** (n + 1), count) for n in range(4)}
        columns |= {
            f"category_{n}": np.char.add("c", random.integers(0, size, count).astype(str))
            for n, size in enumerate((5, 200, 100_000))
        }
        columns["flag"] = random.random(count) < 0.2
        lengths = random.poisson(30, count)
        chosen = words[np.minimum(random.zipf(1.3, int(lengths.sum())), len(words)) - 1]
        ends = np.cumsum(lengths)
        columns["note"] = [" ".join(chosen[end - length : end]) for end, length in zip(ends, lengths, strict=True)]
        yield pl.DataFrame(columns)


if __name__ == "__main__":
    main()
