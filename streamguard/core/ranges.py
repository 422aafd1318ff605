"""A set of offsets, as a note beside a committed offset can hold it."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from operator import itemgetter


class Ranges:
    """A set of offsets, as the ranges that it consists of, in order."""

    def __init__(self, start: int = 0, lengths: Sequence[int] = ()) -> None:
        """From what `lengths` has said."""
        self._ranges: list[tuple[int, int]] = []
        for gap, length in zip(lengths[::2], lengths[1::2], strict=True):
            self._ranges.append((start + gap, start + gap + length))
            start += gap + length

    def __contains__(self, offset: int) -> bool:
        index = bisect_right(self._ranges, offset, key=itemgetter(0))
        return index > 0 and offset < self._ranges[index - 1][1]

    def __len__(self) -> int:
        """How many ranges."""
        return len(self._ranges)

    @property
    def end(self) -> int:
        """The offset after the last; 0: there is none."""
        return self._ranges[-1][1] if self._ranges else 0

    def add(self, first: int, end: int) -> None:
        """All from `first` to before `end`."""
        if first >= end:
            return
        low = bisect_left(self._ranges, first, key=itemgetter(1))
        high = bisect_right(self._ranges, end, key=itemgetter(0))
        if low < high:
            first, end = min(first, self._ranges[low][0]), max(end, self._ranges[high - 1][1])
        self._ranges[low:high] = [(first, end)]

    def forget(self, before: int) -> None:
        """All before this offset."""
        while self._ranges and self._ranges[0][0] < before:
            first, end = self._ranges.pop(0)
            self.add(max(first, before), end)

    def lengths(self, start: int) -> Iterator[int]:
        """Of the gap from `start` to the first range, of that range, of the next gap, and so on."""
        for first, end in self._ranges:
            yield first - start
            yield end - first
            start = end
