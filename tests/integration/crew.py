"""Workers of one group as children of a supervisor: one that ends by itself is started again under its name."""

import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from tests.integration.jobs import Job, Process, start

STOP_S = 60
TAIL_LINES = 2


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker that ended by itself, or was told to and did not end well."""

    name: str
    code: int | None
    reason: str
    said: Path


@dataclass(slots=True)
class Crew:
    """Worker processes by name. Every start has a log of its own in `logs`."""

    job: Job
    logs: Path
    running: dict[str, Process] = field(default_factory=dict)
    ended: list[Ended] = field(default_factory=list)
    starts: int = 0

    def start(self, name: str) -> Process:
        """A worker of this name."""
        self.starts += 1
        config = self.job.config(worker=name)
        process = self.running[name] = start(config, said=self.logs / f"{name}-{self.starts:04}.log")
        return process

    def kill(self, name: str) -> None:
        """Signal 9."""
        process = self.running.pop(name)
        process.popen.kill()
        process.popen.wait()

    def terminate(self, name: str) -> None:
        """SIGTERM, and wait: it is to end well and soon."""
        process = self.running.pop(name)
        process.popen.send_signal(signal.SIGTERM)
        try:
            code = process.popen.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.popen.kill()
            process.popen.wait()
            self.ended.append(Ended(name, None, f"did not end within {STOP_S} s of SIGTERM", process.said))
            return
        if code:
            self.ended.append(Ended(name, code, reason(process), process.said))

    def tend(self) -> None:
        """Start again whoever has ended by itself."""
        for name, process in list(self.running.items()):
            code = process.popen.poll()
            if code is not None:
                self.ended.append(Ended(name, code, reason(process), process.said))
                self.start(name)

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Tend the workers for so long, or until something is so; whether it is."""
        deadline = time.monotonic() + seconds
        while True:
            self.tend()
            if until():
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, 0.1))

    def has_work(self, name: str) -> bool:
        """Whether this worker, as it runs now, has been given partitions."""
        return self.running[name].has_work

    @property
    def sessions_lost(self) -> Counter[str]:
        """Why workers began again without ending, from all logs."""
        found = (event["reason"] for path in self.logs.glob("*.log") for event in events(path, "session_lost"))
        return Counter(re.sub(r"\d+", "N", each)[:150] for each in found)

    @contextmanager
    def dismissed(self) -> Iterator[None]:
        """At the end all are killed, stopped ones too."""
        try:
            yield
        finally:
            for name in list(self.running):
                self.kill(name)


def reason(process: Process) -> str:
    """The last lines of a worker that has ended."""
    lines = process.said.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n    ".join(line[-400:] for line in lines[-TAIL_LINES:])


def events(path: Path, name: str) -> Iterator[dict[str, Any]]:
    """The lines of this kind in a worker's log; the last may be cut off."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if f'"{name}"' in line and line.endswith("}"):
            yield orjson.loads(line)
