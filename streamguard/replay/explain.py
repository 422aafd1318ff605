"""From an alert back to the records behind it: what its check saw, and what those that went wrong have in common."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamguard.config import Config, Monitor
from streamguard.core import history as levels
from streamguard.core.alerts import Status
from streamguard.core.bands import anytime_band
from streamguard.core.detectors import Direction
from streamguard.core.fields import parse_time_ms
from streamguard.core.intake import horizons
from streamguard.core.losses import is_bounded, losses
from streamguard.core.outcomes import Outcomes, read_outcomes
from streamguard.errors import ConfigError
from streamguard.replay.behind import Kept, parts_behind, written_at
from streamguard.replay.history import History
from streamguard.replay.joining import Joinings, Pair
from streamguard.replay.leads import Lead, leads

_STEPS = 16
_EXAMPLES = 8
_AROUND = 3


@dataclass(frozen=True, slots=True)
class Step:
    """Some outcomes that follow each other."""

    from_ms: int
    to_ms: int
    count: int
    rate: float
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Seen:
    """An outcome that the check was fed, and its prediction as it was written."""

    time_ms: int
    request_id: str
    prediction: Any
    label: Any
    has_label: bool
    loss: float
    where: str
    """Partition and offset of the prediction, and of its label if there is one."""
    record: str
    """The prediction, as far as it is text."""


@dataclass(frozen=True, slots=True)
class Carried:
    """A prediction as it was written, that an alert of what predictions carry names."""

    where: str
    """Its partition and offset."""
    told: str | None
    """What it is an example of; None: the first since the onset."""
    record: str


@dataclass(slots=True)
class Explanation:
    """What was found about an alert."""

    alert: Mapping[str, Any]
    onset_ms: int
    """As the alert tells; where it tells none, as the records do."""
    is_of_labels: bool
    """Whether the check looks at which predictions get a label: the loss is then 1 of one that got none."""
    steps: list[Step] = field(default_factory=list)
    around: list[Seen] = field(default_factory=list)
    """Outcomes just before the onset and after it."""
    wrong: list[Seen] = field(default_factory=list)
    """The largest losses since the onset; of mismatches the first."""
    leads: list[Lead] = field(default_factory=list)
    carried: list[Carried] = field(default_factory=list)
    """Of an alert of what predictions carry: there are no steps, outcomes and leads then."""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Outcomes that the check was fed, in order, and how far each is off."""

    rows: Outcomes
    values: NDArray[np.float64]
    onset_ms: int
    is_rate: bool
    """Whether no value is above 1."""

    @property
    def after(self) -> NDArray[np.bool_]:
        """Which are since the onset."""
        return np.asarray(self.rows.time >= self.onset_ms)


def explain(config: Config, history: History, alert: Mapping[str, Any]) -> Explanation:
    """Read what is behind an alert, and as much before it; `history` is of what raised it.

    Of an alert of what predictions carry the predictions alone are shown that it names. Raises `ConfigError` where the
    alert names no records, or its monitor is gone.
    """
    is_of_labels = alert["check"].get("of") == "unlabelled"
    onset_ms = parse_time_ms(alert["onset"] or alert["event_time"])
    found = Explanation(alert, onset_ms, is_of_labels, notes=list(history.notes))
    monitor = next((each for each in config.monitors if each.name == alert["monitor"]), None)
    if monitor is None:
        raise ConfigError(f"the alert is of monitor {alert['monitor']!r}, which this configuration does not have")
    if not alert["source"]:
        raise ConfigError(
            f"an alert of kind {alert['kind']} has no records behind it: {'; '.join(alert['look_first'])}"
        )
    if "features" in alert:
        found.carried = _carried(history, alert)
        found.notes.append(
            "an alert of what predictions carry needs no label, so no outcomes are shown; how each feature went over"
            " time is in the report of a backtest"
        )
        return found
    pairs, kept = parts_behind(history, alert["source"], found.notes, with_unlabelled=is_of_labels)
    rows = _joined(history, pairs, monitor, found)
    if rows is None:
        found.notes.append("none of the records behind the alert is matched: are they gone, or the settings others?")
        return found
    found.onset_ms = rows.onset_ms
    found.steps = _steps(rows)
    found.around = [_seen(rows, kept, int(place)) for place in _around(rows)]
    found.wrong = [_seen(rows, kept, int(place)) for place in _wrong(rows)]
    if alert["status"] != Status.RESOLVED and alert["direction"] != Direction.BETTER:
        found.leads = leads(config, _records(rows, kept))
    return found


def _carried(history: History, alert: Mapping[str, Any]) -> list[Carried]:
    """The examples of what has moved, and the first predictions of each partition since the onset."""
    examples = [(each["told"], each["example"]) for each in alert["features"]["moved"] if "example" in each]
    places = [(told, (each["partition"], each["offset"])) for told, each in examples]
    for number, (first, end) in alert["source"].get(history.topics[0], {}).items():
        places += ((None, (int(number), offset)) for offset in range(first, min(end, first + _AROUND)))
    wanted: dict[int, list[int]] = {}
    for _, (number, offset) in places:
        wanted.setdefault(number, []).append(offset)
    values = written_at(history, wanted)
    return [
        Carried(f"predictions-{place[0]}@{place[1]}", told, values[place].decode(errors="replace"))
        for told, place in places
        if place in values
    ]


