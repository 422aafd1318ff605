"""The way to a host and port: its name, a connection, encryption, and whether Kafka answers there."""

import socket
import ssl
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from streamguard.config import KafkaLog
from streamguard.doctor.facts import Kafka, Reach, Tls
from streamguard.doctor.gathering.parallel import Asked, within

WAIT_S = 4.0
"""How long one step may take: a name, a connection, a handshake, an answer."""

_API_VERSIONS, _SASL_HANDSHAKE = 18, 17
_ILLEGAL_SASL_STATE = 34
_ANSWER_BYTES = 1 << 20
_EXPIRED, _NOT_YET, _OTHER_NAME, _OTHER_ADDRESS = 10, 9, 62, 64
# X509_V_FLAG_NO_CHECK_TIME: so the rest of an expired certificate is still checked, and can be read.
_NO_CHECK_TIME = 0x200000

Contexts = Callable[[], ssl.SSLContext]


def split(server: str) -> tuple[str, int]:
    """Host and port of host:port, without the brackets of an IPv6 address."""
    host, _, port = server.rpartition(":")
    return host.strip("[]"), int(port)


def brokers(settings: KafkaLog, places: Sequence[tuple[str, int]]) -> list[Reach]:
    """The way to each of these brokers, all at once; each takes about 15 s at most."""
    questions = {str(number): lambda place=place: broker(settings, *place) for number, place in enumerate(places)}
    found = Asked(questions).answers(time.monotonic() + 5 * WAIT_S)
    ways = []
    for number, (host, port) in enumerate(places):
        each = found.get(str(number), TimeoutError(f"no answer within {5 * WAIT_S:g} s"))
        ways.append(Reach(host, port, connect_problem=str(each)) if isinstance(each, BaseException) else each)
    return ways


def broker(settings: KafkaLog, host: str, port: int) -> Reach:
    """The way to a broker, as a client with these settings goes."""
    contexts = _contexts(settings) if settings.security.protocol.endswith("SSL") else None
    reach = reached(host, port, contexts)
    if reach.resolve_problem or reach.connect_problem:
        return reach
    if reach.tls is None or not reach.tls.problem:
        return _asked(reach, contexts)
    if reach.tls.problem != "failed":
        return reach
    plain = _asked(replace(reach, tls=None), None)
    is_plain = plain.kafka is not None and plain.kafka.speaks
    return replace(reach, kafka=Kafka(speaks=False, speaks_plain=is_plain))


def _contexts(settings: KafkaLog) -> Contexts:
    security = settings.security

    def made() -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=security.ca_file)
        context.check_hostname = security.check_hostname
        if security.cert_file is not None:
            password = None if security.key_password is None else security.key_password.get_secret_value()
            context.load_cert_chain(security.cert_file, security.key_file, password)
        return context

    return made


