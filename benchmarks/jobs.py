"""What the benchmarks share: a broker, the main job's records on it, and a worker's configuration."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streamguard.bench.jobs import settings, written
from streamguard.bench.places import Cluster
from streamguard.bench.records import Shape
from streamguard.bench.scenarios import PARTITIONS
from tests.integration.broker import running

TOPICS = ("predictions", "labels")


def config(directory: Path, log: dict[str, Any]) -> Path:
    """A configuration file with ADWIN and the threshold check on, split by version and country."""
    return written(directory, settings(log, TOPICS))


def load(address: str, shape: Shape, partitions: int = PARTITIONS) -> int:
    """Write the records to the topics; returns how many."""
    return Cluster(address, "load").load(TOPICS, shape, partitions)


@contextmanager
def kafka(data: Path, bootstrap: str | None = None) -> Iterator[str]:
    """A broker of our own, or the one named."""
    if bootstrap is not None:
        yield bootstrap
        return
    with running(data / "kafka") as (address, _):
        yield address
