"""From an alert back to the records behind it: what its check saw, and what those that went wrong have in common."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from streamguard.config import Config, Monitor
from streamguard.core.alerts import Status, rfc3339
from streamguard.core.bands import anytime_band
from streamguard.core.detectors import Direction
from streamguard.core.explaining import leading
from streamguard.core.fields import canonical, parse_time_ms
from streamguard.core.history import Mean
from streamguard.core.losses import is_bounded, losses
from streamguard.core.outcomes import Outcomes, read_outcomes
from streamguard.core.records import Batch
from streamguard.errors import ConfigError
from streamguard.replay.history import History
from streamguard.replay.joining import Joinings, Pair
from streamguard.replay.sources import OnRead, Source, ignored

# What came before the range of an alert is needed to compare with; that of one is read, at most so much.
_RECORDS_MAX = 200_000
_STEPS = 16
_EXAMPLES = 8
_AROUND = 3
_VALUES_MAX = 50
_LEADS = 5
# By how much more of the rise than of the traffic a value must explain, and by how many deviations: many are compared.
_SALIENT = 0.1
_SURE = 3.0


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
    loss: float
    where: str
    """Partition and offset of the prediction and of its label."""
    record: str
    """The prediction, as far as it is text."""


@dataclass(frozen=True, slots=True)
class Lead:
    """A value of a field of the predictions that explains more of the rise than it has of the traffic."""

    field: str
    value: str | None
    before: float | None
    after: float
    share: float
    """Of the rise."""
    traffic_before: float
    traffic: float
    """Its shares of the outcomes before the onset, and since."""


@dataclass(slots=True)
class Explanation:
    """What was found about an alert."""

    alert: Mapping[str, Any]
    steps: list[Step] = field(default_factory=list)
    around: list[Seen] = field(default_factory=list)
    """Outcomes just before the onset and after it."""
    wrong: list[Seen] = field(default_factory=list)
    """The largest losses since the onset; of mismatches the first."""
    leads: list[Lead] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _Kept:
    """A part of a source, whose values are kept as they came."""

    def __init__(self, source: Source, start: int, end: int) -> None:
        self._source = source
        self._start, self._end = start, end
        self._batches: list[Batch] = []
        self.topic, self.partition, self.size = source.topic, source.partition, 0

    def batches(self, on_read: OnRead = ignored) -> Iterator[Batch]:
        """Only records of the range."""
        for batch in self._source.batches(on_read):
            offsets = np.asarray(batch.offsets)
            first, last = np.searchsorted(offsets, [self._start, self._end])
            if first < last:
                part = batch.part(int(first), int(last))
                self._batches.append(part)
                yield part
            if batch.next_offset >= self._end:
                return

    def value(self, offset: int) -> bytes:
        """Of the record at an offset."""
        for batch in self._batches:
            if offset < batch.next_offset:
                place = int(np.searchsorted(np.asarray(batch.offsets), offset))
                return batch.values[place] or b""
        return b""


@dataclass(frozen=True, slots=True)
class _Rows:
    """Outcomes with a loss, in order, and how far each is off."""

    rows: Outcomes
    values: "np.ndarray[Any, np.dtype[np.float64]]"
    onset_ms: int

    @property
    def after(self) -> "np.ndarray[Any, np.dtype[np.bool_]]":
        """Which are since the onset."""
        return np.asarray(self.rows.time >= self.onset_ms)


def explain(config: Config, history: History, alert: Mapping[str, Any]) -> Explanation:
    """Read what is behind an alert, and as much before it; `history` is of what raised it.

    Raises `ConfigError` where the alert names no records, or its monitor is gone.
    """
    found = Explanation(alert, notes=list(history.notes))
    monitor = next((each for each in config.monitors if each.name == alert["monitor"]), None)
    if monitor is None:
        raise ConfigError(f"the alert is of monitor {alert['monitor']!r}, which this configuration does not have")
    if not alert["source"]:
        raise ConfigError(
            f"an alert of kind {alert['kind']} has no records behind it: {'; '.join(alert['look_first'])}"
        )
    kept, pairs = _parts(history, alert, found.notes)
    rows = _joined(history, pairs, monitor, alert)
    if rows is None:
        found.notes.append("none of the records behind the alert is matched: are they gone, or the settings others?")
        return found
    found.steps = _steps(rows, monitor)
    found.around = [_seen(rows, kept, int(place)) for place in _around(rows)]
    found.wrong = [_seen(rows, kept, int(place)) for place in _wrong(rows)]
    if alert["status"] != Status.RESOLVED and alert["direction"] != Direction.BETTER:
        found.leads = _leads(config, rows, kept)
    return found


def _parts(history: History, alert: Mapping[str, Any], notes: list[str]) -> tuple[dict[int, _Kept], list[Pair]]:
    """The inputs' parts behind an alert; predictions by partition."""
    predictions, labels = (alert["source"].get(name, {}) for name in history.topics)
    kept, pairs = {}, []
    for pair in history.pairs:
        span, label_span = predictions.get(str(pair.number)), labels.get(str(pair.number))
        if span is None or label_span is None:
            continue
        start, end = span
        if end - start > _RECORDS_MAX:
            notes.append(
                f"partition {pair.number}: of {end - start:,} predictions the first {_RECORDS_MAX:,} were read"
            )
            end = start + _RECORDS_MAX
        before = min(end - start + 1000, _RECORDS_MAX)
        of_labels = min(label_span[1] - label_span[0] + 1000, _RECORDS_MAX)
        kept[pair.number] = _Kept(pair.predictions, start - before, end)
        # Labels come later than what they belong to, and may lie beyond what was released.
        pairs.append(
            Pair(
                pair.number,
                kept[pair.number],
                _Kept(pair.labels, label_span[0] - of_labels, label_span[0] + 2 * _RECORDS_MAX),
            )
        )
    return kept, pairs


