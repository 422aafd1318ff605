"""What a worker tells in its log about the data: each thing once, with the setting that mends it."""

from collections.abc import Iterable, Mapping

import structlog

from streamguard.config import Config
from streamguard.core.alerts import alert_data
from streamguard.core.join import Input, JoinTask
from streamguard.core.monitor import MonitorTask
from streamguard.core.records import Fate, Output, Stream

AlertKinds = dict[tuple[str, str, str], int]
"""How many alerts there were of a kind, severity and status."""

_log = structlog.get_logger("streamguard.worker")

# So many records, and so large a share of them late, is a setting and not a few stragglers.
_LATE_RECORDS = 100
_LATE_SHARE = 0.1
_UNMATCHED_SHARE = 0.3
_REASONS_MAX = 20
# Milliseconds below this are early 1973; seconds of today are far below it.
_SECONDS_MAX = 100_000_000_000


class Notices:
    """Remembers what has been said."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._models: set[str] = set()
        self._late: set[tuple[int, Input]] = set()
        self._reasons: set[str] = set()
        self._monitors: set[int] = set()
        self._unlikely: set[tuple[str, Input]] = set()

    def unmonitored(self, counts: Mapping[str, int]) -> None:
        """A model that no monitor takes is named once."""
        for model in counts.keys() - self._models:
            if len(self._models) >= _REASONS_MAX:
                return
            self._models.add(model)
            monitors = [monitor.name for monitor in self._config.monitors]
            _log.warning("model_unmonitored", model=model, monitors=monitors, mend="add a monitor that matches it")

    def late(self, number: int, task: JoinTask) -> None:
        """Many late records have a likely cause."""
        for side in Input:
            counts = task.counts(side)
            late, consumed = counts[Fate.LATE], counts["consumed"]
            if (number, side) in self._late or late < _LATE_RECORDS or late < _LATE_SHARE * consumed:
                continue
            self._late.add((number, side))
            section = self._config.predictions if side is Input.PREDICTIONS else self._config.labels
            name = side.name.lower()
            mend = (
                f"raise join.disorder (now {self._config.join.disorder_ms} ms)"
                if section.fields.time is None
                else f"{name}.fields.time may not be when the record became known: leave it out to use the Kafka"
                f" timestamp, or raise join.disorder (now {self._config.join.disorder_ms} ms)"
            )
            if self._config.join.idle_after_ms is not None:
                mend += (
                    f"; where records come in batches further apart than join.idle_after"
                    f" ({self._config.join.idle_after_ms} ms), raise that, or set it to null"
                )
            _log.warning("records_late", input=name, partition=number, late=late, consumed=consumed, mend=mend)

    def unlikely(self, number: int, task: JoinTask) -> None:
        """Times in 1970, and labels without predictions, have likely causes too."""
        for side in Input:
            if 0 <= task.clock_ms(side) < _SECONDS_MAX and ("times", side) not in self._unlikely:
                self._unlikely.add(("times", side))
                mend = "the time field must be epoch milliseconds, not seconds, or RFC 3339"
                _log.warning("times_in_1970", input=side.name.lower(), partition=number, mend=mend)
        labels = task.counts(Input.LABELS)
        expired = labels[Fate.EXPIRED]
        is_many = expired >= _LATE_RECORDS and expired > _UNMATCHED_SHARE * labels["consumed"]
        if is_many and ("labels", Input.LABELS) not in self._unlikely:
            self._unlikely.add(("labels", Input.LABELS))
            mend = "key both topics by the request ID, with one partitioner; and look whether join.after is long enough"
            _log.warning("labels_unmatched", partition=number, expired=expired, consumed=labels["consumed"], mend=mend)

    def late_outcomes(self, task: MonitorTask) -> None:
        """What was matched and could not be checked any more is told once for each partition."""
        if task.merge.late_count and task.number not in self._monitors:
            self._monitors.add(task.number)
            mend = "a partition that had been silent spoke again; raise join.idle_after if that is usual"
            _log.warning("outcomes_late", partition=task.number, count=task.merge.late_count, mend=mend)

    def written(self, outputs: Iterable[Output], kinds: AlertKinds | None = None) -> None:
        """Alerts, which are counted in `kinds`, and the first record rejected for each kind of reason."""
        for output in outputs:
            if output.stream is Stream.ALERTS:
                kind = self._alert(output)
                if kinds is not None:
                    kinds[kind] = kinds.get(kind, 0) + 1
            elif output.stream is Stream.REJECTED:
                self._rejected(output)

    @staticmethod
    def _alert(output: Output) -> tuple[str, str, str]:
        data = alert_data(output.value)
        names = ("status", "kind", "severity", "monitor", "segment", "event_time", "before", "after", "id")
        _log.warning(f"alert_{data['status']}", **{name: data[name] for name in names if name != "status"})
        return data["kind"], data["severity"], data["status"]

    def _rejected(self, output: Output) -> None:
        about = {name: (value or b"").decode(errors="replace") for name, value in output.headers}
        reason = about["__connect.errors.exception.message"]
        kind = "".join(letter for letter in reason if not letter.isdigit())
        if kind in self._reasons or len(self._reasons) >= _REASONS_MAX:
            return
        self._reasons.add(kind)
        topic, partition = about["__connect.errors.topic"], about["__connect.errors.partition"]
        source = f"{topic}-{partition}@{about['__connect.errors.offset']}"
        _log.warning("record_rejected", source=source, reason=reason, action="sent to the rejected topic")
