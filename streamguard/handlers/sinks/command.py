"""A program that is run for each alert."""

import os
import selectors
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
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
    read and dropped; the last 500 characters of standard error are the reason. After the time limit the program, with
    all that it has started in its process group, is asked to end, and is killed a second later, or as long again as
    the limit where that is less. Raises `ConfigError` where there is no such program.
    """

    def __init__(self, section: CommandHandler) -> None:
        find_program(section.name, section.command)
        self._command = list(section.command)
        self._timeout_s = section.timeout_ms / 1000

    def deliver(self, alerts: Sequence[Alert]) -> None:
        lines = b"".join(json_line(each) + b"\n" for each in alerts)
        run_program(self._command, lines, _about(alerts), self._timeout_s)

    def close(self) -> None:
        """Nothing is held."""


def find_program(handler: str, command: Sequence[str]) -> None:
    """Raises `ConfigError` where there is no such program."""
    if shutil.which(command[0]) is None:
        raise ConfigError(f"handler {handler!r}: there is no program {command[0]!r} that can be run")


def run_program(
    command: Sequence[str],
    given: bytes,
    about: Mapping[str, str],
    timeout_s: float,
    *,
    cancelled: threading.Event | None = None,
) -> bytes:
    """Run it with this on its standard input; returns the last 64 kB of its standard output.

    `about`: variables of its environment, whose names begin with STREAMGUARD_. `cancelled`: it is ended when that is
    set. Raises `TemporaryError` or `PermanentError` where it did not end by itself with exit code 0.
    """
    name = command[0]
    own = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
    try:
        process = subprocess.Popen(  # noqa: S603 - which program that is, the configuration says
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**own, **{f"{PREFIX}{key}": value for key, value in about.items()}},
            start_new_session=True,
        )
    except OSError as error:
        raise TemporaryError(f"{name} cannot be started: {error.strerror}") from None
    run = _Run(process, given, cancelled)
    try:
        is_over = run.wait(Deadline(timeout_s))
        if not is_over:
            run.end(min(_GRACE_S, timeout_s))
    finally:
        run.close()
    if not is_over:
        why = "since its handler was stopped" if run.is_cancelled else f"after {timeout_s:g} s"
        raise TemporaryError(f"{name} was ended {why}{run.told}")
    if process.returncode:
        raise _failure(name, process.returncode, run.told)
    return run.output


def _about(alerts: Sequence[Alert]) -> dict[str, str]:
    found = {"ALERT_COUNT": str(len(alerts))}
    for name in ("id", "episode", "status", "kind", "monitor"):
        values = {plain(getattr(each, name), _VALUE_CHARS) for each in alerts}
        found[f"ALERT_{name.upper()}"] = values.pop() if len(values) == 1 else ""
    return found


def _failure(name: str, code: int, told: str) -> DeliveryError:
    ended = f"by signal {-code}" if code < 0 else f"with {code}"
    return (PermanentError if code in _PERMANENT_CODES else TemporaryError)(f"{name} ended {ended}{told}")


class _Run:
    """A program under way: it is fed and heard at the same time, or both sides might wait for each other."""

    def __init__(
        self, process: subprocess.Popen[bytes], given: bytes, cancelled: threading.Event | None = None
    ) -> None:
        self._process = process
        self._given = memoryview(given)
        self._cancelled = cancelled
        self._pipes = [pipe for pipe in (process.stdin, process.stdout, process.stderr) if pipe is not None]
        self._heard = {pipe.fileno(): b"" for pipe in self._pipes[1:]}
        self._open = set(self._heard)
        self._stdout, self._stderr = self._heard
        self._selector = selectors.DefaultSelector()
        for pipe in self._pipes:
            os.set_blocking(pipe.fileno(), False)
            is_heard = pipe.fileno() in self._heard
            self._selector.register(pipe.fileno(), selectors.EVENT_READ if is_heard else selectors.EVENT_WRITE)

    @property
    def told(self) -> str:
        """The end of what it wrote to standard error, as the end of a sentence."""
        lines = self._heard[self._stderr][-4 * _ERROR_CHARS :].decode("utf-8", "replace")
        text = plain(lines[-_ERROR_CHARS:], _ERROR_CHARS)
        return f": {text}" if text else ""

    @property
    def output(self) -> bytes:
        """The end of what it wrote to standard output."""
        return self._heard[self._stdout]

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody has asked for its end."""
        return self._cancelled is not None and self._cancelled.is_set()

    def wait(self, deadline: Deadline) -> bool:
        """Whether it has ended by itself before that; what it has started may go on."""
        while (left_s := deadline.left_s) and self._process.poll() is None and not self.is_cancelled:
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
        was_open = len(self._open)
        while (left_s := deadline.left_s) and (not was_open or self._open):
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
        for pipe in self._pipes:
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

    def _hear(self, pipe: int) -> None:
        found = os.read(pipe, _CHUNK_BYTES)
        self._heard[pipe] = (self._heard[pipe] + found)[-_CHUNK_BYTES:]
        if not found:
            self._selector.unregister(pipe)
            self._open.discard(pipe)
