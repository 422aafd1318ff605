"""`streamguard rejected show`: records one by one."""

import sys
from collections.abc import Callable, Iterator
from itertools import islice

from streamguard.config import Config
from streamguard.core.printing import printable
from streamguard.errors import ConfigError, LogError
from streamguard.logs.interface import Span
from streamguard.rejected.counting import time_of
from streamguard.rejected.filters import Asked, Filters
from streamguard.rejected.letter import Letter
from streamguard.rejected.letter import letters as letters_in
from streamguard.rejected.listing import read
from streamguard.rejected.opening import Letters, letters_of
from streamguard.rejected.texts import brief, told

Echo = Callable[[str], None]


def run_show(config: Config, asked: Asked, at: str | None, *, limit: int, is_dead: bool, echo: Echo) -> None:
    """Print the first records that the filters take, or the one at a place."""
    filters = Filters.of(asked)
    with letters_of(config, is_dead=is_dead) as letters:
        found = iter([_one(letters, at)]) if at is not None else read(letters, filters)
        count = 0
        for letter in islice(found, limit):
            if count:
                echo("")
            count += 1
            for line in _lines(letter):
                echo(line)
        if not count:
            echo(printable(f"{letters.topic}: no such record"))
        elif at is None and next(found, None) is not None:
            echo(f"\nthere are more than {limit}: narrow them down, or raise --limit")


def run_raw(config: Config, at: str | None, *, is_dead: bool) -> None:
    """Write the bytes of one value to stdout, and nothing else."""
    if at is None:
        raise ConfigError("--raw: writes the value of one record: name it by --at PARTITION:OFFSET")
    with letters_of(config, is_dead=is_dead) as letters:
        letter = _one(letters, at)
    if letter.left_out_bytes is not None:
        raise LogError(
            f"{letter.place}: the value of {letter.left_out_bytes:,} bytes is not here, but at {letter.origin}"
        )
    sys.stdout.buffer.write(letter.value or b"")
    sys.stdout.buffer.flush()


def _one(letters: Letters, at: str) -> Letter:
    """The record at PARTITION:OFFSET of the topic."""
    partition, _, offset = at.partition(":")
    if not all(each.isascii() and each.isdigit() and len(each) < 19 for each in (partition, offset)):
        raise ConfigError(f"--at: must be PARTITION:OFFSET, such as 0:1812, got {at!r}")
    number, place = int(partition), int(offset)
    if number >= letters.partitions:
        raise ConfigError(
            f"--at: topic {letters.topic!r} has the partitions 0 to {letters.partitions - 1}, not {number}"
        )
    span = letters.log.spans(letters.topic)[number]
    if span.start <= place < span.end:
        spans = {number: Span(place, place + 1, span.held)}
        for batch in letters.log.read(letters.topic, spans=spans):
            for letter in letters_in(batch):
                return letter
    raise LogError(
        f"{letters.topic}-{number}@{place}: there is no record; the partition has {span.start} to {span.end}"
    )


def _lines(letter: Letter) -> Iterator[str]:
    yield printable(f"{letter.partition}:{letter.offset}  {time_of(letter.time_ms)}")
    origin = "a place that its headers do not name" if letter.origin is None else str(letter.origin)
    yield printable(f"from     {origin}, of {time_of(letter.original_ms)}")
    yield printable(f"reason   {letter.reason or 'none in its headers'}")
    if letter.replayed is not None:
        yield printable(f"replayed from {letter.replayed}, and rejected again")
    yield f"key      {brief(letter.key)}"
    for name, content in letter.headers:
        yield f"header   {printable(name)}: {brief(content)}"
    if letter.left_out_bytes is not None:
        yield f"value    of {letter.left_out_bytes:,} bytes is not here, since the topic does not take it"
        return
    yield "value"
    for line in told(letter.value):
        yield f"  {line}"
