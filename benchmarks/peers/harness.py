"""Runs one peer as a process of its own, and measures it from its start to its last result.

The results are counted where a subscriber would see them: on the output topic, by a reader of committed records.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

# One that has ended by itself wrote all that it will; what it wrote is read within this.
SETTLE_S = 10


@dataclass(frozen=True, slots=True)
class Peer:
    """`prepare` makes the environment in an empty directory, `command` is what runs in it, less its arguments.

    The arguments are, in this order: bootstrap, predictions, labels, out, variant, a name that no run had before,
    and an empty directory for state.
    """

    name: str
    variants: tuple[str, ...]
    sources: tuple[Path, ...]
    prepare: Callable[[Path], None]
    command: Callable[[Path], list[str]]


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds from the process's start to its last result; its CPU and its peak memory until then."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    results: int


def python_peer(name: str, here: Path, variants: tuple[str, ...] = ("default",)) -> Peer:
    """A peer that is `job.py` in a virtual environment with `requirements.txt`."""
    requirements = here / "requirements.txt"

    def prepare(home: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(requirements)], check=True, stdout=sys.stderr)

    def command(home: Path) -> list[str]:
        return [str(home / "bin" / "python"), str(here / "job.py")]

    return Peer(name, variants, (requirements,), prepare, command)


def main(peer: Peer) -> None:
    """Run it as the command line says, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=f"{peer.name}, measured; see benchmarks/peers/README.md")
    parser.add_argument("--bootstrap", required=True, help="HOST:PORT")
    parser.add_argument("--predictions", required=True, help="topic")
    parser.add_argument("--labels", required=True, help="topic")
    parser.add_argument("--out", required=True, help="topic; made where it is missing")
    parser.add_argument("--pairs", required=True, type=int, help="pairs that differ: so many results make it done")
    parser.add_argument("--variant", choices=peer.variants, default=peer.variants[0], help="default: %(default)s")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds; default: %(default)s")
    options = parser.parse_args()
    # Ended by SIGTERM, the peer must not outlive us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    home = environment(peer)
    with tempfile.TemporaryDirectory(prefix="streamguard-peer-") as directory:
        state, output = Path(directory) / "state", Path(directory) / "output"
        state.mkdir()
        unique = f"{peer.name}-{options.variant}-{time.time_ns()}"
        topics = [options.bootstrap, options.predictions, options.labels, options.out]
        command = [*peer.command(home), *topics, options.variant, unique, str(state)]
        create(options.bootstrap, options.out, like=options.predictions)
        with closing(Results(options.bootstrap, options.out)) as results:
            run = measured(command, output, results, options.pairs, options.timeout)
    print(
        json.dumps(
            {
                "peer": peer.name,
                "variant": options.variant,
                "seconds": round(run.seconds, 2),
                "cpu_seconds": round(run.cpu_seconds, 2),
                "peak_mb": round(run.peak_mb),
                "results": run.results,
            }
        )
    )


def environment(peer: Peer) -> Path:
    """Where the peer is installed; the first call, and the first after a change of what it is made of, does that."""
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in peer.sources)).hexdigest()[:12]
    base = Path(os.environ.get("PEERS_HOME") or Path.home() / ".cache" / "streamguard-peers")
    home = base.expanduser().absolute() / f"{peer.name}-{digest}"
    # Written last: what was broken off is made again.
    complete = home / "complete"
    if not complete.exists():
        print(f"setting up {home} (once)", file=sys.stderr)
        home.mkdir(parents=True, exist_ok=True)
        peer.prepare(home)
        complete.touch()
    return home


def create(bootstrap: str, topic: str, *, like: str) -> None:
    """Make the topic with as many partitions as another has, unless it exists."""
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        if topic in admin.list_topics():
            return
        (described,) = admin.describe_topics([like])
        # Results carry event times, which may be long ago: a default retention would delete them at once.
        forever, count = {"retention.ms": "-1"}, len(described["partitions"])
        admin.create_topics([NewTopic(topic, num_partitions=count, replication_factor=1, topic_configs=forever)])


class Results:
    """Counts what is committed to a topic from now on."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._consumer = KafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            # Counting shall cost the peer, which shares the machine, next to nothing.
            max_poll_records=10_000,
            fetch_max_wait_ms=100,
        )
        parts = [TopicPartition(topic, number) for number in self._consumer.partitions_for_topic(topic)]
        self._consumer.assign(parts)
        self._consumer.seek_to_end(*parts)
        for part in parts:
            self._consumer.position(part)
        self.count = 0

    def wait(self) -> bool:
        """Whether any came, within a moment."""
        came = sum(map(len, self._consumer.poll(100).values()))
        self.count += came
        return came > 0

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close()


def measured(command: list[str], output: Path, results: Results, wanted: int, timeout_s: float) -> Run:
    """Run the command until so many results came, and kill it then: how it shuts down is not measured."""
    with output.open("wb") as log:
        began = last = time.monotonic()
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            while results.count < wanted:
                now = time.monotonic()
                if results.wait():
                    last = time.monotonic()
                elif now - began > timeout_s or (_has_ended(process) and now - last > SETTLE_S):
                    sys.exit(f"{results.count} of {wanted} results came; it says:\n{_tail(output)}")
        finally:
            # Not process.kill(), which would wait for one that has ended, and what it used would be lost.
            os.kill(process.pid, signal.SIGKILL)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
    return Run(last - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, results.count)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    # Left to be waited for: what it used is told only once.
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _tail(output: Path) -> str:
    return "\n".join(output.read_text(errors="replace").splitlines()[-20:])
