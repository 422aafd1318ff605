"""Mail servers that are not whom we mean, refuse, or are slow."""

import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword
from pydantic import SecretStr
from structlog.testing import capture_logs

from streamguard.errors import ConfigError
from streamguard.handlers.sink import DeliveryError, PermanentError, TemporaryError
from streamguard.handlers.sinks.mail import EmailSink
from tests.handlers.samples import raised
from tests.handlers.test_sink_mail import section, serving


def context(certificate: Path) -> ssl.SSLContext:
    """Of the server."""
    found = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    found.load_cert_chain(certificate)
    return found


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_encryption_is_for_a_server_that_is_known(certificate: Path, monkeypatch: pytest.MonkeyPatch, tls: str) -> None:
    """Another, or none, gets no mail and no password."""
    logins: list[LoginPassword] = []

    def authenticate(
        _server: object, _session: object, _envelope: object, _kind: str, login: LoginPassword
    ) -> AuthResult:
        logins.append(login)
        return AuthResult(success=login == LoginPassword(b"guard", b"hunter2"), handled=False)

    kind = {"ssl_context": context(certificate)} if tls == "tls" else {"tls_context": context(certificate)}
    with serving(**kind, authenticator=authenticate, auth_require_tls=tls == "starttls") as (port, mailbox):
        settings = section(port, tls=tls, username="guard", password=SecretStr("hunter2"))
        with pytest.raises(TemporaryError, match="CERTIFICATE_VERIFY_FAILED"):
            EmailSink(settings).deliver([raised()])
        assert logins == []
        trusting = settings.model_copy(update={"ca_file": f"{certificate}.crt"})
        EmailSink(trusting).deliver([raised()])
        monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
        EmailSink(settings).deliver([raised()])
        wrong = section(port, tls=tls, username="guard", password=SecretStr("wrong"))
        with pytest.raises(PermanentError, match=r"^127\.0\.0\.1:\d+ answered 535 "):
            EmailSink(wrong).deliver([raised()])
    assert len(mailbox.envelopes) == 2


def test_a_server_without_encryption_gets_no_mail() -> None:
    """Though it would take it."""
    with serving() as (port, mailbox), pytest.raises(TemporaryError, match=r"answered 454 TLS not available$"):
        EmailSink(section(port, tls="starttls")).deliver([raised()])
    assert mailbox.envelopes == []


def test_an_empty_password_is_refused() -> None:
    """At start."""
    with pytest.raises(ConfigError, match="handler 'mail': password is empty"):
        EmailSink(section(25, username="guard", password=SecretStr("")))


Said = dict[str, str]
"""What the server says to a command, as its greeting, and, as `.`, to the end of a mail."""


