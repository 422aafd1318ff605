"""The outcomes of one partition through several settings at once: one read, one order, many monitors."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from streamguard.core.alerts import Alert
from streamguard.core.arrivals.watching import ArrivalWatching
from streamguard.core.features.watching import InputWatching
from streamguard.core.intake import Intake, MonitorSettings
from streamguard.core.merge import Merge
from streamguard.core.records import Batch
from streamguard.core.rejected import reason
from streamguard.core.trail import Trail
from streamguard.core.watching import Watching
from streamguard.replay.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Told:
    """An alert of a replay."""

    setting: int
    """The place of its setting."""
    event_time_ms: int
    partition: int
    """Of the outcomes topic."""
    value: bytes
    """Its data, byte for byte as the alerts topic would hold it."""


class Sweep:
    """Takes records of the outcomes topic, as a monitor task does.

    The settings may differ in checks and budgets; what is matched, how it is split, what predictions are held
    against, and cohorts, they share.
    """

    def __init__(
        self, settings: Sequence[MonitorSettings], ledger: Ledger | None = None, *, partition: int = 0
    ) -> None:
        self._partition = partition
        first = settings[0]
        self._topics = first.predictions_topic, first.labels_topic
        self._arrivals = [ArrivalWatching(each.arrivals, partition, each.source_count) for each in settings]
        self._intake = Intake(first, self._arrivals)
        self._watchings = [Watching(each) for each in settings]
        self._inputs = [InputWatching(each) for each in settings]
        self._trail = Trail()
        self._ledger = ledger
        self.seen: Counter[str] = Counter()
        """Released outcomes, by the name of their monitor."""
        self.first_rejected: str | None = None

    @property
    def merge(self) -> Merge:
        """What is held, and by whom."""
        return self._intake.merge

    @property
    def uncounted(self) -> dict[str, int]:
        """Predictions whose counts came too late, and those of counts that were made with another reference."""
        return self._intake.gathering.counts

    @property
    def counts(self) -> dict[str, int]:
        """Outcomes, and what became of them."""
        return self._intake.counts

    def step(self, batch: Batch) -> list[Told]:
        """Take records; returns the alerts of all settings."""
        for output in self._intake.take(batch):
            if self.first_rejected is None:
                self.first_rejected = ": ".join(reason(output))
        told = [
            _told(number, alert, self._partition)
            for number, arrivals in enumerate(self._arrivals)
            for alert in arrivals.watch()
        ]
        windows = list(self._intake.gathering.release())
        if self._ledger is not None:
            self._ledger.carried.add(windows)
        told += [
            _told(number, alert, self._partition)
            for number, inputs in enumerate(self._inputs)
            for alert in inputs.watch(each for each in windows if each.key[0] in inputs.monitors)
        ]
        for rows, groups in self._intake.release():
            found = [
                (place, number, alert)
                for number, watching in enumerate(self._watchings)
                for place, alert in watching.watch(rows, groups)
            ]
            for _, number, alert in found:
                self._inputs[number].relate(alert)
            found.sort(key=lambda each: each[0])
            self._trail.trace(rows, [(place, alert) for place, _, alert in found], self._topics)
            told += [_told(number, alert, self._partition) for _, number, alert in found]
            for group in groups:
                self.seen[group.key[0]] += len(group.rows)
            if self._ledger is not None:
                self._ledger.add(rows, groups)
        for number, watching in enumerate(self._watchings):
            told += [_told(number, alert, self._partition) for alert in watching.wait(self.merge.released_ms)]
        return told


def _told(number: int, alert: Alert, partition: int) -> Told:
    return Told(number, alert.event_time_ms, partition, alert.data())
