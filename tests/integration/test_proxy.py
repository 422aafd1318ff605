"""The proxy passes on what it should, and does the harm it is told to do, and no other."""

import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread

import pytest

from streamguard.config import KafkaLog as Settings
from streamguard.logs.interface import Record, TopicInfo
from streamguard.logs.kafka import KafkaLog
from tests.integration.proxy import END_TXN, HEARTBEAT, PRODUCE, Proxy, proxied_broker


class Echo:
    """A server that answers each frame with its correlation ID and body, and keeps what it got with the time."""

    def __init__(self) -> None:
        self.got: list[tuple[float, int, bytes]] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._server.accept()
            Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            try:
                while length := stream.read(4):
                    frame = stream.read(int.from_bytes(length))
                    self.got.append((time.monotonic(), int.from_bytes(frame[:2]), frame[8:]))
                    connection.sendall(struct.pack(">i", len(frame) - 4) + frame[4:])
            except OSError:
                pass  # reset

    def wait_for(self, count: int) -> None:
        """Until so many frames have come."""
        wait_until(lambda: len(self.got) >= count)


class Client:
    """One connection that speaks in Kafka's frames."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self._stream = self._socket.makefile("rb")
        self._asked = 0

    def send(self, body: bytes, api: int = PRODUCE) -> None:
        """Ask, and do not wait."""
        self._asked += 1
        self._socket.sendall(struct.pack(">ihhi", 8 + len(body), api, 0, self._asked) + body)

    def answer(self) -> bytes:
        """The body of the next answer; b"" at the end of the connection."""
        self._socket.settimeout(5)
        length = self._stream.read(4)
        return self._stream.read(int.from_bytes(length))[4:] if length else b""

    def is_silent(self) -> bool:
        """Whether nothing comes, not even an end, for a while."""
        self._socket.settimeout(0.2)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        return False

    def close(self) -> None:
        """An orderly end."""
        self._stream.close()
        self._socket.close()


def wait_until(is_met: Callable[[], bool], seconds: float = 10) -> None:
    """Fail where it is not met in time."""
    deadline = time.monotonic() + seconds
    while not is_met():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def echo() -> Echo:
    """A server behind the proxy."""
    return Echo()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    """A proxy before it."""
    with Proxy(echo.port) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[Client]:
    """One that goes by the proxy."""
    with connected(proxy) as client:
        yield client


@contextmanager
def connected(proxy: Proxy) -> Iterator[Client]:
    """One more."""
    with closing(Client(proxy.port)) as client:
        yield client


def test_passes_everything_on_unchanged(client: Client, proxy: Proxy) -> None:
    """Large and small frames, in both directions and in order."""
    bodies = [b"", b"x", bytes(3_000_000), b"end"]
    for body in bodies:
        client.send(body)
    assert [client.answer() for _ in bodies] == bodies
    assert proxy.requests == {PRODUCE: 4}
    assert not proxy.counts.total()


def test_delays_requests_of_one_api(client: Client, proxy: Proxy, echo: Echo) -> None:
    """Others are not delayed, unless they are behind it on the same connection."""
    proxy.delay(0.3, END_TXN)
    with connected(proxy) as other:
        began = time.monotonic()
        client.send(b"late", END_TXN)
        client.send(b"behind")
        other.send(b"soon")
        assert [client.answer(), client.answer(), other.answer()] == [b"late", b"behind", b"soon"]
    assert [body for _, _, body in echo.got] == [b"soon", b"late", b"behind"]
    assert echo.got[0][0] - began < 0.25
    assert echo.got[1][0] - began >= 0.3
    assert proxy.counts == {"delay": 1}


def test_drops_frames_and_keeps_the_connection(client: Client, proxy: Proxy, echo: Echo) -> None:
    """A request of that api never arrives; a response that is dropped belongs to one that did."""
    proxy.drop(1.0, HEARTBEAT)
    client.send(b"lost", HEARTBEAT)
    client.send(b"kept")
    assert client.answer() == b"kept"
    proxy.drop(1.0, END_TXN, only="response")
    client.send(b"unanswered", END_TXN)
    assert client.is_silent()
    assert [body for _, _, body in echo.got] == [b"kept", b"unanswered"]
    assert proxy.counts == {"drop": 2}


def test_resets_in_the_middle_of_a_frame(client: Client, proxy: Proxy, echo: Echo) -> None:
    """The client's connection breaks, and the server sees half a frame at most."""
    proxy.reset(1.0)
    client.send(bytes(100))
    with pytest.raises(ConnectionResetError):
        client.answer()
    assert all(len(body) < 100 for _, _, body in echo.got)
    assert proxy.counts == {"reset": 1}


