"""Counts of what arrived on one input of a join task, by window of time, for the monitor tasks.

Theory of operation. Records that cannot be used are just those that must be told of, and they have no event time.
Theirs is estimated: the record's own Kafka timestamp, less what that was ahead of the event time in the last record
that had one. A record counts at the largest time of its partition so far, itself included, so that a window is complete
with the first record of the next: nobody waits for disorder, and time goes on where every record is rejected. Where an
input was taken for idle, its time has run ahead of its records by up to the disorder less than it was said to be.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from streamguard.core.codec import Columns, Ints
from streamguard.core.contract.fields import KINDS, Kind
from streamguard.core.contract.inspecting import ID_CHARS, Differences, Inspector
from streamguard.core.features.deltas import Delta
from streamguard.core.features.folding import Counts, Example
from streamguard.core.fields import TIME_MAX_MS
from streamguard.core.records import Batch
from streamguard.core.waiting import NEVER

_VERSIONS_MAX = 32
_NUMBERS_MAX = 25
_NUMBER = "a number: "
_NO_TIME = -1


@dataclass(frozen=True, slots=True)
class Arriving:
    """What is counted of an input."""

    name: str
    """By which the counts are known, such as `input:labels`."""
    window_ms: int
    fingerprint: str
    """Of what the bins mean."""
    target: int
    """The outcomes partition that the counts go to."""
    inspector: Inspector | None = None

    @property
    def size(self) -> int:
        """Bins: one for each mark of the contract."""
        return 1 if self.inspector is None else self.inspector.contract.size


class Arrivals:
    """Of one input of one join task."""

    def __init__(self, settings: Arriving, disorder_ms: int) -> None:
        self.settings = settings
        self._disorder_ms = disorder_ms
        self.clock_ms = NEVER
        """No record counts before this any more; `NEVER` before the first."""
        self.lag_ms = 0
        """What the Kafka timestamp was ahead of the event time, in the last record that could be read."""

    def advance(self, clock_ms: int) -> None:
        """The input is idle, and its event time counts as this from now on."""
        self.clock_ms = max(self.clock_ms, clock_ms - self._disorder_ms)

    def fold(self, batch: Batch, columns: Columns, differences: Differences) -> Delta | None:
        """Count the records of a batch, those in `columns` being the ones that could be read."""
        if not len(batch):
            return None
        window_ms = self.settings.window_ms
        times = self._times(batch, columns)
        times = np.maximum.accumulate(np.maximum(times, self.clock_ms))
        self.clock_ms = int(times[-1])
        starts, windows = np.unique(times // window_ms * window_ms, return_inverse=True)
        offsets = np.asarray(batch.offsets, np.int64)
        firsts = np.full(len(starts), np.iinfo(np.int64).max)
        np.minimum.at(firsts, windows, offsets)
        lasts = np.zeros(len(starts), np.int64)
        np.maximum.at(lasts, windows, offsets)
        rows = np.bincount(windows, minlength=len(starts))
        none = np.empty(0, np.int64)
        counts = [
            Counts(0, int(start_ms), int(count), (int(first), int(last)), none, none)
            for start_ms, count, first, last in zip(starts, rows, firsts, lasts, strict=True)
        ]
        segments: list[tuple[str | None, ...]] = [(None,)]
        if differences.places:
            counts += self._marked(windows, starts, times, offsets, _in_order(differences, offsets, columns), segments)
        return Delta(self.settings.name, self.settings.fingerprint, segments, counts)

    def _times(self, batch: Batch, columns: Columns) -> Ints:
        """Event times, estimated where there are none; shape (records,)."""
        stamps = np.asarray(batch.timestamps, np.int64)
        places = np.searchsorted(np.asarray(batch.offsets, np.int64), columns.offsets)
        times = np.full(len(batch), _NO_TIME)
        times[places] = columns.times
        if len(columns) < len(batch):
            known = np.flatnonzero(times >= 0)
            lags = np.concatenate(([self.lag_ms], stamps[known] - times[known]))
            others = np.flatnonzero(times < 0)
            found = stamps[others] - lags[np.searchsorted(known, others)]
            # Without a timestamp it is taken to be of the time of the one before it.
            times[others] = np.where(stamps[others] < 0, 0, np.clip(found, 0, TIME_MAX_MS))
        if len(columns):
            self.lag_ms = int(stamps[places[-1]] - columns.times[-1])
        return times

    def _marked(
        self,
        windows: Ints,
        starts: Ints,
        times: Ints,
        offsets: Ints,
        differences: Differences,
        segments: list[tuple[str | None, ...]],
    ) -> list[Counts]:
        """The same windows once more for each version of the model whose records differ, with their marks alone."""
        numbers: dict[str | None, int] = {None: 0}
        for version in differences.versions:
            if version not in numbers and len(numbers) < _VERSIONS_MAX:
                numbers[version] = len(numbers)
                segments.append((version,))
        size = self.settings.size
        places, marks = np.array(differences.places), np.array(differences.marks)
        whose = np.array([numbers.get(version, 0) for version in differences.versions])
        groups = windows[places] * len(numbers) + whose
        coded = groups * size + marks
        codes, firsts, counts = np.unique(coded, return_index=True, return_counts=True)
        found: list[Counts] = []
        for group in np.unique(codes // size).tolist():
            mine = np.flatnonzero(codes // size == group)
            window, version = divmod(group, len(numbers))
            examples = {}
            for code, row in zip(codes[mine].tolist(), firsts[mine].tolist(), strict=True):
                place, mark = differences.places[row], code % size
                shown: tuple[str, ...] = (differences.shown[row],)
                if mark % KINDS == Kind.RANGE:
                    # Of some that are beyond the bounds: they say by how many times they are what they were.
                    shown += _numbers(differences.shown[each] for each in np.flatnonzero(coded == code))
                examples[mark] = Example(int(offsets[place]), int(times[place]), differences.ids[row], shown)
            own = places[groups == group]
            span = int(offsets[own.min()]), int(offsets[own.max()])
            bins, each = codes[mine] % size, counts[mine].astype(np.int64)
            found.append(Counts(version, int(starts[window]), 0, span, bins, each, examples=examples))
        return found


def followed(first: Example, later: Example) -> Example:
    """The first example of a mark, with the numbers of both: however a window was polled, its first ones are shown."""
    numbers = [number for each in (first, later) if len(each.shown) > 1 for number in each.shown[1].split()]
    return replace(first, shown=(first.shown[0], " ".join(numbers[:_NUMBERS_MAX]))) if numbers else first


def _in_order(differences: Differences, offsets: Ints, columns: Columns) -> Differences:
    """By place, whichever way records were read, and with the IDs of those that could be."""
    order = np.argsort(differences.places, kind="stable").tolist()
    places, marks, shown, versions, ids = (
        [column[each] for each in order]
        for column in (differences.places, differences.marks, differences.shown, differences.versions, differences.ids)
    )
    wanted = offsets[places]
    rows = np.searchsorted(columns.offsets, wanted)
    for number in np.flatnonzero([not each for each in ids]).tolist():
        row = int(rows[number])
        if row < len(columns) and columns.offsets[row] == wanted[number]:
            ids[number] = columns.ids[row][:ID_CHARS]
    return Differences(places, marks, shown, versions, ids)


def _numbers(shown: Iterable[str]) -> tuple[str, ...]:
    """The first numbers that are shown, if there are any."""
    numbers: list[str] = []
    for text in shown:
        try:
            numbers.append(str(float(text.removeprefix(_NUMBER))))
        except ValueError:
            continue  # a long number is shown in part
        if len(numbers) == _NUMBERS_MAX:
            break
    return (" ".join(numbers),) if numbers else ()
