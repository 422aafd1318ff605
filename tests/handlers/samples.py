"""Alerts as they stand on the topic, of each status and kind, and a server of HTTP to deliver them to."""

import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson
import pytest

from streamguard.handlers.alert import Alert, read_alert

RAISED_ID, UPDATED_ID = "450dd7be33890ca0572345007303e478", "7e3f5fce3410d6e84bec3e5f7e8a9661"

HOSTILE = (
    "<!channel> <b>@here</b> *_~`&amp;` <script>alert(1)</script>\r\nBcc: evil@example.com\r\n\r\nbody\0"
    "\u202etxt.exe\u2028$(touch /tmp/x); [link](http://evil.example) ![](http://evil.example/x.png)"
)
LONG = "x<&>" * 25_000
RIGHT_TO_LEFT = "\u05e9\u05dc\u05d5\u05dd"

# The fields of docs/alerts.md, in its order.
_FIELDS: dict[str, Any] = {
    "id": RAISED_ID,
    "episode": RAISED_ID,
    "status": "raised",
    "kind": "mismatch_drift",
    "severity": "critical",
    "monitor": "by country",
    "model": "churn",
    "version": "7",
    "segment": {"country": "NO", "plan": None},
    "check": {"type": "adwin", "delta": 0.01, "clock": 32},
    "guarantee": "none: nobody knows how often adwin alarms though nothing is wrong",
    "event_time": "2026-01-05T16:16:31.042Z",
    "onset": "2026-01-05T15:21:22.075Z",
    "direction": "worse",
    "before": {"rate": 0.022569, "interval": [0.006393, 0.054272], "count": 576},
    "after": {"rate": 0.34375, "interval": [0.133356, 0.608788], "count": 32},
    "labels": {"coverage": 0.969697, "delay_median_s": 1419.892},
    "examples": ["r1817", "r1862"],
    "classes": [{"predicted": "yes", "labelled": "no", "before": 0.013841, "after": 0.2, "share": 0.541}],
    "segments": [],
    "look_first": ["54% of it: predicted 'yes', labelled 'no' (1.4% -> 20.0% of the outcomes)"],
    "absorbed": 0,
    "resolution": None,
    "duration_s": None,
    "source": {"predictions": {"0": [1644, 1942]}, "labels": {"0": [1613, 1797]}},
}


def raised(**changes: Any) -> Alert:
    """An episode's first alert, with other fields where they are given."""
    return read_alert(orjson.dumps({**_FIELDS, **changes}))


def updated(**changes: Any) -> Alert:
    """It has become worse, an hour and a quarter later."""
    later = {
        "id": UPDATED_ID,
        "status": "updated",
        "event_time": "2026-01-05T17:31:00.500Z",
        "after": {"rate": 0.5, "interval": [0.3, 0.7], "count": 64},
        "absorbed": 5,
    }
    return raised(**{**later, **changes})


def resolved(**changes: Any) -> Alert:
    """It is over."""
    later = {
        "id": "45645c603044c3411bc946aadb647e91",
        "status": "resolved",
        "event_time": "2026-01-05T18:38:31.042Z",
        "onset": "2026-01-05T18:00:00.000Z",
        "before": {"rate": 0.34375, "interval": [0.133356, 0.608788], "count": 320},
        "after": {"rate": 0.02, "interval": [0.01, 0.05], "count": 500},
        "examples": [],
        "classes": [],
        "look_first": [],
        "resolution": "recovered",
        "duration_s": 8520.0,
    }
    return raised(**{**later, **changes})


def improved(**changes: Any) -> Alert:
    """A loss that is not a share has become less: a notice, raised and over with that."""
    fields = {
        "id": "26f04d62a2010d478ecdb68a30177269",
        "episode": "26f04d62a2010d478ecdb68a30177269",
        "kind": "loss_drift",
        "severity": "info",
        "monitor": "error",
        "segment": {},
        "direction": "better",
        "before": {"rate": 2.832222, "interval": None, "count": 180},
        "after": {"rate": 1.633837, "interval": None, "count": 1376},
        "examples": [],
        "classes": [],
        "look_first": [],
    }
    return raised(**{**fields, **changes})


