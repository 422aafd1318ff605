"""Mail, by SMTP.

The Message-ID is that of the alert, so a mail that is sent again is known as a repetition; those of an episode refer to
that of the alert which raised it, so they are one thread. Date is the time of sending, as mail wants it; the event time
is in X-Streamguard-Event-Time. The server's certificate is checked against the handler's `ca_file`; without one against
the system's, or against the file that SSL_CERT_FILE names.
"""

import html
import smtplib
import socket
import ssl
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP as MAIL_POLICY
from email.utils import format_datetime, parseaddr
from typing import Any

import structlog

from streamguard.config.handlers import EmailHandler
from streamguard.handlers.alert import Alert
from streamguard.handlers.sink import DeliveryError, PermanentError, TemporaryError
from streamguard.handlers.sinks import Deadline, as_text, facts, headline, key_of, plain, rfc3339, secret_of

_SUBJECT_CHARS = 200
_DETAILED = 20
# Longer ones would not fit into a line of a header with the rest of a Message-ID.
_DOMAIN_CHARS = 30
_REPLY_CHARS, _REPLIES_BYTES = 200, 65_536

_log = structlog.get_logger("streamguard.handlers")


class EmailSink:
    """Sends a mail of one alert or several, as text and as HTML; the first 20 in full.

    It is delivered when the server has taken it for one recipient at least: these would get it twice if it were sent
    again. Those refused are written to the log.
    """

    def __init__(self, section: EmailHandler) -> None:
        self._section, self._tls = section, ssl.create_default_context(cafile=section.ca_file)
        self._password = "" if section.username is None else secret_of(section.password, section.name, "password")
        self._address = parseaddr(section.sender)[1]
        self._domain = self._address.rpartition("@")[2][-_DOMAIN_CHARS:].lstrip(".-") or "streamguard"

    def deliver(self, alerts: Sequence[Alert]) -> None:
        message = self._message(alerts)
        deadline = Deadline(self._section.timeout_ms / 1000)
        try:
            refused = self._send(message, deadline)
        except (OSError, UnicodeError) as error:
            raise self._failure(error, deadline) from None
        if refused:
            told = {name: self._told(*reply) for name, reply in refused.items()}
            _log.warning("recipients_refused", handler=self._section.name, alert=alerts[0].id, refused=told)

    def close(self) -> None:
        """Nothing is held."""

    def _message(self, alerts: Sequence[Alert]) -> EmailMessage:
        message = EmailMessage(policy=MAIL_POLICY)
        more = f" (and {len(alerts) - 1} more)" if len(alerts) > 1 else ""
        message["From"] = self._section.sender
        message["To"] = ", ".join(self._section.to)
        # What looks like an encoded word would be decoded, and may decode to what cannot be written.
        subject = plain(headline(alerts[0]), _SUBJECT_CHARS).replace("=?", "= ?")
        message["Subject"] = f"{subject}{more}"
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = self._id_of(*(each.id for each in alerts))
        episodes = list(dict.fromkeys(each.episode for each in alerts if each.id != each.episode))
        if threads := [self._id_of(each) for each in episodes[:_DETAILED]]:
            message["In-Reply-To"] = threads[0]
            message["References"] = " ".join(threads)
        message["Auto-Submitted"] = "auto-generated"
        message["X-Streamguard-Event-Time"] = rfc3339(alerts[-1].event_time)
        message.set_content(_text(alerts))
        message.add_alternative(_page(alerts), subtype="html")
        return message

    def _id_of(self, *ids: str) -> str:
        return f"<{key_of(*ids)}@{self._domain}>"

    def _send(self, message: EmailMessage, deadline: Deadline) -> dict[str, tuple[int, bytes]]:
        """Returns who was refused, where not all were."""
        section = self._section
        client = _Client(_connected(section.host, section.port, deadline), deadline)
        try:
            if section.tls == "tls":
                client.encrypt(self._tls, section.host)
            client.greet()
            if section.tls == "starttls":
                client.begin_tls(self._tls, section.host)
            if section.username is not None:
                client.login(section.username, self._password)
            refused = client.send_message(message, self._address, [parseaddr(each)[1] for each in section.to])
            # It is taken; how the server says goodbye changes nothing.
            with suppress(OSError):
                client.putcmd("quit")
        finally:
            client.close()
        return refused

    def _failure(self, error: Exception, deadline: Deadline) -> DeliveryError:
        is_refused = False
        if isinstance(error, smtplib.SMTPRecipientsRefused):
            replies = list(error.recipients.values())
            is_refused = all(code >= 500 for code, _ in replies)
            told = f"refuses all recipients: {self._told(*replies[0])}"
        elif isinstance(error, smtplib.SMTPResponseException):
            is_refused = error.smtp_code >= 500
            told = f"answered {self._told(error.smtp_code, error.smtp_error)}"
        elif not deadline.left_s:
            told = f"did not take the mail within {self._section.timeout_ms / 1000:g} s"
        else:
            told = f"took no mail: {type(error).__name__}: {plain(str(error), _REPLY_CHARS)}"
            # What else smtplib raises is that the server cannot do what is needed; the system's errors may pass.
            is_refused = isinstance(error, smtplib.SMTPException | UnicodeError)
            is_refused &= not isinstance(error, smtplib.SMTPServerDisconnected)
        kind = PermanentError if is_refused else TemporaryError
        return kind(f"{self._section.host}:{self._section.port} {told}")

    def _told(self, code: int, reply: bytes | str) -> str:
        text = reply if isinstance(reply, str) else reply.decode("utf-8", "replace")
        return plain(f"{code} {text.replace(self._password, '***') if self._password else text}", _REPLY_CHARS)


