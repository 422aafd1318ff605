"""Which class is taken for which: how often usually, how often of late, and what of a change that explains."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any

from streamguard.core.records import Scalar

_RECENT = 50
_PAIRS_MAX = 64
_TOLD = 3
# Below this share of the change a kind of mistake is no lead.
_SALIENT = 0.3


class Confusion:
    """Counts of mistakes by (prediction, label) up to the last fifty, and these one by one.

    Pairs beyond 64 are not told apart.
    """

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        state = state or {}
        self._recent: deque[list[Any]] = deque(map(list, state.get("recent", ())))
        """Each as [number of the outcome, request ID, prediction, label]."""
        self._usual: Counter[tuple[str, str]] = Counter()
        self._usual.update({(said, truth): count for said, truth, count in state.get("usual", ())})
        self._count: int = state.get("count", 0)

    def add(self, count: int, mistakes: Iterable[tuple[int, str, Scalar, Scalar]]) -> None:
        """Take so many outcomes, of which these are mistakes: the place of each, request ID, prediction and label."""
        recent = self._recent
        recent.extend([self._count + place, *rest] for place, *rest in mistakes)
        self._count += count
        while len(recent) > _RECENT:
            _, _, said, truth = recent.popleft()
            pair = repr(said), repr(truth)
            if pair in self._usual or len(self._usual) < _PAIRS_MAX:
                self._usual[pair] += 1

    def examples(self, count: int) -> list[str]:
        """The request IDs of the last mistakes."""
        return [each[1] for each in self._recent][-count:]

    def classes(self) -> list[dict[str, Any]]:
        """The kinds of mistake whose share of all outcomes grew most: before, of late, and their part of the growth.

        Of late: over the outcomes since the oldest of the last fifty mistakes.
        """
        if not self._recent:
            return []
        before_count = self._recent[0][0]
        after_count = self._count - before_count
        recent = Counter((repr(each[2]), repr(each[3])) for each in self._recent)
        growth = {
            pair: count / after_count - (self._usual[pair] / before_count if before_count else 0.0)
            for pair, count in recent.items()
        }
        total = sum(each for each in growth.values() if each > 0)
        leading = sorted(growth, key=lambda pair: (-growth[pair], pair))[:_TOLD]
        return [
            {
                "predicted": pair[0],
                "labelled": pair[1],
                "before": round(self._usual[pair] / before_count, 6) if before_count else None,
                "after": round(recent[pair] / after_count, 6),
                "share": round(growth[pair] / total, 3),
            }
            for pair in leading
            if growth[pair] > 0 and growth[pair] >= _SALIENT * total
        ]

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON."""
        usual = [[*pair, count] for pair, count in self._usual.items()]
        return {"recent": [list(each) for each in self._recent], "usual": usual, "count": self._count}