def silent(**changes: Any) -> Alert:
    """No data: no levels, no outcome behind it."""
    fields = {
        "id": "b2c3d4e5f60718293a4b5c6d7e8f9012",
        "episode": "b2c3d4e5f60718293a4b5c6d7e8f9012",
        "kind": "no_data",
        "segment": {},
        "model": None,
        "version": None,
        "check": {"type": "no_data", "after_ms": 7_200_000},
        "guarantee": None,
        "onset": None,
        "direction": "unknown",
        "before": None,
        "after": None,
        "labels": {},
        "examples": [],
        "classes": [],
        "look_first": ["no outcome since 2026-01-05T14:16:31.042Z, one every 2 s before: look at what writes labels"],
        "source": {},
    }
    return raised(**{**fields, **changes})


def hostile(text: str = HOSTILE, **changes: Any) -> Alert:
    """All that a stranger can write holds `text`."""
    fields = {
        "monitor": text,
        "model": text,
        "version": text,
        "segment": {text: text, "plan": text},
        "examples": [text] * 5,
        "classes": [{"predicted": text, "labelled": text, "before": None, "after": 0.2, "share": 0.5}],
        "segments": [{"segment": {text: text}, "before": None, "after": None, "share": 0.5}],
        "look_first": [text] * 3,
        "guarantee": text,
    }
    return raised(**{**fields, **changes})


def many(count: int) -> list[Alert]:
    """Several of as many episodes."""
    return [raised(id=f"{number:032x}", episode=f"{number:032x}") for number in range(count)]


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked of the server; the names of headers are in lower case."""

    target: str
    headers: dict[str, str]
    body: bytes


class Peer(socketserver.StreamRequestHandler):
    """One connection, from the server's side."""

    request_read: Request
    stopping: threading.Event

    def handle(self) -> None:
        """Answer all that comes, as the server was told to."""
        owner: Server = self.server.owner  # type: ignore[attr-defined]
        self.stopping = owner.stopping
        owner.connections += 1
        # It is the client's right to go.
        with suppress(OSError):
            while (found := self._read()) is not None:
                self.request_read = found
                owner.requests.append(found)
                answer = owner.answers[min(len(owner.requests), len(owner.answers)) - 1]
                if callable(answer):
                    answer(self)
                    return
                self.send(answer)
                if b"content-length: " not in answer:
                    return

    def send(self, text: bytes) -> None:
        """These bytes, now."""
        self.wfile.write(text)

    def reset(self) -> None:
        """End the connection as a machine does that has lost it."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _read(self) -> Request | None:
        if not (start := self.rfile.readline().decode("ascii").split()):
            return None
        headers: dict[str, str] = {}
        while line := self.rfile.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return Request(start[1], headers, self.rfile.read(int(headers.get("content-length", 0))))


class _TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """What a client does is no trouble of the server's."""


class Server:
    """Answers the first request with the first answer and so on, further ones with the last.

    An answer is bytes, after which the connection ends unless it says its length; or a function of the connection.
    With a certificate, whose key is in the same file, it speaks TLS.
    """

    def __init__(self, *answers: bytes | Callable[[Peer], None], certificate: Path | None = None) -> None:
        self.answers = answers
        self.requests: list[Request] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._server = _TcpServer(("127.0.0.1", 0), Peer)
        self._server.owner = self  # type: ignore[attr-defined]
        self.where = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{'http' if certificate is None else 'https'}://{self.where}"
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._environment = pytest.MonkeyPatch()

    def __enter__(self) -> Self:
        # Whatever proxy the machine has, it is none of ours.
        self._environment.setenv("NO_PROXY", "127.0.0.1")
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._environment.undo()


def reply(status: int, body: bytes = b"", **headers: str) -> bytes:
    """A whole answer; `retry_after` is the header Retry-After."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines += [] if status in {204, 304} else [f"content-length: {len(body)}"]
    return "\r\n".join([f"HTTP/1.1 {status} Told", *lines, "", ""]).encode() + body
