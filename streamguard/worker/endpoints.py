"""The worker's HTTP port: /livez, /readyz, /metrics. It only reads the board, so neither waits for the other."""

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

import orjson
import structlog

from streamguard.config import Http
from streamguard.errors import StreamguardError
from streamguard.worker.status import Board, MonitorStatus, State, Status
from streamguard.worker.watchdog import Limits

_log = structlog.get_logger("streamguard.worker")

_CONNECTIONS_MAX = 32
_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"

Answer = tuple[HTTPStatus, str, bytes]


class PortError(StreamguardError):
    """The HTTP port cannot be had."""

    exit_code = 3


def livez(board: Board, limits: Limits) -> Answer:
    """Whether the loop ticks. No broker has a part in it."""
    phase, since_s = pulse = board.pulse
    now_s = board.now_s()
    is_alive = limits.is_alive(pulse, now_s)
    body = {"alive": is_alive, "phase": phase.value, "seconds": round(now_s - since_s, 3)}
    return _status(is_alive=is_alive), _JSON, orjson.dumps(body)


def readyz(status: Status) -> Answer:
    """Whether the worker does its part of the group's work, and what its monitors wait for."""
    is_ready = status.state is State.READY
    body = {
        "ready": is_ready,
        "state": status.state.value,
        "reason": status.reason,
        "restore_left": status.restore_left,
        "inputs": sorted(join.partition for join in status.joins),
        "held_back": status.held_back,
        "monitors": {name: _monitor(each) for each in status.monitors for name in each.monitors},
    }
    return _status(is_ready=is_ready), _JSON, orjson.dumps(body)


def _monitor(monitor: MonitorStatus) -> dict[str, Any]:
    behind = monitor.sources_behind_ms
    return {
        "partition": monitor.partition,
        "outcomes_held": monitor.held,
        # None: never heard of.
        "waits_for": [
            {"source": source, "behind_seconds": None if behind[source] is None else (behind[source] or 0) / 1000}
            for source in monitor.holders
        ],
    }


def _status(**is_well: bool) -> HTTPStatus:
    return HTTPStatus.OK if all(is_well.values()) else HTTPStatus.SERVICE_UNAVAILABLE


@contextmanager
def serving(settings: Http, board: Board, limits: Limits) -> Iterator[int | None]:
    """Answer on the configured port until the end; gives the port, None where none is wanted.

    Raises `PortError` where it cannot be had.
    """
    if settings.port is None:
        yield None
        return
    from streamguard.worker.metrics import CONTENT_TYPE, exposition  # noqa: PLC0415 - a tenth of a second, for those who want it

    offset_s = time.time() - board.now_s()
    answers: dict[str, Callable[[], Answer]] = {
        "/livez": lambda: livez(board, limits),
        "/readyz": lambda: readyz(board.status),
        "/metrics": lambda: (HTTPStatus.OK, CONTENT_TYPE, exposition(board, offset_s)),
    }
    server = _listen(settings, answers)
    thread = threading.Thread(target=server.serve_forever, name="streamguard-http", daemon=True)
    thread.start()
    port = int(server.server_address[1])
    _log.info("http_opened", host=settings.host, port=port, paths=list(answers))
    try:
        yield port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _listen(settings: Http, answers: Mapping[str, Callable[[], Answer]]) -> "_Server":
    host, port = settings.host, settings.port
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return _Server(family, address[:2], answers)
    except OSError as error:
        raise PortError(
            f"http.port: cannot listen on {host}:{port}: {error.strerror}; set a free port, 0 for any, or null for none"
        ) from None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, family: int, address: Any, answers: Mapping[str, Callable[[], Answer]]) -> None:
        self.address_family = family
        self.answers = answers
        self._open: dict[socket.socket, None] = {}
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Let the oldest connection go where there are too many: each takes a thread and a file descriptor."""
        with self._lock:
            if len(self._open) >= _CONNECTIONS_MAX:
                oldest = next(iter(self._open))
                del self._open[oldest]
                with suppress(OSError):  # it has just gone by itself
                    oldest.shutdown(socket.SHUT_RDWR)
            self._open[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """The connection is over."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def server_bind(self) -> None:
        """Bind, without asking the DNS who we are."""
        TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the library's signature
        """A client that goes away is no news; anything else is a bug, and no reason to end."""
        error = sys.exception()
        if not isinstance(error, OSError):
            _log.error("http_failed", client=client_address[0], exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10
    """Seconds that a silent client may keep a thread."""

    def do_GET(self) -> None:
        """Answer one of the paths."""
        path = self.path.partition("?")[0]
        answer = self.server.answers.get(path)
        if answer is None:
            known = " ".join(self.server.answers)
            status, kind, body = HTTPStatus.NOT_FOUND, _TEXT, f"no {path!r} here; there is {known}\n".encode()
        else:
            status, kind, body = answer()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def version_string(self) -> str:
        """Who answers."""
        return "streamguard"

    def log_message(self, *_: object) -> None:
        """Probes come every few seconds: not a line for each."""
