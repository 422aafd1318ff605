"""The event times of rows of JSON, without parsing most of them.

Theory of operation. One program wrote all rows, so the name of the time's field stands at one of a few places in most
of them. There it is looked for first, in all rows at once, else it is searched for; the digits behind it are the time.
What is not of that kind is parsed. This is a second reading, beside the one that decides what records are, and is to
cost a fraction of that.
"""

from collections.abc import Sequence

import numpy as np
import orjson
from numpy.typing import NDArray

from streamguard.core import fields
from streamguard.core.records import Blobs
from streamguard.replay.sources import HEAD_ROWS, Ints

UNKNOWN = -1
"""There is no time, or none that can be read."""
# Epoch milliseconds of the years 2001 to 2286.
_DIGITS = 13
_POWERS = 10.0 ** np.arange(_DIGITS - 1, -1, -1)
_GUESSES_MAX = 8
# With fewer rows a guess costs more than to search for them.
_COMMON = 1 / 16
_OFFSETS_MAX = 4096
_ZERO, _COLON, _SPACE = b"0: "
_IS_END = np.array([byte in b",} \t\r\n" for byte in range(256)])


class Times:
    """Reads the times of one source, whose rows come in order."""

    def __init__(self, path: fields.Path, record_bytes: int) -> None:
        self._path = path
        self._record_bytes = record_bytes
        self._key = orjson.dumps(path[-1])
        self._guesses: list[int] = []
        self._checked = 0
        self._is_first_meant = True
        """The first field of that name in a row is the one at the path, as far as was checked."""

    def read(self, values: Sequence[bytes | None]) -> Ints:
        """The time of each row in epoch milliseconds, or `UNKNOWN`."""
        blobs = Blobs.of(values)
        found = np.full(len(blobs), UNKNOWN)
        if self._is_first_meant:
            plain = self._plain(blobs)
            head = self._parsed(blobs[: HEAD_ROWS - self._checked])
            self._checked += len(head)
            firsts = plain[: len(head)]
            self._is_first_meant = bool(((firsts == UNKNOWN) | (firsts == head)).all())
            found = plain if self._is_first_meant else found
        left = np.flatnonzero(found == UNKNOWN)
        found[left] = self._parsed(blobs.take(left))
        return found

    def _parsed(self, values: Blobs) -> Ints:
        return np.array([self._time(value) for value in values], np.int64)

    def _time(self, value: bytes | None) -> int:
        try:
            return fields.parse_time_ms(fields.pick(fields.document_of(value, self._record_bytes), self._path))
        except fields.Unreadable:
            return UNKNOWN

    def _plain(self, blobs: Blobs) -> Ints:
        """The times that are plain digits behind the first field of the name."""
        # What is read behind a name may go past the end of the last row.
        data = np.concatenate([blobs.data, np.zeros(len(self._key) + _DIGITS + 3, np.uint8)])
        places = self._places(data, blobs.starts, blobs.starts + np.maximum(blobs.sizes, 0))
        at = np.maximum(places, 0) + len(self._key)
        is_good = (places >= 0) & (data[at] == _COLON)
        at += 1
        at += data[at] == _SPACE
        text = np.ascontiguousarray(_texts(data, _DIGITS)[at].view(np.uint8).reshape(-1, _DIGITS).T)
        digits = text - np.uint8(_ZERO)
        is_good &= ~self._is_there_again(data, blobs, places)
        is_good &= (digits <= 9).all(axis=0) & (digits[0] > 0) & _IS_END[data[at + _DIGITS]]
        return np.where(is_good, (_POWERS @ digits).astype(np.int64), UNKNOWN)

    def _is_there_again(self, data: NDArray[np.uint8], blobs: Blobs, places: Ints) -> NDArray[np.bool_]:
        """In which rows the name stands a second time: then only parsing tells which is meant."""
        again = np.zeros(len(places), np.bool_)
        if not len(places):
            return again
        ends = blobs.starts + np.maximum(blobs.sizes, 0)
        first = int(blobs.starts.min())
        text = data[first : int(ends.max())].tobytes()
        named = np.flatnonzero(places >= 0)
        if text.count(self._key) > len(named):
            rows = zip(named.tolist(), (places[named] - first).tolist(), (ends[named] - first).tolist(), strict=True)
            again[[row for row, place, end in rows if text.find(self._key, place + 1, end) >= 0]] = True
        return again

    def _places(self, data: NDArray[np.uint8], starts: Ints, ends: Ints) -> Ints:
        """Where the name begins in each row; -1 where it is not."""
        size = len(self._key)
        places = np.full(len(starts), -1)
        left = np.arange(len(starts))
        texts = _texts(data, size)
        for guess in self._guesses:
            at = np.minimum(starts[left] + guess, len(texts) - 1)
            is_there = (texts[at] == self._key) & (at + size < ends[left])
            places[left[is_there]] = at[is_there]
            left = left[~is_there]
        if len(left):
            find, key = data.tobytes().find, self._key
            rows = zip(starts[left].tolist(), ends[left].tolist(), strict=True)
            places[left] = [find(key, start, end) for start, end in rows]
        if len(left) > _COMMON * len(starts):
            offsets = (places - starts)[places >= 0]
            counts = np.bincount(offsets[offsets < _OFFSETS_MAX])
            common = np.argsort(-counts, kind="stable")[:_GUESSES_MAX]
            self._guesses = common[counts[common] > _COMMON * len(starts)].tolist()
        return places


def _texts(data: NDArray[np.uint8], size: int) -> NDArray[np.bytes_]:
    """The bytes from each place on, as one item."""
    return np.ndarray((len(data) - size + 1,), f"S{size}", data, strides=(1,))
