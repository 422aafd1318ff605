"""A program for each alert: what it is given, what its end means, and that nothing of it is left."""

import os
import select
import signal
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest

from streamguard.config.handlers import CommandHandler
from streamguard.errors import ConfigError
from streamguard.handlers.alert import Alert
from streamguard.handlers.sink import DeliveryError, PermanentError, TemporaryError
from streamguard.handlers.sinks.command import CommandSink
from tests.handlers.samples import HOSTILE, LONG, RAISED_ID, UPDATED_ID, hostile, raised, resolved, updated


def run(script: str, alerts: Sequence[Alert] = (), *arguments: str, timeout_ms: int = 10_000) -> None:
    """Deliver to a script of the shell; by default a raised alert."""
    command = ("/bin/sh", "-c", script, "script", *arguments)
    sink = CommandSink(CommandHandler(name="run", type="command", command=command, timeout=timeout_ms))
    sink.deliver(alerts or [raised()])
    sink.close()


def failure(script: str, alerts: Sequence[Alert] = (), timeout_ms: int = 10_000) -> DeliveryError:
    """How a script fails."""
    with pytest.raises(DeliveryError) as caught:
        run(script, alerts, timeout_ms=timeout_ms)
    return caught.value


def environment(path: Path) -> dict[str, str]:
    """Of our variables, those that a script wrote by `env -0`."""
    pairs = (each.partition("=") for each in path.read_text(encoding="utf-8").split("\0"))
    return {name: value for name, _, value in pairs if name.startswith("STREAMGUARD_")}


