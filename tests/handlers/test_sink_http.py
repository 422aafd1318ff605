"""What an answer means to all sinks over HTTP, with servers that behave in every bad way."""

import html
import json
import logging
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import quote, quote_plus

import pytest

from streamguard.errors import ConfigError
from streamguard.handlers.sink import DeliveryError, PermanentError, TemporaryError
from streamguard.handlers.sinks.http import Post, Poster
from tests.handlers.samples import Peer, Server, reply

PATH = "/services/T0000/B1111/abcdef%2Fghijkl"
SECRETS = (
    "T0000",
    "B1111",
    "abcdef",
    "ghijkl",
    "hunter2",
    "tokentoken",
    "signing-key",
    "alicia",
    "YWxpY2lhOmh1bnRlcjI=",
)


def post(url: str, timeout_ms: int = 5_000) -> None:
    """A small body to a URL."""
    Poster("hook", url, timeout_ms, secrets=["signing-key"]).post(b"{}", {"Content-Type": "application/json"})


def failure(*answers: bytes | Callable[[Peer], None], timeout_ms: int = 5_000) -> DeliveryError:
    """How posting fails with a server that answers so."""
    with Server(*answers) as server, pytest.raises(DeliveryError) as caught:
        post(server.url, timeout_ms)
    assert str(caught.value).startswith(server.where)
    return caught.value


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_what_is_taken_is_delivered(status: int) -> None:
    """The body is posted as it is, once, under the path of the URL."""
    with Server(reply(status)) as server:
        post(f"{server.url}/a%2Fb?x=1")
    (request,) = server.requests
    assert (request.target, request.body) == ("/a%2Fb?x=1", b"{}")
    assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_temporary(status: int) -> None:
    """With the status, and no wait where none is asked for."""
    error = failure(reply(status, b"busy"))
    assert isinstance(error, TemporaryError)
    assert str(error).endswith(f"answered {status}: busy")
    assert error.after_s is None


def test_a_date_without_the_clock_that_it_is_of() -> None:
    """Is of ours, the nearest that there is."""
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    error = failure(reply(429, b"", retry_after=until))
    assert isinstance(error, TemporaryError)
    assert error.after_s is not None
    assert 90 < error.after_s <= 100


def test_a_post_may_go_beside_the_url() -> None:
    """Its query stays, and none of it is told."""
    with Server(reply(200), reply(400)) as server:
        posts = [Post(b"1", below="change"), Post(b"2", below="change")]
        url = f"{server.url}/v2/enqueue?token=tokentoken"
        found = Poster("hook", url, 5_000).post_all(posts, {})
    assert [each.target for each in server.requests] == ["/v2/change/enqueue?token=tokentoken"] * 2
    assert [str(each) for each in found] == ["None", f"{server.where} answered 400"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422])
def test_a_refusal_is_permanent(status: int) -> None:
    """With the beginning of the answer, in one line."""
    error = failure(reply(status, b"no\r\n\x1b[31m" + b"x" * 500))
    assert isinstance(error, PermanentError)
    told = str(error).partition(f"answered {status}: ")[2]
    assert re.fullmatch(r"no \[31mx+…", told)
    assert len(told) == 200


@pytest.mark.parametrize("status", [301, 302, 307, 308, 304])
def test_redirects_are_not_followed(status: int) -> None:
    """Who sends us elsewhere may send our secrets elsewhere."""
    with Server(reply(200)) as other:
        error = failure(reply(status, location=other.url))
    assert isinstance(error, PermanentError)
    assert "redirects are not followed" in str(error)
    assert other.requests == []


