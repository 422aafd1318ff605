"""What is measured: data sets, and which processes read each."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from streamguard.bench import jobs
from streamguard.bench.jobs import HAS_CONFLUENT, ResultsDifferError, Usage
from streamguard.bench.places import Cluster, Embedded, Place, Topics, alerts, new_prefix
from streamguard.bench.records import Shape

PARTITIONS = 4

Echo = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DataSet:
    """Records in so many partitions, and what a row of a table calls them."""

    name: str
    shape: Shape
    partitions: int = PARTITIONS


@dataclass(frozen=True, slots=True)
class Runner:
    """Processes that read a data set: workers, or a bare loop."""

    name: str
    client: str = "kafka-python"
    workers: int = 1
    is_bare: bool = False
    is_embedded: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """What one runner did with one data set. `usage` is of the quickest of the rounds."""

    scenario: str
    data: str
    run: str
    records: int
    usage: Usage
    rounds: list[float]
    """Wall seconds of every round."""
    alert_count: int | None
    """None where it is no worker."""
    counts: list[str]

    @property
    def per_second(self) -> float:
        """Records."""
        return self.records / self.usage.seconds


BARE = [Runner("bare kafka-python loop", is_bare=True)]
BARE_CONFLUENT = [Runner("bare confluent-kafka loop", "confluent", is_bare=True)] if HAS_CONFLUENT else []
ONE = Runner("1 worker")
CONFLUENT = [Runner("1 worker, log.client: confluent", "confluent")] if HAS_CONFLUENT else []
EMBEDDED = Runner("1 worker, embedded log", is_embedded=True)
MAIN = [*BARE, *BARE_CONFLUENT, ONE, Runner("2 workers", workers=2), *CONFLUENT, EMBEDDED]
NAMES = ("main", "partitions", "segments", "records")


def data_sets(scenario: str, shape: Shape) -> list[DataSet]:
    """Those of a scenario."""
    if scenario == "partitions":
        return [DataSet(f"{count} partitions", shape, count) for count in (4, 16, 64)]
    if scenario == "segments":
        return [
            DataSet(f"{count:,} segment{'s' * (count > 1)}", replace(shape, segments=count)) for count in (1, 100, 1000)
        ]
    if scenario == "records":
        return [
            DataSet("small (130 B)", shape),
            DataSet("large (1 kB)", replace(shape, size="large")),
            DataSet("20 fields more", replace(shape, size="features")),
        ]
    return [DataSet("3 segments, 4 partitions", shape)]


def runners(scenario: str, *, has_kafka: bool) -> list[Runner]:
    """Who reads the data sets of a scenario."""
    if not has_kafka:
        return [EMBEDDED]
    return MAIN if scenario == "main" else [ONE, *CONFLUENT]


@dataclass(frozen=True, slots=True)
class Bench:
    """Where measurements are made: `directory` is for files, `address` of a Kafka cluster, or None."""

    directory: Path
    address: str | None
    repeat: int
    echo: Echo

    def measure(self, scenario: str, data: DataSet, chosen: Sequence[Runner]) -> list[Row]:
        """Every runner over the same records, in rounds; all workers must give the same results."""
        prefix = new_prefix()
        topics = f"{prefix}-predictions", f"{prefix}-labels"
        places: dict[bool, Place] = {}
        try:
            written = 0
            for is_embedded in sorted({each.is_embedded for each in chosen}):
                place: Place = Embedded(self.directory) if is_embedded else Cluster(self.address or "", prefix)
                places[is_embedded] = place
                written = place.load(topics, data.shape, data.partitions)
            self.echo(f"{scenario}, {data.name}: {written:,} records")
            found: list[tuple[Usage, list[dict[str, Any]] | None]] = []
            for round_ in range(self.repeat):
                for number, runner in enumerate(chosen):
                    group = f"{prefix}-{round_}-{number}"
                    found.append(self._run(runner, places[runner.is_embedded], topics, group, data))
                    self.echo(f"  {runner.name}: {found[-1][0].seconds:.2f} s")
                    check_seen(runner, found[-1][0], written)
        finally:
            for place in places.values():
                place.clear()
        check_same(
            (chosen[place % len(chosen)].name, jobs.counts(usage.said, topics), said)
            for place, (usage, said) in enumerate(found)
            if said is not None
        )
        return [
            _row(scenario, data, runner, written, found[n :: len(chosen)], topics) for n, runner in enumerate(chosen)
        ]

    def _run(
        self, runner: Runner, place: Place, topics: Topics, group: str, data: DataSet
    ) -> tuple[Usage, list[dict[str, Any]] | None]:
        if runner.is_bare:
            command = jobs.bare_command(runner.client, self.address or "", list(topics))
            return jobs.measured(self.directory, [command]), None
        log = place.settings(group, runner.client)
        path = jobs.written(self.directory, jobs.settings(log, topics, segments=data.shape.segments))
        usage = jobs.measured(self.directory, [jobs.worker_command(path)] * runner.workers)
        return usage, alerts(log)


def check_seen(runner: Runner, usage: Usage, written: int) -> None:
    """A bare loop that skips records is no measure."""
    if runner.is_bare and int(usage.said[0]) != written:
        raise ResultsDifferError(f"the {runner.name} saw {usage.said[0].strip()} of {written} records")


def check_same(results: Iterable[tuple[str, list[str], list[dict[str, Any]]]]) -> None:
    """All runs count alike and give the same alerts, with the same IDs and content; raises `ResultsDifferError`."""
    first: tuple[str, list[str], list[dict[str, Any]]] | None = None
    for name, counts, said in results:
        if first is None:
            first = name, counts, said
        elif counts != first[1]:
            raise ResultsDifferError(f"{name} counts {counts}, and {first[0]} counts {first[1]}")
        elif said != first[2]:
            ours, theirs = {each["id"] for each in said}, {each["id"] for each in first[2]}
            raise ResultsDifferError(
                f"{name} gives {len(said)} alerts, and {first[0]} gives {len(first[2])}:"
                f" {len(ours ^ theirs)} IDs are those of one alone"
            )


def _row(
    scenario: str,
    data: DataSet,
    runner: Runner,
    written: int,
    rounds: list[tuple[Usage, list[dict[str, Any]] | None]],
    topics: Topics,
) -> Row:
    usage, said = min(rounds, key=lambda each: each[0].seconds)
    seconds = [each.seconds for each, _ in rounds]
    alert_count = None if said is None else len(said)
    counts = [line.replace(f"{topics[0].rsplit('-', 1)[0]}-", "") for line in jobs.counts(usage.said, topics)]
    return Row(scenario, data.name, runner.name, written, usage, seconds, alert_count, counts)


def rows(bench: Bench, wanted: Sequence[str], shape: Shape) -> Iterator[Row]:
    """The scenarios one after another."""
    for scenario in NAMES:
        if scenario in wanted:
            for data in data_sets(scenario, shape):
                yield from bench.measure(scenario, data, runners(scenario, has_kafka=bench.address is not None))
