"""A summary of a long history in few panes: fine where it is recent, coarse where it is old.

The last panes hold `size` rows each; of every size at most eight stay, then the two oldest of them become
one of twice the size (as in the exponential histograms of Datar, Gionis, Indyk, Motwani, "Maintaining
Stream Statistics over Sliding Windows", SIAM J. Comput. 2002). A million rows are about a hundred panes.
Where panes end depends on the count of rows alone, so not on how they came.
"""

from collections.abc import Callable
from typing import Any

_SAME_SIZE_MAX = 8

Pane = list[Any]
"""Its first element is the number of rows; the rest is its owner's."""


def add_pane(panes: list[Pane], pane: Pane, merge: Callable[[Pane, Pane], Pane]) -> None:
    """Append the newest pane and merge older ones as needed. `panes` is oldest first."""
    panes.append(pane)
    size, end = pane[0], len(panes)
    while True:
        start = end
        while start > 0 and panes[start - 1][0] == size:
            start -= 1
        if end - start <= _SAME_SIZE_MAX:
            return
        panes[start : start + 2] = [merge(panes[start], panes[start + 1])]
        size, end = size * 2, start + 1
