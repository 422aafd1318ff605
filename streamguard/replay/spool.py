"""The alerts of a replay, on the disk once they are many: a setting that is far off raises them by the gigabyte."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from tempfile import SpooledTemporaryFile, gettempdir
from typing import overload
from weakref import finalize

import numpy as np

from streamguard.errors import StreamguardError
from streamguard.replay.sweeping import Told

_IN_MEMORY_BYTES = 32 << 20


class Lines(Sequence[bytes]):
    """Alerts in order, each read when it is asked for."""

    def __init__(self, spool: "Spool", places: "Sequence[int] | np.ndarray[tuple[int], np.dtype[np.intp]]") -> None:
        self._spool = spool
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> "Lines": ...
    def __getitem__(self, index: int | slice) -> "bytes | Lines":
        if isinstance(index, slice):
            return Lines(self._spool, self._places[index])
        return self._spool.value(int(self._places[index]))


class Spool:
    """Holds the alerts of all settings; in memory are 24 bytes of each."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 - closed by the next line
        # A result may be looked at for as long as somebody has it.
        finalize(self, self._file.close)
        self._ends = array("q", [0])
        self._settings = array("i")
        self._partitions = array("i")
        self._times = array("q")

    def __len__(self) -> int:
        return len(self._settings)

    def add(self, told: Iterable[Told]) -> None:
        """Take alerts, those of one setting and partition in order."""
        for each in told:
            try:
                self._file.seek(self._ends[-1])
                self._file.write(each.value)
            except OSError as error:
                raise StreamguardError(
                    f"no room for the alerts in {gettempdir()} ({error.strerror}): let TMPDIR name a larger directory,"
                    " or raise thresholds that alarm all the time"
                ) from None
            self._ends.append(self._ends[-1] + len(each.value))
            self._settings.append(each.setting)
            self._partitions.append(each.partition)
            self._times.append(each.event_time_ms)

    def value(self, place: int) -> bytes:
        """The alert that was taken in this place, byte for byte."""
        self._file.seek(self._ends[place])
        return self._file.read(self._ends[place + 1] - self._ends[place])

    def of(self, setting: int) -> Lines:
        """The alerts of one setting in the order of event time."""
        mine = np.flatnonzero(np.asarray(self._settings) == setting)
        order = np.lexsort((np.asarray(self._partitions)[mine], np.asarray(self._times)[mine]))
        return Lines(self, mine[order])

    def __iter__(self) -> Iterator[Told]:
        """All, as they came."""
        for place in range(len(self)):
            what = self._settings[place], self._times[place], self._partitions[place]
            yield Told(*what, self.value(place))
