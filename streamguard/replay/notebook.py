"""Alerts as a table and a segment as a picture, for who works in a notebook."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from streamguard.core.fields import parse_time_ms
from streamguard.errors import ConfigError
from streamguard.replay.series import Series

try:
    import polars as pl
    from matplotlib import pyplot as plt
except ModuleNotFoundError as error:
    raise ConfigError(f"this needs {error.name}: pip install 'streamguard[notebook]'") from None

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TIME = pl.Datetime("ms", "UTC")
_TEXTS = ("status", "kind", "severity", "direction", "monitor")
_COLUMNS: dict[str, Any] = {
    "setting": pl.String,
    "event_time": pl.Int64,
    **dict.fromkeys(_TEXTS, pl.String),
    "segment": pl.String,
    "check": pl.String,
    "onset": pl.Int64,
    "rate_before": pl.Float64,
    "rate_after": pl.Float64,
    "episode": pl.String,
    "id": pl.String,
}


def frame(alerts: Iterable[tuple[str, Mapping[str, Any]]]) -> pl.DataFrame:
    """Alerts, each with the name of its setting, a row each."""
    found = pl.DataFrame([_row(setting, alert) for setting, alert in alerts], schema=_COLUMNS)
    return found.with_columns(pl.col("event_time", "onset").cast(_TIME))


def draw(
    series: Series,
    end: int,
    title: str,
    limit: float | None,
    alarms_ms: Iterable[int],
    expected: tuple[np.ndarray[Any, Any], Sequence[float | None]] | None = None,
) -> "Axes":
    """A segment's mean loss in its bins before `end`, with the band of each, a limit, and when there were alarms.

    `expected`: times in epoch ms, and the rate that scores let expect.
    """
    columns = series.document(end)
    rates, low, high = (np.array(columns[name], np.float64) for name in ("rate", "low", "high"))
    starts = columns["start_ms"] + columns["width_ms"] * (np.arange(end) + 0.5)
    is_known = ~np.isnan(rates)
    times = _dates(starts)[is_known]
    figure, axes = plt.subplots(figsize=(10, 4), layout="constrained")
    axes.fill_between(times, low[is_known], high[is_known], alpha=0.2, label="95% band")
    axes.plot(times, rates[is_known], linewidth=1, label="mean loss")
    if expected is not None and any(each is not None for each in expected[1]):
        rates = np.array(expected[1], np.float64)
        axes.plot(_dates(expected[0]), rates, color="0.4", linestyle=":", label="expected from scores")
    if limit is not None:
        axes.axhline(limit, color="0.4", linestyle="--", label="threshold")
    for number, time in enumerate(_dates(np.array(list(alarms_ms), np.float64))):
        axes.axvline(time, color="tab:red", linewidth=1, label=None if number else "alarm")
    axes.set(title=title, xlabel="event time (UTC)", ylabel="mean loss", ylim=(0, None))
    axes.legend(loc="upper left")
    figure.autofmt_xdate()
    return axes


def _dates(times_ms: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return times_ms.astype(np.int64).astype("datetime64[ms]")


def _row(setting: str, alert: Mapping[str, Any]) -> dict[str, Any]:
    before, after = alert["before"] or {}, alert["after"] or {}
    return {
        "setting": setting,
        "event_time": parse_time_ms(alert["event_time"]),
        **{name: alert[name] for name in _TEXTS},
        "segment": orjson.dumps(alert["segment"]).decode(),
        "check": alert["check"]["type"],
        "onset": None if alert["onset"] is None else parse_time_ms(alert["onset"]),
        "rate_before": before.get("rate"),
        "rate_after": after.get("rate"),
        "episode": alert["episode"],
        "id": alert["id"],
    }