def _joined(history: History, pairs: Sequence[Pair], monitor: Monitor, alert: Mapping[str, Any]) -> _Rows | None:
    """The outcomes of the alert's stream up to the alert, with their losses."""
    segment = tuple(alert["segment"].get(name) for name in monitor.split_by) if alert["segment"] else None
    until_ms = parse_time_ms(alert["event_time"])
    parts = []
    joinings = Joinings(pairs, history.join)
    for step in joinings.steps():
        for _, value in step.outcomes:
            for name, segments, rows in read_outcomes(value).blocks:
                if name == monitor.name:
                    numbers = [number for number, each in enumerate(segments) if segment in (None, each)]
                    is_mine = np.isin(rows.stream, numbers) & (rows.label_offset >= 0) & (rows.time <= until_ms)
                    parts.append(rows.take(is_mine))
    if not any(map(len, parts)):
        return None
    rows = Outcomes.concatenate(parts)
    rows = rows.take(rows.order())
    values, comparable = losses(
        monitor.loss, rows.prediction.tolist(), rows.label.tolist(), rows.score.tolist(), monitor.positive
    )
    usable = comparable if not is_bounded(monitor.loss) else np.ones(len(rows), np.bool_)
    onset = alert["onset"] or alert["event_time"]
    return _Rows(rows.take(usable), values[usable], parse_time_ms(onset))


