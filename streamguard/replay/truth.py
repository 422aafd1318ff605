"""What went wrong, and when, as far as that is known: the truth that alerts of a backtest are scored by.

A file holds one incident a line (.jsonl, .csv with a header) or a list of them (.yaml, .yml, .json), each with

    from     when it began, in event time: RFC 3339 with an offset, or epoch milliseconds; `at` means the same
    to       when it was over; else it stayed until the end
    name     what people call it; else when it began
    monitor  the one that should have told of it; else any
    segment  the fields that it is about, by name; else any. In CSV `version=7;country=DE`, or as JSON

Only `from` is needed. Values of a segment are text, as `split_by` takes them: 7 is "7".
"""

import csv
import io
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from operator import attrgetter
from pathlib import Path
from typing import Any

import orjson

from streamguard.config import document
from streamguard.core.alerts import rfc3339
from streamguard.core.fields import Unreadable, canonical, kind_of, parse_time_ms
from streamguard.errors import ConfigError

_NAMES = ("from", "at", "to", "name", "monitor", "segment")
_CSV = "2026-01-06T16:03:46Z,2026-01-06T18:30:00Z,bad release,fraud,version=7"
_JSON = (
    '{"from": "2026-01-06T16:03:46Z", "to": "2026-01-06T18:30:00Z", "name": "bad release",'
    ' "monitor": "fraud", "segment": {"version": "7"}}'
)
EXAMPLES = {
    ".jsonl": _JSON,
    ".csv": f"{_CSV} (below from,to,name,monitor,segment)",
    ".yaml": f"- {_JSON}",
    ".yml": f"- {_JSON}",
    ".json": f"[{_JSON}]",
}
"""By the ending of a file's name: what an incident looks like."""
_CHARS_MAX = 60


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that went wrong at a known event time, in epoch milliseconds."""

    name: str
    from_ms: int
    to_ms: int | None = None
    """None: it stayed until the end."""
    monitor: str | None = None
    """The one that should tell of it; None: any."""
    segment: Mapping[str, str | None] | None = None
    """What it is about, as far as it is named; None: any."""

    def concerns(self, monitor: str, segment: Mapping[str, str | None]) -> bool:
        """Whether a monitor's segment may be meant: it has no other value in any field that is named."""
        named = self.segment or {}
        return self.monitor in (None, monitor) and all(
            segment.get(field, value) == value for field, value in named.items()
        )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where something stands in a file."""

    text: str
    ending: str

    def wrong(self, words: str) -> ConfigError:
        """To be raised: where, what, and how it would be right."""
        return ConfigError(f"{self.text}: {words}; right would be: {EXAMPLES[self.ending]}")


_Entries = Iterator[tuple[_Place, Any]]


def load_truth(path: Path) -> list[Incident]:
    """Read the incidents of a file, sorted by when they began.

    Raises `ConfigError` for the first thing that is wrong: file and line (or entry), what, and a right one.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise ConfigError(f"{path}: incidents are read from files that end in {', '.join(_READERS)}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text: byte {error.start}") from None
    incidents = [_incident(place, entry) for place, entry in read(path, text)]
    if not incidents:
        raise _Place(str(path), path.suffix.lower()).wrong("there is no incident in it")
    return sorted(incidents, key=attrgetter("from_ms"))


def taken(given: str | Path | Iterable[Incident | Mapping[str, Any]]) -> list[Incident]:
    """What a user of Python gives: a file's path, incidents, or mappings as a file would hold them."""
    if isinstance(given, str | Path):
        return load_truth(Path(given))
    place = _Place("truth", ".json")
    found = [each if isinstance(each, Incident) else _incident(place, each) for each in given]
    return sorted(found, key=attrgetter("from_ms"))


def strangers(incidents: Iterable[Incident], split_by: Mapping[str, Collection[str]]) -> list[str]:
    """Return what no monitor can tell of, a sentence each: a monitor, or a segment's field, that there is not.

    `split_by`: the fields of each monitor. A reason to warn: no alarm fits a monitor that does not exist, and a field
    that no alarm has rules none out.
    """
    sentences = []
    for each in incidents:
        if each.monitor is not None and each.monitor not in split_by:
            sentences.append(f"incident {each.name!r}: there is no {_unknown('monitor', each.monitor, split_by)}")
            continue
        names = [each.monitor] if each.monitor is not None else [*split_by]
        fields = dict.fromkeys(field for name in names for field in split_by[name])
        for field in each.segment or {}:
            if field not in fields:
                whose = "no monitor is" if each.monitor is None else f"monitor {each.monitor!r} is not"
                sentences.append(f"incident {each.name!r}: {whose} split by {_unknown('field', field, fields)}")
    return sentences


def _lines(path: Path, text: str) -> _Entries:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            place = _Place(f"{path}:{number}", ".jsonl")
            yield place, _json(place, line)


