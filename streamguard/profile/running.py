"""`streamguard profile build` and `show`."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from streamguard.core.printing import printable
from streamguard.core.records import Scalar
from streamguard.errors import ConfigError
from streamguard.profile.building import Asked, Look, profiled
from streamguard.profile.reading import opened
from streamguard.profile.showing import show
from streamguard.reference.document import Profile

Echo = Callable[[str], None]

# Without a terminal a line for each so many rows.
_LINE_ROWS = 1_000_000


def run_build(files: Sequence[Path], asked: Asked, out: Path, echo: Echo) -> None:
    """Build a profile of files and write it; raises `ConfigError`."""
    _check_writable(out)
    data = opened(list(files))
    with _shown(data.size) as look:
        profile = profiled(data, asked, look)
    _write(out, profile.dump())
    for note in profile.notes:
        echo(f"note: {printable(note)}")
    count = len(profile.features)
    echo(f"{profile.rows:,} rows, {count:,} feature{'' if count == 1 else 's'}: {out}")


def run_show(file: Path, echo: Echo, *, is_json: bool) -> None:
    """Print a profile; raises `ConfigError`."""
    profile = Profile.load(file)
    if is_json:
        echo(profile.dump().decode().rstrip("\n"))
    else:
        show(profile, echo)


def positive_of(text: str | None) -> Scalar | None:
    """A label as it was typed: a number, true or false where it looks like one, else text."""
    if text is None:
        return None
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return found if isinstance(found, str | int | float) else text


def _check_writable(out: Path) -> None:
    """Before an hour of work, and not after it."""
    try:
        with TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise ConfigError(f"-o {out}: cannot be written there: {error.strerror}") from None


def _write(out: Path, data: bytes) -> None:
    """All of it or nothing: a profile may be read while its next one is built."""
    unfinished = out.with_name(f".{out.name}.unfinished")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(out)
    except OSError as error:
        raise ConfigError(f"-o {out}: cannot be written: {error.strerror}") from None


@contextmanager
def _shown(size: int) -> Iterator[Look]:
    """Progress: a bar on a terminal, a line now and then elsewhere."""
    if not sys.stderr.isatty():
        told = 0

        def write(read: int, rows: int) -> None:
            nonlocal told
            if rows // _LINE_ROWS > told:
                told = rows // _LINE_ROWS
                sys.stderr.write(f"{read / size if size else 0:4.0%} {rows:,} rows\n")

        yield write
        return
    columns = BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=size or None)
        yield lambda read, rows: bar.update(task, completed=read, description=f"{rows:,} rows")
