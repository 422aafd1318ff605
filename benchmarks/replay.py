"""Whether a replay is live, how fast it is, and what a sweep costs: `python -m benchmarks.replay`.

    python -m benchmarks.replay --live 1000000      the same records through live workers on Kafka, and replayed
    python -m benchmarks.replay --year 100000000    a year of made-up predictions with their labels, in files

Live: starts Apache Kafka; one worker reads all, and is timed; a group of two of whom each is killed and started again
raises the alerts that both modes of a replay must give, byte for byte. The year is replayed with one setting and with
twenty.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import yaml
from numpy.typing import NDArray

from benchmarks.jobs import TOPICS, kafka
from streamguard.bench.jobs import Usage, measured, settings, worker_command
from streamguard.bench.places import Cluster, opened
from streamguard.bench.records import DAY_MS, START_MS, Shape, chunks
from streamguard.bench.scenarios import PARTITIONS

COMMAND = [sys.executable, "-m", "streamguard.cli"]
DAYS = 365
LABEL_MAX_MS = 3_600_000
KILLS = 4
PREDICTION = b'{"request_id":"req-%b","prediction":"%b","timestamp":%b,"model":"fraud","version":"7","country":"c%b"}\n'
LABEL = b'{"request_id":"req-%b","label":"%b","timestamp":%b}\n'
CLASSES = np.frombuffer(b"legitfraud", np.uint8).reshape(2, 5)
Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]


# Live against replay.


def live(predictions: int, directory: Path) -> list[str]:
    """One line for each run; raises where alerts differ."""
    lines = []
    with kafka(directory) as address:
        cluster = Cluster(address, "replay")
        count = cluster.load(TOPICS, Shape(predictions), PARTITIONS)
        alone = configured(directory, cluster.settings("alone"))
        usage = measured(directory, [worker_command(alone)])
        lines.append(told("one live worker, Kafka", count, usage))
        pair = configured(directory, cluster.settings("pair"))
        restarts = disturbed(pair, predictions)
        expected = published(cluster.settings("pair"), "pair-alerts")
        check(published(cluster.settings("alone"), "alone-alerts"), expected, "one worker alone")
        lines.append(f"two workers, killed and started again {restarts} times: {len(expected)} alerts")
        for mode in ("ideal", "faithful"):
            usage = replayed(directory, pair, "--mode", mode, out=directory / mode)
            check(written_alerts(directory / mode), expected, f"mode {mode}")
            lines.append(f"{told(f'replay of topics, {mode}', count, usage)}: the same {len(expected)} alerts")
    files = ["--predictions", str(directory / "predictions.jsonl"), "--labels", str(directory / "labels.jsonl")]
    as_files(directory, Shape(predictions))
    usage = replayed(directory, alone, *files, out=directory / "files")
    lines.append(told("replay of files", count, usage))
    usage = replayed(directory, alone, *files, "--processes", "1", out=directory / "files")
    lines.append(told("replay of files, one process", count, usage))
    return lines


def disturbed(config: Path, predictions: int) -> int:
    """Two workers; by turns one is killed and another started, until all is read. Returns how often."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGUARD_")}

    def start() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [*COMMAND, "run", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        )

    with ExitStack() as stack:
        running = [start(), start()]
        stack.callback(lambda: list(map(subprocess.Popen.kill, running)))
        # A second for each hundred thousand, so that the kills fall into the work.
        pause_s = max(3.0, predictions / 150_000)
        for number in range(KILLS):
            time.sleep(pause_s)
            running[number % 2].kill()
            running[number % 2].wait()
            running[number % 2] = start()
        time.sleep(pause_s)
        for each in running:
            each.terminate()
            each.wait(60)
    subprocess.run(
        [*COMMAND, "run", str(config), "--until-end"],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    return KILLS


def configured(directory: Path, log: dict[str, Any]) -> Path:
    """The main job's settings, in which no clock enters the results."""
    chosen = settings(log, TOPICS)
    chosen["join"]["idle_after"] = None
    path = directory / f"{log['group']}.yaml"
    path.write_text(yaml.safe_dump(chosen))
    return path


def published(log: dict[str, Any], topic: str) -> list[bytes]:
    """What an alerts topic holds, in the order of event time."""
    with opened(log) as found:
        values = [value or b"" for batch in found.read(topic) for value in batch.values]
    return sorted(values, key=lambda value: (orjson.loads(value)["event_time"], value))


def written_alerts(directory: Path) -> list[bytes]:
    """What a report has."""
    lines = (directory / "alerts.jsonl").read_bytes().splitlines()
    return sorted(lines, key=lambda value: (orjson.loads(value)["event_time"], value))


def check(found: list[bytes], expected: list[bytes], what: str) -> None:
    """The same, byte for byte; what comes after the last that live raised had not been released there."""
    last = orjson.loads(expected[-1])["event_time"]
    until = [value for value in found if orjson.loads(value)["event_time"] <= last]
    if until != expected:
        raise SystemExit(f"{what}: {len(until)} alerts, and {len(expected)} were expected: they differ")


# Files.


def as_files(directory: Path, shape: Shape) -> None:
    """The very records of the topics, in files."""
    with (directory / "predictions.jsonl").open("wb") as predictions, (directory / "labels.jsonl").open("wb") as labels:
        for chunk in chunks(shape):
            for is_label, value in zip(chunk.are_labels, chunk.values, strict=True):
                (labels if is_label else predictions).write(value + b"\n")


def year(predictions: int, directory: Path, sweep: int) -> list[str]:
    """Generate, replay with one setting, and then a part of it with one and with many."""
    began = time.monotonic()
    days = generated(predictions, directory)
    lines = [f"{predictions:,} predictions with their labels over {DAYS} days in {time.monotonic() - began:.0f} s"]
    log = {"kind": "embedded", "path": "unused.db", "group": "year"}
    config = configured(directory, log)
    usage = replayed(directory, config, *named(directory, days), out=directory / "year")
    lines.append(told("a year, one setting", 2 * predictions, usage))
    part = days[: max(1, len(days) * sweep // predictions)]
    count = sum(counted(directory, "predictions", day) + counted(directory, "labels", day) for day in part)
    took = []
    for settings_count in (1, 20):
        path = swept(config, settings_count)
        usage = replayed(directory, path, *named(directory, part), out=directory / "sweep")
        took.append(usage)
        lines.append(told(f"{len(part)} days of it, {settings_count} settings", count, usage))
    wall, cpu = (getattr(took[1], name) / getattr(took[0], name) for name in ("seconds", "cpu_seconds"))
    lines.append(f"20 settings cost {wall:.2f} times one by wall, {cpu:.2f} times by CPU")
    return lines


def swept(config: Path, count: int) -> Path:
    """Twenty thresholds with as many deltas of ADWIN, this configuration's own among them."""
    chosen = yaml.safe_load(config.read_text())
    alternatives = [
        {
            "name": f"number {number}",
            "changes": {
                "monitors.fraud.threshold.max_mismatch_percent": 8 + number / 10,
                "monitors.fraud.detectors": [{"type": "adwin", "delta": 0.002 / (number + 1)}],
            },
        }
        for number in range(1, count)
    ]
    chosen["backtest"] = {"alternatives": alternatives}
    path = config.with_name(f"swept-{count}.yaml")
    path.write_text(yaml.safe_dump(chosen))
    return path


def named(directory: Path, days: list[int]) -> list[str]:
    """The options for some days."""
    sides = (("--predictions", "predictions"), ("--labels", "labels"))
    return [
        word for day in days for option, side in sides for word in (option, str(directory / f"{side}-{day:03}.jsonl"))
    ]


def counted(directory: Path, side: str, day: int) -> int:
    """How many records a day has: they are all of one length."""
    path = directory / f"{side}-{day:03}.jsonl"
    with path.open("rb") as file:
        length = len(file.readline())
    return path.stat().st_size // length if length else 0


def generated(predictions: int, directory: Path) -> list[int]:
    """A file a day for each side. Labels come up to an hour late; wrong are 5%, in the last third of the year 10%."""
    random = np.random.default_rng(1)
    left: tuple[Ints, Ints, Bytes] = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 5), np.uint8))
    done = 0
    for day in range(DAYS + 1):
        start_ms = START_MS + day * DAY_MS
        count = 0 if day == DAYS else predictions * (day + 1) // DAYS - done
        numbers = np.arange(done, done + count)
        done += count
        times = np.sort(start_ms + random.integers(0, DAY_MS, count))
        truth = random.random(count) < 0.3
        said = truth ^ (random.random(count) < (0.1 if day > DAYS * 2 / 3 else 0.05))
        lines = filled(PREDICTION, numbers, CLASSES[said.astype(int)], times, numbers % 3)
        (directory / f"predictions-{day:03}.jsonl").write_bytes(lines.tobytes())
        known = times + random.integers(0, LABEL_MAX_MS, count)
        columns = [
            np.concatenate(pair) for pair in zip(left, (numbers, known, CLASSES[truth.astype(int)]), strict=True)
        ]
        order = np.argsort(columns[1], kind="stable")
        numbers, known, answers = (column[order] for column in columns)
        split = len(known) if day == DAYS else int(np.searchsorted(known, start_ms + DAY_MS))
        left = numbers[split:], known[split:], answers[split:]
        lines = filled(LABEL, numbers[:split], answers[:split], known[:split])
        (directory / f"labels-{day:03}.jsonl").write_bytes(lines.tobytes())
    return list(range(DAYS + 1))


