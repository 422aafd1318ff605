"""`streamguard.backtest`: history that is at hand in Python."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from streamguard.config import Config, load, parse
from streamguard.core.alerts import rfc3339
from streamguard.core.fields import Unreadable, parse_time_ms
from streamguard.errors import ConfigError
from streamguard.replay.backtesting import Question, checked_period
from streamguard.replay.backtesting import backtest as replayed
from streamguard.replay.files import FileSource, find_files
from streamguard.replay.frames import as_source
from streamguard.replay.history import SIDES, of_records, side_sources
from streamguard.replay.result import Backtest
from streamguard.replay.scoring import Span
from streamguard.replay.sources import Source, shown
from streamguard.replay.truth import Incident, taken

# Where records are, is not asked: a configuration for this alone need not say it.
_NO_LOG = {"kind": "embedded", "path": "unused.db"}


def backtest(
    config: Config | str | Path | Mapping[str, Any],
    predictions: Any,
    labels: Any,
    *,
    truth: str | Path | Iterable[Incident | Mapping[str, Any]] = (),
    normal: str | tuple[str | int, str | int] | None = None,
) -> Backtest:
    """Run the checks of a configuration over history, and return the alerts that a live worker would have raised.

    `config`: a file's path, or the same settings as a mapping, which may leave out `log`. `predictions`, `labels`: a
    pandas, polars or pyarrow table, a mapping of columns, any iterable of rows (mappings, or JSON as text or bytes), or
    the paths of one or more files (JSON Lines, Parquet, CSV), in the order of their times. `truth`: what is known to
    have gone wrong, to score by: a file, or mappings as one holds them, such as `{"from": "2026-01-06T16:03:46Z"}`.
    `normal`: two event times (RFC 3339 or epoch milliseconds; or a text with a slash between them) between which
    nothing was wrong; the result then suggests a threshold and a budget.

    Raises `ConfigError`, which says what is wrong with settings or data, and how to mend it.

    >>> rows = [{"request_id": f"r{n}", "at": 1_767_571_200_000 + 60_000 * n} for n in range(4000)]
    >>> found = backtest(
    ...     {
    ...         "predictions": {"fields": {"time": "at"}},
    ...         "labels": {"fields": {"time": "at"}},
    ...         "join": {"after": "1h"},
    ...         "monitors": [{"name": "fraud", "threshold": {"max_mismatch_percent": 10, "window": 500}}],
    ...     },
    ...     [{**row, "prediction": "no"} for row in rows],
    ...     [{**row, "label": "yes" if n > 3000 and n % 5 == 0 else "no"} for n, row in enumerate(rows)],
    ... )
    >>> [(alert["kind"], alert["event_time"]) for alert in found.alerts]
    [('mismatch_drift', '2026-01-07T06:15:00.000Z')]
    """
    settings = _config(config)
    question = Question(truth=taken(truth), normal_ms=_normal(normal), processes=1)
    sides = [
        side_sources(settings, side, partial(_sources, given, side))
        for given, side in zip((predictions, labels), SIDES, strict=True)
    ]
    described = _said(predictions), _said(labels)
    is_files = all(map(_paths, (predictions, labels)))
    history = of_records(settings, sides[0], sides[1], "files" if is_files else "memory", described)
    return replayed(settings, history, question)


def _config(given: Config | str | Path | Mapping[str, Any]) -> Config:
    if isinstance(given, Config):
        return given
    if isinstance(given, Mapping):
        return parse({"log": _NO_LOG, **given})
    return load(given)


def _normal(given: str | tuple[str | int, str | int] | None) -> Span | None:
    if given is None:
        return None
    if isinstance(given, str):
        return checked_period(given, "normal", _time_ms)
    span = (_time_ms(given[0]), _time_ms(given[1]))
    if span[0] >= span[1]:
        raise ConfigError(f"normal: ends at {rfc3339(span[1])}, before it begins")
    return span


def _paths(given: Any) -> list[str | Path]:
    """The files that are meant, if any are: text that begins with a brace is a record."""
    many = given if isinstance(given, list | tuple) else [given]
    is_text = all(isinstance(each, str | Path) for each in many)
    return list(many) if is_text and not any(str(each).lstrip().startswith("{") for each in many) else []


def _sources(given: Any, what: str, topic: str, fields: Any) -> dict[int, Source]:
    if paths := _paths(given):
        files = find_files(paths, what)
        return {number: FileSource(topic, number, paths, fields) for number, paths in files.items()}
    return {0: as_source(given, topic, fields)}


def _said(given: Any) -> str:
    paths = _paths(given)
    return ", ".join(map(shown, map(Path, paths))) if paths else f"a {type(given).__name__}"


def _time_ms(given: str | int) -> int:
    try:
        return parse_time_ms(given)
    except Unreadable as reason:
        raise ConfigError(f"normal: {reason}") from None