def test_half_open_connections_say_nothing_for_ever(client: Client, proxy: Proxy, echo: Echo) -> None:
    """Neither those that were there nor those made meanwhile; after healing new ones work."""
    client.send(b"before")
    assert client.answer() == b"before"
    proxy.half_open()
    with connected(proxy) as meanwhile:
        client.send(b"swallowed")
        meanwhile.send(b"swallowed")
        assert client.is_silent()
        assert meanwhile.is_silent()
        proxy.heal()
        meanwhile.send(b"still swallowed")
        assert meanwhile.is_silent()
    with connected(proxy) as healed:
        healed.send(b"after")
        assert healed.answer() == b"after"
    assert [body for _, _, body in echo.got] == [b"before", b"after"]
    proxy.reset_all()
    with pytest.raises(ConnectionResetError):
        client.answer()


def test_throttles(client: Client, proxy: Proxy) -> None:
    """100 kB there and back at 400 kB a second take half a second."""
    proxy.throttle(400_000)
    began = time.monotonic()
    client.send(bytes(100_000))
    assert client.answer() == bytes(100_000)
    assert 0.45 < time.monotonic() - began < 2
    proxy.heal()
    client.send(bytes(1_000_000))
    assert client.answer() == bytes(1_000_000)
    assert time.monotonic() - began < 3


def test_a_held_request_arrives_after_its_client_was_reset(client: Client, proxy: Proxy, echo: Echo) -> None:
    """And after the copy that the client sends on a new connection; only the one next request is held."""
    proxy.duplicate_after_reset(END_TXN, 0.3)
    client.send(b"before")
    assert client.answer() == b"before"
    client.send(b"end", END_TXN)
    with pytest.raises(ConnectionResetError):
        client.answer()
    with connected(proxy) as again:
        again.send(b"end", END_TXN)
        assert again.answer() == b"end"
        again.send(b"next")
        assert again.answer() == b"next"
    echo.wait_for(4)
    assert [body for _, _, body in echo.got] == [b"before", b"end", b"next", b"end"]
    wait_until(lambda: proxy.counts == {"held": 1, "duplicate_after_reset": 1})


def test_a_delayed_request_arrives_after_its_client_has_gone(proxy: Proxy, echo: Echo) -> None:
    """What was sent is on its way, whatever becomes of the sender."""
    proxy.delay(0.2)
    with connected(proxy) as client:
        client.send(b"last")
    echo.wait_for(1)
    assert echo.got[0][2] == b"last"


def test_a_server_that_is_away_looks_like_one(proxy: Proxy) -> None:
    """The client's connection ends; the proxy stays."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        proxy.target_port = unused.getsockname()[1]
    with pytest.raises(ConnectionResetError), connected(proxy) as client:
        client.answer()


@pytest.mark.broker
@pytest.mark.usefixtures("broker")  # whoever has no broker has none of this kind either
def test_clients_of_a_broker_stay_with_its_proxy(tmp_path: Path) -> None:
    """The broker advertises the proxy to those who came by it, so records too go that way."""
    with proxied_broker(tmp_path) as (direct, by_proxy, proxy, _):
        for bootstrap, expected in ((direct, 0), (by_proxy, 1)):
            log = KafkaLog(Settings(kind="kafka", bootstrap_servers=(bootstrap,), group="proxy"))
            log.create(TopicInfo(f"by-{expected}", partitions=1))
            log.append([Record(f"by-{expected}", None, b"value")])
            assert [value for batch in log.read(f"by-{expected}") for value in batch.values] == [b"value"]
            log.close()
            assert proxy.requests[PRODUCE] == expected
