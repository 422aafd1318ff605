"""Processes of our own: who ends them, and what is heard of their end."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest

from streamguard.errors import StreamguardError
from streamguard.processes import Child, ProcessEndedError, SilentError
from tests.replay.helpers import story
from tests.replay.test_running import files, written

PATIENCE_S = 30


def parrot(connection: Connection) -> Iterator[object]:
    """Says its process ID, and then what it is told."""
    yield os.getpid()
    while True:
        yield connection.recv()


def torn(connection: Connection, said: bytes) -> Iterator[object]:
    """Dies in the midst of saying something, as one that is killed."""
    yield "first"
    os.write(connection.fileno(), said)
    os._exit(9)


def deaf(_: Connection) -> Iterator[object]:
    """Says its process ID, and hangs."""
    yield os.getpid()
    time.sleep(600)


def is_alive(pid: int) -> bool:
    """Whether a process runs: a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_ended(pid: int) -> None:
    """Until that process is gone."""
    deadline = time.monotonic() + PATIENCE_S
    while is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.01)


def writer(connection: Connection) -> Iterator[object]:
    """Writes as many bytes as it is asked for, and then says so."""
    while True:
        (count,) = connection.recv()
        os.write(connection.fileno(), b"x" * count)
        yield count


def echo(_: Connection, given: bytes) -> Iterator[object]:
    """Says how much it was given."""
    yield len(given)


def test_a_child_that_dies_while_it_starts_is_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much it was to be given: the pipe is full then, and nobody reads it."""
    start = SpawnProcess.start

    def killed(process: SpawnProcess) -> None:
        start(process)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)

    monkeypatch.setattr(SpawnProcess, "start", killed)
    with pytest.raises(StreamguardError, match="was ended from outside"):
        Child(echo, bytes(4 << 20))
    monkeypatch.undo()
    child = Child(echo, bytes(4 << 20))
    assert child.hear() == 4 << 20
    child.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_to_do_about_a_signal_is_decided_by_the_first(number: signal.Signals) -> None:
    """A child goes on; when it is closed it ends."""
    child = Child(parrot)
    pid = child.hear()
    os.kill(pid, number)
    assert child.ask("still", "there") == ("still", "there")
    child.close()
    assert not is_alive(pid)


def test_a_signal_while_a_child_starts() -> None:
    """It hears of it no sooner than it knows what to do about it; here it arrives after all."""
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
    try:
        child = Child(parrot)
        pid = child._process.pid
        assert pid is not None
        os.kill(pid, signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert child.hear() == pid
        assert heard == [1]
        child.close()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_one_that_hangs_is_ended() -> None:
    """By the close of its parent, within a moment."""
    child = Child(deaf)
    pid = child.hear()
    child.close()
    assert not is_alive(pid)


@pytest.mark.parametrize("ending", ["os._exit(3)", "os.kill(os.getpid(), 9)", "sys.exit(3)", "raise ValueError"])
def test_one_that_hangs_ends_with_its_parent(ending: str) -> None:
    """However that ends, without closing it."""
    code = f"""
import os, sys
from streamguard.processes import Child, ProcessEndedError, SilentError
from tests.test_processes import deaf
if __name__ == "__main__":
    child = Child(deaf)
    print(child.hear(), flush=True)
    {ending}
"""
    command = [sys.executable, "-c", code]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, cwd=root)
    wait_ended(int(done.stdout))


@pytest.mark.parametrize(
    "said",
    [b"", b"\0\0", (1000).to_bytes(4) + b"half", len(pickle.dumps(1)[:-1]).to_bytes(4) + pickle.dumps(1)[:-1]],
    ids=["nothing", "half of a length", "half of a word", "half of a pickle"],
)
def test_the_death_of_one_is_told(said: bytes) -> None:
    """Wherever in a message it was, and whether somebody listens to it or talks to it."""
    words = "was ended from outside .code 9., as when memory runs out"
    child = Child(torn, said)
    assert child.hear() == "first"
    with pytest.raises(StreamguardError, match=words):
        child.hear()
    child.close()
    child = Child(torn, said)
    child._process.join(PATIENCE_S)
    with pytest.raises(StreamguardError, match=words):
        child.tell("stop")
    child.close()


def test_bytes_that_are_no_words() -> None:
    """They come before the word that follows, no more at once than are asked for; its end is heard of, too."""
    child = Child(writer)
    child.tell(5)
    assert child.hear_bytes(3, PATIENCE_S) + child.hear_bytes(2, PATIENCE_S) == b"xxxxx"
    assert child.hear(PATIENCE_S) == 5
    pid = child._process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ProcessEndedError, match="was ended from outside"):
        child.hear_bytes(1, PATIENCE_S)
    child.close()


def test_one_that_says_nothing_is_not_waited_for() -> None:
    """It still runs, and who waits decides."""
    child = Child(deaf)
    pid = child.hear(PATIENCE_S)
    with pytest.raises(SilentError, match=r"said nothing for 0\.01 s"):
        child.hear(0.01)
    with pytest.raises(SilentError):
        child.hear_bytes(1, 0.01)
    assert is_alive(pid)
    child.close()


def test_a_service_that_is_told_to_end_leaves_a_report(tmp_path: Path) -> None:
    """A supervisor tells all of its processes at once; the first decides, and what was found is not lost."""
    options = [*map(str, files(tmp_path, story(400_000, fault=1500))), "--out", str(tmp_path / "out")]
    command = [sys.executable, "-m", "streamguard.cli", "backtest", str(written(tmp_path)), "--processes", "2"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True, start_new_session=True)
    # The directory is there when the work begins.
    while not (tmp_path / "out").exists():
        assert process.poll() is None
    # As long as the first has but begun to start another.
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGTERM)
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, said
    assert "PARTIAL: interrupted" in said
    assert (tmp_path / "out" / "report.json").exists()
