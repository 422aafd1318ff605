"""One call: what is sent, what is measured, and how each bad answer is told."""

import logging
import socket
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from streamguard.core.environment.shapes import hash_of
from tests.handlers.samples import Peer, Server, reply
from tests.probing.helpers import called, error, result

SCORES = orjson.dumps({"model": "fraud", "predictions": [{"label": "secret-value", "score": 0.25}]})
PLACES = {
    "$": "object",
    "model": "string",
    "predictions": "array",
    "predictions[]": "object",
    "predictions[].label": "string",
    "predictions[].score": "number",
}


def test_a_good_answer() -> None:
    """Its status, size and form are told, and no value of it."""
    before_ms = time.time_ns() // 1_000_000
    found = result(reply(200, SCORES, content_type="application/json; charset=utf-8"))
    assert found["time"] >= before_ms
    assert (found["ok"], found["error"], found["status"]) == (True, None, 200)
    assert (found["size"], found["content_type"]) == (len(SCORES), "application/json")
    assert found["schema"] == {"hash": hash_of(PLACES), "fields": PLACES}
    assert 0 < found["connect_ms"] < found["first_byte_ms"] <= found["latency_ms"] < 5000
    assert (found["tls_issued"], found["tls_expires"], found["tls_issuer"]) == (None, None, None)
    assert b"secret-value" not in orjson.dumps(found)


def test_what_is_sent(tmp_path: Path) -> None:
    """The body as JSON, and headers from the configuration and from files."""
    (tmp_path / "token").write_text("Bearer hunter2\n", encoding="utf-8")
    files = {"Authorization": str(tmp_path / "token")}
    with Server(reply(200)) as server:
        called(f"{server.url}/score?a=1#b", body={"x": [1, 2]}, headers={"X-Team": "ml"}, header_files=files)
        called(server.url.replace("//", "//us%40er:hunter2@"))
    first, second = server.requests
    assert (first.target, first.body) == ("/score?a=1", b'{"x":[1,2]}')
    sent = {"authorization": "Bearer hunter2", "x-team": "ml", "content-type": "application/json"}
    assert sent.items() <= first.headers.items()
    assert first.headers["accept-encoding"] == "identity"
    assert second.body == b""
    assert second.headers["authorization"] == "Basic dXNAZXI6aHVudGVyMg=="


def test_an_expected_status_is_good() -> None:
    """Whatever it is."""
    assert result(reply(401), expect={"status": 401})["ok"] is True
    assert result(reply(204), expect={"status": [200, 204]})["ok"] is True
    assert error(reply(200), expect={"status": 204}) == ("status", "SERVER answered 200")


def test_another_status_is_told() -> None:
    """Its form is not, since that of an error page is another."""
    found = result(reply(503, SCORES))
    assert (found["status"], found["schema"], found["error"]["kind"]) == (503, None, "status")


@pytest.mark.parametrize("status", [401, 403, 407])
def test_refused_credentials(status: int) -> None:
    """By a status."""
    kind, message = error(reply(status, b"no, hunter2"))
    assert kind == "authentication"
    assert message == f"SERVER answered {status}: it does not take the credentials"


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        ("/login?next=%2Fscore", "authentication"),
        ("https://login.example.com/", "authentication"),
        ("https://example.com/oauth2/authorize?a=b", "authentication"),
        ("/sign-in", "authentication"),
        ("/author/7", "redirect"),
        ("https://example.com/v2/score", "redirect"),
        ("http://[", "redirect"),
    ],
)
def test_redirects_are_told(location: str, kind: str) -> None:
    """One to a login page is a refusal of the credentials; where to is not told."""
    found, message = error(reply(302, location=location))
    assert found == kind
    assert location not in message


def test_redirects_are_followed_where_that_is_configured() -> None:
    """Within the host and port, and so many."""
    there = reply(307, location="/there")
    with Server(there, reply(200, SCORES)) as server:
        assert called(server.url, redirects=1, headers={"X-Key": "hunter2"})["ok"] is True
        assert [each.target for each in server.requests] == ["/", "/there"]
        assert server.requests[1].headers["x-key"] == "hunter2"
    assert error(there, there, reply(200), redirects=1)[0] == "redirect"
    with Server(reply(200)) as other:
        for location in (other.url, other.url.replace("127.0.0.1", "localhost"), f"https://{other.where}/"):
            assert error(reply(302, location=location), redirects=5)[0] == "redirect"
        assert other.requests == []


