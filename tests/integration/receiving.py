"""A receiver of webhooks that fails in every way that one can, and a course of kills through which alerts must come."""

import random
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import yaml

from streamguard.config import parse
from streamguard.logs.interface import Log, Record, TopicInfo
from streamguard.logs.opening import open_log
from tests.integration.jobs import COMMAND

PATIENCE_S = 120
MODES = ("fine", "fine", "error", "busy", "reset", "slow", "away")
SLOW_S = 0.6


@dataclass
class Receiver:
    """An HTTP server on a port of its own; `mode` says how it answers."""

    mode: str = "fine"
    taken: list[str] = field(default_factory=list)
    """IDs of the alerts that it said it has, in order."""
    times_s: list[float] = field(default_factory=list)
    """When, by the clock of this machine."""
    unsure: set[str] = field(default_factory=set)
    """IDs that it took without saying so: the sender cannot know."""
    port: int = 0
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def open(self) -> None:
        """Listen, on the same port as before."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def turn(self, mode: str) -> None:
        """Answer otherwise from now on."""
        if mode == "away":
            self.close()
        elif self._server is None:
            self.open()
        self.mode = mode

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Take a CloudEvent, or not."""
        mode = self.mode
        alert_id = orjson.loads(request.rfile.read(int(request.headers["Content-Length"])))["id"]
        if mode == "slow":
            time.sleep(SLOW_S)
        if mode == "reset":
            self.unsure.add(alert_id)
            # With this set the close is a reset.
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            request.connection.close()
            return
        if mode in {"error", "busy"}:
            request.send_response(500 if mode == "error" else 429)
            if mode == "busy":
                request.send_header("Retry-After", "1")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        self.taken.append(alert_id)
        self.times_s.append(time.time())
        request.send_response(204)
        request.end_headers()


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that answers."""
    receiver = Receiver()
    receiver.open()
    try:
        yield receiver
    finally:
        receiver.close()


@dataclass
class Handling:
    """A handler process over a topic of alerts of its own."""

    directory: Path
    log: dict[str, Any]
    url: str
    sample: dict[str, Any]
    """An alert, of which all are made."""
    name: str = "handling"
    concurrency: int = 4

    def config(self) -> Path:
        """Retries are quick, and go on for long."""
        settings = {
            "log": self.log,
            "join": {"after": "1h"},
            "monitors": [{"name": "m", "threshold": {"max_mismatch_percent": 5}}],
            "alerts": {"topic": f"{self.name}-alerts"},
            "dead_letters": {"topic": f"{self.name}-dead"},
            "handlers": [
                {
                    "name": "hook",
                    "type": "webhook",
                    "url": self.url,
                    "start": "earliest",
                    "timeout": "2s",
                    "concurrency": self.concurrency,
                    "retry": {"first": "50ms", "most": "500ms", "deadline": "10m"},
                }
            ],
            "logging": {"level": "warning"},
        }
        path = self.directory / f"{self.name}.yaml"
        path.write_text(yaml.safe_dump(settings))
        return path

    @contextmanager
    def open(self) -> Iterator[Log]:
        """The log, with the alerts topic in it."""
        log = open_log(parse(yaml.safe_load(self.config().read_text())).log)
        try:
            if not log.topics([f"{self.name}-alerts"]):
                log.create(TopicInfo(f"{self.name}-alerts", 1))
            yield log
        finally:
            log.close()

    @staticmethod
    def id(number: int) -> str:
        """Of an alert."""
        return f"{number:08x}".ljust(32, "0")

    def publish(self, log: Log, start: int, count: int) -> None:
        """Alerts number `start` on, of seven episodes by turns."""
        records = []
        for number in range(start, start + count):
            episode = f"episode-{number % 7}"
            alert = self.sample | {"id": self.id(number), "episode": episode}
            records.append(Record(f"{self.name}-alerts", episode.encode(), orjson.dumps(alert)))
        log.append(records)

    def start(self) -> "subprocess.Popen[bytes]":
        """A handler process."""
        with (self.directory / f"{self.name}.log").open("ab") as said:
            command = [*COMMAND, "handle", str(self.config())]
            return subprocess.Popen(command, stdout=said, stderr=said)

    def dead(self, log: Log) -> int:
        """Dead letters."""
        found = log.topics([f"{self.name}-dead"])
        return sum(len(batch) for batch in log.read(f"{self.name}-dead")) if found else 0


@dataclass(frozen=True, slots=True)
class Came:
    """What a course has come to."""

    alerts: int
    kills: int
    lost: int
    repeated: int
    """Deliveries of what had been delivered."""
    disordered: int
    """Alerts that came for the first time after a later one of their episode."""
    dead: int


def course(handling: Handling, receiver: Receiver, *, kills: int, seed: int = 1) -> Came:
    """Publish, kill, and let the receiver fail; then let all come through."""
    chance = random.Random(seed)  # noqa: S311 - to be drawn again by the seed
    count = 0
    with handling.open() as log:
        process = handling.start()
        try:
            for _ in range(kills):
                handling.publish(log, count, 10)
                count += 10
                receiver.turn(chance.choice(MODES))
                time.sleep(chance.uniform(0.3, 2.5))
                process.kill()
                process.wait()
                process = handling.start()
            receiver.turn("fine")
            deadline_s = time.monotonic() + PATIENCE_S
            while len(set(receiver.taken)) < count and time.monotonic() < deadline_s:
                time.sleep(0.1)
        finally:
            process.terminate()
            process.wait(30)
        dead = handling.dead(log)
    return Came(count, kills, count - len(set(receiver.taken)), _repeated(receiver), _disordered(receiver), dead)


def _repeated(receiver: Receiver) -> int:
    return sum(times - 1 for times in Counter(receiver.taken).values())


def _disordered(receiver: Receiver) -> int:
    first = list(dict.fromkeys(int(each[:8], 16) for each in receiver.taken))
    latest: dict[int, int] = {}
    wrong = 0
    for number in first:
        wrong += number < latest.get(number % 7, -1)
        latest[number % 7] = max(number, latest.get(number % 7, -1))
    return wrong
