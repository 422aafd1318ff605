"""A trial: workers, faults, and what must come of it all the same."""

import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import orjson

from tests.integration.cluster import behind_proxies
from tests.integration.crew import Crew
from tests.integration.faults import LOG_SETTINGS, NORMAL, Scene
from tests.integration.jobs import PARTITIONS, Job, Results, counted, differences
from tests.integration.traffic import Feeder, Offsets, Reader, lag, stream

STALL_S = 120
CATCH_UP_S = 300
FULL_SPEED = 30_000


@dataclass(slots=True)
class Trial:
    """A group at work, what goes into it, and all that looks on."""

    job: Job
    """As one who comes to the broker directly sees it; the workers come by the proxy."""
    scene: Scene
    feeder: Feeder
    reader: Reader
    offsets: Offsets
    problems: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)

    def do(self, fault: Callable[[Scene], None]) -> None:
        """One fault."""
        fault(self.scene)
        self.done[fault.__name__] += 1

    def check_moving(self) -> None:
        """A group that stands still though there is work, and nothing holds it, is a finding."""
        since_s = time.monotonic() - self.offsets.moved_s
        if since_s > STALL_S and self.lag():
            self.problems.append(f"no commit for {since_s:.0f} s with {self.lag()} records to be read")
            self.offsets.moved_s = time.monotonic()

    def lag(self) -> int | None:
        """Records of the inputs and the outcomes that are not committed."""
        topics = [*self.job.inputs, f"streamguard-{self.job.name}-outcomes"]
        return lag(self.job.bootstrap, dict(self.offsets.committed), topics)

    def settle(self) -> float:
        """No more faults; seconds until all was fed and consumed."""
        self.scene.network.heal()
        self.feeder.rate = FULL_SPEED
        crew = self.scene.crew
        for name in set(NORMAL) - crew.running.keys():
            crew.start(name)
        if not crew.wait(CATCH_UP_S, lambda: self.feeder.is_done):
            self.problems.append(f"only {self.feeder.written} records could be fed")
        began = time.monotonic()
        if not crew.wait(CATCH_UP_S, lambda: self.lag() == 0):
            self.problems.append(f"after {CATCH_UP_S} s without faults, {self.lag()} records are not consumed")
        return time.monotonic() - began

    def finish(self) -> Results | None:
        """End the workers, and see what they have left and what all who looked on have seen; None: not all is done."""
        crew = self.scene.crew
        if self.problems:
            return None
        for name in sorted(crew.running):
            crew.terminate(name)
        self.problems += [f"{each.name} {each.reason} ({each.said.name})" for each in crew.ended if each.code is None]
        results = self.job.run_to_end()
        crew.wait(30, lambda: len(self.reader.rows) >= len(results.alerts))
        self.feeder.end()
        self.reader.end()
        self.offsets.end()
        self.problems += self.reader.problems + self.offsets.problems
        if sorted(self.reader.rows, key=repr) != results.alerts:
            self.problems.append(
                f"the reader beside the workers saw {len(self.reader.rows)} alerts, and not the"
                f" {len(results.alerts)} that are there"
            )
        self.problems += self.gaps()
        fed = sum(counted(line)["consumed"] for line in results.counts)
        if fed < self.feeder.written:
            self.problems.append(f"{self.feeder.written} records were fed, and {fed} consumed")
        return results

    def gaps(self) -> list[str]:
        """What is wrong with the outcomes topic: from each source to each target every step once, in order."""
        wrong = []
        with self.job.open() as log:
            topic = f"streamguard-{self.job.name}-outcomes"
            seen: dict[tuple[int, int], tuple[int, int]] = {}
            for batch in log.read(topic):
                for value in batch.values:
                    found = orjson.loads(value or b"{}")
                    way = found["source"], batch.source.partition
                    before = seen.get(way)
                    # A step too large for one record comes in several; the last tells the watermark.
                    watermark = found["watermark"] if before is None else found["watermark"] or before[1]
                    now = found["sequence"], watermark or -1
                    if before is not None and (now[0] - before[0] not in (0, 1) or now[1] < before[1]):
                        wrong.append(
                            f"outcomes of source {way[0]} in {way[1]}: {now} (sequence, watermark) after {before}"
                        )
                    seen[way] = now
        return wrong

    def compare(self, results: Results | None) -> None:
        """With what one undisturbed worker leaves of the records that are on the inputs, while they are there."""
        if results is None:
            return
        for line in results.counts:
            account = counted(line)
            if account["consumed"] * 2 != account.total():
                self.problems.append(f"the account does not add up: {line}")
        with self.job.open() as log:
            self.problems += differences(results, self.job.expected(self.job.written(log)))

    def report(self, results: Results | None) -> str:
        """What was done, and what came of it."""
        crew, scene = self.scene.crew, self.scene
        ended = [f"  {each.name} ended with {each.code} ({each.said.name}):\n    {each.reason}" for each in crew.ended]
        lost = crew.sessions_lost
        return "\n".join(
            [
                f"records    {self.feeder.written:,} in {PARTITIONS} partitions",
                f"kills      {scene.killed}",
                f"faults     {_listed(self.done)}",
                f"network    {_listed(scene.network.counts)}; met no traffic: {_listed(scene.missed) or 'none'}",
                f"starts     {crew.starts}, of which by the supervisor {len(crew.ended)}",
                *ended,
                f"sessions   {lost.total()} given up",
                *(f"  {count:4} {reason}" for reason, count in lost.most_common()),
                f"offsets    looked at {self.offsets.looks} times",
                f"pause      {self.offsets.longest_s:.0f} s, the longest without a commit",
                *([] if results is None else _told(results)),
                *(f"DIFFERENCE {line}" for line in self.problems),
                f"{len(self.problems)} differences",
            ]
        )


def _told(results: Results) -> list[str]:
    alerts, rejected = len(results.alerts), len(results.rejected)
    return [f"results    {alerts} alerts, {rejected} rejected records", *(f"  {line}" for line in results.counts)]


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


@contextmanager
def trial(
    directory: Path, records: int, rate: float, seed: int, brokers: int = 1, client: str = "kafka-python"
) -> Iterator[Trial]:
    """Brokers, their proxies, feeder, three workers that have work."""
    with ExitStack() as stack:
        network, cluster = stack.enter_context(behind_proxies(directory / "kafka", brokers))
        direct = ",".join(broker.address for broker in cluster)
        job = Job(direct, directory, log_settings=LOG_SETTINGS | {"client": client})
        job.create()
        logs = directory / "workers"
        logs.mkdir()
        crew = Crew(replace(job, bootstrap=network.bootstrap), logs)
        stack.enter_context(crew.dismissed())
        mine = (job.mine(record) for record in stream(records, seed))
        feeder = Feeder(direct, mine, PARTITIONS, rate=rate, seed=seed)
        running = Trial(
            job,
            Scene(crew, cluster, network, Random(seed)),  # noqa: S311 (a schedule, not a secret)
            feeder,
            Reader(direct, f"{job.name}-alerts"),
            Offsets(direct, job.name),
        )
        for watch in (feeder, running.reader, running.offsets):
            watch.start()
            stack.callback(watch.end)
        for name in NORMAL:
            crew.start(name)
        crew.wait(60, lambda: all(crew.has_work(name) for name in NORMAL))
        yield running


def conclude(directory: Path, problems: Sequence[str]) -> None:
    """Exit; where something is wrong, what is needed to find out why stays."""
    if not problems:
        shutil.rmtree(directory)
        return
    sys.exit(f"{len(problems)} differences; the workers' logs are in {directory / 'workers'}")