def filled(form: bytes, numbers: Ints, answers: Bytes, times: Ints, countries: Ints | None = None) -> Bytes:
    """Lines of one length, a row each: a number of nine digits, an answer of five letters, a time of thirteen."""
    parts = [(b"N" * 9, digits(numbers, 9)), (b"A" * 5, answers), (b"T" * 13, digits(times, 13))]
    if countries is not None:
        parts.append((b"C", digits(countries, 1)))
    line = form % tuple(blank for blank, _ in parts)
    rows = np.tile(np.frombuffer(line, np.uint8), (len(numbers), 1))
    for blank, values in parts:
        place = line.index(blank)
        rows[:, place : place + len(blank)] = values
    return rows


def digits(numbers: Ints, count: int) -> Bytes:
    """Decimal digits in ASCII, a row each."""
    powers = 10 ** np.arange(count - 1, -1, -1)
    found: Bytes = (numbers[:, None] // powers % 10 + ord("0")).astype(np.uint8)
    return found


# Both.


def replayed(directory: Path, config: Path, *options: str, out: Path) -> Usage:
    """A backtest as a process."""
    return measured(directory, [[*COMMAND, "backtest", str(config), *options, "--out", str(out)]])


def told(what: str, records: int, usage: Usage) -> str:
    """A line."""
    return (
        f"{what}: {records:,} records in {usage.seconds:.1f} s, {records / usage.seconds:,.0f} a second,"
        f" {usage.cpu_seconds:.1f} CPU s, peak {usage.peak_mb:.0f} MB"
    )


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--live", type=int, metavar="PREDICTIONS")
    parser.add_argument("--year", type=int, metavar="PREDICTIONS")
    parser.add_argument(
        "--sweep", type=int, default=5_000_000, metavar="PREDICTIONS", help="of the year, for 20 settings"
    )
    parser.add_argument("--data", type=Path, help="where to put the files; default: a temporary directory")
    wanted = parser.parse_args()
    machine = (
        f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}"
    )
    print(machine)
    parts: list[tuple[int | None, Callable[[Path], list[str]]]] = [
        (wanted.live, lambda directory: live(wanted.live, directory)),
        (wanted.year, lambda directory: year(wanted.year, directory, wanted.sweep)),
    ]
    for count, part in parts:
        if count:
            for directory in places(wanted.data):
                for line in part(directory):
                    print(line, flush=True)


def places(data: Path | None) -> Iterator[Path]:
    """The directory to work in."""
    if data is not None:
        data.mkdir(parents=True, exist_ok=True)
        yield data
        return
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


if __name__ == "__main__":
    main()