def _joined(history: History, pairs: Sequence[Pair], monitor: Monitor, found: Explanation) -> _Rows | None:
    """The outcomes of the alert's stream up to the alert, with their losses."""
    alert = found.alert
    segment = tuple(alert["segment"].get(name) for name in monitor.split_by) if alert["segment"] else None
    until_ms = parse_time_ms(alert["event_time"])
    parts = []
    for value in _outcomes(history, pairs, until_ms):
        for name, segments, rows in read_outcomes(value).blocks:
            if name == monitor.name:
                if monitor.cohorts:
                    rows.time = horizons(rows, history.topology.monitor.reach_ms)
                numbers = [number for number, each in enumerate(segments) if segment in (None, each)]
                is_fed = np.isin(rows.stream, numbers) & (rows.time <= until_ms)
                parts.append(rows.take(is_fed & (found.is_of_labels | (rows.label_offset >= 0))))
    if not any(map(len, parts)):
        return None
    rows = Outcomes.concatenate(parts)
    rows = rows.take(rows.order())
    if found.is_of_labels:
        values = (rows.label_offset < 0).astype(np.float64)
        return _Rows(rows, values, _label_onset_ms(alert, rows, values), is_rate=True)
    columns = rows.prediction.tolist(), rows.label.tolist(), rows.score.tolist()
    values, comparable = losses(monitor.loss, *columns, monitor.positive)
    is_rate = is_bounded(monitor.loss)
    usable = np.ones(len(rows), np.bool_) if is_rate else comparable
    return _Rows(rows.take(usable), values[usable], found.onset_ms, is_rate)


def _outcomes(history: History, pairs: Sequence[Pair], until_ms: int) -> Iterator[bytes]:
    """All up to a time, those included that wait for a label no longer by then."""
    joinings = Joinings(pairs, history.join)
    for step in joinings.steps():
        yield from (value for _, value in step.outcomes)
    yield from (value for _, value in joinings.advance(until_ms + 1, is_last=True))


def _label_onset_ms(alert: Mapping[str, Any], rows: Outcomes, values: NDArray[np.float64]) -> int:
    """Since when labels are missing, which no alert tells; of one that is resolved since when they come again."""
    past = levels.History()
    past.add(rows.time.tolist(), values.tolist())
    change = past.change(int(rows.time[0]), sign=-1 if alert["status"] == Status.RESOLVED else 1)
    return int(rows.time[0]) if change is None else change.onset_ms


def _steps(joined: _Rows) -> list[Step]:
    """Before the onset and since, each cut into pieces of as many outcomes."""
    steps = []
    for places in (np.flatnonzero(~joined.after), np.flatnonzero(joined.after)):
        for piece in np.array_split(places, min(_STEPS // 2, max(1, len(places) // 10))):
            if len(piece):
                count, total = len(piece), float(joined.values[piece].sum())
                band = anytime_band(min(total, count), count) if joined.is_rate else None
                times = joined.rows.time[piece]
                steps.append(Step(int(times[0]), int(times[-1]), count, total / count, band))
    return steps


def _around(joined: _Rows) -> NDArray[np.intp]:
    first = int(np.searchsorted(joined.rows.time, joined.onset_ms))
    return np.arange(max(0, first - _AROUND), min(len(joined.rows), first + _AROUND))


def _wrong(joined: _Rows) -> NDArray[np.intp]:
    places = np.flatnonzero(joined.after & (joined.values > 0))
    largest = places[np.argsort(-joined.values[places], kind="stable")[:_EXAMPLES]]
    return np.sort(largest)


def _seen(joined: _Rows, kept: Mapping[int, Kept], place: int) -> Seen:
    rows = joined.rows
    source, offset, label_offset = (
        int(each[place]) for each in (rows.source, rows.prediction_offset, rows.label_offset)
    )
    has_label = label_offset >= 0
    return Seen(
        int(rows.time[place]),
        rows.id[place],
        rows.prediction[place],
        rows.label[place],
        has_label,
        float(joined.values[place]),
        f"predictions-{source}@{offset}{f', labels-{source}@{label_offset}' if has_label else ''}",
        kept[source].value(offset).decode(errors="replace"),
    )


def _records(joined: _Rows, kept: Mapping[int, Kept]) -> Iterator[tuple[bytes, bool, float]]:
    rows = joined.rows
    columns = rows.source, rows.prediction_offset, joined.after, joined.values
    for source, offset, is_after, value in zip(*(each.tolist() for each in columns), strict=True):
        yield kept[source].value(offset), is_after, value