def test_an_alert_is_given_on_standard_input_and_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And none of our own settings, which may be secrets."""
    monkeypatch.setenv("STREAMGUARD_LOG__PASSWORD", "hunter2")
    monkeypatch.setenv("OF_THE_USER", "kept")
    run('cat > "$1/in"; env -0 > "$1/env"; test "$OF_THE_USER" = kept', [updated()], str(tmp_path))
    assert (tmp_path / "in").read_bytes() == orjson.dumps(dict(updated().data)) + b"\n"
    assert environment(tmp_path / "env") == {
        "STREAMGUARD_ALERT_COUNT": "1",
        "STREAMGUARD_ALERT_ID": UPDATED_ID,
        "STREAMGUARD_ALERT_EPISODE": RAISED_ID,
        "STREAMGUARD_ALERT_STATUS": "updated",
        "STREAMGUARD_ALERT_KIND": "mismatch_drift",
        "STREAMGUARD_ALERT_MONITOR": "by country",
    }


def test_several_are_lines_and_variables_hold_what_they_share(tmp_path: Path) -> None:
    """Of what differs nothing is said."""
    alerts = [raised(), resolved()]
    run('cat > "$1/in"; env -0 > "$1/env"', alerts, str(tmp_path))
    lines = (tmp_path / "in").read_bytes().splitlines()
    assert [orjson.loads(each) for each in lines] == [each.data for each in alerts]
    found = environment(tmp_path / "env")
    assert found["STREAMGUARD_ALERT_COUNT"] == "2"
    assert (found["STREAMGUARD_ALERT_ID"], found["STREAMGUARD_ALERT_STATUS"]) == ("", "")
    assert (found["STREAMGUARD_ALERT_EPISODE"], found["STREAMGUARD_ALERT_KIND"]) == (RAISED_ID, "mismatch_drift")


@pytest.mark.parametrize("text", [HOSTILE, LONG])
def test_hostile_texts_are_only_data(tmp_path: Path, text: str) -> None:
    """No shell sees them; variables are one line, and not too long for the system."""
    run('cat > "$1/in"; env -0 > "$1/env"', [hostile(text, id=text, episode=text, kind=text)], str(tmp_path))
    assert orjson.loads((tmp_path / "in").read_bytes())["monitor"] == text
    values = environment(tmp_path / "env").values()
    assert all(each.isprintable() and len(each) <= 1000 for each in values)


def test_arguments_are_taken_as_they_are(tmp_path: Path) -> None:
    """Nothing is expanded."""
    run('printf %s "$2" > "$1/argument"', [], str(tmp_path), "$(echo no) *")
    assert (tmp_path / "argument").read_text() == "$(echo no) *"


@pytest.mark.parametrize("code", [64, 65, 69, 70, 74, 76, 78])
def test_refusals(code: int) -> None:
    """By the codes of sysexits.h."""
    error = failure(f"echo 'is wrong' >&2; exit {code}")
    assert isinstance(error, PermanentError)
    assert str(error) == f"/bin/sh ended with {code}: is wrong"


@pytest.mark.parametrize("code", [1, 2, 63, 75, 79, 126, 127])
def test_other_failures_may_pass(code: int) -> None:
    """So people expect it."""
    error = failure(f"exit {code}")
    assert isinstance(error, TemporaryError)
    assert str(error) == f"/bin/sh ended with {code}"


def test_a_program_that_is_killed_by_another_may_be_tried_again() -> None:
    """Memory was short, for example."""
    error = failure("kill -KILL $$")
    assert isinstance(error, TemporaryError)
    assert str(error) == "/bin/sh ended by signal 9"


def test_the_end_of_what_it_says_is_the_reason() -> None:
    """In one line, and not all of it."""
    error = failure("head -c 2000 /dev/zero | tr '\\0' a >&2; printf '\\n\\033[31mthe reason\\n' >&2; exit 1")
    told = str(error).partition(": ")[2]
    assert told.endswith("aaa [31mthe reason")
    assert 450 < len(told) <= 500


def test_no_output_fills_our_memory() -> None:
    """Nor does it stop the program."""
    tracemalloc.start()
    run("head -c 50000000 /dev/zero >&2; head -c 50000000 /dev/zero")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize("first", ["true", "head -c 5000 > /dev/null"])
def test_neither_side_waits_for_the_other(first: str) -> None:
    """It may say much before it reads much, or in between."""
    run(f"{first}; head -c 500000 /dev/zero >&2; test $(wc -c) -gt 1000000", [hostile(LONG)])


@pytest.mark.parametrize("script", ["exit 0", "exec 0<&-; sleep 0.1", "head -c 10"])
def test_it_need_not_read_what_it_is_given(script: str) -> None:
    """That is no error."""
    run(script, [hostile(LONG)])


def test_it_ends_in_time() -> None:
    """As all that it has started in its group."""
    begun_s = time.monotonic()
    error = failure("echo begun >&2; sleep 60 & sleep 60", timeout_ms=300)
    assert isinstance(error, TemporaryError)
    assert str(error) == "/bin/sh was ended after 0.3 s: begun"
    assert 0.25 < time.monotonic() - begun_s < 2


@pytest.mark.parametrize("trap", ["", "trap '' TERM;", "exec 2>&-;", "exec 2>&-; trap '' TERM;"])
def test_nothing_is_left_of_what_is_ended(tmp_path: Path, trap: str) -> None:
    """Also of what will not end; a pipe tells whether somebody still holds its other end."""
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    script = f"{trap} echo $$ > '{tmp_path}/pid'; exec 3> '{tmp_path}/fifo'; echo begun >&3; sleep 60 & sleep 60"
    assert isinstance(failure(script, timeout_ms=300), TemporaryError)
    assert os.read(reader, 100) == b"begun\n"
    assert select.select([reader], [], [], 5)[0]
    assert os.read(reader, 100) == b""
    os.close(reader)
    with pytest.raises(ChildProcessError):
        os.waitpid(int((tmp_path / "pid").read_text()), os.WNOHANG)


def test_it_may_clean_up(tmp_path: Path) -> None:
    """It is asked to end before it is killed."""
    script = f"trap 'sleep 0.1; echo done > {tmp_path}/cleaned; exit 0' TERM; sleep 60 & wait"
    assert isinstance(failure(script, timeout_ms=600), TemporaryError)
    assert (tmp_path / "cleaned").read_text() == "done\n"


def test_what_it_leaves_running_is_not_waited_for(tmp_path: Path) -> None:
    """Though that holds its standard error."""
    begun_s = time.monotonic()
    run('sleep 60 & echo $! > "$1/pid"', [], str(tmp_path))
    assert time.monotonic() - begun_s < 5
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_no_zombie_is_left(tmp_path: Path) -> None:
    """Of those that end by themselves."""
    run('echo $$ > "$1/pid"', [], str(tmp_path))
    with pytest.raises(ChildProcessError):
        os.waitpid(int((tmp_path / "pid").read_text()), os.WNOHANG)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    """At start it is a mistake; later it may come again."""
    program = tmp_path / "program"
    section = CommandHandler(name="run", type="command", command=(str(program),))
    with pytest.raises(ConfigError, match=r"handler 'run': there is no program '.*/program' that can be run"):
        CommandSink(section)
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    sink = CommandSink(section)
    sink.deliver([raised()])
    program.unlink()
    with pytest.raises(TemporaryError, match=r"/program cannot be started: No such file or directory$"):
        sink.deliver([raised()])