@pytest.mark.parametrize(
    ("headers", "after_s"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "0"}, 0.0),
        ({"retry_after": "31536000"}, 31_536_000.0),
        ({"retry_after": "9" * 5000}, math.inf),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 30.0),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": "Wed, 21 Oct 2015 07:29:00 GMT"}, 0.0),
        ({"retry_after": "Thu, 22 Oct 2015 07:28:30 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 86_430.0),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:30 -0000", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 30.0),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:30 GMT"}, 0.0),
        ({"retry_after": "-1"}, None),
        ({"retry_after": "soon", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, None),
        ({"retry_after": "Wed, 99 Oct 99999 07:28:30 GMT", "date": "now"}, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_the_wait_that_is_asked_for(status: int, headers: dict[str, str], after_s: float | None) -> None:
    """In seconds, or as a date by the other side's clock; without one by ours."""
    error = failure(reply(status, b"", **headers))
    assert isinstance(error, TemporaryError)
    assert error.after_s == after_s


def test_no_secret_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Not in errors, though the answer repeats all that it got, nor in what httpx logs, nor in a repr."""
    caplog.set_level(logging.DEBUG)

    def echo(peer: Peer) -> None:
        request = peer.request_read
        others = "alicia hunter2 abcdef%2Fghijkl abcdef/ghijkl tokentoken signing-key"
        told = f"cannot POST {request.target}: {request.headers['authorization']} {others}"
        peer.send(reply(404, told.encode()))

    with Server(echo) as server:
        url = server.url.replace("//", "//alicia:hunter2@") + f"{PATH}?token=tokentoken#frag"
        poster = Poster("hook", url, 5_000, secrets=["signing-key"])
        with pytest.raises(PermanentError) as caught:
            poster.post(b"{}", {})
    assert server.requests[0].target == f"{PATH}?token=tokentoken"
    assert server.requests[0].headers["authorization"] == "Basic YWxpY2lhOmh1bnRlcjI="
    assert "POST" in caplog.text
    assert str(caught.value).endswith("answered 404: cannot POST ***: Basic *** *** *** *** *** *** ***")
    shown = f"{caught.value!r} {caught.value.__context__!r} {poster!r} {poster._url!r} {poster._url} {caplog.text}"
    assert [each for each in SECRETS if each in shown] == []


ODD = "s3cr\"et\\\\<&>va lu/e'\u00fc\U0001f600"


@pytest.mark.parametrize(
    "written",
    [
        ODD,
        ODD.upper(),
        json.dumps(ODD)[1:-1],
        json.dumps(ODD, ensure_ascii=False)[1:-1].replace("/", r"\/"),
        html.escape(ODD),
        html.escape(ODD, quote=False),
        html.escape(ODD).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
        quote(ODD),
        quote(ODD, safe="").lower(),
        quote_plus(ODD),
    ],
)
def test_a_secret_that_is_escaped_is_not_told(written: str) -> None:
    """As pages of errors and documents of JSON have it."""
    with Server(reply(400, f"no {written}!".encode())) as server, pytest.raises(PermanentError) as caught:
        Poster("hook", server.url, 5_000, secrets=[ODD]).post(b"{}", {})
    assert str(caught.value).endswith("answered 400: no ***!")


def test_a_short_user_name_is_no_secret() -> None:
    """Hiding it would spoil what is told; a password is hidden, however short."""
    with Server(reply(400, b"no queue for user a with pw")) as server, pytest.raises(PermanentError) as caught:
        post(server.url.replace("//", "//a:pw@"))
    assert str(caught.value).endswith("answered 400: no queue for user a with ***")


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """But not for what NO_PROXY names, as the servers of these tests."""
    with Server(reply(200)) as proxy, Server(reply(200)) as direct:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        post("http://service.test/hook?token=x")
        post(f"{direct.url}/hook")
    assert [each.target for each in proxy.requests] == ["http://service.test/hook?token=x"]
    assert [each.target for each in direct.requests] == ["/hook"]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a/hunter2",
        "hunter2",
        "http:///hunter2",
        "http://a:99999/hunter2",
        f"http://{'hunter2' * 10}/",
        "http://a\n",
    ],
)
def test_other_urls_are_refused_at_start(url: str) -> None:
    """By the name of the handler, since the URL may be a secret."""
    with pytest.raises(ConfigError, match="handler 'hook': its URL must be http or https") as caught:
        Poster("hook", url, 1_000)
    assert "hunter2" not in str(caught.value)


def test_a_certificate_is_asked_for() -> None:
    """A server that speaks no TLS is none that we may tell."""
    with Server(reply(200)) as server, pytest.raises(TemporaryError, match="ConnectError"):
        post(server.url.replace("http:", "https:"))
    assert server.requests == []


def test_several_go_on_past_what_is_refused_and_stop_at_what_may_pass() -> None:
    """Over one connection."""
    with Server(reply(200), reply(400), reply(200), reply(503), reply(200)) as server:
        found = Poster("hook", server.url, 5_000).post_all(list(map(Post, (b"1", b"2", b"3", b"4", b"5"))), {})
    assert [type(each) for each in found] == [type(None), PermanentError, type(None), TemporaryError]
    assert [each.body for each in server.requests] == [b"1", b"2", b"3", b"4"]
    assert server.connections == 1
