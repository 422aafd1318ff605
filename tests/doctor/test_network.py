"""The way to brokers and handlers: on made-up facts, and against real sockets of this machine."""

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, TCPServer
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink

from streamguard.config import KafkaLog
from streamguard.doctor.checks.network import advertised, begun, clock, handlers, round_trips, ways
from streamguard.doctor.facts import Cluster, HandlerReach, Kafka, Reach, Tls
from streamguard.doctor.gathering import handlers as handlers_seen
from streamguard.doctor.gathering import network
from streamguard.doctor.gathering.parallel import Asked, within
from tests.doctor.helpers import codes, config
from tests.integration.broker import free_port

LOG = KafkaLog(kind="kafka", group="g")
DAY_MS = 86_400_000
NOW_MS = int(time.time() * 1000)


@pytest.mark.parametrize(
    ("reach", "expected"),
    [
        (Reach("h", 1, kafka=Kafka(speaks=True)), []),
        (Reach("h", 1, resolve_problem="no such name"), ["name-unresolved"]),
        (Reach("h", 1, connect_problem="refused", is_refused=True), ["port-refused"]),
        (Reach("h", 1, connect_problem="timed out"), ["port-silent"]),
        (Reach("h", 1, tls=Tls("silent", "x")), ["port-silent"]),
        (Reach("h", 1, tls=Tls("failed", "x"), kafka=Kafka(speaks=False)), ["tls-failed"]),
        (Reach("h", 1, tls=Tls("failed", "x"), kafka=Kafka(speaks=False, speaks_plain=True)), ["tls-not-spoken"]),
        (Reach("h", 1, kafka=Kafka(speaks=False, is_closed_on_us=True)), ["kafka-not-spoken"]),
        (Reach("h", 1, kafka=Kafka(speaks=False)), ["port-silent"]),
        (Reach("h", 1, tls=Tls(None, expires_ms=NOW_MS + 31 * DAY_MS), kafka=Kafka(speaks=True)), []),
        (Reach("h", 1, tls=Tls(None, expires_ms=NOW_MS + 29 * DAY_MS), kafka=Kafka(speaks=True)), ["tls-expires-soon"]),
    ],
)
def test_ways(reach: Reach, expected: list[str]) -> None:
    """One finding at most: what is behind a closed door is not judged."""
    assert codes(ways(LOG, [reach], NOW_MS)) == expected


def test_brokers_that_advertise_what_cannot_be_reached() -> None:
    """Whoever is a bootstrap server, too, was told of already."""
    lost = Reach("10.0.0.7", 9092, connect_problem="timed out")
    known = Reach("localhost", 9092, connect_problem="timed out")
    (found,) = advertised(LOG, [lost, known], NOW_MS)

    assert found.code == "advertised-unreachable"
    assert "10.0.0.7:9092" in found.what


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ((), []),
        ((1.0,) * 7, []),
        ((1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 900.0), []),
        ((1.0, 1.0, 1.0, 1.0, 1.0, 700.0, 900.0), ["round-trip-uneven"]),
        ((150.0,) * 7, ["round-trip-slow"]),
    ],
)
def test_round_trips(times: tuple[float, ...], expected: list[str]) -> None:
    """A single slow answer is nothing."""
    assert codes(round_trips(Cluster(round_trips_ms=times))) == expected


@pytest.mark.parametrize(
    ("skew_ms", "give_or_take_ms", "expected"),
    [(None, 0, ["clock-unknown"]), (900, 10, []), (-2000, 10, ["clock-skew"]), (1500, 600, [])],
)
def test_clocks(skew_ms: float | None, give_or_take_ms: float, expected: list[str]) -> None:
    """What a slow answer may explain is no finding; `preflight.max_clock_skew` is 1s."""
    assert codes(clock(config(), Cluster((), skew_ms, give_or_take_ms))) == expected


def test_why_no_broker_lets_us_in() -> None:
    """What kafka-python saw and kept to its log."""
    assert codes(begun(LOG, "timed out", ["SaslAuthenticationFailedError: no"])) == ["sasl-refused"]
    assert codes(begun(LOG, "timed out", ["KafkaConnectionError: socket disconnected"])) == ["log-unreachable"]


