"""What a user gave as training data, as rows of JSON."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamguard.profile.nonfinite import NonFinite
from streamguard.replay.files import FileSource, find_files
from streamguard.replay.frames import as_source
from streamguard.replay.sources import Source, shown

_TOPIC = "profile"
_NAMES_MAX = 20


@dataclass(slots=True)
class Data:
    """What is read."""

    sources: Sequence[Source]
    described: str
    name: str
    size: int
    """In the unit that sources tell progress in; 0 where nobody knows."""
    non_finite: NonFinite = field(default_factory=NonFinite)
    """Complete once all was read."""
    parquet: Sequence[Path] = ()
    """Files to be looked at for that, after their reader has found them to be sound."""

    def batches(self) -> Iterator[tuple[Sequence[bytes | None], int]]:
        """All rows as JSON, and how much of `size` was read up to their end."""
        before = read = 0

        def note(here: int) -> None:
            nonlocal read
            read = before + here

        for source in self.sources:
            for batch in source.batches(note):
                yield batch.values, read
            before += source.size


def opened(data: Any) -> Data:
    """What a user gave, to be read; raises `ConfigError`."""
    if paths := _paths(data):
        return _files(paths)
    non_finite = NonFinite()
    if isinstance(data, Mapping) or hasattr(data, "columns"):
        source = as_source(data, _TOPIC, ())
        non_finite.of_columns(data)
    elif isinstance(data, Iterable) and not isinstance(data, str | bytes | set | frozenset):
        source = as_source(non_finite.of_rows(data), _TOPIC, ())
    else:
        source = as_source(data, _TOPIC, ())
    kind = type(data).__name__
    size = source.size or (len(data) if isinstance(data, Sized) else 0)
    return Data([source], f"a {kind} in memory", kind, size, non_finite)


def _paths(given: Any) -> list[str | Path]:
    """The files that are meant, if any are: text that begins with a brace is a row."""
    many = list(given) if isinstance(given, list | tuple) else [given]
    is_text = all(isinstance(each, str | Path) for each in many)
    return many if is_text and not any(str(each).lstrip().startswith("{") for each in many) else []


def _files(paths: Sequence[str | Path]) -> Data:
    found = find_files(paths, "--from")
    sources = [FileSource(_TOPIC, number, files, ()) for number, files in found.items()]
    files = [path for source in sources for path in source.paths]
    names = ", ".join(shown(path.name) for path in files[:_NAMES_MAX])
    more = f" and {len(files) - _NAMES_MAX:,} more" if len(files) > _NAMES_MAX else ""
    return Data(
        sources,
        names + more,
        files[0].name.partition(".")[0],
        sum(each.size for each in sources),
        parquet=[path for path in files if path.name.lower().endswith(".parquet")],
    )
