"""Where handlers deliver: looked at from outside, so that nothing is sent there."""

import os
import shutil
import smtplib
import ssl
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from streamguard.config import Config
from streamguard.config.handlers import CommandHandler, EmailHandler, FileHandler, Handler
from streamguard.doctor.facts import HandlerReach, Reach, Tls
from streamguard.doctor.gathering.network import WAIT_S, Contexts, reached
from streamguard.doctor.gathering.parallel import Asked
from streamguard.errors import ConfigError
from streamguard.handlers.sinks.opening import open_sink

_ALL_S = 4 * WAIT_S


def handlers(config: Config) -> list[HandlerReach]:
    """Each handler, all at once."""
    questions = {each.name: lambda each=each: _handler(config, each) for each in config.handlers}
    found = Asked(questions).answers(time.monotonic() + _ALL_S)
    ways = []
    for each in config.handlers:
        answer = found.get(each.name, TimeoutError(f"no answer within {_ALL_S:g} s"))
        if isinstance(answer, BaseException):
            answer = HandlerReach(each.name, each.type, problem=str(answer) or type(answer).__name__)
        ways.append(answer)
    return ways


def _handler(config: Config, handler: Handler) -> HandlerReach:
    try:
        with closing(open_sink(handler, f"streamguard/{config.log.group}", config.handler_hosts)):
            pass
    except ConfigError as error:
        return HandlerReach(handler.name, handler.type, problem=str(error))
    match handler:
        case FileHandler():
            return HandlerReach(handler.name, handler.type, problem=_file_problem(Path(handler.path)))
        case CommandHandler():
            return HandlerReach(handler.name, handler.type, problem=_command_problem(handler.command[0]))
        case EmailHandler():
            return HandlerReach(handler.name, handler.type, reach=_mail(handler))
    if getattr(handler, "command", ()):
        return HandlerReach(handler.name, handler.type, problem=_command_problem(handler.command[0]))  # type: ignore[union-attr]
    return _url(handler)


def _file_problem(path: Path) -> str | None:
    directory = path.parent
    if not directory.is_dir():
        return f"the directory {str(directory)!r} does not exist"
    if path.is_dir():
        return f"{str(path)!r} is a directory"
    if not os.access(path if path.exists() else directory, os.W_OK):
        return f"{str(path)!r} cannot be written by this user"
    return None


def _command_problem(program: str) -> str | None:
    return None if shutil.which(program) else f"the program {program!r} cannot be found, or not be run"


def _url(handler: Handler) -> HandlerReach:
    given = handler.url  # type: ignore[union-attr]
    url = given if isinstance(given, str) else given.get_secret_value()  # type: ignore[union-attr]
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or {"http": 80, "https": 443}[parts.scheme]
    proxy = getproxies().get(parts.scheme) or getproxies().get("all")
    if proxy and not proxy_bypass(host):
        return HandlerReach(handler.name, handler.type, proxy=urlsplit(proxy).hostname or "a proxy")
    contexts = _contexts(handler) if parts.scheme == "https" else None
    return HandlerReach(handler.name, handler.type, reach=reached(host, port, contexts))


def _contexts(handler: Handler) -> Contexts:
    import httpx  # noqa: PLC0415 - takes a while

    file = handler.ca_file  # type: ignore[union-attr]
    return httpx.create_ssl_context if file is None else lambda: ssl.create_default_context(cafile=file)


def _mail(handler: EmailHandler) -> Reach:
    """As far as to the encryption; no sender or recipient is named."""

    def contexts() -> ssl.SSLContext:
        return ssl.create_default_context(cafile=handler.ca_file)

    if handler.tls != "starttls":
        return reached(handler.host, handler.port, contexts if handler.tls == "tls" else None)
    reach = reached(handler.host, handler.port, None)
    return Reach(handler.host, handler.port, tls=_starttls(handler, contexts())) if reach.is_open else reach


def _starttls(handler: EmailHandler, context: ssl.SSLContext) -> Tls:
    try:
        with smtplib.SMTP(handler.host, handler.port, timeout=WAIT_S) as client:
            client.starttls(context=context)
    except ssl.SSLCertVerificationError as error:
        return Tls("untrusted", error.verify_message)
    except (OSError, smtplib.SMTPException) as error:
        # smtplib tells of the time that is over in words alone.
        is_silent = "timed out" in str(error)
        return Tls("silent" if is_silent else "failed", str(error) or type(error).__name__)
    return Tls(None)