class _Answer(BaseHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing is told."""


@contextmanager
def serving(certificate: trustme.LeafCert | None = None) -> Iterator[int]:
    """The port of an HTTP server, encrypted with a certificate."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    # Closing it then waits for their ends.
    server.daemon_threads = False
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def judged(**handler: Any) -> list[str]:
    """Codes for one handler, looked at for real."""
    wanted = config(handlers=({"name": "h"} | handler,))
    return codes(handlers(handlers_seen.handlers(wanted), NOW_MS))


def test_webhooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In clear text; encrypted; by an unknown authority; expired, soon to expire, for another name."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    authority, now = trustme.CA(), datetime.now(UTC)
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(file)
    expired = authority.issue_cert("127.0.0.1", not_before=now - timedelta(9), not_after=now - timedelta(1))
    soon = authority.issue_cert("127.0.0.1", not_after=now + timedelta(days=5))
    with serving() as port:
        assert judged(type="webhook", url=f"http://127.0.0.1:{port}/x") == []
    with serving(authority.issue_cert("127.0.0.1")) as port:
        assert judged(type="webhook", url=f"https://127.0.0.1:{port}/x", ca_file=str(file)) == []
        assert judged(type="webhook", url=f"https://127.0.0.1:{port}/x") == ["handler-tls"]
    for certificate, expected in (
        (expired, "handler-tls"),
        (soon, "handler-tls-soon"),
        (authority.issue_cert("other.example"), "handler-tls"),
    ):
        with serving(certificate) as port:
            assert judged(type="slack", url=f"https://127.0.0.1:{port}/x", ca_file=str(file)) == [expected]


def test_a_proxy_is_not_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """It alone knows; and its password is not shown."""
    monkeypatch.setenv("HTTPS_PROXY", "http://user:SECRET@proxy.example:3128")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    wanted = config(handlers=({"name": "h", "type": "slack", "url": "https://chat.example/x"},))
    (found,) = handlers(handlers_seen.handlers(wanted), NOW_MS)

    assert found.code == "handler-proxied"
    assert "proxy.example" in found.what
    assert "SECRET" not in found.what


def test_mail_servers(tmp_path: Path) -> None:
    """Up to the encryption; a server that has none is told, as is one of an unknown authority."""
    authority = trustme.CA()
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    mail = {"type": "email", "host": "127.0.0.1", "sender": "a@b.c", "to": ["d@e.f"]}

    def with_server(tls_context: ssl.SSLContext | None, **more: Any) -> list[str]:
        port = free_port()
        server = Controller(Sink(), hostname="127.0.0.1", port=port, tls_context=tls_context)
        server.start()
        try:
            return judged(**mail, port=port, **more)
        finally:
            server.stop()

    assert with_server(context, ca_file=str(file)) == []
    assert with_server(context) == ["handler-tls"]
    assert with_server(None) == ["handler-tls"]
    assert with_server(None, tls="none") == []


def test_files_and_commands(tmp_path: Path) -> None:
    """What needs no network."""
    assert judged(type="file", path=str(tmp_path / "alerts.jsonl")) == []
    assert judged(type="file", path=str(tmp_path)) == ["handler-unusable"]
    assert judged(type="command", command=["true"]) == []
    assert judged(type="retrain", command=["no-such-program"]) == ["handler-unusable"]


def test_a_host_that_handlers_may_not_call() -> None:
    """`streamguard handle` would end at its start."""
    handler = {"name": "h", "type": "webhook", "url": "http://127.0.0.1:1/x"}
    wanted = config(handlers=(handler,), handler_hosts=("other.example",))

    assert codes(handlers(handlers_seen.handlers(wanted), NOW_MS)) == ["handler-unusable"]


def test_a_reach_is_told_once() -> None:
    """Exactly one of the facts of a handler is judged."""
    reaches = [Reach("h", 443, resolve_problem="no"), Reach("h", 443, tls=Tls("silent", "no answer within 4 s"))]
    facts = [HandlerReach("a", "file"), *(HandlerReach("b", "slack", reach=each) for each in reaches)]

    assert codes(handlers(facts, NOW_MS)) == ["handler-unreachable"] * 2


def test_what_listens_there_is_no_kafka() -> None:
    """It greets, as SSH and SMTP do, and goes."""

    class Greeter(BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"220 here is something else, and not Kafka\r\n")

    with TCPServer(("127.0.0.1", 0), Greeter) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        reach = network.broker(LOG, "127.0.0.1", server.server_address[1])
        server.shutdown()
        thread.join()

    assert codes(ways(LOG, [reach], NOW_MS)) == ["kafka-not-spoken"]


def test_questions_that_do_not_come_back_hold_nobody_up() -> None:
    """The others' answers are there, and so are errors."""
    hang = threading.Event()
    asked = Asked({"hangs": hang.wait, "answers": lambda: True, "raises": lambda: 1 // 0})
    found = asked.answers(time.monotonic() + 0.2)
    hang.set()

    assert found["answers"] is True
    assert isinstance(found["raises"], ZeroDivisionError)
    assert "hangs" not in found
    with pytest.raises(ZeroDivisionError):
        within(1, lambda: 1 // 0)