@contextmanager
def scripted(said: Said, drip_s: float = 0.0) -> Iterator[tuple[int, list[str]]]:
    """A server that takes all mail unless it is to say otherwise, slowly if wanted: its port, and what it was told."""
    got: list[str] = []
    stopping = threading.Event()

    class Talk(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.say("greeting", "220 hello")
            while line := self.rfile.readline().decode("ascii").strip():
                word, _, rest = line.partition(" ")
                word = word.upper()
                got.append(word)
                whole = f"{word} {rest}"
                self.say(whole if whole in said else word, "354 go on" if word == "DATA" else "250 fine")
                if word == "DATA":
                    while self.rfile.readline() not in {b".\r\n", b""}:
                        pass
                    self.say(".", "250 taken")

        def say(self, command: str, usual: str) -> None:
            text = f"{said.get(command, usual)}\r\n".encode()
            while text and drip_s and command in said:
                self.wfile.write(text[:1])
                text = text[1:]
                stopping.wait(drip_s)
            self.wfile.write(text)

    class TcpServer(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: object) -> None:
            pass

    server = TcpServer(("127.0.0.1", 0), Talk)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield int(server.server_address[1]), got
    finally:
        stopping.set()
        server.shutdown()
        server.server_close()


def failure(said: Said, drip_s: float = 0.0, **settings: Any) -> DeliveryError:
    """How sending fails with a server that says so."""
    with scripted(said, drip_s) as (port, _), pytest.raises(DeliveryError) as caught:
        EmailSink(section(port, **settings)).deliver([raised()])
    assert str(caught.value).startswith(f"127.0.0.1:{port} ")
    return caught.value


@pytest.mark.parametrize("command", ["greeting", "MAIL", "RCPT", "DATA", "."])
@pytest.mark.parametrize(("code", "kind"), [(421, TemporaryError), (451, TemporaryError), (550, PermanentError)])
def test_codes_say_whether_it_is_for_good(command: str, code: int, kind: type[DeliveryError]) -> None:
    """4xx is for now, 5xx for good, whatever they answer."""
    error = failure({command: f"{code} because of that"})
    assert type(error) is kind
    assert f"{code} because of that" in str(error)


TWO = ["team@example.com", "duty@example.com"]


def test_a_recipient_that_is_refused_keeps_no_other_back() -> None:
    """The mail is delivered, and the log tells who does not get it."""
    with capture_logs() as lines, scripted({"RCPT TO:<team@example.com>": "550 unknown"}) as (port, got):
        EmailSink(section(port, to=TWO)).deliver([raised()])
    assert "DATA" in got
    (line,) = lines
    assert (line["event"], line["handler"], line["log_level"]) == ("recipients_refused", "mail", "warning")
    assert line["refused"] == {"team@example.com": "550 unknown"}


@pytest.mark.parametrize(("code", "kind"), [(450, TemporaryError), (550, PermanentError)])
def test_all_recipients_are_refused(code: int, kind: type[DeliveryError]) -> None:
    """For good only if each is."""
    said = {"RCPT TO:<team@example.com>": "550 unknown", "RCPT TO:<duty@example.com>": f"{code} you"}
    error = failure(said, to=TWO)
    assert type(error) is kind
    assert "refuses all recipients: 550 unknown" in str(error)


def test_how_it_says_goodbye_changes_nothing() -> None:
    """The mail is taken by then."""
    with scripted({"QUIT": "221 bye"}, 60.0) as (port, got):
        EmailSink(section(port, timeout=1_000)).deliver([raised()])
    assert got[-1] == "QUIT"


@pytest.mark.parametrize("drip_s", [60.0, 0.02])
@pytest.mark.parametrize(
    "said", [{"greeting": "220 " + "x" * 500}, {"EHLO": "250-a\r\n" * 99 + "250 b"}, {".": "250 " + "x" * 500}]
)
def test_a_try_ends_in_time(said: Said, drip_s: float) -> None:
    """However slowly it speaks."""
    begun_s = time.monotonic()
    error = failure(said, drip_s, timeout=300)
    assert isinstance(error, TemporaryError)
    assert str(error).endswith(" did not take the mail within 0.3 s")
    assert 0.25 < time.monotonic() - begun_s < 2


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    """Nor kept."""
    error = failure({"MAIL": "250-more\r\n" * 100_000})
    assert isinstance(error, TemporaryError)
    assert "SMTPServerDisconnected" in str(error)


def test_a_server_that_is_away_may_come_again() -> None:
    """Nobody listens, or it hangs up."""
    with scripted({}) as (port, _):
        pass
    with pytest.raises(TemporaryError, match="ConnectionRefusedError"):
        EmailSink(section(port)).deliver([raised()])


def test_a_look_up_of_the_host_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though nothing can end the resolver; an unknown host may be known later."""
    stopping = threading.Event()
    looks: list[Callable[[], object]] = [lambda: stopping.wait(10)]

    def look_up(*_: object, **__: object) -> None:
        looks[0]()
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    sink = EmailSink(section(25, host="mail.test", timeout=300))
    begun_s = time.monotonic()
    with pytest.raises(TemporaryError, match=r"^mail\.test:25 did not take the mail within 0\.3 s$"):
        sink.deliver([raised()])
    assert time.monotonic() - begun_s < 2
    stopping.set()
    with pytest.raises(TemporaryError, match=r"^mail\.test:25 took no mail: gaierror: .*not known$"):
        sink.deliver([raised()])


def test_a_password_is_not_told() -> None:
    """Though the server repeats it."""
    said = {"EHLO": "250-fine\r\n250 AUTH PLAIN", "AUTH": "535 no such password: hunter2"}
    error = failure(said, username="guard", password=SecretStr("hunter2"))
    assert isinstance(error, PermanentError)
    assert str(error).endswith(" answered 535 no such password: ***")
