"""Which class is taken for which: how often usually, how often of late, and what of a change that explains."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any

from streamguard.core.records import Scalar

_RECENT = 50
_PAIRS_MAX = 64
_TOLD = 3
# Fewer mistakes since the onset say nothing of their kinds.
_SINCE_MIN = 10
# Below this share of the change a kind of mistake is no lead.
_SALIENT = 0.3


class Confusion:
    """Counts of mistakes by (prediction, label) up to the last fifty, and these one by one.

    Pairs beyond 64 are not told apart.
    """

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        state = state or {}
        self._recent: deque[list[Any]] = deque(map(list, state.get("recent", ())))
        """Each as [number of the outcome, event time, request ID, prediction, label]."""
        self._usual: Counter[tuple[str, str]] = Counter()
        self._usual.update({(said, truth): count for said, truth, count in state.get("usual", ())})
        self._count: int = state.get("count", 0)

    def add(self, count: int, mistakes: Iterable[tuple[int, int, str, Scalar, Scalar]]) -> None:
        """Take so many outcomes, and of each mistake its place, event time, request ID, prediction and label."""
        recent = self._recent
        recent.extend([self._count + place, *rest] for place, *rest in mistakes)
        self._count += count
        while len(recent) > _RECENT:
            pair = _pair(recent.popleft())
            if pair in self._usual or len(self._usual) < _PAIRS_MAX:
                self._usual[pair] += 1

    def examples(self, count: int) -> list[str]:
        """The request IDs of the last mistakes."""
        return [each[2] for each in self._recent][-count:]

    def classes(self, onset_ms: int | None = None) -> list[dict[str, Any]]:
        """The kinds of mistake whose share of all outcomes grew most: before, of late, and their part of the growth.

        Of late: since the onset, as far as the last fifty mistakes go back; without ten of them since, over all fifty.
        """
        late = [each for each in self._recent if onset_ms is not None and each[1] >= onset_ms]
        late = late if len(late) >= _SINCE_MIN else list(self._recent)
        if not late:
            return []
        before_count = late[0][0]
        after_count = self._count - before_count
        usual = self._usual + Counter(_pair(each) for each in self._recent if each[0] < before_count)
        kinds = {_pair(each): (each[3], each[4]) for each in late}
        recent = Counter(map(_pair, late))
        growth = {
            pair: count / after_count - (usual[pair] / before_count if before_count else 0.0)
            for pair, count in recent.items()
        }
        total = sum(each for each in growth.values() if each > 0)
        leading = sorted(growth, key=lambda pair: (-growth[pair], pair))[:_TOLD]
        return [
            {
                "predicted": kinds[pair][0],
                "labelled": kinds[pair][1],
                "before": round(usual[pair] / before_count, 6) if before_count else None,
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


def _pair(mistake: list[Any]) -> tuple[str, str]:
    """As text, in which a number and its digits differ."""
    return repr(mistake[3]), repr(mistake[4])