def _table(path: Path, text: str) -> _Entries:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise _Place(f"{path}:{rows.line_num}", ".csv").wrong(f"not valid CSV: {error}") from None
        if row is None:
            return
        place, cells = _Place(f"{path}:{rows.line_num}", ".csv"), [cell.strip() for cell in row]
        if header is None and any(cells):
            header = _header(place, cells)
        elif header is not None and len(cells) > len(header):
            raise place.wrong(f"{len(cells)} cells below a header of {len(header)}")
        elif header is not None and any(cells):
            named = zip(header, cells, strict=False)
            yield place, {name: _cell(place, name, cell) for name, cell in named if cell}


def _header(place: _Place, row: list[str]) -> list[str]:
    for name in row:
        if name not in _NAMES:
            raise place.wrong(f"unknown {_unknown('column', name, _NAMES)}")
        if row.count(name) > 1:
            raise place.wrong(f"the header has the column {name!r} twice")
    return row


def _cell(place: _Place, name: str, text: str) -> Any:
    """What a cell of CSV means, which has no types of its own."""
    if name in {"from", "at", "to"}:
        return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else text
    if name != "segment":
        return text
    if text.startswith("{"):
        return _json(place, text)
    pairs = [pair.partition("=") for pair in text.split(";")]
    if not all(field.strip() and equals for field, equals, _ in pairs):
        raise place.wrong(f"segment {text[:_CHARS_MAX]!r} is not like version=7;country=DE")
    return {field.strip(): value.strip() for field, _, value in pairs}


def _yaml_list(path: Path, text: str) -> _Entries:
    if all(not line.strip() or line.lstrip().startswith("#") for line in text.splitlines()):
        return
    found = document.read(path)
    yield from _listed(path, found.data, found.lines)


def _json_list(path: Path, text: str) -> _Entries:
    return _listed(path, _json(_Place(str(path), ".json"), text) if text.strip() else [], {})


def _listed(path: Path, data: Any, lines: Mapping[Any, int]) -> _Entries:
    """`lines`: of an entry, by its place in the list, where that is known."""
    ending = path.suffix.lower()
    if not isinstance(data, list):
        raise _Place(str(path), ending).wrong(f"must be a list of incidents, got {kind_of(data)}")
    for index, entry in enumerate(data):
        where = f"{path}:{lines[index,]}" if (index,) in lines else f"{path}: entry {index + 1}"
        yield _Place(where, ending), entry


def _json(place: _Place, text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        line = f"line {error.lineno} " if error.lineno > 1 else ""
        raise place.wrong(f"not JSON: {error.msg} at {line}column {error.colno}") from None


_READERS: dict[str, Callable[[Path, str], _Entries]] = {
    ".jsonl": _lines,
    ".csv": _table,
    ".yaml": _yaml_list,
    ".yml": _yaml_list,
    ".json": _json_list,
}


def _incident(place: _Place, entry: Any) -> Incident:
    if not isinstance(entry, dict):
        raise place.wrong(f"an incident must be a mapping, got {kind_of(entry)}")
    for key in entry:
        if key not in _NAMES:
            raise place.wrong(f"unknown {_unknown('key', str(key), _NAMES)}")
    given = {key: value for key, value in entry.items() if value is not None}
    begins = [key for key in ("from", "at") if key in given]
    if len(begins) != 1:
        raise place.wrong("from and at mean the same: give one" if begins else "from is missing: when it began")
    from_ms, to_ms = _time(place, given, begins[0]), _time(place, given, "to") if "to" in given else None
    if to_ms is not None and to_ms < from_ms:
        raise place.wrong(f"to ({rfc3339(to_ms)}) is before from ({rfc3339(from_ms)})")
    name, segment = _text(place, given, "name") or rfc3339(from_ms), _segment(place, given.get("segment", {}))
    return Incident(name, from_ms, to_ms, _text(place, given, "monitor"), segment or None)


def _time(place: _Place, given: Mapping[str, Any], key: str) -> int:
    try:
        return parse_time_ms(given[key])
    except Unreadable as error:
        raise place.wrong(f"{key}: {error}") from None


def _text(place: _Place, given: Mapping[str, Any], key: str) -> str | None:
    value = given.get(key)
    if value is None or (isinstance(value, str) and value):
        return value
    got = repr(value) if isinstance(value, str | int | float) else kind_of(value)
    raise place.wrong(f"{key} must be text, got {got[:_CHARS_MAX]}")


def _segment(place: _Place, value: Any) -> dict[str, str | None]:
    if not isinstance(value, dict):
        raise place.wrong(f'segment must be a mapping such as {{"version": "7"}}, got {kind_of(value)}')
    try:
        return {str(field): canonical(each) for field, each in value.items()}
    except Unreadable:
        raise place.wrong("segment is nested too deeply") from None


def _unknown(what: str, name: str, names: Collection[str]) -> str:
    near = get_close_matches(name, names, 1)
    way_out = f"did you mean {near[0]}?" if near else f"there is {', '.join(names) or 'none'}"
    return f"{what} {name[:_CHARS_MAX]!r}: {way_out}"