def test_nobody_there() -> None:
    """Nothing listens, or the name means nothing."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        found = called(f"http://127.0.0.1:{port}/")
    assert found["error"] == {
        "kind": "refused",
        "message": f"127.0.0.1:{port} refuses the connection: nothing listens there",
    }
    assert (found["status"], found["connect_ms"], found["size"]) == (None, None, None)
    assert called("http://nosuch.invalid/")["error"]["kind"] == "dns"


def test_a_connection_that_is_lost() -> None:
    """Before the answer, in it, and with what is no answer."""
    assert error(lambda peer: peer.reset())[0] == "reset"
    assert error(lambda _: None)[0] == "protocol"
    assert error(lambda peer: peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort"))[0] == "protocol"
    assert error(b"SSH-2.0-hunter2\r\n") == (
        "protocol",
        "SERVER closed the connection before the answer was complete, or sent what is not HTTP",
    )

    def half(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort")
        peer.reset()

    assert error(half)[0] == "reset"


def drips(text: bytes) -> Callable[[Peer], None]:
    """Sends so much at once, and then a byte now and then: each read is in time."""

    def drip(peer: Peer) -> None:
        peer.send(text)
        while not peer.stopping.wait(0.02):
            peer.send(b"x")

    return drip


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda peer: peer.stopping.wait(10), "SERVER gave no answer in time"),
        (drips(b"HTTP/1.1 200 OK\r\nX-Slow: "), "SERVER gave no answer in time"),
        (drips(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n"), "SERVER gave no complete answer in time"),
        (drips(b"HTTP/1.1 404 Not Found\r\n\r\n"), "SERVER gave no complete answer in time"),
    ],
)
def test_a_call_ends_in_time(answer: Callable[[Peer], None], told: str) -> None:
    """However little by little the answer comes."""
    begun_s = time.monotonic()
    assert error(answer, timeout="300ms") == ("timeout", told)
    assert time.monotonic() - begun_s < 3


def test_a_connection_that_does_not_come_about() -> None:
    """A server that takes no more connections: by its own time-out."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(("127.0.0.1", port))
            found = called(f"http://127.0.0.1:{port}/", connect_timeout="200ms")
    assert found["error"] == {"kind": "timeout", "message": f"127.0.0.1:{port} gave no connection in time"}


def test_a_huge_answer_is_cut() -> None:
    """It is read as far as it may be, and not to its end."""

    def endless(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while not peer.stopping.is_set():
            peer.send(b"[" * 65_536)

    found = result(endless, max_bytes=100_000)
    assert found["error"]["kind"] == "size"
    assert found["error"]["message"].endswith("answered with more than 100,000 bytes")
    assert 100_000 < found["size"] < 400_000


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a": NaN}', b"\xff", b"", b'"\\ud800"', b"1" * 5000])
def test_an_answer_that_is_no_json_has_no_form(body: bytes) -> None:
    """Whatever bytes these are; and it keeps no contract."""
    found = result(reply(200, body))
    assert found["ok"] is True
    assert found["schema"] is None or found["schema"]["fields"] == {"$": "number"}
    assert error(reply(200, body), expect={"fields": {"a": "number"}})[0] == "contract"


def test_a_contract() -> None:
    """Fields that must be there, and their types."""
    wanted = {"model": "string", "predictions[].score": "number", "predictions[].label": "string|null", "$": "object"}
    assert result(reply(200, SCORES), expect={"fields": wanted})["ok"] is True
    broken = orjson.dumps({"predictions": [{"score": "0.5"}, {"label": None}]})
    kind, message = error(reply(200, broken), expect={"fields": wanted})
    assert kind == "contract"
    assert message == (
        "in the answer of SERVER model is missing, predictions[].score is missing in some elements,"
        " predictions[].label is missing in some elements"
    )
    assert result(reply(200, b'{"predictions": [], "model": "m"}'), expect={"fields": wanted})["ok"] is True
    assert result(reply(200, broken), expect={"fields": wanted})["schema"] is not None


def test_names_that_are_data_are_not_told() -> None:
    """Where the configuration says so, and where there are very many."""
    few = orjson.dumps({"by_user": {"alicia": {"score": 1}, "bob": {"score": 2}}})
    found = result(reply(200, few), maps=["by_user"])["schema"]["fields"]
    assert found == {"$": "object", "by_user": "object", "by_user.*": "object", "by_user.*.score": "number"}
    many = orjson.dumps({f"user-{number}": number for number in range(101)})
    assert result(reply(200, many))["schema"]["fields"] == {"$": "object", "*": "number"}


@pytest.fixture
def no_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names a proxy where nothing listens."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


def test_proxies_are_used_where_that_is_configured(no_way: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment says counts only then."""
    del no_way
    with Server(reply(200)) as server:
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        assert called(server.url)["ok"] is True
        assert called(server.url, use_proxy=True)["error"]["kind"] == "refused"
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert called(server.url, use_proxy=True)["ok"] is True


def test_no_secret_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Not by a result, nor by what the libraries log of a call, though the answer repeats it."""
    caplog.set_level(logging.INFO)

    def echo(peer: Peer) -> None:
        request = peer.request_read
        told = f"{request.target} {request.headers['x-key']}"
        peer.send(reply(302, told.encode(), location=f"/{told}", content_type=told))

    paths = ("/hunter2?token=hunter3", "/a?b=hunter4")
    shown = [result(echo, path=path, headers={"X-Key": "hunter5"}) for path in paths]
    assert "hunter" not in f"{shown} {caplog.text}"
