"""`streamguard rejected list`: how many, why, from where."""

import sys
from collections.abc import Callable, Iterator

import orjson
from rich.console import Console
from rich.table import Table

from streamguard.config import Config
from streamguard.core.printing import printable
from streamguard.rejected.counting import Count, Tally, excerpt, place_of, time_of
from streamguard.rejected.filters import Asked, Filters
from streamguard.rejected.letter import Letter
from streamguard.rejected.letter import letters as letters_in
from streamguard.rejected.opening import Letters, letters_of

Echo = Callable[[str], None]

_NAMED_MAX = 30
_EXAMPLE_CHARS = 100


def run_list(config: Config, asked: Asked, *, is_dead: bool, is_json: bool, echo: Echo) -> None:
    """Count what the filters take, and print it: as JSON, as tables on a terminal, else as lines."""
    filters = Filters.of(asked)
    tally = Tally()
    with letters_of(config, is_dead=is_dead) as letters:
        # Alerts are not sent back.
        settled = {} if is_dead else letters.settled()
        for letter in read(letters, filters):
            done = settled.get(letter.partition)
            tally.add(letter, is_sent_back=done is not None and letter.offset in done)
    if is_json:
        echo(orjson.dumps(tally.as_json(letters.topic), option=orjson.OPT_INDENT_2).decode())
    elif sys.stdout.isatty():
        _print_tables(letters.topic, tally)
    else:
        for line in _lines(letters.topic, tally):
            echo(printable(line))


def read(letters: Letters, filters: Filters) -> Iterator[Letter]:
    """The records that the filters take, each partition's in their order."""
    spans = letters.log.spans(letters.topic, filters.from_ms, filters.to_ms)
    for batch in letters.log.read(letters.topic, spans=spans):
        for letter in letters_in(batch):
            if filters.take(letter):
                yield letter


def head(topic: str, tally: Tally) -> str:
    """One line on all of them."""
    sent = f", {tally.sent_back:,} of them sent back" if tally.sent_back else ""
    return f"{topic}: {tally.total:,} records{sent}"


def _lines(topic: str, tally: Tally) -> Iterator[str]:
    yield head(topic, tally)
    for reason, each in tally.reasons()[:_NAMED_MAX]:
        yield f"{each.count:,} x {reason}"
        yield f"    {_span(each)}; from {_origin(each.first)}: {_example(each)}"
    yield from _more(len(tally.by_reason), "reasons")
    for place, each in tally.origins()[:_NAMED_MAX]:
        yield f"{each.count:,} from {place_of(place)}; {_span(each)}"
    yield from _more(len(tally.by_origin), "partitions")


def _print_tables(topic: str, tally: Tally) -> None:
    # What strangers have written is text, whatever brackets it has.
    console = Console(markup=False, emoji=False, highlight=False)
    console.print(printable(head(topic, tally)))
    if not tally.total:
        return
    reasons = Table("records", "reason", "first", "last", "example", box=None, header_style="bold", pad_edge=False)
    for reason, each in tally.reasons()[:_NAMED_MAX]:
        example = f"{_origin(each.first)}: {_example(each)}"
        reasons.add_row(f"{each.count:,}", printable(reason), _at(each.first), _at(each.last), printable(example))
    origins = Table("records", "from", "first", "last", box=None, header_style="bold", pad_edge=False)
    for place, each in tally.origins()[:_NAMED_MAX]:
        origins.add_row(f"{each.count:,}", printable(place_of(place)), _at(each.first), _at(each.last))
    for table, count, what in (
        (reasons, len(tally.by_reason), "reasons"),
        (origins, len(tally.by_origin), "partitions"),
    ):
        console.print()
        console.print(table)
        for line in _more(count, what):
            console.print(line)


def _more(count: int, what: str) -> Iterator[str]:
    if count > _NAMED_MAX:
        yield f"... and {count - _NAMED_MAX:,} {what} more: --json names all"


def _span(each: Count) -> str:
    return _at(each.first) if each.count == 1 else f"first {_at(each.first)}, last {_at(each.last)}"


def _at(letter: Letter) -> str:
    return f"{time_of(letter.time_ms)} at {letter.partition}:{letter.offset}"


def _origin(letter: Letter) -> str:
    return "a place that is not named" if letter.origin is None else str(letter.origin)


def _example(each: Count) -> str:
    text = excerpt(each.first.value) or "no value"
    return text if len(text) <= _EXAMPLE_CHARS else f"{text[:_EXAMPLE_CHARS]}…"
