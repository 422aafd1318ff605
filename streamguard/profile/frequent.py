"""The most frequent values, with counts."""

from collections.abc import Mapping

Key = str | int


class Frequent:
    """Counts of at most `capacity` values, exact as long as there are no more.

    Beyond that each count is too low by at most `error`, which is at most `total / (capacity + 1)`; which values are
    kept may then depend on how the data were cut. A value that is more frequent than that is always kept. Whole
    numbers and texts are never one value.
    Source: Agarwal et al., "Mergeable summaries", PODS 2012, section 2 (Misra and Gries, 1982, merged).

    >>> frequent = Frequent(2)
    >>> frequent.add({"a": 5, "b": 3, "c": 1})
    >>> frequent.counts, frequent.error
    ({'a': 4, 'b': 2}, 1)
    """

    __slots__ = ("capacity", "counts", "error", "total")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.counts: dict[Key, int] = {}
        self.error = 0
        self.total = 0

    def add(self, counts: Mapping[str, int] | Mapping[int, int] | Mapping[Key, int]) -> None:
        """Take values with how often each occurred."""
        own = self.counts
        for key, count in counts.items():
            own[key] = own.get(key, 0) + count
            self.total += count
        if len(own) > self.capacity:
            least = sorted(own.values(), reverse=True)[self.capacity]
            self.counts = {key: count - least for key, count in own.items() if count > least}
            self.error += least

    def merge(self, other: "Frequent") -> None:
        """Take all that another has taken; it is left as it is."""
        hidden = other.total - sum(other.counts.values())
        self.error += other.error
        self.total += hidden
        self.add(other.counts)

    def ranked(self, least: int) -> list[tuple[Key, int]]:
        """Those that occurred at least so often for certain, the most frequent first."""
        found = [(key, count) for key, count in self.counts.items() if count >= least]
        return sorted(found, key=lambda each: (-each[1], isinstance(each[0], str), each[0]))
