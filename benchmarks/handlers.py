"""What handlers deliver through kills, and how soon: `python -m benchmarks.handlers`.

Starts Apache Kafka and receivers of webhooks. First handler processes are killed by signal 9 at random moments while
the receiver is away, slow, resets, or answers 500 and 429; then alerts are timed from the return of their write to the
receiver, of a handler alone, and of the same beside one whose receiver is slow.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from benchmarks.jobs import kafka
from streamguard.core.alerts import alert_data
from tests.integration.receiving import Handling, Receiver, course, receiving

SAMPLE = Path(__file__).parents[1] / "streamguard" / "contract" / "examples" / "mismatch_drift-raised.json"
TIMED = 300
GAP_S = 0.05
WARM_S = 6.0


@dataclass
class Beside(Handling):
    """The handler that is timed, and one whose receiver is slow."""

    slow_url: str = ""

    def config(self) -> Path:
        path = super().config()
        settings: dict[str, Any] = yaml.safe_load(path.read_text())
        (hook,) = settings["handlers"]
        settings["handlers"].append(hook | {"name": "slow", "url": self.slow_url})
        path.write_text(yaml.safe_dump(settings))
        return path


def timed(handling: Handling, receiver: Receiver) -> str:
    """Publish one alert after the other; how long each took to its receiver."""
    written_s: dict[str, float] = {}
    with handling.open() as log:
        process = handling.start()
        try:
            time.sleep(WARM_S)
            for number in range(TIMED):
                handling.publish(log, number, 1)
                written_s[handling.id(number)] = time.time()
                time.sleep(GAP_S)
            deadline_s = time.monotonic() + 30
            while len(receiver.taken) < TIMED and time.monotonic() < deadline_s:
                time.sleep(0.1)
        finally:
            process.terminate()
            process.wait(30)
    pairs = zip(receiver.taken, receiver.times_s, strict=True)
    delays_s = sorted(at_s - written_s[alert] for alert, at_s in pairs)
    p99_s = delays_s[min(len(delays_s) - 1, len(delays_s) * 99 // 100)]
    return f"{len(delays_s)} alerts, median {statistics.median(delays_s):.3f} s, 99% within {p99_s:.3f} s"


def main() -> None:
    """Run all, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--client", default="kafka-python", choices=["kafka-python", "confluent"])
    wanted = parser.parse_args()
    sample = alert_data(SAMPLE.read_bytes())
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {wanted.client}, {datetime.now(UTC):%Y-%m-%d}")
    with tempfile.TemporaryDirectory() as name, kafka(Path(name)) as address:
        directory = Path(name)
        log = {"kind": "kafka", "bootstrap_servers": address, "client": wanted.client, "session_timeout": "6s"}
        with receiving() as receiver:
            handling = Handling(directory, log | {"group": "kills"}, receiver.url, sample, "kills")
            print(course(handling, receiver, kills=wanted.kills), flush=True)
        with receiving() as receiver:
            alone = Handling(directory, log | {"group": "alone"}, receiver.url, sample, "alone")
            print(f"alone: {timed(alone, receiver)}", flush=True)
        with receiving() as receiver, receiving() as slow:
            slow.turn("slow")
            beside = Beside(directory, log | {"group": "beside"}, receiver.url, sample, "beside", slow_url=slow.url)
            print(f"beside a slow one: {timed(beside, receiver)}", flush=True)


if __name__ == "__main__":
    main()
