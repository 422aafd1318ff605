"""A program that is run for each alert."""

import os
import selectors
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from streamguard.config.environment import PREFIX
from streamguard.config.handlers import CommandHandler
from streamguard.errors import ConfigError
from streamguard.handlers.alert import Alert
from streamguard.handlers.sink import DeliveryError, PermanentError, TemporaryError
from streamguard.handlers.sinks import Deadline, json_line, plain

_ERROR_CHARS = 500
_CHUNK_BYTES = 65_536
_VALUE_CHARS = 1000
# Nothing tells of a program's end as of something to read, so it is looked for; this is how late it may be noticed.
_LOOK_S = 0.05
_GRACE_S = 1.0
# Of sysexits.h: what was asked for is wrong, all but "try again later".
_PERMANENT_CODES = set(range(64, 79)) - {75}


class CommandSink:
    """Runs a program, without a shell; on its standard input is the alert as a JSON line, or several.

    STREAMGUARD_ALERT_COUNT is their number; STREAMGUARD_ALERT_ID, _EPISODE, _STATUS, _KIND and _MONITOR are what they
    say, in one line, and empty where they differ in it. Other variables whose names begin with STREAMGUARD_ are not
    handed on, since settings may be secrets.

    Exit code 0 is delivered; 64 to 78, but for 75, is refused; anything else is to be tried again. Standard output is
    dropped; the last 500 characters of standard error are the reason. After the time limit the program, with all that
    it has started in its process group, is asked to end, and is killed a second later, or as long again as the limit
    where that is less. Raises `ConfigError` where there is no such program.
    """

    def __init__(self, section: CommandHandler) -> None:
        if shutil.which(section.command[0]) is None:
            raise ConfigError(f"handler {section.name!r}: there is no program {section.command[0]!r} that can be run")
        self._command = list(section.command)
        self._timeout_s = section.timeout_ms / 1000

    def deliver(self, alerts: Sequence[Alert]) -> None:
        lines = b"".join(json_line(each) + b"\n" for each in alerts)
        name = self._command[0]
        try:
            process = subprocess.Popen(  # noqa: S603 - which program that is, the configuration says
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=_environment(alerts),
                start_new_session=True,
            )
        except OSError as error:
            raise TemporaryError(f"{name} cannot be started: {error.strerror}") from None
        run = _Run(process, lines)
        try:
            is_over = run.wait(Deadline(self._timeout_s))
            if not is_over:
                run.end(min(_GRACE_S, self._timeout_s))
        finally:
            run.close()
        if not is_over:
            raise TemporaryError(f"{name} was ended after {self._timeout_s:g} s{run.told}")
        if process.returncode:
            raise _failure(name, process.returncode, run.told)

    def close(self) -> None:
        """Nothing is held."""


def _environment(alerts: Sequence[Alert]) -> dict[str, str]:
    found = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    found[f"{PREFIX}ALERT_COUNT"] = str(len(alerts))
    for name in ("id", "episode", "status", "kind", "monitor"):
        values = {plain(getattr(each, name), _VALUE_CHARS) for each in alerts}
        found[f"{PREFIX}ALERT_{name.upper()}"] = values.pop() if len(values) == 1 else ""
    return found


def _failure(name: str, code: int, told: str) -> DeliveryError:
    ended = f"by signal {-code}" if code < 0 else f"with {code}"
    return (PermanentError if code in _PERMANENT_CODES else TemporaryError)(f"{name} ended {ended}{told}")


class _Run:
    """A program under way: it is fed and heard at the same time, or both sides might wait for each other."""

    def __init__(self, process: subprocess.Popen[bytes], given: bytes) -> None:
        self._process = process
        self._given = memoryview(given)
        self._heard = b""
        self._is_open = True
        self._selector = selectors.DefaultSelector()
        for pipe, event in ((process.stdin, selectors.EVENT_WRITE), (process.stderr, selectors.EVENT_READ)):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                self._selector.register(pipe.fileno(), event)

    @property
    def told(self) -> str:
        """The end of what it wrote to standard error, as the end of a sentence."""
        lines = self._heard.decode("utf-8", "replace")
        text = plain(lines[-_ERROR_CHARS:], _ERROR_CHARS)
        return f": {text}" if text else ""

    def wait(self, deadline: Deadline) -> bool:
        """Whether it has ended by itself before that; what it has started may go on."""
        while (left_s := deadline.left_s) and self._process.poll() is None:
            self._exchange(min(left_s, _LOOK_S))
        if self._process.poll() is None:
            return False
        self._exchange(0)
        return True

    def end(self, grace_s: float) -> None:
        """End its process group, whose number is nobody else's as long as the program is not asked how it ended."""
        self._signal(signal.SIGTERM)
        deadline = Deadline(grace_s)
        # When nobody is left who could write, all have ended, unless that was so before.
        was_open = self._is_open
        while (left_s := deadline.left_s) and self._is_open == was_open:
            self._exchange(left_s)
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Leaves no process and no pipe behind."""
        if self._process.returncode is None:
            self._signal(signal.SIGKILL)
            # One that cannot even be killed is waited for no longer.
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_S)
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _exchange(self, wait_s: float) -> None:
        """Write and read what is possible, and wait up to so long for that."""
        for key, event in self._selector.select(wait_s):
            if event & selectors.EVENT_WRITE:
                self._feed(key.fd)
            else:
                self._hear(key.fd)

    def _feed(self, stdin: int) -> None:
        try:
            self._given = self._given[os.write(stdin, self._given[:_CHUNK_BYTES]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            # It wants no more, which is its own business.
            self._given = self._given[:0]
        if not self._given and self._process.stdin is not None:
            self._selector.unregister(stdin)
            self._process.stdin.close()

    def _hear(self, stderr: int) -> None:
        found = os.read(stderr, _CHUNK_BYTES)
        self._heard = (self._heard + found)[-4 * _ERROR_CHARS :]
        if not found:
            self._selector.unregister(stderr)
            self._is_open = False