def reached(host: str, port: int, contexts: Contexts | None) -> Reach:
    """Its name, a connection, and with `contexts` a handshake; nothing is said beyond that."""
    try:
        addresses = within(WAIT_S, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except OSError as error:
        return Reach(host, port, resolve_problem=_words(error))
    reach = Reach(host, port)
    problem: OSError | None = None
    for *_, address in addresses[:3]:
        try:
            socket.create_connection((str(address[0]), port), timeout=WAIT_S).close()
        except OSError as error:
            problem = error
        else:
            problem = None
            break
    if problem is not None:
        return replace(reach, connect_problem=_words(problem), is_refused=isinstance(problem, ConnectionRefusedError))
    return reach if contexts is None else replace(reach, tls=handshake(host, port, contexts))


def handshake(host: str, port: int, contexts: Contexts) -> Tls:
    """Encrypt as a client would; where that fails for the certificate, look at it with less care."""
    try:
        return _handshake(host, port, contexts())
    except ssl.SSLCertVerificationError as error:
        kinds = {_EXPIRED: "expired", _NOT_YET: "expired", _OTHER_NAME: "hostname", _OTHER_ADDRESS: "hostname"}
        kind = kinds.get(error.verify_code, "untrusted")
        context = contexts()
        if kind == "hostname":
            context.check_hostname = False
        else:
            context.verify_flags |= _NO_CHECK_TIME
        found = Tls(None)
        if kind != "untrusted":
            with suppress(OSError):
                found = _handshake(host, port, context)
        return replace(found, problem=kind, detail=error.verify_message)
    except TimeoutError:
        return Tls("silent", f"no answer within {WAIT_S:g} s")
    except (OSError, ValueError) as error:
        return Tls("failed", _words(error))


def _handshake(host: str, port: int, context: ssl.SSLContext) -> Tls:
    with (
        socket.create_connection((host, port), timeout=WAIT_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as safe,
    ):
        certificate = safe.getpeercert() or {}
    expires = certificate.get("notAfter")
    names = tuple(str(pair[1]) for pair in certificate.get("subjectAltName", ()))
    at_ms = int(ssl.cert_time_to_seconds(expires) * 1000) if isinstance(expires, str) else None
    return Tls(None, names=names, expires_ms=at_ms)


def _asked(reach: Reach, contexts: Contexts | None) -> Reach:
    """Whether Kafka is there, and whether it asks who we are."""
    try:
        with socket.create_connection((reach.host, reach.port), timeout=WAIT_S) as plain:
            if contexts is None:
                return replace(reach, kafka=_conversation(plain))
            with contexts().wrap_socket(plain, server_hostname=reach.host) as safe:
                return replace(reach, kafka=_conversation(safe))
    except ssl.SSLError as error:
        # TLS 1.3 says only now that it wanted a certificate of ours.
        return replace(reach, tls=Tls("failed", _words(error)))
    except (OSError, struct.error) as error:
        is_tls = contexts is None and _speaks_tls(reach.host, reach.port)
        is_closed = not isinstance(error, TimeoutError)
        return replace(reach, kafka=Kafka(speaks=False, is_closed_on_us=is_closed, speaks_tls=is_tls))


def _speaks_tls(host: str, port: int) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        _handshake(host, port, context)
    except ssl.SSLError as error:
        # Whoever sends an alert speaks TLS, if not with us.
        return "ALERT" in str(error.reason or "")
    except OSError:
        return False
    return True


def _conversation(connection: socket.socket) -> Kafka:
    answer = _request(connection, _API_VERSIONS, 0, 0, b"")
    if len(answer) < 2:
        raise ConnectionError("no answer of Kafka's")
    # A mechanism that nobody has: the answer names those that there are.
    answer = _request(connection, _SASL_HANDSHAKE, 1, 1, _string(b"NONE-OF-THEM"))
    (code,) = struct.unpack_from(">h", answer)
    return Kafka(speaks=True, mechanisms=None if code == _ILLEGAL_SASL_STATE else tuple(_strings(answer[2:])))


def _request(connection: socket.socket, key: int, version: int, number: int, body: bytes) -> bytes:
    """The answer's body; raises `OSError` where what answers does not speak Kafka."""
    head = struct.pack(">hhi", key, version, number) + _string(b"streamguard-doctor")
    connection.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
    size, correlation = struct.unpack(">ii", _exactly(connection, 8))
    if correlation != number or not 4 <= size <= _ANSWER_BYTES:
        raise ConnectionError("no answer of Kafka's")
    return _exactly(connection, size - 4)


def _exactly(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = connection.recv(count - len(found))
        if not more:
            raise ConnectionError("closed the connection")
        found += more
    return found


def _string(text: bytes) -> bytes:
    return struct.pack(">h", len(text)) + text


def _strings(data: bytes) -> list[str]:
    (count,) = struct.unpack_from(">i", data)
    place, found = 4, []
    for _ in range(max(0, count)):
        (size,) = struct.unpack_from(">h", data, place)
        found.append(data[place + 2 : place + 2 + size].decode("utf-8", "replace"))
        place += 2 + size
    return found


def _words(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).strip()
