"""What came lately: counts of the last windows, fine where they are new and coarse where they are old.

Of every number of windows, 1, 2, 4, ..., three panes stay at most. Some 1,500 windows are 27 panes; what is older is
forgotten.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streamguard.core.features.folding import Example
from streamguard.core.features.gathering import Window
from streamguard.core.features.usual import packed, unpacked

_SAME_SIZE_MAX = 3
_SIZE_MAX = 1 << 8
COUNT_MAX = (1 << 32) - 1
"""More are not counted."""


@dataclass(slots=True)
class Pane:
    """Some windows, one after the other."""

    windows: int
    start_ms: int
    end_ms: int
    rows: int
    counts: np.ndarray[Any, np.dtype[np.uint32]]
    offsets: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By source: the first and the last."""
    examples: dict[int, tuple[int, Example]] = field(default_factory=dict)
    """By column: the first, with its source."""

    def merged(self, newer: "Pane") -> "Pane":
        """Both."""
        offsets = dict(self.offsets)
        for source, (first, last) in newer.offsets.items():
            known = offsets.get(source, (first, last))
            offsets[source] = min(first, known[0]), max(last, known[1])
        return Pane(
            self.windows + newer.windows,
            self.start_ms,
            newer.end_ms,
            self.rows + newer.rows,
            # What is counted beyond 32 bits is not told from as much.
            np.minimum(self.counts.astype(np.int64) + newer.counts, COUNT_MAX).astype(np.uint32),
            offsets,
            {**newer.examples, **self.examples},
        )


class Recent:
    """Panes, oldest first."""

    def __init__(self, state: Sequence[Mapping[str, Any]] | None = None, size: int = 0) -> None:
        """`size`: bins of all columns."""
        self.panes = [_restored(each, size) for each in state or ()]

    def add(self, window: Window) -> None:
        """Take the newest window."""
        panes = self.panes
        counts = np.minimum(window.counts, COUNT_MAX).astype(np.uint32)
        about = window.start_ms, window.end_ms, window.rows
        panes.append(Pane(1, *about, counts, dict(window.offsets), dict(window.examples)))
        size, end = 1, len(panes)
        while True:
            start = end
            while start > 0 and panes[start - 1].windows == size:
                start -= 1
            if end - start <= _SAME_SIZE_MAX:
                return
            if size == _SIZE_MAX:
                del panes[start]
                return
            panes[start : start + 2] = [panes[start].merged(panes[start + 1])]
            size, end = size * 2, start + 1

    @property
    def rows(self) -> int:
        """Of all panes."""
        return sum(pane.rows for pane in self.panes)

    def since(self, start_ms: int, rows_min: int = 1) -> Pane:
        """All that came in panes that begin then or later, and before it as far as that is not enough."""
        total = self.panes[-1]
        for pane in reversed(self.panes[:-1]):
            if pane.start_ms < start_ms and total.rows >= rows_min:
                break
            total = pane.merged(total)
        return total

    def snapshot(self) -> list[dict[str, Any]]:
        """Plain JSON."""
        return [
            {
                "windows": pane.windows,
                "span": [pane.start_ms, pane.end_ms],
                "rows": pane.rows,
                "counts": packed(pane.counts),
                "offsets": {str(source): each for source, each in pane.offsets.items()},
                "examples": [
                    [column, source, each.offset, each.time_ms, each.request_id, *each.shown]
                    for column, (source, each) in pane.examples.items()
                ],
            }
            for pane in self.panes
        ]


def _restored(state: Mapping[str, Any], size: int) -> Pane:
    start_ms, end_ms = state["span"]
    offsets = {int(source): (first, last) for source, (first, last) in state["offsets"].items()}
    counts = unpacked(state["counts"], np.zeros(size, np.uint32))
    examples = {
        column: (source, Example(offset, time_ms, request_id, tuple(shown)))
        for column, source, offset, time_ms, request_id, *shown in state["examples"]
    }
    return Pane(state["windows"], start_ms, end_ms, state["rows"], counts, offsets, examples)
