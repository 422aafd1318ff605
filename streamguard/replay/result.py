"""What a backtest has found, for programs and for people."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from streamguard.config import Config, Mode, Monitor
from streamguard.core.alerts import Status, rfc3339
from streamguard.core.fields import parse_time_ms
from streamguard.errors import ConfigError
from streamguard.replay.ledger import Ledger
from streamguard.replay.page import render
from streamguard.replay.scoring import Score, Span, outside
from streamguard.replay.series import Series
from streamguard.replay.truth import Incident

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from polars import DataFrame

VERSION = 1
# More make a page slow. Those of the configuration itself are all in alerts.jsonl.
_ALERTS_MAX = 2000


@dataclass(frozen=True, slots=True)
class Compared:
    """What one setting has raised."""

    name: str
    changes: Mapping[str, Any]
    lines: Sequence[bytes]
    """Its alerts in the order of event time, byte for byte what the alerts topic would hold."""
    raised: int
    """Alarms: alerts that call somebody."""
    notices: int
    """What got better."""
    per_month: float
    """Alarms in thirty days of event time."""
    per_month_normal: float | None = None
    """In the period that was called normal."""
    score: Score | None = None
    """By the truth, where that is known."""
    monitors: Sequence[Monitor] = ()
    """As it has them."""

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """Its alerts, as in docs/alerts.md."""
        return [orjson.loads(line) for line in self.lines]


@dataclass(slots=True, repr=False)
class Backtest:
    """The result of `streamguard.backtest`; a notebook shows it as its report."""

    config: Config
    title: str
    mode: Mode
    agreement: str
    """Whether live and replay are bound to raise the same, and why."""
    inputs: Mapping[str, Any]
    ledger: Ledger
    settings: Sequence[Compared]
    """As configured first, and then all that it was compared with."""
    counts: Mapping[str, Mapping[str, int]] | None
    """How the records of each side ended; None in mode faithful."""
    outcomes: Mapping[str, int]
    """How many were released, late, and held to the end."""
    partial: str | None = None
    """Where it broke off; None: it is whole."""
    notes: list[str] = field(default_factory=list)
    """What in the data looks wrong, and what to do about it."""
    suggestions: Sequence[str] = ()
    truth: Sequence[Incident] = ()
    references: Sequence[tuple[str, Score]] = ()
    normal_ms: Span | None = None

    def __repr__(self) -> str:
        names = f"{len(self.settings)} settings" if len(self.settings) > 1 else "1 setting"
        what = f"{self.settings[0].raised} alarms in {self.outcomes['released']:,} outcomes"
        return f"<Backtest {self.title}: {what}, {names}{f', PARTIAL: {self.partial}' if self.partial else ''}>"

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """What the configuration itself has raised."""
        return self.settings[0].alerts

    def document(self) -> dict[str, Any]:
        """The report for programs, `report.json`: plain JSON, of version 1."""
        monitors = [_monitor(each, self.ledger, self._onsets(each)) for each in self.config.monitors]
        # None crowds the others out.
        share = _ALERTS_MAX // len(self.settings)
        alerts = [
            {"setting": number, **orjson.loads(line)}
            for number, each in enumerate(self.settings)
            for line in each.lines[:share]
        ]
        return {
            "v": VERSION,
            "streamguard": version("streamguard"),
            "title": self.title,
            "mode": self.mode,
            "agreement": self.agreement,
            "partial": self.partial,
            "inputs": self.inputs,
            "counts": self.counts,
            "outcomes": self.outcomes,
            "notes": self.notes,
            "normal": None if self.normal_ms is None else _span(self.normal_ms),
            "truth": [_incident(each, self._is_scored(each)) for each in self.truth],
            "settings": [_setting(each) for each in self.settings],
            "references": [{"name": name, "score": asdict(score)} for name, score in self.references],
            "suggestions": list(self.suggestions),
            "monitors": monitors,
            "alerts": alerts,
            "alerts_left_out": sum(len(each.lines) for each in self.settings) - len(alerts),
            # Who is told is of no use to a replay, and most of it is secret.
            "config": self.config.model_copy(update={"handlers": ()}).as_yaml(),
        }

    def _onsets(self, monitor: Monitor) -> list[tuple[dict[str, str | None], int]]:
        """By segment: since when the configuration itself says that predictions are not as in training."""
        if monitor.data is None:
            return []
        raised = (each for each in map(orjson.loads, self.settings[0].lines) if each["status"] == Status.RAISED)
        return [
            (each["segment"], parse_time_ms(each["onset"]))
            for each in raised
            if each["monitor"] == monitor.name and "features" in each
        ]

    def _is_scored(self, incident: Incident) -> bool:
        span = self.ledger.span
        return span is not None and not outside([incident], span)

    def write(self, directory: str | Path) -> Path:
        """Write `report.html`, `report.json`, and `alerts.jsonl` of the configuration itself; returns the page."""
        place = Path(directory)
        document = self.document()
        page = place / "report.html"
        contents: dict[Path, Iterable[bytes]] = {
            place / "alerts.jsonl": (line + b"\n" for line in self.settings[0].lines),
            place / "report.json": (orjson.dumps(document, option=orjson.OPT_INDENT_2),),
            page: (render(document).encode(),),
        }
        try:
            place.mkdir(parents=True, exist_ok=True)
            for path, content in contents.items():
                # Never half of one, nor none where there was one.
                unfinished = path.with_name(f".{path.name}.unfinished")
                with unfinished.open("wb") as file:
                    file.writelines(content)
                unfinished.replace(path)
        except OSError as error:
            raise ConfigError(f"--out {directory}: cannot write: {error}") from None
        return page

    def to_frame(self) -> "DataFrame":
        """All alerts of all settings as a polars DataFrame, a row each; times in UTC. Needs `streamguard[notebook]`."""
        from streamguard.replay.notebook import frame  # noqa: PLC0415 - an extra

        return frame((each.name, orjson.loads(line)) for each in self.settings for line in each.lines)

    def plot(self, monitor: str | None = None, segment: Mapping[str, str | None] | None = None) -> "Axes":
        """Draw a segment's rate over event time with its band, and its alarms; by default that with most outcomes.

        Needs `streamguard[notebook]`. Raises `ConfigError` for a segment that there is not.
        """
        from streamguard.replay.notebook import draw  # noqa: PLC0415 - an extra

        chosen, series = self._chosen(monitor, segment)
        mine = chosen.name, series.segment
        raised = [alert for alert in self.alerts if alert["status"] == Status.RAISED]
        alarms = [
            parse_time_ms(alert["event_time"]) for alert in raised if (alert["monitor"], alert["segment"]) == mine
        ]
        limit = None if chosen.threshold is None else chosen.threshold.max_mismatch_percent / 100
        course = self.ledger.carried.of(chosen.name) if chosen.loss == "mismatch" else None
        expected = None if course is None else course.expected(series.segment)
        return draw(series, self.ledger.end, f"{chosen.name} {series.name}".strip(), limit, alarms, expected)

    def _chosen(self, monitor: str | None, segment: Mapping[str, str | None] | None) -> tuple[Monitor, Series]:
        monitors = {each.name: each for each in self.config.monitors}
        name = next(iter(monitors)) if monitor is None else monitor
        if name not in monitors:
            raise ConfigError(f"no monitor {name!r}; there is {', '.join(map(repr, monitors))}")
        found = self.ledger.drawn(name)
        series = next((each for each in found if segment is None or each.segment == segment), None)
        if series is None:
            there = "; ".join(each.name or "all" for each in found[:5]) or "none: no outcome came"
            raise ConfigError(f"monitor {name!r} has no segment {segment}; there is {there}")
        return monitors[name], series

    def _repr_html_(self) -> str:
        page = render(self.document()).replace("&", "&amp;").replace('"', "&quot;")
        return f'<iframe srcdoc="{page}" style="width:100%;height:44rem;border:0"></iframe>'


def _monitor(monitor: Monitor, ledger: Ledger, onsets: Sequence[tuple[dict[str, str | None], int]]) -> dict[str, Any]:
    drawn, course = ledger.drawn(monitor.name), ledger.carried.of(monitor.name)
    return {
        "name": monitor.name,
        "loss": monitor.loss,
        "is_rate": monitor.threshold is not None or monitor.loss == "mismatch",
        "checks": monitor.checks,
        "left_out": len(ledger.all(monitor.name)) - len(drawn),
        "segments": [_segment(series, ledger.end) for series in drawn],
        "carried": None if course is None else course.document(onsets),
    }


def _threshold(monitor: Monitor) -> dict[str, Any] | None:
    found = monitor.threshold
    if found is None:
        return None
    rates = {"max": found.max_mismatch_percent / 100, "resolve": found.resolve_percent / 100}
    return {**rates, "window": found.window}


def _segment(series: Series, end: int) -> dict[str, Any]:
    outcomes, labelled, count, total = series.totals
    return {
        "segment": series.segment,
        "outcomes": outcomes,
        "labelled": labelled,
        "losses": count,
        "rate": round(total / count, 6) if count else None,
        "series": series.document(end),
        "classes": series.confusion(),
    }


def _setting(each: Compared) -> dict[str, Any]:
    return {
        "name": each.name,
        "changes": dict(each.changes),
        "alerts": len(each.lines),
        "raised": each.raised,
        "notices": each.notices,
        "checks": {monitor.name: monitor.checks for monitor in each.monitors},
        "thresholds": {monitor.name: _threshold(monitor) for monitor in each.monitors},
        "per_month": round(each.per_month, 3),
        "per_month_normal": None if each.per_month_normal is None else round(each.per_month_normal, 3),
        "score": None if each.score is None else asdict(each.score),
    }


def _incident(each: Incident, is_scored: bool) -> dict[str, Any]:  # noqa: FBT001 - what is known of it
    return {
        "name": each.name,
        "from": rfc3339(each.from_ms),
        "to": None if each.to_ms is None else rfc3339(each.to_ms),
        "monitor": each.monitor,
        "segment": None if each.segment is None else dict(each.segment),
        "is_scored": is_scored,
    }


def _span(span: Span) -> dict[str, str]:
    return {"from": rfc3339(span[0]), "to": rfc3339(span[1])}
