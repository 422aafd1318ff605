"""What is started and measured: workers and bare loops, as whole processes."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from streamguard.errors import StreamguardError

_HERE = Path(__file__).parent
HAS_CONFLUENT = find_spec("confluent_kafka") is not None
MATCH = {"model": "fraud"}
_numbers = count()


class RunFailedError(StreamguardError):
    """A process that is measured ended with an error."""


class ResultsDifferError(StreamguardError):
    """Two runs over the same records gave different results: no figure of theirs is worth anything."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What processes took, start-up included: wall time of all, CPU time of all, the largest peak of one."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    said: list[str]


def measured(directory: Path, commands: list[list[str]]) -> Usage:
    """Run commands side by side until all end. `directory` keeps what they say."""
    outputs = [directory / f"said-{next(_numbers)}.txt" for _ in commands]
    wanted = [[str(output), *command] for output, command in zip(outputs, commands, strict=True)]
    launcher = [sys.executable, "-I", "-S", str(_HERE / "launcher.py")]
    done = subprocess.run(launcher, input=json.dumps(wanted), stdout=subprocess.PIPE, text=True, check=True)
    ended = json.loads(done.stdout)
    said = [output.read_text(encoding="utf-8", errors="replace") for output in outputs]
    for each, command, words in zip(ended, commands, said, strict=True):
        if each["exit_code"]:
            raise RunFailedError(f"{' '.join(command)} ended with {each['exit_code']}: {words.strip()[-2000:]}")
    return Usage(
        max(each["seconds"] for each in ended),
        sum(each["cpu_seconds"] for each in ended),
        max(each["peak_mb"] for each in ended),
        said,
    )


def worker_command(config: Path, *, until_end: bool = True) -> list[str]:
    """A worker, in this environment."""
    return [sys.executable, "-m", "streamguard.cli", "run", str(config), *(["--until-end"] if until_end else [])]


def bare_command(client: str, address: str, topics: list[str]) -> list[str]:
    """A loop that only reads and parses."""
    return [sys.executable, "-P", str(_HERE / "bare.py"), client, address, *topics]


def settings(log: dict[str, Any], topics: tuple[str, str], *, segments: int = 3) -> dict[str, Any]:
    """A threshold and ADWIN on every segment, two hours of join; topics of its own are named after the group."""
    return {
        "log": log,
        "predictions": {"topic": topics[0], "fields": {"time": "timestamp"}},
        "labels": {"topic": topics[1], "fields": {"time": "timestamp"}},
        "join": {"before": "0s", "after": "2h", "disorder": "30s"},
        "monitors": [
            {
                "name": "fraud",
                "match": MATCH,
                "split_by": ["version", "country"],
                "max_segments": max(1000, segments + 1),
                "threshold": {"max_mismatch_percent": 8, "window": 2000, "min_samples": 500},
                "detectors": [{"type": "adwin", "delta": 0.002}],
            }
        ],
        "alerts": {"topic": f"{log['group']}-alerts"},
        "logging": {"level": "error"},
    }


def written(directory: Path, settings: dict[str, Any]) -> Path:
    """The configuration as a file."""
    path = directory / f"{settings['log']['group']}.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def counts(said: list[str], topics: tuple[str, str]) -> list[str]:
    """How the records ended, in a worker's own words: a line for each input, the same whichever worker says it."""
    lines = [line for words in said for line in words.splitlines() if line.startswith(tuple(f"{t}:" for t in topics))]
    return list(dict.fromkeys(lines))


def without_overrides() -> None:
    """What this environment sets for streamguard would be in every worker, too."""
    for name in [name for name in os.environ if name.startswith("STREAMGUARD_")]:
        del os.environ[name]
