"""What a monitor task must tell, one outcome at a time: slow, written for clarity, without code of that task.

Written from docs/design.md ("Semantics", "Monitors") and docs/alerts.md. Left out are the onset, the levels before
and after that follow from it, `look_first` and the offsets behind an alert.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from statistics import median_low
from typing import Any

import orjson

from streamguard.config import Monitor
from streamguard.core.records import Output, Stream
from tests.core.helpers import Row, rows_of
from tests.laws.reference_checks import BETTER, UNKNOWN, UNTOLD, WORSE, Drift, Share, Signal, Untold, Window, loss_of

RAISED, UPDATED, RESOLVED = "raised", "updated", "resolved"

Trigger = tuple[int, int, int, int]
"""Outcome time, source, prediction offset, label offset: the total order."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An alert, as far as the reference knows it. The ID stands for the trigger and the check's settings."""

    monitor: str
    segment: tuple[tuple[str, str | None], ...]
    kind: str
    check: str
    status: str
    severity: str
    event_time_ms: int
    direction: str
    id: str
    episode: str
    window: Window | Untold | None = field(default=None, hash=False)
    absorbed: int = 0
    duration_ms: int | None = None
    examples: tuple[str, ...] = ()
    coverage: float | None = None
    delay_ms: int | None = None
    trigger: Trigger | None = field(default=None, compare=False)
    """Known to the reference alone; for the eye."""


def seen(outputs: Sequence[Output]) -> list[Seen]:
    """The real alerts among these outputs, in order."""
    return [_read(orjson.loads(output.value or b"")) for output in outputs if output.stream is Stream.ALERTS]


def _read(data: dict[str, Any]) -> Seen:
    window: Window | Untold | None = None
    if data["check"]["type"] == "threshold":
        after = data["after"]
        window = None if after is None else Window(after["count"], round(after["rate"] * after["count"]))
    labels = data["labels"]
    since_1970 = datetime.fromisoformat(data["event_time"]) - datetime.fromisoformat("1970-01-01T00:00:00Z")
    return Seen(
        monitor=data["monitor"],
        segment=tuple(data["segment"].items()),
        kind=data["kind"],
        check=data["check"]["type"],
        status=data["status"],
        severity=data["severity"],
        event_time_ms=since_1970 // timedelta(milliseconds=1),
        direction=data["direction"],
        id=data["id"],
        episode=data["episode"],
        window=window,
        absorbed=data["absorbed"],
        duration_ms=_ms(data["duration_s"]),
        examples=tuple(data["examples"]),
        coverage=labels.get("coverage"),
        delay_ms=_ms(labels.get("delay_median_s")),
    )


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def sourced(records: Iterable[bytes | None]) -> list[tuple[int, Row]]:
    """All outcomes in these records of the outcomes topic, each with the input partition it is from."""
    return [
        (orjson.loads(value or b"")["source"], row)
        for value in records
        for row in rows_of([Output(Stream.OUTCOMES, None, value)])
    ]


def watch(rows: Iterable[tuple[int, Row]], monitors: Sequence[Monitor], cooldown_ms: int) -> list[Seen]:
    """All alerts over the (source, outcome) pairs of one outcomes partition, none of which came late."""
    order = {monitor.name: number for number, monitor in enumerate(monitors)}
    watched: dict[tuple[str, tuple[str | None, ...]], _Segment] = {}
    full: set[str] = set()
    found: list[Seen] = []
    for source, row in sorted(rows, key=lambda each: (*_trigger(*each), order[each[1].monitor])):
        monitor, key = monitors[order[row.monitor]], (row.monitor, row.segment)
        if key not in watched:
            segment = _Segment(monitor, row.segment, cooldown_ms)
            if sum(name == row.monitor for name, _ in watched) >= monitor.max_segments:
                if row.monitor not in full:
                    found.append(segment.full(_trigger(source, row)))
                full.add(row.monitor)
                continue
            watched[key] = segment
        found += watched[key].take(row, _trigger(source, row))
    return found


def _trigger(source: int, row: Row) -> Trigger:
    return max(row.prediction_time, row.label_time), source, row.prediction_offset, row.label_offset


@dataclass(slots=True)
class _Check:
    """A check, and its trouble, if any."""

    about: dict[str, Any]
    cooldown_ms: int
    test: Share | Drift
    raised: Seen | None = None
    """The alert that opened the episode; None: none is open."""
    told_ms: int = 0
    absorbed: int = 0
    ended_ms: int | None = None
    is_muted: bool = False

    def hear(self, direction: str, time_ms: int) -> str | None:
        """The status of the alert that a signal makes; None: nobody needs to hear of it."""
        if direction == BETTER:
            if self.is_muted:
                self.is_muted = False
                return None
            return RAISED if self.raised is None else RESOLVED
        if self.raised is not None:
            if time_ms - self.told_ms >= self.cooldown_ms:
                return UPDATED
            self.absorbed += 1
            return None
        self.is_muted = self.ended_ms is not None and time_ms - self.ended_ms < self.cooldown_ms
        return None if self.is_muted else RAISED

    def is_due(self, time_ms: int) -> bool:
        """Whether muted trouble has outlasted the cooldown."""
        return self.is_muted and self.ended_ms is not None and time_ms - self.ended_ms >= self.cooldown_ms


