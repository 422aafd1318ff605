"""The monitor task: the outcomes of one partition, in event-time order, through every monitor's checks.

Its state is a snapshot now and then on a compacted topic, one record a monitored stream, and what has come
on the outcomes topic since: reading that again, with the output suppressed, gives the same state.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from streamguard.core.arrivals.watching import ArrivalWatching
from streamguard.core.features.watching import InputWatching
from streamguard.core.intake import Intake, MonitorSettings, StreamKey
from streamguard.core.merge import Merge
from streamguard.core.records import Batch, Output, Stream
from streamguard.core.trail import Trail
from streamguard.core.watching import Watching, meaning_of

ENVIRONMENT = b"environment/"
"""What the keys of the environment task's state begin with (core/environment/task.py), on the same topic."""
_STATE_VERSION = 1
# Of the state of what predictions carry.
_INPUTS = "inputs"


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a restored task goes on: read again from `low`; what is before `position` is in the snapshot."""

    low: int
    position: int


class MonitorTask:
    """Watches every stream whose outcomes come on one outcomes partition."""

    def __init__(self, number: int, settings: MonitorSettings) -> None:
        self.number = number
        self._settings = settings
        self._arrivals = ArrivalWatching(settings.arrivals, number, settings.source_count)
        self._intake = Intake(settings, [self._arrivals])
        self._watching = Watching(settings)
        self._inputs = InputWatching(settings)
        self._trail = Trail()
        self._alert_count = 0
        self._obsolete: list[bytes] = []

    @property
    def merge(self) -> Merge:
        """What is held, and by whom."""
        return self._intake.merge

    @property
    def counts(self) -> dict[str, int]:
        """Outcomes, and what became of them."""
        intake = self._intake.counts
        return {**intake, "unwatched": self._watching.unwatched_count, "alerts": self._alert_count}

    @property
    def has_obsolete(self) -> bool:
        """Whether state of monitors that are gone, or mean something else now, is still to be deleted."""
        return bool(self._obsolete)

    @property
    def segment_count(self) -> int:
        """Monitored streams so far."""
        return len(self._watching.segments)

    def promises(self) -> Counter[str]:
        """How many budgeted detectors promise what: see `Budgeted.promise`."""
        return Counter(each for segment in self._watching.segments.values() for each in segment.promises())

    def step(self, batch: Batch) -> list[Output]:
        """Take records of the outcomes topic; return alerts, and records that are no outcomes."""
        outputs = self._intake.take(batch)
        alerts = self._arrivals.watch()
        # First, so that of each outcome's time all windows are known: predictions come before outcomes.
        alerts += self._inputs.watch(self._intake.gathering.release())
        for rows, groups in self._intake.release():
            found = self._watching.watch(rows, groups)
            for _, alert in found:
                self._inputs.relate(alert)
            self._trail.trace(rows, found, (self._settings.predictions_topic, self._settings.labels_topic))
            alerts += [alert for _, alert in found]
        alerts += self._watching.wait(self.merge.released_ms)
        self._alert_count += len(alerts)
        source, is_structured = self._settings.alert_source, self._settings.has_structured_alerts
        return outputs + [alert.output(source, is_structured=is_structured) for alert in alerts]

    def refill(self, batch: Batch) -> None:
        """Take records from before the snapshot: only what was held then is held again."""
        self._intake.refill(batch)

    def snapshot(self, position: int) -> list[Output]:
        """What has changed since the last snapshot, and the head that makes it one, at `position`."""
        outputs = [Output(Stream.STATE, key, None, self.number) for key in self._obsolete]
        self._obsolete = []
        for (name, values), segment in self._watching.segments.items():
            if segment.is_changed:
                segment.is_changed = False
                meaning = meaning_of(self._watching.monitors[name])
                outputs.append(self._state({"monitor": name, "segment": values}, segment.snapshot(), meaning))
        for (name, values), inputs in self._inputs.segments.items():
            if inputs.is_changed:
                inputs.is_changed = False
                about = {"monitor": name, "segment": values, "of": _INPUTS}
                outputs.append(self._state(about, inputs.snapshot(), self._inputs.meaning(name)))
        head = {
            "position": position,
            "low": self._intake.low(position),
            "merge": self.merge.snapshot(),
            "gathering": self._intake.gathering.snapshot(),
            "arrivals": self._arrivals.snapshot(),
            "inputs": self._inputs.snapshot(),
            "trail": self._trail.snapshot(),
            "counts": self.counts,
            **self._watching.snapshot(),
        }
        outputs.append(self._state({}, head))
        return outputs

    def restore(self, records: Sequence[tuple[bytes | None, bytes | None]]) -> Resume | None:
        """From this partition's state records, oldest first; None where there is no snapshot.

        Raises `ValueError` where a record is of another version, or of other partitions.
        """
        latest = {key: value for key, value in records if key is not None and not key.startswith(ENVIRONMENT)}
        head: dict[str, Any] | None = None
        segments: dict[StreamKey, dict[str, Any]] = {}
        inputs: dict[StreamKey, dict[str, Any]] = {}
        for key, value in latest.items():
            if value is None:
                continue  # deleted
            found = orjson.loads(value)
            version = found.get("v") if type(found) is dict else None
            if version != _STATE_VERSION:
                raise ValueError(f"state of version {_STATE_VERSION} expected, got {version!r}")
            if found["stream"] == {}:
                head = found["state"]
                continue
            stream = found["stream"]["monitor"], tuple(found["stream"]["segment"])
            if found["stream"].get("of") == _INPUTS:
                if self._inputs.wants(stream, found["meaning"]):
                    inputs[stream] = found["state"]
                else:
                    self._obsolete.append(key)
            elif self._watching.wants(stream, found["meaning"]):
                segments[stream] = found["state"]
            else:
                # Else it would be gone on from when the setting is changed back.
                self._obsolete.append(key)
        if head is None:
            return None
        self._intake.restore(head["merge"], head.get("gathering"))
        self._arrivals.restore(head.get("arrivals", {}))
        self._watching.restore(head, segments)
        self._inputs.restore(head.get("inputs", {}), inputs)
        self._trail = Trail(head["trail"])
        counts = head["counts"]
        self._intake.counts = {name: counts[name] for name in self._intake.counts}
        self._watching.unwatched_count, self._alert_count = counts["unwatched"], counts["alerts"]
        return Resume(head["low"], head["position"])

    def _state(self, stream: dict[str, Any], state: dict[str, Any], meaning: dict[str, Any] | None = None) -> Output:
        record = {"v": _STATE_VERSION, "stream": stream, "meaning": meaning, "state": state}
        key = orjson.dumps([self.number, stream], option=orjson.OPT_SORT_KEYS)
        return Output(Stream.STATE, key, orjson.dumps(record), self.number)
