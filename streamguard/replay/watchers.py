"""Stage two of a replay: all settings over all outcomes, here and, where they are many, in processes beside this."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from streamguard.core.intake import MonitorSettings
from streamguard.core.records import Batch, TopicPartition
from streamguard.processes import Child
from streamguard.replay.ledger import Ledger
from streamguard.replay.spool import Spool
from streamguard.replay.sweeping import Sweep, Told

_PIECE = 500

Outcomes = list[tuple[int, bytes]]
"""Records of the outcomes topic, each with its partition."""


@dataclass(slots=True)
class Watched:
    """What came of it."""

    told: Spool
    """The alerts of all settings."""
    released: int = 0
    rejected: int = 0
    """Records of the outcomes topic that cannot be read."""
    first_rejected: str | None = None
    seen: Counter[str] = field(default_factory=Counter)
    """Released outcomes, by the name of their monitor."""
    late: int = 0
    """Outcomes that came after their time was released, and were not checked."""
    held: int = 0
    """Outcomes that were never released: some source had not come as far."""
    uncounted: Counter[str] = field(default_factory=Counter)
    """Predictions that were held against nothing: `late`, or `foreign`, which are of another reference."""


class Watchers:
    """Every outcomes partition. `processes`: over so many the settings are dealt out, this one included."""

    def __init__(
        self,
        settings: Sequence[MonitorSettings],
        target_count: int,
        ledger: Ledger | None = None,
        *,
        processes: int = 1,
    ) -> None:
        shares = max(1, min(processes, len(settings)))
        self._sweeps = [Sweep(settings[::shares], ledger, partition=target) for target in range(target_count)]
        self._shares = shares
        self._others = [Child(_watched, settings[share::shares], target_count) for share in range(1, shares)]
        self._offsets = [0] * target_count
        self._told = Spool()

    @property
    def alert_count(self) -> int:
        """So far, in this process."""
        return len(self._told)

    @property
    def reached_ms(self) -> float:
        """All outcomes before this were judged."""
        return min(sweep.merge.released_ms for sweep in self._sweeps)

    @property
    def held(self) -> int:
        """Outcomes that some source has not come as far as."""
        return sum(sweep.merge.held_count for sweep in self._sweeps)

    def take(self, outcomes: Iterable[tuple[int, bytes]]) -> None:
        """Outcomes that were joined here: their offsets are counted."""
        by_target: dict[int, list[bytes]] = {}
        for target, value in outcomes:
            by_target.setdefault(target, []).append(value)
        for target, values in by_target.items():
            start, count = self._offsets[target], len(values)
            self._offsets[target] = start + count
            self.step(target, values, np.arange(start, start + count))

    def step(self, target: int, values: Sequence[bytes | None], offsets: Sequence[int] | np.ndarray[Any, Any]) -> None:
        """Records of one partition of the outcomes topic."""
        # First, so that they work while this one does.
        for other in self._others:
            other.tell(target, list(values), offsets)
        nothing = [None] * len(values)
        source = TopicPartition("outcomes", target)
        batch = Batch(source, offsets, offsets, nothing, values, [()] * len(values), int(offsets[-1]) + 1)
        self._told.add(self._sweeps[target].step(batch))

    def result(self) -> Watched:
        """After the last outcome, and once."""
        told = self._told
        if self._others:
            told = Spool()
            told.add(replace(each, setting=each.setting * self._shares) for each in self._told)
        for share, other in enumerate(self._others, 1):
            other.tell(None)
            while theirs := other.hear():
                told.add(replace(each, setting=each.setting * self._shares + share) for each in theirs)
        sweeps = self._sweeps
        return Watched(
            told=told,
            released=sum(sweep.counts["released"] for sweep in sweeps),
            rejected=sum(sweep.counts["rejected"] for sweep in sweeps),
            first_rejected=next((sweep.first_rejected for sweep in sweeps if sweep.first_rejected), None),
            seen=sum((sweep.seen for sweep in sweeps), Counter()),
            late=sum(sweep.merge.late_count for sweep in sweeps),
            held=self.held,
            uncounted=sum((Counter(sweep.uncounted) for sweep in sweeps), Counter()),
        )

    def close(self) -> None:
        """End the other processes."""
        for other in self._others:
            other.close()


def _watched(connection: Connection, settings: Sequence[MonitorSettings], target_count: int) -> Iterator[list[Told]]:
    """Take outcomes until asked for the alerts; then all of them in pieces, and an empty one."""
    watchers = Watchers(settings, target_count)
    while (words := connection.recv()) != (None,):
        watchers.step(*words)
    told = iter(watchers.result().told)
    while piece := list(islice(told, _PIECE)):
        yield piece
    yield []