def _text(alerts: Sequence[Alert]) -> str:
    parts = [f"{headline(each)}\n\n{as_text(each)}\n" for each in alerts[:_DETAILED]]
    return "\n\n".join([*parts, *map(headline, alerts[_DETAILED:])])


def _page(alerts: Sequence[Alert]) -> str:
    """The same as HTML that loads nothing from elsewhere."""
    parts = [
        f"<h3>{html.escape(headline(each))}</h3>\n<table>\n{''.join(_row(*fact) for fact in facts(each))}</table>\n"
        for each in alerts[:_DETAILED]
    ]
    parts += [f"<p>{html.escape(headline(each))}</p>\n" for each in alerts[_DETAILED:]]
    return f"<!DOCTYPE html>\n<html>\n<body>\n{''.join(parts)}</body>\n</html>\n"


def _row(name: str, line: str) -> str:
    return f'<tr><th align="left" valign="top">{name}</th><td><bdi>{html.escape(line)}</bdi></td></tr>\n'


class _Client(smtplib.SMTP):
    """Says what is to be said by the deadline, and hears no more than it must: smtplib's own limit is for each read."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        name, address = socket.gethostname(), sock.getsockname()[0]
        literal = f"[IPv6:{address}]" if ":" in address else f"[{address}]"
        # Given a name, it does not ask the network for one, which may take long.
        super().__init__(local_hostname=name if "." in name else literal)
        self._deadline = deadline
        self._use(sock)

    def _use(self, sock: socket.socket) -> None:
        self.sock = sock
        self.file = _Replies(sock, self._deadline)

    def greet(self) -> None:
        """Hear the server out; raises `SMTPConnectError` where it wants no mail."""
        code, reply = self.getreply()
        if code != 220:
            raise smtplib.SMTPConnectError(code, reply)
        self.ehlo_or_helo_if_needed()

    def begin_tls(self, context: ssl.SSLContext, host: str) -> None:
        """STARTTLS; whatever the server said before is forgotten, since anybody may have said it."""
        code, reply = self.docmd("STARTTLS")
        if code != 220:
            raise smtplib.SMTPResponseException(code, reply)
        self.encrypt(context, host)
        self.ehlo_resp = self.helo_resp = None
        self.ehlo_or_helo_if_needed()

    def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        """Raises `ssl.SSLError` for a certificate that is not the host's."""
        if self.sock is not None:
            self._use(context.wrap_socket(_limited(self.sock, self._deadline), server_hostname=host))

    def send(self, s: Any) -> None:
        if self.sock is not None:
            _limited(self.sock, self._deadline)
        super().send(s)


class _Replies:
    """The server's lines, as smtplib reads them."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock, self._deadline = sock, deadline
        self._read = bytearray()
        self._bytes = 0

    def readline(self, most: int) -> bytes:
        while b"\n" not in self._read and len(self._read) < most:
            found = _limited(self._sock, self._deadline).recv(4096)
            self._bytes += len(found)
            if not found or self._bytes > _REPLIES_BYTES:
                return b""
            self._read += found
        line = bytes(self._read[: min(self._read.find(b"\n") + 1 or most, most)])
        del self._read[: len(line)]
        return line

    def close(self) -> None:
        """The socket is closed by whoever opened it."""


def _limited(sock: socket.socket, deadline: Deadline) -> socket.socket:
    """With the time that is left as the limit of what is called next; raises `TimeoutError` where there is none."""
    if not (left_s := deadline.left_s):
        raise TimeoutError
    sock.settimeout(left_s)
    return sock


def _connected(host: str, port: int, deadline: Deadline) -> socket.socket:
    failure = OSError("no address found")
    for family, kind, protocol, _, address in _looked_up(host, port, deadline):
        sock = socket.socket(family, kind, protocol)
        try:
            _limited(sock, deadline).connect(address)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure


def _looked_up(host: str, port: int, deadline: Deadline) -> list[Any]:
    """The host's addresses; in a thread, since a look-up has no time limit."""
    answer: Future[list[Any]] = Future()

    def look_up() -> None:
        try:
            answer.set_result(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except (OSError, UnicodeError) as error:
            answer.set_exception(error)

    threading.Thread(target=look_up, daemon=True).start()
    return answer.result(deadline.left_s)
