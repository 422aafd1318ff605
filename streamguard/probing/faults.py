"""Why there is no good answer: a kind for programs, and a line of our own for people.

Nothing that the other side has sent is told, and nothing of the URL but host and port.
"""

import os
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

_LOGIN = re.compile(
    r"(?:^|[./?=_-])(?:log-?in|sign-?in|sso|saml2?|oauth2?|authorize|auth)(?:$|[./?=&_-])", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong: `kind` is one of those of probe-1.schema.json."""

    kind: str
    message: str

    def record(self) -> dict[str, str]:
        """As it is in a result."""
        return {"kind": self.kind, "message": self.message}


def of_error(error: BaseException, where: str, phase: str) -> Fault:
    """Of what httpx has raised; `phase` is what was going on: connecting, waiting, reading."""
    causes = list(_causes(error))
    if (found := next(filter(None, (_of_cause(each, where) for each in causes)), None)) is not None:
        return found
    if isinstance(error, httpx.TimeoutException):
        return too_late(where, phase)
    if isinstance(error, httpx.ProtocolError):
        what = "closed the connection before the answer was complete, or sent what is not HTTP"
        return Fault("protocol", f"{where} {what}")
    system = next((each for each in causes if isinstance(each, OSError) and each.errno), None)
    reason = type(error).__name__ if system is None else _system(system)
    kind = "network" if phase == "connecting" else "reset"
    return Fault(kind, f"the connection to {where} failed while {phase}: {reason}")


def _of_cause(cause: BaseException, where: str) -> Fault | None:
    """Of what tells more than the error that came of it."""
    if isinstance(cause, socket.gaierror):
        return Fault("dns", f"the host of {where} cannot be looked up: {_system(cause)}")
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Fault("tls", f"the certificate of {where} is not trusted: {cause.verify_message}")
    if isinstance(cause, ssl.SSLError):
        return Fault("tls", f"{where} does not come to terms on TLS: {cause.reason or 'no reason given'}")
    if isinstance(cause, ConnectionRefusedError):
        return Fault("refused", f"{where} refuses the connection: nothing listens there")
    return None


def too_late(where: str, phase: str) -> Fault:
    """Of a call that takes longer than it may."""
    doing = {"connecting": "connection", "waiting": "answer", "reading": "complete answer"}[phase]
    return Fault("timeout", f"{where} gave no {doing} in time")


def of_status(status: int, location: str, where: str) -> Fault:
    """Of a status that is not expected; `location` is where it redirects to, if it does."""
    if status in {401, 403, 407}:
        return Fault("authentication", f"{where} answered {status}: it does not take the credentials")
    if 300 <= status < 400 and location:
        if _LOGIN.search(location):
            return Fault("authentication", f"{where} answered {status}: it redirects to a login page")
        return Fault("redirect", f"{where} answered {status}: it redirects to another place")
    return Fault("status", f"{where} answered {status}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """It, and what it came of."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop(0)
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions


def _system(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return str(error.strerror)
    return os.strerror(error.errno or 0)