def _steps(joined: _Rows, monitor: Monitor) -> list[Step]:
    """Before the onset and since, each cut into pieces of as many outcomes."""
    steps = []
    after = np.flatnonzero(joined.after)
    before = np.flatnonzero(~joined.after)
    for places in (before, after):
        for piece in np.array_split(places, min(_STEPS // 2, max(1, len(places) // 10))):
            if len(piece):
                count, total = len(piece), float(joined.values[piece].sum())
                band = anytime_band(min(total, count), count) if is_bounded(monitor.loss) else None
                times = joined.rows.time[piece]
                steps.append(Step(int(times[0]), int(times[-1]), count, total / count, band))
    return steps


def _around(joined: _Rows) -> "np.ndarray[Any, np.dtype[np.intp]]":
    first = int(np.searchsorted(joined.rows.time, joined.onset_ms))
    return np.arange(max(0, first - _AROUND), min(len(joined.rows), first + _AROUND))


def _wrong(joined: _Rows) -> "np.ndarray[Any, np.dtype[np.intp]]":
    places = np.flatnonzero(joined.after & (joined.values > 0))
    largest = places[np.argsort(-joined.values[places], kind="stable")[:_EXAMPLES]]
    return np.sort(largest)


def _seen(joined: _Rows, kept: Mapping[int, _Kept], place: int) -> Seen:
    rows = joined.rows
    source, offset = int(rows.source[place]), int(rows.prediction_offset[place])
    return Seen(
        int(rows.time[place]),
        rows.id[place],
        rows.prediction[place],
        rows.label[place],
        float(joined.values[place]),
        f"predictions-{source}@{offset}, labels-{source}@{int(rows.label_offset[place])}",
        kept[source].value(offset).decode(errors="replace"),
    )


def _leads(config: Config, joined: _Rows, kept: Mapping[int, _Kept]) -> list[Lead]:
    """Compare the values of every field of the predictions that has few of them."""
    fields = config.predictions.fields
    own = {fields.request_id.path, fields.value.path, *(each.path for each in (fields.time, fields.score) if each)}
    columns: dict[str, dict[str | None, list[list[float]]]] = {}
    rows, after = joined.rows, joined.after
    for place in range(len(rows)):
        record = _flat(kept[int(rows.source[place])].value(int(rows.prediction_offset[place])))
        for name, value in record.items():
            values = columns.setdefault(name, {})
            if name not in own and len(values) <= _VALUES_MAX:
                sums = values.setdefault(value, [[0, 0.0], [0, 0.0]])[int(after[place])]
                sums[0] += 1
                sums[1] += joined.values[place]
    counts = max(1, int((~after).sum())), max(1, int(after.sum()))
    wrong = float(joined.values[after].sum())
    leads = []
    for name, values in columns.items():
        if not 1 < len(values) <= _VALUES_MAX:
            continue
        levels = [({name: value}, Mean(int(b[0]), b[1]), Mean(int(a[0]), a[1])) for value, (b, a) in values.items()]
        for each in leading([level for level in levels if level[1].count or level[2].count]):
            value = each["segment"][name]
            before, since = (side[0] / count for side, count in zip(values[value], counts, strict=True))
            # By how many deviations more losses are of this value than its traffic would bring.
            spread = math.sqrt(max(1e-9, wrong * since * (1 - since)))
            if each["share"] - since >= _SALIENT and (values[value][1][1] - wrong * since) / spread >= _SURE:
                shares = each["share"], round(before, 3), round(since, 3)
                leads.append(Lead(name, value, each["before"], each["after"], *shares))
    return sorted(leads, key=lambda each: (-each.share, each.traffic))[:_LEADS]


def _flat(value: bytes, prefix: str = "") -> dict[str, str | None]:
    """The record's scalars by their dotted paths."""
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        return {}
    return dict(_scalars(found, prefix)) if isinstance(found, dict) else {}


def _scalars(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str | None]]:
    for name, value in node.items():
        if isinstance(value, dict):
            yield from _scalars(value, f"{prefix}{name}.")
        elif not isinstance(value, list):
            yield f"{prefix}{name}", canonical(value)


def told(found: Explanation) -> Iterator[str]:
    """The explanation as lines of text."""
    alert = found.alert
    segment = ", ".join(f"{name}={value}" for name, value in alert["segment"].items())
    yield f"{alert['status']} {alert['kind']} of monitor {alert['monitor']}{f' ({segment})' if segment else ''}"
    yield f"at {alert['event_time']}, onset about {alert['onset'] or 'unknown'}, by {alert['check']['type']}"
    yield from (f"look first: {each}" for each in alert["look_first"])
    if alert["guarantee"]:
        yield f"guarantee: {alert['guarantee']}"
    yield from (f"note: {each}" for each in found.notes)
    yield from _told_steps(found)
    if found.leads:
        yield ""
        yield "what those that went wrong have in common:"
        for lead in found.leads:
            before = "new" if lead.before is None else f"{lead.before:.2%}"
            yield (
                f"  {lead.field}={lead.value}: {before} -> {lead.after:.2%}, {lead.share:.0%} of the rise with"
                f" {lead.traffic:.0%} of the traffic ({lead.traffic_before:.0%} before)"
            )
    for title, seen in (("around the onset:", found.around), ("wrong since the onset:", found.wrong)):
        if seen:
            yield ""
            yield title
            for each in seen:
                what = f"{each.prediction!r}, label {each.label!r}"
                yield f"  {rfc3339(each.time_ms)} {each.request_id}: {what} ({each.where})"
                yield f"    {each.record[:400]}"


def _told_steps(found: Explanation) -> Iterator[str]:
    if not found.steps:
        return
    onset_ms = parse_time_ms(found.alert["onset"] or found.alert["event_time"])
    most = max(each.rate for each in found.steps) or 1.0
    yield ""
    yield "what the check saw:"
    is_after = False
    for each in found.steps:
        if not is_after and each.from_ms >= onset_ms:
            is_after = True
            yield f"  -- onset, {rfc3339(onset_ms)}"
        band = "" if each.interval is None else f" ({each.interval[0]:.2%} to {each.interval[1]:.2%})"
        rate = f"{each.rate:.2%}" if each.interval is not None else f"{each.rate:.6g}"
        bar = "#" * round(30 * each.rate / most)
        yield f"  {rfc3339(each.from_ms)} {each.count:>7,} outcomes, {rate:>8}{band:<22} {bar}"
