"""The inputs of all sources together: what arrives on each, and what is told of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from streamguard.core.alerts import Alert
from streamguard.core.arrivals.changes import Changes, ContractSettings
from streamguard.core.arrivals.folding import followed
from streamguard.core.arrivals.volume import Volume, VolumeSettings
from streamguard.core.features.gathering import Gathering, Shape, Window
from streamguard.core.outcomes import OutcomeRecord


@dataclass(frozen=True, slots=True)
class ArrivalSettings:
    """Of one input: what its counts are like, which monitor task watches it, and for what."""

    name: str
    shape: Shape
    target: int
    """The outcomes partition that its counts come on."""
    contract: ContractSettings | None = None
    volume: VolumeSettings | None = None

    @property
    def meaning(self) -> list[Any]:
        """What the state is about: that of another contract or season is not gone on from."""
        volume = self.volume
        season = None if volume is None else [volume.baseline_ms, volume.is_seasonal]
        return [self.shape.fingerprint, self.contract is not None, season]


class _Input:
    def __init__(self, side: int, settings: ArrivalSettings, sources: int) -> None:
        self.settings = settings
        self.gathering = Gathering(
            sources, {settings.name: settings.shape}, lambda record: record.arrivals_ms[side], followed
        )
        self.restore({})

    def restore(self, state: Mapping[str, Any]) -> None:
        contract, volume = self.settings.contract, self.settings.volume
        self.changes = None if contract is None else Changes(contract, state.get("changes"))
        self.volume = None if volume is None else Volume(volume, state.get("volume"))
        if "gathering" in state:
            self.gathering.restore(state["gathering"])

    def take(self, windows: Iterable[Window]) -> list[Alert]:
        alerts: list[Alert] = []
        for _, together in groupby(windows, lambda each: each.end_ms):
            held = list(together)
            if self.volume is not None:
                # What came before this window, and not with the next: time may jump over many slots.
                alerts += self.volume.wait(held[0].start_ms)
                for window in held:
                    self.volume.take(window)
            if self.changes is not None:
                alerts += self.changes.take(held)
        if self.volume is not None:
            alerts += self.volume.wait(self.gathering.released_ms)
        return alerts

    def snapshot(self) -> dict[str, Any]:
        return {
            "meaning": self.settings.meaning,
            "gathering": self.gathering.snapshot(),
            "changes": None if self.changes is None else self.changes.snapshot(),
            "volume": None if self.volume is None else self.volume.snapshot(),
        }


class ArrivalWatching:
    """Of those inputs whose counts come on one outcomes partition."""

    def __init__(self, settings: Mapping[int, ArrivalSettings], partition: int, sources: int) -> None:
        """`settings`: by input, 0 for predictions and 1 for labels."""
        self._inputs = [_Input(side, each, sources) for side, each in settings.items() if each.target == partition]

    @property
    def gatherings(self) -> Sequence[Gathering]:
        """What holds the windows that are not complete yet."""
        return [each.gathering for each in self._inputs]

    def take(self, record: OutcomeRecord, offset: int) -> None:
        """A record of the outcomes topic."""
        for gathering in self.gatherings:
            gathering.take(record, offset)

    def refill(self, record: OutcomeRecord, offset: int) -> None:
        """A record from before a snapshot: only what was held then is held again."""
        for gathering in self.gatherings:
            counts = dict(gathering.counts)
            gathering.refill(record, offset)
            gathering.counts = counts

    def watch(self) -> list[Alert]:
        """What is known since the last call."""
        return [alert for each in self._inputs for alert in each.take(each.gathering.release())]

    def low(self, position: int) -> int:
        """The first offset that something held is from; `position` where nothing is."""
        return min((each.low(position) for each in self.gatherings), default=position)

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON, by name of the input."""
        return {each.settings.name: each.snapshot() for each in self._inputs}

    def restore(self, state: Mapping[str, Any]) -> None:
        """As the one was that took the snapshot; of an input that is watched otherwise now, anew."""
        for each in self._inputs:
            found = state.get(each.settings.name)
            if found is None:
                continue
            if found["meaning"] == each.settings.meaning:
                each.restore(found)
            else:
                each.restore({"gathering": found["gathering"]})