class _Segment:
    """One monitored stream, and all that came on it."""

    def __init__(self, monitor: Monitor, values: tuple[str | None, ...], cooldown_ms: int) -> None:
        self._monitor = monitor
        self._named = dict(zip(monitor.split_by, values, strict=True))
        self._rows: list[Row] = []
        self._mistakes: list[str] = []
        self._has_agreed = False
        self._disagreed = 0
        self._finding: Seen | None = None
        self._checks = []
        if monitor.threshold is not None:
            about = {"type": "threshold", **monitor.threshold.model_dump(mode="json", exclude_none=True)}
            self._checks.append(_Check(about, monitor.threshold.cooldown, Share(monitor.threshold)))
        for each in monitor.detectors:
            self._checks.append(_Check(each.model_dump(mode="json", exclude_none=True), cooldown_ms, Drift(each)))

    def take(self, row: Row, trigger: Trigger) -> list[Seen]:
        """What this outcome sets off."""
        self._rows.append(row)
        if row.label_offset < 0:
            return []
        loss, agrees = loss_of(self._monitor.loss.value, row.prediction, row.label)
        found = self._agree(row, trigger, agrees=agrees)
        if not self._has_agreed or (not agrees and self._monitor.loss.value != "mismatch"):
            return found
        if loss > 0:
            self._mistakes.append(row.id)
        for check in self._checks:
            signal = check.test.look(trigger[0], loss)
            if signal is not None:
                found += self._tell(check, signal, trigger)
            if check.is_due(trigger[0]):
                check.is_muted = False
                found += self._tell(check, (WORSE, UNTOLD), trigger)
        return found

    def _agree(self, row: Row, trigger: Trigger, *, agrees: bool) -> list[Seen]:
        """Types that disagree fifty times before they ever agree are a finding, until they do."""
        if self._has_agreed:
            return []
        given: dict[str, Any] = {"kind": "type_disagreement", "severity": "warning", "examples": (row.id,)}
        if not agrees:
            self._disagreed += 1
            if self._disagreed == 50:
                self._finding = self._alert({"type": "types"}, RAISED, trigger, **given)
                return [self._finding]
            return []
        self._has_agreed = True
        if self._finding is None:
            return []
        return [self._alert({"type": "types"}, RESOLVED, trigger, opened=self._finding, **given)]

    def _tell(self, check: _Check, signal: Signal, trigger: Trigger) -> list[Seen]:
        (direction, window), time_ms = signal, trigger[0]
        status = check.hear(direction, time_ms)
        if status is None:
            return []
        is_notice = status == RAISED and direction == BETTER
        settled = [each.label_offset >= 0 for each in self._rows[-1000:]]
        labelled = [each for each in self._rows if each.label_offset >= 0]
        delays_ms = [max(0, each.label_time - each.prediction_time) for each in labelled[-255:]]
        alert = self._alert(
            check.about,
            status,
            trigger,
            kind="mismatch_drift" if self._monitor.loss.value == "mismatch" else "loss_drift",
            severity="info" if is_notice else self._monitor.severity,
            direction=direction,
            window=window,
            opened=check.raised,
            absorbed=check.absorbed,
            examples=() if direction == BETTER else tuple(self._mistakes[-5:]),
            coverage=round(sum(settled) / len(settled), 6),
            delay_ms=median_low(delays_ms),
        )
        if status == RESOLVED:
            check.raised, check.ended_ms = None, time_ms
        elif not is_notice:
            check.raised, check.told_ms = check.raised or alert, time_ms
        check.absorbed = 0
        return [alert]

    def full(self, trigger: Trigger) -> Seen:
        """The monitor has no room for this segment."""
        about = {"type": "segments", "max_segments": self._monitor.max_segments}
        return self._alert(about, RAISED, trigger, kind="segments_full", severity="warning")

    def _alert(
        self,
        about: dict[str, Any],
        status: str,
        trigger: Trigger,
        *,
        kind: str,
        opened: Seen | None = None,
        direction: str = UNKNOWN,
        **others: Any,
    ) -> Seen:
        content = [self._monitor.name, self._named, kind, about, status, trigger]
        name = blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()
        return Seen(
            monitor=self._monitor.name,
            segment=tuple(self._named.items()),
            kind=kind,
            check=about["type"],
            status=status,
            event_time_ms=trigger[0],
            direction=direction,
            id=name,
            episode=name if opened is None else opened.id,
            duration_ms=trigger[0] - opened.event_time_ms if opened is not None and status == RESOLVED else None,
            trigger=trigger,
            **others,
        )
