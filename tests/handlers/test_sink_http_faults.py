"""Servers that are away, slow, or say too little or too much: a try ends in time, and is tried again."""

import re
import socket
import threading
import time
from collections.abc import Callable

import pytest

from streamguard.handlers.sink import DeliveryError, PermanentError, TemporaryError
from streamguard.handlers.sinks.http import Post, Poster
from tests.handlers.samples import Peer, Server, reply


def post(url: str, timeout_ms: int = 5_000) -> None:
    """A small body to a URL."""
    Poster("hook", url, timeout_ms, secrets=["signing-key"]).post(b"{}", {"Content-Type": "application/json"})


def failure(*answers: bytes | Callable[[Peer], None], timeout_ms: int = 5_000) -> DeliveryError:
    """How posting fails with a server that answers so."""
    with Server(*answers) as server, pytest.raises(DeliveryError) as caught:
        post(server.url, timeout_ms)
    assert str(caught.value).startswith(server.where)
    return caught.value


def silent(peer: Peer) -> None:
    """Answers nothing."""
    peer.stopping.wait(10)


def drips(text: bytes) -> Callable[[Peer], None]:
    """Sends so much at once, and then a byte now and then: each read is in time."""

    def drip(peer: Peer) -> None:
        peer.send(text)
        while not peer.stopping.wait(0.02):
            peer.send(b"x")

    return drip


@pytest.mark.parametrize(
    "answer",
    [
        silent,
        drips(b"HTTP/1.1 200 OK\r\nX-Slow: "),
        drips(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n"),
        drips(b"HTTP/1.1 404 Not Found\r\n\r\n"),
    ],
)
def test_a_try_ends_in_time(answer: Callable[[Peer], None]) -> None:
    """However little by little the answer comes."""
    begun_s = time.monotonic()
    error = failure(answer, timeout_ms=300)
    assert isinstance(error, TemporaryError)
    assert str(error).endswith("gave no complete answer within 0.3 s")
    assert 0.25 < time.monotonic() - begun_s < 2


def test_a_look_up_of_the_host_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though nothing can end the resolver."""
    stopping = threading.Event()

    def hang(*_: object, **__: object) -> None:
        stopping.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "too late")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    begun_s = time.monotonic()
    with pytest.raises(TemporaryError, match=r"^service\.test:80 gave no complete answer within 0\.3 s$"):
        post("http://service.test/hook", 300)
    assert time.monotonic() - begun_s < 2
    stopping.set()


def test_a_host_that_is_unknown_is_temporary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names come and go."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(TemporaryError, match=r"^service\.test:443 gave no answer: ConnectError: .*not known$"):
        post("https://service.test/hook")


def test_a_refused_connection_is_temporary() -> None:
    """Nobody listens there."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        with pytest.raises(TemporaryError, match="ConnectError"):
            post(f"http://127.0.0.1:{reserved.getsockname()[1]}/hook")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789",
        b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"220 mail.example.com ESMTP\r\n",
        Peer.reset,
    ],
)
def test_an_answer_that_is_cut_off_is_temporary(answer: bytes | Callable[[Peer], None]) -> None:
    """Nobody knows what it would have been."""
    error = failure(answer)
    assert isinstance(error, TemporaryError)
    assert re.search(r"gave no answer: (RemoteProtocolError|ReadError): .", str(error))


def endless(head: bytes) -> Callable[[Peer], None]:
    """Sends more and more."""

    def send(peer: Peer) -> None:
        peer.send(head + b"\r\n\r\n")
        while not peer.stopping.is_set():
            peer.send(b"x" * 65_536)

    return send


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    """What it means is known by then."""
    with Server(endless(b"HTTP/1.1 200 OK")) as server:
        post(server.url)
    assert len(str(failure(endless(b"HTTP/1.1 404 Not Found")))) < 300


def test_several_have_the_time_of_one() -> None:
    """What was answered until then is known."""
    with Server(reply(200), reply(400), silent) as server:
        found = Poster("hook", server.url, 600).post_all(list(map(Post, (b"1", b"2", b"3", b"4"))), {})
    assert [type(each) for each in found] == [type(None), PermanentError, TemporaryError]
