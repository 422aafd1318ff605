"""What publishing fingerprints costs the process that serves: `python -m benchmarks.fingerprint`.

Publishes to Apache Kafka from a process that does nothing else, every second instead of every five minutes, and tells
the CPU time of all of its threads, by hour of real use and as a share of a core; then that of hashing a model file.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from unittest.mock import patch

import streamguard
from benchmarks.jobs import kafka
from streamguard.config import KafkaLog as Settings
from streamguard.fingerprints import publisher
from streamguard.fingerprints.hashing import Hashes
from streamguard.fingerprints.packages import Packages
from streamguard.logs.interface import TopicInfo
from streamguard.logs.kafka import KafkaLog

TOPIC = "environment"
PER_HOUR = 12


def publishing(address: str, count: int) -> tuple[float, float]:
    """CPU seconds until the first record is there, and for each further one."""
    log = KafkaLog(Settings(kind="kafka", bootstrap_servers=(address,), group="bench"))
    log.create(TopicInfo(TOPIC, 1))
    log.close()
    seen = threading.Semaphore(0)
    inner = publisher.Publisher._publish  # noqa: SLF001

    def publish(self: publisher.Publisher) -> float:
        waits_s = inner(self)
        seen.release()
        return waits_s

    with patch.object(publisher, "_SHARE", 1e6), patch.object(publisher.Publisher, "_publish", publish):
        begun = time.process_time()
        with streamguard.fingerprint(bootstrap_servers=address, every="1s", model="fraud", version="7"):
            seen.acquire()
            time.sleep(0.5)
            first_s, begun = time.process_time() - begun, time.process_time()
            for _ in range(count):
                seen.acquire()
            return first_s, (time.process_time() - begun) / count


def imports() -> float:
    """CPU seconds for what the call imports, in a process that has imported nothing."""
    script = "import time, streamguard.fingerprints.api, streamguard.logs.kafka; print(time.process_time())"
    return float(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)


def hashing(mebibytes: int) -> tuple[float, float]:
    """CPU seconds for a file, and how long that takes with the waits."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "model")
        file.write_bytes(os.urandom(1 << 20) * mebibytes)
        begun = time.process_time()
        waits_s = sum(Hashes({"model": file}).steps())
        spent_s = time.process_time() - begun
    return spent_s, spent_s + waits_s


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fingerprint", description=__doc__)
    parser.add_argument("--records", type=int, default=30)
    parser.add_argument("--mebibytes", type=int, default=1024)
    parser.add_argument("--bootstrap", metavar="HOST:PORT", help="use this broker instead of one of our own")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, kafka(Path(name), options.bootstrap) as address:
        first_s, each_s = publishing(address, options.records)
    hour_s = PER_HOUR * each_s
    print(f"packages installed   {len(Packages().installed())}")
    print(f"imports              {imports():.2f} s of CPU, once, before the call returns")
    print(f"the first record     {1000 * first_s:.0f} ms of CPU")
    print(f"each further record  {1000 * each_s:.0f} ms of CPU")
    print(f"an hour, every 5m    {hour_s:.2f} s of CPU, {hour_s / 36:.3f}% of a core")
    spent_s, took_s = hashing(options.mebibytes)
    print(
        f"hashing {options.mebibytes} MiB     {spent_s:.2f} s of CPU over {took_s:.0f} s, {100 * spent_s / took_s:.2f}%"
    )


if __name__ == "__main__":
    main()
