"""A file of JSON lines: whole ones, on the disk, whoever else writes to it."""

import fcntl
import os
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from streamguard.config.handlers import FileHandler
from streamguard.errors import ConfigError
from streamguard.handlers.alert import Alert, read_alert
from streamguard.handlers.sink import TemporaryError
from streamguard.handlers.sinks.file import FileSink
from tests.handlers.samples import HOSTILE, LONG, hostile, many, raised, resolved, updated


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is to be."""
    return tmp_path / "alerts.jsonl"


@pytest.fixture
def sink(path: Path) -> Iterator[FileSink]:
    """Writes there, and waits 0.3 s for a lock."""
    found = FileSink(FileHandler(name="file", type="file", path=str(path), timeout=300))
    yield found
    found.close()


def line(alert: Alert) -> bytes:
    """What is to stand in the file."""
    return orjson.dumps(dict(alert.data)) + b"\n"


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """As by another process."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    fcntl.flock(file, fcntl.LOCK_EX)
    yield file
    os.close(file)


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """No file may be longer, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_each_alert_is_a_line(sink: FileSink, path: Path) -> None:
    """One after the other, several at once, also after it was closed and opened again."""
    sink.deliver([raised()])
    sink.close()
    sink.deliver([updated(), resolved()])
    assert path.read_bytes() == line(raised()) + line(updated()) + line(resolved())


@pytest.mark.parametrize("text", [HOSTILE, LONG])
def test_a_line_is_a_line_whatever_is_in_it(sink: FileSink, path: Path, text: str) -> None:
    """Also of an alert that was published in several."""
    spread = read_alert(orjson.dumps(dict(hostile(text).data), option=orjson.OPT_INDENT_2))
    sink.deliver([spread, hostile(text)])
    assert path.read_bytes() == line(hostile(text)) * 2


def test_a_line_that_was_torn_is_ended_first(sink: FileSink, path: Path) -> None:
    """What a writer left that was killed is one bad line, and not two."""
    path.write_bytes(b'{"id": "a"}\n{"id": "b')
    sink.deliver([raised()])
    assert path.read_bytes() == b'{"id": "a"}\n{"id": "b\n' + line(raised())


def test_what_another_writes_under_its_lock_stays_whole(sink: FileSink, path: Path) -> None:
    """It is waited for."""
    with locked(path) as file:
        os.write(file, b'{"half": ')
        thread = threading.Thread(target=sink.deliver, args=([raised()],))
        thread.start()
        time.sleep(0.05)
        os.write(file, b"1}\n")
    thread.join()
    assert path.read_bytes() == b'{"half": 1}\n' + line(raised())


def test_a_lock_that_is_not_given_up_is_waited_for_in_time(sink: FileSink, path: Path) -> None:
    """Then it is to be tried again, and nothing was written."""
    with locked(path):
        begun_s = time.monotonic()
        with pytest.raises(TemporaryError, match=r"alerts\.jsonl was locked by another for 0\.3 s"):
            sink.deliver([raised()])
        assert 0.25 < time.monotonic() - begun_s < 2
    assert path.read_bytes() == b""
    sink.deliver([raised()])
    assert path.read_bytes() == line(raised())


def test_threads_and_sinks_share_a_file(sink: FileSink, path: Path) -> None:
    """No line is lost or torn."""
    other = FileSink(FileHandler(name="other", type="file", path=str(path)))
    alerts = many(60)

    def write(number: int) -> None:
        for each in alerts[number::6]:
            (sink, other)[number % 2].deliver([each])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    other.close()
    assert sorted(path.read_bytes().splitlines(keepends=True)) == sorted(map(line, alerts))


@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_file_that_was_moved_away_is_begun_anew(sink: FileSink, path: Path, *, is_deleted: bool) -> None:
    """As logrotate does it."""
    sink.deliver([raised()])
    old = path.rename(path.with_suffix(".1"))
    if is_deleted:
        old.unlink()
    sink.deliver([updated()])
    assert path.read_bytes() == line(updated())
    assert is_deleted or old.read_bytes() == line(raised())


def test_a_file_that_is_moved_away_under_a_lock_is_begun_anew(sink: FileSink, path: Path) -> None:
    """The lock that is got in the end is of the wrong file."""
    with locked(path):
        thread = threading.Thread(target=sink.deliver, args=([raised()],))
        thread.start()
        time.sleep(0.05)
        old = path.rename(path.with_suffix(".1"))
    thread.join()
    assert (old.read_bytes(), path.read_bytes()) == (b"", line(raised()))


def test_a_full_disk_leaves_no_half_line(sink: FileSink, path: Path) -> None:
    """It is to be tried again, and then is there once."""
    sink.deliver([raised()])
    with at_most(path.stat().st_size + 100), pytest.raises(TemporaryError, match=r"cannot be written: File too large$"):
        sink.deliver([updated()])
    assert path.read_bytes() == line(raised())
    sink.deliver([updated()])
    assert path.read_bytes() == line(raised()) + line(updated())


def test_what_the_disk_did_not_take_is_not_delivered(
    sink: FileSink, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is it left in the file, where it would stand twice."""
    sink.deliver([raised()])

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(TemporaryError, match=r"cannot be written: Input/output error$"):
            sink.deliver([updated()])
    assert path.read_bytes() == line(raised())


def test_what_is_no_file_is_refused_at_start(tmp_path: Path) -> None:
    """So is a directory that does not exist."""
    os.mkfifo(tmp_path / "fifo")
    for name, problem in [
        ("missing/alerts", "there is no directory"),
        (".", "is no regular file"),
        ("fifo", "is no regular file"),
    ]:
        with pytest.raises(ConfigError, match=f"handler 'file': .*{problem}"):
            FileSink(FileHandler(name="file", type="file", path=str(tmp_path / name)))


def test_what_has_become_of_the_file_may_pass(sink: FileSink, path: Path) -> None:
    """A pipe in its place is not waited for, and a directory that is gone may come again."""
    os.mkfifo(path)
    with pytest.raises(TemporaryError, match=r"cannot be written: is no regular file$"):
        sink.deliver([raised()])
    path.unlink()
    away = path.parent.rename(path.parent.with_name("away"))
    with pytest.raises(TemporaryError, match=r"cannot be written: No such file or directory$"):
        sink.deliver([raised()])
    away.rename(path.parent)
    sink.deliver([raised()])
    assert path.read_bytes() == line(raised())
