"""Many sources into one event-time order.

Each source promises, in band, that nothing before its watermark follows. What lies before every source's
watermark is released in the total order (outcome time, source, prediction offset, label offset), so the
order is the same whatever the interleaving of the sources, the size of batches, and the restarts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamguard.core.outcomes import OutcomeRecord, Outcomes
from streamguard.errors import UnusableError

_IDLE = 1 << 62
_PIECE_ROWS = 131_072


@dataclass(slots=True)
class _Pending:
    rows: Outcomes
    offset: int
    """Of the outcomes record that brought the rows."""
    first_ms: int
    """The least of their times."""


class SequenceGapError(UnusableError):
    """Records of a source are missing from the outcomes topic: what follows would be wrong."""


class Merge:
    """Holds outcomes until every source has passed them."""

    def __init__(self, sources: int) -> None:
        self._watermarks: list[int | None] = [None] * sources
        self._sequences: list[int | None] = [None] * sources
        self._pending: list[_Pending] = []
        self.released_ms = -_IDLE
        """Every source has passed this: what comes from before it is late, what is held from before it is due."""
        self.late_count = 0

    @property
    def held_count(self) -> int:
        """Outcomes in memory."""
        return sum(len(each.rows) for each in self._pending)

    @property
    def holders(self) -> list[int]:
        """The sources that hold the others back: those never heard of, else the furthest behind."""
        unknown = [source for source, watermark in enumerate(self._watermarks) if watermark is None]
        if unknown:
            return unknown
        least = min(mark for mark in self._watermarks if mark is not None)
        return [source for source, watermark in enumerate(self._watermarks) if watermark == least]

    @property
    def behind_ms(self) -> list[int | None]:
        """How far each source's watermark is behind the furthest; 0: not waited for; None: never heard of."""
        furthest_ms = max((mark for mark in self._watermarks if mark is not None and mark != _IDLE), default=0)
        return [None if mark is None else max(0, furthest_ms - mark) for mark in self._watermarks]

    def add(self, record: OutcomeRecord, rows: list[Outcomes], offset: int) -> None:
        """Take one record of the outcomes topic; raises `SequenceGapError`."""
        last = self._sequences[record.source]
        if last is not None and not last <= record.sequence <= last + 1:
            raise SequenceGapError(
                f"outcomes of source {record.source} at offset {offset}: sequence {last} is followed by"
                f" {record.sequence}; were the group's offsets reset? Begin anew under another log.group"
            )
        self._sequences[record.source] = record.sequence
        self.refill(rows, offset)
        if record.is_idle:
            self._watermarks[record.source] = _IDLE
        elif record.watermark_ms is not None:
            before = self._watermarks[record.source]
            is_first = before is None or before == _IDLE
            self._watermarks[record.source] = max(record.watermark_ms, -_IDLE if is_first else before or 0)
        self._pass()

    def _pass(self) -> None:
        """See how far all sources have come. After each record: what is late must not depend on how they are cut."""
        known = [mark for mark in self._watermarks if mark is not None]
        if len(known) == len(self._watermarks) and min(known) != _IDLE:
            self.released_ms = max(self.released_ms, min(known))

    def refill(self, rows: list[Outcomes], offset: int) -> None:
        """Hold the rows that are not released yet; one that comes after its release is late, and counted."""
        for each in rows:
            is_kept = each.time >= self.released_ms
            kept = each if is_kept.all() else each.take(is_kept)
            self.late_count += len(each) - len(kept)
            if len(kept):
                self._pending.append(_Pending(kept, offset, int(kept.time.min())))

    def release(self) -> Iterator[Outcomes]:
        """What every source has passed since the last call, in the total order, a piece at a time.

        Where one source was far behind it is much: what is done with a piece finds it in the processor's cache.
        """
        ready = self._due()
        if ready:
            rows = Outcomes.concatenate(ready)
            del ready
            order = rows.order()
            times, start = rows.time[order], 0
            while start < len(order):
                # Those of one time stay together, as they would in a release of their own.
                last_ms = times[min(start + _PIECE_ROWS, len(order)) - 1]
                end = int(np.searchsorted(times, last_ms, "right"))
                yield rows.take(order[start:end])
                start = end

    def _due(self) -> list[Outcomes]:
        until_ms = self.released_ms
        ready, kept = [], []
        for each in self._pending:
            if each.first_ms >= until_ms:
                kept.append(each)
                continue
            is_ready = each.rows.time < until_ms
            if is_ready.all():
                ready.append(each.rows)
            else:
                ready.append(each.rows.take(is_ready))
                rest = each.rows.take(~is_ready)
                kept.append(_Pending(rest, each.offset, int(rest.time.min())))
        self._pending = kept
        return ready

    def renumber(self) -> list[int]:
        """Number the streams of the held rows anew, from 0; returns their former numbers, in order."""
        streams = [each.rows.stream for each in self._pending]
        kept = np.unique(np.concatenate(streams)) if streams else np.empty(0, np.int64)
        for each in self._pending:
            each.rows.stream = np.searchsorted(kept, each.rows.stream)
        return [int(number) for number in kept]

    def low(self, position: int) -> int:
        """The first offset whose rows are still held; `position` where none are."""
        return min((each.offset for each in self._pending), default=position)

    def snapshot(self) -> dict[str, Any]:
        """Everything but the held rows, which are read again from `low`."""
        return {
            "watermarks": self._watermarks,
            "sequences": self._sequences,
            "released": self.released_ms,
            "late": self.late_count,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """As the one was that took the snapshot; its rows are still to be refilled."""
        self._watermarks = list(state["watermarks"])
        self._sequences = list(state["sequences"])
        self.released_ms = state["released"]
        self.late_count = state["late"]
